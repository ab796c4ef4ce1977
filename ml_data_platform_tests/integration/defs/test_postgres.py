"""A history that the user keeps in PostgreSQL is used, and stays where it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.pipeline_root import START, day, shop_lines
from ml_data_platform_tests.postgres_server import postgres_server

pytestmark = pytest.mark.slow
pytest.importorskip("dagster_postgres", reason="`pip install ml-data-platform[postgres]` installs it")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """An empty database."""
    with postgres_server() as found:
        yield found


def test_the_history_of_a_root_is_kept_in_postgres(url: str, tmp_path: Path) -> None:
    """A day is built and asked for over a file of the user, which no command changes; nothing of it is in SQLite."""
    cli = CommandLine(tmp_path)
    cli.ok("init", "--start-date", START)
    home = tmp_path / ".platform" / "dagster"
    home.mkdir(parents=True)
    own = yaml.safe_dump(
        {
            "storage": {"postgres": {"postgres_url": url}},
            "concurrency": {"runs": {"max_concurrent_runs": 8}, "pools": {"default_limit": 1}},
            "run_monitoring": {"enabled": True},
            "telemetry": {"enabled": False},
        }
    )
    (home / "dagster.yaml").write_text(own, encoding="utf-8")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in shop_lines(day(1), 20)))
    cli.ok("land", "a.jsonl", "--source", "demo_shop")
    built = cli.ok("backfill", "--from", day(1), "--to", day(1), "--json")
    told = json.loads(cli.ok("status", "--from", day(1), "--to", day(1), "--json").out)["days"][0]

    assert (home / "dagster.yaml").read_text(encoding="utf-8") == own
    assert json.loads(built.out)["runs"] > 0
    assert told["checks"]["passed"] > 40
    assert told["checks"]["failed"] == []
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert type(instance.run_storage).__module__.startswith("dagster_postgres")
        assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}
        assert instance.get_materialized_partitions(dg.AssetKey("validated_events")) == {str(day(1))}
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 8
    assert list(home.rglob("*.db")) == []

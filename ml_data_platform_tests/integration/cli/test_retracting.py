"""A landed file is taken back without a replacement, and brought back again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ml_data_platform.events.planning import LAYERS, Status, expected_days, plan
from ml_data_platform.stages import decisions
from ml_data_platform.stages.retraction import retracted_files
from ml_data_platform.stages.state import current_records, read_state
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.file_server import FileServer, serving
from ml_data_platform_tests.integration.pipeline.test_too_late import land as land_late
from ml_data_platform_tests.integration.pull.test_corrections import counting, offer_and_pull, replacing, sha256
from ml_data_platform_tests.late_shop import SOURCE, late_root, lines_of
from ml_data_platform_tests.pipeline_root import SHOP, START, PipelineRoot, day, settings_for, shop_lines
from ml_data_platform_tests.pull_root import offer
from ml_data_platform_tests.sensor_loop import SensorLoop
from ml_data_platform_tests.version_root import cut, repository_of

OF = ("--source", SHOP)
WHY = ("--reason", "sent by mistake")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> PipelineRoot:
    """Two days of good rows, built; to be read only."""
    root = PipelineRoot(settings_for(tmp_path_factory.mktemp("good") / "root"))
    for number in (1, 2):
        root.drop(f"good-{number}.jsonl", shop_lines(day(number), 20))
    (root.folder / "platform.yaml").write_text(f"start_date: {START}\n", encoding="utf-8")
    assert root.backfill().is_successful
    return root


@pytest.fixture(scope="module")
def with_bad(good: PipelineRoot, tmp_path_factory: pytest.TempPathFactory) -> PipelineRoot:
    """A copy of it, with a bad file of the second day, red since a fourth of it reaches no day, built too; to be read only."""
    copy = good.copied(tmp_path_factory.mktemp("bad") / "root")
    copy.drop(
        "bad.jsonl", [*shop_lines(day(2), 15, name="bad"), *({"event_type": "page_view", "n": n} for n in range(5))]
    )
    assert copy.backfill().is_successful
    return copy


@pytest.fixture
def root(with_bad: PipelineRoot, tmp_path: Path) -> PipelineRoot:
    """A copy of that, and of what was dropped into it."""
    shutil.copytree(with_bad.folder.parent / "root_dropped", tmp_path / "root_dropped")
    return with_bad.copied(tmp_path / "root")


def bad_of(root: PipelineRoot) -> str:
    """Return the hash of the bytes of the bad file."""
    path = root.folder.parent / f"{root.folder.name}_dropped" / SHOP / "bad.jsonl"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def of_tables(root: PipelineRoot) -> dict[tuple[str, Any], str]:
    """Return the contents of all tables."""
    return root.contents()


def of_events(root: PipelineRoot) -> dict[tuple[str, Any], str]:
    """Return the contents of the tables that the first layer builds."""
    built = {*LAYERS[0], "quarantined_events"}
    return {key: content for key, content in root.contents().items() if key[0] in built}


def test_a_file_is_taken_back(good: PipelineRoot, root: PipelineRoot, tmp_path: Path) -> None:
    """Its days are built again without it, byte for byte as if it had never come; its rows stay accounted for."""
    command, at, bad = CommandLine(tmp_path), ("--root", "root"), bad_of(root)
    assert of_tables(root) != of_tables(good)
    assert command("status", *at).status == 1
    held = cut(root).manifest
    undated = root.folder / "data" / "undated_rows" / f"source={SHOP}" / f"{bad}.parquet"
    assert undated.exists()
    dry = json.loads(command.ok("retract", bad[:12], *at, *OF, *WHY, "--dry-run", "--json").out)
    assert (dry["is_new"], dry["is_retracted"], dry["rows"], dry["days"]) == (True, False, 20, {str(day(2)): 15})
    assert retracted_files(root.platform) == []

    said = command.ok("retract", bad[:12], *at, *OF, *WHY)
    assert f"{SHOP}/bad.jsonl" in said.text
    assert str(day(2)) in said.text
    assert plan_is_about(root) == {day(2)}
    assert not undated.exists()
    assert root.backfill().is_successful
    assert of_tables(root) == of_tables(good)

    assert (root.folder / "raw" / bad).exists()
    assert bad in {record.sha256 for record in root.platform.ledger.records()}
    assert bad not in {record.sha256 for record in current_records(root.platform)}
    status = json.loads(command.ok("status", *at, "--json").out)["landing"]
    assert status["files"][SHOP] == {"landed": 2, "retracted": 1}
    assert status["undated"] == {}
    (line,) = status["retracted_files"]
    assert all(part in line for part in ("bad.jsonl", "20 rows", "sent by mistake", bad[:12]))
    assert "sent by mistake" in command.ok("status", *at).text
    (group,) = json.loads(command.ok("quarantine", "list", *at, "--json").out)
    assert (group["reason"], group["file"], group["rows"]) == ("retracted", "bad.jsonl", 20)
    assert "sent by mistake" in group["detail"]
    assert "sent by mistake" in command.ok("quarantine", "show", *at).text
    assert "reinstate" in command.ok("replay", *at, "--reason", "retracted").text
    assert "sent by mistake" in command.ok("trace", bad[:16], *at).text

    after = cut(root).manifest
    assert (held.rows - after.rows, after.left_out) == (15, held.left_out)
    assert [version.rows for version in repository_of(root).versions()] == [held.rows, after.rows]


def test_no_version_holds_rows_of_a_retracted_file(root: PipelineRoot, tmp_path: Path) -> None:
    """Refused until its day is built throughout; other days can be cut; so it is where another file replaced it."""
    command, at, other = CommandLine(tmp_path), ("--root", "root"), root.copied(tmp_path / "other")
    command.ok("version", "cut", *at, "--dry-run", "--accept-unusable", "they are few")
    command.ok("retract", "bad.jsonl", *at, *OF, *WHY)
    for more in ((), ("--dry-run",)):
        refused = command("version", "cut", *at, *more)
        assert refused.status == 1
        assert all(part in refused.text for part in ("bad.jsonl", str(day(2)), "Run backfill"))
        assert str(day(1)) not in refused.text
    command.ok("version", "cut", *at, "--dry-run", "--from", day(1), "--to", day(1))
    # Built half-way, the training partitions are those of before.
    assert root.judge().is_successful
    assert command("version", "cut", *at, "--dry-run").status == 1
    assert root.backfill().is_successful
    rows = json.loads(command.ok("version", "cut", *at, "--dry-run", "--json").out)["rows"]

    right = tmp_path / "right.jsonl"
    right.write_text("".join(json.dumps(line) + "\n" for line in shop_lines(day(2), 7, name="right")))
    command.ok("land", right, "--root", "other", *OF, "--replaces", bad_of(root))
    refused = command("version", "cut", "--root", "other")
    assert (refused.status, "bad.jsonl" in refused.text) == (1, True)
    assert other.backfill().is_successful
    assert json.loads(command.ok("version", "cut", "--root", "other", "--dry-run", "--json").out)["rows"] == rows + 7


def test_the_same_bytes_stay_retracted_until_they_are_reinstated(
    good: PipelineRoot, root: PipelineRoot, tmp_path: Path
) -> None:
    """Landed again under any name they say so, and how to bring them back; then all is as it was with them."""
    command, at, with_it = CommandLine(tmp_path), ("--root", "root"), of_tables(root)
    path = root.folder.parent / "root_dropped" / SHOP / "bad.jsonl"
    command.ok("retract", path, *at, *OF, *WHY)
    (path.parent / "again.jsonl").write_bytes(path.read_bytes())
    for name in ("bad.jsonl", "again.jsonl"):
        said = command.ok("land", path.parent / name, *at, *OF)
        assert all(part in said.text for part in ("sent by mistake", "reinstate"))
        assert plan_is_about(root) == {day(2)}
    root.backfill()
    assert of_tables(root) == of_tables(good)
    assert "nothing to do" in command.ok("retract", "again.jsonl", *at, *OF, *WHY).text
    assert root.backfill().runs == 0

    command.ok("reinstate", bad_of(root)[:8], *at, *OF, "--reason", "it was right")
    again = command.ok("reinstate", bad_of(root)[:8], *at, *OF, "--reason", "it was right").text
    assert "nothing to decide" in again
    assert f"to be built by the sensors or `backfill`: {day(2)}" in again
    assert root.backfill().is_successful
    assert of_tables(root) == with_it
    assert (root.folder / "data" / "undated_rows" / f"source={SHOP}" / f"{bad_of(root)}.parquet").exists()
    red = command("status", *at, "--json")
    assert (red.status, json.loads(red.out)["landing"]["retracted_files"]) == (1, [])


def plan_is_about(root: PipelineRoot) -> set[Any]:
    """Return the days of which anything is dirty."""
    state = read_state(root.platform)
    return {each.day for each in plan(state, expected_days(state)) if each.status is Status.DIRTY}


def test_what_names_no_file_or_several_is_refused(root: PipelineRoot, tmp_path: Path) -> None:
    """Nothing is taken back by a slip of the pen; the message shows which files there are."""
    command, at = CommandLine(tmp_path), ("--root", "root")
    root.drop("twin.jsonl", shop_lines(day(3), 3, name="twin"))
    root.drop("twin.jsonl", shop_lines(day(3), 4, name="twin2"))
    changed = root.folder.parent / "root_dropped" / SHOP / "bad.jsonl"
    changed.write_text("{}\n", encoding="utf-8")
    for arguments, expected in (
        (("nothing.jsonl", *OF, *WHY), "No such file was landed"),
        (("ffffffffff", *OF, *WHY), "No such file was landed"),
        (("twin.jsonl", *OF, *WHY), "Several landed files have this name"),
        ((changed, *OF, *WHY), "bytes of this file were not landed"),
        (("bad.jsonl", "--source", "globo", *WHY), "No such file was landed"),
    ):
        refused = command("retract", *arguments, *at)
        assert refused.status == 1, refused
        assert expected in refused.text
    for arguments in (("bad.jsonl", *OF), ("bad.jsonl", *OF, "--reason", " "), ("bad.jsonl", *WHY)):
        assert command("retract", *arguments, *at).status == 2
    assert retracted_files(root.platform) == []
    assert command("retract", "bad.jsonl", *OF, *WHY, *at).status == 0


@pytest.mark.parametrize("loops", [False, True])
def test_what_the_file_alone_had_refused_is_published_without_it(
    loops: bool, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    """Days are built without it, one it had refused empty, by sensors as by backfill; a copy of it is not taken in."""
    root = PipelineRoot(settings_for(tmp_path / "root", settle_seconds=0))
    bad = [*shop_lines(day(1), 15, name="bad"), *shop_lines(day(2), 5, broken=20)]
    folder = root.settings.landing / SHOP
    folder.mkdir(parents=True)
    (folder / "bad.jsonl").write_text("".join(json.dumps(line) + "\n" for line in bad), encoding="utf-8")
    if loops:
        root = root.at(root.now.replace(year=2027))
    root.land(folder / "bad.jsonl")
    root.drop("good.jsonl", shop_lines(day(1), 20))
    root.judge()
    assert len(root.rows("validated_events", day(1))) == 35
    assert ("validated_events", day(2)) not in root.heads()
    CommandLine(tmp_path).ok("retract", "bad.jsonl", "--root", root.folder, *OF, *WHY)
    shutil.copyfile(folder / "bad.jsonl", folder / "copy.jsonl")
    if loops:
        done = SensorLoop(root, instance).turn()
        assert {"ingest"} < {each.job_name for each in done}
        event = instance.get_latest_materialization_event(dg.AssetKey("landed_files"))
        assert event is not None
        assert event.asset_materialization is not None
        assert "copy.jsonl" not in str(event.asset_materialization.metadata["refused"].value)
        assert "sent by mistake" in str(event.asset_materialization.metadata["retracted"].value)
    else:
        root.judge()
    assert len(root.rows("validated_events", day(1))) == 20
    assert root.heads()["validated_events", day(2)].rows == 0
    assert root.heads()["quarantined_events", day(2)].rows == 0
    assert root.judge().runs == 0


def test_a_retraction_that_dies_half_way_is_finished(
    good: PipelineRoot, root: PipelineRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the decision: the next backfill builds without the file, and the command again ends the rest."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(decisions, "_show", die)
        with pytest.raises(KeyboardInterrupt):
            decisions.retract(root.platform, SHOP, bad_of(root), reason="bad")
    assert root.judge().is_successful
    assert of_events(root) == of_events(good)
    assert not decisions.retract(root.platform, SHOP, bad_of(root), reason="bad")
    assert list((root.folder / "data" / "undated_rows").rglob("*.parquet")) == []


def test_rows_that_came_too_late_are_taken_back_with_it(tmp_path: Path) -> None:
    """They are shown no longer and nothing is to be replayed; reinstated, they are where they were."""
    root = late_root(tmp_path)
    record = land_late(root, "bad.jsonl", frozen=4, complete=3)
    command, of = CommandLine(tmp_path), ("--root", root.folder, "--source", SOURCE, *WHY)
    places = [root.folder / "data" / name / f"source={SOURCE}" for name in ("too_late_rows", "undated_rows")]
    assert [len(list(place.iterdir())) for place in places] == [1, 1]
    assert json.loads(command.ok("retract", record.sha256, *of, "--json").out)["is_retracted"]
    assert [len(list(place.iterdir())) for place in places] == [0, 0]
    assert "came too late" not in command.ok("status", "--root", root.folder).text
    command.ok("reinstate", record.sha256, *of)
    assert [len(list(place.iterdir())) for place in places] == [1, 1]


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A web server."""
    with serving() as running:
        yield running


def test_a_pull_does_not_bring_it_back(tmp_path: Path, server: FileServer) -> None:
    """Pulled again it stays retracted, though what it had replaced is reinstated; a correction counts."""
    root = replacing(tmp_path, server)
    old, new, newest = (offer(day(1), count, name).content for count, name in ((5, "old"), (7, "new"), (11, "newest")))
    offer_and_pull(root, server, old)
    offer_and_pull(root, server, new)
    command, of = CommandLine(tmp_path), ("--root", root.folder, "--source", "shop_export", *WHY)
    contracts = ("--sources", tmp_path / "contracts")
    command.ok("retract", sha256(new), *of, *contracts)
    assert counting(root) == {}
    offer_and_pull(root, server, new)
    assert counting(root) == {}
    command.ok("reinstate", sha256(old), *of, *contracts)
    offer_and_pull(root, server, new)
    assert counting(root) == {sha256(old): 5}
    offer_and_pull(root, server, newest)
    assert counting(root) == {sha256(newest): 11}
    refused = command("reinstate", sha256(old), *of, *contracts)
    assert refused.status == 1
    assert "Another file counts in its place" in refused.text


def test_a_masked_file_is_named_by_its_name_or_hash(tmp_path: Path) -> None:
    """Its bytes cannot be compared with what is kept: a path to it means the file of that name."""
    contract = {"source": "members", "format": "jsonl", "schema_version": 1, "pii": {"columns": {"email": "mask"}}}
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "members.yaml").write_text(json.dumps(contract), encoding="utf-8")
    root = PipelineRoot(settings_for(tmp_path / "root", sources=tmp_path / "contracts"))
    record = root.drop("m.jsonl", [{**line, "email": "a@b.example"} for line in lines_of(day(1), 5)], "members").record
    assert record is not None
    path = tmp_path / "root_dropped" / "members" / "m.jsonl"
    assert record.sha256 != hashlib.sha256(path.read_bytes()).hexdigest()
    command = CommandLine(tmp_path)
    of = ("--root", root.folder, "--sources", tmp_path / "contracts", "--source", "members", *WHY)
    for given in (path, "m.jsonl", record.sha256[:8]):
        assert json.loads(command.ok("retract", given, *of, "--json").out)["sha256"] == record.sha256
        assert [each.record.sha256 for each in retracted_files(root.platform)] == [record.sha256]
        command.ok("reinstate", given, *of)
        assert retracted_files(root.platform) == []

"""Names that would mean something in a query, a shell, a URL or a glob: they are names, wherever they stand."""

from __future__ import annotations

import csv
import datetime as dt
import json
from pathlib import Path

import pytest
import yaml

from ml_data_platform.stages.verification import verify
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, settings_for

SOURCE = "odd_shop"
VALUES = (
    "'; COPY (SELECT 1) TO '/tmp/x'; --",
    'a "quoted" value',
    "back\\slash \\' $1 ?1 :name",
    "{curly} %s %(x)s [0-9]* @hash32(1)",
    "zero\0byte",
    "line\nfeed\ttab\rreturn",
    "\u202eright to left ünïcodé 🦆 \u2028.",
    "x" * 200,
)
"""No value may end a literal, name a parameter, or be cut."""
ROOTS = (
    "it's a \"root\" $1 ?; -- %20 %s ünï🦆 [0-9]{a,b}*\\ \n@hash32('x')",
    "source=evil/event_type=purchase/dt=2020-01-01/filename=x",
)
COLUMNS = {
    "event_id": "i'd",
    "user_id": 'us"er',
    "session_uuid": "'; DROP TABLE judged; --",
    "event_type": "$1 ty.pe/~1",
    "event_timestamp": "@instant(0) time",
}
EXTRA = ("ex'tra", 'ex"tra', "{extra}", "\\", "événement\u2028", "E" * 5_000)
LONG = "z" * 20_000


@pytest.mark.parametrize("name", ROOTS)
def test_a_day_is_built_in_a_root_of_any_name_from_files_of_any_content(tmp_path: Path, name: str) -> None:
    """Each row comes out with the values that were dropped, under the columns that were dropped, from one day's run."""
    folder = tmp_path / name / "root"
    root = PipelineRoot(settings_for(folder, sources=folder / "sources"))
    contract = {
        "source": SOURCE,
        "format": "csv",
        "schema_version": 2,
        "columns": COLUMNS,
        "event_type": {"mapping": dict.fromkeys(VALUES, "search")},
        "user_id_domain": "do'main $1",
    }
    root.folder.joinpath("sources").mkdir(parents=True)
    (root.folder / "sources" / f"{SOURCE}.yaml").write_text(yaml.safe_dump(contract), encoding="utf-8")
    rows = [
        {
            **dict(zip(COLUMNS.values(), (f"{number}{value}", value, value, value, _time(number)), strict=True)),
            **dict.fromkeys(EXTRA, value + LONG),
        }
        for number, value in enumerate(VALUES)
    ]
    path = tmp_path / "dropped" / "it's $1; [x]*.csv"
    path.parent.mkdir()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (landed,) = root.land(path, source=SOURCE)
    assert (landed.outcome, landed.name, dict(landed.record.rows_per_day)) == (
        "landed",
        path.name,
        {str(day(1)): len(VALUES)},
    )
    report = root.backfill([day(1)])
    assert report.is_successful, report.failed
    found = {row["event_id"]: row for row in root.rows("validated_events", day(1))}
    assert set(found) == {f"{SOURCE}:{number}{value}" for number, value in enumerate(VALUES)}
    for number, value in enumerate(VALUES):
        row = found[f"{SOURCE}:{number}{value}"]
        assert (row["source"], row["event_type"], row["source_row"]) == (SOURCE, "search", number + 1)
        assert json.loads(row["attributes"]) == dict.fromkeys(EXTRA, value + LONG)
    assert len({row["user_id"] for row in found.values()}) == len({row["session_uuid"] for row in found.values()})
    assert len({row["session_uuid"] for row in found.values()}) == len(VALUES)
    assert len(root.rows("session_features", day(1))) == len(VALUES)
    assert verify(root.platform).defects == ()


def test_what_a_user_asks_for_is_a_value_too(built_root: PipelineRoot, tmp_path: Path) -> None:
    """Quotes in a name that is traced or filtered by find nothing: neither every row, nor an error of the engine."""
    cli = CommandLine(tmp_path)
    for asked in VALUES[:4]:
        listed = cli("quarantine", "show", "--source", asked, "--json", "--root", built_root.folder)
        assert listed.status != 0 or json.loads(listed.out) in ([], {"rows": []}), listed
        assert "Parser" not in listed.text
        traced = cli("trace", asked, "--root", built_root.folder)
        assert traced.status != 0
        assert "Parser" not in traced.text


def _time(number: int) -> int:
    at = dt.datetime.combine(day(1), dt.time(9, number), tzinfo=dt.UTC)
    return int(at.timestamp() * 1000)

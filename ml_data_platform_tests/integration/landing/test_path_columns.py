"""Columns that stand only in the path are columns of the rows, and the same bytes under other paths are other rows."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import shutil
from collections import Counter
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from ml_data_platform.landing.landing import reroute_outdated
from ml_data_platform.settings import load_settings
from ml_data_platform.stages.landed_files import land_inbox, land_named, landing_terms, restore_landed
from ml_data_platform.stages.platform import Platform, open_platform
from ml_data_platform.stages.pulling import pull_days
from ml_data_platform.stages.retraction import find_file
from ml_data_platform_tests.command_line import CommandLine

NOW = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)
COLUMNS = "{user_id: u, session_id: s, event_type: k, timestamp: dt}"
CONTRACT = (
    f"schema_version: 1\ncolumns: {COLUMNS}\nevent_time: {{time_column: clock}}\nidentity: [u, s, clock, region]\n"
)
ROWS = [{"u": f"u{n}", "s": "s", "k": "search", "clock": f"10:00:0{n}"} for n in range(4)]
PLACES = ["dt=2026-06-01/region=eu", "dt=2026-06-01/region=us%20east", "dt=2026-06-02/region=eu"]


def content(kind: str) -> bytes:
    """The rows, without the columns of the path."""
    if kind == "jsonl":
        return "\n".join(f" {json.dumps(row)} " for row in ROWS).encode()
    target = io.StringIO()
    writer = csv.DictWriter(target, list(ROWS[0]))
    writer.writeheader()
    writer.writerows(ROWS)
    return target.getvalue().encode()


def opened(tmp_path: Path, kind: str, more: str = "") -> Platform:
    """A root with a contract that names columns of the path."""
    sources = tmp_path / "root" / "sources"
    sources.mkdir(parents=True, exist_ok=True)
    (sources / "shop.yaml").write_text(f"source: shop\nformat: {kind}\n{CONTRACT}{more}")
    settings = load_settings(
        {}, tmp_path, root=tmp_path / "root", landing=tmp_path / "landing", start_date="2026-06-01"
    )
    return open_platform(settings, lambda: NOW)


def drop(tmp_path: Path, kind: str) -> Path:
    """The same bytes in the folders of three partitions, below one that says nothing."""
    folder = tmp_path / "region=nowhere" / "export"
    for place in PLACES:
        (folder / place).mkdir(parents=True)
        (folder / place / "part.data").write_bytes(content(kind))
    return folder


def landed_rows(tmp_path: Path) -> list[dict]:
    """What plain DuckDB finds in the fragments of dated rows."""
    files = [str(path) for path in (tmp_path / "root" / "_store" / "landed_files").rglob("*.parquet")]
    rows = duckdb.sql(
        f"SELECT filename, event_time::DATE AS day, landed FROM read_parquet({files!r}, filename = true)"
    ).fetchall()
    return [{"file": file, "day": day.isoformat(), **json.loads(landed)} for file, day, landed in rows]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_equal_files_of_three_partitions_are_three_sets_of_rows(tmp_path, kind):
    """Each file's rows have the values of its folders, decoded; their day is that of the folder; sent again, nothing is new."""
    platform = opened(tmp_path, kind)
    folder = drop(tmp_path, kind)
    assert [file.outcome for file in land_named(platform, "shop", [folder])] == ["landed"] * 3
    rows = landed_rows(tmp_path)
    expected = Counter({("2026-06-01", "eu"): 4, ("2026-06-01", "us east"): 4, ("2026-06-02", "eu"): 4})
    assert Counter((row["dt"], row["region"]) for row in rows) == expected
    assert all(row["day"] == row["dt"] for row in rows)
    assert len({row["file"] for row in rows}) == 3
    assert {path.name for path in (tmp_path / "root" / "raw").iterdir()} == {platform.ledger.records()[0].bytes_sha256}
    assert [file.outcome for file in land_named(platform, "shop", [folder])] == ["known"] * 3


def test_rows_are_made_again_from_kept_bytes_and_ledger(tmp_path):
    """Fragments that are lost, and routings of a changed contract, take the values from the ledger, not from any path."""
    platform = opened(tmp_path, "csv")
    folder = drop(tmp_path, "csv")
    land_named(platform, "shop", [folder])
    before = sorted(map(str, landed_rows(tmp_path)))
    shutil.rmtree(folder)
    shutil.rmtree(tmp_path / "root" / "_store" / "landed_files")
    assert restore_landed(platform, platform.ledger.records()) == 3
    assert sorted(map(str, landed_rows(tmp_path))) == before
    changed = opened(tmp_path, "csv", "unknown_columns: freeze\n")
    again = reroute_outdated({"shop": changed.contracts.of("shop")}, landing_terms(changed))
    assert [file.outcome for file in again] == ["landed"] * 3
    assert {(file.record.path_values["dt"], file.record.rows) for file in again} == {
        ("2026-06-01", 4),
        ("2026-06-02", 4),
    }
    assert sorted(map(str, landed_rows(tmp_path))) == before


def test_masked_rows_have_the_columns_of_their_path_masked(tmp_path):
    """With a ``pii`` section values of the path are masked like others, and files of other partitions stay apart."""
    platform = opened(tmp_path, "csv", "pii: {columns: {region: mask}}\n")
    land_named(platform, "shop", [drop(tmp_path, "csv")])
    rows = landed_rows(tmp_path)
    assert Counter(row["dt"] for row in rows) == {"2026-06-01": 8, "2026-06-02": 4}
    assert sorted(Counter(row["region"] for row in rows).values()) == [4, 8]
    assert all(row["region"].startswith("masked_") for row in rows)
    shutil.rmtree(tmp_path / "root" / "_store" / "landed_files")
    assert restore_landed(platform, platform.ledger.records()) == 3
    assert sorted(map(str, landed_rows(tmp_path))) == sorted(map(str, rows))


def test_a_column_of_the_file_itself_comes_first(tmp_path):
    """In JSON row by row, in CSV by the header; what the contract does not name is taken from no path."""
    platform = opened(tmp_path, "jsonl")
    path = tmp_path / "dt=2026-06-01" / "region=eu" / "hour=10" / "a.jsonl"
    path.parent.mkdir(parents=True)
    second = opened(tmp_path / "second", "jsonl", "path_columns: [hour]\n")
    path.write_text(
        json.dumps({**ROWS[0], "region": "own"}) + "\n" + json.dumps({**ROWS[1], "region": None}) + "\n{}\n" + "{"
    )
    (file,) = land_named(platform, "shop", [path])
    assert sorted(str(row["region"]) for row in landed_rows(tmp_path)) == ["None", "own"]
    assert dict(file.record.undated) == {"event_time_missing": 1, "cut_off": 1}
    assert all("hour" not in row for row in landed_rows(tmp_path))
    land_named(second, "shop", [path])
    assert all(row["hour"] == "10" for row in landed_rows(tmp_path / "second"))


def test_partitions_that_pyarrow_writes_are_read(tmp_path):
    """Parquet in folders, the partition's columns taken out of the files, a null among them, lies in the landing folder."""
    platform = opened(tmp_path, "parquet")
    regions = ["eu", "a/b =ü", None]
    table = pa.Table.from_pylist([{**row, "dt": "2026-06-01", "region": region} for region in regions for row in ROWS])
    partitioning = ds.partitioning(pa.schema([("dt", pa.string()), ("region", pa.string())]), flavor="hive")
    ds.write_dataset(table, tmp_path / "landing" / "shop", format="parquet", partitioning=partitioning)
    landed = land_inbox(open_platform(platform.settings, lambda: dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)))
    assert [file.outcome for file in landed] == ["landed"] * 3
    assert Counter(row["region"] for row in landed_rows(tmp_path)) == dict.fromkeys(regions, 4)


def test_files_are_named_by_their_place_and_checked_with_it(tmp_path):
    """``sources check`` sees the columns of the path, and a person names one of equal files by its path."""
    platform = opened(tmp_path, "csv")
    folder = drop(tmp_path, "csv")
    land_named(platform, "shop", [folder])
    for place in PLACES:
        found = find_file(platform, "shop", str(folder / place / "part.data"))
        assert f"region={found.path_values['region'].replace(' ', '%20')}" in place
        assert found.path_values["dt"] in place
    report = CommandLine(tmp_path).ok(
        "sources", "check", folder / PLACES[2] / "part.data", "--source", "shop", "--json", "--root", tmp_path / "root"
    )
    assert '"2026-06-02"' in report.out
    plain = tmp_path / "part.data"
    plain.write_bytes(content("csv"))
    assert land_named(platform, "shop", [plain])[0].outcome == "rejected"


@pytest.mark.parametrize("section", ["", "pii: {columns: {region: mask}}\n"], ids=["as landed", "masked"])
def test_pulled_files_have_the_columns_of_their_address(tmp_path, section):
    """Equal files of two days are rows of both; a corrected one replaces its own rows and none of the other day."""
    exports = tmp_path / "exports"
    more = f"pull: {{url: '{exports}/dt={{date}}/region=eu/*.csv', on_change: replace}}\n{section}"
    platform = opened(tmp_path, "csv", more)
    days = [dt.date(2026, 6, 1), dt.date(2026, 6, 2)]
    for day in days:
        folder = exports / f"dt={day}" / "region=eu"
        folder.mkdir(parents=True)
        (folder / "part.csv").write_bytes(content("csv"))
    pulled = pull_days(platform, "shop", days)
    assert [file.outcome for file in pulled.files] == ["landed", "landed"]
    assert Counter(row["day"] for row in landed_rows(tmp_path)) == {"2026-06-01": 4, "2026-06-02": 4}
    corrected = exports / f"dt={days[0]}" / "region=eu" / "part.csv"
    corrected.write_bytes(content("csv") + b"u9,s,search,11:00:00\n")
    pulled = pull_days(platform, "shop", days)
    assert {file.outcome for file in pulled.files} == {"landed", "unchanged"}
    standings = platform.ledger.decisions.standings("shop")
    retracted = {sha256 for sha256, standing in standings.items() if standing.is_retracted}
    counts = {record.sha256: dict(record.rows_per_day) for record in platform.ledger.records()}
    left = [rows for sha256, rows in counts.items() if sha256 not in retracted]
    assert sorted(left, key=str) == [{"2026-06-01": 5}, {"2026-06-02": 4}]
    assert len(retracted) == 1

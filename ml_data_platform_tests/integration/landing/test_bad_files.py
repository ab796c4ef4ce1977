"""Files that are not what their contract says: each has its clear reason, and its neighbours land all the same."""

from __future__ import annotations

import csv
import gzip
import io
import json
import multiprocessing
import re
import resource
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.ids import IdKey, bind_id_key
from ml_data_platform.events.parsing import mapping_query
from ml_data_platform.landing.landing import LandingTerms, land_file
from ml_data_platform.storage.duck import connect
from ml_data_platform.storage.table_store import TableStore

START, NOW = date(2026, 6, 1), datetime(2026, 6, 10, tzinfo=UTC)
EVENT = {"user_id": "u", "session_uuid": "s", "event_type": "search", "event_timestamp": 1_780_315_200_000}
DAY = "2026-06-01"
MEBIBYTE = 1024 * 1024
KINDS = ("csv", "jsonl", "parquet")


def contract(kind: str, **changes: object) -> SourceContract:
    """Return a contract of version 2 in which every field lands under its own name."""
    columns = {name: name for name in EVENT} if kind == "csv" else {}
    return SourceContract.model_validate(
        {"source": "shop", "format": kind, "schema_version": 2, "columns": columns, **changes}
    )


def content(kind: str, rows: list[dict[str, object]], delimiter: str = ",") -> bytes:
    """Return a file of the rows."""
    if kind == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if kind == "parquet":
        target = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), target)
        return target.getvalue()
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


@pytest.fixture
def terms(tmp_path: Path) -> LandingTerms:
    """Landing into an empty root, at a fixed instant."""
    return LandingTerms(TableStore(tmp_path / "root", lambda: NOW), START, NOW, threads=1)


def land(tmp_path: Path, terms: LandingTerms, of: SourceContract, *contents: bytes):
    """Drop files and land them in order; returns their records."""
    paths = []
    for number, each in enumerate(contents):
        paths.append(tmp_path / f"{number}")
        paths[-1].write_bytes(each)
    return [land_file(path, of, terms).record for path in paths]


def missing_column(kind: str) -> bytes:
    """A file without the column of the event type."""
    return content(kind, [{name: value for name, value in EVENT.items() if name != "event_type"}])


REFUSED = {
    "CSV lacks a column": ("csv", missing_column("csv"), "missing=event_type"),
    "Parquet lacks a column": ("parquet", missing_column("parquet"), "missing=event_type"),
    "CSV of another delimiter": ("csv", content("csv", [EVENT], ";"), "missing=.*got=user_id;session_uuid"),
    "CSV without header": ("csv", content("csv", [EVENT]).split(b"\r\n", 1)[1], "missing=user_id"),
    "CSV is JSON lines": ("csv", content("jsonl", [EVENT, EVENT]), "missing=user_id"),
    "CSV is Parquet": ("csv", content("parquet", [EVENT]), "Parquet"),
    "JSON lines are Parquet": ("jsonl", content("parquet", [EVENT]), "Parquet"),
    "Parquet is CSV": ("parquet", content("csv", [EVENT]), "not Parquet.*got=user_id"),
    "Parquet is JSON lines": ("parquet", content("jsonl", [EVENT]), "not Parquet"),
    "Parquet is gzip of CSV": ("parquet", gzip.compress(content("csv", [EVENT])), "not Parquet"),
    "a JSON array with objects behind one without an end": ("jsonl", b'[{"a": {"b": 1}, {"a": 2}, {"a": 3}', "told apart"),
    "a zip archive": ("csv", b"PK\x03\x04" + b"\0" * 50, "zip archive"),
    "truncated gzip": ("jsonl", gzip.compress(content("jsonl", [EVENT] * 500))[:-6], "truncated"),
    "gzip with a broken checksum": ("csv", gzip.compress(content("csv", [EVENT]))[:-8] + b"\0" * 8, "damaged"),
    "truncated Parquet": ("parquet", content("parquet", [EVENT] * 500)[:-100], "truncated"),
    "Parquet with a damaged footer": ("parquet", content("parquet", [EVENT])[:-40] + b"\xff" * 32 + b"\x20\0\0\0PAR1", "damaged"),
    "truncated gzip of Parquet": ("parquet", gzip.compress(content("parquet", [EVENT] * 500))[:-6], "truncated"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_refused_files_say_why_and_hold_up_nobody(tmp_path, terms, kind):
    """The records are `rejected` with the reason and no rows, the bytes are kept, the files around them land."""
    cases = {name: (broken, reason) for name, (of, broken, reason) in REFUSED.items() if of == kind}
    first, *refused, last = land(
        tmp_path,
        terms,
        contract(kind),
        content(kind, [EVENT]),
        *(broken for broken, _ in cases.values()),
        content(kind, [EVENT, EVENT]),
    )
    for (name, (broken, reason)), record in zip(cases.items(), refused, strict=True):
        assert record.status == "rejected", name
        assert re.search(reason, record.reason), f"{name}: {record.reason}"
        assert (record.rows, dict(record.rows_per_day), record.fragment) == (0, {}, None), name
        assert (tmp_path / "root" / "raw" / record.sha256).read_bytes() == broken, name
        assert str(tmp_path) not in record.reason, name
    assert (first.status, dict(first.rows_per_day)) == ("landed", {DAY: 1})
    assert (last.status, dict(last.rows_per_day)) == ("landed", {DAY: 2})


@pytest.mark.parametrize("kind", KINDS)
def test_files_without_rows_are_told_apart(tmp_path, terms, kind):
    """No bytes are `empty`, also compressed; columns or blank lines alone are `header_only`; neither is an error."""
    bare = {"csv": ",".join(EVENT).encode(), "jsonl": b"\n\n", "parquet": content(kind, [EVENT])}[kind]
    if kind == "parquet":
        target = io.BytesIO()
        pq.write_table(pq.read_table(io.BytesIO(bare)).slice(0, 0), target)
        bare = target.getvalue()
    records = land(tmp_path, terms, contract(kind), b"", gzip.compress(b"", mtime=0), bare, gzip.compress(bare))
    assert [record.status for record in records] == ["empty", "empty", "header_only", "header_only"]
    assert all(record.reason is None for record in records)


@pytest.mark.parametrize("mode", ["evolve", "freeze", "discard"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_extra_column_is_treated_as_the_contract_says(tmp_path, terms, kind, mode):
    """Kept in the attributes, refusing the file, or left out of every table but the raw one, in each format."""
    of = contract(kind, unknown_columns=mode)
    (record,) = land(tmp_path, terms, of, content(kind, [{**EVENT, "colour": "red"}]))
    if mode == "freeze":
        assert (record.status, "unknown=colour" in record.reason) == ("rejected", True)
        return
    path = terms.objects.local_path(f"_store/landed_files/objects/{record.fragment[:2]}/{record.fragment}.parquet")
    (landed,) = pq.read_table(path)["landed"].to_pylist()
    assert json.loads(landed)["colour"] == "red"
    with connect(tmp_path, threads=1) as engine:
        bind_id_key(engine, IdKey("k", b"s"))
        raw = f"(SELECT 'shop' AS source, 'f' AS source_file, * FROM read_parquet('{path}'))"
        ((attributes,),) = engine.sql(f"SELECT attributes FROM ({mapping_query({'shop': of}, raw)})").fetchall()
    assert (json.loads(attributes) if attributes else None) == ({"colour": "red"} if mode == "evolve" else None)


def test_a_file_of_another_format_may_have_only_malformed_rows(tmp_path, terms):
    """JSON lines have no header to be refused for: of a CSV file every line is kept as malformed and accounted for."""
    (record,) = land(tmp_path, terms, contract("jsonl"), content("csv", [EVENT, EVENT]))
    assert (record.status, record.rows, dict(record.undated)) == ("landed", 3, {"malformed_row": 3})


def huge_row(kind: str, path: Path, size: int) -> None:
    """Write a file with one row of ``size`` bytes between two good ones; a few kilobytes, compressed."""
    event = content(kind, [EVENT])
    if kind == "parquet":
        pages = pa.array([None, "x" * size, None], pa.large_string())
        table = pa.Table.from_pylist([EVENT] * 3).append_column("page", pages)
        pq.write_table(table, path, use_dictionary=False, write_statistics=False, compression="zstd")
        return
    before, good = (b"", event) if kind == "jsonl" else tuple(part + b"\r\n" for part in event.split(b"\r\n", 1))
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(before + good.strip() + b"\n" + (b'{"page":"' if kind == "jsonl" else b'u,s,"'))
        for _ in range(size // MEBIBYTE):
            stream.write(b"x" * MEBIBYTE)
        stream.write((b'"}' if kind == "jsonl" else b'",1') + b"\n" + good.strip() + b"\n")


def _land_and_measure(path: Path, root: Path, kind: str) -> tuple[dict[str, object], int]:
    """Land a file in this process; returns its account and by how many MiB the process grew at most."""
    terms = LandingTerms(TableStore(root, lambda: NOW), START, NOW, threads=1)
    small = path.with_name("small")
    small.write_bytes(content(kind, [EVENT]))
    land_file(small, contract(kind), terms)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    landed = land_file(path, contract(kind), terms)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    record = landed.record
    account = {"outcome": landed.outcome, "days": dict(record.rows_per_day), "undated": dict(record.undated)}
    return account, grown // 1024


@pytest.mark.parametrize("kind", KINDS)
def test_one_huge_row_is_one_malformed_row_in_bounded_memory(tmp_path, kind):
    """A row of 130 MB costs itself only, and less memory than it is long; the rows around it are dated."""
    huge_row(kind, tmp_path / "huge", 130 * MEBIBYTE)
    assert (tmp_path / "huge").stat().st_size < 2 * MEBIBYTE
    # Its worker ends by being told to. A multiprocessing pool sends SIGTERM, which is ignored by what is started here where
    # SIGINT is, as in the background: Dagster lets one do what the other does. And who waits for it waits for good.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        account, grown = pool.submit(_land_and_measure, tmp_path / "huge", tmp_path / "root", kind).result()
    assert account == {"outcome": "landed", "days": {DAY: 2}, "undated": {"malformed_row": 1}}
    assert grown < 100

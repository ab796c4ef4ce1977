"""From a dropped file to its ledger record: every outcome, exact accounting, the same bytes in any order."""

from __future__ import annotations

import gzip
import hashlib
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ml_data_platform.errors import SettingsError
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.landing import keeping
from ml_data_platform.landing.landing import LandedFile, LandingTerms, land_file, reroute_outdated
from ml_data_platform.storage.ledger import Ledger
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.landed_shop_files import NOW, START, shop_file

SHOP = SourceContract(source="demo_shop", format="jsonl")
CSV = SourceContract(
    source="clicks",
    format="csv",
    schema_version=2,
    columns={"user_id": "user", "session_uuid": "session", "event_type": "kind", "event_timestamp": "at"},
)
HEADER = b"user,session,kind,at\n"
NOON = 1_780_315_200_000  # 2026-06-01T12:00:00Z in milliseconds


@pytest.fixture
def terms(tmp_path: Path) -> LandingTerms:
    """Landing into an empty root, at a fixed instant."""
    return LandingTerms(TableStore(tmp_path / "root", lambda: NOW), START, NOW, threads=1)


def drop(tmp_path: Path, content: bytes, name: str = "file") -> Path:
    """Write a file as a producer does."""
    path = tmp_path / name
    path.write_bytes(content)
    return path


def fragment(landed: LandedFile, terms: LandingTerms) -> list[dict]:
    """Return the dated rows of a landed file as stored."""
    sha256 = landed.record.fragment
    return pq.read_table(
        terms.objects.local_path(f"_store/landed_files/objects/{sha256[:2]}/{sha256}.parquet")
    ).to_pylist()


def undated_view(landed: LandedFile, terms: LandingTerms) -> Path:
    """Return where plain readers find a file's undated rows."""
    return (
        terms.store.objects.root
        / "data"
        / "undated_rows"
        / f"source={landed.source}"
        / f"{landed.record.sha256}.parquet"
    )


@pytest.mark.parametrize("seed", range(3))
def test_every_line_is_accounted_for_once(tmp_path, terms, seed):
    """Days, reasons, numbers and texts of all lines are those that the maker of the file wrote down."""
    made = shop_file(seed, 2_000)
    landed = land_file(drop(tmp_path, made.content), SHOP, terms)
    record = landed.record
    assert (landed.outcome, record.status, record.reason) == ("landed", "landed", None)
    assert dict(record.rows_per_day) == made.rows_per_day
    assert dict(record.undated) == made.undated
    assert record.rows == len(made.days) + len(made.reasons)
    assert record.size_bytes == len(made.content)
    assert record.sha256 == hashlib.sha256(made.content).hexdigest()
    assert record.min_event_time == min(made.times).isoformat()
    assert record.max_event_time == max(made.times).isoformat()
    rows = fragment(landed, terms)
    assert {row["source_row"]: row["event_time"].date().isoformat() for row in rows} == made.days
    assert all(row["landed"].encode() == made.lines[row["source_row"] - 1] for row in rows)
    order = [(row["event_time"], row["source_row"]) for row in rows]
    assert order == sorted(order)
    undated = pq.read_table(undated_view(landed, terms)).to_pylist()
    assert [(row["source_row"], row["reason"]) for row in undated] == sorted(made.reasons.items())
    assert {(row["source"], row["source_file"]) for row in undated} == {("demo_shop", record.sha256)}


@pytest.mark.parametrize(
    ("content", "contract", "expected"),
    [
        (b"", SHOP, ("empty", None)),
        (gzip.compress(b"", mtime=0), CSV, ("empty", None)),
        (b"\n  \r\n", SHOP, ("header_only", None)),
        (HEADER, CSV, ("header_only", None)),
        (gzip.compress(HEADER, mtime=0), CSV, ("header_only", None)),
        (HEADER + b"u,s,k,%d\n" % NOON, CSV, ("landed", None)),
        (HEADER + b"u,s,k\n", CSV, ("landed", None)),
        (gzip.compress(HEADER + b"u,s,k,1\n" * 9, mtime=0)[:-4], CSV, ("rejected", "truncated")),
        (b"\x1f\x8bnot gzip at all, whatever it begins with", CSV, ("rejected", "damaged")),
        (b"user,session,at\nu,s,1\n", CSV, ("rejected", "missing=kind")),
        (b"user,user,session,kind,at\n", CSV, ("rejected", "repeated=user")),
        (b"\n", CSV, ("rejected", "no readable header")),
        (b"PAR1....", SHOP, ("rejected", "Parquet")),
        (b'{"colour":1}\n', SHOP.model_copy(update={"unknown_columns": "freeze"}), ("rejected", "unknown=colour")),
        (
            HEADER[:-1] + b",colour\n",
            CSV.model_copy(update={"unknown_columns": "freeze"}),
            ("rejected", "unknown=colour"),
        ),
    ],
)
def test_each_status_keeps_the_bytes_and_says_why(tmp_path, terms, content, contract, expected):
    """Whatever a file holds, its bytes are kept, its record names what it is, and the record can be read again."""
    status, reason = expected
    landed = land_file(drop(tmp_path, content), contract, terms)
    record = landed.record
    assert (landed.outcome, record.status) == (status, status)
    assert (reason in record.reason) if reason else record.reason is None
    assert (tmp_path / "root" / "raw" / hashlib.sha256(content).hexdigest()).read_bytes() == content
    assert (record.rows, bool(record.fragment or record.undated_fragment)) == (
        (1, True) if status == "landed" else (0, False)
    )
    assert terms.ledger.records() == (record,)
    assert str(tmp_path) not in json.dumps(asdict(record))
    assert land_file(tmp_path / "file", contract, terms).outcome == "known"


def test_a_damaged_end_leaves_nothing_of_the_good_beginning(tmp_path, terms):
    """A file that turns out damaged after thousands of good rows is refused as a whole."""
    whole = gzip.compress(HEADER + b"".join(b"u,%d,k,%d\n" % (n * n, NOON) for n in range(200_000)))
    landed = land_file(drop(tmp_path, whole[:-20]), CSV, terms)
    assert (landed.outcome, landed.record.rows) == ("rejected", 0)
    assert not (tmp_path / "root" / "_store" / "landed_files").exists()
    assert not list((tmp_path / "root" / "_store" / "tmp").iterdir())


def test_what_is_no_readable_file_is_noted_and_the_rest_goes_on(tmp_path, terms, monkeypatch):
    """Links, folders, FIFOs, devices, vanished and forbidden files are failures with a reason, not the end."""
    good = drop(tmp_path, HEADER + b"u,s,k,%d\n" % NOON, "good")
    forbidden = drop(tmp_path, b"secret", "forbidden")
    (tmp_path / "link").symlink_to(good)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    real_open = os.open

    def open_as_a_stranger(path, *args, **options):
        if path == forbidden:
            raise PermissionError(13, "Permission denied")
        return real_open(path, *args, **options)

    monkeypatch.setattr(keeping.os, "open", open_as_a_stranger)
    paths = [*(tmp_path / name for name in ["link", "folder", "fifo", "gone", "forbidden"]), Path("/dev/null"), good]
    landed = [land_file(path, CSV, terms) for path in paths]
    assert [file.outcome for file in landed] == ["unreadable"] * 6 + ["landed"]
    words = ["symbolic link", "folder", "FIFO", "No such file", "Permission denied", "device"]
    assert all(word in file.reason for word, file in zip(words, landed, strict=False))
    failures = {failure.path: failure for failure in terms.ledger.failures()}
    assert set(failures) == {str(path) for path in paths[:-1]}
    assert all(failure.source == "clicks" for failure in failures.values())
    assert [record.name for record in terms.ledger.records()] == ["good"]
    assert len(list((tmp_path / "root" / "raw").iterdir())) == 1


@pytest.mark.parametrize("change", ["grows", "shrinks", "is touched"])
def test_a_file_that_changes_while_it_is_read_is_not_taken(tmp_path, terms, monkeypatch, change):
    """Bytes of two states of a file are never kept; landing it later takes the whole."""
    path = drop(tmp_path, HEADER + b"u,s,k,%d\n" % NOON)
    real_read = os.read

    def read_and_change(handle, size):
        data = real_read(handle, size)
        if not data:
            with path.open("r+b") as stream:
                stream.truncate(5) if change == "shrinks" else stream.seek(0, 2)
                stream.write(b"u,s,k,2\n" if change == "grows" else b"")
            os.utime(path, (1, 1))
        return data

    monkeypatch.setattr(keeping.os, "read", read_and_change)
    landed = land_file(path, CSV, terms)
    assert (landed.outcome, "changed while it was read" in landed.reason) == ("unreadable", True)
    assert not (tmp_path / "root" / "raw").exists()
    monkeypatch.setattr(keeping.os, "read", real_read)
    assert land_file(path, CSV, terms).outcome == ("rejected" if change == "shrinks" else "landed")


def test_the_same_bytes_again_change_nothing_but_names(tmp_path, terms):
    """A second name is noted; record, fragments and kept bytes stay; another source lands the bytes for itself."""
    made = shop_file(1, 50)
    first = land_file(drop(tmp_path, made.content, "a"), SHOP, terms)
    before = _tree(tmp_path / "root", without="names")
    later = replace(terms, now=NOW + timedelta(days=1))
    again = land_file(drop(tmp_path, made.content, "b"), SHOP, later, name="sub/b")
    assert (again.outcome, again.record) == ("known", first.record)
    assert _tree(tmp_path / "root", without="names") == before
    assert terms.ledger.names("demo_shop", first.record.sha256) == ("a", "sub/b")
    other = land_file(tmp_path / "b", SHOP.model_copy(update={"source": "other_shop"}), terms)
    assert (other.outcome, len(terms.ledger.records())) == ("landed", 2)


def test_no_stored_byte_depends_on_order_names_threads_or_chunks(tmp_path, monkeypatch):
    """Files landed in another order, under other names, with other threads and chunks, have the same fragments."""
    contents = [shop_file(seed, 3_000).content for seed in range(4)]

    def land(root: str, order: list[int], threads: int) -> dict[str, tuple]:
        where = LandingTerms(TableStore(tmp_path / root, lambda: NOW), START, NOW, threads=threads)
        paths = [drop(tmp_path, contents[number], f"{root}{number}") for number in order]
        records = [land_file(path, SHOP, where).record for path in paths]
        return {record.sha256: (record.fragment, record.undated_fragment) for record in records}

    expected = land("one", [0, 1, 2, 3], 1)
    monkeypatch.setattr("ml_data_platform.landing.jsonl.MAX_CHUNK_ROWS", 700)
    assert land("two", [3, 1, 0, 2], 2) == expected
    assert len({fragment for pair in expected.values() for fragment in pair}) == 8


def test_a_changed_contract_routes_again_from_the_kept_bytes(tmp_path, terms):
    """Only contents of another routing are read again; the new record holds, with the first landing's instant."""
    csv = drop(tmp_path, HEADER + b"u,s,k,%d\n" % NOON, "csv")
    first = land_file(csv, CSV, terms).record
    made = shop_file(5, 100)
    shop = land_file(drop(tmp_path, made.content, "shop"), SHOP, terms).record
    for path in (csv, tmp_path / "shop"):
        path.unlink()
    later = replace(terms, now=NOW + timedelta(minutes=5))
    in_seconds = CSV.model_copy(update={"event_time": CSV.event_time.model_copy(update={"epoch_unit": "us"})})
    (again,) = reroute_outdated({"clicks": in_seconds, "demo_shop": SHOP}, later)
    assert (again.record.ingested_at, again.record.name) == (first.ingested_at, "csv")
    assert (again.record.rows_per_day, dict(again.record.undated)) == ({}, {"event_time_before_start_date": 1})
    assert undated_view(again, terms).exists()
    wanted = {"clicks": in_seconds.routing_hash(START)}
    assert terms.ledger.records(wanted) == (again.record, shop)
    assert reroute_outdated({"clicks": in_seconds, "demo_shop": SHOP}, later) == []
    # back to the first contract: its record is still there, and nothing is to be done
    assert reroute_outdated({"clicks": CSV}, later) == []
    assert land_file(drop(tmp_path, HEADER + b"u,s,k,%d\n" % NOON), CSV, later).record == first
    assert not undated_view(again, terms).exists()


def test_what_was_too_far_in_the_future_has_its_day_in_time(tmp_path, terms):
    """Not a day too early, and then for good, also when a later contract routes the file again."""
    future = NOON + 86_400_000 * 30
    path = drop(tmp_path, HEADER + b"u,s,k,%d\n" % future)
    assert dict(land_file(path, CSV, terms).record.undated) == {"event_time_in_the_future": 1}
    assert land_file(path, CSV, replace(terms, now=NOW + timedelta(days=20))).outcome == "known"
    later = replace(terms, now=NOW + timedelta(days=60))
    again = land_file(path, CSV, later)
    assert (again.outcome, dict(again.record.undated), again.record.rows) == ("landed", {}, 1)
    assert land_file(path, CSV, later).record == again.record
    renamed = CSV.model_copy(update={"unknown_columns": "freeze"})
    anew = land_file(path, renamed, terms)
    assert (anew.outcome, anew.record.rows_per_day) == ("landed", again.record.rows_per_day)


def test_lost_bytes_are_reported_and_the_rest_is_routed(tmp_path, terms):
    """Where kept bytes are gone a new routing notes it and goes on."""
    gone = land_file(drop(tmp_path, HEADER + b"u,s,k,1\n"), CSV, terms).record
    land_file(drop(tmp_path, HEADER + b"u,s,k,2\n"), CSV, terms)
    (tmp_path / "root" / "raw" / gone.sha256).unlink()
    frozen = {"clicks": CSV.model_copy(update={"unknown_columns": "freeze"})}
    assert sorted(landed.outcome for landed in reroute_outdated(frozen, terms)) == ["landed", "unreadable"]
    assert [failure.path for failure in terms.ledger.failures()] == [f"raw/{gone.sha256}"]


def test_the_clock_needs_a_zone(terms):
    """A clock without a zone is refused before anything is done."""
    with pytest.raises(SettingsError, match="time zone"):
        replace(terms, now=NOW.replace(tzinfo=None))


def _tree(root: Path, *, without: str) -> dict[str, bytes]:
    files = [path for path in root.rglob("*") if path.is_file() and without not in str(path)]
    return {str(path): path.read_bytes() for path in files}


def _land_elsewhere(root: Path, path: Path, hours: int) -> tuple[str, str]:
    """Land a file in this process; its clock is so many hours ahead."""
    now = NOW + timedelta(hours=hours)
    landed = land_file(path, SHOP, LandingTerms(TableStore(root, lambda: now), START, now, threads=1))
    return landed.outcome, landed.record.fragment


def test_the_one_who_records_first_decides(tmp_path, terms, monkeypatch):
    """A landing that is overtaken by one with another clock takes over its record and shows its undated rows."""
    path = drop(tmp_path, HEADER + b"u,s,k,%d\n" % (NOON + 86_400_000 * 30))
    real_append, overtaking = Ledger.append, []

    def append_too_late(ledger, record):
        if not overtaking:
            overtaking.append(None)
            overtaking.append(land_file(path, CSV, replace(terms, now=NOW + timedelta(days=60))))
        return real_append(ledger, record)

    monkeypatch.setattr(Ledger, "append", append_too_late)
    overtaken = land_file(path, CSV, terms)
    winner = overtaking[1]
    assert (winner.outcome, overtaken.outcome) == ("landed", "known")
    assert overtaken.record == winner.record == terms.ledger.records()[0]
    assert overtaken.record.rows_per_day == {"2026-07-01": 1}
    assert not undated_view(overtaken, terms).exists()


def test_processes_that_land_the_same_file_agree(tmp_path, terms):
    """Of two processes with different clocks one record results, which both of them report."""
    path = drop(tmp_path, shop_file(8, 500).content)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        results = list(pool.map(_land_elsewhere, [tmp_path / "root"] * 2, [path] * 2, range(2)))
    (record,) = terms.ledger.records()
    assert sorted(outcome for outcome, _ in results) == ["known", "landed"]
    assert {fragment for _, fragment in results} == {record.fragment}

"""A crash between any two steps of landing leaves nothing visible, and landing again makes it whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.landing import keeping, landing, routing
from ml_data_platform.landing.landing import LandingTerms, land_file
from ml_data_platform.landing.terms import with_one_engine
from ml_data_platform.settings import load_settings
from ml_data_platform.stages.landed_files import land_inbox
from ml_data_platform.stages.platform import open_platform
from ml_data_platform.storage.ledger import Ledger
from ml_data_platform.storage.local_objects import LocalObjectStore
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.landed_shop_files import NOW, START, shop_file

SHOP = SourceContract(source="demo_shop", format="jsonl")
BEFORE_THE_RECORD = [
    (keeping, "read_through"),
    (keeping, "_read"),
    (LocalObjectStore, "put_object"),
    (landing, "is_without_content"),
    (landing, "route_file"),
    (routing, "read_chunks"),
    (routing._Spill, "write"),
    (routing._Spill, "sort"),
    (routing, "verify_file"),
    (routing.Account, "check"),
    (landing, "_publish"),
    (Ledger, "append"),
]
AFTER_THE_RECORD = [(Ledger, "note_name"), (landing, "show_undated"), (LocalObjectStore, "project")]


class PowerCutError(BaseException):
    """What no handler of the platform may swallow."""


def crash_at(monkeypatch: pytest.MonkeyPatch, where: object, name: str, *, after: bool) -> None:
    """Let the first call of a function crash, before it does anything or after it has done all."""
    real: Callable = getattr(where, name)
    calls = []

    def crash(*args, **options):
        calls.append(name)
        if len(calls) > 1:
            return real(*args, **options)
        if after:
            real(*args, **options)
        raise PowerCutError(name)

    monkeypatch.setattr(where, name, crash)


def visible(root: Path) -> list[str]:
    """Return what readers of the ledger and of the view can see."""
    found = [path for top in ("ledger", "data") for path in (root / top).rglob("*") if path.is_file()]
    return sorted(str(path.relative_to(root)) for path in found)


def store_of(root: Path) -> dict[str, bytes]:
    """Return every file under the root but the locks."""
    files = [path for path in root.rglob("*") if path.is_file() and "locks" not in path.parts]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """A file, and the root after landing it without any crash."""
    folder = tmp_path_factory.mktemp("undisturbed")
    path = folder / "file"
    path.write_bytes(shop_file(2, 300).content)
    land_file(path, SHOP, LandingTerms(TableStore(folder / "root", lambda: NOW), START, NOW, threads=1))
    return path, store_of(folder / "root")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", BEFORE_THE_RECORD + AFTER_THE_RECORD, ids=lambda step: step[1])
def test_landing_again_after_a_crash_makes_the_same_root(tmp_path, monkeypatch, undisturbed, step, after):
    """After a crash nothing is half visible; the retry ends with exactly the files of an undisturbed landing."""
    (where, name), (path, expected) = step, undisturbed
    terms = LandingTerms(TableStore(tmp_path / "root", lambda: NOW), START, NOW, threads=1)
    crash_at(monkeypatch, where, name, after=after)
    with pytest.raises(PowerCutError):
        land_file(path, SHOP, terms)
    is_recorded = step in AFTER_THE_RECORD or (name == "append" and after)
    assert len(terms.ledger.records()) == is_recorded
    if not is_recorded:
        assert visible(tmp_path / "root") == []
    retried = land_file(path, SHOP, terms)
    assert retried.outcome == ("known" if is_recorded else "landed")
    assert store_of(tmp_path / "root") == expected


def test_too_little_memory_is_noted_and_more_repairs_it(tmp_path):
    """Rows too large for the engine are a failure that names the setting; with more memory the file lands."""
    path = tmp_path / "file"
    row = b'{"session_id":"s","timestamp":"2026-06-02T00:00:00Z","text":"%s"}\n'
    path.write_bytes(b"".join(row % (b"%06d" % number * 150_000) for number in range(90)))
    small = LandingTerms(TableStore(tmp_path / "root", lambda: NOW), START, NOW, threads=1, memory_limit="48MB")
    landed = land_file(path, SHOP, small)
    assert (landed.outcome, small.ledger.records()) == ("unreadable", ())
    assert [failure.reason for failure in small.ledger.failures()] == [landed.reason]
    assert "too large for the engine's memory" in landed.reason
    enough = land_file(path, SHOP, replace(small, memory_limit="1GB"))
    assert (enough.outcome, dict(enough.record.rows_per_day)) == ("landed", {"2026-06-02": 90})


def test_a_file_beyond_a_limit_is_refused_and_lands_under_a_higher_one(tmp_path):
    """Nothing is recorded of it but why; the same file is tried again by itself once the setting was raised."""
    place = tmp_path / "landing" / "demo_shop"
    place.mkdir(parents=True)
    (place / "many.jsonl").write_bytes(b'{"event_timestamp": 1780315200000}\n' * 3)
    os.utime(place / "many.jsonl", (1_780_000_000, 1_780_000_000))
    chosen = {"root": tmp_path / "root", "landing": tmp_path / "landing"}

    def land(**settings):
        return land_inbox(open_platform(load_settings({}, tmp_path, **chosen, **settings), lambda: NOW))

    (refused,) = land(max_file_rows=2)
    assert (refused.outcome, refused.record) == ("rejected", None)
    assert "`max_file_rows`" in refused.reason
    assert land(max_file_rows=2) == []
    (landed,) = land(max_file_rows=3)
    assert (landed.outcome, landed.record.rows) == ("landed", 3)
    assert land(max_file_rows=3) == []
    assert open_platform(load_settings({}, tmp_path, **chosen), lambda: NOW).ledger.failures() == ()


def test_a_shared_engine_lands_the_next_file_after_one_that_was_too_large(tmp_path, undisturbed):
    """What one file did to the engine is nothing to the next: it lands as it does alone."""
    path, _ = undisturbed
    large = tmp_path / "large"
    row = b'{"session_id":"s","timestamp":"2026-06-02T00:00:00Z","text":"%s"}\n'
    large.write_bytes(b"".join(row % (b"%06d" % number * 150_000) for number in range(90)))
    small = LandingTerms(TableStore(tmp_path / "root", lambda: NOW), START, NOW, threads=1, memory_limit="48MB")
    with with_one_engine(small) as terms:
        outcomes = [land_file(each, SHOP, terms).outcome for each in (large, path, large, path)]
    assert outcomes == ["unreadable", "landed", "unreadable", "known"]
    alone = LandingTerms(TableStore(tmp_path / "alone", lambda: NOW), START, NOW, threads=2)
    land_file(path, SHOP, alone)
    assert [record.fragment for record in small.ledger.records()] == [r.fragment for r in alone.ledger.records()]


def test_storage_that_fails_is_not_the_files_fault(tmp_path, monkeypatch, undisturbed):
    """A full disk ends the landing with the system's error: it is no reason to refuse or note the file."""
    path, _ = undisturbed
    terms = LandingTerms(TableStore(tmp_path / "root", lambda: NOW), START, NOW, threads=1)

    def fail(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LocalObjectStore, "put_object", fail)
    with pytest.raises(OSError, match="No space left"):
        land_file(path, SHOP, terms)
    assert (terms.ledger.records(), terms.ledger.failures()) == ((), ())

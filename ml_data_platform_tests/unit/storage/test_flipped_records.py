"""Of no small record one bit can be another without an error where it is read."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import replace

import pytest

from ml_data_platform.errors import RecordError
from ml_data_platform.storage.decisions import Decision
from ml_data_platform.storage.landed_notes import Decided, Failure, LandedName
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.local_objects import LocalObjectStore
from ml_data_platform.storage.pulled_versions import DayOfVersions
from ml_data_platform.storage.records import canonical_json, sealed
from ml_data_platform.storage.records_of_before import RecordsOfBefore, note_digests
from ml_data_platform.storage.remote_files import RemoteFile
from ml_data_platform.storage.small_records import kind_of, read_small
from ml_data_platform_tests.unit.storage.test_records import COMMIT, LANDED, NOTED

AT = "2026-01-03T00:00:00+00:00"
NAME = LandedName("demo_shop", LANDED.sha256, "späte datei.csv", AT, Decided.of(NOTED))
DECISION = Decision("demo_shop", LANDED.sha256, 2, "admit", ("2026-01-02",), None, "why not", AT)
FAILURE = Failure("demo_shop", "landing/x.csv", "not readable", AT)
SEEN = "ledger/_seen/demo_shop/" + "0" * 32
SMALL = {
    LANDED.key: LANDED.to_json(),
    NAME.key: NAME.to_json(),
    DECISION.key: DECISION.to_json(),
    Layout.twin_key("demo_shop", LANDED.sha256, 2): DECISION.to_json(),
    FAILURE.key: FAILURE.to_json(),
    SEEN: sealed({"key": SEEN, "path": "a", "size_bytes": 1, "mtime_ns": 2}, form=1),
}
LOG_KEY = Layout.log_key(COMMIT.asset, COMMIT.day, COMMIT.generation)


def pulled(folder):
    """Return the key and the bytes of the mark of a fetched file."""
    objects = LocalObjectStore(folder)
    day = DayOfVersions(objects, "demo_shop", dt.date(2026, 1, 2))
    day.note(RemoteFile("https://example.org/a.csv", "a.csv", 10, "etag-1"), "a" * 64, AT)
    (key,) = objects.list("ledger")
    return key, objects.read_bytes(key)


def before(data: bytes) -> bytes:
    """Return a record as the code of before wrote it: without a digest."""
    fields = {name: value for name, value in json.loads(data).items() if name not in {"digest", "key"}}
    for name in ("source", "sha256", "decided") if "decided" in fields else ():
        del fields[name]
    return canonical_json({**fields, "format": 1})


def taken_over(folder, noted):
    """Return what a root says of records without a digest once their digests were noted."""
    objects = LocalObjectStore(folder)
    note_digests(objects, noted)
    return RecordsOfBefore(objects)


def test_no_flipped_bit_of_a_record_is_read(tmp_path):
    """Each of some 40,000 single-bit changes of the records of every kind is an error; as it was, each is read."""
    noted = taken_over(tmp_path / "noted", {})
    small = SMALL | dict([pulled(tmp_path)])
    reads = {key: lambda data, key=key: read_small(key, data, noted) for key in small}
    reads[LOG_KEY] = lambda data: type(COMMIT).from_json(data, where=LOG_KEY, noted=noted)
    for key, data in {**small, LOG_KEY: COMMIT.to_json()}.items():
        reads[key](data)
        for position in range(len(data) * 8):
            flipped = bytearray(data)
            flipped[position // 8] ^= 1 << position % 8
            with pytest.raises(RecordError):
                reads[key](bytes(flipped))


def test_no_flipped_bit_of_a_record_of_before_is_read_once_its_digest_was_noted(tmp_path):
    """As it was, it is read before and after; a flip, or a record that was not there then, is an error."""
    key, mark = pulled(tmp_path / "pulled")
    old = {key: before(data) for key, data in {**SMALL, key: mark}.items() if not key.startswith("ledger/_seen")}
    for key, data in old.items():
        read_small(key, data, RecordsOfBefore(LocalObjectStore(tmp_path / "empty")))
    noted = taken_over(tmp_path / "noted", {key: hashlib.sha256(data).hexdigest() for key, data in old.items()})
    for key, data in old.items():
        read_small(key, data, noted)
        with pytest.raises(RecordError, match="appeared after"):
            read_small(key, data, taken_over(tmp_path / "others", {}))
        for position in range(0, len(data) * 8, 3):
            flipped = bytearray(data)
            flipped[position // 8] ^= 1 << position % 8
            with pytest.raises(RecordError):
                read_small(key, bytes(flipped), noted)


@pytest.mark.parametrize("form", [b" ", b"\n", b"\x00", b"{}"])
def test_trailing_bytes_and_other_texts_of_the_same_record_are_refused(form):
    """Blanks, a second document, repeated and reordered keys: what the platform did not write is not read."""
    data = LANDED.to_json()
    fields = list(json.loads(data).items())
    others = [data + form, data[:-1], json.dumps(dict(fields)).encode(), b"{" + data[1:-2] + b"," + data[1:]]
    others += [data.replace(b'"rows":7', b'"rows":7,"rows":7'), json.dumps(dict(fields[::-1])).encode()]
    for other in others:
        with pytest.raises(RecordError):
            read_small(LANDED.key, other, lambda *_: None)


@pytest.mark.parametrize("key", SMALL)
def test_a_record_that_was_moved_is_refused(key):
    """Under the key of another source, content, name or number nothing is read as if it belonged there."""
    moved = [key.replace("demo_shop", "till"), key.replace("d" * 64, "e" * 64), key.replace("00000002", "00000003")]
    moved.append(key.replace(LANDED.routing_hash[:12], "f" * 12))
    if "_failures" in key or ".names/" in key or "_seen" in key:
        moved.append(f"{key.rpartition('/')[0]}/{'9' * 32}{'' if '_seen' in key else '.json'}")
    assert {kind_of(other) for other in moved} == {kind_of(key)}
    for other in moved:
        if other != key:
            with pytest.raises(RecordError):
                read_small(other, SMALL[key], lambda *_: None)


def test_a_commit_record_without_its_digest_is_refused():
    """A present record cannot pass for one of before by losing its digest, or by calling its digest another name."""
    fields = json.loads(replace(COMMIT, run_id="other").to_json())
    del fields["digest"]
    for data in (canonical_json(fields) + b"\n", COMMIT.to_json().replace(b'"digest"', b'"dagest"')):
        with pytest.raises(RecordError):
            type(COMMIT).from_json(data, where=LOG_KEY, noted=lambda *_: None)

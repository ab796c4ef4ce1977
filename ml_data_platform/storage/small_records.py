"""Every small record below the ledger, read by the one reader of its kind.

Belongs here: which key holds what kind of record. Does not belong here: the kinds (``ledger_record``, ``landed_notes``,
``decisions``, ``pulled_versions``), the commit log, mending.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum

from ml_data_platform.errors import PlatformError, RecordError
from ml_data_platform.storage.decisions import Decision
from ml_data_platform.storage.landed_notes import Failure, LandedName
from ml_data_platform.storage.layout import (
    ADOPTED_KEY,
    DECISIONS_FOLDER,
    FAILURES_FOLDER,
    LEDGER_FOLDER,
    POLLED_FOLDER,
    PULLED_FOLDER,
    SEEN_FOLDER,
    TWINS_FOLDER,
)
from ml_data_platform.storage.ledger_record import LedgerRecord
from ml_data_platform.storage.pulled_versions import read_mark
from ml_data_platform.storage.records import Noted, read_fields
from ml_data_platform.storage.records_of_before import has_digest

SEEN_FORMAT = 1


class RecordKind(StrEnum):
    """A kind of record below the ledger."""

    LANDED = "landed"
    NAME = "name"
    FAILURE = "failure"
    DECISION = "decision"
    TWIN = "twin"
    PULLED = "pulled"
    POLLED = "polled"
    SEEN = "seen"
    ADOPTED = "adopted"


_HASH = "[0-9a-f]{32}"
_PLACES: tuple[tuple[RecordKind, str], ...] = (
    (RecordKind.ADOPTED, re.escape(ADOPTED_KEY)),
    (RecordKind.FAILURE, f"{FAILURES_FOLDER}/[a-z][a-z0-9_]*/{_HASH}\\.json"),
    (RecordKind.DECISION, f"{DECISIONS_FOLDER}/[a-z][a-z0-9_]*/[0-9a-f]{{64}}\\.[0-9]{{8}}\\.json"),
    (RecordKind.TWIN, f"{TWINS_FOLDER}/[a-z][a-z0-9_]*/[0-9a-f]{{64}}\\.[0-9]{{8}}\\.json"),
    (RecordKind.PULLED, f"{PULLED_FOLDER}/[a-z][a-z0-9_]*/[0-9-]{{10}}/{_HASH}\\.[0-9]{{6}}\\.{_HASH}\\.(?:begun|done)\\.json"),
    (RecordKind.POLLED, f"{POLLED_FOLDER}/[a-z][a-z0-9_]*/[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}"),
    (RecordKind.SEEN, f"{SEEN_FOLDER}/[a-z][a-z0-9_]*/{_HASH}"),
    (RecordKind.NAME, f"{LEDGER_FOLDER}/[a-z][a-z0-9_]*/[0-9a-f]{{64}}\\.names/{_HASH}\\.json"),
    (RecordKind.LANDED, f"{LEDGER_FOLDER}/[a-z][a-z0-9_]*/[0-9a-f]{{64}}\\.[0-9a-f]{{12}}\\.json"),
)  # fmt: skip


def kind_of(key: str) -> RecordKind | None:
    """Return what a key below the ledger holds; None for a foreign one."""
    return next((kind for kind, place in _PLACES if re.fullmatch(place, key)), None)


def read_small(key: str, data: bytes, noted: Noted) -> object:
    """Read a record below the ledger as those read it who build on it.

    Raises:
        RecordError: It is not what belongs there, or was changed after it was written.
    """
    kind = kind_of(key)
    if kind is None:
        raise RecordError("No record belongs there.", file=key)
    try:
        return _READERS[kind](data, key, noted)
    except RecordError:
        raise
    except PlatformError as error:
        raise RecordError("A record is malformed.", file=key, got=error) from error


def _read_twin(data: bytes, key: str, noted: Noted) -> Decision:
    return Decision.from_json(data, where=DECISIONS_FOLDER + key.removeprefix(TWINS_FOLDER), noted=noted)


def _read_polled(data: bytes, key: str, _noted: Noted) -> None:
    if data:
        raise RecordError("The mark of a polled day is not empty.", file=key)


def _read_seen(data: bytes, key: str, noted: Noted) -> None:
    if not has_digest(data, key):
        # They were no records of any format before.
        noted(key, data)
        return
    fields = read_fields(data, where=key, types=_SEEN_TYPES, form=SEEN_FORMAT)
    if fields["key"] != key:
        raise RecordError("The mark of a file that was taken in belongs elsewhere.", file=key, got=fields["key"])


def _read_adopted(data: bytes, key: str, _noted: Noted) -> object:
    return read_fields(data, where=key, types={"records": (dict,)}, form=1)


_SEEN_TYPES = {"key": (str,), "path": (str,), "size_bytes": (int,), "mtime_ns": (int,)}
_READERS: dict[RecordKind, Callable[[bytes, str, Noted], object]] = {
    RecordKind.LANDED: lambda data, key, noted: LedgerRecord.from_json(data, where=key, noted=noted),
    RecordKind.NAME: lambda data, key, noted: LandedName.from_json(data, where=key, noted=noted),
    RecordKind.FAILURE: lambda data, key, noted: Failure.from_json(data, where=key, noted=noted),
    RecordKind.DECISION: lambda data, key, noted: Decision.from_json(data, where=key, noted=noted),
    RecordKind.TWIN: _read_twin,
    RecordKind.PULLED: lambda data, key, noted: read_mark(data, where=key, noted=noted),
    RecordKind.POLLED: _read_polled,
    RecordKind.SEEN: _read_seen,
    RecordKind.ADOPTED: _read_adopted,
}

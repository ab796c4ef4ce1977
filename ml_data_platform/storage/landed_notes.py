"""What is noted beside the records of the ledger: the names of a landed content, and files that could not be landed.

Belongs here: their form. Does not belong here: when they are written (``landing``), the records (``ledger_record``).

A name also says what landing decided, so that a lost record can be made again from the kept bytes as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ml_data_platform.errors import PlatformError, RecordError
from ml_data_platform.events.lateness import Admission
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.ledger_record import ADMISSION_TYPES, LedgerRecord
from ml_data_platform.storage.records import Noted, Types, check_fields, check_instant, form_of, read_fields, sealed

FORMAT = 2
_FORMAT_WITHOUT_DIGEST = 1
_DECIDED = ("name", "ingested_at", "size_bytes", "kept_sha256", "masking", "path_values")


@dataclass(frozen=True)
class Decided:
    """What landing decided about a content, or knew of it, that its kept bytes do not tell.

    Attributes:
        name: File name it was landed under first.
        ingested_at: When it was landed first, ISO-8601 with an offset.
        size_bytes: Size of the kept bytes.
        kept_sha256: Hash of the kept bytes, where the content's is another one.
        masking: How they were masked.
        path_values: Columns that stand only in the file's path, and their values.
        admission: What was decided about late rows.
    """

    name: str
    ingested_at: str
    size_bytes: int
    kept_sha256: str | None
    masking: Mapping[str, Any] | None
    path_values: Mapping[str, str | None]
    admission: Admission | None

    @classmethod
    def of(cls, record: LedgerRecord) -> Decided:
        """Return what a record says of it."""
        return cls(**{name: getattr(record, name) for name in _DECIDED}, admission=record.admission)


@dataclass(frozen=True)
class LandedName:
    """One name of one landed content.

    Attributes:
        source: Source name.
        sha256: The content, hex.
        name: The file name.
        seen_at: When it was first seen, ISO-8601 with an offset.
        decided: What landing decided; None in notes of before that was kept.
    """

    source: str
    sha256: str
    name: str
    seen_at: str
    decided: Decided | None

    @property
    def key(self) -> str:
        """Where it is stored."""
        return Layout.name_key(self.source, self.sha256, self.name)

    def to_json(self) -> bytes:
        """Return the note as it is stored."""
        return sealed(asdict(self), form=FORMAT)

    @classmethod
    def from_json(cls, data: bytes, *, where: str, noted: Noted) -> LandedName:
        """Read a stored note.

        Raises:
            RecordError: It is none, was changed, or belongs to another content or name.
        """
        folder, _, _ = where.rpartition("/")
        source, sha256 = folder.split("/")[-2], folder.rpartition("/")[2].removesuffix(".names")
        fields = _read(data, where, _NAME_TYPES, {"source": (str,), "sha256": (str,), "decided": (dict, _NULL)}, noted)
        decided = fields.pop("decided", None)
        if decided is not None:
            decided = _decided(decided, where)
        found = cls(**{"source": source, "sha256": sha256, **fields, "decided": decided})
        _require_at_home(found, where)
        return found


@dataclass(frozen=True)
class Failure:
    """One file that could not be landed: its source, path, the reason and when it was first seen."""

    source: str
    path: str
    reason: str
    at: str

    @property
    def key(self) -> str:
        """Where it is stored."""
        return Layout.failure_key(self.source, self.path, self.reason)

    def to_json(self) -> bytes:
        """Return the note as it is stored."""
        return sealed(asdict(self), form=FORMAT)

    @classmethod
    def from_json(cls, data: bytes, *, where: str, noted: Noted) -> Failure:
        """Read a stored note.

        Raises:
            RecordError: It is none, was changed, or belongs elsewhere.
        """
        found = cls(**_read(data, where, _FAILURE_TYPES, {}, noted))
        _require_at_home(found, where)
        return found


def _read(data: bytes, where: str, before: Types, further: Types, noted: Noted) -> dict[str, Any]:
    if form_of(data) == _FORMAT_WITHOUT_DIGEST:
        return read_fields(data, where=where, types=before, form=_FORMAT_WITHOUT_DIGEST, noted=noted)
    return read_fields(data, where=where, types={**before, **further}, form=FORMAT)


def _decided(value: Any, where: str) -> Decided:
    fields = check_fields(value, where=where, types=_DECIDED_TYPES)
    if fields["admission"] is not None:
        fields["admission"] = Admission(**check_fields(fields["admission"], where=where, types=ADMISSION_TYPES))
    return Decided(**fields)


def _require_at_home(found: LandedName | Failure, where: str) -> None:
    try:
        check_instant(found.seen_at if isinstance(found, LandedName) else found.at)
        key = found.key
    except PlatformError as error:
        raise RecordError("A note of the ledger is malformed.", file=where, got=error) from error
    if key != where:
        raise RecordError("A note of the ledger belongs elsewhere.", file=where, got=key)


_NULL = type(None)
_NAME_TYPES: Types = {"name": (str,), "seen_at": (str,)}
_FAILURE_TYPES: Types = {"source": (str,), "path": (str,), "reason": (str,), "at": (str,)}
_DECIDED_TYPES: Types = {
    "name": (str,),
    "ingested_at": (str,),
    "size_bytes": (int,),
    "kept_sha256": (str, _NULL),
    "masking": (dict, _NULL),
    "path_values": (dict,),
    "admission": (dict, _NULL),
}

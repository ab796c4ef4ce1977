"""One record of the ledger: what it says and how it is read and checked.

Belongs here: the fields and their consistency. Does not belong here: which record of several is current.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ml_data_platform.errors import PlatformError, RecordError, StageFailedError
from ml_data_platform.storage.layout import Layout, check_sha256, parse_day
from ml_data_platform.storage.records import canonical_json, check_instant, read_fields

FORMAT = 1
STATUSES = frozenset({"landed", "empty", "header_only", "rejected"})


@dataclass(frozen=True)
class LedgerRecord:
    """One landed content of one source, as one routing saw it.

    Instants are ISO-8601 text with an offset.

    Attributes:
        source: Source name.
        sha256: Hash of the landed bytes, hex.
        routing_hash: Hash of the part of the contract (and of the platform) that decides on days, hex.
        contract_hash: Hash of the whole contract, hex.
        name: File name it was landed under first.
        size_bytes: Size of the landed bytes.
        status: ``landed``, ``empty``, ``header_only`` or ``rejected``.
        reason: Why it was rejected.
        rows: Rows in the file.
        rows_per_day: Rows by UTC day ``YYYY-MM-DD``.
        undated: Rows that belong to no day, by reason.
        min_event_time: Earliest event time.
        max_event_time: Latest event time.
        ingested_at: When it was landed.
        fragment: Hash of the object that holds its dated rows.
        undated_fragment: Hash of the object that holds its undated rows.
        key_id: The key that its user ids are hashed with.
    """

    source: str
    sha256: str
    routing_hash: str
    contract_hash: str
    name: str
    size_bytes: int
    status: str
    reason: str | None
    rows: int
    rows_per_day: Mapping[str, int]
    undated: Mapping[str, int]
    min_event_time: str | None
    max_event_time: str | None
    ingested_at: str
    fragment: str | None
    undated_fragment: str | None
    key_id: str | None

    @property
    def key(self) -> str:
        """Where the record is stored."""
        return Layout.ledger_key(self.source, self.sha256, self.routing_hash)

    def to_json(self) -> bytes:
        """Return the record as it is stored: JSON with sorted keys."""
        return canonical_json({"format": FORMAT, **asdict(self)}) + b"\n"

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> LedgerRecord:
        """Read a stored record.

        Args:
            data: Its bytes.
            where: Its key, for the message.

        Raises:
            RecordError: It is no record of the form that `to_json` writes, or belongs under another key.
        """
        record = cls(**read_fields(data, where=where, types=_FIELD_TYPES, form=FORMAT))
        try:
            record.check()
            key = record.key
        except PlatformError as error:
            raise RecordError("A ledger record is malformed.", file=where, got=error) from error
        if key != where:
            raise RecordError("A ledger record belongs elsewhere.", file=where, got=key)
        return record

    def check(self) -> None:
        """Check what the types do not say.

        Raises:
            PlatformError: A day, hash, instant or status is none, or a landed file's rows do not add up.
        """
        for instant in (self.ingested_at, self.min_event_time, self.max_event_time):
            if instant is not None:
                check_instant(instant)
        for day in self.rows_per_day:
            parse_day(day)
        for fragment in (self.fragment, self.undated_fragment):
            if fragment is not None:
                check_sha256(fragment)
        counts = [*self.rows_per_day.values(), *self.undated.values()]
        if self.status not in STATUSES or any(type(count) is not int for count in counts):
            raise RecordError("A ledger record has an unknown status or odd counts.", got=self.status)
        if self.status == "landed" and sum(counts) != self.rows:
            raise StageFailedError(
                "A landed file's rows are not accounted for.", source=self.source, expected=self.rows, got=sum(counts)
            )


_TEXT: tuple[type, ...] = (str,)
_TEXT_OR_NONE: tuple[type, ...] = (str, type(None))
_FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "source": _TEXT,
    "sha256": _TEXT,
    "routing_hash": _TEXT,
    "contract_hash": _TEXT,
    "name": _TEXT,
    "size_bytes": (int,),
    "status": _TEXT,
    "reason": _TEXT_OR_NONE,
    "rows": (int,),
    "rows_per_day": (dict,),
    "undated": (dict,),
    "min_event_time": _TEXT_OR_NONE,
    "max_event_time": _TEXT_OR_NONE,
    "ingested_at": _TEXT,
    "fragment": _TEXT_OR_NONE,
    "undated_fragment": _TEXT_OR_NONE,
    "key_id": _TEXT_OR_NONE,
}

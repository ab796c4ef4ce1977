"""One record of the ledger: what it says and how it is read and checked.

Belongs here: the fields and their consistency. Does not belong here: which record of several is current.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ml_data_platform.errors import PlatformError, RecordError, StageFailedError
from ml_data_platform.events.lateness import Admission
from ml_data_platform.storage.layout import Layout, check_sha256, parse_day
from ml_data_platform.storage.records import Noted, check_fields, check_instant, read_fields, sealed

FORMAT = 1
STATUSES = frozenset({"landed", "empty", "header_only", "rejected"})


@dataclass(frozen=True)
class LedgerRecord:
    """One landed content of one source, as one routing saw it: rows are on their days, too late, or undated.

    Instants are ISO-8601 text with an offset.

    Attributes:
        source: Source name.
        sha256: Hash of the landed bytes, hex; where they were masked, a keyed hash of them.
        routing_hash: Hash of the part of the contract (and of the platform) that decides on days, hex.
        contract_hash: Hash of the whole contract, hex.
        name: File name it was landed under first.
        size_bytes: Size of the kept bytes.
        status: ``landed``, ``empty``, ``header_only`` or ``rejected``.
        reason: Why it was rejected.
        rows: Rows in the file; of a rejected one only where they could be read: then none is on a day.
        rows_per_day: Rows by UTC day ``YYYY-MM-DD``, without those that came too late.
        undated: Rows that belong to no day, by reason.
        min_event_time: Earliest event time.
        max_event_time: Latest event time.
        ingested_at: When it was landed.
        fragment: Hash of the object that holds its dated rows.
        undated_fragment: Hash of the object that holds its undated rows.
        key_id: The key that its user ids are hashed with.
        too_late: Rows by UTC day that came too late for it; they are in ``fragment``, but on no day's table.
        admission: What was decided at the first landing; none in records of before there were decisions.
        event_time: The event time that stands for the file where watermarks follow event time.
        delays: From event to arrival, by UTC day, as `Delays.to_text` writes them.
        kept_sha256: Hash of the kept bytes, where ``sha256`` is another one.
        masking: How they were masked: ``key_id``, the key of the masks, ``plan``, see ``events.masking_plan``,
            ``parsed_as``, how the values were read that stayed where they parsed, ``unparsed_rows``, the rows with one
            that did not and was masked too, and ``judged_by``, the rules by which they were judged before, where there
            are any.
        path_values: Columns that stand only in the file's path, and their values; ``sha256`` is then a hash of both.
        future_from: Earliest event time of rows that lay in the future when it was read.
        dated_through: Latest instant that an event could have when it was read again because rows of it were no longer in
            the future; none where that follows from its landing.
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
    too_late: Mapping[str, int] = field(default_factory=dict)
    admission: Admission | None = None
    event_time: str | None = None
    delays: Mapping[str, str] = field(default_factory=dict)
    kept_sha256: str | None = None
    masking: Mapping[str, Any] | None = None
    path_values: Mapping[str, str | None] = field(default_factory=dict)
    future_from: str | None = None
    dated_through: str | None = None

    @property
    def bytes_sha256(self) -> str:
        """Hash of the kept bytes, under which they lie."""
        return self.kept_sha256 or self.sha256

    @property
    def masked_with(self) -> str | None:
        """Id of the key of its masks."""
        return str(self.masking["key_id"]) if self.masking is not None else None

    @property
    def parsed_as(self) -> dict[str, Any]:
        """How values were read before rows were masked; empty where what did not parse was kept as it came."""
        return dict(self.masking.get("parsed_as", {})) if self.masking is not None else {}

    @property
    def unparsed_rows(self) -> int:
        """Rows in which a value was masked because it did not parse."""
        return int(self.masking.get("unparsed_rows", 0)) if self.masking is not None else 0

    @property
    def judged_by(self) -> dict[str, str]:
        """Rules by which its rows were judged before they were masked: name to meaning."""
        return dict(self.masking.get("judged_by", {})) if self.masking is not None else {}

    @property
    def late(self) -> dict[str, int]:
        """Rows by UTC day that came after their day was complete, those that came too late included."""
        if self.admission is None:
            return {}
        days = sorted(self.rows_per_day.keys() | self.too_late.keys())
        counts = {day: self.rows_per_day.get(day, 0) + self.too_late.get(day, 0) for day in days}
        return {day: rows for day, rows in counts.items() if self.admission.is_late(day)}

    @property
    def key(self) -> str:
        """Where the record is stored."""
        return Layout.ledger_key(self.source, self.sha256, self.routing_hash)

    def to_json(self) -> bytes:
        """Return the record as it is stored: sorted JSON with a digest; fields of later versions only where they say more."""
        said = {name: value for name, value in asdict(self).items() if value or name not in _OPTIONAL_TYPES}
        return sealed(said, form=FORMAT)

    @classmethod
    def from_json(cls, data: bytes, *, where: str, noted: Noted | None = None) -> LedgerRecord:
        """Read a stored record.

        Args:
            data: Its bytes.
            where: Its key, for the message.
            noted: Asked about a record without a digest.

        Raises:
            RecordError: It is no record of the form that `to_json` writes, or belongs under another key.
        """
        fields = read_fields(data, where=where, types=_FIELD_TYPES, form=FORMAT, optional=_OPTIONAL_TYPES, noted=noted)
        if "admission" in fields:
            decided = check_fields(fields["admission"], where=where, types=ADMISSION_TYPES)
            fields["admission"] = Admission(**decided)
        record = cls(**fields)
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
        decided = (self.admission.arrived_at, self.admission.watermark) if self.admission else ()
        said = (self.min_event_time, self.max_event_time, self.event_time, self.future_from, self.dated_through)
        for instant in (self.ingested_at, *said, *decided):
            if instant is not None:
                check_instant(instant)
        bounds = (self.admission.late_before, self.admission.too_late_before) if self.admission else ()
        for day in (*self.rows_per_day, *self.too_late, *self.delays, *bounds):
            if day is not None:
                parse_day(day)
        for fragment in (self.fragment, self.undated_fragment, self.kept_sha256):
            if fragment is not None:
                check_sha256(fragment)
        if any(not isinstance(value, str | None) for value in self.path_values.values()):
            raise RecordError("A ledger record has a value of a path that is no text.", got=dict(self.path_values))
        counts = [*self.rows_per_day.values(), *self.too_late.values(), *self.undated.values()]
        if self.status not in STATUSES or any(type(count) is not int for count in counts):
            raise RecordError("A ledger record has an unknown status or odd counts.", got=self.status)
        if self.status == "landed" and sum(counts) != self.rows:
            raise StageFailedError(
                "A landed file's rows are not accounted for.", source=self.source, expected=self.rows, got=sum(counts)
            )


def routing_through(routing_hash: str, dated_through: str | None) -> str:
    """Return the routing hash of a reading that dated rows up to another instant than its landing did."""
    if dated_through is None:
        return routing_hash
    return hashlib.sha256(f"{routing_hash} {dated_through}".encode()).hexdigest()


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
_OPTIONAL_TYPES: dict[str, tuple[type, ...]] = {
    "too_late": (dict,),
    "admission": (dict,),
    "event_time": _TEXT,
    "delays": (dict,),
    "kept_sha256": _TEXT,
    "masking": (dict,),
    "path_values": (dict,),
    "future_from": _TEXT,
    "dated_through": _TEXT,
}
ADMISSION_TYPES: dict[str, tuple[type, ...]] = {
    "strategy": _TEXT,
    "arrived_at": _TEXT,
    "watermark": _TEXT_OR_NONE,
    "late_before": _TEXT_OR_NONE,
    "too_late_before": _TEXT_OR_NONE,
    "is_historical": (bool,),
}

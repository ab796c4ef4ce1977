"""Decisions that people take about landed contents, as immutable records that only grow.

Belongs here: appending a decision and reading what holds after all of them. Does not belong here: the decision that
landing takes about late rows, which is part of the ledger record, and who may decide what (``stages.decisions``).

The decisions about one content are numbered, each put if absent: the last one of a kind holds. A decision that says
what holds already is not appended.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from ml_data_platform.errors import CommitConflictError, PlatformError, RecordError
from ml_data_platform.storage.layout import Layout, check_sha256, parse_day
from ml_data_platform.storage.ledger_record import LedgerRecord
from ml_data_platform.storage.object_store import ObjectStore, Version
from ml_data_platform.storage.record_cache import RecordCache
from ml_data_platform.storage.records import Noted, check_instant, read_fields, sealed
from ml_data_platform.storage.records_of_before import RecordsOfBefore

ADMIT, RETRACT, REINSTATE = "admit", "retract", "reinstate"
KINDS = frozenset({ADMIT, RETRACT, REINSTATE})
FORMAT = 1
MAX_ATTEMPTS = 100


@dataclass(frozen=True)
class Decision:
    """One decision about one landed content.

    Attributes:
        source: Source name.
        sha256: Hash of the landed bytes, hex.
        number: 1 for the first decision about the content.
        kind: ``admit``: its rows of these days are no longer too late; ``retract``: its rows count on no day;
            ``reinstate``: they count again.
        days: UTC days ``YYYY-MM-DD`` that are admitted, sorted.
        replaced_by: The content in whose favour it was retracted, hex.
        reason: Why, in the words of who decided.
        decided_at: When, ISO-8601 with an offset.
    """

    source: str
    sha256: str
    number: int
    kind: str
    days: tuple[str, ...]
    replaced_by: str | None
    reason: str
    decided_at: str

    @property
    def key(self) -> str:
        """Where the record is stored."""
        return Layout.decision_key(self.source, self.sha256, self.number)

    def to_json(self) -> bytes:
        """Return the record as it is stored: JSON with sorted keys and a digest."""
        return sealed(asdict(self), form=FORMAT)

    @classmethod
    def from_json(cls, data: bytes, *, where: str, noted: Noted | None = None) -> Decision:
        """Read a stored record.

        Raises:
            RecordError: It is no record of the form that `to_json` writes, or belongs under another key.
        """
        fields = read_fields(data, where=where, types=_FIELD_TYPES, form=FORMAT, noted=noted)
        decision = cls(**{**fields, "days": tuple(fields["days"])})
        try:
            decision.check()
            key = decision.key
        except PlatformError as error:
            raise RecordError("The record of a decision is malformed.", file=where, got=error) from error
        if key != where:
            raise RecordError("The record of a decision belongs elsewhere.", file=where, got=key)
        return decision

    def check(self) -> None:
        """Check what the types do not say; raises PlatformError where a kind, day, hash or instant is none."""
        check_instant(self.decided_at)
        if self.kind not in KINDS or not all(isinstance(day, str) for day in self.days):
            raise RecordError("A decision is of no known kind.", expected=", ".join(sorted(KINDS)), got=self.kind)
        for day in self.days:
            parse_day(day)
        if self.replaced_by is not None:
            check_sha256(self.replaced_by)


@dataclass(frozen=True)
class Standing:
    """What holds for one content after all decisions about it.

    Attributes:
        admitted: UTC day to the number of the decision that admitted its rows.
        is_retracted: Its rows count on no day.
        replaced_by: The content in whose favour it was retracted.
        reason: Why it was retracted, or reinstated since; empty where neither was decided.
        decided_at: When, ISO-8601 with an offset.
        decisions: Number of decisions so far.
    """

    admitted: Mapping[str, int] = field(default_factory=dict)
    is_retracted: bool = False
    replaced_by: str | None = None
    reason: str = ""
    decided_at: str = ""
    decisions: int = 0

    def after(self, decision: Decision) -> Standing:
        """Return what holds after one more decision."""
        now = replace(self, decisions=max(self.decisions, decision.number))
        if decision.kind == ADMIT:
            return replace(now, admitted={**dict.fromkeys(decision.days, decision.number), **self.admitted})
        is_retracted = decision.kind == RETRACT
        replaced_by = decision.replaced_by if is_retracted else None
        now = replace(now, reason=decision.reason, decided_at=decision.decided_at)
        return replace(now, is_retracted=is_retracted, replaced_by=replaced_by)


UNDECIDED = Standing()


def applied(record: LedgerRecord, standing: Standing) -> LedgerRecord:
    """Return a record whose admitted rows count on their days."""
    admitted = {day: rows for day, rows in record.too_late.items() if day in standing.admitted}
    if not admitted:
        return record
    return replace(
        record,
        rows_per_day=dict(sorted({**record.rows_per_day, **admitted}.items())),
        too_late={day: rows for day, rows in record.too_late.items() if day not in admitted},
    )


class Decisions:
    """The decisions under one root."""

    def __init__(self, objects: ObjectStore) -> None:
        self.objects, self.noted = objects, RecordsOfBefore(objects)
        self._known: RecordCache[Decision] = RecordCache()

    def of(self, source: str) -> tuple[Decision, ...]:
        """Return the decisions about contents of a source, by content and number; foreign files are ignored.

        Raises:
            RecordError: A record cannot be read.
        """
        folder = Layout.decisions_folder(source)
        # Listed first: who decides meanwhile writes the second copy last.
        twins = self.objects.names(Layout.twins_folder(source))
        versions = sorted(self.objects.versions(folder).items())
        # Who decides what holds already is told so: who wrote it may have died before it was flushed.
        self.objects.settle(folder)
        found = [(f"{folder}/{name}", version) for name, version in versions if Layout.decision_place(name)]
        _require_all(source, found, twins)
        return tuple(self.objects.each(lambda known: self._known.get(*known, self._read), found))

    def standings(self, source: str) -> dict[str, Standing]:
        """Return what holds for each content of a source about which anything was decided."""
        found: dict[str, Standing] = {}
        for decision in self.of(source):
            found[decision.sha256] = found.get(decision.sha256, UNDECIDED).after(decision)
        return found

    def standing(self, source: str, sha256: str) -> Standing:
        """Return what holds for one content."""
        return self.standings(source).get(sha256, UNDECIDED)

    def admit(self, source: str, sha256: str, days: Collection[str], *, reason: str, at: str) -> tuple[str, ...]:
        """Admit the rows of a content on days, ``YYYY-MM-DD``; returns the days that were not admitted before.

        Raises:
            PartitionKeyError: A day is none.
            CommitConflictError: Others kept deciding about the same content meanwhile.
        """
        wanted = sorted({parse_day(day).isoformat() for day in days})
        for _ in range(MAX_ATTEMPTS):
            standing = self.standing(source, sha256)
            new = tuple(day for day in wanted if day not in standing.admitted)
            decision = Decision(source, sha256, standing.decisions + 1, ADMIT, new, None, reason, at)
            if not new or self._append(decision):
                return new
        raise _contended(source, sha256)

    def retract(self, source: str, sha256: str, *, replaced_by: str | None, reason: str, at: str) -> bool:
        """Retract a content, whose rows then count on no day; False where it was retracted already.

        Raises:
            CommitConflictError: Others kept deciding about the same content meanwhile.
        """
        return self._turn(Decision(source, sha256, 0, RETRACT, (), replaced_by, reason, at))

    def reinstate(self, source: str, sha256: str, *, reason: str, at: str) -> bool:
        """Let the rows of a retracted content count again; False where it was not retracted.

        Raises:
            CommitConflictError: Others kept deciding about the same content meanwhile.
        """
        return self._turn(Decision(source, sha256, 0, REINSTATE, (), None, reason, at))

    def _turn(self, unnumbered: Decision) -> bool:
        source, sha256 = unnumbered.source, unnumbered.sha256
        for _ in range(MAX_ATTEMPTS):
            standing = self.standing(source, sha256)
            if standing.is_retracted == (unnumbered.kind == RETRACT):
                return False
            if self._append(replace(unnumbered, number=standing.decisions + 1)):
                return True
        raise _contended(source, sha256)

    def _append(self, decision: Decision) -> bool:
        decision.check()
        is_new = self.objects.put_if_absent(decision.key, decision.to_json())
        if is_new:
            self.keep_twin(decision)
        return is_new

    def keep_twin(self, decision: Decision) -> bool:
        """Keep the second copy of a decision: nothing else bears witness to it; False where it is kept."""
        key = Layout.twin_key(decision.source, decision.sha256, decision.number)
        return self.objects.put_if_absent(key, decision.to_json())

    def _read(self, key: str, version: Version) -> Decision:
        return Decision.from_json(self.objects.read_version(key, version), where=key, noted=self.noted)


def _require_all(source: str, found: Sequence[tuple[str, Version]], twins: Collection[str]) -> None:
    """Refuse to go on where a decision was lost: what it took back would count again."""
    lost = lost_decisions({key.rpartition("/")[2] for key, _ in found}, twins)
    if lost:
        raise RecordError(
            "A decision about a landed file was lost.", file=f"{Layout.decisions_folder(source)}/{lost[0]}"
        )


def lost_decisions(known: Collection[str], twins: Collection[str]) -> list[str]:
    """Return the file names of a source's decisions that must have been there: of the last one its second copy is left."""
    lost = {name for name in twins if Layout.decision_place(name)} - set(known)
    numbers: dict[str, set[int]] = {}
    for place in filter(None, map(Layout.decision_place, known)):
        numbers.setdefault(place[0], set()).add(place[1])
    for sha256, found in numbers.items():
        lost |= {f"{sha256}.{number:08d}.json" for number in set(range(1, max(found))) - found}
    return sorted(lost)


def _contended(source: str, sha256: str) -> CommitConflictError:
    return CommitConflictError(
        "Others kept deciding about the same landed content.",
        remedy="Try again: a decision that holds already is not repeated.",
        source=source,
        file=sha256,
    )


_FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "source": (str,),
    "sha256": (str,),
    "number": (int,),
    "kind": (str,),
    "days": (list,),
    "replaced_by": (str, type(None)),
    "reason": (str,),
    "decided_at": (str,),
}

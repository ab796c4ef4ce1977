"""The sections of a source contract.

Belongs here: what each section may say on its own. Does not belong here: what must hold between them
(contract_model).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from ml_data_platform.events.id_texts import NULL_MARKERS

MAX_TEXT = 256
MAX_COLUMNS_OF_AN_ID = 8
ISO, EPOCH = "iso", "epoch"
"""What may stand among the formats of event times beside strptime directives."""

Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
MaskingAction = Literal["mask", "drop", "keep"]
EventType = Literal["page_view", "add_to_cart", "purchase", "search", "other"]


class ContractPart(BaseModel):
    """What all sections share: no other keys than the declared ones, no conversions, no changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Columns = Annotated[tuple[Text, ...], Field(strict=False, min_length=2, max_length=MAX_COLUMNS_OF_AN_ID)]


class FirstOf(ContractPart):
    """An id that stands in one of several columns.

    Attributes:
        first_of: Landed columns; the first that has an id gives it. A file needs one of them only.
    """

    first_of: Columns


def _as_text(value: object) -> object:
    """Return what YAML reads as a number or as null as the text that was meant."""
    if value is None:
        return "null"
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


IdText = Annotated[str, Field(max_length=MAX_TEXT), BeforeValidator(_as_text)]


class Ids(ContractPart):
    """Which landed ids stand for nobody. Texts are compared trimmed, whatever their case.

    Attributes:
        null_markers: Texts in columns of ids that mean that there is no id; a list takes the place of the default, so
            that an empty one leaves blanks only.
        sentinels: Further such texts, e.g. ``-1``.
        anonymous: What becomes of rows without a user. ``reject``: they break a rule. ``admit``: each is a user alone,
            whose id begins with ``anon_``, and a session alone where it has none.
    """

    null_markers: Annotated[tuple[IdText, ...], Field(strict=False)] = NULL_MARKERS
    sentinels: Annotated[tuple[IdText, ...], Field(strict=False)] = ()
    anonymous: Literal["reject", "admit"] = "reject"


class CsvDialect(ContractPart):
    """How a CSV file is cut into cells, and how numbers are written in them.

    Attributes:
        delimiter: One character between cells.
        quote: One character around cells that hold the delimiter; doubled inside them.
        escape: One character that takes the meaning of a quote, delimiter, line end or escape behind it, within quotes
            and outside; before any other character it stands for itself. By default there is none.
        decimal: What stands before the decimals of a number.
        thousands: What may stand between the thousands of a number with decimals, e.g. an amount; by default nothing.
    """

    delimiter: Annotated[str, Field(pattern=r"\A[^\r\n\x00]\z")] = ","
    quote: Annotated[str, Field(pattern=r"\A[^\r\n\x00]\z")] = '"'
    escape: Annotated[str, Field(pattern=r"\A[^\sA-Za-z0-9\x00]\z")] | None = None
    decimal: Literal[".", ","] = "."
    thousands: Literal[".", ",", " ", "'", "_", "\u00a0", "\u202f"] | None = None


class VersionColumn(ContractPart):
    """Each row names its schema version.

    Attributes:
        column: Landed column with the version's number.
    """

    column: Text


class EventTimeReading(ContractPart):
    """How the text of the event time is read.

    Attributes:
        epoch_unit: Unit of integer times, counted from 1970-01-01T00:00:00Z.
        zone: IANA zone of texts that carry no offset of their own. A local time that the zone skips when clocks are
            put forward is read with the offset from before, so one hour later; one that it repeats is read as the
            later of the two.
        time_column: Landed column with the time of day, where the event time's own column has only the date; the
            two are joined by a space.
        format: Format of texts that are not ISO-8601, in strptime directives (see ``time_formats``); or a list of
            several, in which ``iso`` and ``epoch`` (in ``epoch_unit``) may stand too. The first that reads a text is
            the one that is meant, so that of two that read the same texts the order decides.
    """

    epoch_unit: Literal["s", "ms", "us", "ns"] = "ms"
    zone: Text = "UTC"
    time_column: Text | None = None
    format: Text | Annotated[tuple[Text, ...], Field(strict=False, min_length=1, max_length=20)] | None = None

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats of texts, in the order in which they are tried."""
        if self.format is None:
            return (ISO,)
        return (self.format,) if isinstance(self.format, str) else self.format


class EventTypeReading(ContractPart):
    """How the producer's event types become canonical ones.

    Attributes:
        mapping: Landed value to canonical type. A canonical name stands for itself unless mapped.
        default: Type of every other landed value, and of rows without one; None = such a row is rejected.
    """

    mapping: dict[Text, EventType] = {}
    default: EventType | None = None


class UnusableRows(ContractPart):
    """How many rows of a file may reach no day: without an event time that can be read, malformed, in the future.

    Attributes:
        warn: Share of a file's rows, 0 to 1, from which it is warned of.
        red: Share from which the file is red: `land`, `status` and the check of landed_files fail, and a version over
            its days must be accepted in words.
        red_rows: A file with fewer such rows is only warned of, unless it has no usable row at all; for producers of
            tiny files.
        expected: Reasons that are meant, so that their rows are counted and shown, and not judged.
    """

    warn: Annotated[float, Field(gt=0, le=1)] = 0.01
    red: Annotated[float, Field(gt=0, le=1)] = 0.2
    red_rows: Annotated[int, Field(ge=1)] = 1
    expected: Annotated[
        tuple[Literal["event_time_before_start_date", "schema_version_retired"], ...], Field(strict=False)
    ] = ()


class FileTime(ContractPart):
    """How the name of a landed file says which time its events are of.

    A file whose name does not match says nothing: it moves no watermark, and it arrives when it is landed.

    Attributes:
        pattern: Regular expression, searched in the file's name (below the folder of the source); its only group is
            the time, or the number where the files are counted.
        format: Format of that time, in strptime directives; see ``time_formats``.
        zone: IANA zone of times that carry no offset of their own.
        origin: For files that are counted: the time of number 0, ISO-8601 with an offset.
        period_hours: Hours of events that a file holds, from its time on; between two numbers of counted files.
    """

    pattern: Text
    format: Text | None = None
    zone: Text = "UTC"
    origin: Annotated[AwareDatetime | None, Field(strict=False)] = None
    period_hours: Annotated[int, Field(ge=0, le=24 * 31)] = 0


class PersonalData(ContractPart):
    """What may be kept of rows that hold personal data; all else is gone before anything is written.

    Attributes:
        columns: Landed column to ``mask`` (a keyed hash takes the value's place), ``drop`` or ``keep``. With ``jsonl``
            and ``parquet`` a dot descends into an object, and what is said of an object holds for all within it that
            is not listed itself.
        unnamed: What becomes of everything that the contract does not name, names and values: ``mask``, ``drop`` or
            ``keep``.
        domain: Equal values have equal masks in all columns of one domain; default: the domain of the user ids.
    """

    columns: dict[Text, MaskingAction] = {}
    unnamed: MaskingAction = "mask"
    domain: Text | None = None


class Lateness(ContractPart):
    """How late events of this producer may be.

    Attributes:
        watermark: What says up to when events have arrived. ``clock``: the present, ``max_delay_hours`` ago.
            ``event_time``: the latest event time that was landed, ``max_out_of_orderness_hours`` earlier.
            ``file_time``: the latest time that a landed file's name says, ``max_out_of_orderness_hours`` earlier.
        max_delay_hours: Hours from an event to its landing that are usual for the producer.
        max_out_of_orderness_hours: Hours by which an event may be landed after a later one.
        quantile: Share of a file's rows whose event time is not after the one that stands for the file; less than 1
            where clocks of single devices run ahead.
        idle_after_hours: Where no file came for so long, ``event_time`` and ``file_time`` fall back to the clock:
            what is older than that, and than ``max_delay_hours``, is no longer waited for.
        file_time: How names of files are read; needed with ``file_time``.
        grace_period_hours: A day is frozen so long after the watermark passed its end.
        late_policy: What becomes of rows of a frozen day. ``reopen``: they are taken, and the day is built again.
            ``quarantine``: they are kept and counted apart, in ``data/too_late_rows``, until they are replayed.
    """

    watermark: Literal["clock", "event_time", "file_time"] = "clock"
    max_delay_hours: Annotated[int, Field(ge=0, le=24 * 366)] = 0
    max_out_of_orderness_hours: Annotated[int, Field(ge=0, le=24 * 366)] = 0
    quantile: Annotated[float, Field(gt=0, le=1)] = 1.0
    idle_after_hours: Annotated[int, Field(ge=1, le=24 * 366)] = 24
    file_time: FileTime | None = None
    grace_period_hours: Annotated[int, Field(ge=0, le=24 * 366)] = 24
    late_policy: Literal["reopen", "quarantine"] = "reopen"


class Pull(ContractPart):
    """Where the producer's files are fetched from, day by day.

    Attributes:
        url: Address of a day's files; see ``pull_pattern``. A relative local path is taken from the root.
        poll_days: Days that the pull sensor looks at, today included; others are fetched when asked for.
        on_change: What becomes of the rows that a changed file held before. ``add``: they stay, and events that are in
            both count once. ``replace``: they are retracted, and their days built again.
    """

    url: Annotated[str, Field(min_length=1, max_length=1_024)]
    poll_days: Annotated[int, Field(ge=1, le=366)] = 3
    on_change: Literal["add", "replace"] = "add"

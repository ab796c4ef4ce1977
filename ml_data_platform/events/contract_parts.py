"""The sections of a source contract.

Belongs here: what each section may say on its own. Does not belong here: what must hold between them
(contract_model).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_TEXT = 256

Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
EventType = Literal["page_view", "add_to_cart", "purchase", "search", "other"]


class ContractPart(BaseModel):
    """What all sections share: no other keys than the declared ones, no conversions, no changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CsvDialect(ContractPart):
    """How a CSV file is cut into cells, and how numbers are written in them.

    Attributes:
        delimiter: One character between cells.
        quote: One character around cells that hold the delimiter; doubled inside them.
        decimal: What stands before the decimals of a number. Nothing may stand between the thousands.
    """

    delimiter: Annotated[str, Field(pattern=r"\A[^\r\n\x00]\z")] = ","
    quote: Annotated[str, Field(pattern=r"\A[^\r\n\x00]\z")] = '"'
    decimal: Literal[".", ","] = "."


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
        format: Format of texts that are not ISO-8601, in strptime directives; see ``time_formats``.
    """

    epoch_unit: Literal["s", "ms", "us", "ns"] = "ms"
    zone: Text = "UTC"
    time_column: Text | None = None
    format: Text | None = None


class EventTypeReading(ContractPart):
    """How the producer's event types become canonical ones.

    Attributes:
        mapping: Landed value to canonical type. A canonical name stands for itself unless mapped.
        default: Type of every other landed value, and of rows without one; None = such a row is rejected.
    """

    mapping: dict[Text, EventType] = {}
    default: EventType | None = None


class Lateness(ContractPart):
    """How late events of this producer may be.

    Attributes:
        watermark: ``clock``: a day is complete ``max_delay_hours`` after its end.
        max_delay_hours: Hours from an event to its landing that are usual for the producer.
    """

    watermark: Literal["clock"] = "clock"
    max_delay_hours: Annotated[int, Field(ge=0, le=24 * 366)] = 0

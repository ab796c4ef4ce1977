"""Session features and summaries computed from their definitions, event by event, in plain Python.

An oracle: it shares no code with the platform and no idea with its SQL (no running values, no frames). It looks
at every pair of events of a session, so it is only for small logs.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

DAY = dt.timedelta(hours=24)


@dataclass(frozen=True)
class Event:
    """One validated event; money is given in cents, so that the oracle never rounds."""

    event_id: str
    at: dt.datetime
    kind: str = "page_view"
    session: str = "session-a"
    user: str = "usr_0000000000000001"
    source: str = "shop"
    sequence: int | None = None
    cents: int | None = None
    label: int | None = None

    @property
    def place(self) -> tuple[Any, ...]:
        """Where the event stands in the total order: time, then sequence with none last, then id."""
        return (self.at, self.sequence is None, self.sequence or 0, self.event_id)

    @property
    def spend(self) -> int:
        """Cents that a purchase is worth; 0 for anything else."""
        return (self.cents or 0) if self.kind == "purchase" else 0

    def row(self) -> dict[str, Any]:
        """The event as a row of ``validated_events``."""
        return {
            "event_id": self.event_id,
            "user_id": self.user,
            "session_uuid": self.session,
            "event_type": self.kind,
            "event_timestamp": self.at,
            "sequence": self.sequence,
            "session_duration_seconds": None,
            "purchase_amount_usd": None if self.cents is None else self.cents / 100,
            "client_version": None,
            "label": self.label,
            "attributes": "{}",
            "source": self.source,
            "schema_version": 2,
            "source_file": "f" * 64,
            "source_row": 0,
        }


def expected_features(
    events: Iterable[Event], mature_through: Mapping[str, dt.datetime], day: dt.date
) -> dict[str, dict[str, Any]]:
    """Return event id to feature row for the events of the UTC day."""
    log = list(events)
    return {event.event_id: _features(event, log, mature_through) for event in log if event.at.date() == day}


def _features(event: Event, log: list[Event], mature_through: Mapping[str, dt.datetime]) -> dict[str, Any]:
    session = [other for other in log if other.session == event.session]
    window = [other for other in session if other.place <= event.place and other.at > event.at - DAY]
    before = [other for other in window if other is not event]
    previous = max(before, key=lambda other: other.place, default=None)
    later = [other for other in session if other.place > event.place and other.at <= event.at + DAY]
    bought_later = any(other.kind == "purchase" for other in later)
    through = mature_through.get(event.source)
    is_seen = through is not None and event.at + DAY <= through
    converted = int(bought_later) if is_seen else None
    return {
        "event_id": event.event_id,
        "user_id": event.user,
        "session_uuid": event.session,
        "source": event.source,
        "event_timestamp": event.at,
        "hour_of_day": event.at.hour,
        "day_of_week": event.at.weekday(),
        "is_weekend": event.at.weekday() in (5, 6),
        "session_event_count": len(window),
        "session_elapsed_seconds": (event.at - min(other.at for other in window)).total_seconds(),
        "seconds_since_previous_event": None if previous is None else (event.at - previous.at).total_seconds(),
        "session_cart_count": sum(other.kind == "add_to_cart" for other in window),
        "session_search_count": sum(other.kind == "search" for other in window),
        "session_purchase_count_before": sum(other.kind == "purchase" for other in before),
        "session_spend_cents_before": sum(other.spend for other in before),
        "converted": converted,
        "label": event.label if event.label is not None else converted,
        "label_is_mature": event.label is not None or is_seen,
    }


def expected_summaries(events: Iterable[Event], day: dt.date) -> dict[str, dict[str, Any]]:
    """Return session to summary row from the events of the UTC day."""
    log = [event for event in events if event.at.date() == day]
    summaries = {}
    for session in {event.session for event in log}:
        own = [event for event in log if event.session == session]
        first, last = min(event.at for event in own), max(event.at for event in own)
        bought = [event for event in own if event.kind == "purchase"]
        summaries[session] = {
            "session_uuid": session,
            "source": own[0].source,
            "user_id": min(event.user for event in own),
            "session_start": first,
            "session_end": last,
            "event_count": len(own),
            "session_duration_seconds": (last - first).total_seconds(),
            "has_purchase": bool(bought),
            "purchase_count": len(bought),
            "spend_cents": sum(event.spend for event in bought),
        }
    return summaries

"""Random small event logs, split into files, with what must come of them worked out in plain Python.

Nothing of the platform is asked: the truth is the list of events, and the definitions are applied to it one event at
a time.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import random
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ml_data_platform_tests.session_oracle import Event, expected_features

KINDS = ("page_view", "page_view", "search", "add_to_cart", "purchase")
MINUTE = dt.timedelta(minutes=1)


@dataclass(frozen=True)
class Line:
    """One row of a file: an event in the words of a schema version, or a row that breaks a rule."""

    event: Event
    version: int
    is_valid: bool = True

    def text(self) -> str:
        """The row as it lands."""
        event = self.event
        row: dict[str, Any] = {
            "event_id": event.event_id,
            "user_id": event.user,
            "event_type": event.kind if self.is_valid else "strange",
            "sequence": event.sequence,
        }
        if event.cents is not None:
            row["purchase_amount_usd"] = event.cents / 100
        if self.version == 1:
            row |= {"session_id": event.session, "timestamp": event.at.isoformat()}
        else:
            row |= {"session_uuid": event.session, "event_timestamp": round(event.at.timestamp() * 1000)}
        return json.dumps(row)


@dataclass(frozen=True)
class EventFile:
    """One file as a producer drops it."""

    name: str
    lines: tuple[Line, ...]

    @cached_property
    def content(self) -> bytes:
        """Its bytes."""
        return "".join(line.text() + "\n" for line in self.lines).encode()

    @cached_property
    def sha256(self) -> str:
        """The hash of its bytes, hex."""
        return hashlib.sha256(self.content).hexdigest()


Counts = Callable[[EventFile, dt.date], bool]


def all_count(_file: EventFile, _day: dt.date) -> bool:
    """Rows of every file count on every day."""
    return True


@dataclass(frozen=True)
class EventLog:
    """A log that arrives as several files."""

    files: tuple[EventFile, ...] = field(default=())

    def published(self, source: str, counts: Counts = all_count) -> dict[str, tuple[Event, str]]:
        """Return event id, as published, to the event that must be kept, and the hash of the file it is from.

        Of several valid rows of one id the newest schema version is kept, of these the one in the file of the
        smallest hash, of these the first. An event without a sequence has the number of its line, of all its valid
        rows the smallest.

        Args:
            source: Source name.
            counts: Whether the rows of a file count on a day.
        """
        rows = defaultdict(list)
        for file in self.files:
            for number, line in enumerate(file.lines):
                if line.is_valid and counts(file, line.event.at.date()):
                    rows[line.event.event_id].append((-line.version, file.sha256, number, line.event))
        kept = {event_id: min(found, key=lambda row: row[:3]) for event_id, found in rows.items()}
        places = {event_id: 1 + min(row[2] for row in found) for event_id, found in rows.items()}
        return {
            (name := f"{source}:{event_id}"): (
                replace(
                    event,
                    event_id=name,
                    source=source,
                    sequence=places[event_id] if event.sequence is None else event.sequence,
                ),
                sha256,
            )
            for event_id, (_, sha256, _, event) in kept.items()
        }

    def rejected(self, counts: Counts = all_count) -> int:
        """Return how many rows that count break a rule."""
        lines = ((file, line) for file in self.files for line in file.lines)
        return sum(not line.is_valid and counts(file, line.event.at.date()) for file, line in lines)


def expected_rows(
    events: Collection[Event], mature_through: Mapping[dt.date, dt.datetime], day: dt.date
) -> dict[str, dict[str, Any]]:
    """Return event id to the feature row of a day, without the hashed user id.

    Args:
        events: All events that must be published, of one source.
        mature_through: By day, the instant through which its labels are known.
        day: UTC day.
    """
    (source,) = {event.source for event in events}
    rows = expected_features(events, {source: mature_through[day]}, day)
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, f"ml-data-platform:{source}")
    for row in rows.values():
        row["session_uuid"] = str(uuid.uuid5(namespace, row["session_uuid"]))
        del row["user_id"]
    return rows


def random_log(seed: int, start: dt.date, *, days: int = 3, sessions: int = 9) -> EventLog:
    """Make a log of sessions, some over midnight, with copies and broken rows, cut into files in any way."""
    rng = random.Random(seed)
    lines: list[Line] = []
    for number in range(sessions):
        lines += [Line(event, rng.choice((1, 2))) for event in _session(rng, f"{seed}-{number}", number, start, days)]
    lines += [_another(rng, line) for line in rng.sample(lines, len(lines) // 5)]
    lines += [replace(line, event=replace(line.event, event_id=f"bad-{at}"), is_valid=False)
              for at, line in enumerate(rng.sample(lines, 4))]  # fmt: skip
    rng.shuffle(lines)
    count = rng.randint(3, 5)
    parts: list[list[Line]] = [[] for _ in range(count)]
    for line in lines:
        # Files are mostly of one day, as producers cut them, and every day has strays in other files.
        home = (line.event.at.date() - start).days % count
        parts[home if rng.random() < 0.7 else rng.randrange(count)].append(line)
    return EventLog(tuple(EventFile(f"part-{at}.jsonl", tuple(part)) for at, part in enumerate(parts) if part))


def _session(rng: random.Random, name: str, number: int, start: dt.date, days: int) -> list[Event]:
    of = start + dt.timedelta(days=rng.randrange(days))
    at = dt.datetime.combine(of, dt.time(), tzinfo=dt.UTC)
    # Every third session begins at 23:50, so that it ends on the next day.
    at += dt.timedelta(hours=23, minutes=50) if number % 3 == 0 and of < start + dt.timedelta(days=days - 1) else (
        MINUTE * rng.randrange(0, 20 * 60)
    )  # fmt: skip
    events = []
    for step in range(rng.randint(2, 5)):
        kind = rng.choice(KINDS)
        events.append(
            Event(
                event_id=f"{name}-{step}",
                at=at,
                kind=kind,
                session=f"session-{name}",
                user=f"user-{number % 4}",
                sequence=step if rng.random() < 0.8 else None,
                cents=rng.randrange(100, 9_999) if kind == "purchase" else None,
            )
        )
        at += rng.choice((dt.timedelta(), MINUTE, 7 * MINUTE, dt.timedelta(seconds=30)))
    return events


def _another(rng: random.Random, line: Line) -> Line:
    """The same event again: as it was, in another version, or with other content."""
    how = rng.randrange(3)
    if how == 0:
        return line
    if how == 1:
        return replace(line, version=3 - line.version)
    return replace(line, event=replace(line.event, sequence=rng.randrange(90, 99)))

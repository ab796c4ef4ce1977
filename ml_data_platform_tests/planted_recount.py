"""An independent reading of generated files: plain ``json`` and ``datetime``, nothing of the generator.

Each line is judged from its text alone, by the words of the row formats and of the rules. Copies are
told from originals only by their event id.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

NAME = re.compile(r"events_(\d{4}-\d\d-\d\dT\d\d)\.jsonl")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:\d\d)")
TYPES = {"page_view", "add_to_cart", "purchase", "search", "other"}
TEXT_FIELDS = ("event_id", "user_id", "session_id", "session_uuid", "event_type", "client_version")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Line:
    """One line as a reader sees it.

    Attributes:
        file: Name relative to the output folder.
        row: Line number from 1 on.
        hour: UTC hour of the file.
        text: The line.
        body: The object, or None.
        version: Row format; 0 without an object.
        time: Event time, or None.
        reason: Why it has no usable day, or None.
        rules: Row rules that it breaks, sorted.
    """

    file: str
    row: int
    hour: datetime
    text: str
    body: dict[str, Any] | None
    version: int
    time: datetime | None
    reason: str | None
    rules: tuple[str, ...]

    @property
    def day(self) -> str | None:
        return None if self.time is None else self.time.date().isoformat()

    @property
    def time_ms(self) -> int | None:
        return None if self.time is None else (self.time - EPOCH) // timedelta(milliseconds=1)

    @property
    def event_id(self) -> str | None:
        value = (self.body or {}).get("event_id")
        return value if isinstance(value, str) and value.strip() else None

    @property
    def session(self) -> str | None:
        body = self.body or {}
        return body.get("session_id") or body.get("session_uuid")

    @property
    def is_late(self) -> bool:
        return self.time is not None and self.hour > self.time.replace(minute=0, second=0, microsecond=0)


def read_lines(out: Path, *, start: date, days: int) -> Iterator[Line]:
    """Judge every line of every hourly file, in the order of file names."""
    for path in sorted((out / "demo_shop").iterdir()):
        match = NAME.fullmatch(path.name)
        assert match, path
        hour = datetime.strptime(match[1] + "+0000", "%Y-%m-%dT%H%z")
        data = path.read_bytes()
        assert data.endswith(b"\n")
        for row, text in enumerate(data.decode("ascii")[:-1].split("\n"), start=1):
            yield judge(text, file=f"demo_shop/{path.name}", row=row, hour=hour, start=start, days=days)


def judge(text: str, *, file: str, row: int, hour: datetime, start: date, days: int) -> Line:
    """Judge one line."""
    body = _object(text)
    if body is None:
        return Line(file, row, hour, text, None, 0, None, "malformed_row", ())
    version = 2 if "event_timestamp" in body or "session_uuid" in body else 1
    time, reason = _time(body, version, start, days)
    return Line(file, row, hour, text, body, version, time, reason, _rules(body, version) if time else ())


def kind_counts(lines: list[Line]) -> dict[str | None, Counter[str]]:
    """Count rows by day and what they are: clean, duplicate, a rule (per row: all its rules), or a reason."""
    counts: dict[str | None, Counter[str]] = {}
    seen: set[str] = set()
    for line in lines:
        of_day = counts.setdefault(line.day, Counter())
        if line.reason:
            of_day[line.reason] += 1
        elif line.rules:
            of_day[" & ".join(line.rules)] += 1
        else:
            assert line.event_id is not None
            of_day["duplicate" if line.event_id in seen else "clean"] += 1
            seen.add(line.event_id)
    return counts


def _object(text: str) -> dict[str, Any] | None:
    try:
        body = json.loads(text)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _time(body: dict[str, Any], version: int, start: date, days: int) -> tuple[datetime | None, str | None]:
    value = body.get("event_timestamp" if version == 2 else "timestamp")
    if value is None:
        return None, "event_time_missing"
    time = _instant(value, version)
    if time is None:
        return None, "event_time_unreadable"
    if time.date() < start:
        return None, "event_time_before_start_date"
    if time.date() > start + timedelta(days):
        return None, "event_time_in_the_future"
    return time, None


def _instant(value: object, version: int) -> datetime | None:
    try:
        if version == 2:
            return EPOCH + timedelta(milliseconds=value) if type(value) is int else None
        is_written_well = isinstance(value, str) and INSTANT.fullmatch(value)
        return datetime.fromisoformat(value).astimezone(UTC) if is_written_well else None
    except ValueError:
        return None


def _rules(body: dict[str, Any], version: int) -> tuple[str, ...]:
    broken = set()
    session = "session_uuid" if version == 2 else "session_id"
    if any(isinstance(body.get(field), dict | list) for field in TEXT_FIELDS):
        broken.add("text_fields_are_scalars")
    for field, rule in (
        ("event_id", "event_ids_are_present"),
        ("user_id", "user_ids_are_present"),
        (session, "session_uuids_are_present"),
        ("event_type", "event_types_are_present"),
    ):
        if not isinstance(body.get(field), str) or not body[field].strip():
            broken.add(rule)
        elif field == "event_type" and body[field] not in TYPES:
            broken.add("event_types_are_known")
    for field, name, limit in (
        ("session_duration_seconds", "session_durations", 86_400),
        ("purchase_amount_usd", "purchase_amounts", 50_000),
    ):
        if field in body and not _is_number(body[field]):
            broken.add(f"{name}_are_numbers")
        elif field in body and not 0 <= body[field] <= limit:
            broken.add(f"{name}_are_in_range")
    if "sequence" in body and type(body["sequence"]) is not int:
        broken.add("sequences_are_integers")
    return tuple(sorted(broken))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

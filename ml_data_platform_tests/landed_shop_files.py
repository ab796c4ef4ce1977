"""Generated files of shop events together with what must become of each of their lines.

The truth is written down while a line is made: nothing of the platform is asked.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

START = date(2026, 6, 1)
NOW = datetime(2026, 6, 10, 9, 30, tzinfo=UTC)


@dataclass
class ShopFile:
    """The lines of a file, the day of each dated one by number, and the reason of each undated one."""

    lines: list[bytes] = field(default_factory=list)
    days: dict[int, str] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    times: list[datetime] = field(default_factory=list)

    @property
    def content(self) -> bytes:
        """The file's bytes."""
        return b"\n".join(self.lines) + b"\n"

    @property
    def rows_per_day(self) -> dict[str, int]:
        """Dated rows by day."""
        return dict(Counter(self.days.values()))

    @property
    def undated(self) -> dict[str, int]:
        """Undated rows by reason."""
        return dict(Counter(self.reasons.values()))


def shop_file(seed: int, count: int, *, faulty: float = 0.2) -> ShopFile:
    """Make a file of JSON lines, v1 and v2 mixed, of which a share has no usable day or is blank."""
    rng, made = random.Random(seed), ShopFile()
    for number in range(1, count + 1):
        moment = datetime(2026, 6, 1, tzinfo=UTC) + timedelta(milliseconds=rng.randrange(86_400_000 * 9))
        fault = rng.choice(sorted(_FAULTS)) if rng.random() < faulty else None
        if fault == "blank":
            made.lines.append(b"   ")
            continue
        text, reason = _FAULTS[fault](rng) if fault else (_event(rng, moment), None)
        made.lines.append(text)
        if reason is None:
            made.days[number] = moment.date().isoformat()
            made.times.append(moment)
        else:
            made.reasons[number] = reason
    return made


def _event(rng: random.Random, moment: datetime) -> bytes:
    common = {"event_id": f"e{rng.randrange(10**9)}", "user_id": f"u{rng.randrange(50)}", "event_type": "search"}
    if rng.random() < 0.5:
        offset = timedelta(minutes=rng.choice([-420, 0, 330]))
        local = (moment + offset).isoformat(timespec="milliseconds")[:23]
        sign, minutes = "-" if offset < timedelta() else "+", abs(int(offset.total_seconds())) // 60
        zone = f"{sign}{minutes // 60:02d}:{minutes % 60:02d}"
        row = {**common, "session_id": "s", "timestamp": local + zone}
    else:
        millis = round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))
        row = {**common, "session_uuid": "s", "event_timestamp": millis}
    return json.dumps(row).encode()


def _at(text: object) -> bytes:
    return json.dumps({"event_id": "e", "session_id": "s", "timestamp": text}).encode()


_FAULTS = {
    "blank": lambda _: (b"", None),
    "text": lambda _: (b"no json", "malformed_row"),
    "array": lambda _: (b"[1, 2]", "malformed_row"),
    "bytes": lambda _: (b'{"event_id": "\xff"}', "malformed_row"),
    "constant": lambda _: (b'{"event_id": NaN}', "malformed_row"),
    "missing": lambda _: (b'{"event_id": "e"}', "event_time_missing"),
    "null": lambda _: (_at(None), "event_time_missing"),
    "unreadable": lambda rng: (_at(rng.choice(["yesterday", "2026-02-30T00:00:00Z"])), "event_time_unreadable"),
    "early": lambda _: (_at("2026-06-01T01:00:00+02:00"), "event_time_before_start_date"),
    "late": lambda _: (_at((NOW + timedelta(hours=24, milliseconds=1)).isoformat()), "event_time_in_the_future"),
}

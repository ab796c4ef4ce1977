"""The real clicks of the news portal, read with pandas and plain Python alone.

An oracle: it shares no code with the platform. The clicks lie beside the checkout, or in the folder that the
environment variable ``EVENT_LOGS_FOLDER`` names; they are read there and never copied.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import random
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ml_data_platform_tests.session_oracle import Event

SOURCE = "globo"
FOLDER_VARIABLE = "EVENT_LOGS_FOLDER"
DAY_MS = 86_400_000
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
COLUMNS = (
    "user_id",
    "session_id",
    "session_start",
    "session_size",
    "click_article_id",
    "click_timestamp",
    "click_environment",
    "click_deviceGroup",
    "click_os",
    "click_country",
    "click_region",
    "click_referrer_type",
)


def clicks_folder(environment: Mapping[str, str]) -> Path:
    """Return where the hourly files lie, whether they are there or not."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    return Path(environment.get(FOLDER_VARIABLE) or beside) / "globo_clicks"


def hourly_files(folder: Path, hours: Iterable[int] | None = None) -> list[Path]:
    """Return the files of the given hours, by default all, in the order of the hours."""
    files = sorted(folder.glob("clicks_hour_*.csv.gz"))
    if hours is None:
        return files
    return [folder / f"clicks_hour_{hour:03d}.csv.gz" for hour in hours]


@dataclass(frozen=True)
class GloboLog:
    """Some or all hourly files.

    Attributes:
        rows_per_file: File name to number of rows; a bare header has 0.
        clicks: One row per click: the twelve landed columns as integers, ``file``, ``day`` (days since 1970, UTC),
            ``sha256`` of its file, and ``place``, the number of the row in it.
    """

    rows_per_file: Mapping[str, int]
    clicks: pd.DataFrame

    @classmethod
    def read(cls, files: Sequence[Path]) -> GloboLog:
        """Read files; every cell is an integer, and the columns are as declared."""
        parts = {path.name: pd.read_csv(path) for path in files}
        hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        for name, part in parts.items():
            assert tuple(part.columns) == COLUMNS, name
        filled = [
            part.astype("int64").assign(file=name, sha256=hashes[name], place=range(1, len(part) + 1))
            for name, part in parts.items()
            if len(part)
        ]
        clicks = pd.concat(filled, ignore_index=True)
        clicks["day"] = clicks["click_timestamp"] // DAY_MS
        return cls({name: len(part) for name, part in parts.items()}, clicks)

    @cached_property
    def rows_per_day(self) -> dict[dt.date, int]:
        """Clicks by UTC day of their own time."""
        return {_date(day): int(rows) for day, rows in self.clicks["day"].value_counts().sort_index().items()}

    @cached_property
    def sessions_per_day(self) -> dict[dt.date, int]:
        """Sessions with a click on the day."""
        found = self.clicks.groupby("day")["session_id"].nunique()
        return {_date(day): int(sessions) for day, sessions in found.items()}

    @cached_property
    def spans(self) -> pd.DataFrame:
        """One row per session: first and last click in milliseconds, and whether two clicks share an instant."""
        grouped = self.clicks.groupby("session_id")["click_timestamp"]
        spans = grouped.agg(first="min", last="max", clicks="size", instants="nunique")
        spans["crosses_midnight"] = spans["first"] // DAY_MS != spans["last"] // DAY_MS
        spans["exceeds_24_hours"] = spans["last"] - spans["first"] > DAY_MS
        spans["has_ties"] = spans["instants"] < spans["clicks"]
        return spans

    def sample(self, count: int, seed: int) -> list[int]:
        """Return ids of sessions: a quarter crossing midnight, a quarter longer than 24 hours, all with ties."""
        draw = random.Random(seed)
        spans = self.spans
        chosen = set(spans.index[spans["has_ties"]].tolist())
        for hard in ("crosses_midnight", "exceeds_24_hours"):
            found = spans.index[spans[hard]].tolist()
            chosen |= set(draw.sample(found, min(count // 4, len(found))))
        rest = sorted(set(spans.index.tolist()) - chosen)
        return sorted(chosen) + draw.sample(rest, min(max(0, count - len(chosen)), len(rest)))

    def events(self, sessions: Iterable[int], secret: bytes) -> dict[str, list[Event]]:
        """Return session_uuid to the events of a session, with ids of users and sessions by the documented rules.

        An event is called by the hash of its file and its place there, which is its place in the order too.

        Args:
            sessions: Landed session ids.
            secret: Key of the user ids.
        """
        wanted = self.clicks[self.clicks["session_id"].isin(set(sessions))]
        events: dict[str, list[Event]] = {}
        for click in wanted.to_dict("records"):
            event = _event(click, secret)
            events.setdefault(event.session, []).append(event)
        return events


def _event(click: Mapping[str, Any], secret: bytes) -> Event:
    user = hmac.new(secret, f"{SOURCE}\0{click['user_id']}".encode(), hashlib.sha256).hexdigest()
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, f"ml-data-platform:{SOURCE}")
    return Event(
        event_id=f"{click['sha256']}:{click['place']}",
        at=EPOCH + dt.timedelta(milliseconds=click["click_timestamp"]),
        session=str(uuid.uuid5(namespace, str(click["session_id"]))),
        user=f"usr_{user[:16]}",
        source=SOURCE,
        sequence=click["place"],
    )


def _date(days: int) -> dt.date:
    return (EPOCH + dt.timedelta(days=int(days))).date()

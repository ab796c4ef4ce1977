"""The real logs of the shop and of the intranet as pandas reads them, and what must hold of a root with four sources.

An oracle: the expected values share no code with the platform. Found ones come from the ledger and from the view, read
as any tool reads it. Shared by the short test and the full lane of ``benchmarks/four_sources.py``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import random
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml_data_platform.storage.ledger import LedgerRecord
from ml_data_platform_tests.globo_verification import count_rows
from ml_data_platform_tests.real_logs import DESKDROP, SOFTSHOP
from ml_data_platform_tests.session_oracle import Event, expected_features

ONE_DAY = dt.timedelta(days=1)
DERIVED = ("at", "day", "kind", "session", "user", "place")
"""What is told from a row: its instant and UTC day, event type, session and user as landed, and its place in the order."""


@dataclass(frozen=True)
class Log:
    """One source, read by pandas.

    Attributes:
        source: Its name.
        rows: One per landed row, in the order of the file: all landed cells as text, and ``DERIVED``.
    """

    source: str
    rows: pd.DataFrame

    @cached_property
    def rows_per_day(self) -> dict[dt.date, int]:
        """Landed rows by UTC day."""
        return dict(sorted(Counter(self.rows["day"]).items()))

    @cached_property
    def kept(self) -> pd.DataFrame:
        """The rows without exact repeats of a whole landed row."""
        landed = [name for name in self.rows.columns if name not in DERIVED]
        return self.rows.drop_duplicates(subset=landed)

    def kept_on(self, days: Iterable[dt.date]) -> pd.DataFrame:
        """Return the rows of some days, without repeats."""
        return self.kept[self.kept["day"].isin(set(days))]

    def repeats_on(self, days: Iterable[dt.date]) -> int:
        """Return how many rows of some days repeat another one."""
        wanted = set(days)
        return int(self.rows["day"].isin(wanted).sum() - self.kept["day"].isin(wanted).sum())


def read_softshop() -> Log:
    """Read the shop's log: local times of Berlin, of two readings the later, skipped ones moved on by an hour."""
    rows = pd.read_csv(SOFTSHOP, sep=";", dtype=str, keep_default_na=False)
    local = pd.to_datetime(rows["Date"] + " " + rows["Time"], format="%Y-%m-%d %H:%M:%S")
    in_berlin = local.dt.tz_localize("Europe/Berlin", ambiguous=False, nonexistent=pd.Timedelta(hours=1))
    kinds = rows["Webpage"].map({"addcart": "add_to_cart", "pay_res": "purchase"}).fillna("page_view")
    cookies, order = rows["COOKIE"], rows["Click_order"].astype("int64")
    return _log(
        "softshop", rows, in_berlin.dt.tz_convert("UTC"), kind=kinds, session=cookies, user=cookies, place=order
    )


def read_deskdrop() -> Log:
    """Read the intranet's log: seconds since 1970, of signed ids that are texts."""
    rows = pd.read_csv(DESKDROP, dtype=str, keep_default_na=False)
    instants = pd.to_datetime(rows["timestamp"].astype("int64"), unit="s", utc=True)
    kinds = rows["eventType"].map({"VIEW": "page_view", "BOOKMARK": "purchase"}).fillna("other")
    places = range(1, len(rows) + 1)
    return _log("deskdrop", rows, instants, kind=kinds, session=rows["sessionId"], user=rows["personId"], place=places)


def _log(source: str, rows: pd.DataFrame, instants: pd.Series, **derived: Any) -> Log:
    return Log(source, rows.assign(at=instants, day=instants.dt.date, **derived))


def verify_landing(logs: Iterable[Log], records: Iterable[LedgerRecord]) -> str:
    """Per file: landed = routed + undated; the logs' files have exactly the days that pandas gives them."""
    found = list(records)
    for record in found:
        assert record.rows == sum(record.rows_per_day.values()) + sum(record.undated.values()), record.name
    by_source = {record.source: record for record in found}
    days = 0
    for log in logs:
        record = by_source[log.source]
        assert [record.source for record in found].count(log.source) == 1
        assert (record.status, dict(record.undated)) == ("landed", {})
        assert {dt.date.fromisoformat(day): rows for day, rows in record.rows_per_day.items()} == log.rows_per_day
        days += len(log.rows_per_day)
    return f"{len(found)} files, {sum(record.rows for record in found):,} rows; the two logs' {days} days as pandas counts them"


def verify_accounts(root: Path, days: Sequence[dt.date]) -> str:
    """Per day: raw = published + duplicates + rejected."""
    totals: Counter[str] = Counter()
    for day in days:
        raw, published = (count_rows(root, asset, day) for asset in ("raw_events", "validated_events"))
        duplicates = count_rows(root, "quarantined_events", day, "disposition=duplicate/data.parquet")
        rejected = count_rows(root, "quarantined_events", day, "disposition=rejected/data.parquet")
        assert raw == published + duplicates + rejected, day
        totals.update(raw=raw, published=published, duplicates=duplicates, rejected=rejected)
    found = ", ".join(f"{rows:,} {name}" for name, rows in totals.items())
    return f"{len(days)} days: {found}"


def verify_source(log: Log, root: Path, days: Sequence[dt.date]) -> str:
    """Per day, rows, event types and sessions of a source are those of its log; repeats are quarantined as such."""
    duplicates, kinds = 0, Counter[str]()
    sessions: dict[str, set[str]] = {"all": set(), "purchase": set()}
    for day in days:
        assert _count_source(root, "raw_events", day, log.source) == log.rows_per_day.get(day, 0), day
        quarantine = root / "data" / "quarantined_events" / f"dt={day}"
        repeats = _of_source(quarantine / "disposition=duplicate/data.parquet", log.source, []).num_rows
        assert repeats == log.repeats_on([day]), day
        assert _of_source(quarantine / "disposition=rejected/data.parquet", log.source, []).num_rows == 0, day
        events = _rows(root, "validated_events", day, log.source, ["event_type", "session_uuid"])
        found = Counter(event["event_type"] for event in events)
        assert found == Counter(log.kept_on([day])["kind"]), day
        sessions["all"] |= {event["session_uuid"] for event in events}
        sessions["purchase"] |= {event["session_uuid"] for event in events if event["event_type"] == "purchase"}
        duplicates += repeats
        kinds.update(found)
    kept = log.kept_on(days)
    assert len(sessions["all"]) == kept["session"].nunique()
    assert len(sessions["purchase"]) == kept[kept["kind"] == "purchase"]["session"].nunique()
    facts = {**kinds, "duplicates": duplicates}
    counted = ", ".join(f"{count:,} {name}" for name, count in sorted(facts.items()))
    return f"{counted}; {len(sessions['purchase']):,} of {len(sessions['all']):,} sessions with a purchase"


def verify_features(
    log: Log, root: Path, days: Sequence[dt.date], secret: bytes, count: int = 1_000
) -> tuple[int, int, int]:
    """Features and labels of sampled sessions are, in every column, those of the definition in the order of the log.

    Of rows that are equal in time and place the published event id decides, as the definition says; what is found there
    is matched by the number of the row in the file.

    Returns:
        How many rows and sessions were compared, and how many of the rows share their instant with another.
    """
    rows = log.kept_on(days)
    sessions = sorted(set(rows["session"]))
    sample = set(random.Random(log.source).sample(sessions, min(count, len(sessions))))
    rows = rows[rows["session"].isin(sample)]
    ids = {day: _event_ids(root, day, log.source) for day in sorted(set(rows["day"]))}
    events: dict[str, list[Event]] = {}
    for at, row in zip(rows.index, rows.to_dict("records"), strict=True):
        events.setdefault(row["session"], []).append(_event(log.source, row, ids[row["day"]][at + 1], secret))
    by_day: dict[dt.date, dict[str, dict[str, Any]]] = {day: {} for day in ids}
    for own in events.values():
        for day in {event.at.date() for event in own}:
            # Labels are known up to the end of the next day, once that was built.
            through = dt.datetime.combine(day + (2 if day + ONE_DAY in days else 1) * ONE_DAY, dt.time(), dt.UTC)
            by_day[day] |= expected_features(own, {log.source: through}, day)
    for day, expected in by_day.items():
        table = _of_source(root / "data" / "session_features" / f"dt={day}" / "data.parquet", log.source, None)
        found = {row["event_id"]: row for row in table.to_pylist() if row["event_id"] in expected}
        assert found == expected, day
    return len(rows), len(events), int(rows.duplicated(subset=["session", "at"], keep=False).sum())


def _event(source: str, row: Mapping[str, Any], event_id: str, secret: bytes) -> Event:
    user = hmac.new(secret, f"{source}\0{row['user']}".encode(), hashlib.sha256).hexdigest()
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, f"ml-data-platform:{source}")
    return Event(
        event_id=event_id,
        at=row["at"].to_pydatetime(),
        kind=row["kind"],
        session=str(uuid.uuid5(namespace, row["session"])),
        user=f"usr_{user[:16]}",
        source=source,
        sequence=row["place"],
    )


def _event_ids(root: Path, day: dt.date, source: str) -> dict[int, str]:
    """Return number of the row to event id; the source has one file."""
    rows = _rows(root, "validated_events", day, source, ["event_id", "source_row"])
    return {int(row["source_row"]): row["event_id"] for row in rows}


def expected_with_followers(landed: Mapping[dt.date, int] | Iterable[dt.date]) -> set[dt.date]:
    """Return the days with rows and those right after them: all that is ever to be built unasked."""
    days = set(landed)
    return days | {day + ONE_DAY for day in days}


def _rows(root: Path, asset: str, day: dt.date, source: str, columns: list[str]) -> list[dict[str, str]]:
    return list(_of_source(root / "data" / asset / f"dt={day}" / "data.parquet", source, columns).to_pylist())


def _count_source(root: Path, asset: str, day: dt.date, source: str) -> int:
    return int(_of_source(root / "data" / asset / f"dt={day}" / "data.parquet", source, []).num_rows)


def _of_source(path: Path, source: str, columns: list[str] | None) -> pa.Table:
    table = pq.ParquetFile(path).read(columns=None if columns is None else [*columns, "source"])
    return table.filter(pc.equal(table["source"], source))

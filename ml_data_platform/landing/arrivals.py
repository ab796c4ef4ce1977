"""How late the rows of one routed file are.

Belongs here: measuring a fragment against the decision taken about its file. Does not belong here: the decision
(``events.lateness``).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.delays import Delays, bucket_sql
from ml_data_platform.events.lateness import Admission
from ml_data_platform.events.sql_text import sql_instant
from ml_data_platform.storage import duck


@dataclass(frozen=True)
class Timing:
    """What the event times of a file say.

    Attributes:
        event_time: The one that stands for the file where the watermark follows event time; else none.
        delays: From event to arrival, by UTC day ``YYYY-MM-DD``; none for historical loads.
    """

    event_time: dt.datetime | None = None
    delays: dict[str, Delays] = field(default_factory=dict)


def measure(
    fragment: Path, contract: SourceContract, admission: Admission, engine: duckdb.DuckDBPyConnection
) -> Timing:
    """Measure the dated rows of a file.

    Args:
        fragment: A file of LANDED_ROWS.
        contract: The contract of its source.
        admission: What was decided at its landing.
        engine: Made by ``storage.duck.connect``.
    """
    rows = duck.parquet(engine, [fragment])
    said = contract.lateness
    event_time = None
    if said.watermark == "event_time":
        # An integer, because a Python instant of DuckDB comes in a zone of its own making.
        micros = f"SELECT quantile_disc(epoch_us(event_time), $quantile) FROM {rows}"
        event_time = dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(
            microseconds=engine.execute(micros, {"quantile": said.quantile}).fetchall()[0][0]
        )
    return Timing(event_time, {} if admission.is_historical else _delays(rows, admission, engine))


def _delays(rows: str, admission: Admission, engine: duckdb.DuckDBPyConnection) -> dict[str, Delays]:
    arrived = sql_instant(dt.datetime.fromisoformat(admission.arrived_at))
    counts = engine.execute(
        f"""
        SELECT day, {bucket_sql("seconds")} AS bucket, count(*), max(seconds)
        FROM (
            SELECT strftime(event_time, '%Y-%m-%d') AS day,
                (epoch_us({arrived}) - epoch_us(event_time)) / 1e6 AS seconds
            FROM {rows}
        ) GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    buckets: dict[str, dict[int, int]] = {}
    longest: dict[str, float] = {}
    for day, bucket, count, seconds in counts:
        buckets.setdefault(day, {})[bucket] = count
        longest[day] = max(seconds, longest.get(day, seconds))
    return {day: Delays(buckets[day], longest[day]) for day in sorted(buckets)}

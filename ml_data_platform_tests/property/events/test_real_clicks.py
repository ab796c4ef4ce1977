"""Real clicks of the news portal are dated and mapped as the csv module and integer arithmetic say."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import json

import pyarrow as pa
import pytest

from ml_data_platform.events.contracts import SHIPPED_SOURCES, load_contracts
from ml_data_platform.events.parsing import mapping_query, routing_query
from ml_data_platform_tests.real_logs import GLOBO, needs_real_logs


@pytest.mark.real_data
@needs_real_logs
def test_an_hour_of_real_clicks(duck):
    """Each click has its day, its user and session as counted in the file, and its other columns as attributes."""
    path = GLOBO / "clicks_hour_000.csv.gz"
    globo = load_contracts(SHIPPED_SOURCES)["globo"]
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        clicks = list(csv.DictReader(file))
    columns = {
        "source_row": pa.array(range(len(clicks)), pa.int64()),
        "landed": pa.array([json.dumps(click) for click in clicks], pa.string()),
        "defect": pa.nulls(len(clicks), pa.string()),
    }
    duck.register("clicks", pa.table(columns))
    latest = dt.datetime(2018, 1, 1, tzinfo=dt.UTC)
    routed = routing_query(globo, "clicks", start_date=dt.date(2017, 10, 1), latest=latest)
    raw = f"(SELECT 'globo' AS source, 'f' AS source_file, * FROM ({routed}) WHERE undated_reason IS NULL)"
    query = f"SELECT * FROM ({mapping_query({'globo': globo}, raw)}) ORDER BY source_row"
    events = duck.sql(query).to_arrow_table().to_pylist()
    assert len(events) == len(clicks)
    taken = {"user_id", "session_id", "click_timestamp"}
    for click, event in zip(clicks, events, strict=True):
        micros = int(click["click_timestamp"]) * 1_000
        assert event["event_timestamp"] == dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=micros)
        assert json.loads(event["attributes"]) == {key: value for key, value in click.items() if key not in taken}
        assert event["event_type"] == "page_view"
    for landed, mapped in (("user_id", "user_id"), ("session_id", "session_uuid")):
        pairs = {(click[landed], event[mapped]) for click, event in zip(clicks, events, strict=True)}
        assert len(pairs) == len({click[landed] for click in clicks}) == len({event[mapped] for event in events})
    assert len({event["event_id"] for event in events}) == len(clicks)

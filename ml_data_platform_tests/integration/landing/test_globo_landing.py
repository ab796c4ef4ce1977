"""Landing real hourly files."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from datetime import UTC, date, datetime

import pyarrow.parquet as pq
import pytest

from ml_data_platform.events.contracts import SHIPPED_SOURCES, load_contract
from ml_data_platform.landing.landing import LandingTerms, land_file
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.real_logs import GLOBO, needs_real_logs

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.real_data
@needs_real_logs
def test_real_hours_land_to_the_last_click(tmp_path):
    """Twelve hourly files, one of them a bare header: days and cells are those that the csv module reads."""
    paths = [GLOBO / f"clicks_hour_{hour:03d}.csv.gz" for hour in (0, 1, 2, 20, 21, 22, 23, 24, 100, 150, 190, 191)]
    terms = LandingTerms(TableStore(tmp_path, lambda: NOW), date(2017, 10, 1), NOW, threads=1)
    contract = load_contract(SHIPPED_SOURCES / "globo.yaml")
    for path in paths:
        landed = land_file(path, contract, terms)
        with gzip.open(path, "rt", newline="") as stream:
            rows = list(csv.DictReader(stream))
        days = Counter(
            datetime.fromtimestamp(int(row["click_timestamp"]) / 1_000, UTC).date().isoformat() for row in rows
        )
        assert (landed.outcome, landed.record.rows) == ("landed" if rows else "header_only", len(rows))
        assert dict(landed.record.rows_per_day) == dict(days)
        assert landed.record.undated == {}
        if rows:
            name = landed.record.fragment
            stored = pq.read_table(tmp_path / "_store/landed_files/objects" / name[:2] / f"{name}.parquet").to_pylist()
            assert {row["source_row"]: json.loads(row["landed"]) for row in stored} == dict(enumerate(rows, 1))

"""The stage that judges the raw rows of a day, run on rows made by hand."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_data_platform.events.contracts import SHIPPED_SOURCES, load_contracts
from ml_data_platform.events.ids import IdKey
from ml_data_platform.events.schemas import RAW_EVENTS
from ml_data_platform.stages import validated_events
from ml_data_platform.stages.result import EngineLimits
from ml_data_platform.stages.single_table import expected_generation
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform.validation.suites import rules_for
from ml_data_platform_tests.storage_tables import present

DAY = dt.date(2026, 6, 1)
NOON = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
CONTRACTS = load_contracts(SHIPPED_SOURCES)


@pytest.fixture
def judge(tmp_path):
    """Return a function that publishes raw rows and runs the stage over them."""
    store = TableStore(tmp_path, present)

    def run(rows, contracts=CONTRACTS):
        with store.scratch() as scratch:
            raw = scratch / "raw.parquet"
            table = pa.Table.from_pylist(rows, schema=RAW_EVENTS.columns.with_metadata(RAW_EVENTS.metadata))
            pq.write_table(table, raw)
            staged = store.stage(
                RAW_EVENTS,
                DAY,
                {"data.parquet": raw},
                inputs={},
                code_version="1",
                expected_generation=expected_generation(store, RAW_EVENTS, DAY),
            )
            store.commit(staged, run_id="r")
            result = validated_events.build(
                DAY,
                store.ref("raw_events", [DAY]),
                contracts=contracts,
                id_key=IdKey("k", b"secret"),
                store=store,
                scratch=scratch,
                inputs={"raw_events/2026-06-01": "x"},
                engine=EngineLimits(),
                rules=rules_for("validated_events"),
                quarantine_rules=rules_for("quarantined_events"),
                history={},
                profiles={},
            )
            files = {
                file.name: pq.read_table(file.path).to_pylist()
                for staged_table in result.tables.values()
                for file in staged_table.files
            }
        return result, files

    return run

"""Real logs, whose ids mean what they say: no event is merged or split, and hardly a day warns."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import pytest

from ml_data_platform.events.contracts import load_contracts
from ml_data_platform.events.ids import IdKey, bind_id_key
from ml_data_platform.events.parsing import mapping_query
from ml_data_platform.events.registry_file import SHIPPED_SOURCES
from ml_data_platform.landing.routing import route_file
from ml_data_platform.stages.id_findings import find_in_ids
from ml_data_platform.stages.landed_files import limits_of
from ml_data_platform.storage.duck import connect
from ml_data_platform_tests.pipeline_root import settings_for
from ml_data_platform_tests.real_logs import DESKDROP, GLOBO, SOFTSHOP, needs_real_logs

pytestmark = [pytest.mark.real_data, needs_real_logs]
FILES = {
    "deskdrop": [DESKDROP],
    "softshop": [SOFTSHOP],
    "globo": [GLOBO / f"clicks_hour_{n:03}.csv.gz" for n in (0, 20, 21)],
}
REPEATS = {"deskdrop": 11, "softshop": 0, "globo": 0}
# Of one person who read most of what was read on three Saturdays and Sundays.
WARNED = {"deskdrop": Counter({"unusually_frequent_ids": 3}), "softshop": Counter(), "globo": Counter()}


@pytest.mark.parametrize("source", FILES)
def test_repeats_and_warnings_are_those_of_the_log(tmp_path, source):
    """Repeated rows are 11, 0 and 0; of all days with their hundreds of thousands of rows three warn, and rightly."""
    settings = settings_for(tmp_path / "root", start_date=dt.date(1997, 1, 1))
    contract = load_contracts(SHIPPED_SOURCES)[source]
    warned: Counter[str] = Counter()
    with connect(tmp_path, folders=[tmp_path]) as engine:
        bind_id_key(engine, IdKey("k", b"k"))
        for at, path in enumerate(FILES[source]):
            folder = tmp_path / str(at)
            folder.mkdir()
            routed = route_file(
                path,
                contract,
                sha256=f"{at:064x}",
                start_date=settings.start_date,
                latest=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
                folder=folder,
                memory_limit="1GB",
                threads=1,
                is_masked=False,
                limits=limits_of(settings),
            )
            raw = f"(SELECT '{source}' AS source, '{at:064x}' AS source_file, * FROM read_parquet('{routed.fragment.path}'))"
            verb = "INSERT INTO mapped" if at else "CREATE TABLE mapped AS"
            engine.execute(f"{verb} {mapping_query({source: contract}, raw)}")
        ((rows, events),) = engine.execute("SELECT count(*), count(DISTINCT event_id) FROM mapped").fetchall()
        assert rows - events == REPEATS[source]
        published = tmp_path / "day.parquet"
        days = [day for (day,) in engine.execute("SELECT DISTINCT event_time::DATE FROM mapped").fetchall()]
        for day in days:
            of_day = f"SELECT * FROM mapped WHERE event_time::DATE = '{day}'"
            engine.execute(f"CREATE OR REPLACE TEMP VIEW judged AS SELECT *, NULL::VARCHAR[] AS rules FROM ({of_day})")
            engine.execute(f"COPY ({of_day}) TO '{published}' (FORMAT parquet)")
            found = find_in_ids(engine, published).metrics
            engine.execute("DROP TABLE rows_of_ids")
            warned.update(name for name, value in found.items() if value)
    assert warned == WARNED[source], f"of {len(days)} days"

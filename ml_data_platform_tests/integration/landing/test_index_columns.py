"""Files that pandas writes with an index: the position of a row makes no other event of it."""

from __future__ import annotations

import datetime as dt
import io
import json

import pandas as pd
import pytest

from ml_data_platform.events.contracts import parse_contract
from ml_data_platform.events.ids import IdKey, bind_id_key
from ml_data_platform.events.parsing import mapping_query, routing_query
from ml_data_platform.landing.limits import LIMITS
from ml_data_platform.landing.masked_files import read_masked, write_masked
from ml_data_platform.landing.masking import MaskingKeys
from ml_data_platform.landing.readers import read_chunks
from ml_data_platform.landing.sampling import sample_file
from ml_data_platform.storage.duck import connect_without_files

KEYS = MaskingKeys("key", b"s" * 32, b"f" * 32)
COMMON = "source: shop\nschema_version: 1\ncolumns: {event_id: null, user_id: u, session_id: s, event_type: k, timestamp: at}"
EVENTS = pd.DataFrame(
    {
        "u": ["a", "a", "b", "b"],
        "s": "s",
        "k": "search",
        "at": ["2026-06-01T10:00:00Z", "2026-06-01T10:00:01Z", "2026-06-01T10:00:02Z", "2026-06-01T10:00:02Z"],
        "page": ["x", "y", "z", "z"],
    }
)
# Parquet keeps the first beside its columns and the others as a column like any: one of them is enough for all sections.
INDEXES = (range(4), [40, 30, 20, 10], [7, 7, 7, 7])
SECTIONS = {
    "as landed": "",
    "masked": "\npii: {}",
    "dropped": "\npii: {unnamed: drop}",
    "frozen": "\nunknown_columns: freeze",
}


def written(frame: pd.DataFrame, kind: str) -> bytes:
    """Return the bytes that pandas writes without being told anything about the index."""
    target = io.BytesIO()
    (frame.to_csv if kind == "csv" else frame.to_parquet)(target)
    return target.getvalue()


def event_ids(tmp_path, content: bytes, kind: str, section: str) -> list[str]:
    """Return the id of each event of a file, in the file's order."""
    more = "" if "freeze" not in section else "\nidentity: [u, at, page]"
    contract = parse_contract(f"{COMMON}\nformat: {kind}{section}{more}", file="shop.yaml")
    path = tmp_path / "landed"
    path.write_bytes(content)
    if contract.pii is None:
        chunks = list(read_chunks(path, contract))
    else:
        masked = tmp_path / "masked.parquet"
        write_masked(path, contract, KEYS, masked, limits=LIMITS)
        chunks = list(read_masked(masked, contract))
    with connect_without_files() as engine:
        bind_id_key(engine, IdKey("test", b"secret"))
        (chunk,) = chunks
        engine.register("chunk", chunk)
        latest = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)
        routed = routing_query(contract, "chunk", start_date=dt.date(2026, 1, 1), latest=latest)
        raw = f"(SELECT 'shop' AS source, 'f00d' AS source_file, * FROM ({routed}))"
        mapped = mapping_query({"shop": contract}, raw)
        return [row[0] for row in engine.sql(f"SELECT event_id FROM ({mapped}) ORDER BY source_row").fetchall()]


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_position_of_a_row_makes_no_other_event(tmp_path, kind, section):
    """The same rows under another index, or under none, are the same events; equal rows are one, different ones are not."""
    plain = EVENTS.to_csv(index=False).encode() if kind == "csv" else EVENTS.to_parquet(index=False)
    expected = event_ids(tmp_path, plain, kind, SECTIONS[section])
    assert [expected.index(each) for each in expected] == [0, 1, 2, 2]
    for index in INDEXES if kind == "csv" or section == "as landed" else INDEXES[-1:]:
        frame = EVENTS.set_axis(list(index), axis="index")
        assert event_ids(tmp_path, written(frame, kind), kind, SECTIONS[section]) == expected


def test_an_index_of_times_can_be_named(tmp_path):
    """An index without a name that holds the event times is a column that a contract names."""
    frame = EVENTS.set_index("at").rename_axis(None)
    for kind, column in (("csv", "_column_1"), ("parquet", "__index_level_0__")):
        path = tmp_path / kind
        path.write_bytes(written(frame, kind))
        contract = parse_contract(f"{COMMON.replace('at}', column + '}')}\nformat: {kind}", file="shop.yaml")
        (chunk,) = read_chunks(path, contract)
        times = [json.loads(text)[column] for text in chunk["landed"].to_pylist()]
        assert times == list(EVENTS["at"])


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_draft_takes_no_position_for_an_id(tmp_path, kind):
    """Positions are unique numbers, and still no event ids."""
    path = tmp_path / f"shop.{kind}"
    path.write_bytes(written(EVENTS, kind))
    assert list(sample_file(path).profiles) == list(EVENTS.columns)
    path.write_bytes(written(EVENTS.set_index("at").rename_axis(None), kind))
    assert len(sample_file(path).profiles) == len(EVENTS.columns)

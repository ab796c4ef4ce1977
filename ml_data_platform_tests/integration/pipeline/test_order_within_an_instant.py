"""From landed files to features and labels: events of one instant follow one another as their file has them."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_data_platform.stages.landed_files import land_named
from ml_data_platform_tests.pipeline_root import NOW, START, settings_for
from ml_data_platform_tests.schedules import Loop

CONTRACT = """
source: till
format: {format}
schema_version: 2
columns: {{event_id: id, user_id: who, session_uuid: visit, event_type: what, event_timestamp: at}}
event_time: {{epoch_unit: s}}
"""
MASKED = "pii: {columns: {who: mask}, unnamed: keep}\n"
NOON = int(dt.datetime.combine(START, dt.time(12), dt.UTC).timestamp())
KINDS = ["page_view", "purchase", "add_to_cart", "page_view", "purchase", "search"]
# Ids fall as rows rise, so that an order by id is the order of the file reversed.
ROWS = [
    {"id": f"e{9 - number}", "who": "u", "visit": "v", "what": kind, "at": str(NOON)}
    for number, kind in enumerate(KINDS)
]
MORE = [{**ROWS[0], "id": "e1", "at": str(NOON + 60)}, {**ROWS[0], "id": "e0", "at": str(NOON + 60), "visit": "w"}]


def as_csv(rows: list[dict[str, str]]) -> bytes:
    """The rows behind a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_jsonl(rows: list[dict[str, str]]) -> bytes:
    """A row a line."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_parquet(rows: list[dict[str, str]]) -> bytes:
    """The rows as columns, in two groups."""
    target = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), target, row_group_size=4)
    return target.getvalue()


FORMATS = {"csv": as_csv, "jsonl": as_jsonl, "parquet": as_parquet}


def built(folder: Path, contract: str, files: dict[str, bytes], like: Loop | None = None) -> Loop:
    """Land files in their order and build what follows, in a root of one source, with the keys of another."""
    sources = folder / "sources"
    sources.mkdir(parents=True)
    (sources / "till.yaml").write_text(contract, encoding="utf-8")
    if like is not None:
        shutil.copytree(like.settings.root / "secrets", folder / "root" / "secrets")
    loop = Loop(settings_for(folder / "root", sources=sources), NOW, source="till")
    for name, content in files.items():
        path = folder / name
        path.write_bytes(content)
        land_named(loop.platform, "till", [path])
    loop.settle()
    return loop


def rows_of(loop: Loop, asset: str) -> dict[str, dict[str, object]]:
    """Event id to row of the day."""
    path = loop.settings.root / "data" / asset / f"dt={START}" / "data.parquet"
    return {row["event_id"].removeprefix("till:"): row for row in pq.ParquetFile(path).read().to_pylist()}


@pytest.mark.parametrize("is_masked", [False, True], ids=["in clear", "masked"])
@pytest.mark.parametrize("name", FORMATS)
def test_features_and_labels_follow_the_file(tmp_path: Path, name: str, is_masked: bool) -> None:
    """Six rows of one second: counts, purchases before and the label go by their place in the file, in every format."""
    contract = CONTRACT.format(format=name) + (MASKED if is_masked else "")
    loop = built(tmp_path, contract, {"rows": FORMATS[name](ROWS + MORE)})
    assert [row["sequence"] for row in rows_of(loop, "validated_events").values()] == [1, 2, 3, 4, 5, 6, 7, 8]
    features = rows_of(loop, "session_features")
    found = [features[row["id"]] for row in ROWS]
    assert [row["session_event_count"] for row in found] == [1, 2, 3, 4, 5, 6]
    assert [row["session_purchase_count_before"] for row in found] == [0, 0, 1, 1, 1, 2]
    assert [row["seconds_since_previous_event"] for row in found] == [None, 0, 0, 0, 0, 0]
    assert [row["label"] for row in found] == [1, 1, 1, 1, 0, 0]
    assert features["e1"]["session_purchase_count_before"] == 2


def test_a_log_without_order_is_ordered_by_its_ids(tmp_path: Path) -> None:
    """With ``sequence: none`` nothing of the file is in the order: the same rows in another order are the same events."""
    contract = CONTRACT.format(format="jsonl") + "sequence: none\n"
    columns = ["event_id", "sequence"]
    for number, rows in enumerate((ROWS, ROWS[::-1])):
        loop = built(tmp_path / str(number), contract, {"rows": as_jsonl(rows)})
        found = rows_of(loop, "validated_events").values()
        assert [[row[name] for name in columns] for row in found] == [[f"till:e{at}", None] for at in range(4, 10)]


def test_files_in_any_order_give_the_same_order(tmp_path: Path) -> None:
    """Rows of one instant over three files, some of them twice: no byte depends on which was landed first."""
    files = {"a": as_jsonl(ROWS[:3]), "b": as_jsonl([ROWS[5], ROWS[1], ROWS[3]]), "c": as_jsonl([ROWS[4], *MORE])}
    contract = CONTRACT.format(format="jsonl")
    first = built(tmp_path / "first", contract, files)
    places = {name: row["sequence"] for name, row in rows_of(first, "validated_events").items()}
    assert places == {"e9": 1, "e8": 2, "e7": 3, "e4": 1, "e6": 3, "e5": 1, "e1": 2, "e0": 3}
    for order in ("bca", "cab", "cba"):
        again = built(tmp_path / order, contract, {name: files[name] for name in order}, like=first)
        assert again.contents() == first.contents()

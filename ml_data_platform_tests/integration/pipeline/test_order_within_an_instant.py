"""From landed files to features and labels: events of one instant follow one another as their file has them."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ml_data_platform.events.lateness import ONE_DAY
from ml_data_platform_tests.pipeline_root import START, PipelineRoot, settings_for

CONTRACT = """
source: {source}
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


def built(
    folder: Path,
    contracts: Mapping[str, str],
    files: Sequence[tuple[str, bytes]],
    *,
    like: PipelineRoot | None = None,
    days: Sequence[dt.date] = (START,),
) -> PipelineRoot:
    """Land files of sources in their order and build days up to their features, with the keys of another root."""
    sources = folder / "sources"
    sources.mkdir(parents=True)
    for source, contract in contracts.items():
        (sources / f"{source}.yaml").write_text(contract, encoding="utf-8")
    if like is not None:
        shutil.copytree(like.folder / "secrets", folder / "root" / "secrets")
    root = PipelineRoot(settings_for(folder / "root", sources=sources))
    for number, (source, content) in enumerate(files):
        path = folder / f"{source}-{number}"
        path.write_bytes(content)
        root.land(path, source=source)
    assert root.judge(days, layers=2).is_successful
    return root


def rows_of(root: PipelineRoot, asset: str, source: str) -> dict[str, dict[str, object]]:
    """Event id of a source to row of the day."""
    found = [row for row in root.rows(asset, START) if row["event_id"].startswith(f"{source}:")]
    return {row["event_id"].removeprefix(f"{source}:"): row for row in found}


def test_features_and_labels_follow_the_file(tmp_path: Path) -> None:
    """Six rows of one second: counts, purchases before and the label go by their place in the file, in every format."""
    contracts, files = {}, []
    for name, write in FORMATS.items():
        for source, section in ((name, ""), (f"{name}_masked", MASKED)):
            contracts[source] = CONTRACT.format(source=source, format=name) + section
            own = [{**row, "who": source, "visit": f"{source}-{row['visit']}"} for row in ROWS + MORE]
            files.append((source, write(own)))
    # Labels are known once the next day is there.
    root = built(tmp_path, contracts, files, days=[START, START + ONE_DAY])
    for source in contracts:
        places = [row["sequence"] for row in rows_of(root, "validated_events", source).values()]
        assert places == [1, 2, 3, 4, 5, 6, 7, 8]
        features = rows_of(root, "session_features", source)
        found = [features[row["id"]] for row in ROWS]
        assert [row["session_event_count"] for row in found] == [1, 2, 3, 4, 5, 6]
        assert [row["session_purchase_count_before"] for row in found] == [0, 0, 1, 1, 1, 2]
        assert [row["seconds_since_previous_event"] for row in found] == [None, 0, 0, 0, 0, 0]
        assert [row["label"] for row in found] == [1, 1, 1, 1, 0, 0]
        assert features["e1"]["session_purchase_count_before"] == 2


def test_a_log_without_order_is_ordered_by_its_ids(tmp_path: Path) -> None:
    """With ``sequence: none`` nothing of the file is in the order: the same rows in another order are the same events."""
    files = {"forth": as_jsonl(ROWS), "back": as_jsonl(ROWS[::-1])}
    contracts = {source: CONTRACT.format(source=source, format="jsonl") + "sequence: none\n" for source in files}
    root = built(tmp_path, contracts, [*files.items()])
    for source in files:
        found = rows_of(root, "validated_events", source)
        assert [(name, row["sequence"]) for name, row in found.items()] == [(f"e{at}", None) for at in range(4, 10)]


def test_files_in_any_order_give_the_same_order(tmp_path: Path) -> None:
    """Rows of one instant over three files, some of them twice: no byte depends on which was landed first."""
    files = {"a": as_jsonl(ROWS[:3]), "b": as_jsonl([ROWS[5], ROWS[1], ROWS[3]]), "c": as_jsonl([ROWS[4], *MORE])}
    contracts = {"till": CONTRACT.format(source="till", format="jsonl")}
    first = built(tmp_path / "first", contracts, [("till", content) for content in files.values()])
    places = {name: row["sequence"] for name, row in rows_of(first, "validated_events", "till").items()}
    assert places == {"e9": 1, "e8": 2, "e7": 3, "e4": 1, "e6": 3, "e5": 1, "e1": 2, "e0": 3}
    for order in ("bca", "cab", "cba"):
        again = built(tmp_path / order, contracts, [("till", files[name]) for name in order], like=first)
        assert again.contents() == first.contents()

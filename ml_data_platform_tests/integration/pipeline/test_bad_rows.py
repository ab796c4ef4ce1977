"""Every kind of broken row ends where it must, with its reason, and none is lost; through landing and the real job."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from ml_data_platform.validation.suites import rules_for
from ml_data_platform_tests import bad_rows
from ml_data_platform_tests.bad_rows import COLUMNS, DAY, PUBLISHED
from ml_data_platform_tests.pipeline_root import PipelineRoot, settings_for

GOOD = 40
FILES = {
    "bad_json": (bad_rows.json_rows(), bad_rows.json_content),
    "bad_csv": (bad_rows.csv_rows(), bad_rows.csv_content),
    "bad_parquet": (bad_rows.parquet_rows(), bad_rows.parquet_content),
}
CONTRACTS = {
    "bad_json": "format: jsonl\ncolumns: {event_id: event_id}",
    "bad_csv": "format: csv\ncolumns: {" + ", ".join(f"{name}: {name}" for name in COLUMNS[:-1]) + "}",
    "bad_parquet": "format: parquet\ncolumns: {event_id: event_id}",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One file of every format landed, their one day built; every share of broken rows is tolerated."""
    folder = tmp_path_factory.mktemp("bad")
    contracts = folder / "contracts"
    contracts.mkdir()
    for source, text in CONTRACTS.items():
        (contracts / f"{source}.yaml").write_text(f"source: {source}\nschema_version: 2\n{text}\n")
    rules = [rule.name for rule in rules_for("validated_events") if rule.scope == "row"]
    everything = dict.fromkeys([*rules, "rejected_share_is_within_tolerance", "each_event_type_is_mostly_valid"], 1.0)
    root = PipelineRoot(settings_for(folder / "root", sources=contracts, tolerances=everything))
    for source, (rows, content) in FILES.items():
        path = folder / source
        path.write_bytes(content(rows, GOOD))
        (landed,) = root.land(path, source=source)
        assert landed.outcome == "landed", landed.reason
    report = root.backfill([DAY])
    assert report.is_successful, [failure.why for failure in report.failed]
    return root


@pytest.fixture(scope="module", params=sorted(FILES))
def source(request):
    """Each format."""
    return request.param


def record_of(root, source):
    """Return the ledger record of a source's one file."""
    return next(record for record in root.platform.ledger.records() if record.source == source)


@pytest.fixture(scope="module")
def places(root, source):
    """Where each row of a source's file was found: row number to place."""
    found = {}
    record = record_of(root, source)
    undated = root.folder / "data" / "undated_rows" / f"source={source}" / f"{record.sha256}.parquet"
    for row in pq.read_table(undated).to_pylist():
        found.setdefault(row["source_row"], []).append(row["reason"])
    for row in root.rows("quarantined_events", DAY, "disposition=rejected/data.parquet"):
        if row["source"] == source:
            found.setdefault(row["source_row"], []).append(frozenset(row["rules"]))
    for row in root.rows("validated_events", DAY):
        if row["source"] == source:
            found.setdefault(row["source_row"], []).append(PUBLISHED)
    return found


def test_every_bad_row_ends_where_it_must(source, places):
    """Each kind of damage has its reason or its rules, and no others; a good row stands before each and is published."""
    rows, _ = FILES[source]
    wrong = {
        row.kind: (places.get(2 * at + 2), row.place)
        for at, row in enumerate(rows)
        if places.get(2 * at + 2) != [row.place]
    }
    assert wrong == {}
    assert all(places[2 * at + 1] == [PUBLISHED] for at in range(len(rows)))


def test_every_row_ends_once(root, source, places):
    """Landed = routed + undated, and raw = published + duplicates + rejected: each row number occurs exactly once."""
    rows, _ = FILES[source]
    record = record_of(root, source)
    assert sorted(places) == list(range(1, 2 * len(rows) + GOOD + 1))
    assert all(len(place) == 1 for place in places.values())
    assert record.rows == sum(record.rows_per_day.values()) + sum(record.undated.values()) == len(places)
    assert set(record.rows_per_day) == {DAY.isoformat()}


def test_strange_but_harmless_texts_are_kept_to_the_letter(root):
    """Control characters, right-to-left marks, quotes and NULs come back from the attributes as they were sent."""
    events = {row["event_id"]: row for row in root.rows("validated_events", DAY)}
    kinds = [row.kind for row in FILES["bad_json"][0]]
    expected = {
        "page with control characters": "a\x01\x1b[31m\x7f",
        "page right to left": "\u202e\u200f\u2066exe.txt",
        "page with quotes and SQL": "'; DROP TABLE raw_events; --\"\\",
    }
    for source in ("bad_json", "bad_csv"):
        for kind, page in expected.items():
            event = events[f"{source}:e{kinds.index(kind)}"]
            assert json.loads(event["attributes"]) == {"page": page}, (source, kind)
    assert json.loads(events["bad_json:nul"]["attributes"]) == {"page": "a\x00b"}
    assert json.loads(events["bad_csv:nul"]["attributes"]) == {"page": "a\x00b"}
    assert json.loads(events["bad_csv:line"]["attributes"]) == {"page": "a\r\nb"}


def test_what_is_shown_of_bad_rows_is_bounded(root, source):
    """However long a row was, its quarantine shows a bounded part of it, and the kept bytes have the rest."""
    record = record_of(root, source)
    undated = root.folder / "data" / "undated_rows" / f"source={source}" / f"{record.sha256}.parquet"
    for row in pq.read_table(undated).to_pylist():
        assert len(row["landed"]) <= 200_000
        assert len(row["event_time_landed"] or "") <= 200
    rows, content = FILES[source]
    if source != "bad_parquet":
        assert (root.folder / "raw" / record.sha256).read_bytes() == content(rows, GOOD)

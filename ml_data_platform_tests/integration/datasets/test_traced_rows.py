"""Traces of rows that won, lost, were rejected, came late or have odd names; and how little is read for them."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_data_platform.cli.tracing import _lines
from ml_data_platform.datasets.lineage import Lineage, Node
from ml_data_platform.datasets.origins import Origins
from ml_data_platform.errors import UnknownVersionError
from ml_data_platform.events.schemas import VALIDATED_EVENTS
from ml_data_platform.features.catalog import SESSION_FEATURES
from ml_data_platform.storage import duck
from ml_data_platform.storage.ledger import Ledger
from ml_data_platform.storage.parquet import ParquetSink
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.faults.datasets.killed_cuts import cut_now, repository_at
from ml_data_platform_tests.integration.datasets.conftest import TwoVersions
from ml_data_platform_tests.late_shop import SOURCE, days_ago, late_root, lines_of
from ml_data_platform_tests.pipeline_root import PipelineRoot, day
from ml_data_platform_tests.session_logs import as_table
from ml_data_platform_tests.session_oracle import Event
from ml_data_platform_tests.training_days import (
    NOW,
    feature_rows,
    nth,
    publish_events,
    publish_features,
    store_at,
)
from ml_data_platform_tests.version_root import repository_of

ODD = (
    'shop:it\'s "quoted"',
    "shop:[bold red]100%[/] $wanted",
    "shop:line\nbreak \x1b[31m",
    "shop:ü→🛒",
    "shop:date_partitions/2026-04-06",
    "shop:; DROP TABLE events --",
    "shop:" + "long" * 200,
)
DAYS = 12


def lineage_of(root: PipelineRoot) -> Lineage:
    """Return the records of a root that was built through the flow."""
    platform = root.platform
    return Lineage(platform.store, platform.ledger, repository_of(root), root.folder / "models", "500MB", 1)


def quarantined(root: PipelineRoot, disposition: str) -> list[dict[str, Any]]:
    """Return the quarantined rows as plain readers see them."""
    files = sorted((root.folder / "data" / "quarantined_events").glob(f"dt=*/disposition={disposition}/*.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def below(node: Node, kind: str) -> list[Node]:
    """Return the children of a kind."""
    return [child for child in node.children if child.kind == kind]


def test_the_row_that_won_and_those_that_lost_are_named(two_versions: TwoVersions) -> None:
    """For events that came several times: the published row, each of the others, and of these the one that was kept."""
    root = two_versions.root
    lineage, names = lineage_of(root), {r.sha256: r.name for r in root.platform.ledger.records()}
    losers = [row for row in quarantined(root, "duplicate") if row["event_id"]]
    published = {
        row["event_id"]: f"demo_shop/{names[row['source_file']]} row {row['source_row']}"
        for number in range(1, 5)
        for row in root.rows("validated_events", day(number))
    }
    most = [event for event, _ in Counter(row["event_id"] for row in losers).most_common() if event in published]
    assert len(most) > 5
    for event in most[:3] + most[-3:]:
        made_from = lineage.trace(event).made_from
        own = [row for row in losers if row["event_id"] == event]
        expected = {f"demo_shop/{names[row['source_file']]} row {row['source_row']}" for row in own}
        lost = below(made_from, "duplicate row")
        assert {node.facts["landed_row"] for node in lost} == expected
        assert made_from.facts["landed_row"] == published[event]
        assert {node.facts["kept_row"] for node in lost} == {published[event]}


def test_rows_that_are_not_published_say_why(two_versions: TwoVersions) -> None:
    """Rejected rows and rows without a day are found by id and by their place in the file, and are in no version."""
    root = two_versions.root
    lineage, names = lineage_of(root), {r.sha256: r.name for r in root.platform.ledger.records()}
    published = {row["event_id"] for number in range(1, 5) for row in root.rows("validated_events", day(number))}
    for row in [each for each in quarantined(root, "rejected") if each["event_id"]][::15]:
        place = f"{names[row['source_file']]}:{row['source_row']}"
        found = lineage.trace(place)
        assert (found.made_from.kind, found.made_from.facts["rules"]) == ("rejected row", ", ".join(row["rules"]))
        if row["event_id"] not in published:
            assert lineage.trace(row["event_id"]).made_from.kind in {"rejected row", "event"}
        assert found.contained_in == ()
    undated = [
        row
        for path in sorted((root.folder / "data" / "undated_rows").rglob("*.parquet"))
        for row in pq.ParquetFile(path).read().to_pylist()
    ]
    row = next(each for each in undated if "event_id" in each["landed"] and each["reason"] == "event_time_missing")
    for what in (f"{row['source_file'][:12]}:{row['source_row']}", json.loads(row["landed"])["event_id"]):
        made_from = lineage.trace(what).made_from
        assert (made_from.kind, made_from.facts["reason"]) == ("row without a day", "event_time_missing")
    with pytest.raises(UnknownVersionError, match="no record holds such a row"):
        lineage.trace(f"{row['source_file'][:12]}:999999")


def test_a_row_that_came_too_late_is_found(tmp_path: Path) -> None:
    """By the id in its text, and by its place: of which day it is, and that it is kept apart."""
    root = late_root(tmp_path)
    lines = lines_of(days_ago(9), 2, name="late")
    root.drop("late.jsonl", lines, source=SOURCE)
    lineage = lineage_of(root)
    for what in (lines[1]["event_id"], f"{SOURCE}:{lines[1]['event_id']}", "late.jsonl:2"):
        made_from = lineage.trace(what).made_from
        assert (made_from.kind, made_from.facts["landed_row"]) == ("too late row", f"{SOURCE}/late.jsonl row 2")
        assert made_from.facts["event_timestamp"].startswith(str(days_ago(9)))


@pytest.fixture(scope="module")
def many_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve days with events, some with odd ids and one id on two days, and three versions of them."""
    root = tmp_path_factory.mktemp("many") / "root"
    store = store_at(root)
    for number in range(1, DAYS + 1):
        publish(store, number, seed=0)
    cut_now(root)
    publish(store, DAYS, seed=1)
    cut_now(root)
    return root


def publish(store: TableStore, number: int, seed: int) -> None:
    """Publish the events of a day and what follows from them."""
    of = nth(number)
    features = feature_rows(of, rows=60, seed=seed)
    ids = features["event_id"].to_pylist()
    if number == 3:
        ids[: len(ODD)] = ODD
        features = features.set_column(0, "event_id", pa.array(ids))
    rows = zip(ids, features["event_timestamp"].to_pylist(), strict=True)
    events = [replace(Event(event, at), session=f"{of}-{place}") for place, (event, at) in enumerate(rows)]
    if number in {5, 6}:
        events.append(Event("shop:twice", events[-1].at + dt.timedelta(seconds=1)))
    content = publish_events(store, of, as_table(events))
    publish_features(store, of, features, events={str(of): content})


def lineage_at(root: Path) -> Lineage:
    """Return the records of a root that was published without the flow."""
    store = store_at(root)
    return Lineage(store, Ledger(store.objects), repository_at(root), root / "models", "500MB", 1)


@pytest.mark.parametrize("event", ODD)
def test_odd_ids_are_found_and_shown(many_days: Path, event: str, tmp_path: Path) -> None:
    """Quotes, markup, control characters, SQL, names of partitions: the row is found, JSON holds the id, lines are safe."""
    found = lineage_at(many_days).trace(event)
    assert (found.made_from.kind, found.made_from.name) == ("event", event)
    assert [node.facts["rows"] for node in found.contained_in] == [1, 1]
    assert json.loads(json.dumps(found.to_json()))["made_from"]["name"] == event
    lines = CommandLine(tmp_path).ok("trace", event, "--root", many_days).out.splitlines()
    assert all(line.isprintable() for line in lines)
    assert len(lines) == len(list(_lines(found.made_from))) + sum(
        len(list(_lines(each))) for each in found.contained_in
    )
    assert event.encode("unicode_escape").decode() in lines[0] or event in lines[0]


def test_tree_and_json_say_the_same(many_days: Path, tmp_path: Path) -> None:
    """Every node of the document has its line, in its order, with its name and its facts; markup is not read."""
    event = ODD[1]
    found = lineage_at(many_days).trace(event)
    cli, at = CommandLine(tmp_path), ("--root", str(many_days))
    document = json.loads(cli.ok("trace", event, *at, "--day", str(nth(3)), "--json").out)
    assert document == found.to_json()
    lines = cli.ok("trace", event, *at).out.splitlines()

    def nodes(node: dict[str, Any]) -> Iterable[dict[str, Any]]:
        yield node
        for child in node["children"]:
            yield from nodes(child)

    every = [each for top in (document["made_from"], *document["contained_in"]) for each in nodes(top)]
    assert len(lines) == len(every)
    for line, node in zip(lines, every, strict=True):
        assert f"{node['kind']} {node['name']}" in line
        assert all(f"{name} " in line for name in ("rows", "generation") if name in node["facts"])


def test_an_id_on_several_days_shows_each(many_days: Path) -> None:
    """The same id of two days: both rows and their days; with a day, that one."""
    lineage = lineage_at(many_days)
    both = lineage.trace("shop:twice").made_from
    assert (both.facts["found"], [len(below(child, "partition")) for child in both.children]) == (2, [1, 1])
    (partition,) = below(lineage.trace("shop:twice", str(nth(6))).made_from, "partition")
    assert partition.name == f"validated_events/{nth(6)}"
    with pytest.raises(UnknownVersionError, match="nothing that is recorded"):
        lineage.trace("shop:twice", str(nth(7)))


def test_names_that_several_things_have_are_refused(many_days: Path) -> None:
    """A part of two tags, and a short part of one; a whole name is no part."""
    lineage = lineage_at(many_days)
    first, second = repository_at(many_days).tags()
    with pytest.raises(UnknownVersionError, match=f"several versions have this name.*{first}; {second}"):
        lineage.trace(first[:12])
    assert lineage.trace(first).made_from.name == first
    assert lineage.trace(first[-8:]).made_from.name == first
    for too_short in ("data/", "2026", first[-3:]):
        with pytest.raises(UnknownVersionError, match="nothing that is recorded"):
            lineage.trace(too_short)


def test_no_more_files_are_opened_than_the_records_leave_open(
    many_days: Path, two_versions: TwoVersions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event: each file of events once, then its day; with its day: that day alone; a landed file: its days alone."""
    opened: list[str] = []
    honest = duck.parquet

    def watched(connection: Any, paths: Iterable[str], **more: Any) -> str:
        listed = [str(path) for path in paths]
        opened.extend(listed)
        return honest(connection, listed, **more)

    monkeypatch.setattr(duck, "parquet", watched)
    lineage = lineage_at(many_days)
    events = DAYS + 1  # the last day was published twice
    for what, how_many in ((("shop:2026-04-09-0-7",), events + 1), (("shop:2026-04-09-0-7", "2026-04-09"), 2)):
        opened.clear()
        assert len(lineage.trace(*what).contained_in) == 2
        assert len(opened) == how_many
    opened.clear()
    assert lineage.trace("latest").made_from.kind == "version"
    assert lineage.trace(f"date_partitions/{nth(2)}").made_from.kind == "partition"
    assert opened == []
    (version,) = lineage_of(two_versions.root).trace("late.jsonl").contained_in
    assert version.facts["rows"] == 10
    assert all("objects" in path for path in opened)
    assert len(opened) <= 4  # the events and the rows of one day, of two versions


def test_of_equal_instants_the_generation_that_was_read_is_named(tmp_path: Path) -> None:
    """Features that came out the same from other events: a reader of before is not said to have read what came after.

    At different instants the time tells; at equal ones the run, and without it that nothing is made anew from the same.
    """
    clock = [NOW]
    store = TableStore(tmp_path / "root", lambda: clock[0])
    rows = feature_rows(nth(1), rows=20)

    def commit(table: Any, content: pa.Table, inputs: dict[str, str], run: str) -> str:
        head = store.head(table.name, nth(1))
        with store.scratch() as scratch:
            with ParquetSink(scratch / "rows.parquet", table) as sink:
                sink.write(content.cast(table.columns))
            staged = store.stage(
                table, nth(1), {"data.parquet": scratch / "rows.parquet"}, inputs=inputs, code_version="1",
                expected_generation=head.generation if head else 0,
            )  # fmt: skip
            store.commit(staged, run_id=run)
        return staged.content

    origins = Origins(store, Ledger(store.objects), repository_at(tmp_path))
    events = [commit(VALIDATED_EVENTS, as_table([Event(f"shop:{n}", NOW)]), {}, f"run-{n}") for n in (1, 2)]
    content = commit(SESSION_FEATURES, rows, {f"validated_events/{nth(1)}": events[0]}, "run-1")
    reader = store.head("session_features", nth(1))
    assert reader is not None
    commit(SESSION_FEATURES, rows, {f"validated_events/{nth(1)}": events[1]}, "run-2")
    clock[0] = NOW + dt.timedelta(seconds=5)
    commit(SESSION_FEATURES, rows, {f"validated_events/{nth(1)}": "absent"}, "run-3")
    for run, later, generation in (("run-1", 0, 1), ("run-2", 0, 2), ("other", 0, 1), ("other", 1, 2), ("other", 9, 3)):
        at = (NOW + dt.timedelta(seconds=later)).isoformat(timespec="microseconds")
        read = origins.of_partition(
            "session_features", str(nth(1)), content, replace(reader, run_id=run, committed_at=at)
        )
        assert read.facts["generation"] == generation, (run, later)

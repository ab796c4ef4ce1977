"""From published validated events to features, summaries and training files, through a real store."""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_data_platform.events.schemas import EVENT_TYPES, VALIDATED_EVENTS
from ml_data_platform.features.catalog import SESSION_FEATURES, columns_with_role, feature_columns
from ml_data_platform.stages import (
    date_partitions,
    label_partitions,
    session_features,
    session_summaries,
    stratified_partitions,
)
from ml_data_platform.stages.result import EngineLimits, StageResult
from ml_data_platform.storage.parquet import ParquetSink
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform.validation.suites import rules_for
from ml_data_platform_tests.session_logs import ALL_SEEN, MIDNIGHT, THE_DAY, as_table
from ml_data_platform_tests.session_oracle import Event, expected_features, expected_summaries

ONE_DAY = dt.timedelta(days=1)
SMALL = EngineLimits("500MB", 2)
TRAINING = {
    "date_partitions": date_partitions,
    "label_partitions": label_partitions,
    "stratified_partitions": stratified_partitions,
}


def new_store(root: Path) -> TableStore:
    """A store with a standing clock."""
    return TableStore(root, lambda: dt.datetime(2026, 3, 10, tzinfo=dt.UTC))


def random_log(seed: int, sessions: int, days: Sequence[int] = (-1, 0, 1)) -> list[Event]:
    """Sessions of 1 to 12 events up to an hour apart, some in ties, three sessions a user."""
    rng = random.Random(seed)
    events = []
    for session in range(sessions):
        at = MIDNIGHT + rng.choice(days) * ONE_DAY + dt.timedelta(seconds=rng.randrange(86_400))
        for number in range(rng.randint(1, 12)):
            at += dt.timedelta(seconds=rng.choice([0, 1, 60, 3_600]))
            kind = rng.choices(EVENT_TYPES, [6, 2, 1, 2, 1])[0]
            events.append(
                Event(
                    f"shop:{session}-{number}",
                    at,
                    kind,
                    session=f"session-{session}",
                    user=f"usr_{session // 3:016x}",
                    sequence=rng.choice([None, number]),
                    cents=rng.randrange(1, 10_000) if kind == "purchase" else None,
                )
            )
    return [event for event in events if abs((event.at.date() - THE_DAY).days) <= 1]


def publish(store: TableStore, events: Iterable[Event], day: dt.date, *, shuffle: int | None = None) -> None:
    """Publish the events of a day, in their order or in any."""
    rows = sorted((event for event in events if event.at.date() == day), key=lambda event: event.place)
    if shuffle is not None:
        random.Random(shuffle).shuffle(rows)
    publish_rows(store, as_table(rows), day)


def publish_rows(store: TableStore, rows: pa.Table, day: dt.date) -> None:
    """Publish rows of validated events as they are."""
    with store.scratch() as scratch:
        path = scratch / "rows.parquet"
        with ParquetSink(path, VALIDATED_EVENTS) as sink:
            sink.write(rows)
        staged = store.stage(
            VALIDATED_EVENTS, day, {"data.parquet": path}, inputs={}, code_version="1", expected_generation=0
        )
        store.commit(staged, run_id="test")


def build(
    store: TableStore, stage: ModuleType, asset: str, day: dt.date = THE_DAY, engine: EngineLimits = SMALL, **more: Any
) -> StageResult:
    """Build one partition from what is published, and publish it unless it is refused."""
    three_days = [day - ONE_DAY, day, day + ONE_DAY]
    if asset == "session_features":
        ref = store.ref("validated_events", three_days)
        more = {"mature_through": ALL_SEEN} | more
    elif asset == "session_summaries":
        ref = store.ref("validated_events", three_days)
    else:
        ref = store.ref("session_features", [day])
    if asset == "stratified_partitions":
        more = {"fold_count": 5, "fold_salt": "fold-1"} | more
    with store.scratch() as scratch:
        result: StageResult = stage.build(
            day, ref, store=store, scratch=scratch, inputs={}, engine=engine, rules=rules_for(asset), **more
        )
        for staged in result.tables.values():
            store.commit(staged, run_id="test")
    return result


def files_of(store: TableStore, asset: str, day: dt.date = THE_DAY) -> dict[str, list[dict[str, Any]]]:
    """The published rows of a partition, by file."""
    head = store.head(asset, day)
    assert head is not None
    ref = store.ref(asset, [day])
    return {
        entry.name: pq.ParquetFile(ref.paths(day, entry.name)[0]).read().to_pylist()
        for entry in sorted(head.files, key=lambda entry: entry.name)
    }


@pytest.fixture(scope="module")
def log() -> list[Event]:
    """Some 400 events over three days."""
    return random_log(seed=1, sessions=90)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, log: list[Event]) -> TableStore:
    """A root with everything built for the day; its path looks like a Hive partition on purpose."""
    root = tmp_path_factory.mktemp("roots") / "label=none" / "fold=9"
    root.mkdir(parents=True)
    store = new_store(root)
    for offset in (-1, 0, 1):
        publish(store, log, THE_DAY + offset * ONE_DAY)
    build(store, session_features, "session_features")
    build(store, session_summaries, "session_summaries")
    for asset, stage in TRAINING.items():
        build(store, stage, asset)
    return store


def test_published_features_are_the_definition(store: TableStore, log: list[Event]) -> None:
    """The stage publishes one row per event of the day with the values of the definition, in total order."""
    (rows,) = files_of(store, "session_features").values()
    assert {row["event_id"]: row for row in rows} == expected_features(log, ALL_SEEN, THE_DAY)
    assert rows == sorted(rows, key=lambda row: (row["event_timestamp"], row["event_id"]))


def test_published_summaries_are_the_definition(store: TableStore, log: list[Event]) -> None:
    """The stage reads the day alone, though its reference holds three."""
    (rows,) = files_of(store, "session_summaries").values()
    assert {row["session_uuid"]: row for row in rows} == expected_summaries(log, THE_DAY)


def test_training_tables_hold_each_mature_row_once(store: TableStore, log: list[Event]) -> None:
    """The rows of the date file, of both label files and of all folds are the same, and are the definition's."""
    names = [*columns_with_role("key"), *feature_columns()]
    expected = {
        event_id: {name: row[name] for name in names} | {"label": row["label"]}
        for event_id, row in expected_features(log, ALL_SEEN, THE_DAY).items()
    }
    (dated,) = files_of(store, "date_partitions").values()
    assert {row["event_id"]: row for row in dated} == expected
    assert len(dated) == len(expected)
    labelled = [
        row | {"label": int("positive" in name)}
        for name, rows in files_of(store, "label_partitions").items()
        for row in rows
    ]
    folded = [row for rows in files_of(store, "stratified_partitions").values() for row in rows]
    order = [row["event_id"] for row in dated]
    for rows in (labelled, folded):
        assert sorted(rows, key=lambda row: order.index(row["event_id"])) == dated


def test_folds_are_those_of_the_users(store: TableStore) -> None:
    """Each row lies in the fold that hashlib gives its user."""
    for name, rows in files_of(store, "stratified_partitions").items():
        for row in rows:
            digest = hashlib.md5(f"fold-1:{row['user_id']}".encode()).digest()
            assert name == f"fold={int.from_bytes(digest[:4], 'big') * 5 // 2**32}/data.parquet"


def test_a_user_has_one_fold_on_every_day(tmp_path: Path) -> None:
    """Built for two days on their own, no user is in two folds, so nothing leaks across days."""
    store = new_store(tmp_path)
    log = random_log(seed=2, sessions=120, days=(0, 1))
    folds: dict[str, set[str]] = {}
    for day in (THE_DAY, THE_DAY + ONE_DAY):
        publish(store, log, day)
    for day in (THE_DAY, THE_DAY + ONE_DAY):
        build(store, session_features, "session_features", day, mature_through={"shop": MIDNIGHT + 9 * ONE_DAY})
        build(store, stratified_partitions, "stratified_partitions", day)
        for name, rows in files_of(store, "stratified_partitions", day).items():
            for row in rows:
                folds.setdefault(row["user_id"], set()).add(name)
    assert {len(names) for names in folds.values()} == {1}
    assert len(set.union(*folds.values())) == 5


def test_immature_rows_stay_out_of_training_data(tmp_path: Path, log: list[Event]) -> None:
    """With the source seen to noon of the next day, exactly the rows up to noon are training data."""
    store, noon = new_store(tmp_path), MIDNIGHT + dt.timedelta(hours=12)
    for offset in (-1, 0, 1):
        publish(store, log, THE_DAY + offset * ONE_DAY)
    result = build(store, session_features, "session_features", mature_through={"shop": noon + ONE_DAY})
    early = {event.event_id for event in log if event.at.date() == THE_DAY and event.at <= noon}
    assert result.metadata["session_features"]["mature_rows"] == len(early) > 0
    for asset, stage in TRAINING.items():
        build(store, stage, asset)
        assert {row["event_id"] for rows in files_of(store, asset).values() for row in rows} == early


def test_an_empty_day_is_published_with_all_its_files(tmp_path: Path) -> None:
    """A day without rows passes every check and writes every file, with the declared columns and no rows."""
    store = new_store(tmp_path)
    publish(store, [], THE_DAY)
    results = [
        build(store, session_features, "session_features", mature_through={}),
        build(store, session_summaries, "session_summaries"),
        *(build(store, stage, asset) for asset, stage in TRAINING.items()),
    ]
    assert all(check.passed for result in results for check in result.checks)
    assert files_of(store, "session_features") == {"data.parquet": []}
    assert files_of(store, "session_summaries") == {"data.parquet": []}
    assert files_of(store, "date_partitions") == {"data.parquet": []}
    assert files_of(store, "label_partitions") == {
        "label=negative/data.parquet": [],
        "label=positive/data.parquet": [],
    }
    assert files_of(store, "stratified_partitions") == {f"fold={fold}/data.parquet": [] for fold in range(5)}


def test_a_neighbour_that_was_never_built_has_no_rows(tmp_path: Path, log: list[Event]) -> None:
    """Without the days beside it, a day is computed from itself, and the absence is reported."""
    store = new_store(tmp_path)
    publish(store, log, THE_DAY)
    result = build(store, session_features, "session_features")
    (rows,) = files_of(store, "session_features").values()
    today = [event for event in log if event.at.date() == THE_DAY]
    assert {row["event_id"]: row for row in rows} == expected_features(today, ALL_SEEN, THE_DAY)
    assert result.metadata["session_features"]["absent_days"] == "2026-03-03, 2026-03-05"


def test_bytes_depend_on_nothing_but_the_rows(tmp_path: Path) -> None:
    """Threads, memory and the order of rows in the input files change no byte of any table."""
    log = random_log(seed=3, sessions=1_500)
    contents: dict[str, set[str]] = {}
    for number, (engine, shuffle) in enumerate(
        [
            (EngineLimits("1GB", 1), None),
            (EngineLimits("1GB", 4), 7),
            (EngineLimits("150MB", 2), 8),
        ]
    ):
        store = new_store(tmp_path / str(number))
        for offset in (-1, 0, 1):
            publish(store, log, THE_DAY + offset * ONE_DAY, shuffle=shuffle)
        results = [
            build(store, session_features, "session_features", engine=engine),
            build(store, session_summaries, "session_summaries", engine=engine),
            *(build(store, stage, asset, engine=engine) for asset, stage in TRAINING.items()),
        ]
        for result in results:
            for asset, staged in result.tables.items():
                contents.setdefault(asset, set()).add(staged.content)
    assert {asset: len(found) for asset, found in contents.items()} == dict.fromkeys(
        ["session_features", "session_summaries", *TRAINING], 1
    )


def test_a_day_that_breaks_a_blocking_rule_is_refused(tmp_path: Path, log: list[Event]) -> None:
    """A row without user, which the stage before should have stopped, keeps the day from being staged at all."""
    store = new_store(tmp_path)
    rows = as_table(event for event in log if event.at.date() == THE_DAY).to_pylist()
    rows[3]["user_id"] = None
    publish_rows(store, pa.Table.from_pylist(rows, schema=VALIDATED_EVENTS.columns), THE_DAY)
    result = build(store, session_features, "session_features")
    assert result.is_blocked
    assert [check.name for check in result.failed] == ["user_ids_are_present"]
    assert result.tables == {}
    assert store.head("session_features", THE_DAY) is None


def test_an_event_that_is_there_twice_is_refused(tmp_path: Path, log: list[Event]) -> None:
    """Uniqueness is judged on the features as written, not believed of the stage before."""
    store = new_store(tmp_path)
    today = [event for event in log if event.at.date() == THE_DAY]
    publish_rows(store, as_table([*today, today[0]]), THE_DAY)
    result = build(store, session_features, "session_features")
    assert "event_ids_are_unique" in [check.name for check in result.failed]
    assert result.tables == {}


def test_a_feature_that_looks_ahead_refuses_its_day(
    store: TableStore, log: list[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running count that became the session's total is found out by recomputing on truncated logs, and not published."""
    ahead = new_store(tmp_path)
    for day in (THE_DAY - ONE_DAY, THE_DAY, THE_DAY + ONE_DAY):
        publish(ahead, [event for event in log if event.at.date() == day], day)
    honest = session_features.session_features_query

    def leaking(*arguments: Any) -> str:
        total = "max(session_event_count) OVER (PARTITION BY session_uuid)"
        return f"SELECT * REPLACE ({total} AS session_event_count) FROM ({honest(*arguments)})"

    assert not build(ahead, session_features, "session_features").is_blocked
    monkeypatch.setattr(session_features, "session_features_query", leaking)
    result = build(ahead, session_features, "session_features")
    assert [check.name for check in result.failed] == ["features_are_known_at_prediction_time"]


@pytest.mark.parametrize("early", [dt.timedelta(hours=1), dt.timedelta(microseconds=1)])
def test_a_label_before_its_horizon_refuses_its_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early: dt.timedelta
) -> None:
    """Labels are given as if more had been seen than has been, by an hour or by a microsecond: the day is refused."""
    store, noon = new_store(tmp_path), MIDNIGHT + dt.timedelta(hours=12)
    seconds = dt.timedelta(seconds=1)
    publish(
        store,
        [
            Event(f"shop:{number}", at, "page_view", session=f"session-{number}", user="usr_" + "0" * 16)
            for number, at in enumerate([noon - seconds, noon, noon + dt.timedelta(microseconds=1), noon + seconds])
        ],
        THE_DAY,
    )
    honest = session_features.session_features_query

    def too_soon(events: str, seen: dict[str, dt.datetime], day: dt.date) -> str:
        return honest(events, {source: instant + early for source, instant in seen.items()}, day)

    seen = {"shop": noon + ONE_DAY}
    result = build(store, session_features, "session_features", mature_through=seen)
    assert (result.is_blocked, result.metadata["session_features"]["mature_rows"]) == (False, 2)
    monkeypatch.setattr(session_features, "session_features_query", too_soon)
    result = build(store, session_features, "session_features", mature_through=seen)
    (check,) = result.failed
    assert (check.name, check.value) == ("labels_are_null_until_mature", 1 if early < seconds else 2)


def test_the_files_are_of_the_declared_schema(store: TableStore) -> None:
    """Names, types and order of the columns of a published file are the catalog's."""
    found = pq.read_schema(store.ref("session_features", [THE_DAY]).paths()[0])
    assert found.names == SESSION_FEATURES.columns.names
    assert found.types == SESSION_FEATURES.columns.types


def test_an_id_of_a_neighbouring_day_is_a_warning(tmp_path: Path) -> None:
    """Two ids of the day are also on the days beside it: counted, named with the other day, and published."""
    store, events = new_store(tmp_path), random_log(5, 40)
    of_day = sorted(event.event_id for event in events if event.at.date() == THE_DAY)[:2]
    copies = [
        Event(of_day[0], MIDNIGHT - ONE_DAY / 2, "page_view", session="copy", user="usr_" + "0" * 16),
        Event(of_day[1], MIDNIGHT + 3 * ONE_DAY / 2, "page_view", session="copy", user="usr_" + "0" * 16),
    ]
    for offset in (-1, 0, 1):
        publish(store, [*events, *copies], THE_DAY + offset * ONE_DAY)
    result = build(store, session_features, "session_features")
    (check,) = [each for each in result.checks if each.name == "event_ids_are_unique_across_neighbouring_days"]
    assert (check.passed, check.value) == (False, 2)
    assert check.examples == (
        f"{of_day[0]}: also on {THE_DAY - ONE_DAY}",
        f"{of_day[1]}: also on {THE_DAY + ONE_DAY}",
    )
    assert "session_features" in result.tables

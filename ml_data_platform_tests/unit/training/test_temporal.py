"""The split of time: nothing is shuffled, no label looks across, and what cannot be split is refused."""

from __future__ import annotations

import datetime as dt
import random
from hashlib import md5
from typing import cast, get_args

import duckdb
import pyarrow as pa
import pytest

from ml_data_platform.errors import SplitError
from ml_data_platform.features.dialects import DUCKDB, render
from ml_data_platform.training.temporal import (
    PLACES,
    SHARED_USERS,
    Part,
    SharedUsers,
    SplitRows,
    TemporalSplit,
    cutoff_instant,
    cutoff_text,
    part_of,
    part_query,
    require_room,
    split_at,
    split_rows_query,
    split_text,
)

DAY = dt.date(2026, 5, 10)
CUTOFF = dt.datetime(2026, 5, 10, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def random_rows(seed: int, count: int = 400) -> list[dict[str, object]]:
    """Return rows around the cutoff; sessions belong to users, and some of both cross it."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        session = rng.randrange(120)
        at = CUTOFF + dt.timedelta(hours=rng.choice([-24, 0, rng.uniform(-90, 60)]))
        rows.append({"n": number, "event_timestamp": at, "session_uuid": f"s{session}", "user_id": f"u{session % 50}"})
    return rows


def run(rows: list[dict[str, object]], query: str) -> list[tuple[int, ...]]:
    """Run a query over the relation ``log``."""
    table = pa.Table.from_pylist(rows).cast(
        pa.schema(
            [
                ("n", pa.int64()),
                ("event_timestamp", pa.timestamp("us", "UTC")),
                *((c, pa.string()) for c in ("session_uuid", "user_id")),
            ]
        )
    )
    with duckdb.connect() as connection:
        connection.register("log", table)
        return connection.execute(render(query, DUCKDB)).fetchall()


def select(rows: list[dict[str, object]], split: TemporalSplit, part: str) -> set[int]:
    """Run the query of one part."""
    return {row[0] for row in run(rows, part_query("log", split, part, "n"))}


def count(rows: list[dict[str, object]], split: TemporalSplit) -> SplitRows:
    """Run the query that counts."""
    return SplitRows(*run(rows, split_rows_query("log", split))[0])


def places(rows: list[dict[str, object]], shared: str) -> dict[str, set[int]]:
    """Return the place of every row, by the definition in plain Python."""
    half = {row["user_id"]: int(md5(f"tested:{row['user_id']}".encode()).hexdigest()[:8], 16) % 2 for row in rows}
    tested = [
        row for row in rows if row["event_timestamp"] >= CUTOFF and (shared != "divide" or not half[row["user_id"]])
    ]
    sessions, users = {row["session_uuid"] for row in tested}, {row["user_id"] for row in tested}
    found: dict[str, set[int]] = {place: set() for place in PLACES}
    for row in rows:
        if row in tested:
            place = "test"
        elif row["event_timestamp"] >= CUTOFF:
            place = "shared_users"
        elif row["event_timestamp"] >= CUTOFF - 24 * HOUR:
            place = "embargo"
        elif row["session_uuid"] in sessions:
            place = "shared_sessions"
        elif (shared == "purge" and row["user_id"] in users) or (shared == "divide" and not half[row["user_id"]]):
            place = "shared_users"
        else:
            place = "train"
        found[place].add(row["n"])
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shared", get_args(SharedUsers))
def test_every_row_has_one_place(seed: int, shared: str) -> None:
    """Parts follow their definition, the counts say what is left out and why, and together they are all rows."""
    rows = random_rows(seed)
    split = split_at(DAY, shared_users=shared)
    expected = places(rows, shared)
    counted = count(rows, split)
    assert select(rows, split, "test") == expected["test"]
    assert select(rows, split, "train") == expected["train"]
    assert select(rows, split, "all") == set(range(len(rows)))
    assert {place: getattr(counted, place) for place in PLACES} == {place: len(expected[place]) for place in PLACES}
    assert sum(map(len, expected.values())) == len(rows)
    known = {row["user_id"] for row in rows if row["n"] in expected["train"]}
    of_known = [row for row in rows if row["n"] in expected["test"] and row["user_id"] in known]
    assert counted.test_of_known_users == len(of_known)
    assert min(len(expected[place]) for place in ("test", "embargo", "shared_sessions")) > 0
    assert expected["train"] or shared == "purge"
    assert bool(expected["shared_users"]) == (shared in {"divide", "purge"})


@pytest.mark.parametrize("seed", range(3))
def test_by_default_no_row_is_left_out_but_the_embargo(seed: int) -> None:
    """Where no session goes on for a day, train, test and the day before the cutoff are all rows; users are on both sides."""
    rows = [{**row, "session_uuid": f"s{row['n']}"} for row in random_rows(seed)]
    split = split_at(DAY)
    train, test = (select(rows, split, part) for part in ("train", "test"))
    day = {row["n"] for row in rows if CUTOFF - 24 * HOUR <= row["event_timestamp"] < CUTOFF}
    assert len(train) + len(test) + len(day) == len(train | test | day) == len(rows)
    users = [{row["user_id"] for row in rows if row["n"] in part} for part in (train, test)]
    assert users[0] & users[1]
    assert count(rows, split) == SplitRows(
        len(train), len(test), len(day), 0, 0, sum(row["n"] in test and row["user_id"] in users[0] for row in rows)
    )


def test_what_a_split_says() -> None:
    """The choice by name, what it leaves out, zero too, and whom the test is of."""
    assert split_text("keep", SplitRows(1000, 5000, 70, 0, 0, 4200)) == (
        "shared users: keep; rows left out: 70 in the embargo, 0 for their users; "
        "4,200 of 5,000 test rows are of users in the train part"
    )
    assert "70 in the embargo, 7,443 for their users, 3 of sessions that go on" in split_text(
        "divide", SplitRows(1000, 5000, 70, 3, 7443, 0)
    )
    assert set(SHARED_USERS) == set(get_args(SharedUsers))


def test_borders() -> None:
    """The cutoff itself is tested; the embargo holds what is a day before it, to the microsecond."""
    split = split_at(DAY)
    tick = dt.timedelta(microseconds=1)
    assert [part_of(split, each) for each in (CUTOFF, CUTOFF - tick)] == ["test", "embargo"]
    assert [part_of(split, CUTOFF - 24 * HOUR - late) for late in (dt.timedelta(0), tick)] == ["embargo", "train"]


def test_a_cutoff_inside_the_label_horizon_is_refused() -> None:
    """Where rows after the cutoff have no known label, or none is before it, the message says which cutoff would do."""
    split = split_at(DAY)
    early = CUTOFF - 240 * HOUR
    require_room(split, early, CUTOFF + 24 * HOUR)
    with pytest.raises(SplitError, match=r"inside the label horizon.*2026-05-09T23:00:00"):
        require_room(split, early, CUTOFF + 23 * HOUR)
    with pytest.raises(SplitError, match="nothing to learn from"):
        require_room(split, CUTOFF - 24 * HOUR, CUTOFF + 48 * HOUR)


def test_labels_may_not_look_across() -> None:
    """An embargo shorter than the horizon, and a cutoff without a zone, are refused."""
    with pytest.raises(SplitError, match="embargo is shorter"):
        TemporalSplit(CUTOFF, 23 * HOUR)
    with pytest.raises(SplitError, match="no time zone"):
        TemporalSplit(CUTOFF.replace(tzinfo=None))


def test_a_slip_of_the_pen_selects_nothing() -> None:
    """A part, a way with shared users or a cutoff that does not exist is refused, and is not read as another one."""
    split = split_at(dt.date(2026, 6, 10))
    with pytest.raises(SplitError, match=r"no such part .*valid"):
        part_query("rows", split, cast("Part", "valid"))
    with pytest.raises(SplitError, match=r"no such way .*share"):
        split_at(dt.date(2026, 6, 10), shared_users=cast("SharedUsers", "share"))
    assert split_at(dt.datetime(2026, 6, 10, tzinfo=dt.UTC)) == split


@pytest.mark.parametrize("seed", range(3))
def test_an_instant_parts_the_rows_of_its_day(seed: int) -> None:
    """Rows of one day fall before the embargo, into it or after the cutoff, to the microsecond, in any writing of it."""
    at = CUTOFF + dt.timedelta(hours=7, minutes=13, microseconds=250_001)
    rng = random.Random(seed)
    moves = [dt.timedelta(0), dt.timedelta(microseconds=1), -dt.timedelta(microseconds=1)]
    rows = [
        {"n": n, "event_timestamp": at + rng.choice([0, -1, 1]) * 24 * HOUR + rng.choice(moves) * rng.randrange(3)}
        | {"session_uuid": f"s{n}", "user_id": f"u{n}"}
        for n in range(300)
    ]
    expected: dict[str, set[int]] = {"train": set(), "embargo": set(), "test": set()}
    for row in rows:
        stamp = row["event_timestamp"]
        assert isinstance(stamp, dt.datetime)
        expected["test" if stamp >= at else "train" if at - stamp > 24 * HOUR else "embargo"].add(row["n"])
    for written in (at, "2026-05-10T07:13:00.250001Z", "2026-05-10T09:13:00.250001+02:00"):
        split = split_at(written, shared_users="allow")
        assert {name: select(rows, split, name) for name in ("train", "test")} == {
            name: expected[name] for name in ("train", "test")
        }
        assert cutoff_text(written) == "2026-05-10T07:13:00.250001+00:00"
    assert all(expected.values())


def test_a_day_is_its_beginning_and_is_recorded_as_it_was() -> None:
    """A day, its first instant and that instant elsewhere are one cutoff, under one name."""
    same = (DAY, "2026-05-10", CUTOFF, "2026-05-10T00:00:00Z", "2026-05-10T02:00+02:00")
    assert {cutoff_instant(each) for each in same} == {CUTOFF}
    assert {cutoff_text(each) for each in same} == {"2026-05-10"}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("2026-05-10T12:00:00", "without a time zone.*2026-05-10T12:00:00Z"),
        (dt.datetime(2026, 5, 10, 12), "without a time zone"),  # noqa: DTZ001 - the fault itself
        ("2026-05-10 ", "neither a day nor an instant"),
        ("2026-02-30", "neither a day nor an instant"),
        ("10.05.2026", "neither a day nor an instant"),
        ("2026-05-10T12:00:00.1234567Z", "neither a day nor an instant.*microsecond"),
        ("0001-01-01T00:00:00+14:00", "years 1 to 9999"),
    ],
)
def test_what_names_no_instant_is_refused(wrong: str | dt.datetime, why: str) -> None:
    """No clock is guessed, and no digits are cut off."""
    with pytest.raises(SplitError, match=why):
        cutoff_instant(wrong)

"""The split of time: nothing is shuffled, no label looks across, and what cannot be split is refused."""

from __future__ import annotations

import datetime as dt
import random
from hashlib import md5
from typing import cast

import duckdb
import pyarrow as pa
import pytest

from ml_data_platform.errors import SplitError
from ml_data_platform.features.dialects import DUCKDB, render
from ml_data_platform.training.temporal import (
    Part,
    SharedUsers,
    TemporalSplit,
    cutoff_instant,
    cutoff_text,
    part_of,
    part_query,
    require_room,
    split_at,
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


def select(rows: list[dict[str, object]], split: TemporalSplit, part: str) -> set[int]:
    """Run the query of one part."""
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
        return {row[0] for row in connection.execute(render(part_query("log", split, part, "n"), DUCKDB)).fetchall()}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shared", ["divide", "purge", "allow"])
def test_parts_follow_their_definition(seed: int, shared: str) -> None:
    """Test: at or after the cutoff. Train: more than a day earlier, of sessions (and users) that are not tested.

    Divided, half of the users by a hash are tested only, and the others learnt from only.
    """
    rows = random_rows(seed)
    split = split_at(DAY, shared_users=shared)
    half = {row["user_id"]: int(md5(f"tested:{row['user_id']}".encode()).hexdigest()[:8], 16) % 2 for row in rows}
    tested = [
        row for row in rows if row["event_timestamp"] >= CUTOFF and (shared != "divide" or not half[row["user_id"]])
    ]
    sessions, users = {row["session_uuid"] for row in tested}, {row["user_id"] for row in tested}
    expected = {
        row["n"]
        for row in rows
        if row["event_timestamp"] < CUTOFF - 24 * HOUR
        and row["session_uuid"] not in sessions
        and (shared != "purge" or row["user_id"] not in users)
        and (shared != "divide" or half[row["user_id"]])
    }
    assert select(rows, split, "test") == {row["n"] for row in tested}
    assert select(rows, split, "train") == expected
    assert select(rows, split, "all") == set(range(len(rows)))
    assert expected or shared == "purge"


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

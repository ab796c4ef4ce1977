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
    part_of,
    part_query,
    require_room,
    split_at_day,
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
    split = split_at_day(DAY, shared_users=shared)
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
    split = split_at_day(DAY)
    tick = dt.timedelta(microseconds=1)
    assert [part_of(split, each) for each in (CUTOFF, CUTOFF - tick)] == ["test", "embargo"]
    assert [part_of(split, CUTOFF - 24 * HOUR - late) for late in (dt.timedelta(0), tick)] == ["embargo", "train"]


def test_a_cutoff_inside_the_label_horizon_is_refused() -> None:
    """Where rows after the cutoff have no known label, or none is before it, the message says which cutoff would do."""
    split = split_at_day(DAY)
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
    split = split_at_day(dt.date(2026, 6, 10))
    with pytest.raises(SplitError, match=r"no such part .*valid"):
        part_query("rows", split, cast("Part", "valid"))
    with pytest.raises(SplitError, match=r"no such way .*share"):
        split_at_day(dt.date(2026, 6, 10), shared_users=cast("SharedUsers", "share"))
    with pytest.raises(SplitError, match="no UTC day"):
        split_at_day(dt.datetime(2026, 6, 10, 12, tzinfo=dt.UTC))
    assert split_at_day(dt.datetime(2026, 6, 10, tzinfo=dt.UTC)) == split

"""The split of time: learn from the past, test on what came after, and let no label look across.

Belongs here: which rows are train and which are test, as a pure decision and as SQL conditions. Does not belong here:
reading rows, and proving that a split holds (``leakage``).

A row at ``t`` has a label over (t, t + horizon]. A row of the train part must have its whole label before the cutoff,
or it tells something of the time that is tested: hence the embargo, never shorter than the horizon. Nothing is ever
shuffled over time.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal, get_args

from ml_data_platform.errors import SplitError
from ml_data_platform.settings import LABEL_HORIZON

Part = Literal["train", "test", "all"]
PARTS: tuple[Part, ...] = get_args(Part)
SharedUsers = Literal["divide", "purge", "allow"]
# Another word than that of the folds, so that folds of the train part are as large as ever.
_IS_TESTED = "(@hash32('tested:' || user_id) % 2 = 0)"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class TemporalSplit:
    """A split at one instant.

    Attributes:
        cutoff: Test rows are at or after it; aware.
        embargo: Train rows are earlier than the cutoff by more than this; at least the label horizon.
        shared_users: ``divide``: of half of the users, by a stable hash, all that is tested comes, and of the others all
            that is learnt from. ``purge``: users who come back after the cutoff are tested and not learnt from, which
            leaves little to learn from where most come back. ``allow``: they are learnt from too, with their earlier
            sessions; for a model that will score known users. A session is never on both sides.
    """

    cutoff: dt.datetime
    embargo: dt.timedelta = LABEL_HORIZON
    shared_users: SharedUsers = "divide"

    def __post_init__(self) -> None:
        if self.cutoff.tzinfo is None:
            raise SplitError("the cutoff has no time zone", remedy="Give an aware instant, or a UTC day.")
        if self.shared_users not in get_args(SharedUsers):
            raise SplitError(
                "there is no such way with shared users", expected=get_args(SharedUsers), got=self.shared_users
            )
        if self.embargo < LABEL_HORIZON:
            raise SplitError(
                "the embargo is shorter than the label horizon: labels of the train part would look into the test part",
                remedy="Leave it at its default, or make it longer.",
                expected=f"{LABEL_HORIZON} or more",
                got=str(self.embargo),
            )

    @property
    def train_end(self) -> dt.datetime:
        """Train rows are before this."""
        return self.cutoff - self.embargo


def split_at_day(
    day: dt.date, *, embargo: dt.timedelta = LABEL_HORIZON, shared_users: SharedUsers = "divide"
) -> TemporalSplit:
    """Return the split at the beginning of a UTC day.

    Raises:
        SplitError: An instant within a day was given, the embargo is too short, or there is no such way with shared users.
    """
    if isinstance(day, dt.datetime) and (day.time() != dt.time() or day.utcoffset()):
        raise SplitError("the cutoff is no UTC day", remedy="Give the day on which the test part begins.", got=str(day))
    return TemporalSplit(dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC), embargo, shared_users)


def require_room(split: TemporalSplit, first: dt.datetime, known_through: dt.datetime) -> None:
    """Refuse a cutoff that leaves no past to learn from, or no future whose labels are known.

    Args:
        split: The split.
        first: The earliest row, aware.
        known_through: The end of the data, aware: labels of rows up to one horizon before it are known.

    Raises:
        SplitError: The cutoff lies within the label horizon of the data's end, or within the embargo of its beginning.
    """
    if split.cutoff > known_through - LABEL_HORIZON:
        raise SplitError(
            "the cutoff lies inside the label horizon: labels of rows after it are not known",
            remedy="Choose an earlier cutoff, or a version with later days.",
            expected=f"at most {(known_through - LABEL_HORIZON).isoformat()}",
            got=split.cutoff.isoformat(),
        )
    if split.train_end <= first:
        raise SplitError(
            "the cutoff leaves nothing to learn from",
            remedy="Choose a later cutoff, or a version with earlier days.",
            expected=f"after {(first + split.embargo).isoformat()}",
            got=split.cutoff.isoformat(),
        )


def part_of(split: TemporalSplit, instant: dt.datetime) -> Literal["train", "embargo", "test"]:
    """Return the part of a row by its time alone; its session or user may still keep it out of the train part."""
    if instant >= split.cutoff:
        return "test"
    return "train" if instant < split.train_end else "embargo"


def require_part(part: str) -> None:
    """Refuse a part that does not exist: a slip of the pen must not load other rows.

    Raises:
        SplitError: There is no such part.
    """
    if part not in PARTS:
        raise SplitError("there is no such part", expected=PARTS, got=part)


def part_query(relation: str, split: TemporalSplit, part: Part, columns: str = "*") -> str:
    """Return the query for the rows of one part, in no order.

    Args:
        relation: A relation with the columns ``event_timestamp``, ``session_uuid`` and ``user_id``.
        split: The split.
        part: ``all`` for every row.
        columns: Select list.

    Raises:
        SplitError: There is no such part.
    """
    require_part(part)
    if part == "all":
        return f"SELECT {columns} FROM {relation}"
    is_test = f"@micros(event_timestamp) >= {_micros(split.cutoff)}"
    if split.shared_users == "divide":
        is_test += f" AND {_IS_TESTED}"
    if part == "test":
        return f"SELECT {columns} FROM {relation} WHERE {is_test}"
    conditions = [
        f"@micros(event_timestamp) < {_micros(split.train_end)}",
        f"session_uuid NOT IN (SELECT session_uuid FROM {relation} WHERE {is_test})",
    ]
    if split.shared_users == "divide":
        conditions.append(f"NOT {_IS_TESTED}")
    if split.shared_users == "purge":
        conditions.append(f"user_id NOT IN (SELECT user_id FROM {relation} WHERE {is_test})")
    return f"SELECT {columns} FROM {relation} WHERE {' AND '.join(conditions)}"


def _micros(instant: dt.datetime) -> int:
    return (instant - _EPOCH) // dt.timedelta(microseconds=1)

"""The split of time: learn from the past, test on what came after, and let no label look across.

Belongs here: which rows are train and which are test, as a pure decision and as SQL conditions. Does not belong here:
reading rows, and proving that a split holds (``leakage``).

A row at ``t`` has a label over (t, t + horizon]. A row of the train part must have its whole label before the cutoff,
or it tells something of the time that is tested: hence the embargo, never shorter than the horizon. Nothing is ever
shuffled over time. Every row has one place: a part, the embargo, or what keeps it out of both parts.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from ml_data_platform.errors import SplitError
from ml_data_platform.settings import LABEL_HORIZON

Part = Literal["train", "test", "all"]
PARTS: tuple[Part, ...] = get_args(Part)
Place = Literal["train", "test", "embargo", "shared_sessions", "shared_users"]
PLACES: tuple[Place, ...] = get_args(Place)
SharedUsers = Literal["keep", "divide", "purge", "allow"]
SHARED_USERS: Mapping[str, str] = {
    "keep": "they stay on both and no row is left out; tested are later events of users that are partly known",
    "divide": "half of all users, by a hash, are tested and the others learnt from; tested are unknown users, and about half"
    " of the rows are left out",
    "purge": "who comes back after the cutoff is tested and not learnt from; tested are unknown users, and little is left to"
    " learn from where most come back",
    "allow": "the name that keep has in older runs",
}
"""What becomes of users with rows on both sides of the cutoff."""
# Another word than that of the folds, so that folds of the train part are as large as ever.
_IS_TESTED = "(@hash32('tested:' || user_id) % 2 = 0)"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FINER_THAN_ROWS = re.compile(r"[.,][0-9]{7}")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class TemporalSplit:
    """A split at one instant.

    Attributes:
        cutoff: Test rows are at or after it; aware.
        embargo: Train rows are earlier than the cutoff by more than this; at least the label horizon.
        shared_users: What becomes of users with rows on both sides, see ``SHARED_USERS``. A session is never on both: the
            train part lacks the rows of sessions that go on after the cutoff.
    """

    cutoff: dt.datetime
    embargo: dt.timedelta = LABEL_HORIZON
    shared_users: SharedUsers = "keep"

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

    @property
    def keeps_users(self) -> bool:
        """Whether users of the test part may be learnt from, with earlier sessions."""
        return self.shared_users in {"keep", "allow"}


@dataclass(frozen=True)
class SplitRows:
    """How many rows of a version lie where, before sampling: each row is in one of the first five.

    Attributes:
        train: Rows of the train part.
        test: Rows of the test part.
        embargo: Rows before the cutoff whose label reaches, or may reach, over it.
        shared_sessions: Earlier rows of sessions that go on in the test part.
        shared_users: Rows that are left out for their users' sake, as ``shared_users`` of the split asks.
        test_of_known_users: Rows of the test part whose users are in the train part too.
    """

    train: int
    test: int
    embargo: int
    shared_sessions: int
    shared_users: int
    test_of_known_users: int


def split_at(
    cutoff: dt.date | str, *, embargo: dt.timedelta = LABEL_HORIZON, shared_users: SharedUsers = "keep"
) -> TemporalSplit:
    """Return the split at a cutoff as users give it: see ``cutoff_instant``.

    Raises:
        SplitError: The cutoff is none, the embargo is too short, or there is no such way with shared users.
    """
    return TemporalSplit(cutoff_instant(cutoff), embargo, shared_users)


def cutoff_instant(cutoff: dt.date | str) -> dt.datetime:
    """Return the first instant of the test part, aware, in UTC.

    Args:
        cutoff: A day, which stands for its beginning in UTC, or an instant with its offset; either as text too, in
            ISO-8601: ``2026-06-10``, ``2026-06-10T12:00:00+02:00``, ``2026-06-10T10:00:00Z``.

    Raises:
        SplitError: It is neither, or an instant without an offset: whose clock it is read from is not to be guessed.
    """
    found: dt.date = _parsed_cutoff(cutoff) if isinstance(cutoff, str) else cutoff
    if not isinstance(found, dt.datetime):
        return dt.datetime.combine(found, dt.time(), tzinfo=dt.UTC)
    if found.utcoffset() is None:
        raise SplitError(
            "the cutoff is an instant without a time zone",
            remedy="Write its offset, e.g. Z for UTC; a day alone stands for its beginning in UTC.",
            expected=f"{found.isoformat()}Z, or with another offset",
            got=str(cutoff),
        )
    try:
        return found.astimezone(dt.UTC)
    except OverflowError as error:
        raise SplitError("the cutoff lies outside the years 1 to 9999", got=str(cutoff)) from error


def cutoff_text(cutoff: dt.date | str) -> str:
    """Return a cutoff as it is recorded: the day alone where it is the beginning of one in UTC, else the instant in UTC.

    Raises:
        SplitError: It is no cutoff.
    """
    instant = cutoff_instant(cutoff)
    return instant.date().isoformat() if instant.time() == dt.time() else instant.isoformat()


def _parsed_cutoff(text: str) -> dt.date:
    with contextlib.suppress(ValueError):
        if _DAY.fullmatch(text):
            return dt.date.fromisoformat(text)
        # Further digits would be cut off.
        if not _FINER_THAN_ROWS.search(text):
            return dt.datetime.fromisoformat(text)
    raise SplitError(
        "the cutoff is neither a day nor an instant",
        remedy="Write a UTC day, or an instant with its offset, to the microsecond at most.",
        expected="e.g. 2026-06-10 or 2026-06-10T12:00:00Z",
        got=text,
    )


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
    return f"SELECT {columns} FROM {relation} WHERE {_conditions(relation, split)[part]}"


def split_rows_query(relation: str, split: TemporalSplit) -> str:
    """Return the query for one row: the numbers of ``SplitRows``, in its order.

    Args:
        relation: See ``part_query``.
        split: The split.
    """
    conditions = _conditions(relation, split)
    known = f"user_id IN ({part_query(relation, split, 'train', 'user_id')})"
    flags = ", ".join(f"{conditions[place]} AS in_{place}" for place in PLACES)
    counted = ", ".join(f"count(CASE WHEN in_{place} THEN 1 END)" for place in PLACES)
    return (
        f"SELECT {counted}, count(CASE WHEN in_test AND is_known THEN 1 END) "
        f"FROM (SELECT {flags}, {known} AS is_known FROM {relation}) AS places"
    )


def split_text(shared_users: str, rows: SplitRows) -> str:
    """Return in a line what became of users of both sides, which rows are left out, and whom the test is of.

    Args:
        shared_users: The choice, as ``TemporalSplit`` or an older run names it.
        rows: Where the rows lie.
    """
    left_out = [f"{rows.embargo:,} in the embargo", f"{rows.shared_users:,} for their users"]
    if rows.shared_sessions:
        left_out.append(f"{rows.shared_sessions:,} of sessions that go on after the cutoff")
    return (
        f"shared users: {shared_users}; rows left out: {', '.join(left_out)}; "
        f"{rows.test_of_known_users:,} of {rows.test:,} test rows are of users in the train part"
    )


def _conditions(relation: str, split: TemporalSplit) -> dict[Place, str]:
    """Return the condition of each place: exactly one holds of every row."""
    is_later = f"@micros(event_timestamp) >= {_micros(split.cutoff)}"
    is_early = f"@micros(event_timestamp) < {_micros(split.train_end)}"
    divides = split.shared_users == "divide"
    is_test = f"{is_later} AND {_IS_TESTED}" if divides else is_later

    sessions = f"SELECT session_uuid FROM {relation} WHERE {is_test}"
    users = f"SELECT user_id FROM {relation} WHERE {is_test}"
    goes_on = f"coalesce(session_uuid IN ({sessions}), FALSE)"
    purged = {"divide": _IS_TESTED, "purge": f"coalesce(user_id IN ({users}), FALSE)"}.get(split.shared_users, "FALSE")
    untested = f"{is_later} AND NOT {_IS_TESTED}" if divides else "FALSE"
    return {
        "train": f"{is_early} AND NOT {goes_on} AND NOT {purged}",
        "test": is_test,
        "embargo": f"NOT ({is_early}) AND NOT ({is_later})",
        "shared_sessions": f"{is_early} AND {goes_on}",
        "shared_users": f"(({is_early} AND NOT {goes_on} AND {purged}) OR ({untested}))",
    }


def _micros(instant: dt.datetime) -> int:
    return (instant - _EPOCH) // dt.timedelta(microseconds=1)

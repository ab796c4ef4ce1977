"""From what a file looks like to a draft of its source contract.

Belongs here: choosing the column of each field, its reading, and saying why. Does not belong here: judging single
columns (column_roles, time_guesses), writing YAML (drafting), and reading files.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ml_data_platform.events.column_roles import AGAINST_TIME, Candidate, candidates, id_like, name_score, plain_name
from ml_data_platform.events.contract_parts import MAX_TEXT
from ml_data_platform.events.event_type_names import meaning_of
from ml_data_platform.events.profiles import ColumnProfile
from ml_data_platform.events.time_guesses import TIME_OF_DAY, TimeGuess, guess_date, guess_time

MAX_MAPPED_TYPES = 60
ENOUGH_ROWS_HAVE_TIME = 0.5
_OPTIONAL = ("event_id", "sequence", "session_duration_seconds", "purchase_amount_usd", "label", "client_version")


@dataclass(frozen=True)
class Remark:
    """One remark in the draft.

    Attributes:
        text: What was found, and why it was chosen.
        is_doubt: Whether its author must look at it.
    """

    text: str
    is_doubt: bool = False


@dataclass(frozen=True)
class Draft:
    """A draft of a contract.

    Attributes:
        keys: The contract's keys, in the order in which they are written.
        remarks: Dotted key to remarks about it; the empty key is the file as a whole.
        first: Earliest event time seen, as guessed.
        last: Latest event time seen.
        missing: What the draft cannot be without and the file does not seem to have.
    """

    keys: Mapping[str, Any]
    remarks: Mapping[str, tuple[Remark, ...]]
    first: dt.datetime | None = None
    last: dt.datetime | None = None
    missing: tuple[str, ...] = ()


@dataclass
class _Notes:
    remarks: dict[str, list[Remark]] = field(default_factory=dict)

    def say(self, key: str, text: str, *, is_doubt: bool = False) -> None:
        self.remarks.setdefault(key, []).append(Remark(text, is_doubt))

    def doubt(self, key: str, text: str) -> None:
        self.say(key, text, is_doubt=True)


@dataclass(frozen=True)
class _Time:
    column: str
    guess: TimeGuess
    time_column: str | None = None
    others: tuple[str, ...] = ()


def infer_contract(
    profiles: Mapping[str, ColumnProfile],
    *,
    source: str,
    form: Mapping[str, Any],
    latest: dt.datetime,
    unaddressable: Sequence[str] = (),
) -> Draft:
    """Draft the contract of a file.

    Args:
        profiles: Column to profile, in the file's order.
        source: Name of the source.
        form: The keys ``format`` and, for CSV, ``csv``.
        latest: No event lies later, aware.
        unaddressable: Columns that a contract cannot name, which are left out.

    Returns:
        The draft; where ``missing`` is empty, it is a valid contract.
    """
    notes, missing = _Notes(), []
    time = _choose_time(profiles, latest)
    used = {time.column, time.time_column} if time else set()
    rest = {name: profile for name, profile in profiles.items() if name not in used}
    version = 2 if time and time.guess.kind == "epoch" else 1
    columns: dict[str, str | None] = {}
    user, session = _choose_people(rest, notes)
    event_type = _best(candidates({k: v for k, v in rest.items() if k not in {user, session}}, "event_type"))
    time_field, session_field = ("event_timestamp", "session_uuid") if version == 2 else ("timestamp", "session_id")
    if time is None:
        missing.append("an event time: no column is written as one")
    for name, column in (("user_id", user), (session_field, session)):
        if column is None:
            missing.append(f"{name}: no column looks like an id that several rows share")
        columns[name] = column
    columns["event_type"] = event_type.column if event_type else None
    columns[time_field] = time.column if time else None
    _choose_optional(columns, rest, version, form, notes)
    keys: dict[str, Any] = {"source": source, **form}
    if _has_decimal_commas(columns, profiles):
        keys["csv"] = {**keys.get("csv", {}), "decimal": ","}
        notes.say("csv.decimal", "amounts are written with a decimal comma")
    keys["schema_version"] = version
    kind = "integers" if version == 2 else "texts"
    notes.say("schema_version", f"{version}, because event times are {kind}; see schema_versions.yaml")
    keys["columns"] = {
        name: column for name, column in columns.items() if name != "label" and _is_said(name, column, form, profiles)
    }
    keys["event_time"] = _event_time(time, time_field, notes) if time else {}
    keys["event_type"] = _event_types(event_type, profiles, notes)
    if columns.get("label"):
        keys["label"] = columns["label"]
    keys["unknown_columns"] = "evolve"
    keys["lateness"] = {"watermark": "clock", "max_delay_hours": 24}
    _describe_columns(columns, profiles, time_field, notes)
    _describe_whole(
        [name for name in profiles if name not in {*columns.values(), *used}], columns, unaddressable, notes
    )
    return Draft(
        {name: value for name, value in keys.items() if value != {}},
        {key: tuple(found) for key, found in notes.remarks.items()},
        time.guess.first if time else None,
        time.guess.last if time else None,
        tuple(missing),
    )


def _best(found: Sequence[Candidate]) -> Candidate | None:
    return found[0] if found else None


def _choose_time(profiles: Mapping[str, ColumnProfile], latest: dt.datetime) -> _Time | None:
    found: list[tuple[float, _Time]] = []
    for column, profile in profiles.items():
        if profile.filled_share < ENOUGH_ROWS_HAVE_TIME:
            continue
        guess = guess_time(profile.counts, latest=latest)
        if guess is None:
            found += _in_two_columns(column, profiles, latest)
            continue
        against = 0.3 if AGAINST_TIME.search(plain_name(column)) else 1.0
        # An id may look like an epoch; a text that looks like a time is one.
        unnamed = 0.05 if guess.kind == "epoch" else 0.2
        score = max(name_score(column, "event_time"), unnamed) * against * profile.filled_share
        found.append((score * (0.7 + 0.3 * profile.distinct_share), _Time(column, guess)))
    ranked = sorted(found, key=lambda item: -item[0])
    if not ranked:
        return None
    best = ranked[0][1]
    others = [time.column for _, time in ranked[1:4] if name_score(time.column, "event_time")]
    return _Time(best.column, best.guess, best.time_column, tuple(others))


def _in_two_columns(
    column: str, profiles: Mapping[str, ColumnProfile], latest: dt.datetime
) -> list[tuple[float, _Time]]:
    """A date here and a time of day in another column, which are read joined by a space."""
    written_as = guess_date(profiles[column].counts)
    if written_as is None:
        return []
    for other, profile in profiles.items():
        if other == column or profile.filled_share < ENOUGH_ROWS_HAVE_TIME or profile.share(TIME_OF_DAY) < 0.99:
            continue
        dates, times = sorted(profiles[column].counts), sorted(profile.counts)
        joined = [f"{dates[at % len(dates)]} {times[at % len(times)]}" for at in range(max(len(dates), len(times)))]
        guess = guess_time(joined, latest=latest)
        if guess is not None:
            return [(0.6 * profile.filled_share, _Time(column, guess, other))]
    return []


def _choose_people(profiles: Mapping[str, ColumnProfile], notes: _Notes) -> tuple[str | None, str | None]:
    """Choose the columns of user and session; one stands for the other where there is only one."""
    users, sessions = candidates(profiles, "user"), candidates(profiles, "session")
    user = _best([each for each in users if each.column not in {found.column for found in sessions[:1]}])
    session = _best(sessions)
    for key, chosen, found in (("user", user, users), ("session", session, sessions)):
        others = [each.column for each in found if chosen and each.column != chosen.column][:3]
        if others:
            notes.say(f"columns.{key}", f"other columns that could be meant: {', '.join(others)}")
    if user is None and session is None:
        guessed = _best(id_like(profiles))
        if guessed is None:
            return None, None
        text = "no column is named like a user or a session; this one has values that several rows share"
        notes.doubt("columns.user", text)
        notes.doubt("columns.session", "the same column as the user's, for want of a session")
        return guessed.column, guessed.column
    if session is None and user is not None:
        notes.doubt("columns.session", "no column is named like a session: each user is one endless session")
        return user.column, user.column
    if user is None and session is not None:
        notes.doubt("columns.user", "no column is named like a user: each session counts as a user of its own")
        return session.column, session.column
    return (user.column if user else None), (session.column if session else None)


def _choose_optional(
    columns: dict[str, str | None],
    profiles: Mapping[str, ColumnProfile],
    version: int,
    form: Mapping[str, Any],
    notes: _Notes,
) -> None:
    for role in _OPTIONAL:
        if role == "client_version" and version < 2:
            continue
        free = {name: profile for name, profile in profiles.items() if name not in columns.values()}
        found = candidates(free, role)
        if role == "purchase_amount_usd" and form["format"] != "csv":
            found = [each for each in found if profiles[each.column].numbers >= 0.9]
        best = _best(found)
        columns[role] = best.column if best else None
        if best and len(found) > 1:
            others = ", ".join(each.column for each in found[1:3])
            notes.say(f"columns.{role}", f"other columns that could be meant: {others}")


def _is_said(name: str, column: str | None, form: Mapping[str, Any], profiles: Mapping[str, ColumnProfile]) -> bool:
    """Only CSV needs every field said; elsewhere a field lands under its own name unless something else is said."""
    if form["format"] == "csv":
        return column is not None
    return column != name and (column is not None or name in profiles)


def _has_decimal_commas(columns: Mapping[str, str | None], profiles: Mapping[str, ColumnProfile]) -> bool:
    named = (columns.get(name) for name in ("purchase_amount_usd", "session_duration_seconds"))
    return any(profiles[column].comma_numbers > 0 for column in named if column is not None)


def _event_time(time: _Time, time_field: str, notes: _Notes) -> dict[str, Any]:
    guess, reading = time.guess, {}
    if time.time_column:
        reading["time_column"] = time.time_column
        notes.say("event_time.time_column", "the date and the time of day stand in two columns")
    if guess.kind == "epoch":
        reading["epoch_unit"] = guess.unit
        notes.say("event_time.epoch_unit", f"so read, the times lie {guess.first:%Y-%m-%d} to {guess.last:%Y-%m-%d}")
    if guess.kind == "format":
        reading["format"] = guess.format
        notes.say("event_time.format", f"so read, the times lie {guess.first:%Y-%m-%d} to {guess.last:%Y-%m-%d}")
        if guess.alternative:
            notes.doubt("event_time.format", f"{guess.alternative} would read all of them too")
    if not guess.has_offset:
        reading["zone"] = "UTC"
        notes.doubt(
            "event_time.zone",
            "the texts do not say in which zone they are; if it is local time, name the zone, e.g. Europe/Berlin",
        )
    if guess.share < 1:
        notes.doubt(
            f"columns.{time_field}", f"{1 - guess.share:.1%} of the different texts that were tried cannot be read so"
        )
    if time.others:
        notes.say(f"columns.{time_field}", f"other columns that hold times: {', '.join(time.others)}")
    return reading


def _event_types(chosen: Candidate | None, profiles: Mapping[str, ColumnProfile], notes: _Notes) -> dict[str, Any]:
    if chosen is None:
        notes.doubt("event_type.default", "no column names the type of an event, so that all are page views")
        return {"default": "page_view"}
    profile = profiles[chosen.column]
    if not chosen.is_named:
        notes.doubt("columns.event_type", "not named like a type of events, but some of its values are")
    mapping = {}
    types = [(name, count) for name, count in profile.counts.items() if len(name) <= MAX_TEXT]
    for name, count in sorted(types, key=lambda item: (-item[1], item[0]))[:MAX_MAPPED_TYPES]:
        meaning = meaning_of(name)
        mapping[name] = meaning or "other"
        notes.say(f"event_type.mapping.{name}", f"{count:,} rows", is_doubt=meaning is None)
    reading: dict[str, Any] = {"mapping": {name: meant for name, meant in mapping.items() if name != meant}}
    if profile.distinct > len(mapping) or profile.filled < profile.rows:
        reading["default"] = "other"
        absent = profile.rows - profile.filled
        why = f"{absent:,} rows have no type" if absent else f"there are {profile.distinct:,} types"
        notes.doubt("event_type.default", f"{why}; `default` is the type of all that is not mapped")
    else:
        notes.say("event_type", "a type that is not mapped rejects its row; add `default: other` to take it as other")
    return reading


def _describe_columns(
    columns: Mapping[str, str | None], profiles: Mapping[str, ColumnProfile], time_field: str, notes: _Notes
) -> None:
    for name, column in columns.items():
        if column is None:
            continue
        profile = profiles[column]
        text = f"{profile.filled_share:.0%} filled, {profile.distinct:,} different, e.g. {', '.join(profile.examples)}"
        notes.remarks.setdefault(f"columns.{name}", []).insert(0, Remark(text))
        if name == "event_id" and profile.distinct < profile.filled:
            notes.say(
                "columns.event_id", f"{profile.filled - profile.distinct:,} rows repeat an id: taken as duplicates"
            )
    for role, name in (
        ("user", "user_id"),
        ("session", "session_uuid" if time_field == "event_timestamp" else "session_id"),
    ):
        for remark in notes.remarks.pop(f"columns.{role}", []):
            notes.remarks.setdefault(f"columns.{name}", []).append(remark)
    if re.search(r"(^|_)(ip|addr|address|host)(_|$)", plain_name(columns.get("user_id") or "")):
        notes.doubt("columns.user_id", "a network address may stand for several people")
    if columns.get("purchase_amount_usd"):
        notes.doubt("columns.purchase_amount_usd", "amounts are taken as US dollars and are not converted")
    if columns.get("label"):
        notes.doubt("label", "it takes the place of the label that the platform derives from later purchases")


def _describe_whole(
    rest: Sequence[str],
    columns: Mapping[str, str | None],
    unaddressable: Sequence[str],
    notes: _Notes,
) -> None:
    if rest:
        notes.say("unknown_columns", f"kept in `attributes`: {', '.join(rest[:12])}{' …' if len(rest) > 12 else ''}")
    personal = [
        name
        for name in rest
        if re.search(r"(^|_)(e?mail|phone|ip|address|first_name|last_name|iban)(_|$)", plain_name(name))
    ]
    if personal:
        notes.doubt("unknown_columns", f"may be personal data: {', '.join(personal[:6])}")
    if not columns.get("event_id"):
        notes.say("", "Rows have no event id: rows that are equal in every column are duplicates of each other.")
    if unaddressable:
        names = ", ".join(unaddressable[:5])
        notes.say("", f"Columns whose names hold a dot cannot be named in a contract, but are kept: {names}.")

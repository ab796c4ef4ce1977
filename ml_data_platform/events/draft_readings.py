"""How the columns that a draft names are to be read, and what there is to say about them.

Belongs here: the sections of a draft and their remarks. Does not belong here: choosing columns (inference,
time_column).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ml_data_platform.events.column_roles import PRICES, Candidate, plain_name
from ml_data_platform.events.contract_parts import MAX_TEXT
from ml_data_platform.events.draft import Notes, Remark
from ml_data_platform.events.event_type_names import meaning_of
from ml_data_platform.events.profiles import ColumnProfile
from ml_data_platform.events.time_column import TimeColumn

MAX_MAPPED_TYPES = 60
_ONE_COMMA = r"[+-]?[0-9]{1,3},[0-9]{3}"


def number_marks(
    columns: Mapping[str, str | None], profiles: Mapping[str, ColumnProfile], notes: Notes
) -> dict[str, str]:
    """Return the keys of ``csv`` that say how the amounts and durations that were chosen are written."""
    named = (columns.get(name) for name in ("purchase_amount_usd", "session_duration_seconds"))
    found = [profiles[column] for column in named if column is not None]
    marks = next((profile.number_marks for profile in found if profile.number_marks is not None), None)
    if marks is not None:
        notes.say("csv.thousands", "amounts are written with a mark between the thousands")
        return {"decimal": marks[1], "thousands": marks[0]}
    if not any(profile.comma_numbers > 0 for profile in found):
        return {}
    if all(profile.share(_ONE_COMMA) == profile.comma_numbers for profile in found):
        text = "1,234 is read as 1.234; if the comma stands between thousands, say thousands instead of decimal"
        notes.doubt("csv.decimal", text)
    else:
        notes.say("csv.decimal", "amounts are written with a decimal comma")
    return {"decimal": ","}


def event_time(time: TimeColumn, time_field: str, notes: Notes) -> dict[str, Any]:
    """Return the section ``event_time``; remarks go to it and to the column of ``time_field``."""
    guess, reading = time.guess, dict[str, Any]()
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


def event_types(
    chosen: Candidate | None, profiles: Mapping[str, ColumnProfile], notes: Notes, *, are_purchases: bool = False
) -> dict[str, Any]:
    """Return the section ``event_type``: what each type that was seen probably means.

    Args:
        chosen: The column of the event types; None where there is none.
        profiles: Column to profile.
        notes: Takes the remarks.
        are_purchases: Whether rows without a type look like the lines of purchases.
    """
    if chosen is None and are_purchases:
        notes.doubt("event_type.default", "no column names the type of an event, and the rows are lines of purchases")
        return {"default": "purchase"}
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
    if "purchase" not in mapping.values():
        notes.doubt(
            "event_type", "no type is a purchase, so that no label is positive; map the type that counts as one"
        )
    said = {name: meant for name, meant in mapping.items() if name != meant}
    reading: dict[str, Any] = {"mapping": said} if said else {}
    if profile.distinct > len(mapping) or profile.filled < profile.rows:
        reading["default"] = "other"
        absent = profile.rows - profile.filled
        why = f"{absent:,} rows have no type" if absent else f"there are {profile.distinct:,} types"
        notes.doubt("event_type.default", f"{why}; `default` is the type of all that is not mapped")
    else:
        notes.say("event_type", "a type that is not mapped rejects its row; add `default: other` to take it as other")
    return reading


def describe_columns(
    columns: Mapping[str, str | None], profiles: Mapping[str, ColumnProfile], time_field: str, notes: Notes
) -> None:
    """Say what the values of each column that was chosen look like, and what may be wrong with the choice.

    Args:
        columns: Field to landed column; None where the field does not land.
        profiles: Column to profile.
        time_field: The field of the event time, which tells the schema version.
        notes: Takes the remarks.
    """
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
    if amount := columns.get("purchase_amount_usd"):
        _doubt_amounts(profiles[amount], notes)
    if columns.get("label"):
        notes.doubt("label", "it takes the place of the label that the platform derives from later purchases")


def _doubt_amounts(profile: ColumnProfile, notes: Notes) -> None:
    doubts = ["amounts are taken as US dollars and are not converted"]
    if PRICES.search(plain_name(profile.name)):
        doubts.append(
            "named like the price of one piece: it is not multiplied by a quantity; only that of purchases counts"
        )
    negative = sum(count for text, count in profile.counts.items() if text.lstrip().startswith("-"))
    if negative:
        doubts.append(f"{negative:,} amounts are negative (returns?): their rows are rejected")
    for text in doubts:
        notes.doubt("columns.purchase_amount_usd", text)


_FREE_FIELDS = {
    "event_id": "unique per event",
    "sequence": "order of the events within a session",
    "session_duration_seconds": "as reported",
    "purchase_amount_usd": "of a purchase",
}
"""Fields that a row may do without, and what they mean."""


def describe_whole(
    rest: Sequence[str],
    columns: Mapping[str, str | None],
    unaddressable: Sequence[str],
    notes: Notes,
) -> None:
    """Say what no field takes, and what tells events apart.

    Args:
        rest: Landed columns that no field takes.
        columns: Field to landed column.
        unaddressable: Columns that a contract cannot name.
        notes: Takes the remarks.
    """
    if rest:
        notes.say("unknown_columns", f"kept in `attributes`: {', '.join(rest[:12])}{' …' if len(rest) > 12 else ''}")
        free = [f"{name} ({meaning})" for name, meaning in _FREE_FIELDS.items() if columns.get(name, "") is None]
        if free:
            notes.say("unknown_columns", f"if one of them is meant, name it under `columns`: {', '.join(free)}")
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
        notes.say(
            "", f"Columns without a name, or of a very long one, cannot be named in a contract, but are kept: {names}."
        )

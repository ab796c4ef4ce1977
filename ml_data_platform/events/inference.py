"""From what a file looks like to a draft of its source contract.

Belongs here: choosing the column of each field, its reading, and saying why. Does not belong here: judging single
columns (column_roles, time_guesses), writing YAML (drafting), and reading files.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from ml_data_platform.events.column_roles import Candidate, candidates, id_like, name_score, names_basket
from ml_data_platform.events.draft import Draft, Notes
from ml_data_platform.events.draft_readings import (
    describe_columns,
    describe_whole,
    event_time,
    event_types,
    number_marks,
)
from ml_data_platform.events.profiles import ColumnProfile
from ml_data_platform.events.registry import SchemaRegistry
from ml_data_platform.events.registry_file import SHIPPED_REGISTRY
from ml_data_platform.events.time_column import TimeColumn, choose_time
from ml_data_platform.events.time_guesses import guess_time

_OPTIONAL = ("event_id", "sequence", "session_duration_seconds", "purchase_amount_usd", "label", "client_version")


def infer_contract(
    profiles: Mapping[str, ColumnProfile],
    *,
    source: str,
    form: Mapping[str, Any],
    latest: dt.datetime,
    unaddressable: Sequence[str] = (),
    registry: SchemaRegistry = SHIPPED_REGISTRY,
) -> Draft:
    """Draft the contract of a file.

    Args:
        profiles: Column to profile, in the file's order.
        source: Name of the source.
        form: The keys ``format`` and, for CSV, ``csv``.
        latest: No event lies later, aware.
        unaddressable: Columns that a contract cannot name, which are left out.
        registry: The schema versions whose own field names are looked for.

    Returns:
        The draft; where ``missing`` is empty, it is a valid contract.
    """
    mixed = _own_versions(profiles, registry) if form["format"] != "csv" else ()
    if len(mixed) > 1:
        return _mixed_draft(profiles, mixed, source=source, form=form, latest=latest, registry=registry)
    notes, missing = Notes(), list[str]()
    time = choose_time(profiles, latest)
    used = {time.column, time.time_column} if time else set()
    rest = {name: profile for name, profile in profiles.items() if name not in used}
    version = 2 if time and time.guess.kind == "epoch" else 1
    time_field, session_field = ("event_timestamp", "session_uuid") if version == 2 else ("timestamp", "session_id")
    columns: dict[str, str | None] = {}
    user, session = _choose_people(rest, notes)
    event_type = _best(candidates({k: v for k, v in rest.items() if k not in {user, session}}, "event_type"))
    if time is None:
        missing.append(f"{time_field}: no column is written like an event time")
    columns.update({"user_id": user, session_field: session})
    missing += [
        f"{name}: no column looks like an id that several rows share" for name, column in columns.items() if not column
    ]
    columns["event_type"] = event_type.column if event_type else None
    columns[time_field] = time.column if time else None
    _choose_optional(columns, rest, version, form, notes)
    keys: dict[str, Any] = {"source": source, **form}
    if marks := number_marks(columns, profiles, notes):
        keys["csv"] = {**keys.get("csv", {}), **marks}
    keys["schema_version"] = version
    kind = "integers" if version == 2 else "texts"
    notes.say("schema_version", f"{version}, because event times are {kind}; see schema_versions.yaml")
    keys["columns"] = {
        name: column for name, column in columns.items() if name != "label" and _is_said(name, column, form, profiles)
    }
    # A place to write into, for what must be named.
    needed = ("user_id", session_field, time_field)
    keys["columns"].update({name: None for name in needed if columns[name] is None})
    keys["event_time"] = event_time(time, time_field, notes) if time else {}
    is_basket = session is not None and session != user and names_basket(session)
    keys["event_type"] = event_types(event_type, profiles, notes, are_purchases=is_basket)
    if columns.get("label"):
        keys["label"] = columns["label"]
    keys["unknown_columns"] = "evolve"
    keys["lateness"] = {"watermark": "clock", "max_delay_hours": 24}
    describe_columns(columns, profiles, time_field, notes)
    describe_whole([name for name in profiles if name not in {*columns.values(), *used}], columns, unaddressable, notes)
    return Draft(
        {name: value for name, value in keys.items() if value != {}},
        {key: tuple(found) for key, found in notes.remarks.items()},
        time.guess.first if time else None,
        time.guess.last if time else None,
        tuple(missing),
    )


def _own_versions(profiles: Mapping[str, ColumnProfile], registry: SchemaRegistry) -> tuple[int, ...]:
    """Return the versions of which a file has all required fields under their own names."""
    return tuple(
        number
        for number, version in registry.versions.items()
        if all(name in profiles for name, field in version.fields.items() if field.required)
    )


def _mixed_draft(
    profiles: Mapping[str, ColumnProfile],
    versions: Sequence[int],
    *,
    source: str,
    form: Mapping[str, Any],
    latest: dt.datetime,
    registry: SchemaRegistry,
) -> Draft:
    """Draft the contract of a file whose rows have several schema versions, under the fields' own names."""
    notes, reading = Notes(), dict[str, Any]()
    numbers = ", ".join(map(str, versions))
    notes.say("schema_version", f"rows have the fields of versions {numbers}: which it is, is inferred for each row")
    spans = []
    for number in versions:
        column = registry.versions[number].time_field
        guess = guess_time(profiles[column].counts, latest=latest)
        if guess is None:
            notes.doubt("event_time", f"{column} is not written like an event time")
            continue
        spans += [guess.first, guess.last]
        reading.update(event_time(TimeColumn(column, guess), column, notes))
    keys = {
        "source": source,
        **form,
        "schema_version": "infer",
        "event_time": reading,
        "event_type": event_types(Candidate("event_type", 1.0, is_named=True), profiles, notes),
        "unknown_columns": "evolve",
        "lateness": {"watermark": "clock", "max_delay_hours": 24},
    }
    known = {name for number in versions for name in registry.versions[number].fields}
    describe_whole([name for name in profiles if name not in known], {"event_id": "event_id"}, (), notes)
    return Draft(
        {name: value for name, value in keys.items() if value != {}},
        {key: tuple(found) for key, found in notes.remarks.items()},
        min(spans, default=None),
        max(spans, default=None),
    )


def _best(found: Sequence[Candidate]) -> Candidate | None:
    return found[0] if found else None


def _choose_people(profiles: Mapping[str, ColumnProfile], notes: Notes) -> tuple[str | None, str | None]:
    """Choose the columns of user and session; one stands for the other where there is only one."""
    users, sessions = (
        candidates(profiles, "user"),
        [
            each
            for each in candidates(profiles, "session")
            if not names_basket(each.column) or _has_lines(profiles[each.column])
        ],
    )
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
    if session is not None and names_basket(session.column):
        notes.doubt("columns.session", "named like a purchase: its lines are taken as one session")
    if session is None and user is not None:
        notes.doubt("columns.session", "no column is named like a session: each user is one endless session")
        return user.column, user.column
    if user is None and session is not None:
        notes.doubt("columns.user", "no column is named like a user: each session counts as a user of its own")
        return session.column, session.column
    return (user.column if user else None), (session.column if session else None)


def _has_lines(profile: ColumnProfile) -> bool:
    """Whether the ids of purchases stand in nearly every row, and several rows share one."""
    return profile.filled_share > 0.9 and profile.distinct_share < 0.8


def _choose_optional(
    columns: dict[str, str | None],
    profiles: Mapping[str, ColumnProfile],
    version: int,
    form: Mapping[str, Any],
    notes: Notes,
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
        if best is None and role == "purchase_amount_usd":
            _say_unread_amounts(free, notes)
        if best and len(found) > 1:
            others = ", ".join(each.column for each in found[1:3])
            notes.say(f"columns.{role}", f"other columns that could be meant: {others}")


def _say_unread_amounts(profiles: Mapping[str, ColumnProfile], notes: Notes) -> None:
    for name, profile in profiles.items():
        if profile.filled and name_score(name, "purchase_amount_usd") and profile.numbers < 0.9:
            text = f"{name} is named like an amount, but its values are no plain numbers, e.g. {profile.examples[0]}"
            notes.doubt("unknown_columns", text)


def _is_said(name: str, column: str | None, form: Mapping[str, Any], profiles: Mapping[str, ColumnProfile]) -> bool:
    """What was chosen is said; outside of CSV also that a column of a field's own name is something else."""
    return column is not None or (form["format"] != "csv" and name in profiles)

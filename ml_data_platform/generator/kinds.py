"""What a generated row can be: clean, a duplicate, broken under a named rule, or without a usable day.

Belongs here: the closed list of kinds, their codes, and what the platform must say about each.
Does not belong here: how a row is damaged (``damage``) or how often (``options``).
"""

from __future__ import annotations

CLEAN = "clean"
DUPLICATE_KINDS = ("duplicate_within_file", "duplicate_across_files", "duplicate_across_versions")
BROKEN_KINDS = (
    "user_ids_are_present",
    "session_uuids_are_present",
    "event_types_are_present",
    "event_types_are_known",
    "session_durations_are_in_range",
    "purchase_amounts_are_in_range",
    "session_durations_are_numbers",
    "purchase_amounts_are_numbers",
    "sequences_are_integers",
    "text_fields_are_scalars",
    "event_ids_are_present",
)
UNDATED_KINDS = (
    "malformed_row",
    "event_time_missing",
    "event_time_unreadable",
    "event_time_before_start_date",
    "event_time_in_the_future",
)
KINDS = (CLEAN, *DUPLICATE_KINDS, *BROKEN_KINDS, *UNDATED_KINDS)
CODES = {kind: code for code, kind in enumerate(KINDS)}
FIRST_BROKEN = CODES[BROKEN_KINDS[0]]
FIRST_UNDATED = CODES[UNDATED_KINDS[0]]
KINDS_WITHOUT_EVENT_ID = ("event_ids_are_present", "malformed_row")


def expected_rules(kind: str, version: int) -> tuple[str, ...]:
    """Return every row rule that a row of this kind breaks, sorted; empty unless the kind is a broken one.

    A v1 row of ``text_fields_are_scalars`` has an object for its user id, so that it has no usable user
    id either; a v2 row has an object for its client version, which breaks nothing else.
    """
    if kind not in BROKEN_KINDS:
        return ()
    if kind == "text_fields_are_scalars" and version == 1:
        return ("text_fields_are_scalars", "user_ids_are_present")
    return (kind,)


def expected_reason(kind: str) -> str | None:
    """Return the reason for which a row has no usable day, or None where it has one."""
    return kind if kind in UNDATED_KINDS else None

"""What each column of the event tables means, in words for people.

Belongs here: one line per column of a table of events. Does not belong here: types and keys (``schemas``), or the
columns of features (``features.catalog``).
"""

from __future__ import annotations

from collections.abc import Mapping

_ORIGIN = {
    "source": "The producer, named as its contract.",
    "source_file": "SHA-256 of the landed file, whose bytes are kept in `raw/`; a keyed hash where its rows are masked.",
    "source_row": "Number of the row in its file, from 1.",
    "schema_version": "Version of the producer's schema that the row was landed in.",
}

COLUMN_DESCRIPTIONS: Mapping[str, Mapping[str, str]] = {
    "raw_events": {
        **_ORIGIN,
        "event_time": "When the event happened, as read from the row by its contract.",
        "landed": "The row as it was landed: the JSON line, or the columns of the CSV row as JSON.",
    },
    "validated_events": {
        **_ORIGIN,
        "event_id": "The event: source and producer's id, or a hash of what identifies it.",
        "user_id": "Keyed hash of the producer's user id; the id itself is not here.",
        "session_uuid": "The session, unique across sources.",
        "event_type": "page_view, add_to_cart, purchase, search or other.",
        "event_timestamp": "When the event happened.",
        "sequence": "Order of events of one instant: the producer's, else the row's number in its file; null if it has none.",
        "session_duration_seconds": "Duration of the session as the producer reports it, 0 to 86,400.",
        "purchase_amount_usd": "Amount of a purchase, 0 to 50,000.",
        "client_version": "Version of the client that sent the event, where it is known.",
        "label": "The producer's own label, 0 or 1, where its contract declares one.",
        "attributes": "JSON of the landed columns that no other column takes.",
    },
    "quarantined_events": {
        **_ORIGIN,
        "event_time": "When the event happened, as read from the row by its contract.",
        "event_id": "The event, where its row names one.",
        "rules": "Names of the rules that the row breaks; they are checks of `validated_events`.",
        "kept_source_file": "Of a repeat: file of the row that is published.",
        "kept_source_row": "Of a repeat: number of the row that is published.",
        "landed": "The row as it was landed: correct it and land it again.",
    },
}
"""Table to column to description."""

"""The member of a masked row that names the rules which it broke before it was masked, as SQL text.

Belongs here: reading it and leaving it out, so that nothing but the rules sees it. Does not belong here: writing it
(``landing.masking``).
"""

from __future__ import annotations

from ml_data_platform.events.masking_plan import BROKEN_RULES_KEY


def broken_before_masking() -> str:
    """Return SQL for the names of the rules that a row broke before it was masked; NULL for most rows."""
    # Only rows that begin with the member pay for reading it.
    return f"""CASE WHEN starts_with(landed, '{{"{BROKEN_RULES_KEY}":')
        THEN json_extract_string(landed, '$.{BROKEN_RULES_KEY}[*]') END"""


def without_broken_rules(landed: str) -> str:
    """Return SQL for a masked row's text without that member: what was found of a row is no part of it."""
    return f"""regexp_replace({landed}, '^\\{{"{BROKEN_RULES_KEY}":\\[[^\\]]*\\],?', '{{')"""

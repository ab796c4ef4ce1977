"""What a producer's event types probably mean.

Belongs here: guessing a canonical type from a name. Does not belong here: applying a contract's mapping
(event_mapping).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_MEANINGS: tuple[tuple[str, str], ...] = (
    (r"view search results", "search"),
    (r"(^| )(view|show|open)(ed)? (cart|basket)|(cart|basket) view", "page_view"),
    # what undoes or only prepares something is none of the types that follow
    (r"remov|delet|refund|cancel|return|fail|abandon|error|begin|start|initiat|(^| )un(sub|like|follow)", "other"),
    (
        r"add (item )?(to )?(cart|basket|bag)|(cart|basket) add|add(to)?cart|product added|warenkorb|^(cart|basket|bag)$|(^| )add$",
        "add_to_cart",
    ),
    (r"purchas|order (complet|plac|(^| )paid( |$)|confirm)|checkout (complet|success)|transaction", "purchase"),
    (r"bought|(^| )buy|payment|pay (res|done|ok|success)|(^| )paid( |$)|kauf|bestell", "purchase"),
    (r"search|query|suche|(^| )find", "search"),
    # a sign of life of a page that is open, and a link that leads away, are no views
    (r"(^| )(ping|heartbeat|link click|click link|clickout|click out)( |$)", "other"),
    (r"page|view|visit|screen|impression|seite|(^| )click( |$)|landing|(^| )get( |$)|product list", "page_view"),
)
"""Pattern to canonical type; the first that is found decides."""

CANONICAL = ("page_view", "add_to_cart", "purchase", "search", "other")


def meaning_of(name: str) -> str | None:
    """Return the canonical type that a landed event type probably means, or None.

    Args:
        name: The type as landed, e.g. ``Product Added``.
    """
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    text = re.sub(r"[^a-zäöüß0-9]+", " ", parted.lower()).strip()
    plain = text.replace(" ", "_")
    if plain in CANONICAL:
        return plain
    return next((meaning for pattern, meaning in _MEANINGS if re.search(pattern, text)), None)


def known_meanings(names: Iterable[str]) -> frozenset[str]:
    """Return the different canonical types that some names mean, without ``other``."""
    return frozenset(meaning for name in names if (meaning := meaning_of(name)) not in {None, "other"})


def known_share(names: Iterable[str]) -> float:
    """Return the share of different names that mean more than ``other``, 0..1."""
    meanings = [meaning_of(name) for name in names]
    return sum(meaning not in {None, "other"} for meaning in meanings) / len(meanings) if meanings else 0.0

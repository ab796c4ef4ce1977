"""Which landed column plays which role in an event, by its name and by its values.

Belongs here: known names, and how well a column's values fit a role. Does not belong here: how event times are
written (time_guesses), and the contract that follows (inference).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ml_data_platform.events.event_type_names import known_meanings, known_share
from ml_data_platform.events.profiles import ColumnProfile

_NAMES = {
    "event_time": """
        event_timestamp event_time timestamp occurred_at event_date_time event_datetime derived_tstamp derived_timestamp
        created_at time ts datetime date_time original_timestamp client_timestamp click_timestamp hit_timestamp time_stamp
        tstamp server_time server_timestamp order_date invoice_date transaction_date purchase_date logged_at received_at
        sent_at zeitstempel zeitpunkt date datum""",
    "user": """
        user_id userid user uid visitor_id customer_id member_id person_id account_id user_pseudo_id anonymous_id
        distinct_id full_visitor_id fullvisitorid client_id profile_id subscriber_id player_id player kunde_id kunden_id
        kundennummer kunde customer visitor person cookie_id cookie device_id email remote_addr client_ip remote_host
        ip_address ip host""",
    "session": """
        session_uuid session_id sessionid ga_session_id session visit_id visitid visit sitzung_id sitzung sess_id sess sid sess_key session_no session_number visit_no visit_number
        session_key phpsessid jsessionid match_id
        basket_id cart_id order_id order_number order_no invoice_id invoice_number invoice_no invoice receipt_id receipt_no
        receipt bill_number bill_no ticket_no""",
    "event_id": """
        event_id event_uuid eventid message_id insert_id hit_id log_id record_id request_id uuid guid id""",
    "event_type": """
        event_type event_name eventtype event action activity_type activity aktion ereignis hit_type type kind verb what webpage page_type""",
    "purchase_amount_usd": """
        purchase_amount_usd purchase_amount amount_usd revenue_usd event_value_in_usd purchase_revenue revenue
        order_total order_value order_amount total_amount purchase_value amount total cart_total umsatz betrag
        gesamtbetrag warenwert line_total price unit_price item_price sale_price preis""",
    "session_duration_seconds": """
        session_duration_seconds session_duration session_length visit_duration time_on_site sitzungsdauer""",
    "sequence": """
        sequence sequence_number seq event_sequence event_index event_number event_order hit_number click_order
        page_sequence step_number step""",
    "label": "label converted is_converted is_conversion conversion target",
    "client_version": "client_version app_version client_app_version sdk_version version app_build",
}
NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType({role: tuple(text.split()) for role, text in _NAMES.items()})
"""Role to usual names of a column, the best first."""
_SQUEEZED = {
    role: {name.replace("_", ""): at for at, name in reversed(list(enumerate(names)))} for role, names in NAMES.items()
}

AGAINST_TIME = re.compile(
    r"(^|_)(birth|born|expire[sd]?|expiry|updated|deleted|modified|start|first|last|end|due"
    r"|etl|elt|load(ed)?|ingest(ed|ion)?|process(ed|ing)?|import(ed)?|export(ed)?|insert(ed)?|sync(ed)?|sent|received|collector)(_|$)"
)
"""Names of times that are not the event's own: of a person, of an object, or of what handled the event afterwards."""

BASKETS = re.compile(r"basket|cart|order|invoice|receipt|bill|ticket")
"""Names of ids that group the lines of one purchase, which stand for a session only where there is none."""

PRICES = re.compile(r"price|preis")
"""Names of amounts that may be those of one piece."""


_CURRENCIES = re.compile(r"(_(usd|eur|gbp|inr|jpy|cny|chf|brl|aud|cad|pln|try|sek|nok|dkk))+\Z")


@dataclass(frozen=True)
class Candidate:
    """A column that may play a role.

    Attributes:
        column: Landed column.
        score: 0..1, the higher the better.
        is_named: Whether the column's name says so; else only its values fit.
    """

    column: str
    score: float
    is_named: bool


def plain_name(column: str) -> str:
    """Return a column's name in lower case with underscores, e.g. ``userId`` → ``user_id``."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", column)
    return re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")


def name_score(column: str, role: str) -> float:
    """Return how well a column's name fits a role: 1 = the best known name, 0 = not at all."""
    names, squeezed = NAMES[role], _SQUEEZED[role]
    whole, leaf = plain_name(column), plain_name(column.rpartition(".")[2])
    if role == "purchase_amount_usd":
        whole, leaf = (name if name in names else _CURRENCIES.sub("", name) for name in (whole, leaf))
    for text, weight in ((whole, 1.0), (leaf, 0.85)):
        at = squeezed.get(text.replace("_", ""))
        if at is not None:
            return weight * (1 - 0.6 * at / len(names))
    tails = [name for name in names if len(name) > 3 and f"_{leaf}".endswith(f"_{name}")]
    return 0.3 if tails and role not in {"event_id", "label"} else 0.0


def candidates(profiles: Mapping[str, ColumnProfile], role: str) -> list[Candidate]:
    """Return the columns that may play a role, best first.

    Args:
        profiles: Column to profile.
        role: A key of ``NAMES`` other than ``event_time``.
    """
    fits = _FITS[role]
    found = []
    for column, profile in profiles.items():
        named, fit = name_score(column, role), fits(profile)
        if profile.filled and named > 0 and fit > 0:
            found.append(Candidate(column, named * fit, is_named=True))
    if not found and role == "event_type":
        # Values that speak for themselves make up for a name that does not.
        telling = {column: profile for column, profile in profiles.items() if known_share(profile.counts) >= 0.25}
        found = [
            Candidate(column, len(known_meanings(profile.counts)) / 4, is_named=False)
            for column, profile in telling.items()
            if fits(profile)
        ]
    return sorted(found, key=lambda candidate: (-candidate.score, candidate.column))


def id_like(profiles: Mapping[str, ColumnProfile]) -> list[Candidate]:
    """Return columns that might name users or sessions by their values alone, best first.

    Several rows share a value, there are many values, none of which stands in most rows, and they are no quantities.
    """
    found = [
        Candidate(column, profile.distinct_share * _is_no_quantity(profile), is_named=False)
        for column, profile in profiles.items()
        if profile.distinct >= 2 and 0.01 <= profile.distinct_share <= 0.7 and profile.filled_share > 0.9
        if max(profile.counts.values()) <= 0.5 * profile.filled
    ]
    return sorted(found, key=lambda candidate: (-candidate.score, candidate.column))


def near_names(wanted: str, columns: Iterable[str], limit: int = 2) -> tuple[str, ...]:
    """Return columns whose names are probably meant by another one, best first.

    Args:
        wanted: A column's name that does not exist.
        columns: The names that exist.
        limit: Return at most so many.
    """
    by_plain: dict[str, list[str]] = {}
    for column in columns:
        by_plain.setdefault(plain_name(column).replace("_", ""), []).append(column)
    close = difflib.get_close_matches(plain_name(wanted).replace("_", ""), by_plain, n=limit, cutoff=0.72)
    return tuple(column for name in close for column in by_plain[name])[:limit]


def _is_no_quantity(profile: ColumnProfile) -> float:
    """Ids are often whole numbers, and quantities too; what has decimals is no id."""
    return 0.5 if profile.integers == 1 else 0.1 if profile.numbers + profile.comma_numbers > 0.5 else 1.0


def names_basket(column: str) -> bool:
    """Return whether a column is named like the id of a purchase of several lines."""
    return BASKETS.search(plain_name(column)) is not None


def _identifies_groups(profile: ColumnProfile) -> float:
    """Ids of users and sessions: nearly always there, more than one, and not another one in each row."""
    if profile.distinct < 2 and profile.filled > 20:
        return 0.3 * profile.filled_share
    is_per_row = profile.filled > 50 and profile.distinct_share > 0.98
    return profile.filled_share * (0.3 if is_per_row else 1.0)


def _identifies_rows(profile: ColumnProfile) -> float:
    return float(profile.filled_share > 0.99 and profile.distinct_share > 0.95)


def _classifies(profile: ColumnProfile) -> float:
    if profile.distinct > 200 or (profile.filled > 50 and profile.distinct_share > 0.5) or profile.numbers > 0.5:
        return 0.0
    return (0.4 + 0.6 * known_share(profile.counts)) * (0.5 + 0.5 * profile.filled_share)


def _is_amount(profile: ColumnProfile) -> float:
    is_id = profile.integers == 1 and profile.filled > 20 and profile.distinct_share > 0.99
    return 0.0 if is_id else float(profile.numbers + profile.comma_numbers >= 0.9 or profile.number_marks is not None)


def _is_duration(profile: ColumnProfile) -> float:
    values = [float(text) for text in profile.counts if _is_number(text)]
    fitting = [value for value in values if 0 <= value <= 86_400]
    return float(profile.numbers >= 0.9 and len(fitting) >= 0.9 * len(values))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_FITS: Mapping[str, Callable[[ColumnProfile], float]] = MappingProxyType(
    {
        "user": _identifies_groups,
        "session": _identifies_groups,
        "event_id": _identifies_rows,
        "event_type": _classifies,
        "purchase_amount_usd": _is_amount,
        "session_duration_seconds": _is_duration,
        "sequence": lambda profile: float(profile.integers >= 0.99),
        "label": lambda profile: float(profile.is_binary and profile.filled_share == 1),
        "client_version": lambda profile: float(profile.nested == 0),
    }
)

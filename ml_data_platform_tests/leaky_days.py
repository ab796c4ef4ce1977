"""Days of events of which one feature tells the label, and days that differ from them by that alone."""

from __future__ import annotations

import datetime as dt
from typing import Any

SESSIONS = 10
VIEWS = 40


def telling_lines(
    of: dt.date, *, name: str = "t", tells: bool = True, sessions: int = SESSIONS
) -> list[dict[str, Any]]:
    """Return sessions of one day that put something into the cart and buy it in the end, and as many that do neither.

    While the first event of only those that buy is an add_to_cart, ``session_cart_count`` tells the label.

    Args:
        of: UTC day.
        name: Makes the ids of this call its own.
        sessions: How many buy, and as many do not: of one each the checks cannot tell yet.
        tells: Without, all sessions begin with an add_to_cart.
    """
    lines = []
    first = dt.datetime.combine(of, dt.time(6), tzinfo=dt.UTC)
    for session in range(2 * sessions):
        buys = session < sessions
        kinds = ["add_to_cart" if buys or not tells else "page_view", *["page_view"] * VIEWS]
        kinds.append("purchase" if buys else "page_view")
        for number, kind in enumerate(kinds):
            at = first + dt.timedelta(minutes=20 * session, seconds=10 * number)
            lines.append(
                {
                    "event_id": f"{of}-{name}-{session}-{number}",
                    "user_id": f"{name}-{session}",
                    "session_uuid": f"{of}-{name}-{session}",
                    "event_type": kind,
                    "event_timestamp": int(at.timestamp() * 1000),
                    "sequence": number,
                    **({"purchase_amount_usd": 5.0} if kind == "purchase" else {}),
                }
            )
    return lines

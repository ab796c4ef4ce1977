"""Each fault is the one that its kind names, and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest

from ml_data_platform.generator.damage import damage
from ml_data_platform.generator.kinds import BROKEN_KINDS, UNDATED_KINDS, expected_reason, expected_rules
from ml_data_platform_tests.planted_recount import Line, judge

V1 = (
    '{"event_id":"00ff","user_id":"u1","session_id":"s1","timestamp":"2026-01-05T01:30:00.250+02:00",'
    '"event_type":"page_view","sequence":2,"session_duration_seconds":46,"page":"/home"}\n'
)
V2 = (
    '{"event_id":"00fe","user_id":"u1","session_uuid":"s1","event_timestamp":1767569400250,'
    '"event_type":"purchase","sequence":3,"client_version":"3.0.0","purchase_amount_usd":12.50,"page":"/cart"}\n'
)


def judged(text: str) -> Line:
    """Return a line judged by its text, as of January 2026."""
    hour = datetime(2026, 1, 4, 23, tzinfo=UTC)
    return judge(text, file="f", row=1, hour=hour, start=date(2026, 1, 1), days=30)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", BROKEN_KINDS)
def test_broken_rows_break_exactly_their_rules(kind: str, version: int) -> None:
    """Whatever the variant, the row keeps its version and time and breaks just the expected rules."""
    variants = set()
    for luck in range(60):
        line = judged(damage(kind, (V1, V2)[version - 1], luck))
        assert line.rules == expected_rules(kind, version)
        assert (line.version, line.time_ms) == (version, 1_767_569_400_250)
        variants.add(line.text)
    assert variants


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", UNDATED_KINDS)
def test_undated_rows_have_exactly_their_reason(kind: str, version: int) -> None:
    """Whatever the variant, the row has no usable day, for just the expected reason, and is not blank."""
    for luck in range(2_000):
        text = damage(kind, (V1, V2)[version - 1], luck)
        assert text.strip()
        assert "\n" not in text
        assert judged(text).reason == expected_reason(kind)


def test_seconds_taken_for_milliseconds_are_the_same_instant_in_both_formats() -> None:
    """Both formats claim the moment of January 1970 that the seconds are as milliseconds."""
    v1, v2 = (json.loads(damage("event_time_before_start_date", text, 0)) for text in (V1, V2))
    assert v2["event_timestamp"] == 1_767_569_400
    moment = datetime.fromisoformat(v1["timestamp"])
    assert round(moment.timestamp() * 1000) == 1_767_569_400


def test_planted_futures_lie_in_2090() -> None:
    """Both formats name a moment of 2090."""
    for luck in range(0, 3_000, 7):
        v1, v2 = (json.loads(damage("event_time_in_the_future", text, luck)) for text in (V1, V2))
        moment = datetime.fromisoformat(v1["timestamp"])
        assert moment.year == 2090
        assert v2["event_timestamp"] == moment.timestamp() * 1000

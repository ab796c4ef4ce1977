"""Texts are read as Python's own arithmetic, calendar and zones say."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import re
import zoneinfo

from hypothesis import example, given
from hypothesis import strategies as st

from ml_data_platform.events.readings import (
    read_binary,
    read_epoch_instant,
    read_integer,
    read_iso_instant,
    read_number,
)
from ml_data_platform_tests.examples import tried

EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - naive on purpose: offsets are added by integer arithmetic
# DuckDB's documented range of timestamps: 290309-12-22 (BC) to 294247-01-10 (AD).
FIRST_MICROS, LAST_MICROS = -9_223_372_022_400_000_000, 9_223_372_036_854_775_806
NANOS_PER_UNIT = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}

numeric_texts = st.one_of(
    st.text(alphabet="0123456789+-.eE", max_size=12),
    st.text(alphabet="0123456789+-.eE_xXnNaAiIfF, \n\u0661", max_size=8),
    st.floats().map(repr),
    st.integers(-(10**25), 10**25).map(str),
    st.text(max_size=5),
)


@given(texts=st.lists(numeric_texts, min_size=1, max_size=30))
@example(texts=["1e400", "-1e400", "1e-400", "NaN", "inf", "0x10", "1_000", "5.", ".5", ".", "", " 1", "1\n", "+.5E+3"])
@tried(120)
def test_numbers_are_finite_decimals(evaluate, texts):
    """A text is a number exactly when it is a plain decimal whose nearest float is finite, and then that float."""
    shape = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
    expected = [float(text) if shape.fullmatch(text) and math.isfinite(float(text)) else None for text in texts]
    found = evaluate(read_number("text"), texts)
    assert list(map(repr, found)) == list(map(repr, expected))


@given(texts=st.lists(numeric_texts, min_size=1, max_size=30))
@example(texts=["9223372036854775807", "9223372036854775808", "-9223372036854775808", "1.0", "1e3", "+7", "007", "٣"])
@tried(80)
def test_integers_are_decimal_digits_within_64_bits(evaluate, texts):
    """A text is an integer exactly when it is at most 19 digits with an optional sign that fit into 64 bits."""
    expected = [
        int(text) if re.fullmatch(r"[+-]?[0-9]{1,19}", text) and -(2**63) <= int(text) < 2**63 else None
        for text in texts
    ]
    assert evaluate(read_integer("text"), texts) == expected


@given(
    texts=st.lists(
        st.one_of(st.sampled_from(["0", "1", "true", "false", "True", "01", "1.0", "-1", " 1"]), st.text(max_size=2))
    )
)
@tried(30)
def test_labels_are_zero_or_one(evaluate, texts):
    """Only 0, 1 and the two truth values of JSON are labels."""
    labels = {"0": 0, "1": 1, "false": 0, "true": 1}
    assert evaluate(read_binary("text"), texts) == [labels.get(text) for text in texts]


@given(
    counts=st.lists(st.one_of(st.integers(-(10**19), 10**19), st.integers(-(10**13), 10**13)), min_size=1, max_size=30),
    unit=st.sampled_from(sorted(NANOS_PER_UNIT)),
    plus=st.booleans(),
)
@example(counts=[LAST_MICROS, LAST_MICROS + 1, FIRST_MICROS, FIRST_MICROS - 1, -1, 0], unit="us", plus=False)
@example(counts=[-1, -999, -1000, -1001, 999, 2**63, -(2**63)], unit="ns", plus=True)
@tried(120)
def test_epoch_times_are_integer_arithmetic(evaluate, counts, unit, plus):
    """An epoch time is count times unit, floored to microseconds; beyond the range of instants it is unreadable."""
    texts = [f"+{count}" if plus and count >= 0 else str(count) for count in counts]

    def expected(count):
        micros = count * NANOS_PER_UNIT[unit] // 1000
        return micros if FIRST_MICROS <= micros <= LAST_MICROS and abs(count) < 10**19 else None

    found = evaluate(f"epoch_us({read_epoch_instant('text', unit)})", texts)
    assert found == [expected(count) for count in counts]


@given(texts=st.lists(st.one_of(numeric_texts, st.from_regex(r"[+-]?[0-9]{18,21}", fullmatch=True)), max_size=30))
@tried(60)
def test_other_texts_are_no_epoch_times(evaluate, texts):
    """A text that is no decimal, or has blanks, no or more than 19 whole digits, is no epoch time, and never an error."""
    found = evaluate(read_epoch_instant("text", "ms") + " IS NULL", texts)
    for text, is_unreadable in zip(texts, found, strict=True):
        if not re.fullmatch(r"[+-]?[0-9]{1,19}(\.[0-9]*)?([eE]\+?[0-9]{1,2})?", text, re.ASCII):
            assert is_unreadable, text


@given(
    whole=st.integers(-4_000_000_000, 8_000_000_000),
    digits=st.text("0123456789", max_size=30),
    unit=st.sampled_from(sorted(NANOS_PER_UNIT)),
)
@example(whole=1_465_413_032, digits="9999999999999999999", unit="s")
@example(whole=-1, digits="0000001", unit="s")
@example(whole=1_465_413_032, digits="", unit="s")
@tried(120)
def test_epoch_times_with_a_fraction_are_decimals(evaluate, whole, digits, unit):
    """A fraction is exact to 12 decimals and cut down to the microsecond before; no float takes part."""
    text = f"{whole}.{digits}"
    with decimal.localcontext(prec=80):
        micros = (decimal.Decimal(f"{whole}.{digits[:12]}") * NANOS_PER_UNIT[unit] / 1000).to_integral_value(
            decimal.ROUND_FLOOR
        )
    assert evaluate(f"epoch_us({read_epoch_instant('text', unit)})", [text]) == [int(micros)]


@given(seconds=st.floats(1e8, 4e9))
@tried(80)
def test_epoch_times_as_floats_are_their_shortest_decimals(evaluate, seconds):
    """A float as JSON and Parquet write it, with an exponent or without, is the decimal that it is written as."""
    written = [repr(seconds), f"{seconds:.16e}", f"{seconds:.16E}"]
    expected = [int(decimal.Decimal(text) * 1_000_000 // 1) for text in written]
    assert evaluate(f"epoch_us({read_epoch_instant('text', 's')})", written) == expected


def two_digits(low, high):
    """Return texts of two digits, mostly but not only in the range that a calendar has."""
    return st.integers(low, high).map("{:02d}".format)


OFFSETS = [
    "",
    "Z",
    "z",
    " Z",
    " UTC",
    "UTC",
    " GMT",
    " utc",
    " +0000 UTC",
    " +00:00",
    "+02",
    "-0330[Asia/X]",
    " +01 UTC",
    "[X]",
]


@st.composite
def instant_texts(draw, first_year=1, last_year=9999, offsets=True):
    """Return texts shaped like an instant, of which a good part exists in no calendar or clock."""
    dash, colon = draw(st.sampled_from(["-:", "-:", "-:", ["", ""], ":-"]))
    day = dash.join(
        [f"{draw(st.integers(first_year, last_year)):04d}", draw(two_digits(0, 13)), draw(two_digits(0, 32))]
    )
    clock = colon.join([draw(two_digits(0, 24)), draw(two_digits(0, 60)), draw(two_digits(0, 60))])
    clock = clock[: draw(st.sampled_from([8, 8, 8, 4 + len(colon)]))]
    fraction = draw(st.one_of(st.just(""), st.from_regex(r"[.,][0-9]{1,14}", fullmatch=True)))
    forms = [st.just("")]
    if offsets:
        forms += [st.sampled_from(OFFSETS), st.from_regex(r" ?[+-][0-9]{2}(:?[0-9]{2})?", fullmatch=True)]
    return day + draw(st.sampled_from("TT  t")) + clock + fraction + draw(st.one_of(forms))


def expected_micros(text, zone="UTC"):
    """Return microseconds since the epoch by Python's calendar, or None for what is no instant."""
    shape = (
        r"(?:(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?"
        r"|(\d{4})(\d\d)(\d\d)[Tt](\d\d)(\d\d)(?:(\d\d)(?:[.,](\d+))?)?)"
        r"(?: ?(?:(?:([Zz]|[uU][tT][cC]|[gG][mM][tT])|([+-])(\d\d)(?::?(\d\d))?|[+]00:?00 (UTC|GMT))(?:\[[\w+/-]+\])?))?"
    )
    parts = re.fullmatch(shape, text, re.ASCII)
    if parts is None:
        return None
    extended, basic, (offset, sign, hours, minutes, named) = (
        parts.groups()[:7],
        parts.groups()[7:14],
        parts.groups()[14:],
    )
    *numbers, fraction = extended if extended[0] else basic
    try:
        local = dt.datetime(*(int(number or 0) for number in numbers))  # noqa: DTZ001 - the offset follows
    except ValueError:
        return None
    micros = (local - EPOCH) // dt.timedelta(microseconds=1) + int((fraction or "").ljust(6, "0")[:6])
    if sign:
        if int(hours) > 14 or int(minutes or 0) > 59:
            return None
        return micros - int(f"{sign}1") * (int(hours) * 60 + int(minutes or 0)) * 60_000_000
    if offset or named or zone == "UTC":
        return micros
    shifts = [local.replace(tzinfo=zoneinfo.ZoneInfo(zone), fold=fold).utcoffset() for fold in (0, 1)]
    return max(micros - shift // dt.timedelta(microseconds=1) for shift in shifts)


@given(texts=st.lists(st.one_of(instant_texts(), st.text(max_size=30)), min_size=1, max_size=30))
@example(texts=["2026-02-29T00:00:00Z", "2024-02-29T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T23:59:60Z"])
@example(
    texts=["2026-01-01T00:00:00+02:00", "2026-01-01 00:00:00", "2026-01-01", "2026-01-01T00:00Z", "now", "infinity"]
)
@example(texts=[f"2026-01-01T00:00:00{offset}" for offset in ("+14:00", "-14:59", "+15:00", "+1500", "-24", "+00:60")])
@example(texts=["2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00Z\n", "epoch"])
@tried(150)
def test_iso_times_follow_the_calendar(evaluate, texts):
    """An ISO text is the instant that the calendar and its offset say, whatever the session's zone; else unreadable."""
    found = evaluate(f"epoch_us({read_iso_instant('text', 'UTC')})", texts)
    assert found == [expected_micros(text) for text in texts]


def test_golden_writings_of_one_instant(evaluate):
    """Forms that other systems write mean what they say; what may mean two things, or a whole day, is not read."""
    same = [
        "2026-06-01T10:00:00Z",
        "2026-06-01 10:00:00 UTC",
        "2026-06-01 10:00:00.0000000 +00:00",
        "2026-06-01 10:00:00 +0000 UTC",
        "2026-06-01T12:00+02:00[Europe/Paris]",
        "2026-06-01t10:00:00,000z",
        "20260601T100000Z",
        "20260601T0530-0430",
        "2026-06-01 10:00",
    ]
    unread = [
        "2026-06-01",
        "20260601100000",
        "2026-06-01 10",
        "2026-06-01 10:00:00 PST",
        "2026-06-01 10:00:00 UTC+2",
        "2026-06-01 10:00:00  UTC",
        "2026-06-01T24:00:00Z",
        "2026-06-01 10:00:00 PM",
        "2026-06-01 10:00:00.",
        "2026-06-01T1000Z",
        "01/06/2026 10:00:00",
    ]
    found = evaluate(f"epoch_us({read_iso_instant('text', 'UTC')})", [*same, *unread])
    assert found == [1_780_308_000_000_000] * len(same) + [None] * len(unread)


@given(
    texts=st.lists(instant_texts(first_year=1990, last_year=2030, offsets=False), min_size=1, max_size=30),
    zone=st.sampled_from(["Europe/Warsaw", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
)
@example(texts=["2017-03-26T02:30:00", "2017-10-29T02:30:00", "2017-10-29T01:59:59"], zone="Europe/Warsaw")
@tried(100)
def test_local_times_follow_the_zone(evaluate, texts, zone):
    """A text without an offset is local time of the contract's zone; of two readings at a clock change, the later."""
    found = evaluate(f"epoch_us({read_iso_instant('text', zone)})", texts)
    assert found == [expected_micros(text, zone) for text in texts]

"""Times in a producer's own format are what Python's strptime and zoneinfo make of them."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml_data_platform.events.readings import read_iso_instant
from ml_data_platform.events.time_formats import format_fault, read_formatted_instant
from ml_data_platform_tests.examples import tried

FORMATS = [
    "%d.%m.%Y %H:%M",
    "%m/%d/%Y %I:%M:%S %p",
    "%Y%m%d%H%M%S",
    "%Y-%m-%d %H:%M:%S.%f",
    "%d/%b/%Y:%H:%M:%S %z",
    "%B %d, %y",
    "%y%m%d",
    "%dT%m(%Y)",
]
GAP, OVERLAP = "2017-03-26 02:30:00", "2017-10-29 02:30:00"


def micros(instant):
    """Return whole microseconds since the epoch."""
    return (instant - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def in_python(text, written_as, zone):
    """Return microseconds since the epoch by Python, the later reading of a local time; None where unreadable."""
    if written_as.endswith(".%f"):
        text = re.sub(r"([.][0-9]{6})[0-9]+\Z", r"\1", text)  # of a longer fraction Python reads nothing
    try:
        read = dt.datetime.strptime(text, written_as)  # noqa: DTZ007 - the zone follows
    except ValueError:
        return None
    if read.tzinfo is not None:
        return micros(read)
    local = zoneinfo.ZoneInfo(zone)
    return max(micros(read.replace(tzinfo=local, fold=fold).astimezone(dt.UTC)) for fold in (0, 1))


@given(
    moments=st.lists(st.datetimes(dt.datetime(1969, 2, 1), dt.datetime(2068, 1, 1)), min_size=1, max_size=10),  # noqa: DTZ001
    written_as=st.sampled_from(FORMATS),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
    offset=st.integers(-839, 839),
)
@tried(150)
def test_what_strftime_writes_is_read_back(evaluate, moments, written_as, zone, offset):
    """A text that Python wrote in a format is the instant that Python reads from it."""
    aware = [moment.replace(tzinfo=dt.timezone(dt.timedelta(minutes=offset))) for moment in moments]
    texts = [moment.strftime(written_as) for moment in aware]
    found = evaluate(f"epoch_us({read_formatted_instant('text', written_as, zone)})", texts)
    assert found == [in_python(text, written_as, zone) for text in texts]


@given(
    texts=st.lists(st.text(alphabet="0123456789/.:- TZamp+Jn", max_size=20), min_size=1, max_size=20),
    written_as=st.sampled_from(FORMATS),
)
@example(texts=["31.02.2026 00:00", "1.2.2026 3:04", "01.02.2026 24:00", "1.13.2026 1:1"], written_as="%d.%m.%Y %H:%M")
@example(
    texts=["01.02.2026 03:04 ", " 01.02.2026 03:04", "01.02.2026  03:04", "\u0661.\u0662.2026 03:04"],
    written_as=FORMATS[0],
)
@example(texts=["20260102030405", "2026010203040", "202601020304059"], written_as="%Y%m%d%H%M%S")
@example(texts=["1/2/2026 12:00:00 am", "1/2/2026 0:00:00 PM", "1/2/2026 13:00:00 PM"], written_as=FORMATS[1])
@example(texts=["2026-01-02 03:04:60.1", "2026-01-02 03:04:59.1234567"], written_as="%Y-%m-%d %H:%M:%S.%f")
@tried(150)
def test_only_what_python_reads_is_read(evaluate, texts, written_as):
    """Nothing is read that Python would refuse, and no text raises; Python's own lenience about blanks is not shared."""
    found = evaluate(f"epoch_us({read_formatted_instant('text', written_as, 'UTC')})", texts)
    for text, value in zip(texts, found, strict=True):
        assert value is None or value == in_python(text, written_as, "UTC")


@given(
    moment=st.datetimes(dt.datetime(1969, 2, 1), dt.datetime(2068, 1, 1)),  # noqa: DTZ001
    digits=st.text("0123456789", min_size=1, max_size=12),
    form=st.sampled_from([("%Y-%m-%d %H:%M:%S.%f", ""), ("%d/%m/%y %H:%M:%S,%f %z", " +0230"), ("%Y%m%d%H%M%S%f", "")]),
)
@example(moment=dt.datetime(2026, 6, 1), digits="1234567", form=("%Y-%m-%d %H:%M:%S.%f", ""))  # noqa: DTZ001
@tried(100)
def test_fractions_of_any_length_are_cut(evaluate, moment, digits, form):
    """A fraction has as many digits as the producer writes; what is beyond microseconds is cut, as in ISO times."""
    written_as, offset = form
    text = moment.replace(microsecond=0).strftime(written_as.split("%f")[0]) + digits + offset
    shift = 9_000_000_000 if offset else 0
    expected = micros(moment.replace(microsecond=0, tzinfo=dt.UTC)) - shift + int(digits.ljust(6, "0")[:6])
    assert evaluate(f"epoch_us({read_formatted_instant('text', written_as, 'UTC')})", [text]) == [expected]


@pytest.mark.parametrize(
    ("zone", "gap", "overlap"),
    [
        ("Europe/Berlin", "2017-03-26T01:30:00Z", "2017-10-29T01:30:00Z"),
        ("UTC", "2017-03-26T02:30:00Z", "2017-10-29T02:30:00Z"),
        ("Asia/Kolkata", "2017-03-25T21:00:00Z", "2017-10-28T21:00:00Z"),
    ],
)
def test_golden_readings_at_clock_changes(evaluate, zone, gap, overlap):
    """Half past two at Berlin: skipped on 2017-03-26, so 03:30 CEST is meant; twice on 2017-10-29, the CET one is meant."""
    expected = [micros(dt.datetime.fromisoformat(text)) for text in (gap, overlap)]
    assert evaluate(f"epoch_us({read_iso_instant('text', zone)})", [GAP, OVERLAP]) == expected
    by_format = read_formatted_instant("text", "%Y-%m-%d %H:%M:%S", zone)
    assert evaluate(f"epoch_us({by_format})", [GAP, OVERLAP]) == expected


@pytest.mark.parametrize(
    ("zone", "local", "instant"),
    [
        ("America/New_York", "1998-04-05 02:30:00", "1998-04-05T07:30:00Z"),
        ("America/New_York", "1998-10-25 01:30:00", "1998-10-25T06:30:00Z"),
        ("Australia/Lord_Howe", "2024-10-06 02:15:00", "2024-10-05T15:45:00Z"),
        ("Australia/Lord_Howe", "2024-04-07 01:45:00", "2024-04-06T15:15:00Z"),
        ("Europe/Berlin", "1998-03-29 01:59:59", "1998-03-29T00:59:59Z"),
        ("Europe/Berlin", "1998-03-29 03:00:00", "1998-03-29T01:00:00Z"),
    ],
)
def test_golden_readings_of_other_zones(evaluate, zone, local, instant):
    """Changes of an hour and of half an hour, south and north, are read by the one rule; so are their edges."""
    found = evaluate(f"epoch_us({read_iso_instant('text', zone)})", [local])
    assert found == [micros(dt.datetime.fromisoformat(instant))]


@pytest.mark.parametrize(
    ("written_as", "fault"),
    [
        ("%d.%m.%Y %H:%M", None),
        ("100%% %Y%m%d", None),
        ("%Y-%m-%d %Q", "%Q"),
        ("%Y-%m-%d %", "%%"),
        ("%Y-%m", "day"),
        ("%d.%m.%Y %y", "year"),
        ("%d.%m %b %Y", "month"),
        ("%Y-%m-%d %H:%M:%M", "%M more than once"),
        ("%Y-%m-%d %I:%M", "only one of %I and %p"),
        ("%Y-%m-%d %H:%M %p", "12-hour"),
        ("%Y-%m-%d %H:%M.%f", "%f without %S"),
        ("", "year"),
    ],
)
def test_formats_that_cannot_be_meant_are_refused(written_as, fault):
    """A format names one year, month and day, each directive once, and only directives that are read alike everywhere."""
    found = format_fault(written_as)
    assert (found is None) == (fault is None)
    assert fault is None or re.search(re.escape(fault), found)

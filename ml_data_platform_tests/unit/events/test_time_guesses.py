"""How times are written is told from the texts alone, and what is no time is not taken for one."""

from __future__ import annotations

import datetime as dt

import pytest

from ml_data_platform.events.time_formats import format_fault
from ml_data_platform.events.time_guesses import guess_date, guess_time, plausible_units

LATEST = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
NOON = dt.datetime(2026, 6, 1, 12, 0, 7, tzinfo=dt.UTC)
SECONDS = 1_780_315_207  # 2026-06-01T12:00:07Z

WRITTEN = {
    # texts: kind, unit, format, whether the offset is in the text
    "2026-06-01T12:00:07Z": ("iso", None, None, True),
    "2026-06-01 14:00:07.123456789+02:00": ("iso", None, None, True),
    "2026-06-01 12:00:07": ("iso", None, None, False),
    str(SECONDS): ("epoch", "s", None, True),
    str(SECONDS * 10**3): ("epoch", "ms", None, True),
    str(SECONDS * 10**6): ("epoch", "us", None, True),
    str(SECONDS * 10**9): ("epoch", "ns", None, True),
    "01.06.2026 12:00:07": ("format", None, "%d.%m.%Y %H:%M:%S", False),
    "2026/06/01 12:00:07": ("format", None, "%Y/%m/%d %H:%M:%S", False),
    "01/Jun/2026:12:00:07 +0000": ("format", None, "%d/%b/%Y:%H:%M:%S %z", True),
    "[01/Jun/2026:12:00:07 +0000]": ("format", None, "[%d/%b/%Y:%H:%M:%S %z]", True),
    "2026-06-01 12:00:07 UTC": ("iso", None, None, True),
    "2026-06-01 14:00:07.1234567 +02:00": ("iso", None, None, True),
    "20260601T120007Z": ("iso", None, None, True),
    "01.06.2026 12:00:07.1234567": ("format", None, "%d.%m.%Y %H:%M:%S.%f", False),
    "01.06.2026 12:00:07 UTC": ("format", None, "%d.%m.%Y %H:%M:%S UTC", True),
    "01-Jun-2026 12:00:07 PM": ("format", None, "%d-%b-%Y %I:%M:%S %p", False),
    "1 June 2026 12:00:07": ("format", None, "%d %B %Y %H:%M:%S", False),
    "20260601120007": ("format", None, "%Y%m%d%H%M%S", False),
}


@pytest.mark.parametrize("text", WRITTEN)
def test_one_instant_in_many_writings(text):
    """The same instant is recognised however it is written, and its writing with it."""
    guess = guess_time([text], latest=LATEST)
    assert (guess.kind, guess.unit, guess.format, guess.has_offset) == WRITTEN[text]
    assert guess.first.replace(microsecond=0).astimezone(dt.UTC) == guess.last.replace(microsecond=0) == NOON


@pytest.mark.parametrize("text", [text for text, (kind, *_) in WRITTEN.items() if kind == "format"])
def test_guessed_formats_are_ones_that_a_contract_takes(text):
    """No format is proposed that the contract would refuse."""
    assert format_fault(guess_time([text], latest=LATEST).format) is None


@pytest.mark.parametrize(
    "texts",
    [["7", "8", "912"], ["20260601"], ["2026-06-01"], ["12:00:07"], ["a", "b"], ["17.5"], [], ["4102444800"]],
)
def test_what_is_no_event_time_is_none(texts):
    """Counts, days, times of day, words, prices and times of the next century are not taken."""
    assert guess_time(texts, latest=LATEST) is None


def test_day_and_month_that_could_be_swapped_are_said():
    """Up to the twelfth of a month nobody can tell; the thirteenth decides."""
    either = guess_time(["01/02/2026 10:00:00", "03/04/2026 10:00:00"], latest=LATEST)
    assert {either.format, either.alternative} == {"%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S"}
    decided = guess_time(["01/02/2026 10:00:00", "02/13/2026 10:00:00"], latest=LATEST)
    assert (decided.format, decided.alternative) == ("%m/%d/%Y %H:%M:%S", None)


def test_the_more_likely_of_two_readings_is_taken():
    """Some days in a row are not one day of each month, and am and pm go with the month first."""
    row = [f"0{month}/0{day}/2026 10:00:00" for month, day in ((6, 1), (6, 2), (6, 3))]
    assert guess_time(row, latest=LATEST).format == "%m/%d/%Y %H:%M:%S"
    assert guess_time(["06/01/2026 10:00:00 AM"], latest=LATEST).format == "%m/%d/%Y %I:%M:%S %p"
    assert guess_time(["06/01/2026 10:00:00"], latest=LATEST).format == "%d/%m/%Y %H:%M:%S"


def test_a_few_broken_texts_do_not_hide_the_rest():
    """Nine in ten texts are enough, and the share is said; eight in ten are not."""
    good = [str(SECONDS + at) for at in range(90)]
    guess = guess_time([*good, *(f"x{at}" for at in range(10))], latest=LATEST)
    assert (guess.unit, guess.share) == ("s", 0.9)
    assert guess_time([*good[:80], *(f"x{at}" for at in range(20))], latest=LATEST) is None


def test_units_follow_from_the_range_of_years():
    """An integer is an event time in at most one unit, because units lie a thousand apart."""
    assert plausible_units([SECONDS], latest=LATEST) == ("s",)
    assert plausible_units([SECONDS, SECONDS * 1000], latest=LATEST) == ()
    assert plausible_units([], latest=LATEST) == ()


def test_dates_without_a_time_of_day_are_recognised():
    """A column of dates has a format, a column of anything else has none."""
    assert guess_date(["01.06.2026", "31.12.2025"]) == "%d.%m.%Y"
    assert guess_date(["2026-06-01"]) == "%Y-%m-%d"
    assert guess_date(["2026-06-01", "soon"]) is None
    assert guess_date([]) is None

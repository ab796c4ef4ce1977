"""From which share on a file is warned of, and from which it is red; and that saying so changes nothing else."""

from __future__ import annotations

import datetime as dt

import pytest
import yaml

from ml_data_platform.errors import ContractError
from ml_data_platform.events.contract_parts import UnusableRows
from ml_data_platform.events.contracts import SourceContract, parse_contract
from ml_data_platform.events.usable_rows import Level, judge_counts, refusal_of

START = dt.date(2026, 1, 1)
EARLY = "event_time_before_start_date"


def contract(**said: object) -> SourceContract:
    """Return a contract of JSON lines that says some more."""
    return parse_contract(yaml.safe_dump({"source": "shop", "format": "jsonl", **said}), file="shop.yaml")


@pytest.mark.parametrize(
    ("rows", "bad", "level"),
    [
        (0, 0, Level.OK),
        (1, 0, Level.OK),
        (1, 1, Level.RED),
        (2, 2, Level.RED),
        (1000, 9, Level.OK),
        (1000, 10, Level.WARN),
        (101, 1, Level.OK),
        (100, 1, Level.WARN),
        (99, 1, Level.WARN),
        (1000, 199, Level.WARN),
        (1000, 200, Level.RED),
        (5, 1, Level.RED),
        (6, 1, Level.WARN),
        (1_000_000, 999_999, Level.RED),
    ],
)
def test_the_edges_are_one_and_twenty_percent(rows: int, bad: int, level: Level) -> None:
    """At 1 % it is warned of, at 20 % it is red, a file without rows is neither."""
    undated = {"malformed_row": bad - bad // 2, "event_time_missing": bad // 2}
    assert judge_counts(rows, {reason: count for reason, count in undated.items() if count}, UnusableRows()) is level


def test_every_share_of_a_hundredth_is_met_exactly() -> None:
    """A share that is written as a decimal is met by the file that has just that share: no rounding decides."""
    for hundredths in range(1, 100):
        tolerated = UnusableRows(warn=hundredths / 100, red=hundredths / 100)
        for times in (1, 3, 7):
            at = judge_counts(100 * times, {"malformed_row": hundredths * times}, tolerated)
            below = judge_counts(100 * times, {"malformed_row": hundredths * times - 1}, tolerated)
            assert (at, below) == (Level.RED, Level.OK), (hundredths, times)


def test_a_file_without_a_usable_row_is_red_whatever_is_tolerated() -> None:
    """Tolerances are about shares; none of them tolerates a file of which nothing is usable."""
    all_of_it = UnusableRows(warn=1, red=1, red_rows=1_000)
    assert judge_counts(3, {"malformed_row": 3}, all_of_it) is Level.RED
    assert judge_counts(3, {"malformed_row": 2}, all_of_it) is Level.OK
    few = UnusableRows(red_rows=3)
    assert [judge_counts(5, {"malformed_row": bad}, few) for bad in (1, 2, 3, 5)] == [
        Level.WARN,
        Level.WARN,
        Level.RED,
        Level.RED,
    ]


def test_a_file_that_was_cut_off_is_red_whatever_is_tolerated() -> None:
    """One row tells it, and stands for nobody knows how many."""
    lenient = UnusableRows(warn=1, red=1, red_rows=1_000)
    assert judge_counts(1_000_000, {"cut_off": 1}, lenient) is Level.RED
    assert judge_counts(1_000_000, {"malformed_row": 1}, lenient) is Level.OK
    said = refusal_of(contract(on_unusable="refuse_file"), 400, {"cut_off": 1})
    assert said is not None
    assert "1 cut_off; the file was cut off, more rows are missing: send it whole" in said


def test_reasons_that_are_meant_are_not_judged() -> None:
    """Rows before the first day are judged, unless the contract says that they are meant; the share is of the others."""
    undated = {EARLY: 90, "malformed_row": 1}
    assert judge_counts(100, undated, UnusableRows()) is Level.RED
    assert judge_counts(100, undated, UnusableRows(expected=(EARLY,))) is Level.WARN
    assert judge_counts(100, {EARLY: 100}, UnusableRows(expected=(EARLY,))) is Level.OK
    assert judge_counts(100, {EARLY: 99, "malformed_row": 1}, UnusableRows(expected=(EARLY,))) is Level.RED


def test_tolerances_have_no_file_read_again_and_build_no_day() -> None:
    """They change no hash; only where red files are refused they decide what is kept, and files are read again."""
    plain = contract()
    for said in ({"unusable_rows": {"warn": 0.5, "red": 0.9, "expected": [EARLY]}}, {"on_unusable": "publish"}):
        assert contract(**said).content_hash == plain.content_hash
        assert contract(**said).routing_hash(START) == plain.routing_hash(START)
    refusing = contract(on_unusable="refuse_file")
    assert refusing.content_hash == plain.content_hash
    hashes = {
        each.routing_hash(START)
        for each in (
            plain,
            refusing,
            contract(on_unusable="refuse_file", unusable_rows={"red": 0.5}),
            contract(on_unusable="refuse_file", unusable_rows={"expected": [EARLY]}),
        )
    }
    assert len(hashes) == 4
    assert contract(on_unusable="refuse_file", unusable_rows={"warn": 0.1}).routing_hash(START) in hashes


def test_only_red_files_are_refused() -> None:
    """The refusal says how many rows, and why; other files and other contracts refuse nothing."""
    refusing = contract(on_unusable="refuse_file")
    said = refusal_of(refusing, 10, {"event_time_missing": 1, "malformed_row": 3})
    assert said is not None
    assert "4 of 10 rows (40.00%) reach no day: 3 malformed_row, 1 event_time_missing" in said
    assert refusal_of(refusing, 10, {"malformed_row": 1}) is None
    assert refusal_of(contract(), 10, {"malformed_row": 9}) is None


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ({"unusable_rows": {"warn": 0.3}}, "unusable_rows.warn"),
        ({"unusable_rows": {"red": 0}}, "unusable_rows.red"),
        ({"unusable_rows": {"red": 1.5}}, "unusable_rows.red"),
        ({"unusable_rows": {"expected": ["malformed_row"]}}, "unusable_rows.expected"),
        ({"unusable_rows": {"refuse": 0.2}}, "unusable_rows.refuse"),
        ({"on_unusable": "drop"}, "on_unusable"),
    ],
)
def test_tolerances_that_mean_nothing_are_refused(said: dict[str, object], where: str) -> None:
    """No share is above 1, none of 0 is tolerated by warning, and malformed rows are never meant."""
    with pytest.raises(ContractError, match=where):
        contract(**said)

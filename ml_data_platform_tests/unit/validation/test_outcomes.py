"""An outcome is a verdict with counts; tolerances are read as written."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from decimal import Decimal

import pytest

from ml_data_platform.validation.outcomes import CheckOutcome, is_blocked, is_within_tolerance

OUTCOME = CheckOutcome(
    name="user_ids_are_present",
    asset="validated_events",
    passed=True,
    blocking=True,
    evaluated=200,
    unexpected=3,
    tolerance=0.05,
    observed="3 of 200",
    examples=("row 1: null",),
    rule={"name": "user_ids_are_present", "kwargs": {"column": "user_id"}},
    description="Every event names its user.",
)


@pytest.mark.parametrize(
    ("unexpected", "evaluated", "tolerance", "passed"),
    [
        (0, 0, 0.0, True),
        (0, 10, 0.0, True),
        (1, 10, 0.0, False),
        (5, 100, 0.05, True),
        (6, 100, 0.05, False),
        (10, 10, 1.0, True),
        (3, 10**12, 3e-12, True),
        (4, 10**12, 3e-12, False),
        (1, 1, 0.05, True),
        (2, 2, 0.05, True),
        (3, 3, 0.05, False),
        (1, 1, 0.0, False),
    ],
)
def test_the_bound_belongs_to_the_tolerance(unexpected, evaluated, tolerance, passed):
    """Exactly the tolerated share passes, one row more fails; one or two rows fail only where nothing is tolerated."""
    assert is_within_tolerance(unexpected, evaluated, tolerance) is passed


def test_every_whole_percentage_of_a_hundred_rows_passes_exactly():
    """29 of 100 rows are within 29 %, although 0.29 * 100 is less than 29 in binary floating point."""
    for percent in range(2, 100):
        tolerance = float(Decimal(percent) / 100)
        assert is_within_tolerance(percent, 100, tolerance)
        assert not is_within_tolerance(percent + 1, 100, tolerance)


def test_metadata_is_plain_json():
    """A user interface gets numbers, text and lists under stable keys."""
    shown = OUTCOME.metadata()
    assert json.loads(json.dumps(shown)) == shown
    assert shown == {
        "observed": "3 of 200",
        "unexpected_count": 3,
        "evaluated_count": 200,
        "unexpected_percent": 1.5,
        "tolerance": 0.05,
        "examples": ["row 1: null"],
        "rule": {"name": "user_ids_are_present", "kwargs": {"column": "user_id"}},
    }


def test_nothing_evaluated_says_so():
    """An outcome over no rows shows a count of 0 rather than a share."""
    shown = replace(OUTCOME, evaluated=0, unexpected=0).metadata()
    assert (shown["evaluated_count"], shown["unexpected_percent"]) == (0, 0.0)


def test_only_a_failed_blocking_rule_blocks():
    """Warnings never keep a partition back."""
    warning = replace(OUTCOME, passed=False, blocking=False)
    assert not is_blocked([])
    assert not is_blocked([OUTCOME, warning])
    assert is_blocked([OUTCOME, warning, replace(OUTCOME, passed=False)])


def test_outcomes_cross_process_borders():
    """Outcomes are picklable."""
    assert pickle.loads(pickle.dumps(OUTCOME)) == OUTCOME

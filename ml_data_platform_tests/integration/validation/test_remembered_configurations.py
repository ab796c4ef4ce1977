"""The shortcut through Great Expectations changes what an evaluation costs, and nothing that it says."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

from ml_data_platform.validation import expectations
from ml_data_platform.validation.expectations import ExpectationSuite
from ml_data_platform.validation.remembered_configurations import remembered_configurations
from ml_data_platform.validation.suites import ROW_RULES
from ml_data_platform_tests.validation_rows import event_rows

RULES = ROW_RULES["validated_events"]


def broken_rows():
    """Return rows of which different ones break different rules."""
    rows = event_rows(40)
    rows.loc[[3, 17], "user_id"] = None
    rows.loc[[5, 6], "event_type"] = "strange"
    rows.loc[[7], "session_duration_seconds"] = 90_000
    rows.loc[[8], "purchase_amount_usd"] = -1.0
    return rows


def test_the_answers_are_those_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rule names the same rows, by the same suite again and again, with the shortcut and without."""
    suite = ExpectationSuite(RULES)
    quick = [suite.evaluate(rows) for rows in (broken_rows(), event_rows(3), broken_rows())]
    monkeypatch.setattr(expectations, "remembered_configurations", nullcontext)
    plain = [ExpectationSuite(RULES).evaluate(rows) for rows in (broken_rows(), event_rows(3), broken_rows())]
    for ours, theirs in zip(quick, plain, strict=True):
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[rule], theirs[rule]) for rule in ours)
    assert sum(len(positions) for positions in plain[0].values()) >= 6


def test_nothing_is_remembered_beyond_one_evaluation() -> None:
    """Within the block an expectation answers once; after it, it answers from its fields again."""
    from great_expectations.expectations import ExpectColumnValuesToBeBetween

    expectation = ExpectColumnValuesToBeBetween(column="amount", min_value=0, max_value=1)
    with remembered_configurations():
        first = expectation.configuration
        expectation.max_value = 2
        assert expectation.configuration is first
    assert expectation.configuration.kwargs["max_value"] == 2

"""How rows are run through Great Expectations: chunks, totals, examples, errors and silence."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ml_data_platform.errors import ValidationSetupError
from ml_data_platform.validation.runner import MAX_CHUNK_ROWS, RowValidator
from ml_data_platform.validation.suites import ROW_RULES, TABLE_RULES, Rule, with_tolerances
from ml_data_platform_tests.validation_rows import GOOD_USER, event_rows

EVENT_RULES = ROW_RULES["validated_events"]


def rules_named(*names):
    """Return the named rules of validated_events."""
    return tuple(rule for rule in EVENT_RULES if rule.name in names)


def between(name, column, **limits):
    """Return a strict range rule."""
    return Rule(name, "raw_events", "ExpectColumnValuesToBeBetween", {"column": column, **limits}, "row", True, 0.0, "")


def test_a_missing_column_is_an_error_that_names_rule_and_column():
    """A rule that cannot be evaluated never passes."""
    validator = RowValidator(EVENT_RULES)
    with pytest.raises(ValidationSetupError) as caught:
        validator.validate(event_rows(3).drop(columns="purchase_amount_usd"))
    assert caught.value.rule == "purchase_amounts_are_in_range"
    assert caught.value.column == "purchase_amount_usd"


def test_a_missing_column_is_an_error_on_an_empty_frame_too():
    """No rows are no excuse for a missing column."""
    with pytest.raises(ValidationSetupError, match="user_id"):
        RowValidator(EVENT_RULES).validate(pd.DataFrame({"event_id": []}))


def test_a_rule_that_cannot_be_evaluated_is_an_error():
    """Text under a numeric range makes Great Expectations answer without a result; that is not a pass."""
    validator = RowValidator([between("texts_are_in_range", "event_type", min_value=0, max_value=1)])
    with pytest.raises(ValidationSetupError, match="could not evaluate") as caught:
        validator.validate(event_rows(3))
    assert (caught.value.rule, caught.value.column) == ("texts_are_in_range", "event_type")


@pytest.mark.parametrize(
    "rule",
    [
        Rule("x", "raw_events", "ExpectTheUnexpected", {"column": "a"}, "row", True, 0.0, ""),
        Rule("x", "raw_events", "ExpectColumnValuesToBeInSet", {"colum": "a"}, "row", True, 0.0, ""),
    ],
    ids=["class", "argument"],
)
def test_an_expectation_that_does_not_exist_is_an_error(rule):
    """A misspelt rule is found when the suite is built."""
    with pytest.raises(ValidationSetupError, match="does not accept") as caught:
        RowValidator([rule])
    assert caught.value.rule == "x"


def test_rules_that_would_swallow_each_other_are_refused():
    """Great Expectations drops an expectation that it already has, and with it the second rule's result."""
    first = between("a", "sequence", min_value=0)
    with pytest.raises(ValidationSetupError, match="same expectation"):
        RowValidator([first, replace(first, name="b")])
    with pytest.raises(ValidationSetupError, match="same name"):
        RowValidator([first, between("a", "sequence", min_value=1)])


def test_table_rules_are_not_run_on_rows():
    """A table rule judges metrics, not rows."""
    with pytest.raises(ValidationSetupError, match="wrong scope"):
        RowValidator(TABLE_RULES["raw_events"])


def test_results_are_matched_by_rule_whatever_their_order():
    """Each order of the rules gives every rule its own positions, in the order of the rules."""
    frame = event_rows(4, user_id=[None, GOOD_USER, GOOD_USER, GOOD_USER], event_id=["a", None, "b", ""])
    forward = RowValidator(EVENT_RULES).validate(frame)
    backward = RowValidator(reversed(EVENT_RULES)).validate(frame)
    assert list(forward) == [rule.name for rule in EVENT_RULES]
    assert list(backward) == list(forward)[::-1]
    found = {name: positions.tolist() for name, positions in forward.items() if len(positions)}
    assert found == {
        "event_ids_are_present": [1],
        "user_ids_are_present": [0],
        "event_ids_are_short": [3],
    }
    assert {name: positions.tolist() for name, positions in backward.items() if len(positions)} == found


def test_positions_are_complete_beyond_the_limits_of_great_expectations():
    """Great Expectations cuts its list of bad values at 200; positions are all there, also across inner chunks."""
    rows = MAX_CHUNK_ROWS + 1_000
    amounts = np.full(rows, 1.0)
    bad = np.concatenate([np.arange(0, 900), np.arange(MAX_CHUNK_ROWS - 300, MAX_CHUNK_ROWS + 300), [rows - 1]])
    amounts[bad] = -1.0
    validator = RowValidator(rules_named("purchase_amounts_are_in_range"))
    found = validator.validate(pd.DataFrame({"purchase_amount_usd": amounts}))["purchase_amounts_are_in_range"]
    assert found.dtype == np.int64
    assert found.tolist() == bad.tolist()
    (outcome,) = validator.outcomes()
    assert (outcome.evaluated, outcome.unexpected) == (rows, 1_501)


@pytest.mark.parametrize(
    "index",
    [
        [9, 9, 9],
        ["c", "b", "a"],
        pd.Index([5, 6, 7], name="source_row"),
        pd.MultiIndex.from_tuples([(0, 1), (0, 0), (1, 1)]),
    ],
    ids=["repeated", "text", "named", "two-level"],
)
def test_positions_do_not_depend_on_the_index(index):
    """Positions count rows; the frame's index is neither used nor changed."""
    frame = event_rows(3, user_id=[GOOD_USER, None, GOOD_USER]).set_axis(index, axis="index")
    before = frame.copy(deep=True)
    found = RowValidator(EVENT_RULES).validate(frame)
    assert found["user_ids_are_present"].tolist() == [1]
    pd.testing.assert_frame_equal(frame, before)


def test_outcomes_add_up_over_chunks():
    """Counts and examples over three chunks are those of all rows, first rows first, at most five."""
    validator = RowValidator(rules_named("event_types_are_known"))
    landed = ["search", "b0", "b1"], ["b2", "other", "b3"], ["b4", "b5", "search", "b6"]
    for types in landed:
        validator.validate(event_rows(len(types), event_type=types, source_row=list(range(len(types)))))
    (outcome,) = validator.outcomes()
    assert (outcome.evaluated, outcome.unexpected, outcome.passed) == (10, 7, False)
    assert outcome.examples == (
        "file abababab row 1: b0",
        "file abababab row 2: b1",
        "file abababab row 0: b2",
        "file abababab row 2: b3",
        "file abababab row 0: b4",
    )
    assert outcome.observed == "7 of 10 rows break the rule (70.000%)"
    assert outcome.metadata()["unexpected_percent"] == 70.0


def test_examples_without_a_source_tell_the_row_of_the_partition():
    """Rows are counted over the chunks of a partition."""
    validator = RowValidator(rules_named("purchase_amounts_are_in_range"))
    validator.validate(pd.DataFrame({"purchase_amount_usd": [1.0, 2.0]}))
    validator.validate(pd.DataFrame({"purchase_amount_usd": [1.0, -2.5]}))
    assert validator.outcomes()[0].examples == ("row 3: -2.5",)


def test_examples_are_bounded_and_printable():
    """A landed text of any length or content makes one line of at most 120 characters."""
    validator = RowValidator(rules_named("labels_are_binary"))
    validator.validate(event_rows(2, unreadable_label=["a\nb\x1b[31m", "z" * 100_000]))
    first, second = validator.outcomes()[0].examples
    assert first == r"file abababab row 7: a\nb\x1b[31m"
    assert len(second) == 120


def test_tolerance_counts_rows():
    """Three bad rows in sixty are within 5 %; four are not, and a wider tolerance lets them pass."""
    name = "event_types_are_known"
    for bad, tolerance, passed in [(3, 0.05, True), (4, 0.05, False), (4, 0.1, True), (1, 0.0, False)]:
        validator = RowValidator(with_tolerances(rules_named(name), {name: tolerance}))
        found = validator.validate(event_rows(60, event_type=["x"] * bad + ["search"] * (60 - bad)))
        assert found[name].tolist() == list(range(bad)), "a tolerated row is still a bad row"
        assert validator.outcomes()[0].passed is passed


def test_no_rows_pass_and_say_so():
    """An empty partition passes row rules with a count of 0 evaluated rows; volume has rules of its own."""
    validator = RowValidator(EVENT_RULES)
    assert all(len(positions) == 0 for positions in validator.validate(event_rows(0)).values())
    for outcome in validator.outcomes():
        assert (outcome.passed, outcome.evaluated, outcome.examples) == (True, 0, ())
        assert outcome.observed == "0 of 0 rows break the rule"


def test_validation_is_silent_and_works_with_warnings_as_errors():
    """Nothing is printed and no warning leaves: not at import, not while validating, not on a bad row."""
    code = (
        "from ml_data_platform.validation.runner import RowValidator, check_metrics\n"
        "from ml_data_platform.validation.suites import ROW_RULES, TABLE_RULES\n"
        "from ml_data_platform_tests.validation_rows import event_rows\n"
        "found = RowValidator(ROW_RULES['validated_events']).validate(event_rows(2, event_type=['x', None]))\n"
        "assert found['event_types_are_known'].tolist() == [0]\n"
        "check_metrics(TABLE_RULES['quarantined_events'], {'unaccounted_rows': 3})\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_suite_that_is_used_again_remembers_nothing():
    """Each partition is judged by its own rows, also after bad rows, after an error, and under another tolerance."""
    rules = rules_named("user_ids_are_present", "event_types_are_known")
    bad = event_rows(5)
    bad.loc[[1, 3], "user_id"] = None
    for _ in range(2):
        first, second = RowValidator(rules), RowValidator(rules)
        assert first.validate(bad)["user_ids_are_present"].tolist() == [1, 3]
        assert second.validate(event_rows(4))["user_ids_are_present"].tolist() == []
        assert [outcome.unexpected for outcome in second.outcomes()] == [0, 0]
        with pytest.raises(ValidationSetupError):
            RowValidator(rules).validate(event_rows(3).drop(columns="user_id"))
        lenient = RowValidator(with_tolerances(rules, {"user_ids_are_present": 0.5}))
        lenient.validate(bad)
        assert [outcome.passed for outcome in lenient.outcomes()] == [True, True]


def test_threads_share_no_suite():
    """Rows that are judged at the same time by the same rules do not mix."""
    rules = rules_named("user_ids_are_present", "event_types_are_known")

    def judge(count: int) -> list[int]:
        rows = event_rows(count)
        rows.loc[count - 1, "user_id"] = None
        return [RowValidator(rules).validate(rows)["user_ids_are_present"].tolist() for _ in range(5)]

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(judge, (3, 30, 300))) == [[[2]] * 5, [[29]] * 5, [[299]] * 5]


def test_frames_are_not_hashed(monkeypatch):
    """Great Expectations fingerprints small frames for its metadata, at more than the price of judging them."""
    from great_expectations.execution_engine import pandas_execution_engine

    hashed = []
    monkeypatch.setattr(pandas_execution_engine, "hash_pandas_dataframe", lambda frame: hashed.append(len(frame)))
    RowValidator(EVENT_RULES).validate(event_rows(5))
    assert hashed == []
    monkeypatch.setattr(pandas_execution_engine, "HASH_THRESHOLD", 1e9)
    RowValidator(EVENT_RULES).validate(event_rows(5))
    assert hashed == [5, 5], "the test would notice"

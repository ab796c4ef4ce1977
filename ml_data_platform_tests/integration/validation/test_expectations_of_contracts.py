"""The table of what contracts may expect, against the Great Expectations that is installed."""

from __future__ import annotations

import inspect

from ml_data_platform.events.expectation_problems import PLATFORM_RULES
from ml_data_platform.events.expectations import COMPOUND_UNIQUE, EXPECTATIONS, REFUSED
from ml_data_platform.validation.expectations import suite_for
from ml_data_platform.validation.suites import ROW_RULES, rules_for


def installed():
    """Return class name of each column-map expectation to its arguments: those that are needed, and all."""
    suite_for(())
    import great_expectations as gx
    from great_expectations.expectations.expectation import ColumnMapExpectation, MulticolumnMapExpectation

    found = {}
    for name, kind in inspect.getmembers(gx.expectations, inspect.isclass):
        if issubclass(kind, ColumnMapExpectation) or (
            name == COMPOUND_UNIQUE and issubclass(kind, MulticolumnMapExpectation)
        ):
            fields = kind.__fields__
            found[name] = {each for each, field in fields.items() if field.required}, set(fields)
    return found


def test_each_expectation_of_the_package_is_taken_or_refused_with_a_reason():
    """A version of Great Expectations with another expectation, or without one of these, is noticed."""
    assert installed().keys() == EXPECTATIONS.keys() | REFUSED.keys()
    assert not EXPECTATIONS.keys() & REFUSED.keys()


def test_arguments_are_those_of_the_package():
    """Each argument exists, and each that the package needs is needed."""
    known = installed()
    for name, arguments in EXPECTATIONS.items():
        needed, every = known[name]
        assert needed <= set(arguments.needed), name
        assert {*arguments.needed, *arguments.further} <= every, name


def test_no_rule_of_the_platform_can_be_named_by_a_contract():
    """Rejected rows carry names of rules: one name means one rule."""
    own = {rule.name for rule in ROW_RULES["validated_events"]} | {"event_ids_are_unique"}
    assert own == PLATFORM_RULES
    assert own <= {rule.name for rule in rules_for("validated_events")}

"""What a contract may expect, and what is refused with a word that helps."""

from __future__ import annotations

import datetime as dt

import pytest

from ml_data_platform.errors import ContractError
from ml_data_platform.events.contracts import parse_contract
from ml_data_platform.events.expectations import (
    judged_before_masking,
    rules_before_masking,
    rules_on_kept_values,
    unique_rules,
)

HEAD = "source: s\nformat: jsonl\nschema_version: 1\n"
REGEX = "{expectation: expect_column_values_to_match_regex, column: user_id, regex: '^u'}"


def contract_with(rules: str, rest: str = ""):
    """Return the contract that says these rules."""
    return parse_contract(f"{HEAD}{rest}\nexpect: {{{rules}}}\n", file="s.yaml")


def test_both_forms_of_a_name_are_one_rule():
    """A rule written as Great Expectations' JSON has it is the rule by its class, down to the hash of the contract."""
    snake = contract_with(f"users: {REGEX}")
    camel = contract_with(
        f"users: {REGEX.replace('expect_column_values_to_match_regex', 'ExpectColumnValuesToMatchRegex')}"
    )
    assert snake == camel
    assert snake.content_hash == camel.content_hash


def test_a_contract_without_rules_keeps_its_hashes():
    """An empty section, and its absence, are one; a rule changes what days are built from, not how files are routed."""
    without, empty, ruled = (
        parse_contract(HEAD + more, file="s.yaml") for more in ("", "expect: {}\n", f"expect: {{users: {REGEX}}}\n")
    )
    start = dt.date(2026, 1, 1)
    assert without.content_hash == empty.content_hash != ruled.content_hash
    assert without.routing_hash(start) == empty.routing_hash(start) == ruled.routing_hash(start)


@pytest.mark.parametrize(
    ("rules", "key", "says"),
    [
        ("users: {expectation: expect_column_values_to_match_regx, column: a}", "users.expectation", "MatchRegex'?"),
        ("users: {expectation: ExpectColumnValuesToMatchRegex, column: a}", "users.regex", "is needed"),
        (
            "users: {expectation: ExpectColumnValuesToMatchRegex, column: a, regx: b}",
            "users.regx",
            "did you mean 'regex'",
        ),
        ("users: {expectation: ExpectColumnValuesToNotBeNull, column: a, regex: b}", "users.regex", "has no meaning"),
        ("users: {expectation: ExpectColumnValuesToNotBeNull, column: a, mostly: 0.9}", "users.mostly", "tolerance"),
        ("users: {expectation: ExpectColumnValuesToMatchRegex, column: a, regex: '(a)\\1'}", "users.regex", "RE2"),
        ("users: {expectation: ExpectColumnValuesToMatchRegex, column: a, regex: '(?<!a)b'}", "users.regex", "RE2"),
        (
            "users: {expectation: ExpectColumnValuesToMatchRegexList, column: a, regex_list: [b, '(']}",
            "users.regex_list",
            "RE2",
        ),
        ("users: {expectation: ExpectColumnValuesToBeBetween, column: a}", "users", "needs min_value"),
        (
            "users: {expectation: ExpectColumnValuesToBeBetween, column: a, min_value: 2, max_value: 1}",
            "users.max_value",
            "no value",
        ),
        (
            "users: {expectation: ExpectColumnValuesToBeBetween, column: a, min_value: 1, max_value: 1, strict_max: true}",
            "users.max_value",
            "no value",
        ),
        ("users: {expectation: ExpectColumnValuesToBeBetween, column: a, min_value: '1'}", "users.min_value", "number"),
        (
            "users: {expectation: ExpectColumnValueLengthsToBeBetween, column: a, min_value: 1.5}",
            "users.min_value",
            "characters",
        ),
        ("users: {expectation: ExpectColumnValuesToBeInSet, column: a, value_set: []}", "users.value_set", "is needed"),
        (
            "users: {expectation: ExpectColumnValuesToBeInSet, column: a, value_set: [yes]}",
            "users.value_set.0",
            "in quotes",
        ),
        (
            "users: {expectation: ExpectColumnValuesToBeInSet, column: a, value_set: [1, b]}",
            "users.value_set",
            "texts and numbers",
        ),
        (
            "users: {expectation: ExpectColumnValuesToMatchStrftimeFormat, column: a, strftime_format: '%Q'}",
            "users.strftime_format",
            "format",
        ),
        ("users: {expectation: ExpectColumnValuesToBeIncreasing, column: a}", "users.expectation", "order of landing"),
        ("users: {expectation: ExpectColumnValuesToMatchLikePattern, column: a}", "users.expectation", "MatchRegex"),
        (
            "users: {expectation: ExpectCompoundColumnsToBeUnique, column_list: [a, a]}",
            "users.column_list",
            "different",
        ),
        ("users: {expectation: ExpectColumnValuesToNotBeNull, column: a..b}", "users.column", "empty part"),
        (
            "event_ids_are_present: {expectation: ExpectColumnValuesToNotBeNull, column: a}",
            "event_ids_are_present",
            "platform",
        ),
        ("too_late: {expectation: ExpectColumnValuesToNotBeNull, column: a}", "too_late", "platform"),
        ("Users: {expectation: ExpectColumnValuesToNotBeNull, column: a}", "Users", "pattern"),
        (
            "users: {expectation: ExpectColumnValuesToNotBeNull, column: a, tolerance: 1.1}",
            "users.tolerance",
            "less than or equal",
        ),
        ("users: {expectation: ExpectColumnValuesToNotBeNull, column: a, severity: error}", "users.severity", "block"),
        (f"users: {REGEX}, again: {REGEX}", "again", "the same as users"),
    ],
)
def test_what_cannot_be_meant_is_refused(rules, key, says):
    """The message names the key, what is there, and what would be right."""
    with pytest.raises(ContractError) as caught:
        contract_with(rules)
    assert caught.value.facts["key"] == f"expect.{key}"
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("pii", "rule", "when"),
    [
        ("", "{expectation: ExpectColumnValuesToNotBeNull, column: mail}", "kept"),
        (
            "pii: {columns: {mail: mask}, unnamed: keep}",
            "{expectation: ExpectColumnValuesToNotBeNull, column: mail}",
            "before",
        ),
        (
            "pii: {columns: {mail: drop}, unnamed: keep}",
            "{expectation: ExpectColumnValuesToNotBeNull, column: mail}",
            "before",
        ),
        (
            "pii: {columns: {mail: keep}, unnamed: mask}",
            "{expectation: ExpectColumnValuesToNotBeNull, column: mail}",
            "kept",
        ),
        ("pii: {unnamed: mask}", "{expectation: ExpectColumnValuesToNotBeNull, column: mail}", "before"),
        ("pii: {unnamed: drop}", "{expectation: ExpectColumnValuesToNotBeNull, column: mail}", "before"),
        ("pii: {unnamed: mask}", "{expectation: ExpectColumnValuesToNotBeNull, column: user_id}", "kept"),
        (
            "pii: {columns: {about: drop}, unnamed: keep}",
            "{expectation: ExpectColumnValuesToNotBeNull, column: about.mail}",
            "before",
        ),
        ("pii: {columns: {about: keep}}", "{expectation: ExpectColumnValuesToNotBeNull, column: about.mail}", "kept"),
        ("pii: {columns: {mail: mask}}", "{expectation: ExpectColumnValuesToBeUnique, column: mail}", "unique"),
        ("", "{expectation: ExpectColumnValuesToBeUnique, column: mail}", "unique"),
    ],
)
def test_a_rule_is_judged_where_its_values_are(pii, rule, when):
    """What is masked or dropped is judged before, all else when a day is built; uniqueness also on masks."""
    contract = contract_with(f"mails: {rule}", pii)
    found = {
        "kept": rules_on_kept_values(contract),
        "before": rules_before_masking(contract),
        "unique": unique_rules(contract),
    }
    assert {name: list(rules) for name, rules in found.items() if rules} == {when: ["mails"]}
    assert list(judged_before_masking(contract)) == (["mails"] if when == "before" else [])


@pytest.mark.parametrize(
    ("pii", "says"),
    [
        ("pii: {columns: {mail: drop}}", "dropped"),
        ("pii: {unnamed: drop}", "dropped"),
        ("pii: {unnamed: mask}", "mail: mask"),
    ],
)
def test_uniqueness_of_what_is_gone_is_refused(pii, says):
    """Rows of several files cannot be compared by values that are not kept."""
    with pytest.raises(ContractError, match=says):
        contract_with("mails: {expectation: ExpectColumnValuesToBeUnique, column: mail}", pii)


def test_only_the_meaning_of_a_rule_is_judged_again():
    """Tolerance and severity change no verdict on a row, so that masked files need not be landed again for them."""
    pii = "pii: {columns: {mail: mask}}"
    rule = "{{expectation: ExpectColumnValueLengthsToBeBetween, column: mail, max_value: {}}}"
    first = judged_before_masking(contract_with(f"mails: {rule.format('9')}", pii))
    assert first == judged_before_masking(
        contract_with(f"mails: {rule.format('9, tolerance: 0.5, severity: warn')}", pii)
    )
    assert first != judged_before_masking(contract_with(f"mails: {rule.format('8')}", pii))

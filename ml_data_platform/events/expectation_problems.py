"""What must hold of the rules under ``expect`` of a contract.

Belongs here: finding what contradicts itself, cannot be judged, or takes unbounded time. Does not belong here: the
rules (expectations).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from ml_data_platform.errors import bounded
from ml_data_platform.events.contract_errors import Problem
from ml_data_platform.events.expectations import (
    BETWEEN,
    COMPOUND_UNIQUE,
    EXPECTATIONS,
    LENGTH,
    REFUSED,
    Expectation,
    re2_form,
)
from ml_data_platform.events.masking_plan import masking_of

if TYPE_CHECKING:
    from ml_data_platform.events.contract_model import SourceContract

MAX_RULES = 100
RESERVED_NAMES = frozenset({"rejected", "duplicate", "undated", "too_late", "file", "file_refused", "file_unreadable"})
"""Names by which other parts of the quarantine are asked for."""
PLATFORM_RULES: frozenset[str] = frozenset(
    {
        "event_ids_are_present",
        "user_ids_are_present",
        "session_uuids_are_present",
        "event_types_are_present",
        "event_timestamps_are_present",
        "event_types_are_known",
        "event_ids_are_short",
        "session_durations_are_in_range",
        "purchase_amounts_are_in_range",
        "session_durations_are_numbers",
        "purchase_amounts_are_numbers",
        "sequences_are_integers",
        "labels_are_binary",
        "text_fields_are_scalars",
        "labels_are_present_where_declared",
        "event_ids_are_unique",
    }
)
"""Names of the platform's own rules on rows, which rejected rows carry too."""


def expectation_problems(contract: SourceContract) -> Iterator[Problem]:
    """Yield what in the section contradicts itself, or the rest of the contract."""
    if len(contract.expect) > MAX_RULES:
        yield Problem("expect", f"has more than {MAX_RULES} rules", len(contract.expect))
    stated: dict[str, str] = {}
    for name, rule in contract.expect.items():
        key = f"expect.{name}"
        if name in RESERVED_NAMES or name in PLATFORM_RULES:
            yield Problem(key, "is a name of the platform's own; name it after what only this rule says", name)
        if rule.expectation not in EXPECTATIONS:
            reason = REFUSED.get(rule.expectation)
            says = f"cannot be judged: {reason}" if reason else "is no expectation on single rows or uniqueness"
            yield Problem(f"{key}.expectation", says, rule.expectation, () if reason else tuple(EXPECTATIONS))
            continue
        found = [*_argument_problems(key, rule)]
        found = found or [*_value_problems(key, rule), *_column_problems(key, rule, contract)]
        yield from found
        if not found and stated.setdefault(rule.meaning, name) != name:
            yield Problem(key, f"says the same as {stated[rule.meaning]}", rule.expectation)


def _argument_problems(key: str, rule: Expectation) -> Iterator[Problem]:
    arguments = EXPECTATIONS[rule.expectation]
    said = rule.model_fields_set - {"expectation", "tolerance", "severity"}
    for name in arguments.needed:
        if not getattr(rule, name) and getattr(rule, name) != 0:
            yield Problem(f"{key}.{name}", f"is needed with {rule.expectation}", getattr(rule, name))
    allowed = (*arguments.needed, *arguments.further, "tolerance", "severity")
    for name in sorted(said - set(allowed)):
        yield Problem(f"{key}.{name}", f"has no meaning with {rule.expectation}", name, allowed)


def _value_problems(key: str, rule: Expectation) -> Iterator[Problem]:
    if rule.expectation in (BETWEEN, LENGTH):
        yield from _range_problems(key, rule)
    if len({isinstance(each, str) for each in rule.value_set}) > 1:
        why = "holds texts and numbers; write all as texts in quotes, or none"
        yield Problem(f"{key}.value_set", why, rule.value_set)
    for name, patterns in (("regex", (rule.regex,) if rule.regex else ()), ("regex_list", rule.regex_list)):
        for pattern in patterns:
            fault = regex_fault(pattern)
            if fault:
                why = f"is no regular expression of RE2, which bounds their time: {fault}"
                yield Problem(f"{key}.{name}", why, pattern)
    if rule.strftime_format is not None and not _is_time_format(rule.strftime_format):
        yield Problem(f"{key}.strftime_format", "is no format of times that can be read", rule.strftime_format)


def _range_problems(key: str, rule: Expectation) -> Iterator[Problem]:
    lowest, highest = rule.min_value, rule.max_value
    if lowest is None and highest is None:
        yield Problem(key, "needs min_value, max_value or both", None)
    elif lowest is not None and highest is not None and _is_empty(lowest, highest, rule):
        yield Problem(f"{key}.max_value", f"leaves no value from min_value {lowest:g} on", highest)
    for name, limit in (("min_value", lowest), ("max_value", highest)):
        if rule.expectation == LENGTH and limit is not None and (limit < 0 or limit != int(limit)):
            yield Problem(f"{key}.{name}", "is no number of characters", limit)


def _is_empty(lowest: float, highest: float, rule: Expectation) -> bool:
    return lowest > highest or (lowest == highest and (rule.strict_min or rule.strict_max))


def _column_problems(key: str, rule: Expectation, contract: SourceContract) -> Iterator[Problem]:
    if rule.expectation == COMPOUND_UNIQUE and len(set(rule.column_list)) < max(2, len(rule.column_list)):
        yield Problem(f"{key}.column_list", "needs two or more different columns", list(rule.column_list))
    for column in rule.columns:
        if not all(contract.path(column)):
            yield Problem(f"{key}.column", "a dotted path has an empty part", column)
        elif rule.is_unique:
            yield from _hidden_problems(key, column, contract)


def _hidden_problems(key: str, column: str, contract: SourceContract) -> Iterator[Problem]:
    """Yield why the values of a column cannot be compared over the files of a day, once they are kept."""
    action = masking_of(contract, column)
    is_listed = contract.pii is not None and column in contract.pii.columns
    if action == "drop":
        why = "its column is dropped, so that rows of several files cannot be compared; mask it, or remove the rule"
        yield Problem(key, why, column)
    elif action == "mask" and not is_listed:
        yield Problem(key, f"its column has no name in masked rows; say `{column}: mask` in pii.columns", column)


def regex_fault(pattern: str) -> str:
    """Return why a text is no regular expression of RE2, which matches in time that grows with the text alone."""
    try:
        pc.match_substring_regex(pa.array([""]), re2_form(pattern))
    except pa.ArrowInvalid as error:
        return bounded(str(error).rpartition("expression: ")[2], 100)
    return ""


def _is_time_format(written: str) -> bool:
    moment = dt.datetime(2026, 11, 23, 13, 14, 15, 161_718, tzinfo=dt.UTC)
    try:
        dt.datetime.strptime(moment.strftime(written), written)  # noqa: DTZ007 - whether it can be read at all
    except Exception:  # noqa: BLE001 - some formats make the standard library raise what it does not document
        return False
    return "%" in written

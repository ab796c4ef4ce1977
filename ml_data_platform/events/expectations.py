"""What a contract may expect of its producer's values: the section ``expect``.

Belongs here: the rule as it is written, and the row expectations of Great Expectations that there are. Does not belong
here: what must hold between a rule and its contract (expectation_problems), reading the values (expected_values) and
judging them (validation, stages).

Contracts are read everywhere, and importing Great Expectations costs seconds: so names and arguments stand in a table
here, and a test compares it with the installed package.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ml_data_platform.events.contract_parts import ContractPart, Text
from ml_data_platform.events.masking_plan import masking_of

if TYPE_CHECKING:
    from ml_data_platform.events.contract_model import SourceContract

BLOCKING_TOLERANCE = 0.05
UNIQUE, COMPOUND_UNIQUE = "ExpectColumnValuesToBeUnique", "ExpectCompoundColumnsToBeUnique"
BETWEEN = "ExpectColumnValuesToBeBetween"
IN_SET, NOT_IN_SET = "ExpectColumnValuesToBeInSet", "ExpectColumnValuesToNotBeInSet"
NULL, NOT_NULL = "ExpectColumnValuesToBeNull", "ExpectColumnValuesToNotBeNull"
LENGTH = "ExpectColumnValueLengthsToBeBetween"


@dataclass(frozen=True)
class Arguments:
    """The arguments of an expectation.

    Attributes:
        needed: Those without which it says nothing.
        further: Those that may be left out.
    """

    needed: tuple[str, ...]
    further: tuple[str, ...] = ()


_COLUMN = ("column",)
_RANGE = ("min_value", "max_value", "strict_min", "strict_max")
EXPECTATIONS: Mapping[str, Arguments] = MappingProxyType(
    {
        NOT_NULL: Arguments(_COLUMN),
        NULL: Arguments(_COLUMN),
        IN_SET: Arguments(("column", "value_set")),
        NOT_IN_SET: Arguments(("column", "value_set")),
        BETWEEN: Arguments(_COLUMN, _RANGE),
        LENGTH: Arguments(_COLUMN, _RANGE),
        "ExpectColumnValueLengthsToEqual": Arguments(("column", "value")),
        "ExpectColumnValuesToMatchRegex": Arguments(("column", "regex")),
        "ExpectColumnValuesToNotMatchRegex": Arguments(("column", "regex")),
        "ExpectColumnValuesToMatchRegexList": Arguments(("column", "regex_list"), ("match_on",)),
        "ExpectColumnValuesToNotMatchRegexList": Arguments(("column", "regex_list")),
        "ExpectColumnValuesToMatchStrftimeFormat": Arguments(("column", "strftime_format")),
        "ExpectColumnValuesToBeJsonParseable": Arguments(_COLUMN),
        UNIQUE: Arguments(_COLUMN),
        COMPOUND_UNIQUE: Arguments(("column_list",)),
    }
)
"""Class name of each expectation that a contract may name, and its arguments."""

_NEEDS_SQL = "Great Expectations has it for SQL only; write the pattern for ExpectColumnValuesToMatchRegex"
_OTHER_ROWS = "what it says of a row depends on the rows beside it, so on the order of landing"
_ONE_TYPE = "every landed value is a text; say what the text is with a pattern, a range or a set"
_UNBOUNDED = (
    "its time cannot be bounded; write ExpectColumnValuesToMatchRegex or ExpectColumnValuesToMatchStrftimeFormat"
)
REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "ExpectColumnValuesToMatchLikePattern": _NEEDS_SQL,
        "ExpectColumnValuesToMatchLikePatternList": _NEEDS_SQL,
        "ExpectColumnValuesToNotMatchLikePattern": _NEEDS_SQL,
        "ExpectColumnValuesToNotMatchLikePatternList": _NEEDS_SQL,
        "ExpectColumnValueZScoresToBeLessThan": _OTHER_ROWS,
        "ExpectColumnValuesToNotBeOutliers": _OTHER_ROWS,
        "ExpectColumnValuesToBeIncreasing": _OTHER_ROWS,
        "ExpectColumnValuesToBeDecreasing": _OTHER_ROWS,
        "ExpectColumnValuesToBeOfType": _ONE_TYPE,
        "ExpectColumnValuesToBeInTypeList": _ONE_TYPE,
        "ExpectColumnValuesToMatchJsonSchema": _UNBOUNDED,
        "ExpectColumnValuesToBeDateutilParseable": _UNBOUNDED,
        "ExpectMulticolumnValuesToBeUnique": f"it is another name of {COMPOUND_UNIQUE}",
    }
)
"""Class name of each other expectation on the values of columns, and why a contract cannot name it."""


def _class_name(written: object) -> object:
    """Return the class name of an expectation that is written in Great Expectations' other form."""
    if isinstance(written, str) and re.fullmatch(r"expect(_[a-z0-9]+)+", written):
        return "".join(part[:1].upper() + part[1:] for part in written.split("_"))
    return written


def _element(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        # pydantic takes no TypeError.
        raise ValueError(f"must be a text or a number, and YAML reads it as {type(value).__name__}: write it in quotes")  # noqa: TRY004
    return value


_Number = Annotated[float, Field(allow_inf_nan=False)]
_Element = Annotated[str | int | _Number, BeforeValidator(_element)]
_Regex = Annotated[str, Field(min_length=1, max_length=1_000)]
RuleName = Annotated[str, Field(pattern=r"\A[a-z][a-z0-9_]{2,99}\z")]


class Expectation(ContractPart):
    """One rule of the producer, on values as they land.

    A value is the landed text; in ranges, and in sets of numbers, the number that it writes: a text that is no number
    breaks the rule. What is absent, null, empty or blank breaks only ``ExpectColumnValuesToNotBeNull``.

    Attributes:
        expectation: A key of `EXPECTATIONS`; ``expect_column_values_to_be_unique`` is understood as well.
        column: Landed column, written as under ``columns``.
        column_list: Landed columns that are unique together.
        min_value: Smallest number or, of lengths, fewest characters.
        max_value: Largest number or most characters.
        strict_min: The smallest is itself too small.
        strict_max: The largest is itself too large.
        value: Number of characters.
        value_set: Texts, or numbers.
        regex: Regular expression of RE2, found anywhere in the text unless anchored; ``$`` is the end of the text.
        regex_list: Several of them.
        match_on: Whether ``any`` of the list has to match, or ``all``.
        strftime_format: Format of times in Python's directives.
        tolerance: Share of the source's rows of a day that may break the rule, 0 to 1; by default 0.05 where it blocks,
            as of the platform's own rules, and 0 where it warns.
        severity: ``block``: rows that break it are rejected under its name, and more than tolerated refuse the day.
            ``warn``: they are published, and more than tolerated make a check that warns fail.
    """

    expectation: Annotated[str, BeforeValidator(_class_name)]
    column: Text | None = None
    column_list: Annotated[tuple[Text, ...], Field(strict=False)] = ()
    min_value: _Number | None = None
    max_value: _Number | None = None
    strict_min: bool = False
    strict_max: bool = False
    value: Annotated[int, Field(ge=0)] | None = None
    value_set: Annotated[tuple[_Element, ...], Field(strict=False, max_length=10_000)] = ()
    regex: _Regex | None = None
    regex_list: Annotated[tuple[_Regex, ...], Field(strict=False, max_length=100)] = ()
    match_on: Literal["any", "all"] = "any"
    strftime_format: Text | None = None
    tolerance: Annotated[float, Field(ge=0, le=1)] | None = None
    severity: Literal["block", "warn"] = "block"

    @property
    def columns(self) -> tuple[str, ...]:
        """The landed columns that it reads."""
        return (*((self.column,) if self.column is not None else ()), *self.column_list)

    @property
    def is_unique(self) -> bool:
        """Whether it speaks of all rows of a day together."""
        return self.expectation in (UNIQUE, COMPOUND_UNIQUE)

    @property
    def is_numeric(self) -> bool:
        """Whether it reads numbers, and not texts."""
        is_set = self.expectation in (IN_SET, NOT_IN_SET)
        return self.expectation == BETWEEN or (is_set and not any(isinstance(each, str) for each in self.value_set))

    @property
    def blocks(self) -> bool:
        """Whether rows that break it are rejected."""
        return self.severity == "block"

    @property
    def tolerated(self) -> float:
        """The tolerance, where none is stated the default."""
        return self.tolerance if self.tolerance is not None else BLOCKING_TOLERANCE if self.blocks else 0.0

    @property
    def meaning(self) -> str:
        """Twelve hex digits that change with what it says of a value; tolerance and severity do not count."""
        facts = self.model_dump(mode="json", exclude={"tolerance", "severity"}, exclude_defaults=True)
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that are said, columns aside, by name."""
        known = EXPECTATIONS[self.expectation]
        said = self.model_dump(include={*known.needed, *known.further} - {"column", "column_list"}, exclude_unset=True)
        if self.expectation == LENGTH:
            # Great Expectations counts characters in whole numbers only.
            said = {name: int(value) if isinstance(value, float) else value for name, value in said.items()}
        return {name: value for name, value in said.items() if value is not None}


def kept_columns(contract: SourceContract, rule: Expectation) -> bool:
    """Return whether all columns of a rule are kept as they land, so that kept rows can be judged by it."""
    return all(masking_of(contract, column) == "keep" for column in rule.columns)


def rules_on_kept_values(contract: SourceContract) -> dict[str, Expectation]:
    """Return the rules that are judged row by row when a day is built, by name."""
    return {name: rule for name, rule in contract.expect.items() if not rule.is_unique and kept_columns(contract, rule)}


def rules_before_masking(contract: SourceContract) -> dict[str, Expectation]:
    """Return the rules on columns that are masked or dropped, which are judged while landing, by name."""
    return {
        name: rule for name, rule in contract.expect.items() if not rule.is_unique and not kept_columns(contract, rule)
    }


def unique_rules(contract: SourceContract) -> dict[str, Expectation]:
    """Return the rules on uniqueness, by name; equal values of a masked column have equal masks."""
    return {name: rule for name, rule in contract.expect.items() if rule.is_unique}


def judged_before_masking(contract: SourceContract) -> dict[str, str]:
    """Return what the rows of a file are judged by while it lands: name of the rule to its meaning."""
    return {name: rule.meaning for name, rule in sorted(rules_before_masking(contract).items())}


def re2_form(pattern: str) -> str:
    r"""Return a pattern with the end of the text written as RE2 does, ``\z``, in place of Python's ``\Z``."""
    return re.sub(r"(?<!\\)((?:\\\\)*)\\Z", r"\1\\z", pattern)

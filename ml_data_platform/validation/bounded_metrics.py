"""Great Expectations' metrics of regular expressions, in time that grows with the text alone.

Belongs here: what takes the place of its own metrics for pandas, which hand some patterns to Python's ``re``: one value
of 40 characters could hold a day up for years. Does not belong here: which patterns a contract may state
(``events.expectations``).

Importing this module imports Great Expectations, and registers the metrics as its documentation says; the later
registration counts.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.metrics.map_metric_provider import (
    ColumnMapMetricProvider,
    column_condition_partial,
)

from ml_data_platform.events.expectations import re2_form

_REGISTRY = logging.getLogger("great_expectations.expectations.registry")


def _found(column: pd.Series[Any], patterns: Sequence[str]) -> pd.DataFrame:
    """Return whether each pattern is found in each value, one column per pattern."""
    texts = pa.array(column.astype("str"), pa.large_string())
    found = {at: pc.match_substring_regex(texts, re2_form(each)).to_numpy(False) for at, each in enumerate(patterns)}
    return pd.DataFrame(found, index=column.index, dtype=np.bool_)


# Registering again what is registered is said as a warning.
_REGISTRY.disabled = True


class MatchRegex(ColumnMapMetricProvider):  # type: ignore[misc]
    """Whether a pattern is found."""

    condition_metric_name = "column_values.match_regex"
    condition_value_keys = ("regex",)

    @column_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, column: pd.Series[Any], regex: str, **_: Any) -> pd.Series[Any]:  # noqa: N805
        return _found(column, [regex]).any(axis="columns")


class NotMatchRegex(ColumnMapMetricProvider):  # type: ignore[misc]
    """Whether a pattern is not found."""

    condition_metric_name = "column_values.not_match_regex"
    condition_value_keys = ("regex",)

    @column_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, column: pd.Series[Any], regex: str, **_: Any) -> pd.Series[Any]:  # noqa: N805
        return ~_found(column, [regex]).any(axis="columns")


class MatchRegexList(ColumnMapMetricProvider):  # type: ignore[misc]
    """Whether any pattern, or all of them, are found."""

    condition_metric_name = "column_values.match_regex_list"
    condition_value_keys = ("regex_list", "match_on")

    @column_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(
        cls,  # noqa: N805
        column: pd.Series[Any],
        regex_list: Sequence[str],
        match_on: str,
        **_: Any,
    ) -> pd.Series[Any]:
        found = _found(column, regex_list)
        return found.all(axis="columns") if match_on == "all" else found.any(axis="columns")


class NotMatchRegexList(ColumnMapMetricProvider):  # type: ignore[misc]
    """Whether none of the patterns is found."""

    condition_metric_name = "column_values.not_match_regex_list"
    condition_value_keys = ("regex_list",)

    @column_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(cls, column: pd.Series[Any], regex_list: Sequence[str], **_: Any) -> pd.Series[Any]:  # noqa: N805
        return ~_found(column, regex_list).any(axis="columns")


_REGISTRY.disabled = False

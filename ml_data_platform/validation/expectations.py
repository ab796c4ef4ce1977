"""Evaluates rules on one frame through Great Expectations, which only this module and what serves it import.

Belongs here: handing a frame to Great Expectations and reading its answer with distrust. Does not belong
here: adding up over chunks and verdicts (``runner``), or the rules (``suites``).

Importing Great Expectations costs seconds of CPU time and hundreds of MB, so it is imported where a suite
is built and never at module level.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import threading
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ml_data_platform.errors import ValidationSetupError, bounded
from ml_data_platform.importing import no_look_for_garbage
from ml_data_platform.validation.remembered_configurations import remembered_configurations
from ml_data_platform.validation.rules import Rule, require_unique_names

if TYPE_CHECKING:
    import pandas as pd

Positions = npt.NDArray[np.int64]
# Without a query text and without named index columns: those cost several times the evaluation itself.
RESULT_FORMAT = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
# More than the assets have; a suite keeps the last chunk that it saw.
MAX_SUITES = 12


class ExpectationSuite:
    """Rules of one asset as a Great Expectations suite over pandas frames.

    Raises:
        ValidationSetupError: Great Expectations does not accept an expectation or its arguments.
    """

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        require_unique_names(rules)
        self._rules = rules
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._build(great_expectations())

    def _build(self, gx: Any) -> None:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False, "metric_calculations": False}
        asset = context.data_sources.add_pandas("frames").add_dataframe_asset("rows")
        self._batches = asset.add_batch_definition_whole_dataframe("chunk")
        self._suite = gx.ExpectationSuite(name="rules")
        for rule in self._rules:
            self._suite.add_expectation(expectation_of(gx, rule))
        if len(self._suite.expectations) != len(self._rules):
            raise ValidationSetupError(
                "Two rules state the same expectation, and Great Expectations keeps only one of them.",
                asset=self._rules[0].asset,
                expected=len(self._rules),
                got=len(self._suite.expectations),
                remedy="Remove one of the two rules.",
            )

    def evaluate(self, frame: pd.DataFrame) -> dict[str, Positions]:
        """Return, per rule name, the ascending positions of the rows that break the rule.

        Args:
            frame: At least one row, under an unnamed RangeIndex from 0.

        Raises:
            ValidationSetupError: A rule could not be evaluated, or its answer contradicts itself.
        """
        if not self._rules:
            return {}
        with warnings.catch_warnings(), remembered_configurations():
            warnings.simplefilter("ignore")
            batch = self._batches.get_batch(batch_parameters={"dataframe": frame})
            report = batch.validate(self._suite, result_format=RESULT_FORMAT)
        # Results come back in another order than the suite: each carries its rule's name.
        answers = {result.expectation_config.meta["rule"]: result for result in report.results}
        return {rule.name: _positions(rule, answers.get(rule.name), len(frame)) for rule in self._rules}


class _Suites(threading.local):
    """Suites of this thread, the last used last; an evaluation keeps state in its suite, so threads share none."""

    def __init__(self) -> None:
        self.by_rules: OrderedDict[str, ExpectationSuite] = OrderedDict()


_SUITES = _Suites()


def suite_for(rules: tuple[Rule, ...]) -> ExpectationSuite:
    """Return a suite of these rules; the same rules are built once, since that costs more than a small evaluation.

    Raises:
        ValidationSetupError: Great Expectations does not accept an expectation or its arguments.
    """
    key = json.dumps([rule.to_json() for rule in rules], sort_keys=True)
    found = _SUITES.by_rules.pop(key, None) or ExpectationSuite(rules)
    _SUITES.by_rules[key] = found
    if len(_SUITES.by_rules) > MAX_SUITES:
        _SUITES.by_rules.popitem(last=False)
    return found


def great_expectations() -> Any:
    """Return the package, imported and set so that it costs little, calls nobody, and bounds its regular expressions."""
    # Read when the package is imported; nothing that the platform starts calls home.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    _defer_import("scipy.stats")
    with no_look_for_garbage():
        import great_expectations as gx  # noqa: PLC0415 - costs seconds: only those who validate pay
        from great_expectations.execution_engine import pandas_execution_engine  # noqa: PLC0415 - so does this

    # Frames smaller than this are hashed, twice per evaluation and for as long as judging them takes; the hash goes
    # into metadata that nobody reads.
    pandas_execution_engine.HASH_THRESHOLD = 0
    from ml_data_platform.validation import bounded_metrics  # noqa: F401, PLC0415 - registers itself

    return gx


def _defer_import(name: str) -> None:
    """Have a submodule executed by its first use.

    Great Expectations imports ``scipy.stats`` for tests of distributions, which no rule makes: 1.7 of its 5.8 CPU
    seconds, paid by every run that Dagster launches.
    """
    parent, _, child = name.rpartition(".")
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return
    spec.loader = loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # Found as an attribute, it is not looked up by the import system, which would execute it.
    setattr(sys.modules[parent], child, module)
    loader.exec_module(module)


def expectation_of(gx: Any, rule: Rule) -> Any:
    """Return a rule as an expectation that carries its name.

    Raises:
        ValidationSetupError: Great Expectations does not accept it.
    """
    kwargs = {key: list(value) if isinstance(value, tuple) else value for key, value in rule.kwargs.items()}
    try:
        return getattr(gx.expectations, rule.expectation)(**kwargs, meta={"rule": rule.name})
    except (AttributeError, TypeError, ValueError) as error:
        raise ValidationSetupError(
            "Great Expectations does not accept the rule.",
            asset=rule.asset,
            rule=rule.name,
            expectation=rule.expectation,
            got=bounded(str(error), 400),
            remedy="Correct the expectation's class name or its arguments.",
        ) from error


def _positions(rule: Rule, result: Any, rows: int) -> Positions:
    """Read one result, trusting it only where it is complete and agrees with itself."""
    facts: Mapping[str, Any] = {} if result is None else result.result
    if "unexpected_count" not in facts:
        raise ValidationSetupError(
            "Great Expectations could not evaluate the rule.",
            asset=rule.asset,
            rule=rule.name,
            column=", ".join(rule.columns),
            got="no result" if result is None else _exception_text(result.exception_info),
            remedy="Check that the column exists and has the type that the rule expects.",
        )
    positions = np.asarray(facts.get("unexpected_index_list") or [], dtype=np.int64)
    positions.sort()
    if len(positions) != facts["unexpected_count"] or facts["element_count"] != rows:
        raise ValidationSetupError(
            "Great Expectations' answer contradicts itself.",
            asset=rule.asset,
            rule=rule.name,
            expected=f"{facts['unexpected_count']} of {rows} rows",
            got=f"{len(positions)} positions of {facts['element_count']} rows",
            remedy="Use a version of great-expectations that reports all positions.",
        )
    return positions


def _exception_text(info: Mapping[str, Any]) -> str:
    """Return the message of an exception record, which is flat or nested by metric."""
    records = [info, *(value for value in info.values() if isinstance(value, Mapping))]
    messages = [str(record["exception_message"]) for record in records if record.get("exception_message")]
    return bounded(messages[0] if messages else "no message", 400)

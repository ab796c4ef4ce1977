"""Suites as Great Expectations keeps them: JSON files, a checkpoint, and pages of what it found.

Belongs here: writing rules into a file context of Great Expectations, and running them there. Does not belong here:
which rules and rows there are (``stages.suites_of_day``), and the platform's own verdicts (``runner``).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pandas as pd

from ml_data_platform.errors import ValidationSetupError
from ml_data_platform.validation.escaped_pages import escaped_pages
from ml_data_platform.validation.expectations import expectation_of, great_expectations
from ml_data_platform.validation.rules import Rule

CHECKPOINT = "platform"
# Without a limit, pages of a bad day would hold each of its bad values.
RESULT_FORMAT = {"result_format": "SUMMARY", "partial_unexpected_count": 20}


@dataclass(frozen=True)
class Suite:
    """Rules that judge one table.

    Attributes:
        name: Name of the suite.
        rules: The rules; a row rule's tolerance becomes ``mostly``.
        rows: What they judge; None where that is not at hand.
    """

    name: str
    rules: Sequence[Rule]
    rows: pd.DataFrame | None = None


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        folder: The file context of Great Expectations.
        index: Page to begin with; None where nothing was run.
        results: Suite to rule to whether it held and how many rows break it, of suites that were run.
    """

    folder: Path
    index: Path | None
    results: dict[str, dict[str, tuple[bool, int]]]


def write_suites(folder: Path, suites: Sequence[Suite]) -> Written:
    """Write suites as Great Expectations' JSON, and run those with rows as a checkpoint with data docs.

    Args:
        folder: Below it the context is made, in ``gx``; what a former call wrote of these names is replaced.
        suites: At least one; names differ.

    Raises:
        ValidationSetupError: Great Expectations does not accept a rule, or could not evaluate one.
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), escaped_pages():
        warnings.simplefilter("ignore")
        gx = great_expectations()
        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        context = gx.get_context(mode="file", project_root_dir=folder)
        context.enable_analytics(False)
        context.variables.progress_bars = {"globally": False, "metric_calculations": False}
        for suite in suites:
            context.suites.add_or_update(_suite(gx, suite))
        results = _run(gx, context, [suite for suite in suites if suite.rows is not None])
        context.build_data_docs()
        (site,) = context.get_docs_sites_urls()
    index = Path(url2pathname(urlsplit(site["site_url"]).path))
    return Written(folder / "gx", index if results else None, results)


def _suite(gx: Any, suite: Suite) -> Any:
    found = gx.ExpectationSuite(name=suite.name)
    for rule in suite.rules:
        expectation = expectation_of(gx, rule)
        if rule.scope == "row" and rule.tolerance and hasattr(expectation, "mostly"):
            expectation.mostly = round(1 - rule.tolerance, 9)
        found.add_expectation(expectation)
    return found


def _run(gx: Any, context: Any, suites: Sequence[Suite]) -> dict[str, dict[str, tuple[bool, int]]]:
    source = context.data_sources.add_or_update_pandas("day")
    action = gx.checkpoint.UpdateDataDocsAction(name="data_docs")
    results = {}
    for suite in suites:
        rows = source.add_dataframe_asset(suite.name).add_batch_definition_whole_dataframe("rows")
        definition = gx.ValidationDefinition(name=suite.name, data=rows, suite=context.suites.get(suite.name))
        definition = context.validation_definitions.add_or_update(definition)
        checkpoint = gx.Checkpoint(
            name=f"{CHECKPOINT}_{suite.name}",
            validation_definitions=[definition],
            actions=[action],
            result_format=RESULT_FORMAT,
        )
        answer = context.checkpoints.add_or_update(checkpoint).run(batch_parameters={"dataframe": suite.rows})
        (found,) = answer.run_results.values()
        results[suite.name] = {each.expectation_config.meta["rule"]: _count(suite, each) for each in found.results}
    return results


def _count(suite: Suite, result: Any) -> tuple[bool, int]:
    if "unexpected_count" not in result.result:
        raise ValidationSetupError(
            "Great Expectations could not evaluate a rule.",
            rule=result.expectation_config.meta["rule"],
            got=suite.name,
            remedy="Report this with the rule: the platform's own checks do not depend on it.",
        )
    return bool(result.success), int(result.result["unexpected_count"])

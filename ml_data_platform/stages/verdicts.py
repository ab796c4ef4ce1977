"""What the checks of a partition said, kept with its commit.

Belongs here: the verdict that a stage commits with its table, and reading the results back as the outcomes that they
were. Does not belong here: finding the records (``stored_checks``), evaluating rules (``validation.runner``), or showing
outcomes (``defs.checks``).

Dagster's history may be pruned, and a run may plan checks that it does not evaluate, because nothing is to be built. So
what is published says itself what was found of it: sealed by the digest of its record, and gone only with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_data_platform.events.schemas import QUARANTINED_EVENTS, VALIDATED_EVENTS
from ml_data_platform.storage.commit_log import LogRecord
from ml_data_platform.storage.staging import MEASURED
from ml_data_platform.validation.outcomes import CheckOutcome
from ml_data_platform.validation.rules import Rule, with_tolerances

KEPT_WITH: Mapping[str, str] = {VALIDATED_EVENTS.name: QUARANTINED_EVENTS.name}
"""Asset to the table of the same stage whose record keeps its results: the quarantine is published on a refused day too."""
WARNINGS = "failed_warnings"
"""Key of the verdict: ``asset: check`` of what failed and does not block."""


@dataclass(frozen=True)
class StoredChecks:
    """What the checks of one published or refused partition said.

    Attributes:
        outcomes: Of the rules that the asset has now, in their order; their results as stored.
        unknown: Names of the rules that it has now of which nothing is stored.
        record: The generation that was judged.
    """

    outcomes: tuple[CheckOutcome, ...]
    unknown: tuple[str, ...]
    record: LogRecord

    def of(self, name: str) -> CheckOutcome | None:
        """Return what a check said; none where nothing is stored of it."""
        return next((each for each in self.outcomes if each.name == name), None)


def verdict_of(checks: Iterable[CheckOutcome], facts: Mapping[str, object] | None = None) -> dict[str, object]:
    """Return what is committed with a table: whether its checks passed it, and what each of them said.

    Args:
        checks: Outcomes of all rules of the stage.
        facts: Further facts that the stage keeps there.
    """
    found = list(checks)
    measured: dict[str, dict[str, object]] = {}
    for check in found:
        measured.setdefault(check.asset, {})[check.name] = _to_json(check)
    failed = [check for check in found if not check.passed]
    blocking = sorted(check.name for check in failed if check.blocking)
    warnings = sorted(f"{check.asset}: {check.name}" for check in failed if not check.blocking)
    return {
        "is_published": not blocking,
        "failed_checks": blocking,
        WARNINGS: warnings,
        **(facts or {}),
        MEASURED: measured,
    }


def read_checks(record: LogRecord, rules: Sequence[Rule]) -> StoredChecks:
    """Return what a record says of rules of one asset; a record of before says nothing of any."""
    measured = (record.verdict or {}).get(MEASURED, {})
    known = [(rule, measured.get(rule.asset, {}).get(rule.name)) for rule in rules]
    return StoredChecks(
        tuple(_from_json(rule, stored) for rule, stored in known if stored is not None),
        tuple(rule.name for rule, stored in known if stored is None),
        record,
    )


def _to_json(check: CheckOutcome) -> dict[str, object]:
    """Return what was found, without what the rule says, and without what is empty."""
    return {
        "passed": check.passed,
        "evaluated": check.evaluated,
        "unexpected": check.unexpected,
        "observed": check.observed,
        **({"tolerance": check.tolerance} if check.tolerance else {}),
        **({} if check.value is None else {"value": check.value}),
        **({"examples": list(check.examples)} if check.examples else {}),
        **({"table": [dict(row) for row in check.table]} if check.table else {}),
    }


def _from_json(rule: Rule, stored: Mapping[str, Any]) -> CheckOutcome:
    tolerance = stored.get("tolerance", 0)
    if tolerance != rule.tolerance:
        # Judged under another one: shown is what was judged.
        (rule,) = with_tolerances([rule], {rule.name: tolerance})
    return CheckOutcome(
        name=rule.name,
        asset=rule.asset,
        passed=stored["passed"],
        blocking=rule.blocking,
        evaluated=stored["evaluated"],
        unexpected=stored["unexpected"],
        tolerance=rule.tolerance,
        observed=stored["observed"],
        examples=tuple(stored.get("examples", ())),
        rule=rule.to_json(),
        description=rule.description,
        value=stored.get("value"),
        table=tuple(stored.get("table", ())),
    )

"""Says when fields are no longer unusual, or have become so, because another day was built.

Belongs here: bringing the check that compares fields with the days before up to date without a run. Does not belong
here: the comparison (``stages.field_profiles``).
"""

import datetime as dt
from collections.abc import Mapping

import dagster as dg

from ml_data_platform.defs.checks import check_results, report_outside_of_runs
from ml_data_platform.defs.history import partitions_said_otherwise
from ml_data_platform.events.schemas import QUARANTINED_EVENTS, VALIDATED_EVENTS
from ml_data_platform.stages.field_profiles import unusual_days
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.state import asset_rules
from ml_data_platform.validation.runner import check_metrics
from ml_data_platform.validation.table_rules import FIELDS_AS_BEFORE

JOB = "report_unusual_fields"
"""Name of the runs under which the check is reported; nothing runs in them."""
KEY = dg.AssetCheckKey(dg.AssetKey(VALIDATED_EVENTS.name), FIELDS_AS_BEFORE)


def unusual_fields_now(platform: Platform) -> Mapping[dt.date, tuple[str, ...]]:
    """Return what is unusual about the fields of each day, as the days are published now; nothing for most."""
    return unusual_days(platform.store.heads(QUARANTINED_EVENTS.name))


def report_unusual_fields(instance: dg.DagsterInstance, platform: Platform) -> list[dt.date]:
    """Report the check on days where what it said last is no longer so; returns these days, in order.

    Compares states, so that it can be called at any time and any number of times.
    """
    found = unusual_fields_now(platform)
    wrong = partitions_said_otherwise(instance, KEY, {day.isoformat() for day, lines in found.items() if lines})
    changed = [day for day in map(dt.date.fromisoformat, wrong) if day in found]
    if not changed:
        return []
    rules = [rule for rule in asset_rules(platform, VALIDATED_EVENTS.name) if rule.name == FIELDS_AS_BEFORE]
    metric = rules[0].columns[0]
    results: dict[dt.date | None, dg.AssetCheckResult] = {
        day: result
        for day in changed
        for result in check_results(
            VALIDATED_EVENTS.name, check_metrics(rules, {metric: len(found[day])}, {metric: found[day]})
        )
    }
    report_outside_of_runs(instance, results, JOB)
    return changed

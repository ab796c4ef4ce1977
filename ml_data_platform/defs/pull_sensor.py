"""The sensor that looks at the addresses of pull sources.

Belongs here: asking for a run where something new lies. Does not belong here: looking (``stages.seen_days``), and the
landing folder (``defs.sensors``): a place that answers slowly must not hold up what lies at hand.
"""

import datetime as dt
from collections import Counter

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ml_data_platform.defs.attempts import ATTEMPT_TAG, DUE_TAG, judge, pasts_of
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.defs.runs import unfinished_runs
from ml_data_platform.events.untrusted_text import plain
from ml_data_platform.stages.seen_days import Glance, glance


def pull_sensor(ingest: UnresolvedAssetJobDefinition, *, interval_seconds: int) -> dg.SensorDefinition:
    """Define the sensor that pulls; it looks at most once in ``interval_seconds``."""

    @dg.sensor(
        name="pull_sensor",
        jobs=[ingest],
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Looks at the addresses of sources whose contract names one, for their last days (poll_days) and for days"
            " that could not be settled yet, and pulls what is new or changed. Holds no cursor: nothing is missed."
        ),
    )
    def pull_sensor(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.SensorResult:
        opened = platform.open()
        platform.bind(context.instance)
        if not any(contract.pull for contract in opened.contracts.values()):
            return dg.SensorResult(skip_reason="no source names an address to pull from")
        if any(run.job_name == "ingest" for run in unfinished_runs(context.instance)):
            return dg.SensorResult(skip_reason="a run that takes files in is under way")
        seen = glance(opened)
        if not seen.fingerprint:
            return dg.SensorResult(skip_reason=plain(_why_nothing(seen)))
        key = f"pull-{seen.fingerprint}"
        verdict = judge(pasts_of(context.instance, [key]).get(key, ()), dt.datetime.now(dt.UTC), interval_seconds)
        if verdict.why_not:
            return dg.SensorResult(skip_reason=plain(f"{_why_nothing(seen)}; files are waiting, but {verdict.why_not}"))
        request = dg.RunRequest(
            job_name="ingest",
            run_key=f"{key}-{verdict.after}",
            run_config={"ops": {"landed_files": {"config": {"pull_sources": list(seen.sources)}}}},
            tags={DUE_TAG: key, ATTEMPT_TAG: str(verdict.attempt)},
        )
        return dg.SensorResult(run_requests=[request])

    return pull_sensor


def _why_nothing(seen: Glance) -> str:
    counts = Counter(each.source for each in seen.days)
    looked = ", ".join(f"{count} days of {source}" for source, count in sorted(counts.items()))
    failed = [f"{each.source} {each.day}: {each.failure}" for each in seen.days if each.failure]
    more = f"; not reached: {'; '.join(failed[:3])}{' …' if len(failed) > 3 else ''}" if failed else ""
    return f"nothing new at the addresses of {looked or 'no day'}{more}"

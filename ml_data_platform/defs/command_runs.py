"""Runs of commands, where the UI looks for them: under their job, and on the timeline.

Belongs here: what ties a run of this process to its job, and recording what a command did as a run. Does not belong here:
what commands do (``cli``), or telling whether their processes live (``defs.owners``).

Dagster's UI lists a run under a job only if it names the code location of the job: a run of the UI or the daemon does.
"""

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import dagster as dg
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.events import StepMaterializationData
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from ml_data_platform.defs.checks import report_result
from ml_data_platform.defs.instance import open_instance
from ml_data_platform.defs.owners import this_process
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.defs.runs import OWNER_TAG
from ml_data_platform.defs.serving.code_location import CODE_LOCATION
from ml_data_platform.settings import Settings

COMMAND_TAG = "ml_data_platform/command"
"""Tells a run of the command line from one of the UI and the sensors."""


def job_origin(job_name: str) -> RemoteJobOrigin:
    """Return what a run names so that it is listed under a job of this code location, whoever serves it."""
    location = RegisteredCodeLocationOrigin(CODE_LOCATION)
    return RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME).get_job_origin(job_name)


@contextmanager
def history_of(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Open the history of a root for a command that records what it did."""
    with open_instance(settings) as instance:
        PlatformResource.of(settings).bind(instance)
        yield instance


@contextmanager
def listed_under(instance: dg.DagsterInstance, job_name: str) -> Iterator[None]:
    """Have the runs that are created in this block listed under a job: ``execute_in_process`` takes no origin."""
    create = instance.create_run_for_job
    vars(instance)[create.__name__] = partial(create, remote_job_origin=job_origin(job_name))
    try:
        yield
    finally:
        del vars(instance)[create.__name__]


def record_command(
    instance: dg.DagsterInstance,
    job_name: str,
    materialized: Mapping[str, dg.MaterializeResult],  # type: ignore[type-arg]
    *,
    command: str,
    started: dt.datetime,
    failure: str = "",
) -> str:
    """Record what a command did as a run of the job that does the same; returns its id.

    Args:
        instance: Where it is recorded.
        job_name: The job.
        materialized: Asset without partitions to what the job would report of it.
        command: The command, e.g. ``land``.
        started: When it began, aware.
        failure: Why the job would have failed; empty where it would not.
    """
    run = dg.DagsterRun(
        job_name=job_name,
        run_id=str(uuid.uuid4()),
        status=dg.DagsterRunStatus.NOT_STARTED,
        tags={COMMAND_TAG: command, OWNER_TAG: this_process()},
        asset_selection=frozenset(map(dg.AssetKey, materialized)),
        remote_job_origin=job_origin(job_name),
    )
    instance.add_run(run)
    _report(instance, run, dg.DagsterEventType.RUN_START, at=started)
    for asset, result in materialized.items():
        version = {"dagster/data_version": result.data_version.value} if result.data_version else {}
        event = dg.AssetMaterialization(asset, metadata=result.metadata, tags=version)
        _report(instance, run, dg.DagsterEventType.ASSET_MATERIALIZATION, StepMaterializationData(event))
        for check in _named(asset, result.check_results or ()):
            report_result(instance, check, None, job_name, run.run_id, is_planned=False)
    if failure:
        instance.report_run_failed(run, failure)
    else:
        _report(instance, run, dg.DagsterEventType.RUN_SUCCESS)
    return run.run_id


def _report(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    kind: dg.DagsterEventType,
    said: StepMaterializationData | None = None,
    at: dt.datetime | None = None,
) -> None:
    event = dg.DagsterEvent(event_type_value=kind.value, job_name=run.job_name, event_specific_data=said)
    instance.report_dagster_event(event, run_id=run.run_id, timestamp=at.timestamp() if at else None)


def _named(asset: str, results: Sequence[dg.AssetCheckResult]) -> list[dg.AssetCheckResult]:
    return [result._replace(asset_key=dg.AssetKey(asset)) for result in results]

"""The requests that Dagster's UI makes, and the answers as plain values.

Belongs here: GraphQL documents. Does not belong here: processes (``dagster_process``), or what an answer should be.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ml_data_platform_tests.e2e.dagster_process import DagsterDev

ASSET_JOB = "__ASSET_JOB"
REPOSITORY = {"repositoryLocationName": "ml_data_platform", "repositoryName": "__repository__"}
SENSORS = ("landing_sensor", "late_data_sensor")
RUN_SECONDS = 900
BACKFILL_SECONDS = 900
ENDED_RUN = frozenset({"SUCCESS", "FAILURE", "CANCELED"})
ENDED_BACKFILL = frozenset({"COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED", "COMPLETED"})

_CHECKS_OF = """query($assets: [AssetKeyInput!]) { assetNodes(assetKeys: $assets) { assetKey { path } jobNames
    assetChecksOrError { __typename ... on AssetChecks { checks { name jobNames } } } } }"""
_LAUNCH_RUN = """mutation($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) { __typename
    ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } ... on RunConfigValidationInvalid {
    errors { message } } ... on InvalidSubsetError { message } } }"""
_LAUNCH_BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
_RUN = """query($id: ID!) { runOrError(runId: $id) { ... on Run { runId status jobName tags { key value }
    stats { ... on RunStatsSnapshot { startTime endTime } } } } }"""
_RUNS = """query($filter: RunsFilter) { runsOrError(filter: $filter) { ... on Runs { results { runId status jobName
    assetSelection { path } tags { key value } startTime endTime } } } }"""
_RUNS_OF_JOBS = """query($repository: RepositorySelector!) { repositoryOrError(repositorySelector: $repository) {
    ... on Repository { jobs { name runs(limit: 500) { runId } } } } }"""
_BACKFILL = """query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status
    error { message } runs { runId status jobName assetSelection { path } tags { key value } startTime endTime } } } }"""
_FAILURES = """query($id: ID!) { logsForRun(runId: $id, limit: 1000) { ... on EventConnection { events { __typename
    ... on ExecutionStepFailureEvent { stepKey error { message causes { message } }
        failureMetadata { description } }
    ... on RunFailureEvent { message error { message } } } } } }"""
_PARTITIONS = """query($asset: AssetKeyInput!) { assetNodeOrError(assetKey: $asset) { ... on AssetNode {
    assetPartitionStatuses { ... on TimePartitionStatuses { ranges { startKey endKey status } } } } } }"""
_CHECKS = """query($asset: AssetKeyInput!) { assetNodeOrError(assetKey: $asset) { ... on AssetNode {
    assetChecksOrError { ... on AssetChecks { checks { name blocking partitionStatuses {
        ... on AssetCheckTimePartitionStatuses { ranges { startKey endKey status } } } } } } } } }"""
_EXECUTIONS = """query($asset: AssetKeyInput!, $check: String!, $partition: String) { assetCheckExecutions(
    assetKey: $asset, checkName: $check, partition: $partition, limit: 1) { status partition evaluation { severity
    description metadataEntries { label ... on TextMetadataEntry { text } ... on IntMetadataEntry { intValue }
        ... on FloatMetadataEntry { floatValue } ... on MarkdownMetadataEntry { mdStr }
        ... on JsonMetadataEntry { jsonString } } } } }"""
_PLACE = """query($asset: AssetKeyInput!, $days: [String!]) { assetNodeOrError(assetKey: $asset) { ... on AssetNode {
    latestMaterializationByPartition(partitions: $days) { partition metadataEntries { label
        ... on PathMetadataEntry { path } } } } } }"""
_RESOURCES = """query($repository: RepositorySelector!) { allTopLevelResourceDetailsOrError(
    repositorySelector: $repository) { ... on ResourceDetailsList { results { name configuredValues { key value } } } } }"""
_DEFINITIONS = """query($repository: RepositorySelector!) { repositoryOrError(repositorySelector: $repository) {
    ... on Repository { assetNodes { assetKey { path } } jobs { name } sensors { name } } } }"""
_SENSOR = """query($sensor: SensorSelector!) { sensorOrError(sensorSelector: $sensor) { ... on Sensor { id
    minIntervalSeconds sensorState { selectorId status ticks(limit: 5) { timestamp status skipReason error {
    message } } } } } }"""
_START_SENSOR = """mutation($sensor: SensorSelector!) { startSensor(sensorSelector: $sensor) { __typename
    ... on PythonError { message } } }"""
_STOP_SENSOR = """mutation($id: String!) { stopSensor(id: $id) { __typename ... on PythonError { message } } }"""


@dataclass(frozen=True)
class Run:
    """A run as the UI lists it."""

    run_id: str
    status: str
    job: str
    assets: frozenset[str]
    tags: Mapping[str, str]
    seconds: float | None
    ended: float | None = None

    @property
    def day(self) -> str | None:
        """The partition."""
        return self.tags.get("dagster/partition")


class UserInterface:
    """What a user can do and see in the UI of a running `dev`.

    Args:
        dagster: The process.
    """

    def __init__(self, dagster: DagsterDev) -> None:
        self.dagster = dagster

    def launch(self, assets: Iterable[str], day: str | None, job: str = ASSET_JOB) -> str:
        """Press "Materialize" for assets of one partition; returns the run's id."""
        keys = [{"path": [asset]} for asset in assets]
        nodes = self.dagster.query(_CHECKS_OF, assets=keys)["assetNodes"]
        checks = [
            {"assetKey": {"path": node["assetKey"]["path"]}, "name": check["name"]}
            for node in nodes
            for check in node["assetChecksOrError"]["checks"]
            if job in check["jobNames"]
        ]
        params = {
            "mode": "default",
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": day}] if day else []},
            "runConfigData": "{}",
            "selector": {
                **REPOSITORY,
                "pipelineName": job,
                "assetSelection": keys,
                "assetCheckSelection": checks,
            },
        }
        answer = self.dagster.query(_LAUNCH_RUN, params=params)["launchPipelineExecution"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def launch_backfill(self, assets: Iterable[str], days: Iterable[str]) -> str:
        """Press "Materialize all" for a range of partitions; returns the backfill's id."""
        params = {
            "tags": [],
            "assetSelection": [{"path": [asset]} for asset in assets],
            "partitionNames": list(days),
            "fromFailure": False,
        }
        answer = self.dagster.query(_LAUNCH_BACKFILL, params=params)["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        return str(answer["backfillId"])

    def ended_run(self, run_id: str) -> str:
        """Wait until a run has ended, and return how."""

        def ended() -> str | None:
            status = self.dagster.query(_RUN, id=run_id)["runOrError"]["status"]
            return str(status) if status in ENDED_RUN else None

        return self.dagster.wait_until(ended, RUN_SECONDS, f"run {run_id} ends")

    def ended_backfill(self, backfill_id: str) -> tuple[str, list[Run]]:
        """Wait until a backfill has ended, and return how, and its runs."""

        def ended() -> dict[str, Any] | None:
            found = self.dagster.query(_BACKFILL, id=backfill_id)["partitionBackfillOrError"]
            return dict(found) if found["status"] in ENDED_BACKFILL else None

        found = self.dagster.wait_until(ended, BACKFILL_SECONDS, f"backfill {backfill_id} ends")
        return str(found["status"]), [_as_run(each) for each in found["runs"]]

    def runs(self, **run_filter: object) -> list[Run]:
        """Return the runs that the UI lists, newest first."""
        found = self.dagster.query(_RUNS, filter=run_filter)["runsOrError"]["results"]
        return [_as_run(each) for each in found]

    def runs_of_jobs(self) -> dict[str, set[str]]:
        """Return job to ids of the runs that its page and its line on the timeline show."""
        found = self.dagster.query(_RUNS_OF_JOBS, repository=REPOSITORY)["repositoryOrError"]["jobs"]
        return {str(each["name"]): {str(run["runId"]) for run in each["runs"]} for each in found}

    def failures(self, run_id: str) -> dict[str, str]:
        """Return the failed steps of a run, each with what the UI says about it."""
        events = self.dagster.query(_FAILURES, id=run_id)["logsForRun"]["events"]
        found = {}
        for event in events:
            if event["__typename"] == "ExecutionStepFailureEvent":
                error = event["error"] or {"message": "", "causes": []}
                texts = [error["message"], *(cause["message"] for cause in error["causes"])]
                texts.append((event["failureMetadata"] or {}).get("description") or "")
                found[event["stepKey"]] = "\n".join(texts)
            elif event["__typename"] == "RunFailureEvent":
                found["run"] = event["message"] + "\n" + ((event["error"] or {}).get("message") or "")
        return found

    def partitions(self, asset: str) -> dict[str, str]:
        """Return partition to status, e.g. ``MATERIALIZED``, of the partitions that have one."""
        node = self.dagster.query(_PARTITIONS, asset={"path": [asset]})["assetNodeOrError"]
        return _spread(node["assetPartitionStatuses"]["ranges"])

    def checks(self, asset: str) -> dict[str, dict[str, str]]:
        """Return check to partition to status, e.g. ``SUCCEEDED``."""
        node = self.dagster.query(_CHECKS, asset={"path": [asset]})["assetNodeOrError"]
        return {
            check["name"]: _spread(check["partitionStatuses"]["ranges"])
            for check in node["assetChecksOrError"]["checks"]
        }

    def check_execution(self, asset: str, check: str, day: str) -> dict[str, Any]:
        """Return the newest execution of a check for a partition, its metadata by label."""
        found = self.dagster.query(_EXECUTIONS, asset={"path": [asset]}, check=check, partition=day)
        (execution,) = found["assetCheckExecutions"]
        entries = execution["evaluation"]["metadataEntries"]
        metadata = {
            entry["label"]: next((value for key, value in entry.items() if key != "label"), None) for entry in entries
        }
        return {"status": execution["status"], "severity": execution["evaluation"]["severity"], **metadata}

    def place(self, asset: str, day: str) -> str:
        """Return where the page of a partition says that its newest files lie."""
        node = self.dagster.query(_PLACE, asset={"path": [asset]}, days=[day])["assetNodeOrError"]
        (newest,) = node["latestMaterializationByPartition"]
        return next(str(each["path"]) for each in newest["metadataEntries"] if each["label"] == "dagster/uri")

    def resources(self) -> str:
        """Return all that the page of the resources shows."""
        return str(self.dagster.query(_RESOURCES, repository=REPOSITORY)["allTopLevelResourceDetailsOrError"])

    def definitions(self) -> dict[str, set[str]]:
        """Return the names of the assets, jobs and sensors of the code location."""
        found = self.dagster.query(_DEFINITIONS, repository=REPOSITORY)["repositoryOrError"]
        named = {kind: {str(each["name"]) for each in found[kind]} for kind in ("jobs", "sensors")}
        return {"assets": {str(node["assetKey"]["path"][-1]) for node in found["assetNodes"]}, **named}

    def sensor(self, name: str = SENSORS[0]) -> dict[str, Any]:
        """Return the state of a sensor: status, interval, newest ticks."""
        found = self.dagster.query(_SENSOR, sensor={**REPOSITORY, "sensorName": name})["sensorOrError"]
        state = found["sensorState"]
        return {"interval": found["minIntervalSeconds"], "id": found["id"], **state}

    def switch_sensors(self, *names: str, on: bool) -> None:
        """Turn sensors on or off: by default the two that look at files and days."""
        for name in names or SENSORS:
            if on:
                answer = self.dagster.query(_START_SENSOR, sensor={**REPOSITORY, "sensorName": name})["startSensor"]
            else:
                answer = self.dagster.query(_STOP_SENSOR, id=self.sensor(name)["id"])["stopSensor"]
            assert "Error" not in answer["__typename"], answer


def _as_run(found: Mapping[str, Any]) -> Run:
    seconds = found["endTime"] - found["startTime"] if found["endTime"] and found["startTime"] else None
    return Run(
        run_id=found["runId"],
        status=found["status"],
        job=found["jobName"],
        assets=frozenset(key["path"][-1] for key in found["assetSelection"] or []),
        tags={tag["key"]: tag["value"] for tag in found["tags"]},
        seconds=seconds,
        ended=found["endTime"],
    )


def _spread(ranges: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return day to status from ranges of days."""
    found = {}
    for each in ranges:
        first, last = dt.date.fromisoformat(each["startKey"]), dt.date.fromisoformat(each["endKey"])
        for offset in range((last - first).days + 1):
            found[(first + dt.timedelta(days=offset)).isoformat()] = each["status"]
    return found

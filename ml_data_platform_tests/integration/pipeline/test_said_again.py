"""A partition that is not built keeps what its checks said, whatever a run plans and whatever becomes of the history."""

import datetime as dt
import json
import uuid
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.definitions.partitions.subset import DefaultPartitionsSubset
from dagster._core.event_api import PartitionKeyFilter

from ml_data_platform.defs.checks import check_specs
from ml_data_platform.defs.daily import report_nothing_built
from ml_data_platform.defs.history import check_counts
from ml_data_platform.defs.partitions import daily_partitions
from ml_data_platform.defs.said_again import say_again
from ml_data_platform.stages.retraction import retract_file
from ml_data_platform.stages.state import TABLES
from ml_data_platform.stages.stored_checks import stored_checks_of_days
from ml_data_platform.storage.commit_log import LogRecord
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.staging import MEASURED
from ml_data_platform.validation.suites import rules_for
from ml_data_platform_tests.pipeline_root import SHOP, PipelineRoot, day, settings_for, shop_lines
from ml_data_platform_tests.sensor_loop import SensorLoop

EVERY = sum(len(rules_for(asset)) for asset in TABLES)
DAYS = [day(number) for number in (1, 2, 3)]
TRAINING = ("date_partitions", "label_partitions", "stratified_partitions")
EXPECTED = {of.isoformat(): [*TABLES] for of in DAYS}
Said = Mapping[tuple[str, str, str], tuple[bool, Mapping[str, Any], str]]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PipelineRoot, dg.DagsterInstance, Said]]:
    """Three built days, of which the last has no rows, and what each check said of each of them; to be read only."""
    root = PipelineRoot(settings_for(tmp_path_factory.mktemp("said") / "root", settle_seconds=0))
    root.drop("a.jsonl", [line for of in DAYS[:2] for line in shop_lines(of, 20)])
    with dg.DagsterInstance.ephemeral() as instance:
        assert root.backfill(DAYS, instance).is_successful
        yield root, instance, said_last(instance)


def said_last(instance: dg.DagsterInstance) -> Said:
    """Return what Dagster shows of each check and partition: the newest entry, also one that was only planned."""
    found = {}
    for asset in TABLES:
        for rule in rules_for(asset):
            key = dg.AssetCheckKey(dg.AssetKey(asset), rule.name)
            for of in DAYS:
                partition = PartitionKeyFilter(key=of.isoformat())
                storage = instance.event_log_storage
                for entry in storage.get_asset_check_execution_history(key, limit=1, partition_filter=partition):
                    if entry.status.value in {"SUCCEEDED", "FAILED"}:
                        shown = {name: value.value for name, value in entry.evaluation.metadata.items()}
                        found[asset, rule.name, of.isoformat()] = (entry.evaluation.passed, shown, entry.run_id)
    return found


def without_origin(said: Said, of: Collection[dt.date] = DAYS) -> dict[tuple[str, str, str], tuple[bool, Any]]:
    """Return what was said and its numbers, without when and where."""
    origin = {"evaluated_in_run", "stored_result"}
    days = {each.isoformat() for each in of}
    return {
        key: (passed, {name: value for name, value in shown.items() if name not in origin})
        for key, (passed, shown, _) in said.items()
        if key[2] in days
    }


def plan_only(
    instance: dg.DagsterInstance, asset: str, of: dt.date, status: dg.DagsterRunStatus = dg.DagsterRunStatus.FAILURE
) -> dg.DagsterRun:
    """Record a run that planned all checks of a partition and evaluated none; returns it."""
    tags = {"dagster/partition": of.isoformat()}
    run = dg.DagsterRun(job_name="refresh_day", run_id=str(uuid.uuid4()), status=status, tags=tags)
    instance.add_run(run)
    for rule in rules_for(asset):
        planned = AssetCheckEvaluationPlanned(
            asset_key=dg.AssetKey(asset),
            check_name=rule.name,
            partitions_subset=DefaultPartitionsSubset({of.isoformat()}),
        )
        kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value
        event = dg.DagsterEvent(event_type_value=kind, job_name="refresh_day", event_specific_data=planned)
        instance.report_dagster_event(event, run_id=run.run_id)
    return run


def forget_results(root: PipelineRoot) -> None:
    """Make the records those of a root of before, which keep no results with their commits."""
    for asset in TABLES:
        for key, head in root.platform.store.heads(asset).items():
            verdict = {name: value for name, value in (head.verdict or {}).items() if name != MEASURED}
            record = LogRecord(**{**vars(head), "verdict": verdict or None})
            path = root.folder / Layout.log_key(asset, key, head.generation)
            path.chmod(0o600)
            path.write_bytes(record.to_json())


def test_checks_that_were_only_planned_are_said_again_where_they_were_planned(
    before: tuple[PipelineRoot, dg.DagsterInstance, Said],
) -> None:
    """A run that was killed after its commit leaves no day without its verdict, and once is enough."""
    root, instance, was = before
    run_id = plan_only(instance, "validated_events", day(2)).run_id
    assert len(said_last(instance)) == len(was) - len(rules_for("validated_events"))
    missing = check_counts(instance, expected=EXPECTED)[day(2).isoformat()]
    assert missing.missing == sorted(f"validated_events: {rule.name}" for rule in rules_for("validated_events"))
    assert (missing.expected, missing.passed + len(missing.warned)) == (EVERY, EVERY - len(missing.missing))
    stored = stored_checks_of_days(root.platform)
    assert check_counts(instance, None, EXPECTED, stored)[day(2).isoformat()].missing == []
    assert say_again(instance, root.platform, [day(1)]) == 0
    assert say_again(instance, root.platform, [day(2)]) == len(rules_for("validated_events"))
    assert say_again(instance, root.platform) == 0
    now = said_last(instance)
    assert without_origin(now) == without_origin(was)
    assert {now["validated_events", rule.name, "2026-03-03"][2] for rule in rules_for("validated_events")} == {run_id}


def test_a_run_under_way_is_not_overtaken(before: tuple[PipelineRoot, dg.DagsterInstance, Said]) -> None:
    """What a run planned that still runs is left to it."""
    root, instance, _ = before
    run = plan_only(instance, "session_summaries", day(3), dg.DagsterRunStatus.STARTED)
    assert say_again(instance, root.platform) == 0
    instance.report_run_failed(run, "the test is over")
    assert len(check_counts(instance, expected=EXPECTED)[day(3).isoformat()].missing) == len(
        rules_for("session_summaries")
    )
    # The first look of a daemon brings it up to date.
    SensorLoop(root, instance).look()
    assert check_counts(instance, expected=EXPECTED)[day(3).isoformat()].missing == []


def test_a_lost_history_loses_no_verdict(before: tuple[PipelineRoot, dg.DagsterInstance, Said]) -> None:
    """In a new and empty history all checks of all days say what they said, with their numbers, from the commits alone."""
    root, _, was = before
    with dg.DagsterInstance.ephemeral() as empty:
        stored = stored_checks_of_days(root.platform)
        counts = check_counts(empty, None, EXPECTED, stored)
        assert {key: (found.expected, found.missing) for key, found in counts.items()} == dict.fromkeys(
            EXPECTED, (EVERY, [])
        )
        assert say_again(empty, root.platform, DAYS) == EVERY * len(DAYS)
        assert without_origin(said_last(empty)) == without_origin(was)


def test_a_refusal_is_said_again_as_one(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """The checks of a refused day come back red from the record, and a run that says them fails, without a table."""
    root = PipelineRoot(settings_for(tmp_path / "root"))
    root.drop("a.jsonl", shop_lines(day(1), 20, broken=5))
    assert not root.backfill([day(1)], instance).is_successful
    was = check_counts(instance)[day(1).isoformat()]
    assert was.failed
    with dg.DagsterInstance.ephemeral() as empty:
        assert say_again(empty, root.platform) > 0
        assert check_counts(empty)[day(1).isoformat()].failed == was.failed

    daily = daily_partitions(root.settings.start_date)
    names = ("validated_events", "quarantined_events")

    @dg.multi_asset(
        name="validated_events",
        partitions_def=daily,
        outs={name: dg.AssetOut(is_required=False) for name in names},
        check_specs=[spec for name in names for spec in check_specs(name, daily)],
        can_subset=True,
    )
    def says_it_again(context: dg.AssetExecutionContext) -> Any:  # type: ignore[misc]
        yield from report_nothing_built(context, root.platform, "validated_events", "nobody asked for it")

    with dg.DagsterInstance.ephemeral() as empty:
        result = dg.materialize([says_it_again], partition_key=day(1).isoformat(), instance=empty, raise_on_error=False)
        assert not result.success
        assert {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()} == {
            "quarantined_events"
        }
        found = check_counts(empty)[day(1).isoformat()]
        assert found.failed == was.failed
        assert found.passed + len(found.warned) + len(found.failed) == sum(len(rules_for(name)) for name in names)


def test_a_refusal_of_what_was_retracted_is_not_said_again(
    before: tuple[PipelineRoot, dg.DagsterInstance, Said], tmp_path: Path
) -> None:
    """A day refused for a file that was retracted is the generation from before it, and green again."""
    root = before[0].copied(tmp_path / "root")
    bad = root.drop("bad.jsonl", shop_lines(day(1), 0, name="bad", broken=30))
    assert bad.record is not None
    assert not root.judge([day(1)]).is_successful
    refused = {"validated_events: event_types_are_known", "validated_events: rejected_share_is_within_tolerance"}
    for is_retracted in (False, True):
        if is_retracted:
            retract_file(root.platform, SHOP, bad.record.sha256, "sent by mistake")
        assert is_retracted is root.judge([day(1)]).is_successful
        with dg.DagsterInstance.ephemeral() as empty:
            say_again(empty, root.platform, [day(1)])
            failed = set(check_counts(empty)[day(1).isoformat()].failed)
        assert failed == (set() if is_retracted else refused), failed


def test_a_root_of_before_says_what_its_history_knows(
    before: tuple[PipelineRoot, dg.DagsterInstance, Said], tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    """Its commits keep no results: those in the history are found again; without a history they are missing, by name."""
    root = before[0].copied(tmp_path / "root")
    forget_results(root)
    with dg.DagsterInstance.ephemeral() as empty:
        assert say_again(empty, root.platform) == 0
        stored = stored_checks_of_days(root.platform)
        counts = check_counts(empty, None, EXPECTED, stored)[day(1).isoformat()]
        assert (counts.passed, len(counts.missing), counts.expected) == (0, EVERY, EVERY)
    # Built again, the bytes and so all that reads them stay, and the results are there from now on.
    contents = root.contents()
    assert root.run(day(1), [*TABLES], instance).success
    assert root.contents() == contents
    assert {
        found.unknown for found in (each["2026-03-02"] for each in stored_checks_of_days(root.platform).values())
    } == {()}
    forget_results(root)
    plan_only(instance, "date_partitions", day(1))
    assert say_again(instance, root.platform) == len(rules_for("date_partitions"))
    assert check_counts(instance, expected=EXPECTED)[day(1).isoformat()].missing == []


def test_results_are_small(before: tuple[PipelineRoot, dg.DagsterInstance, Said]) -> None:
    """All records of a day, which every planning reads, stay below 20 kB."""
    records = [head for (_, of), head in before[0].heads().items() if of == day(2)]
    sizes = {head.asset: (len(head.to_json()), len(json.dumps((head.verdict or {}).get(MEASURED)))) for head in records}
    assert sum(whole for whole, _ in sizes.values()) < 20_000, sizes


def test_late_rows_leave_the_verdicts_of_the_neighbours(
    before: tuple[PipelineRoot, dg.DagsterInstance, Said], tmp_path: Path
) -> None:
    """Rows of the second day land late: the others build features that come out the same, and no training table.

    Their checks are planned by the run that finds this out, and say what they said, with the run that evaluated them.
    """
    # The last test of this file, as it goes on with the history that they share.
    root, instance = before[0].copied(tmp_path / "root"), before[1]
    was, generations = said_last(instance), root.generations()
    of_others = [{**line, "user_id": "another"} for line in shop_lines(day(2), 10, name="late", hour=11)]
    root.drop("late.jsonl", of_others)
    done = SensorLoop(root, instance).settle()
    asked = {(key.to_user_string(), each.partition_key) for each in done for key in each.asset_selection or ()}
    now = said_last(instance)
    assert set(now) == set(was)
    assert len(now) == EVERY * len(DAYS)
    for of in (day(1), day(3)):
        for asset in TRAINING:
            assert (asset, of.isoformat()) in asked
            assert root.generations()[asset, of] == generations[asset, of]
            evaluated_in = root.heads()[asset, of].run_id
            for rule in rules_for(asset):
                passed, shown, run_id = now[asset, rule.name, of.isoformat()]
                assert (passed, shown["evaluated_in_run"]) == (True, evaluated_in)
                assert run_id != evaluated_in
    aside = {key for key in was if key[0] in TRAINING and key[2] != day(2).isoformat()}
    again, first = without_origin(now), without_origin(was)
    assert {key: again[key] for key in aside} == {key: first[key] for key in aside}
    assert root.generations()["date_partitions", day(2)] == 2
    assert "evaluated_in_run" not in now["date_partitions", "no_feature_tells_the_label", "2026-03-03"][1]

"""A contract that breaks or goes stops its own source, and the days that hold its rows, and nothing else."""

from __future__ import annotations

import json
import os
import shutil

import dagster as dg
import pytest

from ml_data_platform.errors import ContractError
from ml_data_platform.events.planning import Status, plan
from ml_data_platform.stages.contract_notices import contract_notices
from ml_data_platform.stages.decisions import retract
from ml_data_platform.stages.settled_days import unbuilt_days, unsettled_days
from ml_data_platform.stages.state import current_records, read_state
from ml_data_platform.stages.summary import summarise_landing
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, settings_for, shop_lines
from ml_data_platform_tests.sensor_loop import SensorLoop

CONTRACT = "source: {}\nformat: jsonl\nschema_version: 2\n"
ASSETS = ("raw_events", "validated_events", "session_features")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Two sources: `good` on days 2 and 5, `other` on day 2; all built. To be read only."""
    folder = tmp_path_factory.mktemp("apart")
    contracts = folder / "contracts"
    contracts.mkdir()
    for source in ("good", "other"):
        (contracts / f"{source}.yaml").write_text(CONTRACT.format(source))
    root = PipelineRoot(settings_for(folder / "root", sources=contracts))
    for number in (2, 5):
        root.drop(f"{number}.jsonl", shop_lines(day(number), 40, name="g"), source="good")
    root.drop("2.jsonl", shop_lines(day(2), 30, name="o"), source="other")
    assert root.backfill().is_successful
    return root


@pytest.fixture
def root(built, tmp_path):
    """A copy of that root, and of its contracts."""
    contracts = tmp_path / "contracts"
    shutil.copytree(built.settings.sources, contracts)
    return built.copied(tmp_path / "root").with_settings(sources=contracts)


def lose(root, how):
    """Break or remove the contract of `other`; returns the same root, opened anew."""
    path = root.settings.sources / "other.yaml"
    path.unlink() if how == "gone" else path.write_text("source: other\nformat: cvs\n")
    return root.with_settings()


def test_days_of_the_source_stay_as_they_are_and_others_go_on(root):
    """No row of it is dropped, no label of it unlearnt; new rows elsewhere are built; put back, all is made good."""
    text = (root.settings.sources / "other.yaml").read_text()
    before = root.view()
    found = lose(root, "broken")
    for number in (2, 5):
        found.drop(f"late{number}.jsonl", shop_lines(day(number), 5, name=f"late{number}", hour=20), source="good")
    report = found.backfill()
    assert not report.failed
    assert {(each.asset, each.day) for each in report.blocked} == {(asset, day(2)) for asset in ASSETS}
    assert all(each.reasons == ("waits for the contract of other, which is broken",) for each in report.blocked)
    after = found.view()
    touched = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert touched
    assert all(f"dt={day(5)}" in path for path in touched)
    assert len(found.rows("validated_events", day(5))) == 45
    assert unbuilt_days(found.platform, [str(day(number)) for number in (2, 3, 5)]) == (str(day(2)),)
    assert str(day(2)) in unsettled_days(found.platform)

    found = lose(root, "gone")
    report = found.backfill()
    assert (report.runs, report.failed) == (0, [])
    assert {each.reasons for each in report.blocked} == {("waits for the contract of other, which is gone",)}
    assert {(each.asset, each.day) for each in report.blocked} == {(asset, day(2)) for asset in ASSETS}
    assert found.view() == after
    assert unbuilt_days(found.platform, [str(day(2)), str(day(3))]) == (str(day(2)),)

    (root.settings.sources / "other.yaml").write_text(text)
    again = root.with_settings()
    assert again.backfill().is_successful
    assert len(again.rows("validated_events", day(2))) == 40 + 30 + 5
    assert not contract_notices(again.platform.contracts, current_records(again.platform))


@pytest.mark.parametrize("how", ["broken", "gone"])
def test_a_run_of_such_a_day_fails_and_leaves_it(root, how):
    """Asked for by name in the UI too, a day is not built without the rows or the labels of one of its sources."""
    found, before = lose(root, how), root.contents()
    with dg.DagsterInstance.ephemeral() as instance:
        for asset in ASSETS:
            result = found.run(day(2), [asset], instance)
            (failure,) = [event for event in result.all_events if event.is_step_failure]
            assert f"their contract is {how} now" in str(failure.step_failure_data.user_failure_data.description)
    assert found.contents() == before


def test_files_of_a_source_that_is_gone_can_be_taken_back(root):
    """Where the contract is not coming back, its days go on without its rows, as somebody decided in words."""
    found = lose(root, "gone")
    (sha256,) = [record.sha256 for record in current_records(found.platform) if record.source == "other"]
    retract(found.platform, "other", sha256, reason="the producer is gone")
    assert found.backfill().is_successful
    assert {row["source"] for row in found.rows("validated_events", day(2))} == {"good"}
    assert not summarise_landing(found.platform).contract_notices


def test_what_waits_is_said_with_its_reason(root):
    """The status names the source, its files and days, and what is to be done; broken and gone are told apart."""
    (gone,) = summarise_landing(lose(root, "gone").platform).contract_notices
    assert gone.startswith(f"other: its contract is gone, of 1 landed files; 1 days ({day(2)} to {day(2)})")
    assert "Put it back" in gone
    assert "`ml-data-platform retract SHA --source other`" in gone
    (broken,) = summarise_landing(lose(root, "broken").platform).contract_notices
    assert broken.startswith("other: its contract is broken, of 1 landed files")
    assert "did you mean 'csv'?" in broken
    found = lose(root, "broken")
    with pytest.raises(ContractError, match="did you mean 'csv'"):
        found.drop("x.jsonl", shop_lines(day(2), 1), source="other")
    decisions = plan(read_state(found.platform), [day(3), day(5)])
    assert {each.status for each in decisions} == {Status.CLEAN}


def test_sensors_go_on_and_say_so(root):
    """Files of the good source are taken in and their days requested; the other's folder is named with the reason."""
    landing = root.folder / "landing"
    for source in ("good", "other"):
        (landing / source).mkdir(parents=True)
    found = lose(root, "broken").with_settings(settle_seconds=0)
    (landing / "other" / "x.jsonl").write_text(json.dumps(shop_lines(day(2), 1)[0]))
    with dg.DagsterInstance.ephemeral() as instance:
        loop = SensorLoop(found, instance)
        assert "other/ (its contract is broken)" in str(loop.look("landing_sensor").skip_reason)
        late = "\n".join(json.dumps(line) for line in shop_lines(day(5), 3, name="n"))
        (landing / "good" / "x.jsonl").write_text(late)
        os.utime(landing / "good" / "x.jsonl", (0, 0))
        (request,) = loop.requests("landing_sensor")
        assert "waits for the contract of other, which is broken" in str(loop.look().skip_reason)
        loop.execute(request)
        assert {str(each.partition_key) for each in loop.requests()} == {str(day(5))}
        key = dg.AssetCheckKey(dg.AssetKey("landed_files"), "contracts_are_readable")
        (check,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        evaluation = check.event.dagster_event.asset_check_evaluation_data
        assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.ERROR)
        assert "other: its contract is broken" in evaluation.metadata["contracts"].value


def test_commands_stop_for_their_source_only(tmp_path):
    """`status`, `land` of the broken source and `sources` exit 1 and name the fault; `plan` and the rest go on."""
    cli = CommandLine(tmp_path)
    cli.ok("init")
    sources = tmp_path / ".platform" / "sources"
    sources.mkdir(exist_ok=True)
    (sources / "good.yaml").write_text(CONTRACT.format("good"))
    (sources / "bad.yaml").write_text("source: bad\nformat: cvs\n")
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in shop_lines(day(1), 20)))
    cli.ok("land", file, "--source", "good")
    for arguments in (
        ("land", file, "--source", "bad"),
        ("sources", "show", "bad"),
        ("sources", "check", file, "--source", "bad"),
    ):
        refused = cli(*arguments)
        assert refused.status == 1
        assert "did you mean 'csv'?" in refused.err
    listed = cli("sources", "list")
    assert (listed.status, "good" in listed.out, "bad.yaml" in listed.err) == (1, True, True)
    assert "bad: its contract is broken" in cli.ok("plan").err
    cli.build()
    built = cli.ok("backfill", "--json")
    assert "bad: its contract is broken" in json.loads(built.out)["contract_notices"][0]
    status = cli("status", "--json")
    assert status.status == 1
    assert "bad: its contract is broken" in json.loads(status.out)["landing"]["contract_notices"][0]
    (sources / "bad.yaml").unlink()
    cli.ok("status")
    cli.ok("sources", "list")

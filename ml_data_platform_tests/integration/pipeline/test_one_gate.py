"""What the checks of ``date_partitions`` refuse, no training table publishes, whoever builds which of them."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform.datasets.load_dataset import load_dataset
from ml_data_platform.datasets.selection import DATASETS, Request, select_partitions
from ml_data_platform.defs.history import check_counts
from ml_data_platform.errors import LeakageError, SettingsError
from ml_data_platform.events.planning import Status, plan
from ml_data_platform.stages.state import read_state
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.leaky_days import SESSIONS, VIEWS, telling_lines
from ml_data_platform_tests.pipeline_root import SHOP, PipelineRoot, day, settings_for, shop_lines
from ml_data_platform_tests.sensor_loop import SensorLoop
from ml_data_platform_tests.version_root import cut

LEAKY = day(2)
DAYS = [day(1), LEAKY, day(3), day(4)]
WITH_NEXT = [LEAKY, day(3)]
"""The leaky day, and the one that makes its labels known."""
RULE = "no_feature_tells_the_label"
GOOD = {RULE: 1.0}
"""Tolerances under which the same rows are published."""


@pytest.fixture(scope="module")
def featured(tmp_path_factory: pytest.TempPathFactory) -> PipelineRoot:
    """Three days, the second of them leaky, and an empty one; training tables are built of the first. To be read only."""
    root = PipelineRoot(settings_for(tmp_path_factory.mktemp("leaky") / "root"))
    for number in (1, 3):
        root.drop(f"{number}.jsonl", shop_lines(day(number), 20))
    root.drop("leaky.jsonl", telling_lines(LEAKY))
    assert root.judge(DAYS, layers=2).is_successful
    assert root.backfill([day(1)]).is_successful
    return root


@pytest.fixture(scope="module")
def refused(featured: PipelineRoot, tmp_path_factory: pytest.TempPathFactory) -> PipelineRoot:
    """That root with all built that can be: the leaky day was refused. To be read only."""
    root = featured.copied(tmp_path_factory.mktemp("refused") / "root")
    assert not root.backfill(DAYS).is_successful
    return root


@pytest.fixture(scope="module")
def tolerated(refused: PipelineRoot, tmp_path_factory: pytest.TempPathFactory) -> PipelineRoot:
    """That root after a tolerance let the leaky day through, which it no longer has. To be read only."""
    root = refused.copied(tmp_path_factory.mktemp("tolerated") / "root")
    assert root.with_settings(tolerances=GOOD).backfill(DAYS).is_successful
    return root


@pytest.fixture
def root(request: pytest.FixtureRequest, tmp_path: Path) -> PipelineRoot:
    """A copy of one of these roots, by default of the first, to be changed."""
    built: PipelineRoot = request.getfixturevalue(getattr(request, "param", "featured"))
    return built.copied(tmp_path / "root")


def on(fixture: str) -> pytest.MarkDecorator:
    """Let ``root`` be a copy of that root."""
    return pytest.mark.parametrize("root", [fixture], indirect=True)


TELLS = "session_cart_count"
WHY = "the shop shows a cart only to those who asked for an offer"
ACCEPTED = {TELLS: WHY}


def tables_of(root: PipelineRoot, of: dt.date) -> set[str]:
    """Return the training tables that hold a day, as plain readers see it."""
    return {table for table in DATASETS if (root.folder / "data" / table / f"dt={of}").is_dir()}


def events_of(root: PipelineRoot, of: dt.date) -> dict[str, list[str]]:
    """Return the events of a day by training table, as plain readers see them."""
    files = {
        "date_partitions": ["data.parquet"],
        "label_partitions": [f"label={each}/data.parquet" for each in ("positive", "negative")],
        "stratified_partitions": [f"fold={each}/data.parquet" for each in range(5)],
    }
    return {
        table: sorted(row["event_id"] for name in names for row in root.rows(table, of, name))
        for table, names in files.items()
    }


def auc_by_pairs(lines: list[dict[str, object]]) -> float:
    """Return the AUC of the number of carts before and at an event, for the label of a purchase after it, by all pairs."""
    rows = []
    for session in {str(line["session_uuid"]) for line in lines}:
        events = sorted((line for line in lines if line["session_uuid"] == session), key=lambda line: line["sequence"])
        kinds = [line["event_type"] for line in events]
        rows += [(kinds[: n + 1].count("add_to_cart"), "purchase" in kinds[n + 1 :]) for n in range(len(kinds))]
    good, bad = ([carts for carts, buys in rows if buys is wanted] for wanted in (True, False))
    return sum((g > b) + 0.5 * (g == b) for g in good for b in bad) / (len(good) * len(bad))


AUC = f"{TELLS} has an AUC of {auc_by_pairs(telling_lines(LEAKY)):.3f}"


def test_a_backfill_publishes_all_or_none(root: PipelineRoot) -> None:
    """The leaky day is in no table, the others in all; its failure names the rule; asked again, the same."""
    for _ in range(2):
        report = root.backfill(DAYS)
        assert {each.day for each in report.failed} == {LEAKY}
        (refused,) = [each for each in report.failed if each.asset == "date_partitions"]
        assert RULE in refused.why
        assert refused.is_refused
        assert {each.asset for each in report.failed if "waits" in each.why} == set(DATASETS) - {"date_partitions"}
        assert tables_of(root, LEAKY) == set()
        assert tables_of(root, day(1)) == tables_of(root, day(3)) == set(DATASETS)


@on("tolerated")
def test_the_same_day_without_the_leak_is_published(root: PipelineRoot, tmp_path: Path) -> None:
    """Good form of the same content: the rows of other sessions, or a tolerance that allows for it, give all tables."""
    other = PipelineRoot(settings_for(tmp_path / "other"))
    other.drop("good.jsonl", telling_lines(LEAKY, tells=False))
    assert other.backfill(WITH_NEXT).is_successful
    for each in (root, other):
        expected = sorted(f"{SHOP}:{line['event_id']}" for line in telling_lines(LEAKY))
        assert events_of(each, LEAKY) == dict.fromkeys(DATASETS, expected)
    assert len(expected) == 2 * SESSIONS * (VIEWS + 2)


def test_a_run_of_any_of_the_tables_publishes_none(root: PipelineRoot, instance: dg.DagsterInstance) -> None:
    """Materialised in the UI, also before and after the checks were run: the run fails, and says what refuses it."""
    alone = (
        ["label_partitions"],
        ["stratified_partitions"],
        ["label_partitions", "stratified_partitions"],
        ["session_features", "label_partitions"],
    )
    for assets in (*alone, ["session_features", *DATASETS], ["date_partitions"], *alone):
        result = root.run(LEAKY, assets, instance)
        assert not result.success
        assert tables_of(root, LEAKY) == set()
        failed = [event for event in result.all_events if event.is_step_failure]
        said = [str(event.step_failure_data.user_failure_data.description) for event in failed]
        assert said
        if "date_partitions" not in assets:
            assert all("date_partitions" in text for text in said)


def test_one_table_alone_can_be_built_where_the_checks_passed(root: PipelineRoot, instance: dg.DagsterInstance) -> None:
    """A good day: its label table is built again by itself, with the same bytes."""
    before = root.contents()
    for asset in ("label_partitions", "stratified_partitions"):
        assert root.run(day(1), [asset], instance).success
    assert root.contents() == before


def test_sensors_publish_all_or_none_and_come_to_rest(root: PipelineRoot, instance: dg.DagsterInstance) -> None:
    """The daemon builds what it may, and asks no second time for what is refused."""
    loop = SensorLoop(root, instance)
    loop.settle()
    assert tables_of(root, LEAKY) == set()
    assert tables_of(root, day(3)) == set(DATASETS)
    assert loop.turn() == []


def test_all_tables_keep_their_last_good_generation(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """Rows that make a day leaky come late: no table takes them, by any way; without a leak all three go on."""
    root = PipelineRoot(settings_for(tmp_path / "root"))
    root.drop("day.jsonl", telling_lines(LEAKY, name="first", sessions=1))
    assert root.backfill(WITH_NEXT).is_successful
    before = events_of(root, LEAKY)
    root.drop("late.jsonl", telling_lines(LEAKY))
    root.backfill(WITH_NEXT)
    for asset in DATASETS:
        root.run(LEAKY, [asset], instance)
    assert len(root.rows("session_features", LEAKY)) > len(before["date_partitions"])
    assert events_of(root, LEAKY) == before
    (chosen, *_) = [each for each in select_partitions(root.platform.store, Request()).days if each.day == str(LEAKY)]
    assert {record.inputs[f"session_features/{LEAKY}"] for record in chosen.partitions.values()} == {chosen.features}
    left = {each.asset: each.status for each in plan(read_state(root.platform), [LEAKY])}
    assert {left[asset] for asset in DATASETS} == {Status.DIRTY, Status.WAITING}
    assert root.with_settings(tolerances=GOOD).backfill(WITH_NEXT).is_successful
    after = events_of(root, LEAKY)
    assert len({tuple(each) for each in after.values()}) == 1
    assert len(after["label_partitions"]) == len(before["label_partitions"]) + 2 * SESSIONS * (VIEWS + 2)


@on("tolerated")
def test_a_stricter_rule_leaves_what_is_published_and_is_told(root: PipelineRoot) -> None:
    """A tolerance that no longer allows for a published day: the day stays, the plan says that it is not settled."""
    before = events_of(root, LEAKY)
    report = root.backfill(DAYS)
    assert [(each.asset, each.day) for each in report.failed] == [("date_partitions", LEAKY)]
    assert events_of(root, LEAKY) == before
    open_ones = [
        (each.asset, each.day) for each in plan(read_state(root.platform), DAYS) if each.status is not Status.CLEAN
    ]
    assert open_ones == [("date_partitions", LEAKY)]


def test_the_alarm_names_the_feature(root: PipelineRoot, instance: dg.DagsterInstance) -> None:
    """In the error of the run, and in the check's description and examples."""
    report = root.backfill([LEAKY], instance)
    (refused,) = [each for each in report.failed if each.asset == "date_partitions"]
    assert f"{RULE} ({AUC}" in refused.why
    (failed,) = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey("date_partitions"), RULE), limit=1, status=None
    )
    counts = check_counts(instance)[str(LEAKY)]
    assert counts.failed == [f"date_partitions: {RULE}"]
    assert counts.found[f"date_partitions: {RULE}"].startswith(AUC)
    assert failed.event is not None


def test_a_refused_day_is_told_to_scripts_and_let_through_in_platform_yaml(root: PipelineRoot, tmp_path: Path) -> None:
    """Exit status 0 while the days are only to be built, 1 once one is refused, 0 for the others and once it is built.

    Both commands name the feature that tells the label, and no other. It is accepted as a user writes it down, and the version says so.
    """
    command, at = CommandLine(tmp_path), ("--root", root.folder)
    settings = root.folder / "platform.yaml"
    settings.write_text(f"start_date: {day(1)}\n", encoding="utf-8")
    command.ok("status", *at)
    command.ok("status", *at, "--from", day(3), "--to", day(3))
    said = [command("backfill", *at, "--from", day(1), "--to", LEAKY)]
    said += [command("status", *at, *more) for more in ((), ("--json",), ("--from", LEAKY, "--to", LEAKY))]
    assert [each.status for each in said] == [1] * 4
    assert all(AUC in each.text for each in said[:2])
    assert not any("session_event_count has" in each.text for each in said)
    command.ok("status", *at, "--from", day(1), "--to", day(1))
    command.ok("status", *at, "--from", day(3), "--to", day(3))
    settings.write_text(f"start_date: {day(1)}\naccepted_features: {json.dumps(ACCEPTED)}\n", encoding="utf-8")
    command.ok("backfill", *at, "--from", day(1), "--to", LEAKY)
    command.ok("status", *at)

    assert WHY in command.ok("version", "cut", *at).text
    shown = command.ok("version", "show", "latest", *at)
    assert WHY in shown.text
    assert f"told the label on {LEAKY}" in shown.text
    (fact,) = json.loads(command.ok("version", "show", "latest", *at, "--json").out)["accepted_features"]
    assert (fact["feature"], fact["reason"], list(fact["days"])) == (TELLS, WHY, [str(LEAKY)])


@on("refused")
def test_an_accepted_feature_lets_the_day_through_and_touches_no_other(
    root: PipelineRoot, instance: dg.DagsterInstance
) -> None:
    """Days that needed no acceptance stay as they are; the version says why, where and how much; so does who loads it."""
    before = root.heads()
    accepting = root.with_settings(accepted_features={**ACCEPTED, "hour_of_day": "it is no secret"})
    state = read_state(accepting.platform)
    dirty = [(each.asset, each.day) for each in plan(state, DAYS) if each.status is Status.DIRTY]
    assert dirty == [("date_partitions", LEAKY)]
    loop = SensorLoop(accepting, instance)
    loop.settle()
    after = accepting.heads()
    assert {key for key in after if after[key] != before.get(key)} == {(table, LEAKY) for table in DATASETS}
    assert len({tuple(each) for each in events_of(accepting, LEAKY).values()}) == 1
    inputs = after["date_partitions", LEAKY].inputs
    assert {key: why for key, why in inputs.items() if "accepted" in key} == {f"accepted_feature/{TELLS}": WHY}
    assert loop.turn() == []

    chosen = Request(first=LEAKY, last=LEAKY, accepted_features=accepting.settings.accepted_features)
    made = cut(accepting, chosen).manifest
    facts = {each.feature: (each.reason, each.days) for each in made.accepted_features}
    auc = pytest.approx(auc_by_pairs(telling_lines(LEAKY)), abs=1e-5)
    assert facts == {TELLS: (WHY, {str(LEAKY): auc}), "hour_of_day": ("it is no secret", {})}
    assert str(LEAKY) in {each.day for each in made.days}
    loaded = load_dataset(made.tag, root=root.folder)
    assert len(loaded.accepted) == 1
    assert TELLS in loaded.accepted[0]
    assert WHY in loaded.accepted[0]


@on("tolerated")
def test_a_version_without_the_acceptance_is_not_loaded(root: PipelineRoot) -> None:
    """Rows that were let through by a tolerance alone: the loader names the feature, and says what to do."""
    made = cut(root.with_settings(tolerances=GOOD), Request(first=LEAKY, last=LEAKY)).manifest
    with pytest.raises(
        LeakageError, match=rf"accepted_features.*{TELLS} has an AUC|{TELLS} has an AUC.*accepted_features"
    ):
        load_dataset(made.tag, root=root.folder)


@on("refused")
def test_an_acceptance_that_is_withdrawn_refuses_the_day_again(root: PipelineRoot) -> None:
    """The day keeps what is published, is refused when it is built, and no version takes it."""
    assert root.with_settings(accepted_features=ACCEPTED).backfill(DAYS).is_successful
    before = events_of(root, LEAKY)
    report = root.backfill(DAYS)
    assert [(each.asset, each.day) for each in report.failed] == [("date_partitions", LEAKY)]
    assert events_of(root, LEAKY) == before
    chosen = select_partitions(root.platform.store, Request())
    assert [each.day for each in chosen.left_out] == [str(LEAKY)]
    assert TELLS in chosen.left_out[0].reason
    kept = select_partitions(root.platform.store, Request(accepted_features=ACCEPTED))
    assert str(LEAKY) in {each.day for each in kept.days}


@pytest.mark.parametrize(
    ("accepted", "why"),
    [
        ({"session_cart_cuont": "why"}, f"does not exist.*Did you mean {TELLS}"),
        ({TELLS: "  "}, "without a reason"),
        ({TELLS: "x" * 501}, "without a reason of 1 to 500"),
        ({"label": "why"}, "does not exist"),
    ],
)
def test_what_cannot_be_accepted_is_refused(tmp_path: Path, accepted: dict[str, str], why: str) -> None:
    """A name that is no feature, or no reason: the settings are refused, and the nearest name is said."""
    with pytest.raises(SettingsError, match=why):
        _ = PipelineRoot(settings_for(tmp_path / "root", accepted_features=accepted)).platform

"""Lineage on a root that was built through the real flow: both ways, to the landed line."""

from __future__ import annotations

import datetime as dt
import json
import random
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ml_data_platform.datasets.conversion_model import TrainedModel, TrainingConfig, train_model
from ml_data_platform.datasets.lineage import Lineage, Node
from ml_data_platform.datasets.pinned_data import pin_version
from ml_data_platform.defs.instance import open_instance
from ml_data_platform.errors import UnknownVersionError
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.integration.datasets.conftest import TwoVersions
from ml_data_platform_tests.pipeline_root import NOW, PipelineRoot, day
from ml_data_platform_tests.version_root import file_hashes, repository_of, view_hashes, view_rows

WHY = "planted by the generator"
ACCEPTED = ("--accept-unusable", WHY)
"""Two files of 15 generated rows have three without a day, so that they are red."""


@pytest.fixture(scope="module")
def trained(two_versions: TwoVersions) -> TrainedModel:
    """A model of the second version."""
    root = two_versions.root
    data = pin_version(repository_of(root), root.platform.store, two_versions.second.manifest.tag, ("date_partitions",))
    config = TrainingConfig(day(4), trees=5)
    return train_model(data, config, root.folder / "models", now=NOW, threads=1)


@pytest.fixture(scope="module")
def lineage(two_versions: TwoVersions, trained: TrainedModel) -> Lineage:
    """The records of that root."""
    root = two_versions.root
    return Lineage(root.platform.store, root.platform.ledger, repository_of(root), trained.folder.parent, "500MB", 1)


def leaves(node: Node) -> list[Node]:
    """Return the ends of the chains below a node."""
    return [node] if not node.children else [leaf for child in node.children for leaf in leaves(child)]


def test_an_event_is_traced_to_its_landed_row(
    two_versions: TwoVersions, lineage: Lineage, trained: TrainedModel
) -> None:
    """The line of the kept file that the trace names is the one that the event came from; versions and models follow."""
    root, tags = two_versions.root, [each.manifest.tag for each in (two_versions.first, two_versions.second)]
    rows = view_rows(root, "date_partitions")
    late = next(row["event_id"] for row in rows if "late" in row["event_id"])
    early = random.Random(4).choice(sorted(row["event_id"] for row in rows if "late" not in row["event_id"]))
    for event, expected in ((late, tags[1:]), (early, tags)):
        found = lineage.trace(event)
        landed = found.made_from.children[0]
        lines = (root.folder / "raw" / landed.facts["sha256"]).read_bytes().splitlines()
        assert f"demo_shop:{json.loads(lines[landed.facts['row'] - 1])['event_id']}" == event
        assert [node.name for node in found.contained_in] == expected
        assert [child.name for child in found.contained_in[-1].children] == [trained.manifest.run_id]


def test_a_model_is_traced_to_landed_files(two_versions: TwoVersions, lineage: Lineage, trained: TrainedModel) -> None:
    """Model, version, days, features, events, raw rows: every chain ends at a landed file or an empty day."""
    found = lineage.trace(trained.manifest.run_id).made_from
    (version,) = found.children
    assert (found.kind, version.name) == ("model", two_versions.second.manifest.tag)
    assert [child.name for child in version.children] == [f"date_partitions/{day(n)}" for n in range(1, 6)]
    ends = leaves(found)
    assert {leaf.kind for leaf in ends} == {"landed file", "partition"}
    assert all(leaf.facts["rows"] == 0 for leaf in ends if leaf.kind == "partition")
    kept = {path.name for path in (two_versions.root.folder / "raw").iterdir()}
    named = {leaf.facts["sha256"] for leaf in ends if leaf.kind == "landed file"}
    assert named <= kept
    assert any("late.jsonl" in leaf.name for leaf in ends)


def test_users_files_and_partitions_know_what_contains_them(two_versions: TwoVersions, lineage: Lineage) -> None:
    """The late file is in the second version alone, with its ten rows; a day that did not change is in both."""
    tags = [each.manifest.tag for each in (two_versions.first, two_versions.second)]
    (version,) = lineage.trace("late.jsonl").contained_in
    assert (version.name, version.facts["rows"]) == (tags[1], 10)
    user = next(row for row in view_rows(two_versions.root, "date_partitions"))["user_id"]
    of_user = sum(row["user_id"] == user for row in view_rows(two_versions.root, "date_partitions"))
    assert lineage.trace(user).contained_in[-1].facts["rows"] == of_user
    assert [node.name for node in lineage.trace(f"date_partitions/{day(1)}").contained_in] == tags
    assert [node.name for node in lineage.trace(f"validated_events/{day(2)}").contained_in][-1] == tags[1]
    assert [node.name for node in lineage.trace(tags[0]).contained_in] == []


def test_what_nobody_recorded_is_an_error(lineage: Lineage) -> None:
    """An event, a user or a partition that does not exist is not traced to nothing."""
    for what in ("demo_shop:never", "usr_ffffffffffffffff", "date_partitions/2031-01-01"):
        with pytest.raises(UnknownVersionError):
            lineage.trace(what)


def test_the_commands_answer_people_and_scripts(
    two_versions: TwoVersions, trained: TrainedModel, tmp_path: Path
) -> None:
    """list, show, diff, verify, cut --dry-run and trace, as tables and as JSON."""
    cli, root = CommandLine(tmp_path), ("--root", str(two_versions.root.folder))
    first, second = (each.manifest for each in (two_versions.first, two_versions.second))
    listed = json.loads(cli.ok("version", "list", *root, "--json").out)
    assert [each["tag"] for each in listed] == [first.tag, second.tag]
    assert [each["restated_days"] for each in listed] == [[day(2).isoformat()], []]
    assert "superseded (1 day restated)" in cli.ok("version", "list", *root).text
    assert json.loads(cli.ok("version", "show", "latest", *root, "--json").out)["rows"] == second.rows
    assert "restated since" in cli.ok("version", "show", first.tag, "--days", *root).text
    difference = json.loads(cli.ok("version", "diff", first.tag, *root, "--json").out)
    assert (difference["rows_added"], difference["rows_changed"]) == (10, 0)
    assert json.loads(cli.ok("version", "verify", "latest", *root, "--json").out)[0]["is_good"]
    dry = json.loads(cli.ok("version", "cut", "--dry-run", "--to", str(day(2)), *ACCEPTED, *root, "--json").out)
    assert (dry["outcome"], dry["days"]) == ("dry run", 2)
    tree = json.loads(cli.ok("trace", trained.manifest.run_id, *root, "--json").out)
    assert tree["made_from"]["children"][0]["name"] == second.tag
    shown = cli.ok("trace", f"raw_events/{day(2)}", *root).text
    assert "landed file demo_shop/" in shown
    assert f"contained in version {second.tag}" in shown
    assert "more; --json prints all" in shown
    missing = cli("trace", "nothing-like-this", *root)
    assert missing.status == 1
    assert "Name a model, a tag" in missing.text
    assert dt.datetime.fromisoformat(listed[0]["created_at"]).tzinfo is not None


def test_commands_and_assets_make_the_same_version_and_model(built_root: PipelineRoot, tmp_path: Path) -> None:
    """Cut, shown, restored, trained and traced by commands; the assets then find the same tag, listings and model.

    The restored files are those of the view, the rows of the model those of the view's days around the cutoff.
    """
    root = built_root.copied(tmp_path / "root")
    cli, at = CommandLine(tmp_path), ("--root", str(root.folder), "--json")
    made = json.loads(cli.ok("version", "cut", *ACCEPTED, *at).out)
    assert made["outcome"] == "cut"
    assert made["tag"] == repository_of(root).git("tag", "--list", "data/*").strip()
    manifest = json.loads(cli.ok("version", "show", "latest", *at).out)["manifest"]
    assert manifest["tag"] == made["tag"]
    restored = json.loads(cli.ok("version", "checkout", "latest", "--to", tmp_path / "restored", *at).out)
    view = view_hashes(root, "date_partitions", "label_partitions", "stratified_partitions")
    assert file_hashes(tmp_path / "restored" / "data").items() >= view.items()
    assert restored["files"] == len(view)
    choices = ("--cutoff", str(day(4)))
    trained = json.loads(cli.ok("train", *choices, *at).out)
    tested = [row for row in view_rows(root, "date_partitions") if row["event_timestamp"].date() >= day(4)]
    assert (trained["version"], trained["rows"]["test"]) == (made["tag"], len(tested))
    assert json.loads((Path(trained["folder"]) / "manifest.json").read_text())["run_id"] == trained["run_id"]
    traced = json.loads(cli.ok("trace", trained["run_id"][:8], *at).out)["made_from"]
    assert (traced["name"], traced["children"][0]["name"]) == (trained["run_id"], made["tag"])

    with dg.DagsterInstance.ephemeral() as instance:
        version = _materialise(root, "cut_version", "dataset_versions", {"accept_unusable": WHY}, instance)
        config = {"cutoff": str(day(4))}
        model = _materialise(root, "train_model", "conversion_model", config, instance)
    assert (version["tag"], version["outcome"]) == (made["tag"], "unchanged")
    assert version["dagster/row_count"] == manifest_rows(manifest)
    assert version["date_partitions_md5"] == trained["dir_md5"]["date_partitions"]
    assert (model["run_id"], model["outcome"], model["version"]) == (trained["run_id"], "unchanged", made["tag"])
    with open_instance(root.settings) as history:
        by_commands = {asset: _shown(history, asset) for asset in ("dataset_versions", "conversion_model")}
    assert by_commands["dataset_versions"] == {**version, "outcome": "cut", "files_copied": len(made["copied"])}
    assert by_commands["conversion_model"] == {**model, "outcome": "trained"}
    assert trained["model_sha256"] in model["card"]
    assert model["plots"].startswith("![ROC and calibration](data:image/png;base64,")
    assert model.get("roc_auc") == trained["metrics"]["roc_auc"]["value"]


def manifest_rows(manifest: dict[str, Any]) -> int:
    """Return the rows of the first data set's files."""
    return sum(file["rows"] for each in manifest["datasets"][0]["partitions"] for file in each["files"])


def _shown(history: dg.DagsterInstance, asset: str) -> dict[str, Any]:
    """Return what the UI shows of an asset."""
    event = history.get_latest_materialization_event(dg.AssetKey(asset))
    assert event is not None
    assert event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def _materialise(
    root: PipelineRoot, job: str, asset: str, config: dict[str, Any], instance: dg.DagsterInstance
) -> dict[str, Any]:
    """Run a job as the UI does; returns what it shows of its asset."""
    run_config = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, "ops": {asset: {"config": config}}}
    result = root.definitions.resolve_job_def(job).execute_in_process(instance=instance, run_config=run_config)
    (materialised,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in materialised.metadata.items()}

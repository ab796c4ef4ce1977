"""Lineage on a root that was built through the real flow: both ways, to the landed line."""

from __future__ import annotations

import datetime as dt
import json
import random
from pathlib import Path

import pytest

from ml_data_platform.datasets.conversion_model import TrainedModel, TrainingConfig, train_model
from ml_data_platform.datasets.lineage import Lineage, Node
from ml_data_platform.datasets.pinned_data import pin_version
from ml_data_platform.errors import UnknownVersionError
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.integration.datasets.conftest import TwoVersions
from ml_data_platform_tests.pipeline_root import NOW, day
from ml_data_platform_tests.version_root import repository_of, view_rows


@pytest.fixture(scope="module")
def trained(two_versions: TwoVersions) -> TrainedModel:
    """A model of the second version."""
    root = two_versions.root
    data = pin_version(repository_of(root), root.platform.store, two_versions.second.manifest.tag, ("date_partitions",))
    config = TrainingConfig(day(4), trees=5, shared_users="allow")
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
    dry = json.loads(cli.ok("version", "cut", "--dry-run", "--to", str(day(2)), *root, "--json").out)
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

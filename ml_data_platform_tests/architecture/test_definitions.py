"""What Dagster loads: every asset complete, every rule a check, nothing that only fails in the UI."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import dagster as dg
import pytest
import yaml

from ml_data_platform.defs.antlr import antlr_notice
from ml_data_platform.defs.instance_file import instance_config
from ml_data_platform.defs.location import build_definitions
from ml_data_platform.events.planning import GATES, LAYERS, UPSTREAM
from ml_data_platform.settings_file import ENVIRONMENT_PREFIX
from ml_data_platform.validation.row_rules import EVENT_ROW_RULES, FEATURE_ROW_RULES
from ml_data_platform.validation.table_rules import PARTITION_RULES
from ml_data_platform_tests.pipeline_root import settings_for

DAILY = (
    "raw_events",
    "validated_events",
    "quarantined_events",
    "session_features",
    "session_summaries",
    "date_partitions",
    "label_partitions",
    "stratified_partitions",
)


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    """The code location of an empty root."""
    return build_definitions(settings_for(tmp_path_factory.mktemp("root")))


@pytest.fixture(scope="module")
def specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    """Asset name to what Dagster shows of it."""
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def test_the_assets_are_those_of_the_flow(specs: dict[str, dg.AssetSpec]) -> None:
    """Nothing is missing, nothing is left over."""
    assert set(specs) == {"landed_files", *DAILY, "dataset_versions", "conversion_model"}


@pytest.mark.parametrize("name", ["landed_files", *DAILY, "dataset_versions", "conversion_model"])
def test_every_asset_describes_itself(specs: dict[str, dg.AssetSpec], name: str) -> None:
    """Description by rows, owner, group and kinds: what a newcomer reads in the UI."""
    spec = specs[name]
    assert spec.description is not None
    assert re.search(r"\brows?\b|\brecord\b", spec.description.partition("\n")[0])
    assert re.search(r"Key(?: and\s+order)?: `", spec.description) or name not in DAILY
    assert spec.owners
    assert spec.group_name not in {None, "default"}
    assert spec.kinds


@pytest.mark.parametrize("name", DAILY)
def test_every_table_declares_its_columns(specs: dict[str, dg.AssetSpec], name: str) -> None:
    """A column schema, a code version and daily UTC partitions that end today."""
    spec = specs[name]
    columns = spec.metadata["dagster/column_schema"].columns
    assert len({column.name for column in columns}) == len(columns) > 3
    assert all(column.type for column in columns)
    assert spec.code_version
    assert isinstance(spec.partitions_def, dg.DailyPartitionsDefinition)
    assert spec.partitions_def.timezone == "UTC"
    assert spec.partitions_def.end_offset == 1


@pytest.mark.parametrize("name", ["session_features", "session_summaries", "label_partitions"])
def test_columns_of_features_are_described(specs: dict[str, dg.AssetSpec], name: str) -> None:
    """What a modeller uses has a sentence and a role per column."""
    columns = specs[name].metadata["dagster/column_schema"].columns
    assert [column.name for column in columns if not (column.description and column.tags.get("role"))] == []


def test_every_rule_is_one_partitioned_check(definitions: dg.Definitions) -> None:
    """Rules and checks are the same set, with the same severity; a check without partitions would read all days."""
    rules = {
        (rule.asset, rule.name): rule.blocking for rule in (*EVENT_ROW_RULES, *FEATURE_ROW_RULES, *PARTITION_RULES)
    }
    checks = {
        (spec.asset_key.to_user_string(), spec.name): spec
        for assets in definitions.resolve_asset_graph().assets_defs
        for spec in assets.check_specs
    }
    for name in ("files_are_readable", "contracts_are_readable", "landed_rows_are_usable"):
        assert checks.pop(("landed_files", name)).partitions_def is None
    assert {key: spec.blocking for key, spec in checks.items()} == rules
    assert [
        key for key, spec in checks.items() if not isinstance(spec.partitions_def, dg.DailyPartitionsDefinition)
    ] == []
    assert [key for key, spec in checks.items() if not spec.description] == []
    assert {asset for asset, _ in checks} == set(DAILY)


def test_dagster_and_the_planner_read_the_same_days(definitions: dg.Definitions) -> None:
    """The edges between partitions in Dagster are those that the planner computes dirty days from."""
    graph = definitions.resolve_asset_graph()
    day = "2026-03-10"
    for name, upstream in UPSTREAM.items():
        found = set()
        for parent in graph.get(dg.AssetKey(name)).parent_keys & {dg.AssetKey(each) for each in UPSTREAM}:
            mapping = graph.get_partition_mapping(dg.AssetKey(name), parent_asset_key=parent)
            daily, above = graph.get(dg.AssetKey(name)).partitions_def, graph.get(parent).partitions_def
            assert daily is not None
            keys = mapping.get_upstream_mapped_partitions_result_for_partitions(
                daily.subset_with_partition_keys([day]), daily, above
            ).partitions_subset.get_partition_keys()
            found |= {(parent.to_user_string(), int(key[-2:]) - 10) for key in keys}
        assert found == {*upstream, *([(GATES[name], 0)] if name in GATES else [])}


def test_layers_cover_the_flow_in_order() -> None:
    """Each asset is in one layer, after everything that it reads; other days only from the layers before."""
    layer_of = {asset: number for number, layer in enumerate(LAYERS) for asset in layer}
    assert sorted(layer_of) == sorted(UPSTREAM)
    for asset, upstream in UPSTREAM.items():
        for above, offset in upstream:
            assert layer_of[above] < layer_of[asset] or (layer_of[above] == layer_of[asset] and offset == 0)
    order = list(UPSTREAM)
    for asset, gate in GATES.items():
        assert layer_of[gate] == layer_of[asset]
        assert order.index(gate) < order.index(asset)


def test_jobs_and_sensors(definitions: dg.Definitions) -> None:
    """The names that the documentation uses; the sensors run without being switched on."""
    assert {job.name for job in definitions.resolve_all_job_defs()} >= {
        "ingest",
        "refresh_day",
        "rebuild",
        "cut_version",
    }
    sensors = {sensor.name: sensor.default_status for sensor in definitions.sensors or []}
    assert sensors == dict.fromkeys(
        ("landing_sensor", "pull_sensor", "late_data_sensor"), dg.DefaultSensorStatus.RUNNING
    )


def test_the_location_loads_without_warnings(tmp_path: Path) -> None:
    """A fresh process loads what workspace.yaml names, silently, and makes nothing on the way."""
    code = "import ml_data_platform.definitions as d; d.defs.resolve_all_asset_specs()"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    notice = antlr_notice(None) or ""
    assert done.returncode == 0, done.stderr
    assert done.stderr.replace(notice, "") == ""
    assert list(tmp_path.iterdir()) == []


def test_the_checkout_is_the_instance_of_the_default_root(checkout: Path) -> None:
    """`dagster dev` in the checkout and the command line keep one history: the same configuration, the same files."""
    with (checkout / "dagster.yaml").open(encoding="utf-8") as file:
        assert yaml.safe_load(file) == instance_config(".platform/dagster")


def test_workspace_and_dg_name_the_same_location(checkout: Path) -> None:
    """However the UI is started, its code location has one name, so that its history is one."""
    import tomllib

    (entry,) = yaml.safe_load((checkout / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    project = tomllib.loads((checkout / "dg.toml").read_text(encoding="utf-8"))["project"]
    assert entry["python_module"]["module_name"] == project["code_location_target_module"]
    assert entry["python_module"]["location_name"] == project["code_location_name"]


@pytest.mark.parametrize(("installed", "is_noticed"), [(None, False), ("4.9.3", True), ("4.13.2", False)])
def test_only_the_antlr_that_breaks_selections_is_noticed(installed: str | None, is_noticed: bool) -> None:
    """The notice names the one line that mends it."""
    notice = antlr_notice(installed)
    assert (notice is not None) == is_noticed
    assert notice is None or "pip install --no-deps antlr4-python3-runtime==4.13.2" in notice


def test_selections_as_text_work_here(definitions: dg.Definitions) -> None:
    """The lock file's antlr parses what is typed into the UI's search; antlr 4.9 raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        selection = dg.AssetSelection.from_string("raw_events+")
        found = selection.resolve(definitions.resolve_asset_graph())
    assert {key.to_user_string() for key in found} >= {"raw_events", "validated_events"}

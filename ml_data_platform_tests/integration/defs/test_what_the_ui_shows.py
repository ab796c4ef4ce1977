"""What a user reads in the UI is words and numbers, not JSON."""

from __future__ import annotations

import dagster as dg
import pytest

from ml_data_platform.defs.checks import check_results
from ml_data_platform.stages.state import TABLES
from ml_data_platform.validation.runner import check_metrics
from ml_data_platform.validation.suites import rules_for
from ml_data_platform_tests.pipeline_root import PipelineRoot, settings_for


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dg.AssetSpec]:
    """The specification of every asset, by name."""
    root = PipelineRoot(settings_for(tmp_path_factory.mktemp("shown") / "root"))
    return {spec.key.to_user_string(): spec for spec in root.definitions.resolve_all_asset_specs()}


@pytest.mark.parametrize("asset", TABLES)
def test_every_column_is_described(assets: dict[str, dg.AssetSpec], asset: str) -> None:
    """The schema of a table lists its columns as they are stored, each with its type and a sentence."""
    shown = assets[asset].metadata["dagster/column_schema"]

    assert [column.name for column in shown.columns] == TABLES[asset].columns.names
    for column in shown.columns:
        assert column.description is not None
        assert column.description.endswith("."), column
        assert column.type


def test_every_asset_is_described(assets: dict[str, dg.AssetSpec]) -> None:
    """The first line of a description says what a row is; owner, group and kinds are named."""
    assert set(assets) == {"landed_files", "dataset_versions", "conversion_model", *TABLES}
    for name, spec in assets.items():
        assert spec.description is not None
        assert spec.description.startswith(("One ", "The mature rows")), name
        assert spec.group_name in {"landing", "events", "features", "training"}
        assert spec.owners == ["team:ml-data-platform"]
        assert spec.kinds


def test_a_failed_check_shows_its_number_its_rule_and_its_examples() -> None:
    """The metric is a number, which the UI plots over the days; what never moves is text."""
    rules = [rule for rule in rules_for("raw_events") if rule.scope == "table"]
    metrics = {
        "unaccounted_rows": 3,
        "row_count_ratio_to_previous_7_days": None,
        "too_late_rows": 0,
        "reopening_share": None,
    }

    found = {result.check_name: result for result in check_results("raw_events", check_metrics(rules, metrics))}

    shown = found["rows_are_accounted_for"].metadata
    assert shown["observed_value"].value == 3.0
    assert isinstance(shown["tolerance"], dg.TextMetadataValue)
    assert shown["examples"].value == "none"
    assert str(shown["expectation"].value).startswith("ExpectColumnValuesToBeBetween(column='unaccounted_rows'")
    assert "observed_value" not in found["row_count_is_in_line_with_the_previous_7_days"].metadata

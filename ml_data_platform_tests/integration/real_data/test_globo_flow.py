"""Real clicks through the whole flow; ``make real-data`` does the same with all 192 files."""

from __future__ import annotations

import datetime as dt
import os

import dagster as dg
import pytest

from ml_data_platform_tests.globo_log import SOURCE, GloboLog, clicks_folder, hourly_files
from ml_data_platform_tests.globo_verification import (
    verify_counts,
    verify_landing,
    verify_sessions,
    verify_zero_purchases,
)
from ml_data_platform_tests.pipeline_root import PipelineRoot, settings_for

FOLDER = clicks_folder(os.environ)
HOURS = (0, 2, 4, 14, 16, 17, 20, 21, 26, 28, 33, 100)
DAYS = [dt.date(2017, 10, number) for number in (1, 2, 3)]
VOLUME = "row_count_is_in_line_with_the_previous_7_days"
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(
        not FOLDER.is_dir(),
        reason=f"the real clicks are not in {FOLDER}; EVENT_LOGS_FOLDER names another place",
    ),
]


@pytest.fixture(scope="module")
def log():
    """The chosen hours, as pandas reads them."""
    return GloboLog.read(hourly_files(FOLDER, HOURS))


@pytest.fixture(scope="module")
def instance():
    """The history of the one backfill."""
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture(scope="module")
def root(tmp_path_factory, instance):
    """A root into which the hours were landed, last one first, and whose first three days were built."""
    folder = tmp_path_factory.mktemp("globo") / "root"
    built = PipelineRoot(settings_for(folder, start_date=DAYS[0]))
    built.land(*hourly_files(FOLDER, reversed(HOURS)), source=SOURCE)
    report = built.backfill(DAYS, instance)
    assert report.is_successful, report
    return built


def test_every_file_is_recorded_with_its_rows(root, log):
    """Ledger and files agree on rows per file and per day, also for days that were not built."""
    verify_landing(log, root.platform.ledger.records())


def test_every_click_is_published_on_its_own_day(root, log):
    """A day gathers its clicks from all files, whatever hour they are named after."""
    verify_counts(log, root.folder, DAYS)


def test_features_are_those_of_the_definition(root, log):
    """200 sessions, with those over midnight, over 24 hours and with clicks of one instant, in every column."""
    sample = log.sample(200, seed=20171001)
    spans = log.spans.loc[sample]
    assert len(sample) >= 200
    assert min(spans["crosses_midnight"].sum(), spans["exceeds_24_hours"].sum(), spans["has_ties"].sum()) > 0
    verify_sessions(log, root.folder, DAYS, sample, root.platform.id_key.secret)


def test_a_log_without_purchases_is_trained_on_as_all_negative(root):
    """No stage takes the absence of a class for an error."""
    verify_zero_purchases(root.folder, DAYS)


def test_all_checks_pass_but_the_volume_warnings(root, instance):
    """Blocking checks are green; what warns is the volume of days of which only some hours were landed."""
    keys = [
        key for key in root.definitions.resolve_asset_graph().asset_check_keys if key.asset_key.path != ["landed_files"]
    ]
    found = instance.event_log_storage.get_asset_check_partition_info(keys)
    assert {info.partition_key for info in found} == {day.isoformat() for day in DAYS}
    assert len(found) == len(keys) * len(DAYS)
    failed = {info.check_key.name for info in found if info.latest_execution_status.value != "SUCCEEDED"}
    assert failed <= {VOLUME}


def test_a_second_backfill_finds_nothing_to_do(root, instance):
    """Every partition is built from what it should be built from."""
    report = root.backfill(DAYS, instance)
    assert (report.runs, report.built, report.is_successful) == (0, [], True)

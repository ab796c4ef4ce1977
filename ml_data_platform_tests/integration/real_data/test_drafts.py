"""Drafts from three real logs name the columns that people chose for the shipped contracts, and try well."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from ml_data_platform.events.contracts import SHIPPED_SOURCES, load_contracts, parse_contract
from ml_data_platform.events.drafting import write_draft
from ml_data_platform.events.inference import infer_contract
from ml_data_platform.landing.sampling import sample_file
from ml_data_platform.settings import Settings
from ml_data_platform.stages.source_check import check_source
from ml_data_platform_tests.real_logs import DESKDROP, GLOBO, SOFTSHOP, needs_real_logs

NOW = dt.datetime(2026, 6, 10, tzinfo=dt.UTC)
FILES = {"softshop": SOFTSHOP, "deskdrop": DESKDROP, "globo": GLOBO / "clicks_hour_000.csv.gz"}
pytestmark = [pytest.mark.real_data, needs_real_logs]


@pytest.mark.parametrize("source", FILES)
def test_a_draft_reads_a_real_log_as_its_contract_does(source: str, tmp_path: Path) -> None:
    """Format, columns, event time and version are the shipped contract's; every row has a day and none is refused."""
    sample = sample_file(FILES[source])
    draft = infer_contract(sample.profiles, source=source, form=sample.form.keys(), latest=NOW)
    drafted = parse_contract(write_draft(draft, origin="a real log"), file=f"{source}.yaml")
    shipped = load_contracts(SHIPPED_SOURCES)[source]
    (version,) = shipped.versions
    assert (drafted.format, drafted.csv, drafted.versions) == (shipped.format, shipped.csv, shipped.versions)
    assert drafted.fields(version) == shipped.fields(version)
    assert drafted.time_columns(version) == shipped.time_columns(version)
    assert (drafted.event_time.epoch_unit, drafted.event_time.format) == (
        shipped.event_time.epoch_unit,
        shipped.event_time.format,
    )
    settings = Settings(root=tmp_path / "root", landing=tmp_path / "root/landing", start_date=dt.date(1997, 1, 1))
    tried = drafted.model_copy(update={"event_type": shipped.event_type})
    report, _ = check_source(FILES[source], tried, settings, now=NOW)
    assert (report.undated, report.rules, report.is_good) == ({}, {}, True)
    assert sum(day.duplicates for day in report.days.values()) == {"softshop": 0, "deskdrop": 11, "globo": 0}[source]

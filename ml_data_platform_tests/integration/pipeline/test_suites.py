"""All rules as Great Expectations' own suites, run as its checkpoint, with its pages."""

from __future__ import annotations

import json
import re

import pytest

from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.integration.pipeline.test_contract_expectations import (
    BAD,
    RULES,
    SPOILT,
    UNIQUE,
    Root,
    broken_by,
    rows_of,
)
from ml_data_platform_tests.pipeline_root import day


@pytest.fixture
def place(tmp_path):
    """Give a root without contracts."""
    return Root(tmp_path)


def suites_of(place, *more):
    """Run the command; returns its answer."""
    root = place.folder / "root"
    return json.loads(CommandLine(place.folder).ok("suites", "--out", "out", "--root", root, "--json", *more).out)


def test_pages_tell_what_the_platform_tells(place):
    """Counts of the pages are those of the day's checks and of plain Python; a broken rule is named on its page."""
    place.say((RULES + UNIQUE.replace("column: order", "column: code")).replace("tolerance: 1", "severity: warn"))
    rows = rows_of([*SPOILT, BAD])
    place.land(rows)
    assert place.root.backfill([day(1)]).is_successful
    answer = suites_of(place, "--date", str(day(1)))
    expected = [name for row in rows for name in broken_by(row)]
    found = answer["run"]["s_expectations"]
    assert found == {name: expected.count(name) for name in found}
    assert len(found) == 6
    checks = place.checks()
    table = {line["rule"]: line["broken"] for line in checks["contract_expectations_that_warn_hold"].table}
    assert {**found, **answer["run"]["s_uniqueness"]} == table
    for suite in ("validated_events_rows", "validated_events_tables"):
        assert answer["run"][suite] == {name: checks[name].unexpected for name in answer["run"][suite]}
    assert set(answer["failed"]["s_expectations"]) == set(found)
    assert answer["not_run"] == {}
    pages = (place.folder / "out" / "gx" / "uncommitted" / "data_docs").rglob("*.html")
    texts = {path.name: path.read_text(encoding="utf-8") for path in pages}
    assert answer["index"].endswith("index.html")
    assert "s_expectations" in texts["index.html"]
    assert any("twelve" in text for text in texts.values()) or "Failed" in "".join(texts.values())


def test_suites_are_read_back_by_great_expectations(place):
    """Without a day the suites are written and nothing is run; the package reads each, with all rules and tolerances."""
    place.say(
        "  kinds_are_ours: {expectation: ExpectColumnValuesToBeInSet, column: kind, value_set: [view], tolerance: 0.25}"
    )
    place.land(rows_of([{}]))
    answer = suites_of(place)
    assert (answer["index"], answer["run"]) == (None, {})
    import great_expectations as gx

    context = gx.get_context(mode="file", project_root_dir=place.folder / "out")
    assert context.variables.analytics_enabled is False
    by_name = {suite.name: suite for suite in context.suites.all()}
    assert sorted(by_name) == sorted(answer["suites"])
    (kinds,) = by_name["s_expectations"].expectations
    assert (kinds.mostly, kinds.value_set, kinds.column) == (0.75, ["view"], "kind")
    written = (place.folder / "out" / "gx" / "expectations" / "s_expectations.json").read_text()
    assert re.search(r'"rule":\s*"kinds_are_ours"', written)

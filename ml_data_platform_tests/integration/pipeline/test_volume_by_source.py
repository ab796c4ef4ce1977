"""A day's published volume is compared source by source."""

from __future__ import annotations

from pathlib import Path

from ml_data_platform.stages.flow import build
from ml_data_platform.stages.source_history import published_rows
from ml_data_platform.stages.state import current_records
from ml_data_platform_tests.pipeline_root import SHOP, PipelineRoot, day, settings_for, shop_lines

CONTRACT = "source: kiosk\nformat: jsonl\nschema_version: 2\n"
CHECK = "row_count_is_in_line_with_the_previous_7_days"


def test_a_small_source_that_loses_its_rows_does_not_hide_behind_a_big_one(tmp_path: Path) -> None:
    """Of the kiosk's 20 events a day 2 are left beside 400 of the shop: the check names it; all together are as ever."""
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "kiosk.yaml").write_text(CONTRACT, encoding="utf-8")
    root = PipelineRoot(settings_for(tmp_path / "root", sources=tmp_path / "sources"))
    for number in (1, 2, 3):
        root.drop(f"{number}.jsonl", shop_lines(day(number), 400))
        if number > 1:
            left = 20 if number == 2 else 2
            root.drop(f"{number}.jsonl", shop_lines(day(number), left, name="k"), source="kiosk")
    assert root.judge([day(1), day(2), day(3)]).is_successful
    platform, records = root.platform, current_records(root.platform)
    with platform.store.scratch() as scratch:
        known = published_rows(platform, records, day(3), scratch)
        result = build(
            platform,
            "validated_events",
            day(3),
            {"raw_events": platform.store.ref("raw_events", [day(3)])},
            scratch,
        )
    assert known["kiosk"] == {day(2): 20}
    assert known[SHOP] == {day(1): 400, day(2): 400}
    (check,) = [each for each in result.checks if each.asset == "validated_events" and each.name == CHECK]
    assert not check.passed
    assert not check.blocking
    assert check.value == 0.1
    assert check.examples[0] == "kiosk: 2 rows, 0.1 times the mean"

"""Event types that vanish, or fall under the default, are told the day it happens."""

from __future__ import annotations

import json

import pytest

from ml_data_platform.defs.field_checks import unusual_fields_now
from ml_data_platform.defs.history import check_counts
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, settings_for, shop_lines

CHECK = "validated_events: fields_are_filled_as_on_the_days_before"
MAPPING = "event_type: {mapping: {view: page_view, cart: add_to_cart, buy: purchase}, default: other}"
COLUMNS = ("event_id", "user_id", "session_uuid", "event_type", "event_timestamp", "sequence")
FORMATS = {
    "lines": "format: jsonl",
    "cells": f"format: csv\ncolumns: {{{', '.join(f'{name}: {name}' for name in COLUMNS)}}}",
    "masked": "format: jsonl\npii: {columns: {page: mask}, unnamed: keep}",
}
GONE = "event type purchase is 0 of {} rows, before 18 of 180"


def root_with(folder, source, last):
    """Return a root with four days of 60 rows, 6 of them purchases; the types of the last are changed."""
    (folder / "contracts").mkdir()
    (folder / "contracts" / "s.yaml").write_text(f"source: s\nschema_version: 2\n{FORMATS[source]}\n{MAPPING}\n")
    root = PipelineRoot(settings_for(folder / "root", sources=folder / "contracts"))
    for number in (1, 2, 3, 4):
        lines = []
        for at, line in enumerate(shop_lines(day(number), 60, name="s")):
            kind = "buy" if at % 10 == 0 else "cart" if at % 10 == 1 else "view"
            kind = last(kind) if number == 4 else kind
            line.pop("purchase_amount_usd", None)
            if kind is not None:
                lines.append({**line, "event_type": kind})
        path = folder / f"{number}.{source}"
        if source == "cells":
            rows = [COLUMNS, *([line[name] for name in COLUMNS] for line in lines)]
            path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
        else:
            path.write_text("".join(json.dumps({**line, "page": "/"}) + "\n" for line in lines))
        (landed,) = root.land(path, source="s")
        assert landed.outcome == "landed", landed.reason
    return root


@pytest.mark.parametrize("source", sorted(FORMATS))
def test_a_renamed_event_type_is_told_the_day_it_happens(tmp_path, instance, source):
    """The day is published with a warning that names the lost type and the new text."""
    root = root_with(tmp_path, source, {"buy": "order_completed", "cart": "cart", "view": "view"}.get)
    assert root.backfill(instance=instance).is_successful
    found = {of: lines for of, lines in unusual_fields_now(root.platform).items() if lines}
    assert found == {day(4): (f"s: {GONE.format(60)}; new under the default: order_completed in 6",)}
    assert {of for of, each in check_counts(instance).items() if CHECK in each.warned} == {day(4).isoformat()}
    assert len(root.rows("validated_events", day(4))) == 60


def test_all_types_in_capitals_are_told(tmp_path):
    """Each type is gone, and all rows fall under the default."""
    root = root_with(tmp_path, "lines", str.upper)
    assert root.judge().is_successful
    hint = "; new under the default: VIEW in 48, BUY in 6, CART in 6"
    assert unusual_fields_now(root.platform)[day(4)] == (
        f"s: event type add_to_cart is 0 of 60 rows, before 18 of 180{hint}",
        f"s: event type page_view is 0 of 60 rows, before 144 of 180{hint}",
        f"s: {GONE.format(60)}{hint}",
        f"s: 60 of 60 rows fall under the default event type, before 0 of 180{hint}",
    )


def test_missing_rows_of_a_type_are_told(tmp_path):
    """Nothing new stands in their place; three days with as many each are proof enough."""
    root = root_with(tmp_path, "lines", lambda kind: None if kind == "buy" else kind)
    assert root.judge().is_successful
    assert unusual_fields_now(root.platform)[day(4)] == (f"s: {GONE.format(54)}",)


@pytest.mark.parametrize("source", sorted(FORMATS))
@pytest.mark.parametrize("written", ["{}", "{} ", "  {}", "{}\u00a0"])
def test_blanks_around_a_type_are_none_of_it(tmp_path, source, written):
    """They are read as the types that they are, and nothing is told."""
    root = root_with(tmp_path, source, written.format)
    assert root.judge().is_successful
    kinds = [row["event_type"] for row in root.rows("validated_events", day(4))]
    assert {kind: kinds.count(kind) for kind in kinds} == {"purchase": 6, "add_to_cart": 6, "page_view": 48}
    assert not any(unusual_fields_now(root.platform).values())

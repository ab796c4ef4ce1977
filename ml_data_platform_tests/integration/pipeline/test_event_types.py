"""Event types that vanish, or fall under the default, are told the day it happens.

When a difference is worth a line, ``unit/events/test_field_presence.py`` shows; here the lines of whole files are read.
"""

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
WRITTEN = ["{}", "{} ", "  {}", "{}\u00a0"]
TODAY = {
    "renamed": lambda kind, _: "order_completed" if kind == "buy" else kind,
    "capitals": lambda kind, _: kind.upper(),
    "missing": lambda kind, _: None if kind == "buy" else kind,
    "blanks": lambda kind, at: WRITTEN[(at + at // 10) % 4].format(kind),
}
"""What becomes of the types on the last day."""
GONE = "event type purchase is 0 of {} rows, before 18 of 180"
LAST = day(4)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A source for each format and change, with four days of 60 rows, 6 of them purchases; all are judged."""
    folder = tmp_path_factory.mktemp("types")
    (folder / "contracts").mkdir()
    root = PipelineRoot(settings_for(folder / "root", sources=folder / "contracts"))
    for form, text in FORMATS.items():
        for change in TODAY if form == "lines" else ("renamed", "blanks"):
            source = f"{form}_{change}"
            head = f"source: {source}\nschema_version: 2\n{text}\n{MAPPING}\n"
            (folder / "contracts" / f"{source}.yaml").write_text(head)
            (folder / source).write_text(written(form, list(lines_of(source, TODAY[change]))))
    for path in folder.glob("*_*"):
        (landed,) = root.land(path, source=path.name)
        assert landed.outcome == "landed", landed.reason
    assert root.judge().is_successful
    return root


def lines_of(source, last):
    """Return four days of a source of which the last has changed types."""
    for number in (1, 2, 3, 4):
        for at, line in enumerate(shop_lines(day(number), 60, name=source)):
            kind = "buy" if at % 10 == 0 else "cart" if at % 10 == 1 else "view"
            kind = last(kind, at) if number == 4 else kind
            line.pop("purchase_amount_usd", None)
            if kind is not None:
                yield {**line, "event_type": kind}


def written(form, lines):
    """Return a file of the lines."""
    if form == "cells":
        rows = [COLUMNS, *([line[name] for name in COLUMNS] for line in lines)]
        return "".join(",".join(map(str, row)) + "\n" for row in rows)
    return "".join(json.dumps({**line, "page": "/"}) + "\n" for line in lines)


def test_changed_event_types_are_told_the_day_it_happens(root):
    """A lost type with the new text, types in capitals that all are gone, and missing rows where nothing is new.

    Blanks around a type are no news.
    """
    hint = "; new under the default: VIEW in 48, BUY in 6, CART in 6"
    capitals = (
        f"event type add_to_cart is 0 of 60 rows, before 18 of 180{hint}",
        f"event type page_view is 0 of 60 rows, before 144 of 180{hint}",
        f"{GONE.format(60)}{hint}",
        f"60 of 60 rows fall under the default event type, before 0 of 180{hint}",
    )
    assert {of: lines for of, lines in unusual_fields_now(root.platform).items() if lines} == {
        LAST: (
            f"cells_renamed: {GONE.format(60)}; new under the default: order_completed in 6",
            *(f"lines_capitals: {line}" for line in capitals),
            f"lines_missing: {GONE.format(54)}",
            f"lines_renamed: {GONE.format(60)}; new under the default: order_completed in 6",
            f"masked_renamed: {GONE.format(60)}; new under the default: order_completed in 6",
        )
    }


def test_such_a_day_is_published_with_a_warning(root, instance):
    """All rows are there, and the check of the run is a warning."""
    assert root.run(LAST, ["raw_events", "quarantined_events", "validated_events"], instance).success
    assert {of for of, each in check_counts(instance).items() if CHECK in each.warned} == {LAST.isoformat()}
    assert len(root.rows("validated_events", LAST)) == 7 * 60 + 54


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_blanks_around_a_type_are_none_of_it(root, form):
    """They are read as the types that they are."""
    rows = [row for row in root.rows("validated_events", LAST) if row["source"] == f"{form}_blanks"]
    kinds = [row["event_type"] for row in rows]
    assert {kind: kinds.count(kind) for kind in kinds} == {"purchase": 6, "add_to_cart": 6, "page_view": 48}

"""A field that a producer stops to fill is told the day it happens; what a contract declares is held.

When a difference is worth a line, ``unit/events/test_field_presence.py`` shows; here the lines of whole files are read.
"""

from __future__ import annotations

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq

from ml_data_platform.defs.field_checks import KEY, report_unusual_fields, unusual_fields_now
from ml_data_platform.defs.history import check_counts
from ml_data_platform.events.contracts import parse_contract
from ml_data_platform.events.planning import LAYERS
from ml_data_platform.stages.stored_checks import stored_checks_of_days
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, settings_for, shop_lines

CHECK = "validated_events: fields_are_filled_as_on_the_days_before"
COLUMNS = ("event_id", "user_id", "session_uuid", "event_type", "event_timestamp", "sequence")
JUDGED = ("raw_events", "quarantined_events", "validated_events")
FORMATS = {
    "lines": "format: jsonl",
    "cells": f"format: csv\ncolumns: {{{', '.join(f'{name}: {name}' for name in COLUMNS)}}}",
    "typed": "format: parquet",
    "masked": "format: jsonl\npii: {columns: {page: mask}, unnamed: keep}",
}
CHANGES = {
    "as_it_was": (lambda line: {**line, "extra": 1}, None),
    "blanks": (
        lambda line: {**line, "page": "" if line["sequence"] % 2 else " "},
        "page is filled in 0 of 40 rows, before in 40 of 40",
    ),
    "gaps": (
        lambda line: {**line, "page": None if line["sequence"] % 2 else "/"},
        "page is filled in 20 of 40 rows, before in 40 of 40",
    ),
    "nested": (
        lambda line: {**line, "page": {"path": line["page"]}},
        "page is nested in 40 of 40 values, before text in 40 of 40",
    ),
    "one_gap": (lambda line: {**line, "page": None if line["sequence"] == 7 else "/"}, None),
    "quoted": (
        lambda line: {**line, "price": str(line["price"])},
        "price is number as text in 40 of 40 values, before number in 40 of 40",
    ),
    "texts": (
        lambda line: {**line, "price": f"about {line['price']}"},
        "price is text in 40 of 40 values, before number in 40 of 40",
    ),
}
"""Source of lines to what it changes on its second day, and what is said of that; none is no news."""


def root_of(folder, contracts=FORMATS, **settings):
    """Return a root with contracts, nothing landed."""
    (folder / "contracts").mkdir()
    for source, text in contracts.items():
        (folder / "contracts" / f"{source}.yaml").write_text(f"source: {source}\nschema_version: 2\n{text}\n")
    return PipelineRoot(settings_for(folder / "root", sources=folder / "contracts", **settings))


def drop(root, source, number, changed=lambda line: line, count=40):
    """Land a day of a source, each row with a page and a price, as a producer's format writes them."""
    lines = [
        changed({**line, "page": f"/{at % 7}", "price": at + 0.5, "client_version": "1.2"})
        for at, line in enumerate(shop_lines(day(number), count, name=source))
    ]
    for line in lines:
        line.pop("purchase_amount_usd", None)
    path = root.settings.root.parent / f"{source}-{number}-{len(list(root.settings.root.parent.iterdir()))}"
    form = FORMATS.get(source, "format: jsonl").partition("\n")[0].removeprefix("format: ")
    if form == "jsonl":
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(lines), path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(lines[0]))
            writer.writeheader()
            writer.writerows(lines)
    (landed,) = root.land(path, source=source)
    assert landed.outcome == "landed", landed.reason


def renamed(line):
    """Write the price and the client version, which a contract of lines reads unasked, under other names."""
    return {
        {"price": "Price_USD", "client_version": "clientVersion"}.get(key, key): value for key, value in line.items()
    }


def warned(root, instance):
    """Return the days on which the check warned last, as Dagster has it."""
    return {of for of, counts in check_counts(instance).items() if CHECK in counts.warned}


def test_a_changed_field_is_told_the_day_it_happens(tmp_path):
    """Renamed, in every format, masked or not, it is told with its new name; of another kind, blank or half gone as well.

    A new field and a single gap are no news.
    """
    root = root_of(tmp_path, FORMATS | dict.fromkeys(CHANGES, "format: jsonl"))
    for source in FORMATS:
        drop(root, source, 1)
        drop(root, source, 2, renamed)
    for source, (changed, _) in CHANGES.items():
        drop(root, source, 1)
        drop(root, source, 2, changed)
    assert root.judge([day(1), day(2)]).is_successful
    was = "is filled in 0 of 40 rows, before in 40 of 40"
    expected = {
        source: [
            f"{source}: client_version {was}; clientVersion is new, in 40: was it renamed?",
            f"{source}: price {was}; Price_USD is new, in 40: was it renamed?",
        ]
        for source in FORMATS
    } | {source: [f"{source}: {said}"] for source, (_, said) in CHANGES.items() if said}
    assert unusual_fields_now(root.platform) == {
        day(1): (),
        day(2): tuple(line for source in sorted(expected) for line in expected[source]),
    }
    assert len(root.rows("validated_events", day(2))) == 40 * len(FORMATS | CHANGES)


def test_the_warning_follows_the_days_before_whatever_is_built_when(tmp_path, instance):
    """Built before the day it is compared with, a day is told afterwards; tables and their inputs are the same."""
    back = root_of(tmp_path, {"lines": "format: jsonl"})
    drop(back, "lines", 1)
    drop(back, "lines", 2, renamed)
    forth = back.copied(tmp_path / "forth")
    assert forth.judge([day(1)]).is_successful
    assert forth.run(day(2), JUDGED, instance).success
    assert warned(forth, instance) == {day(2).isoformat()}
    assert back.run(day(2), JUDGED, instance).success
    assert warned(back, instance) == set()
    assert back.run(day(1), JUDGED, instance).success
    assert set(unusual_fields_now(back.platform)[day(2)]) == set(unusual_fields_now(forth.platform)[day(2)]) != set()
    # The status counts from what is so now; Dagster is told once.
    now = {KEY: {of.isoformat(): not lines for of, lines in unusual_fields_now(back.platform).items()}}
    assert CHECK in check_counts(instance, now)[day(2).isoformat()].warned
    assert CHECK not in check_counts(instance)[day(2).isoformat()].warned
    assert report_unusual_fields(instance, back.platform) == [day(2)]
    assert report_unusual_fields(instance, back.platform) == []
    assert warned(back, instance) == {day(2).isoformat()}
    assert forth.contents() == back.contents()
    inputs = [{key: set(head.inputs) for key, head in root.heads().items()} for root in (forth, back)]
    assert inputs[0] == inputs[1]

    # Rows of the day before under the new name, more than those under the old one: the warning goes.
    for at in range(4):
        drop(back, "lines", 1, lambda line, at=at: renamed({**line, "event_id": f"{at}-{line['event_id']}"}), count=120)
    assert back.run(day(1), JUDGED, instance).success
    assert unusual_fields_now(back.platform)[day(2)] == ()
    assert report_unusual_fields(instance, back.platform) == [day(2)]
    assert warned(back, instance) == set()


def test_a_declared_share_refuses_the_day_that_lacks_it(tmp_path):
    """By landed name or by field; of that source and day only, and what has the share is published.

    Of a day of two rows no share can be told: it is published, and told as unusual.
    """
    declared = "filled: {price: 0.95, client_version: 0.5}"
    root = root_of(tmp_path, {"lines": f"format: jsonl\n{declared}", "typed": "format: parquet"})
    drop(root, "lines", 1, lambda line: {**line, "price": None if line["sequence"] in {1, 2, 3} else 1})
    drop(root, "lines", 2, lambda line: {**line, "price": None if line["sequence"] in {1, 2} else 1})
    drop(root, "lines", 3, lambda line: {**line, "client_version": None})
    drop(root, "typed", 4, lambda line: {**line, "price": None, "client_version": None})
    drop(root, "lines", 5, lambda line: {**line, "price": None}, count=2)
    report = root.judge([day(number) for number in range(1, 6)])
    assert {each.day for each in report.failed if each.is_refused} == {day(1), day(3)}
    stored = stored_checks_of_days(root.platform)["validated_events"]
    said = {number: stored[day(number).isoformat()].of("declared_fields_are_filled") for number in range(1, 6)}
    assert {number: each.passed for number, each in said.items()} == {1: False, 2: True, 3: False, 4: True, 5: True}
    assert said[1].blocking
    assert said[1].examples == ("lines: price is filled in 37 of 40 rows, declared 0.95",)
    assert said[3].examples == ("lines: client_version is filled in 0 of 40 rows, declared 0.5",)
    assert "lines: price is filled in 0 of 2 rows, declared 0.95" in unusual_fields_now(root.platform)[day(5)]
    assert not stored[day(5).isoformat()].of("fields_are_filled_as_on_the_days_before").passed


def test_the_status_tells_the_field(tmp_path):
    """In words and in JSON, beside the name of the check."""
    cli = CommandLine(tmp_path)
    cli.ok("init")
    (tmp_path / ".platform" / "sources").mkdir(exist_ok=True)
    (tmp_path / ".platform" / "sources" / "s.yaml").write_text("source: s\nschema_version: 2\nformat: jsonl\n")
    for number in (1, 2):
        lines = [{**line, "page" if number == 1 else "Page": "/"} for line in shop_lines(day(number), 20)]
        (tmp_path / f"{number}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        cli.ok("land", tmp_path / f"{number}.jsonl", "--source", "s", "--historical")
    cli.build(days=[day(1), day(2)], layers=LAYERS[:1])
    (told,) = [each for each in json.loads(cli.ok("status", "--json").out)["days"] if each["unusual_fields"]]
    line = "s: page is filled in 0 of 20 rows, before in 20 of 20; Page is new, in 20: was it renamed?"
    assert (told["day"], told["unusual_fields"]) == (day(2).isoformat(), [line])
    assert CHECK in told["checks"]["warned"]
    assert f"unusual field {day(2)}: {line}" in cli.ok("status").out


def test_what_is_declared_is_part_of_what_a_contract_says():
    """Another share builds the days again, and none leaves the hash as it was before there was the key."""
    text = "source: s\nformat: jsonl\nschema_version: 2\n"
    plain, empty, low, high = (
        parse_contract(text + more, file="s.yaml")
        for more in ("", "filled: {}", "filled: {price: 0.9}", "filled: {price: 0.95}")
    )
    assert plain.content_hash == empty.content_hash
    assert len({plain.content_hash, low.content_hash, high.content_hash}) == 3

"""A field that a producer stops to fill is told the day it happens; what a contract declares is held."""

from __future__ import annotations

import csv
import json

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_data_platform.defs.field_checks import KEY, report_unusual_fields, unusual_fields_now
from ml_data_platform.defs.history import check_counts
from ml_data_platform.events.contracts import parse_contract
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, settings_for, shop_lines

CHECK = "validated_events: fields_are_filled_as_on_the_days_before"
COLUMNS = ("event_id", "user_id", "session_uuid", "event_type", "event_timestamp", "sequence")
FORMATS = {
    "lines": "format: jsonl",
    "cells": f"format: csv\ncolumns: {{{', '.join(f'{name}: {name}' for name in COLUMNS)}}}",
    "typed": "format: parquet",
    "masked": "format: jsonl\npii: {columns: {page: mask}, unnamed: keep}",
}


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
    form = FORMATS[source].partition("\n")[0].removeprefix("format: ")
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


@pytest.mark.parametrize("source", sorted(FORMATS))
def test_a_renamed_field_is_told_the_day_it_happens(tmp_path, instance, source):
    """Mapped or not, in every format, masked or not: the day is published with a warning that names old and new."""
    root = root_of(tmp_path)
    for number in (1, 2, 3):
        drop(root, source, number, renamed if number == 3 else lambda line: line)
    assert root.backfill(instance=instance).is_successful
    assert warned(root, instance) == {day(3).isoformat()}
    found = unusual_fields_now(root.platform)
    assert {of for of, lines in found.items() if lines} == {day(3)}
    assert found[day(3)] == (
        f"{source}: client_version is filled in 0 of 40 rows, before in 80 of 80; clientVersion is new, in 40: was it renamed?",
        f"{source}: price is filled in 0 of 40 rows, before in 80 of 80; Price_USD is new, in 40: was it renamed?",
    )
    assert len(root.rows("validated_events", day(3))) == 40


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            lambda line: {**line, "price": f"about {line['price']}"},
            "price is text in 40 of 40 values, before number in 40 of 40",
        ),
        (
            lambda line: {**line, "price": str(line["price"])},
            "price is number as text in 40 of 40 values, before number in 40 of 40",
        ),
        (
            lambda line: {**line, "page": {"path": line["page"]}},
            "page is nested in 40 of 40 values, before text in 40 of 40",
        ),
        (
            lambda line: {**line, "page": "" if line["sequence"] % 2 else " "},
            "page is filled in 0 of 40 rows, before in 40 of 40",
        ),
        (
            lambda line: {**line, "page": None if line["sequence"] % 2 else "/"},
            "page is filled in 20 of 40 rows, before in 40 of 40",
        ),
        (lambda line: {**line, "extra": 1}, None),
        (lambda line: {**line, "page": None if line["sequence"] == 7 else "/"}, None),
    ],
)
def test_what_changes_in_a_field_is_told(tmp_path, changed, said):
    """Another kind of values, blanks, half of the values gone; a new field and a single gap are no news."""
    root = root_of(tmp_path)
    drop(root, "lines", 1)
    drop(root, "lines", 2, changed)
    assert root.judge().is_successful
    assert unusual_fields_now(root.platform)[day(2)] == ((f"lines: {said}",) if said else ())


def test_the_warning_follows_the_days_before_whatever_is_built_when(tmp_path, instance):
    """Built before the day it is compared with, a day is told afterwards; tables and their inputs are the same."""
    back = root_of(tmp_path)
    drop(back, "lines", 1)
    drop(back, "lines", 2, renamed)
    forth = back.copied(tmp_path / "forth")
    forth.backfill()
    back.backfill([day(2)], instance)
    assert warned(back, instance) == set()
    back.backfill([day(1)], instance)
    back.backfill(None, instance)
    assert set(unusual_fields_now(back.platform)[day(2)]) == set(unusual_fields_now(forth.platform)[day(2)]) != set()
    # The status counts from what is so now; Dagster is told once.
    now = {KEY: {of.isoformat(): not lines for of, lines in unusual_fields_now(back.platform).items()}}
    assert CHECK in check_counts(instance, now)[day(2).isoformat()].warned
    assert CHECK not in check_counts(instance)[day(2).isoformat()].warned
    assert report_unusual_fields(instance, back.platform) == [day(2)]
    assert report_unusual_fields(instance, back.platform) == []
    assert warned(back, instance) == {day(2).isoformat()}
    assert forth.contents() == back.contents()
    inputs = [{key: head.inputs for key, head in root.heads().items()} for root in (forth, back)]
    keys = [{asset: set(found) for asset, found in each.items()} for each in inputs]
    assert keys[0] == keys[1]

    # Rows of the day before under the new name, more than those under the old one: the warning goes.
    for at in range(4):
        drop(back, "lines", 1, lambda line, at=at: renamed({**line, "event_id": f"{at}-{line['event_id']}"}), count=120)
    back.backfill(None, instance)
    assert unusual_fields_now(back.platform)[day(2)] == ()
    assert report_unusual_fields(instance, back.platform) == [day(2)]
    assert warned(back, instance) == set()


def test_a_declared_share_refuses_the_day_that_lacks_it(tmp_path, instance):
    """By landed name or by field; of that source and day only, and what has the share is published."""
    declared = "filled: {price: 0.95, client_version: 0.5}"
    root = root_of(tmp_path, {"lines": f"format: jsonl\n{declared}", "typed": "format: parquet"})
    for number in (1, 5):
        drop(
            root,
            "lines",
            number,
            (lambda line: {**line, "price": None if line["sequence"] in {1, 2, 3} else 1}) if number == 5 else dict,
        )
    drop(root, "lines", 9, lambda line: {**line, "price": None if line["sequence"] in {1, 2} else 1})
    drop(root, "lines", 13, lambda line: {**line, "client_version": None})
    drop(root, "typed", 17, lambda line: {**line, "price": None, "client_version": None})
    report = root.backfill(instance=instance)
    assert {each.day for each in report.failed if each.is_refused} == {day(5), day(13)}
    counts = check_counts(instance)
    assert counts[day(5).isoformat()].failed == ["validated_events: declared_fields_are_filled"]
    record = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey("validated_events"), "declared_fields_are_filled"), limit=20
    )
    texts = [
        str(each.event.dagster_event.asset_check_evaluation_data.metadata["examples"].value)
        for each in record
        if each.event
    ]
    assert any("lines: price is filled in 37 of 40 rows, declared 0.95" in text for text in texts)
    assert any("lines: client_version is filled in 0 of 40 rows, declared 0.5" in text for text in texts)


def test_a_row_or_two_refuse_no_day_but_are_told(tmp_path, instance):
    """Of a day of two rows no share can be told: it is published with a warning."""
    root = root_of(tmp_path, {"lines": "format: jsonl\nfilled: {price: 0.95}"})
    drop(root, "lines", 1, lambda line: {**line, "price": None}, count=2)
    assert root.backfill(instance=instance).is_successful
    assert warned(root, instance) == {day(1).isoformat()}
    assert unusual_fields_now(root.platform)[day(1)] == ("lines: price is filled in 0 of 2 rows, declared 0.95",)


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
    cli.ok("backfill")
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

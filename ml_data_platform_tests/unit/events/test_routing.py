"""Rows are dated by their event time, or told apart by why they have none."""

from __future__ import annotations

import datetime as dt

import pytest

from ml_data_platform.errors import SettingsError
from ml_data_platform.events.parsing import UNDATED_REASONS, routing_query, unknown_columns_query
from ml_data_platform.events.registry_file import SHIPPED_REGISTRY, extend_registry

INFERRED = "source: shop\nformat: jsonl"
MILLIS = 1_767_323_045_678  # 2026-01-02T03:04:05.678Z
INSTANT = dt.datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("row", "version", "reason"),
    [
        ({"timestamp": "2026-01-02T03:04:05.678Z"}, 1, None),
        ({"timestamp": "2026-01-02T05:04:05.678+02:00", "client_version": "1"}, 1, None),
        ({"event_timestamp": MILLIS}, 2, None),
        ({"event_timestamp": str(MILLIS), "timestamp": "ignored"}, 2, None),
        ({"session_uuid": "s", "event_timestamp": MILLIS}, 2, None),
        ({"session_uuid": None, "timestamp": "2026-01-02T03:04:05Z"}, 2, "event_time_missing"),
        ({"event_timestamp": None, "timestamp": "2026-01-02T03:04:05Z"}, 2, "event_time_missing"),
        ({}, 1, "event_time_missing"),
        ({"timestamp": " \t"}, 1, "event_time_missing"),
        ({"timestamp": None}, 1, "event_time_missing"),
        ({"timestamp": "2026-02-30T00:00:00Z"}, 1, "event_time_unreadable"),
        ({"timestamp": MILLIS}, 1, "event_time_unreadable"),
        ({"timestamp": {"at": "2026-01-02T03:04:05Z"}}, 1, "event_time_unreadable"),
        ({"event_timestamp": "2026-01-02T03:04:05Z"}, 2, "event_time_unreadable"),
        ({"event_timestamp": float(MILLIS)}, 2, None),
        ({"event_timestamp": 10**19}, 2, "event_time_unreadable"),
        ({"event_timestamp": True}, 2, "event_time_unreadable"),
        ('{"event_timestamp": NaN}', 2, "event_time_unreadable"),
        ({"timestamp": "2025-12-31T23:59:59.999999Z"}, 1, "event_time_before_start_date"),
        ({"timestamp": "2026-01-01T00:00:00+00:01"}, 1, "event_time_before_start_date"),
        ({"event_timestamp": 0}, 2, "event_time_before_start_date"),
        ({"timestamp": "2026-12-31T00:00:00.000001Z"}, 1, "event_time_in_the_future"),
        ({"event_timestamp": MILLIS * 1000}, 2, "event_time_in_the_future"),
    ],
)
def test_rows_are_dated_or_told_why_not(rows, contract_of, row, version, reason):
    """The version is told by its marker keys, the time is read as that version writes it, and bounds are exact."""
    (found,) = rows.route(contract_of(INFERRED), [row])
    assert (found["schema_version"], found["undated_reason"]) == (version, reason)
    assert (found["event_time"] is None) == (reason is not None)
    if reason is None:
        assert found["event_time"] == INSTANT


def test_the_bounds_belong_to_the_platform(rows, contract_of):
    """The first instant of the start date and the latest instant itself are dated."""
    found = rows.route(
        contract_of(INFERRED), [{"timestamp": "2026-01-01T00:00:00Z"}, {"timestamp": "2026-12-31T00:00:00Z"}]
    )
    assert [row["undated_reason"] for row in found] == [None, None]


def test_defects_come_first(rows, contract_of):
    """A row that could not be cut keeps that reason, whatever its time looks like."""
    table = rows.table([{"event_timestamp": MILLIS}, {"_unparsed": "{"}])
    relation = f"(SELECT * REPLACE ('malformed_row' AS defect) FROM {table})"
    query = routing_query(contract_of(INFERRED), relation, start_date=dt.date(2026, 1, 1), latest=INSTANT)
    assert [row["undated_reason"] for row in rows.fetch(query)] == ["malformed_row", "malformed_row"]


def test_the_landed_time_is_shown_bounded(rows, contract_of):
    """Whoever looks for the cause sees the landed text, but not all of a very long one."""
    (found,) = rows.route(contract_of(INFERRED), [{"timestamp": "x" * 1_000}])
    assert found["event_time_landed"] == "x" * 200


def test_rows_may_name_their_version(rows, contract_of):
    """With a version column each row is read as the version that it names; others have no day."""
    contract = contract_of(INFERRED + "\nschema_version: {column: v}")
    found = rows.route(
        contract,
        [
            {"v": 1, "timestamp": "2026-01-02T03:04:05.678Z", "event_timestamp": 5},
            {"v": "2", "event_timestamp": MILLIS},
            {"v": 3, "event_timestamp": MILLIS},
            {"event_timestamp": MILLIS},
        ],
    )
    assert [row["schema_version"] for row in found] == [1, 2, None, None]
    unknown = "schema_version_unknown"
    assert [row["undated_reason"] for row in found] == [None, None, unknown, unknown]
    assert [row["event_time"] for row in found] == [INSTANT, INSTANT, None, None]


def test_retired_versions_are_refused_from_their_day_on(rows, contract_of):
    """Events of a retired version are taken up to, and not from, the day of its retirement."""
    retired = extend_registry(SHIPPED_REGISTRY, "versions: {1: {retired_on: 2026-02-01}}", file="test.yaml")
    landed = [
        {"timestamp": "2026-01-31T23:59:59.999Z"},
        {"timestamp": "2026-02-01T00:00:00Z"},
        {"event_timestamp": MILLIS + 40 * 86_400_000},
    ]
    found = rows.route(contract_of(INFERRED, retired), landed)
    assert [row["undated_reason"] for row in found] == [None, "schema_version_retired", None]


def test_local_times_take_the_zone_of_the_contract(rows, contract_of):
    """A text without an offset is local time of the contract's zone; one with an offset is not."""
    contract = contract_of(INFERRED + "\nevent_time: {zone: Asia/Kolkata}")
    found = rows.route(contract, [{"timestamp": "2026-01-02T08:34:05.678"}, {"timestamp": "2026-01-02T03:04:05.678Z"}])
    assert [row["event_time"] for row in found] == [INSTANT, INSTANT]


def test_several_formats_are_tried_in_their_order(rows, contract_of):
    """The first format that reads a text is meant; a text that none reads has no day."""
    said = "event_time: {{zone: Asia/Kolkata, epoch_unit: s, format: [{}]}}"
    formats = ["iso", "epoch", "'%d/%m/%Y %H:%M'", "'%m/%d/%Y %H:%M'"]
    contract = contract_of(f"{INFERRED}\nschema_version: 1\n{said.format(', '.join(formats))}")
    seconds = "2026-01-02T03:04:00Z"
    texts = [
        seconds,
        "1767323040",
        "02/01/2026 08:34",
        "01/02/2026 08:34",
        "01/13/2026 08:34",
        "32/01/2026 08:34",
        "no",
    ]
    found = rows.route(contract, [{"timestamp": text} for text in texts])
    instant = INSTANT.replace(second=0, microsecond=0)
    days = [instant, instant, instant, instant.replace(month=2, day=1), instant.replace(day=13), None, None]
    assert [row["event_time"] for row in found] == days
    reversed_formats = contract_of(f"{INFERRED}\nschema_version: 1\n{said.format(', '.join(reversed(formats)))}")
    swapped = rows.route(reversed_formats, [{"timestamp": text} for text in texts[2:4]])
    assert [row["event_time"] for row in swapped] == [instant.replace(month=2, day=1), instant]


def test_a_format_alone_and_in_a_list_read_alike(rows, contract_of):
    """A list of one is that one, and its contract has a hash of its own only by how it is written."""
    text = {"timestamp": "02.01.2026 03:04:05.6780001"}
    alone, listed, iso = (
        contract_of(f"{INFERRED}\nschema_version: 1\nevent_time: {{format: {said}}}")
        for said in ("'%d.%m.%Y %H:%M:%S.%f'", "['%d.%m.%Y %H:%M:%S.%f']", "iso")
    )
    assert [rows.route(contract, [text])[0]["event_time"] for contract in (alone, listed, iso)] == [
        INSTANT,
        INSTANT,
        None,
    ]


def test_every_reason_is_explained(rows, contract_of):
    """The reasons that queries give are those of the published list."""
    landed = [{}, {"timestamp": "x"}, {"event_timestamp": 0}, {"event_timestamp": 10**18}]
    given = {row["undated_reason"] for row in rows.route(contract_of(INFERRED), landed)}
    assert given < set(UNDATED_REASONS)


def test_a_latest_instant_without_a_zone_is_refused(contract_of):
    """The bound would otherwise depend on the machine."""
    with pytest.raises(SettingsError):
        routing_query(contract_of(INFERRED), "t", start_date=dt.date(2026, 1, 1), latest=dt.datetime(2026, 1, 1))  # noqa: DTZ001


def test_unknown_columns_are_listed_with_their_first_row(rows, contract_of):
    """A frozen contract learns which keys it does not name; keys of its own fields are known in all versions."""
    contract = contract_of(INFERRED + "\nunknown_columns: freeze\nidentity: [seen.at]")
    table = rows.table([{"user_id": 1, "seen": {"at": 1}}, {"page": 1, "session_id": 2}, {"page": 1, "é'": None}])
    assert rows.fetch(unknown_columns_query(contract, table)) == [
        {"column_name": "page", "source_row": 1},
        {"column_name": "é'", "source_row": 2},
    ]

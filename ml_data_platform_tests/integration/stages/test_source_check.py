"""A dry run counts what the platform would do with a file, and writes nothing where it matters."""

from __future__ import annotations

import datetime as dt
import gzip
import json

import pytest

from ml_data_platform.events.advice import advise
from ml_data_platform.events.check_report import DayCounts, TypeCounts
from ml_data_platform.events.contracts import parse_contract
from ml_data_platform.events.suggestions import FileLook
from ml_data_platform.settings import Settings
from ml_data_platform.stages.source_check import check_source

NOW = dt.datetime(2026, 6, 10, tzinfo=dt.UTC)
FIRST, SECOND = dt.date(2026, 6, 1), dt.date(2026, 6, 2)
JSONL = "source: shop\nformat: jsonl\nschema_version: 2\n"
NOON = 1_780_315_200_000


def event(number, **changes):
    """Return one good event of version 2 on the first day, with some keys replaced."""
    return {
        "event_id": f"e{number}",
        "user_id": f"u{number % 7}",
        "session_uuid": f"s{number % 7}",
        "event_type": "page_view",
        "event_timestamp": NOON + number,
        **changes,
    }


@pytest.fixture
def check(tmp_path):
    """Return a function from file content and contract text to report and suggestions."""
    settings = Settings(root=tmp_path / "root", landing=tmp_path / "root/landing", start_date=dt.date(2026, 1, 1))

    def run(content, contract, name="file"):
        path = tmp_path / name
        if isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" if isinstance(row, dict) else row + "\n" for row in content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        tried = parse_contract(contract, file="shop.yaml")
        report, sample = check_source(path, tried, settings, now=NOW)
        look = FileLook(sample.form, sample.profiles) if sample else None
        latest = NOW + settings.max_future
        found = advise(report, tried, look, start_date=settings.start_date, latest=latest)
        assert not settings.root.exists()
        return report, [str(suggestion) for suggestion in found]

    return run


def test_every_row_is_counted_once_with_its_reason(check):
    """Routed, undated, rejected and duplicate rows of a small file, counted by hand."""
    rows = [
        *(event(number) for number in range(60)),
        event(3),
        event(100, event_timestamp=NOON + 86_400_000),
        event(101, event_type="teleport"),
        event(102, user_id=None),
        event(103, purchase_amount_usd="12,50", event_type="purchase"),
        event(104, purchase_amount_usd=99_999, event_type="purchase"),
        event(105, event_timestamp="soon"),
        event(106, event_timestamp=5),
        "no json",
        event(107, page="/a"),
    ]
    report, suggestions = check(rows, JSONL)
    assert (report.status, report.rows, report.dated) == ("read", 70, 67)
    assert {reason: found.rows for reason, found in report.undated.items()} == {
        "event_time_before_start_date": 1,
        "event_time_unreadable": 1,
        "malformed_row": 1,
    }
    assert report.undated["event_time_unreadable"].examples == ("row 67: soon",)
    assert report.days == {
        FIRST: DayCounts(66, 61, 4, 1, ("rejected_share_is_within_tolerance",)),
        SECOND: DayCounts(1, 1, 0, 0),
    }
    assert report.first == dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
    assert report.last == dt.datetime(2026, 6, 2, 12, tzinfo=dt.UTC)
    assert {name: rule.rows for name, rule in report.rules.items()} == {
        "event_types_are_known": 1,
        "purchase_amounts_are_in_range": 1,
        "purchase_amounts_are_numbers": 1,
        "user_ids_are_present": 1,
    }
    assert report.rules["event_types_are_known"].examples == ("row 63: teleport",)
    assert report.event_types == {
        "page_view": TypeCounts(64, "page_view"),
        "purchase": TypeCounts(2, "purchase"),
        "teleport": TypeCounts(1, None),
    }
    amounts = report.fields["purchase_amount_usd"]
    assert (amounts.columns, amounts.filled, amounts.unreadable) == (("purchase_amount_usd",), 1, 1)
    assert (amounts.examples, amounts.unreadable_examples) == (("12,50", "99999"), ("12,50",))
    assert (report.fields["user_id"].filled, report.fields["user_id"].examples) == (66, ("u0", "u1", "u2"))
    assert report.unknown_columns == {"page": 1}
    assert report.change.kind == "breaking"
    assert report.change.differences == (
        "purchase_amount_usd: retyped from number to text",
        "page: added as nullable text",
    )
    assert not report.is_good
    assert report.refused_days == (FIRST,)
    assert (
        "1 rows have event types that are not mapped: event_type: {mapping: {teleport: other}}, or a default"
        in suggestions
    )
    json.dumps(report.to_json())


@pytest.mark.parametrize(
    ("rows", "said", "expected"),
    [
        ([event(1), event(1, event_id="x")], "", {}),
        ([event(2, session_uuid="t"), event(1), event(1, event_id="x")], "", {"file not sorted by time": 2}),
        ([event(2, session_uuid="t"), event(1), event(1, event_id="x")], "sequence: file\n", {}),
        ([event(1), event(1, event_id="x")], "sequence: none\n", {"sequence: none": 2}),
        ([event(1, sequence=4), event(1, event_id="x", sequence=4)], "", {"equal sequences": 2}),
        ([event(1, sequence=4), event(1, event_id="x")], "", {"some lack a sequence": 2}),
        ([event(2, session_uuid="t"), event(1), event(1)], "", {}),
        ([event(1, event_timestamp=NOON + 86_400_000, session_uuid="t"), event(1), event(1, event_id="x")], "", {}),
    ],
)
def test_rows_in_an_order_that_nobody_stated_are_told(check, rows, said, expected):
    """As the check of a built day counts them: copies aside, day by day; and what a contract may say of them."""
    report, suggestions = check(rows, JSONL + said)
    assert report.unordered == expected
    told = [text for text in suggestions if "in an order nobody stated" in text]
    assert len(told) == (bool(expected) and not said)
    for text in told:
        assert text.startswith(f"2 of {len(rows)} rows share session and instant with others")


def test_a_good_file_is_good(check):
    """A file whose every row is valid has no reason, no rule and no suggestion; gzip is read like the rest."""
    content = gzip.compress("".join(json.dumps(event(number)) + "\n" for number in range(50)).encode())
    report, suggestions = check(content, JSONL)
    assert report.is_good
    assert report.days == {FIRST: DayCounts(50, 50, 0, 0)}
    assert (report.undated, report.rules, report.unknown_columns, suggestions) == ({}, {}, {}, [])


@pytest.mark.parametrize(("content", "status"), [(b"", "empty"), (b"user,session,what,at\n", "header_only")])
def test_files_without_rows(check, content, status):
    """A file without rows is neither an error nor good."""
    columns = "columns: {user_id: user, session_uuid: session, event_type: what, event_timestamp: at}"
    report, _ = check(content, f"source: shop\nformat: csv\nschema_version: 2\n{columns}")
    assert (report.status, report.is_good) == (status, False)


CSV_2 = "source: shop\nformat: csv\nschema_version: 2\ncolumns: {user_id: user, session_uuid: visit, event_type: what, event_timestamp: at}\n"
CSV_1 = (
    CSV_2.replace("version: 2", "version: 1")
    .replace("session_uuid", "session_id")
    .replace("event_timestamp", "timestamp")
)
SECONDS = NOON // 1000


def csv_rows(time, header="user,visit,what,at", separator=",", what="page_view", more=""):
    """Return a CSV file of 40 rows whose time is made by a function."""
    rows = [separator.join([f"u{n % 7}", f"s{n % 7}", what, str(time(n))]) + more for n in range(40)]
    return "\n".join([header, *rows]) + "\n"


ADVICE = {
    "seconds read as milliseconds": (
        csv_rows(lambda n: SECONDS + n),
        CSV_2,
        "in s they lie 2026-06-01 to 2026-06-01: event_time: {epoch_unit: s}",
    ),
    "milliseconds read as seconds": (
        csv_rows(lambda n: NOON + n),
        CSV_2 + "event_time: {epoch_unit: s}",
        "event_time: {epoch_unit: ms}",
    ),
    "another delimiter": (
        csv_rows(lambda n: NOON + n, "user;visit;what;at", ";"),
        CSV_2,
        'csv: {delimiter: ";"} instead of ","',
    ),
    "another format": (b'{"user": "u"}\n', CSV_2, "the file looks like jsonl, the contract says csv: format: jsonl"),
    "a column under another name": (
        csv_rows(lambda n: NOON + n, "User,visit,what,at"),
        CSV_2,
        "the file has no column user, which columns.user_id reads: columns: {user_id: User}",
    ),
    "texts where integers are read": (
        csv_rows(lambda n: f"2026-06-01T12:00:{n:02d}Z"),
        CSV_2,
        "40 event times are texts (2026-06-01 to 2026-06-01), and the version reads integers: schema_version: 1",
    ),
    "integers where texts are read": (
        csv_rows(lambda n: SECONDS + n),
        CSV_1,
        "event times are integers (2026-06-01 to 2026-06-01 in s), and the version reads texts: schema_version: 2",
    ),
    "a format of its own": (
        csv_rows(lambda n: f"01.06.2026 12:{n:02d}"),
        CSV_1,
        "40 event times are not written as the contract says: event_time: {format: '%d.%m.%Y %H:%M'}",
    ),
    "before the first day": (
        csv_rows(lambda n: NOON - 400 * 86_400_000 + n),
        CSV_2,
        "before the first day of the root, 2026-01-01: start_date: 2025-04-27 in platform.yaml",
    ),
    "no zone": (csv_rows(lambda n: f"2026-06-01 12:00:{n:02d}"), CSV_1, "the event times do not say their zone"),
    "types that are not mapped": (
        csv_rows(lambda n: NOON + n, what="Order Completed"),
        CSV_2,
        "event_type: {mapping: {'Order Completed': purchase}}, or a default",
    ),
    "types under the default": (
        csv_rows(lambda n: NOON + n, what="addcart"),
        CSV_2 + "event_type: {default: other}",
        "event types that fall under the default sound like others: event_type: {mapping: {addcart: add_to_cart}}",
    ),
    "decimal commas": (
        csv_rows(lambda n: NOON + n, "user;visit;what;at;eur", ";", more=";12,50"),
        CSV_2.replace("what,", "what, purchase_amount_usd: eur,") + 'csv: {delimiter: ";"}',
        '40 values of purchase_amount_usd are written with a decimal comma: csv: {decimal: ","}',
    ),
    "fractions of seconds": (csv_rows(lambda n: f"{SECONDS}.{n}"), CSV_2, "in s they lie 20"),
    "rows of another version": (
        [event(n) for n in range(40)],
        "source: shop\nformat: jsonl\nschema_version: 1",
        "40 rows have session_uuid, event_timestamp, as rows of version 2 do: schema_version: infer",
    ),
    "an unknown version": (
        [event(n, v=7) for n in range(40)],
        "source: shop\nformat: jsonl\nschema_version: {column: v}",
        "40 rows name no registered schema version (1, 2): schema_version: infer",
    ),
    "nothing in the time": (
        [{**event(n), "event_timestamp": None, "ts": NOON + n} for n in range(40)],
        JSONL,
        "40 rows have nothing in event_timestamp: columns: {event_timestamp: ts}",
    ),
    "sessions of several users": (
        [event(n, session_uuid="one") for n in range(40)],
        JSONL,
        "1 of 1 sessions hold several users",
    ),
    "repeated ids": ([event(n % 9) for n in range(40)], JSONL, "31 of 40 rows repeat others by their event id"),
    "sessions per user": (
        [event(n, session_uuid="s") for n in range(40)],
        JSONL,
        "columns: {session_uuid: [user_id, session_uuid]}",
    ),
    "no users": ([event(n, user_id=None) for n in range(40)], JSONL, "40 rows have no user_id; they are rejected"),
}


@pytest.mark.parametrize("case", ADVICE)
def test_what_is_wrong_is_found_and_a_change_suggested(check, case):
    """Each usual mistake of a contract leads to the suggestion that mends it."""
    content, contract, expected = ADVICE[case]
    _, suggestions = check(content, contract)
    assert any(expected in suggestion for suggestion in suggestions), suggestions


def test_what_was_suggested_mends_the_contract(check):
    """The unit, the type and the comma that are suggested make a good file of a refused one."""
    content = csv_rows(lambda n: SECONDS + n, "user;visit;what;at;eur", ";", what="Kauf", more=";12,50")
    columns = CSV_2.replace("what,", "what, purchase_amount_usd: eur,")
    assert not check(content, columns)[0].is_good
    mended = (
        columns
        + "csv: {delimiter: ';', decimal: ','}\nevent_time: {epoch_unit: s}\nevent_type: {mapping: {Kauf: purchase}}"
    )
    report, suggestions = check(content, mended)
    assert (report.is_good, suggestions) == (True, [])
    assert report.fields["purchase_amount_usd"].filled == 40


def test_a_refused_file_says_why(check):
    """A file that lacks a column is refused as landing would refuse it, and its difference is breaking."""
    report, _ = check("user,visit,what,when\nu,s,page_view,1\n", CSV_2)
    assert report.status == "refused"
    assert "lacks columns" in report.refusal
    assert report.change.kind == "breaking"
    assert report.change.differences == ("at: removed (was epoch_instant)", "when: added as nullable integer")


def test_what_differs_invisibly_is_shown(check):
    """A header in which a blank follows a name is refused with the difference, by landing and as a suggestion."""
    report, suggestions = check("user\u00a0,visit,what,at\nu,s,page_view,1\n", CSV_2)
    shown = "'user' stands there as 'user\\xa0' (U+00A0 NO-BREAK SPACE at 5)"
    assert report.status == "refused"
    assert "U+00A0 NO-BREAK SPACE at 5" in report.refusal
    assert shown in suggestions


def test_an_optional_field_under_another_spelling_is_asked_about(check):
    """Rows are valid without it, so that nothing else would say that amounts are left out."""
    report, suggestions = check([event(n, purchaseAmountUsd=3.5) for n in range(20)], JSONL)
    assert report.is_good
    assert any("columns: {purchase_amount_usd: purchaseAmountUsd}" in suggestion for suggestion in suggestions)
    named = JSONL + "columns: {purchase_amount_usd: purchaseAmountUsd}"
    report, suggestions = check([event(n, purchaseAmountUsd=3.5) for n in range(20)], named)
    assert (report.fields["purchase_amount_usd"].filled, suggestions) == (20, [])


def test_text_of_a_producer_cannot_draw_on_the_terminal(check):
    """Control characters of landed values are shown escaped in every example."""
    report, _ = check([event(n, event_type="\x1b[31mred\x07") for n in range(5)], JSONL)
    assert list(report.event_types) == [r"\x1b[31mred\x07"]
    assert "\x1b" not in str(report)


def test_anonymous_rows_that_are_admitted_are_no_users_of_one_session(check):
    """Forty rows without a user in one session are good where the contract admits them, and nothing is suggested."""
    rows = [event(n, user_id=None, session_uuid="s") for n in range(40)]
    report, suggestions = check(rows, JSONL + "ids: {anonymous: admit}\n")
    assert (report.is_good, report.shared_sessions, report.sessions) == (True, 0, 1)
    assert not any("users" in suggestion for suggestion in suggestions)

"""The stage that judges the raw rows of a day, on rows made by hand."""

import datetime as dt
import json

import pytest

from ml_data_platform_tests.integration.stages.conftest import CONTRACTS, NOON


def landed_row(number, **fields):
    """One v2 row of the sample shop, as landing routes it."""
    event = {
        "event_id": f"e{number}",
        "user_id": f"u{number % 40}",
        "session_uuid": f"s{number % 60}",
        "event_type": "page_view",
        "event_timestamp": int(NOON.timestamp() * 1000) + number,
        **fields,
    }
    return {
        "source": "demo_shop",
        "source_file": "a" * 64,
        "source_row": number,
        "event_time": NOON + dt.timedelta(milliseconds=number),
        "schema_version": 2,
        "landed": json.dumps(event),
    }


def test_a_rare_event_type_cannot_vanish_unseen(judge):
    """Forty broken purchases among a thousand views are 4 % of the rows and all purchases: the day is refused."""
    rows = [landed_row(number) for number in range(1000)]
    rows += [landed_row(number, event_type="purchase", purchase_amount_usd=-1) for number in range(1000, 1040)]
    result, files = judge(rows)
    assert [check.name for check in result.failed] == ["each_event_type_is_mostly_valid"]
    assert "validated_events" not in result.tables
    rejected = files["disposition=rejected/data.parquet"]
    assert [row["source_row"] for row in rejected] == list(range(1000, 1040))
    assert {tuple(row["rules"]) for row in rejected} == {("purchase_amounts_are_in_range",)}


def of_globo(number, *, is_broken=False):
    """One row of another source of the same day: a click, without a user where it is broken."""
    at = NOON + dt.timedelta(milliseconds=number)
    columns = CONTRACTS["globo"].fields(2)
    values = {
        "user_id": "" if is_broken else "7",
        "session_uuid": str(number),
        "event_timestamp": f"{at.timestamp():.0f}",
    }
    landed = {column: values.get(name, "1") for name, column in columns.items()}
    return {
        "source": "globo",
        "source_file": "b" * 64,
        "source_row": number,
        "event_time": at,
        "schema_version": 2,
        "landed": json.dumps({column: text or None for column, text in landed.items()}),
    }


def test_a_small_source_is_not_hidden_by_a_big_one(judge):
    """Twelve clicks without a user among two thousand good rows of the shop: refused, and the source is named."""
    rows = [landed_row(number) for number in range(2000)]
    result, files = judge(rows + [of_globo(number, is_broken=True) for number in range(12)])
    (failed,) = [check for check in result.failed if check.name == "rejected_share_is_within_tolerance"]
    assert failed.examples[0] == "globo: 12 of 12 rows"
    assert failed.value == 1.0
    assert len(files["disposition=rejected/data.parquet"]) == 12


@pytest.mark.parametrize("neighbours", [0, 1000])
@pytest.mark.parametrize(("broken", "is_refused"), [(60, True), (40, False)])
def test_a_source_is_judged_as_if_it_were_alone(judge, broken, is_refused, neighbours):
    """6 % of the shop's rows are broken: refused with and without as many good clicks beside them; 4 % never are."""
    shop = [landed_row(number, **({"user_id": None} if number < broken else {})) for number in range(1000)]
    result, _ = judge(shop + [of_globo(number) for number in range(neighbours)])
    names = {check.name for check in result.failed}
    assert ("rejected_share_is_within_tolerance" in names) == is_refused


def test_unknown_event_types_alone_do_not_refuse_a_day(judge):
    """Forty rows of an unknown type among a thousand are rejected; no known type lost anything."""
    rows = [landed_row(number, **({"event_type": "teleport"} if number % 25 == 0 else {})) for number in range(1000)]
    result, files = judge(rows)
    assert not result.is_blocked
    rejected = files["disposition=rejected/data.parquet"]
    assert {tuple(row["rules"]) for row in rejected} == {("event_types_are_known",)}
    assert len(rejected) == 40


@pytest.mark.parametrize(
    ("broken", "of_type", "rows", "told"),
    [
        (
            6,
            6,
            300,
            (1.0, "demo_shop: all 6 rows of event type purchase are rejected: purchase_amounts_are_in_range in 6"),
        ),
        (
            3,
            3,
            900,
            (1.0, "demo_shop: all 3 rows of event type purchase are rejected: purchase_amounts_are_in_range in 3"),
        ),
        (4, 9, 300, (4 / 300, "demo_shop: 4 of 300 rows are rejected: purchase by purchase_amounts_are_in_range in 4")),
        (3, 9, 300, None),
        (2, 2, 300, None),
        (0, 9, 300, None),
    ],
)
def test_a_day_that_loses_rows_is_warned_of(judge, broken, of_type, rows, told):
    """From 1 % of the rows on, or where all of a type are lost, however few; the day is published all the same."""
    amounts = [-1] * broken + [1] * (of_type - broken)
    landed = [
        landed_row(number, event_type="purchase", purchase_amount_usd=each) for number, each in enumerate(amounts)
    ]
    result, files = judge(landed + [landed_row(number) for number in range(of_type, rows)])
    assert not result.is_blocked
    assert len(files["data.parquet"]) == rows - broken
    (check,) = [each for each in result.checks if each.name == "nearly_all_rows_are_valid"]
    assert check.passed is (told is None)
    if told is not None:
        assert (pytest.approx(check.value), check.examples[0]) == told


def test_few_broken_rows_are_quarantined_and_the_day_is_published(judge):
    """Ten broken views among a thousand rows are within tolerance; each raw row ends in exactly one place."""
    rows = [landed_row(number, **({"user_id": None} if number % 100 == 0 else {})) for number in range(1000)]
    result, files = judge(rows)
    assert not result.is_blocked
    assert len(files["data.parquet"]) == 990
    assert [row["source_row"] for row in files["disposition=rejected/data.parquet"]] == list(range(0, 1000, 100))
    assert files["disposition=duplicate/data.parquet"] == []


def test_the_kept_duplicate_is_the_newest_version_then_the_smallest_place(judge):
    """Of valid rows with one id the highest version wins, then file and row; a broken one never competes."""
    older = landed_row(1, event_id="same")
    older["landed"] = json.dumps(
        {
            "event_id": "same",
            "user_id": "u1",
            "session_id": "s1",
            "event_type": "page_view",
            "timestamp": "2026-06-01T12:00:00.001Z",
        }
    )
    older["schema_version"] = 1
    rows = [older, landed_row(2, event_id="same"), landed_row(3, event_id="same")]
    rows += [landed_row(4, event_id="same", user_id=None)]
    rows += [landed_row(number) for number in range(10, 110)]
    result, files = judge(rows)
    assert not result.is_blocked
    assert [row["source_row"] for row in files["data.parquet"] if row["event_id"] == "demo_shop:same"] == [2]
    duplicates = files["disposition=duplicate/data.parquet"]
    assert [(row["source_row"], row["kept_source_row"]) for row in duplicates] == [(1, 2), (3, 2)]
    assert [row["source_row"] for row in files["disposition=rejected/data.parquet"]] == [4]


def outcome(result, name):
    """Return the outcome of one check."""
    (found,) = [check for check in result.checks if check.name == name]
    return found


def test_a_duplicate_with_other_content_is_a_warning_that_names_what_differs(judge):
    """Of two repeats one differs from the kept row; the day is published, and the check names columns and places."""
    rows = [landed_row(number) for number in range(20)]
    rows += [
        landed_row(100, event_id="same", user_id="u1", purchase_amount_usd=5, event_type="purchase"),
        landed_row(101, event_id="same", user_id="u2", purchase_amount_usd=6, event_type="purchase"),
        landed_row(102, event_id="twice"),
    ]
    rows.append({**rows[-1], "source_row": 103})
    result, _ = judge(rows)
    check = outcome(result, "duplicates_are_identical")
    assert not result.is_blocked
    assert not check.passed
    assert check.value == 1
    (example,) = check.examples
    assert example.startswith(
        "demo_shop:same: aaaaaaaa row 101, kept aaaaaaaa row 100, differ in user_id, session_uuid"
    )


def test_a_duplicate_is_not_compared_with_a_row_of_another_source(judge):
    """Two sources that landed the same bytes have rows of the same file and number."""
    rows = [landed_row(number) for number in range(20)] + [landed_row(100, event_id="twice")]
    rows.append({**rows[-1], "source_row": 101})
    others = [{**of_globo(number), "source_file": "a" * 64} for number in [*range(20), 100, 101]]
    result, _ = judge(rows + others)
    assert outcome(result, "duplicates_are_identical").passed


def test_the_same_event_in_another_version_is_no_difference(judge):
    """v1 has no client_version and an own column; a value that both have is compared all the same."""
    newer = landed_row(2, event_id="same", client_version="7.1")
    older = landed_row(1, event_id="same")
    landed = {
        "event_id": "same",
        "user_id": "u2",
        "session_id": "s2",
        "event_type": "page_view",
        "timestamp": "2026-06-01T12:00:00.002Z",
        "page": "/home",
    }
    older |= {"landed": json.dumps(landed), "schema_version": 1, "event_time": newer["event_time"]}
    good = [landed_row(number) for number in range(10, 40)]
    assert outcome(judge([older, newer, *good])[0], "duplicates_are_identical").passed

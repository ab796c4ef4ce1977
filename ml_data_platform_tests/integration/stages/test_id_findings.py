"""Ids that may not mean what they say: which findings warn, which do not, and what is shown of them."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter

import pytest

from ml_data_platform.events.contracts import parse_contract
from ml_data_platform_tests.integration.stages.conftest import NOON

PLACEHOLDERS, FREQUENT = "ids_are_not_placeholders", "no_id_is_unusually_frequent"
SHARED, MIXED = "sessions_have_one_user", "event_ids_are_there_for_all_rows_or_none"
BARE = "format: jsonl\nschema_version: 2\nevent_type: {default: other}\n"


@pytest.fixture
def findings_of(judge):
    """Return a function from source to landed objects and what its contract says more, to the checks' outcomes."""

    def run(sources):
        rows = []
        for source, (landed, _) in sources.items():
            for number, fields in enumerate(landed, start=1):
                at = NOON + dt.timedelta(milliseconds=number)
                event = {
                    "user_id": f"u{number % 30}",
                    "session_uuid": f"s{number % 30}",
                    "event_timestamp": int(at.timestamp() * 1000),
                    **fields,
                }
                text = json.dumps({name: value for name, value in event.items() if value is not ...})
                place = {"source": source, "source_file": "a" * 64, "source_row": number}
                rows.append({**place, "event_time": at, "schema_version": 2, "landed": text})
        contracts = {
            source: parse_contract(f"source: {source}\n{BARE}{said}", file=f"{source}.yaml")
            for source, (_, said) in sources.items()
        }
        result, files = judge(rows, contracts)
        outcomes = {check.name: check for check in result.checks}
        assert not any(outcomes[name].blocking for name in (PLACEHOLDERS, FREQUENT, SHARED, MIXED))
        return outcomes, files

    return run


@pytest.fixture
def findings(findings_of):
    """Return a function from landed objects of one source, and what its contract says more, to the checks' outcomes."""
    return lambda landed, said="": findings_of({"shop": (landed, said)})


def failed(outcomes):
    """Return the names of the checks of ids that warn."""
    return {name for name in (PLACEHOLDERS, FREQUENT, SHARED, MIXED) if not outcomes[name].passed}


def test_a_good_day_warns_of_nothing(findings):
    """Users with a few rows each, sessions with one user, no event ids at all, ids that begin with words."""
    outcomes, files = findings([{"session_uuid": f"test-{number % 30}"} for number in range(300)])
    assert failed(outcomes) == set()
    assert len(files["data.parquet"]) == 300


@pytest.mark.parametrize(
    "texts",
    [
        ["undefined", "null", "NaN", "anonymous", "Guest"],
        ["<script>alert(1)</script>", "test", "[object Object]", "-1"],
    ],
)
@pytest.mark.parametrize("column", ["user_id", "session_uuid"])
def test_placeholders_are_told_published_or_not(findings_of, texts, column):
    """One row with a placeholder warns, and names it by the platform's own word for it."""
    good = [{} for _ in range(99)]
    sources = {
        f"shop_{number}": ([*good, {"user_id": "own", "session_uuid": "own", column: text}], "")
        for number, text in enumerate(texts)
    }
    outcomes, _ = findings_of(sources)
    assert failed(outcomes) == {PLACEHOLDERS}
    shown = ["<…" if text.startswith("<") else text.lower() for text in texts]
    told = tuple(f"{source}: 1 rows with {column}: {text}" for source, text in zip(sources, shown, strict=True))
    assert outcomes[PLACEHOLDERS].examples == told
    assert outcomes[PLACEHOLDERS].value == len(texts)


def test_rounded_numbers_are_told(findings):
    """Ids that a spreadsheet wrote with an exponent stand for many, and no digits of theirs are shown."""
    outcomes, _ = findings([{"user_id": "1.23457E+15"} if number % 10 == 0 else {} for number in range(100)])
    assert outcomes[PLACEHOLDERS].examples == ("shop: 10 rows with user_id: …E+…",)


def test_what_the_contract_lists_is_known(findings_of):
    """A contract that says what stands for nobody is not warned of it."""
    told = ["", "ids: {anonymous: admit}"]
    known = [
        "ids: {sentinels: [guest, undefined]}",
        "ids: {sentinels: [guest], null_markers: [undefined]}",
        "ids: {sentinels: [guest], anonymous: admit}",
    ]
    rows = [{"user_id": text, "session_uuid": f"of-{text}"} for text in ("guest", "undefined")] + [
        {} for _ in range(98)
    ]
    outcomes, _ = findings_of({f"shop_{number}": (rows, said) for number, said in enumerate([*told, *known])})
    assert failed(outcomes) == {PLACEHOLDERS}
    assert {example.partition(":")[0] for example in outcomes[PLACEHOLDERS].examples} == {"shop_0", "shop_1"}


def test_of_the_first_of_several_columns_the_one_that_is_the_id_counts(findings_of):
    """A marker beside an id that stands in for it is what the contract means; without any id, or as the id, it is told."""
    cases = [
        ("NULL", "c", None),
        ("", "c", None),
        ("u", "NULL", None),
        ("u", "anonymous", None),
        ("NULL", "anonymous", "anonymous"),
        ("anonymous", "c", "anonymous"),
        ("NULL", "", "null"),
        ("undefined", "NULL", "undefined"),
    ]
    others = [{"user_id": ..., "login": f"l{number}", "cookie": f"k{number}"} for number in range(97)]
    sources = {}
    for at, (login, cookie, _) in enumerate(cases):
        rows = [
            {
                "user_id": ...,
                "login": f"{login}{number}" if login == "u" else login,
                "cookie": f"{cookie}{number}" if cookie == "c" else cookie,
            }
            for number in range(3)
        ]
        sources[f"shop_{at}"] = ([*rows, *others], "columns: {user_id: {first_of: [login, cookie]}}")
    outcomes, files = findings_of(sources)
    told = tuple(f"shop_{at}: 3 rows with user_id: {text}" for at, (*_, text) in enumerate(cases) if text)
    assert outcomes[PLACEHOLDERS].examples == told
    published = Counter(row["source"] for row in files["data.parquet"])
    assert [published[source] for source in sources] == [100] * 6 + [97] * 2


def test_zero_is_somebody_in_a_log_that_counts_from_it(findings_of):
    """User 0 with as many rows as the others is a user; with many times theirs it is told."""
    counting = [{"user_id": number % 30, "session_uuid": number % 30} for number in range(300)]
    many = [{"user_id": 0} if number % 4 == 0 else {} for number in range(300)]
    outcomes, _ = findings_of({"counting": (counting, ""), "many": (many, "")})
    assert outcomes[PLACEHOLDERS].examples == ("many: 75 rows with user_id: 0",)


def test_an_id_with_an_unusual_share_is_told(findings_of):
    """One id with a fifth of 400 rows warns, with its rows; the same rows spread over users do not."""
    kinds = {"user_id": "user", "session_uuid": "session"}
    sources = {
        column: ([{column: "shared"} if number % 5 == 0 else {} for number in range(400)], "") for column in kinds
    }
    spread = {f"spread_{column}": ([{column: f"x{number % 30}"} for number in range(400)], "") for column in kinds}
    outcomes, files = findings_of({**sources, **spread})
    fourth = sorted(Counter(number % 30 for number in range(1, 401) if number % 5 != 1).values())[-3]
    first = {row["source"]: row for row in files["data.parquet"] if row["source_row"] == 1}
    assert set(outcomes[FREQUENT].examples) == {
        f"{column}: {kind} {first[column][column]} has 80 of 400 rows, the 4th of all {fourth}"
        for column, kind in kinds.items()
    }


def test_three_giants_do_not_hide_each_other(findings):
    """Users are compared with the fourth, so that several placeholders are all told."""
    rows = [{"user_id": f"giant-{number % 3}", "session_uuid": f"s{number}"} for number in range(300)]
    outcomes, _ = findings([*rows, *({} for _ in range(300))])
    assert outcomes[FREQUENT].value == 3


def test_small_days_have_no_unusual_share(findings_of):
    """Of fewer than ten users, or with less than fifty rows, nobody is unusual."""
    one = [{"user_id": "a", "session_uuid": "a"} for _ in range(60)]
    few = [{"user_id": "a", "session_uuid": "a"} if number < 40 else {} for number in range(70)]
    assert failed(findings_of({"one": (one, ""), "few": (few, "")})[0]) == set()


def test_sessions_of_several_users_are_told(findings):
    """Sessions that are numbered per user warn with a count and an example; together with the user they are a key."""
    rows = [{"user_id": f"u{number % 20}", "session_uuid": str(number % 3)} for number in range(60)]
    outcomes, files = findings(rows)
    assert failed(outcomes) == {SHARED}
    sessions = {row["session_uuid"] for row in files["data.parquet"]}
    (told,) = outcomes[SHARED].examples
    assert told.startswith("shop: 3 of 3 sessions, e.g. ")
    assert any(told == f"shop: 3 of 3 sessions, e.g. {name} with 20 users" for name in sessions)
    outcomes, files = findings(rows, "columns: {session_uuid: [user_id, session_uuid]}")
    assert failed(outcomes) == set()
    assert len({row["session_uuid"] for row in files["data.parquet"]}) == 60


def test_anonymous_rows_share_no_session_with_each_other(findings):
    """Rows that are users alone are no several users of their session."""
    outcomes, files = findings(
        [{"user_id": None, "session_uuid": f"s{number % 20}"} for number in range(100)], "ids: {anonymous: admit}"
    )
    assert failed(outcomes) == set()
    assert len({row["user_id"] for row in files["data.parquet"]}) == 100


def test_event_ids_of_some_rows_only_are_told(findings):
    """All rows with ids, or none, are fine; a few without are told with their number."""
    with_ids = [{"event_id": f"e{number}"} for number in range(50)]
    assert failed(findings(with_ids)[0]) == set()
    outcomes, _ = findings([*with_ids, {}, {"event_id": None}])
    assert failed(outcomes) == {MIXED}
    assert outcomes[MIXED].examples == ("shop: 2 of 52 rows",)

"""The order of events of one instant: what is published as it, and which rows are said to have none."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections import defaultdict

import pytest

from ml_data_platform.events.contracts import parse_contract
from ml_data_platform_tests.integration.stages.conftest import NOON

CHECK = "order_within_an_instant_is_stated"
FIELDS = """
schema_version: 2
columns: {event_id: event_id, user_id: user_id, session_uuid: session_uuid, event_timestamp: at, %s}
event_type: {default: page_view}
"""


def contract(source, *, own="sequence: n", said=""):
    """A source of JSON lines: the sequence is that of a column, or what the contract says of it."""
    text = f"source: {source}\nformat: jsonl\n{FIELDS % own}"
    return parse_contract(text + (f"sequence: {said}\n" if said else ""), file=f"{source}.yaml")


CONTRACTS = {
    "unsaid": contract("unsaid"),
    "from_file": contract("from_file", own="sequence: null", said="file"),
    "without": contract("without", own="sequence: null", said="none"),
}


def row(number, *, source="unsaid", file="a", second=0, session="s", event_id=None, user="u", **fields):
    """One landed row of a source, at a second after noon."""
    at = NOON + dt.timedelta(seconds=second)
    landed = {"event_id": event_id or f"{file}{number}", "user_id": user, "session_uuid": session} | fields
    return {
        "source": source,
        "source_file": file * 64,
        "source_row": number,
        "event_time": at,
        "schema_version": 2,
        "landed": json.dumps(landed | {"at": int(at.timestamp() * 1000)}),
    }


def published(files):
    """Return (file, row) to sequence, in the order of the file."""
    return {(each["source_file"][0], each["source_row"]): each["sequence"] for each in files["data.parquet"]}


def outcome(result):
    """Return the outcome of the check."""
    (found,) = [check for check in result.checks if check.name == CHECK]
    assert not found.blocking
    return found


def test_a_log_without_sequences_has_the_order_of_its_file(judge):
    """Eight rows of one instant: the sequence is the number of the row, and they are stored in that order."""
    result, files = judge([row(number) for number in range(1, 9)], CONTRACTS)
    assert list(published(files).items()) == [(("a", number), number) for number in range(1, 9)]
    assert outcome(result).passed
    assert outcome(result).value == 0


def test_the_producers_sequence_comes_before_the_position(judge):
    """A row has its own sequence where it lands one; one without it has its position; neither is taken for the other."""
    result, files = judge([row(1, n=7), row(2, n=7, second=1), row(3, second=2), row(4, n=0, second=3)], CONTRACTS)
    assert published(files) == {("a", 1): 7, ("a", 2): 7, ("a", 3): 3, ("a", 4): 0}
    assert outcome(result).passed


def test_of_copies_the_smallest_position_counts(judge):
    """The kept copy keeps its own place, and takes the smallest position of all valid copies; a rejected one has none."""
    rows = [row(number, file="a") for number in (5, 6)]
    rows += [row(9, file="a", event_id="x"), row(7, file="b", event_id="x"), row(2, file="b", event_id="x", user=None)]
    _, files = judge(rows + [row(number, file="c", second=60 + number) for number in range(40)], CONTRACTS)
    found = {place: sequence for place, sequence in published(files).items() if place[0] != "c"}
    assert found == {("a", 5): 5, ("a", 6): 6, ("a", 9): 7}


def test_a_contract_may_say_that_the_file_is_the_order_or_that_there_is_none(judge):
    """Where it does, a column of the name is no sequence: it is kept with the other columns that no field takes."""
    rows = [
        row(number, source=source, file=source[0], sequence=9)
        for source in ("from_file", "without")
        for number in (1, 2)
    ]
    result, files = judge(rows, CONTRACTS)
    assert published(files) == {("f", 1): 1, ("f", 2): 2, ("w", 1): None, ("w", 2): None}
    assert {each["attributes"] for each in files["data.parquet"]} == {'{"sequence":9}'}
    assert outcome(result).value == 1
    assert outcome(result).examples[0] == "without: 2 of 2 rows"


STATED = [
    ("unsaid", [row(1), row(2)]),
    ("unsaid", [row(1, session="s"), row(2, file="b", session="t")]),
    ("unsaid", [row(1), row(2, file="b", second=1)]),
    ("unsaid", [row(2), row(3), row(1, file="b", second=9, session="t"), row(2, file="b", session="t")]),
    ("unsaid", [row(1, n=2), row(2, file="b", n=1)]),
    ("from_file", [row(1, second=1, session="t"), row(2), row(3)]),
    ("without", [row(1), row(2, second=1)]),
]
UNSTATED = [
    ("unsaid", [row(1), row(2, file="b")], "of several files"),
    ("unsaid", [row(1, second=1, session="t"), row(2), row(3)], "file not sorted by time"),
    ("unsaid", [row(1, n=2), row(2, n=2)], "equal sequences"),
    ("unsaid", [row(1, n=2), row(2)], "some lack a sequence"),
    ("from_file", [row(1), row(2, file="b")], "of several files"),
    ("without", [row(1), row(2)], "sequence: none"),
]


def judged_apart(judge, cases):
    """Judge the rows of some cases at once, each as a source of its own that is called a, b, c and so on."""
    names = dict(zip("abcdefg", cases, strict=False))
    contracts = {name: CONTRACTS[case[0]].model_copy(update={"source": name}) for name, case in names.items()}
    return judge([each | {"source": name} for name, case in names.items() for each in case[1]], contracts)


def test_an_order_that_somebody_stated_is_no_warning(judge):
    """Sequences that differ tell rows of one session and instant apart, or one sorted file, or a contract that says so."""
    result, _ = judged_apart(judge, STATED)
    assert outcome(result).passed
    assert result.metadata["validated_events"]["rows_of_unstated_order"] == 0


@pytest.mark.parametrize("cases", [UNSTATED[:3], UNSTATED[3:]])
def test_an_order_that_nobody_stated_is_a_warning(judge, cases):
    """Rows of one session and instant are counted where neither sequences nor one sorted file tell them apart."""
    result, _ = judged_apart(judge, cases)
    assert not outcome(result).passed
    assert result.metadata["validated_events"]["rows_of_unstated_order"] == 2 * len(cases)
    examples = [example for example in outcome(result).examples if " session " in example]
    for name, (_, _, reason), example in zip("abc", cases, examples, strict=True):
        assert example.startswith(f"{name} session ")
        assert example.endswith(f" 2026-06-01T12:00:00.000000Z: 2 rows, {reason}")


def test_a_row_that_was_rejected_has_no_part_in_an_order(judge):
    """The other row of an instant broke a rule: one is left. But a file is sorted or not with all its rows of the day."""
    broken = [row(1, second=1, user=None, session="t"), row(2), row(3, user=None)]
    filler = [row(number, second=100 + number, session=f"f{number}") for number in range(10, 70)]
    result, _ = judge([*broken, *filler], CONTRACTS)
    assert outcome(result).value == 0
    result, _ = judge([*broken, *filler, row(4)], CONTRACTS)
    assert result.metadata["validated_events"]["rows_of_unstated_order"] == 2


def test_a_file_that_is_sent_again_with_more_rows_states_their_order(judge):
    """Each event has two copies in the same order, and the new ones one: positions of one file decide."""
    first = [row(number, file="b", event_id=f"e{number}") for number in range(1, 5)]
    again = [row(number, file="a", event_id=f"e{number}") for number in range(1, 7)]
    result, files = judge([*again, *first], CONTRACTS)
    assert [each["event_id"] for each in files["data.parquet"]] == [f"unsaid:e{number}" for number in range(1, 7)]
    assert outcome(result).passed


def test_a_few_rows_without_order_are_counted_and_tolerated(judge):
    """Two rows in two thousand are 0.1 %: counted beside the table, and no warning; three are one."""
    many = [row(number, second=number, session=f"s{number}") for number in range(2_000)]
    for extra, is_tolerated in (([row(0, file="b", session="s7", second=7)], True), ([], True)):
        result, _ = judge([*many, *extra], CONTRACTS)
        assert outcome(result).passed == is_tolerated
        assert result.metadata["validated_events"]["rows_of_unstated_order"] == 2 * len(extra)
    extra = [row(number, file="b", session="s7", second=7) for number in range(2)]
    result, _ = judge([*many, *extra], CONTRACTS)
    assert not outcome(result).passed
    assert outcome(result).examples[0] == "unsaid: 3 of 2,002 rows"


@pytest.mark.parametrize("seed", range(4))
def test_any_day_is_ordered_and_counted_as_defined(judge, seed):
    """Rows of all sources, in files of any order, with copies and own sequences: the definitions row by row in Python."""
    rng = random.Random(seed)
    rows, facts = [], {}
    for source in CONTRACTS:
        for file in rng.sample("abcd", 2):
            seconds = [rng.randrange(6) for _ in range(25)]
            for number, second in enumerate(sorted(seconds) if rng.random() < 0.6 else seconds, start=1):
                own = rng.choice([None, None, 1, 2]) if source == "unsaid" else None
                event_id = f"{second}{rng.randrange(40)}"
                session = f"s{int(event_id) % 3}"
                fields = {"n": own} if own is not None else {}
                at = source, file, number
                facts[at] = {"second": second, "own": own, "id": (source, event_id), "session": (source, session)}
                rows.append(
                    row(number, source=source, file=file, second=second, session=session, event_id=event_id, **fields)
                )
    expected, unstated = expected_order(facts)
    for _ in range(2):
        rng.shuffle(rows)
        result, files = judge(rows, CONTRACTS)
        found = {
            (each["source"], each["source_file"][0], each["source_row"]): each["sequence"]
            for each in files["data.parquet"]
        }
        assert found == expected
        assert result.metadata["validated_events"]["rows_of_unstated_order"] == unstated


def expected_order(facts):
    """Return the place of each kept row, and how many rows share session and instant in an order nobody stated."""
    copies = defaultdict(list)
    for at, fact in facts.items():
        copies[fact["id"]].append(at)
    kept, groups = {}, defaultdict(list)
    for found in copies.values():
        winner = min(found, key=lambda at: (at[1], at[2]))
        first = min(found, key=lambda at: (at[2], at[1]))
        fact = facts[winner]
        position = None if winner[0] == "without" else first[2]
        kept[winner] = position if fact["own"] is None else fact["own"]
        groups[fact["session"], fact["second"]].append((winner, fact["own"], first[1]))
    total = 0
    for group in groups.values():
        source = group[0][0][0]
        owns, files = [own for _, own, _ in group], {file for _, _, file in group}
        if None not in owns:
            is_stated = len(set(owns)) == len(owns)
        elif any(own is not None for own in owns) or len(files) > 1 or source == "without":
            is_stated = False
        else:
            (file,) = files
            seconds = [facts[at]["second"] for at in sorted(facts) if at[:2] == (source, file)]
            is_stated = source == "from_file" or seconds == sorted(seconds)
        total += len(group) if len(group) > 1 and not is_stated else 0
    return kept, total

"""Landed ids mean what they say: which are absent, which are equal, and which are made of several columns."""

from __future__ import annotations

import hashlib
import uuid

import pytest

from ml_data_platform.errors import ContractError

PLAIN = "source: shop\nformat: jsonl\nschema_version: 2"
ROW = {
    "event_id": "e",
    "user_id": "u",
    "session_uuid": "s",
    "event_type": "search",
    "event_timestamp": 1_767_323_045_000,
}
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "ml-data-platform:shop")


def mapped(rows, contract_of, said, *landed):
    """Return the mapped rows of a contract that says something more."""
    return rows.map(contract_of(f"{PLAIN}\n{said}"), [{**ROW, **row} for row in landed])


def test_null_markers_are_absent(rows, contract_of):
    """What stands for nothing by default is no user, no session and no event id, whatever its case and blanks."""
    texts = [
        *("NULL", "null", "\\N", "nan", "NaN", "None", "undefined", " Undefined ", "(not set)", "N/A", "-", "\u00a0"),
        *("\u3000 ", "\u200b", "\ufeff", "00000000-0000-0000-0000-000000000000"),
    ]
    ids = [{"user_id": text, "session_uuid": text, "event_id": text} for text in texts]
    events = mapped(rows, contract_of, "columns: {event_id: event_id}", *ids)
    found = [(event["user_id"], event["session_uuid"], event["event_id"]) for event in events]
    assert dict(zip(texts, found, strict=True)) == dict.fromkeys(texts, (None, None, None))


def test_other_texts_are_ids(rows, contract_of):
    """What only resembles a marker, or may be somebody's id, stays an id."""
    texts = ["nullable", "none-1", "0", "-1", "anonymous", "Nanette", "x", "NULL,NULL"]
    events = mapped(rows, contract_of, "", *({"user_id": t, "session_uuid": t, "event_id": t} for t in texts))
    assert [event["session_uuid"] for event in events] == [str(uuid.uuid5(NAMESPACE, text)) for text in texts]
    assert [event["event_id"] for event in events] == [f"shop:{text}" for text in texts]
    assert all(event["user_id"] is not None for event in events)


def test_a_contract_replaces_markers_and_adds_sentinels(rows, contract_of):
    """A list takes the default's place, an empty one leaves blanks only, and sentinels come on top, as YAML writes them."""
    users = [{"user_id": text} for text in ("nan", "gone", "", "-1", "-1.0", "null")]

    def absent(said):
        return [event["user_id"] is None for event in mapped(rows, contract_of, said, *users)]

    assert absent("") == [True, False, True, False, False, True]
    assert absent("ids: {null_markers: [Gone]}") == [False, True, True, False, False, False]
    assert absent("ids: {null_markers: []}") == [False, False, True, False, False, False]
    assert absent("ids: {sentinels: [-1]}") == [True, False, True, True, True, True]
    assert absent("ids: {null_markers: [null], sentinels: [gone]}") == [False, True, True, False, False, True]


def test_integers_written_as_decimals_are_the_integer(rows, contract_of):
    """1000, 1000.0 and a double's exponent are one user, session and event, as text and as JSON number; 007 is not 7."""
    same = [1000, "1000", "1000.0", 1000.0, "1000.000"]
    events = mapped(rows, contract_of, "", *({"user_id": v, "session_uuid": v, "event_id": v} for v in same))
    assert {event["session_uuid"] for event in events} == {str(uuid.uuid5(NAMESPACE, "1000"))}
    assert {event["event_id"] for event in events} == {"shop:1000"}
    assert len({event["user_id"] for event in events}) == 1
    large = mapped(
        rows, contract_of, "", *({"event_id": v} for v in ("1234567890123456", "1.234567890123456e+15", "1e+14"))
    )
    assert [event["event_id"] for event in large] == ["shop:1234567890123456"] * 2 + ["shop:100000000000000"]
    others = ["007", "7", "007.0", "1e5", "12e45", "1.5", "-0.0", "1.2345E+15", "1e+30", "7.0.0", "7.", ".0", "1.5e+00"]
    kept = mapped(rows, contract_of, "", *({"event_id": v} for v in others))
    assert [event["event_id"] for event in kept] == [f"shop:{v}" for v in others]


def test_a_composite_key_is_all_of_its_columns(rows, contract_of):
    """Sessions that are numbered per user are told apart, without ambiguity; without one part there is no session."""
    said = "columns: {session_uuid: [user_id, n]}"
    parts = [("a", "bc"), ("ab", "c"), ("a", "bc"), ("a", 1), ("a", "1.0"), (None, "1"), ("a", "NULL"), ("a", None)]
    sessions = [
        event["session_uuid"] for event in mapped(rows, contract_of, said, *({"user_id": u, "n": n} for u, n in parts))
    ]
    assert sessions[0] == sessions[2] == str(uuid.uuid5(NAMESPACE, "1:a,2:bc,"))
    assert sessions[1] == str(uuid.uuid5(NAMESPACE, "2:ab,1:c,"))
    assert sessions[3] == sessions[4] == str(uuid.uuid5(NAMESPACE, "1:a,1:1,"))
    assert sessions[5:] == [None, None, None]
    events = mapped(rows, contract_of, "columns: {event_id: [user_id, n]}", {"n": 1}, {"n": "1"}, {"n": 2}, {"n": None})
    first = "shop:" + hashlib.md5(b"1:u,1:1,").hexdigest()
    assert [event["event_id"] for event in events][:2] == [first, first]
    assert events[2]["event_id"] not in (first, None)
    assert events[3]["event_id"] is None


def test_columns_of_a_composite_key_are_no_attributes(rows, contract_of):
    """What is mapped is not kept a second time."""
    (event,) = mapped(rows, contract_of, "columns: {session_uuid: [user_id, n]}", {"n": 1, "session_uuid": "seen"})
    assert event["attributes"] == '{"session_uuid":"seen"}'


def test_the_first_column_with_an_id_gives_it(rows, contract_of):
    """Markers in the first column are passed over; the second gives the id it would give alone."""
    said = "columns: {user_id: {first_of: [login, cookie]}}"
    events = mapped(
        rows,
        contract_of,
        said,
        {"login": "ann", "cookie": "c"},
        {"login": "NULL", "cookie": "c"},
        {"cookie": "c"},
        {"login": "", "cookie": None},
    )
    alone = mapped(rows, contract_of, "columns: {user_id: login}", {"login": "ann"}, {"login": "c"})
    assert [event["user_id"] for event in events] == [alone[0]["user_id"], *[alone[1]["user_id"]] * 2, None]


def test_admitted_rows_without_a_user_are_alone(rows, contract_of):
    """Each has a user of its own, that shows what it is; a session only where it has none; repeats are one event."""
    landed = [
        {"event_id": "a", "user_id": None},
        {"event_id": "b", "user_id": "NULL"},
        {"event_id": "b", "user_id": ""},
    ]
    landed += [
        {"event_id": "c", "user_id": None, "session_uuid": None},
        {"event_id": "d", "user_id": None, "session_uuid": "-"},
    ]
    landed += [{"event_id": "e"}, {"event_id": "f", "session_uuid": None}]
    found = mapped(rows, contract_of, "ids: {anonymous: admit}", *landed)
    users, sessions = [event["user_id"] for event in found], [event["session_uuid"] for event in found]
    assert users[1] == users[2]
    assert len({*users[:5]}) == 4
    assert all(user.startswith("anon_") and len(user) == 21 for user in users[:5])
    assert users[5].startswith("usr_")
    known = str(uuid.uuid5(NAMESPACE, "s"))
    assert sessions[:3] == [known] * 3
    assert len({known, sessions[3], sessions[4]}) == 3
    assert None not in sessions[:6]
    assert sessions[6] is None
    rejected = mapped(rows, contract_of, "", *landed)
    assert [event["user_id"] is None for event in rejected] == [True] * 5 + [False] * 2


def test_events_without_ids_have_one_by_their_values(rows, contract_of):
    """Where nobody says that events have ids, a row with one keeps it and a row without one gets its own."""
    bare = {"event_id": None}
    events = mapped(rows, contract_of, "", {}, bare, {**bare, "page": "/"}, {"event_id": "undefined"})
    assert events[0]["event_id"] == "shop:e"
    assert events[1]["event_id"] == events[3]["event_id"] != events[2]["event_id"]
    assert all(len(event["event_id"]) == len("shop:") + 32 for event in events[1:])
    stated = mapped(rows, contract_of, "columns: {event_id: event_id}", {}, bare)
    assert [event["event_id"] for event in stated] == ["shop:e", None]


def test_equal_rows_are_kept_apart_where_the_contract_says_so(rows, contract_of):
    """With `duplicates: keep` two equal lines are two events; a producer's id still is one event."""
    bare = {"event_id": None}
    dropped = mapped(rows, contract_of, "", bare, bare)
    kept = mapped(rows, contract_of, "duplicates: keep", bare, bare, {}, {})
    assert len({event["event_id"] for event in dropped}) == 1
    assert len({event["event_id"] for event in kept}) == 3
    again = mapped(rows, contract_of, "duplicates: keep", bare, bare)
    assert [event["event_id"] for event in again] == [event["event_id"] for event in kept[:2]]


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ("columns: {event_type: [a, b]}", "columns.event_type"),
        ("columns: {event_timestamp: {first_of: [a, b]}}", "columns.event_timestamp"),
        ("columns: {user_id: [a, a]}", "columns.user_id"),
        ("columns: {user_id: [a]}", "columns.user_id"),
        ("columns: {user_id: [a, b..c]}", "columns.user_id"),
        ("columns: {user_id: {first: [a, b]}}", "columns.user_id"),
        ("columns: {user_id: 5}", "columns.user_id"),
        ("columns: {event_id: a}\nduplicates: keep", "duplicates"),
        ("identity: [user_id]\nduplicates: keep", "duplicates"),
        ("ids: {sentinels: [true]}", "ids.sentinels.0"),
        ("ids: {anonymous: yes}", "ids.anonymous"),
    ],
)
def test_what_makes_no_sense_is_refused(contract_of, said, key):
    """The error names the key."""
    with pytest.raises(ContractError) as caught:
        contract_of(f"{PLAIN}\n{said}")
    assert caught.value.key == key


def test_contracts_that_say_nothing_of_ids_keep_their_hashes(contract_of):
    """The new keys change no hash by their defaults, and change it where they say something."""
    bare, spelled = contract_of(PLAIN), contract_of(f"{PLAIN}\nids: {{}}\nduplicates: drop")
    assert bare.content_hash == spelled.content_hash
    said = (
        "ids: {sentinels: [-1]}",
        "ids: {anonymous: admit}",
        "duplicates: keep",
        "columns: {session_uuid: [user_id, s]}",
    )
    hashes = {contract_of(f"{PLAIN}\n{each}").content_hash for each in said}
    assert len(hashes | {bare.content_hash}) == len(said) + 1

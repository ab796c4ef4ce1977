"""Ids made in SQL equal those that Python's hmac, uuid and hashlib make."""

from __future__ import annotations

import hashlib
import hmac
import uuid

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml_data_platform.events.id_texts import NULL_MARKERS, absent_texts, id_text, id_text_sql
from ml_data_platform.events.identity import framed as frame
from ml_data_platform.events.ids import (
    IdKey,
    bind_id_key,
    hashed_event_id_sql,
    session_digest_sql,
    session_uuid_sql,
    user_id_sql,
)
from ml_data_platform_tests.examples import tried

id_texts = st.lists(st.text(max_size=40), min_size=1, max_size=20)


@given(texts=id_texts, domain=st.text(max_size=10))
@example(texts=["", "\0", "a\0b", "'; DROP TABLE x; --", "é", "👩‍👩‍👧"], domain="it's")
@tried(60)
def test_user_ids_are_keyed_hashes(evaluate, id_secret, texts, domain):
    """A user id is the first 16 hex digits of HMAC-SHA256 over domain, a zero byte and the producer's id."""

    def expected(text):
        message = domain.encode() + b"\0" + text.encode()
        return "usr_" + hmac.new(id_secret, message, hashlib.sha256).hexdigest()[:16]

    assert evaluate(user_id_sql(domain, "text"), texts) == [expected(text) for text in texts]


@given(secret=st.binary(max_size=200))
@example(secret=b"x" * 64)
@example(secret=b"x" * 65)
@tried(40)
def test_keys_of_any_length_are_padded_as_hmac_does(secret):
    """Short keys are padded and keys above one block hashed first, as RFC 2104 says."""
    with duckdb.connect() as connection:
        bind_id_key(connection, IdKey("any", secret))
        found = connection.execute("SELECT " + user_id_sql("d", "'u'")).fetchone()
    assert found == ("usr_" + hmac.new(secret, b"d\0u", "sha256").hexdigest()[:16],)


@given(texts=id_texts, source=st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True))
@tried(60)
def test_session_ids_are_version_5_uuids(evaluate, texts, source):
    """A session's UUID is uuid5 of the producer's id under the namespace of its source."""
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, f"ml-data-platform:{source}")
    digests = evaluate(session_digest_sql(source, "text"), texts)
    assert evaluate(session_uuid_sql("text"), digests) == [str(uuid.uuid5(namespace, text)) for text in texts]


@given(
    rows=st.lists(
        st.tuples(st.none() | st.text(max_size=6), st.none() | st.text(max_size=6)),
        min_size=1,
        max_size=20,
        unique=True,
    )
)
@example(
    rows=[("a", "b"), ("ab", ""), ("", "ab"), (None, "ab"), ("ab", None), ("1:a,", ""), ("", "1:a,"), (None, "-,")]
)
@tried(60)
def test_identity_values_are_framed(duck, rows):
    """Events have the same hashed id exactly when all their identity values are equal; NULL differs from empty."""
    expression = hashed_event_id_sql("s", [frame("$a::VARCHAR"), frame("$b::VARCHAR")])
    found = [duck.execute(f"SELECT {expression}", {"a": a, "b": b}).fetchall()[0][0] for a, b in rows]

    def framed(value):
        return b"-," if value is None else b"%d:%s," % (len(value.encode()), value.encode())

    assert found == ["s:" + hashlib.md5(framed(a) + framed(b)).hexdigest() for a, b in rows]
    assert len(set(found)) == len(rows)


ABSENT = absent_texts(NULL_MARKERS, ["-1"])
id_like = st.one_of(
    st.text(max_size=8),
    st.sampled_from([*NULL_MARKERS, "-1.0", " -1", "0", "0.0", "-0.0"]).flatmap(
        lambda text: st.sampled_from([text, text.upper(), f" {text}\u00a0", f"{text}x"])
    ),
    st.from_regex(r"-?[0-9]{1,20}(\.0{0,3})?", fullmatch=True),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**60), 2**60).map(lambda number: f"{float(number):e}"),
)


@given(texts=st.lists(id_like, min_size=1, max_size=20))
@tried(150)
def test_what_id_texts_say_is_the_same_in_sql_and_in_python(evaluate, texts):
    """Masking, in Python, and mapping, in SQL, agree on what is absent and on what is an integer."""
    assert evaluate(id_text_sql("text", ABSENT), texts) == [id_text(text, ABSENT) for text in texts]


@pytest.mark.parametrize("text", ["u1", "u1   ", " u1", "\tu1\r", "\u00a0u1\u200b", "\ufeffu1"])
def test_blanks_around_an_id_are_none_of_it(evaluate, text):
    """A column of fixed width, filled up with blanks, has the ids of one without; blanks within an id stay."""
    assert evaluate(id_text_sql("text", ABSENT), [text, "u 1"]) == ["u1", "u 1"]
    assert id_text(text, ABSENT) == "u1"


@pytest.mark.parametrize("text", [" 1000.0 ", "1000 ", "1000.00\t"])
def test_an_integer_is_read_through_its_blanks(evaluate, text):
    """What is around a number does not hide that it is one."""
    assert evaluate(id_text_sql("text", ABSENT), [text]) == ["1000"] == [id_text(text, ABSENT)]


def test_null_ids_stay_null(evaluate):
    """No platform id is made up for a row whose producer gave none."""
    assert evaluate(user_id_sql("d", "text"), [None]) == [None]
    assert evaluate(session_digest_sql("s", "text"), [None]) == [None]
    assert evaluate(session_uuid_sql("text"), [None]) == [None]


def test_a_connection_without_the_key_makes_no_user_ids():
    """A query on a connection that was not given the key fails and says what to call."""
    with duckdb.connect() as connection, pytest.raises(duckdb.InvalidInputException, match="call bind_id_key first"):
        connection.execute("SELECT " + user_id_sql("d", "'u'"))


def test_the_key_is_known_to_copy_statements(duck, id_secret, tmp_path):
    """Files written by COPY hold the same user ids as a query returns."""
    target = tmp_path / "ids.parquet"
    duck.execute(f"COPY (SELECT {user_id_sql('d', chr(39) + 'u' + chr(39))} AS id) TO '{target}' (FORMAT parquet)")
    expected = "usr_" + hmac.new(id_secret, b"d\0u", "sha256").hexdigest()[:16]
    assert duck.execute(f"SELECT id FROM '{target}'").fetchall() == [(expected,)]


def test_the_secret_is_in_no_text():
    """Neither the key's representation nor the query shows the secret."""
    key = IdKey("k", b"very secret bytes")
    assert "very secret" not in repr(key)
    assert b"very secret bytes".hex() not in user_id_sql("d", "x")

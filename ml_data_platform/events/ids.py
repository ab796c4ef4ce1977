"""Ids of users, sessions and events as SQL expressions.

Belongs here: how producer ids become platform ids, and the key that user ids are made with. Does not
belong here: where the key is kept (storage).

The secret never appears in query text, which ends up in logs and error messages: queries read it from two
variables of the connection, which `bind_id_key` sets. Variables work in ``COPY`` too; they belong to one
connection and are not seen by its cursors. Without them a query fails, it does not produce other ids.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ml_data_platform.events.sql_text import sql_identifier, sql_literal

USER_ID_HEX_DIGITS = 16
ANONYMOUS_PREFIX = "anon_"
"""Begins the ids of users that are one event each, because nobody knows them."""
_BLOCK_BYTES = 64
_HEX_DIGITS = "0123456789abcdef"
# RFC 9562, section 4.1: the two high bits of this digit are 10.
_VARIANT_DIGITS = "89ab" * 4


class _Connection(Protocol):
    def execute(self, query: str, parameters: Any = ..., /) -> Any: ...


@dataclass(frozen=True)
class IdKey:
    """The key of the user ids.

    Attributes:
        key_id: Names the key in records; not secret.
        secret: The key's bytes; kept out of every text.
    """

    key_id: str
    secret: bytes = field(repr=False)

    def variables(self) -> dict[str, bytes]:
        """Return the connection variables that `user_id_sql` reads: the padded key of HMAC (RFC 2104)."""
        secret = self.secret if len(self.secret) <= _BLOCK_BYTES else hashlib.sha256(self.secret).digest()
        block = secret.ljust(_BLOCK_BYTES, b"\0")
        return {"id_inner": bytes(byte ^ 0x36 for byte in block), "id_outer": bytes(byte ^ 0x5C for byte in block)}


def bind_id_key(connection: _Connection, key: IdKey) -> None:
    """Give a DuckDB connection the key, for all queries that it runs from now on.

    Args:
        connection: The connection itself, not a cursor of it.
        key: The key of the user ids.
    """
    for name, block in key.variables().items():
        connection.execute(f"SET VARIABLE {sql_identifier(name)} = $block", {"block": block})


def _variable(name: str) -> str:
    missing = sql_literal(f"The connection has no variable {name}: call bind_id_key first.")
    return f"coalesce(getvariable({sql_literal(name)}), error({missing})::BLOB)"


def user_id_sql(domain: str, producer_id: str) -> str:
    """Return SQL for ``usr_`` and 16 hex digits of HMAC-SHA256(key, domain, 0x00, producer id).

    Args:
        domain: The contract's domain of user ids.
        producer_id: SQL expression of the producer's id, text; NULL stays NULL.
    """
    inner = f"{_variable('id_inner')} || encode({sql_literal(domain)}) || '\\x00'::BLOB || encode({producer_id})"
    outer = f"sha256({_variable('id_outer')} || unhex(sha256({inner})))"
    return f"'usr_' || left({outer}, {USER_ID_HEX_DIGITS})"


def session_namespace(source: str) -> uuid.UUID:
    """Return the UUID that the session ids of a source live under."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"ml-data-platform:{source}")


def session_digest_sql(source: str, producer_id: str) -> str:
    """Return SQL for the SHA-1 hex that `session_uuid_sql` forms into a UUID.

    Args:
        source: The source of the session.
        producer_id: SQL expression of the producer's session id, text; NULL stays NULL.
    """
    return f"sha1(unhex({sql_literal(session_namespace(source).hex)}) || encode({producer_id}))"


def session_uuid_sql(digest: str) -> str:
    """Return SQL for the version 5 UUID (RFC 9562) of a digest.

    Args:
        digest: SQL column with `session_digest_sql`; it is named five times, so it should not be computed here.
    """
    variant = f"translate({digest}[17], {sql_literal(_HEX_DIGITS)}, {sql_literal(_VARIANT_DIGITS)})"
    return (
        f"{digest}[1:8] || '-' || {digest}[9:12] || '-5' || {digest}[14:16] || '-' || {variant} || {digest}[18:20] "
        f"|| '-' || {digest}[21:32]"
    )


def producer_event_id_sql(source: str, producer_id: str) -> str:
    """Return SQL for the event id made of the producer's own; NULL stays NULL."""
    return f"{sql_literal(source + ':')} || {producer_id}"


def hashed_event_id_sql(source: str, texts: Sequence[str]) -> str:
    """Return SQL for the event id made of what identifies the event.

    Args:
        source: The source of the event.
        texts: SQL expressions of texts that are framed, so that no two lists of values are joined to one text.
    """
    return f"{sql_literal(source + ':')} || md5(concat({', '.join(texts)}))"


def anonymous_text_sql(text: str) -> str:
    """Return SQL for the producer's id that an event without a user, or without a session, has for itself alone.

    Args:
        text: SQL column of the event id.
    """
    return f"concat('anonymous:', {text})"


def anonymous_user_id_sql(text: str) -> str:
    """Return SQL for the user id of an event without a user: ``anon_`` and 16 hex digits, its own.

    Args:
        text: SQL column of the event id.
    """
    return f"{sql_literal(ANONYMOUS_PREFIX)} || left(md5({anonymous_text_sql(text)}), {USER_ID_HEX_DIGITS})"

"""Stored records: one JSON text per value, and strict reading.

Belongs here: the form that all records share. Does not belong here: the fields of any of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ml_data_platform.errors import RecordError, StageFailedError


def canonical_json(value: Any) -> bytes:
    """Return the one JSON text of a value: sorted keys, ASCII, no NaN.

    Raises:
        StageFailedError: The value has no JSON form.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (TypeError, ValueError) as error:
        raise StageFailedError("A record holds a value that JSON cannot hold.", got=error) from error


def digest_of(fields: Mapping[str, Any]) -> str:
    """Return the hash, hex, by which a record that was edited is told from one that was written."""
    return hashlib.sha256(canonical_json(dict(fields))).hexdigest()


def sealed(fields: Mapping[str, Any], *, form: int) -> bytes:
    """Return fields as a stored record of format ``form``, with a digest of all the rest."""
    return canonical_json({"format": form, "digest": digest_of(fields), **fields}) + b"\n"


Types = Mapping[str, tuple[type, ...]]
Noted = Callable[[str, bytes], None]
"""Told the key and the bytes of a record without a digest; raises `RecordError` where it must not be read."""
_NONE: Types = {}


def read_fields(
    data: bytes, *, where: str, types: Types, form: int, optional: Types = _NONE, noted: Noted | None = None
) -> dict[str, Any]:
    """Return the fields of a stored record of format ``form``, as it was written: not one bit may be another.

    Args:
        data: Its bytes.
        where: Its key, for the message.
        types: The fields that it must have, and their types.
        form: The number of the format.
        optional: Fields that it may have, and their types.
        noted: Asked about a record without a digest, as they were written before there was one; else it is damaged.

    Raises:
        RecordError: The bytes are not the one text of these fields and types, or were changed after they were written.
    """
    value = parsed_object(data, where=where)
    found = value.pop("format", None)
    if type(found) is not int or found != form:
        raise RecordError("A record has another format.", file=where, expected=f"an object of format {form}")
    if "digest" in value:
        digest = value.pop("digest")
        if digest != digest_of(value):
            raise RecordError("A record was changed after it was written.", file=where)
        texts = {sealed(value, form=form)}
    elif noted is None:
        raise RecordError("A record has no digest: it was not written so.", file=where)
    else:
        noted(where, data)
        text = canonical_json({"format": form, **value})
        texts = {text, text + b"\n"}
    if data not in texts:
        raise RecordError("A record is not written as the platform writes it.", file=where)
    return check_fields(value, where=where, types=types, optional=optional)


def parsed_object(data: bytes, *, where: str) -> dict[str, Any]:
    """Return the JSON object that a record is.

    Raises:
        RecordError: It is none.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RecordError("A record is not JSON.", file=where, got=error) from error
    if not isinstance(value, dict):
        raise RecordError("A record is no JSON object.", file=where, got=type(value).__name__)
    return value


def form_of(data: bytes) -> object:
    """Return the format that a stored record says it has; None where it says nothing."""
    try:
        return parsed_object(data, where="").get("format")
    except RecordError:
        return None


def check_fields(value: Any, *, where: str, types: Types, optional: Types = _NONE) -> dict[str, Any]:
    """Return ``value`` as a dictionary of exactly the fields of ``types``, and some of ``optional``, each of its type.

    Raises:
        RecordError: It is something else; all wrong fields are named.
    """
    if not isinstance(value, dict) or not types.keys() <= value.keys() <= types.keys() | optional.keys():
        got = sorted(value) if isinstance(value, dict) else type(value).__name__
        raise RecordError("A record has other fields.", file=where, expected=sorted(types), got=got)
    wrong = [name for name in value if type(value[name]) not in (types.get(name) or optional[name])]
    if wrong:
        raise RecordError("Fields of a record have another type.", file=where, fields=wrong)
    return value


def check_instant(text: str) -> datetime:
    """Return the instant that ISO-8601 text with an offset names.

    Raises:
        RecordError: It names none, or has no offset.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise RecordError("A record's instant is unusable.", expected="ISO-8601 with an offset", got=text)
    return instant

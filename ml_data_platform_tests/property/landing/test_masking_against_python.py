"""Masking the text of a row is masking its values, one by one, whatever JSON it is."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ml_data_platform.events.contracts import parse_contract
from ml_data_platform.events.masking_plan import masking_plan
from ml_data_platform.landing.chunks import CHUNK
from ml_data_platform.landing.masking import Masker, MaskingKeys
from ml_data_platform_tests.examples import tried

CONTRACT = """
source: shop
format: jsonl
schema_version: 2
identity: [user_id]
pii: {columns: {a: mask, b: drop, c: keep, d.a: mask, d.b: keep}, domain: x}
"""
KEYS = ["a", "b", "c", "d", "user_id", "other", "Ann", "a b", "é", '"', "\\"]
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.text(max_size=6))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)),
    max_leaves=8,
)


def hashed(purpose: str, text: str) -> str:
    """Return a mask by Python's own HMAC."""
    message = f"{purpose}\0x\0{text}".encode("utf-8", "surrogatepass")
    return "masked_" + hmac.new(b"s" * 32, message, hashlib.sha256).hexdigest()[:32]


def mask(value: Any) -> Any:
    """Return what stands in a value's place: nothing instead of nothing, a mask of its text instead of all else."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return value
    return hashed("value", value if isinstance(value, str) else json.dumps(value, separators=(",", ":")))


def expected(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as the contract above says, written down case by case."""
    found: dict[str, Any] = {}
    for key, value in row.items():
        if key == "b":
            continue
        if key == "c":
            found[key] = value
        elif key == "user_id":
            found[key] = named(value)
        elif key == "d":
            found[key] = inner(value)
        elif key == "a":
            found[key] = mask(value)
        else:
            found[hashed("name", key)] = mask(value)
    return found


def named(value: Any) -> Any:
    """A plain value of a field stays; what is within an object is unnamed; an array is."""
    if isinstance(value, dict):
        return {hashed("name", key): mask(each) for key, each in value.items()}
    return mask(value) if isinstance(value, list) else value


def inner(value: Any) -> Any:
    """Under ``d``: two keys are named, in elements of arrays too; a plain value is masked."""
    if isinstance(value, list):
        return [inner(each) for each in value]
    if not isinstance(value, dict):
        return mask(value)
    whole: dict[str, Any] = {}
    for key, each in value.items():
        if key == "b":
            whole[key] = each
        else:
            whole[key if key == "a" else hashed("name", key)] = mask(each)
    return whole


@given(rows=st.lists(st.dictionaries(st.sampled_from(KEYS), values, max_size=8), min_size=1, max_size=4))
@tried(150)
def test_masked_rows_are_their_values_masked(rows):
    """The text of a masked row parses to what masking the parsed values one by one gives."""
    plan = masking_plan(parse_contract(CONTRACT, file="shop.yaml"))
    assert plan is not None
    texts = [json.dumps(row, separators=(",", ":")) for row in rows]
    chunk = pa.table([list(range(len(rows))), texts, pa.nulls(len(rows), pa.string())], schema=CHUNK)
    found = Masker(plan, MaskingKeys("key", b"s" * 32, b"f" * 32)).mask_chunk(chunk)
    assert found["defect"].null_count == len(rows)
    assert [json.loads(text) for text in found["landed"].to_pylist()] == [expected(row) for row in rows]

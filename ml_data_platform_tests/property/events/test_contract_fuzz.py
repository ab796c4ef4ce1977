"""Any text is either a contract whose queries run, or refused by the one error."""

from __future__ import annotations

import datetime as dt
import json

import pyarrow as pa
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ml_data_platform.errors import ContractError
from ml_data_platform.events.contract_model import SourceContract
from ml_data_platform.events.contracts import parse_contract
from ml_data_platform.events.parsing import mapping_query, routing_query, unknown_columns_query
from ml_data_platform.events.registry_file import SHIPPED_REGISTRY
from ml_data_platform_tests.examples import tried

SCHEMA_VERSIONS = SHIPPED_REGISTRY.versions
FIELDS = sorted({name for version in SCHEMA_VERSIONS.values() for name in version.fields})
SECTIONS = sorted(SourceContract.model_fields)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.sampled_from(["csv", "jsonl", "infer", "s", "ms", "UTC", "page_view", "evolve", "freeze", "discard", "clock"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.sampled_from([*FIELDS, "zone", "epoch_unit", "mapping", "column"]), scalars), inner, max_size=3
        ),
    ),
    max_leaves=6,
)
anything = st.dictionaries(st.one_of(st.sampled_from(SECTIONS), st.text(max_size=5)), values, max_size=8)
valid = {"source": "shop", "format": "jsonl"}
nearly_valid = st.dictionaries(st.sampled_from(SECTIONS), values, max_size=2).map(lambda changes: {**valid, **changes})


def taken_or_refused(content):
    """Return the contract, or None where it was refused as it should be."""
    try:
        return parse_contract(content, file="fuzz.yaml")
    except ContractError as caught:
        refused = caught
    assert len(str(refused)) <= 2_000
    assert refused.file == "fuzz.yaml"
    return None


@given(
    content=st.one_of(
        st.binary(max_size=60), st.text(max_size=60), st.text(alphabet="&*!|>?:-[]{}\"'\n a1", max_size=30)
    )
)
@tried(200)
def test_any_text_is_taken_or_refused(content):
    """No bytes make the reader fail otherwise than by a ContractError."""
    taken_or_refused(content)


@given(raw=st.one_of(anything, nearly_valid))
@tried(250)
def test_any_mapping_is_taken_or_refused(raw):
    """No values under known or unknown keys make the model fail otherwise; what is taken has both hashes."""
    contract = taken_or_refused(yaml.safe_dump(raw, allow_unicode=True))
    if contract is not None:
        assert len(contract.content_hash) == len(contract.routing_hash(dt.date(2026, 1, 1))) == 64


names = st.one_of(
    st.text(min_size=1, max_size=12),
    st.text(alphabet="'\"\\;-$%/*~\0\n{}[]", min_size=1, max_size=8),
    st.sampled_from(["a.b", "landed", "texts", "schema_version", "x'; DROP TABLE t; --"]),
)


time_formats = st.one_of(
    names,
    st.lists(
        st.sampled_from(["%Y", "%y", "%m", "%b", "%d", "%H", "%I", "%M", "%S", "%f", "%p", "%z", "%%", "-", "'", "("])
    )
    .map("".join)
    .filter(bool),
    st.sampled_from(["%d.%m.%Y %H:%M", "%Y%m%d", "%b %d %y, %I %p", "%d'(\n%m[%Y"]),
)


@st.composite
def whole_contracts(draw):
    """Return mappings that are valid but for what a strange name may break."""
    version = draw(st.sampled_from([1, 2, "infer"]))
    numbers = sorted(SCHEMA_VERSIONS) if version == "infer" else [version]
    fields = {name for number in numbers for name in SCHEMA_VERSIONS[number].fields} - {"label"}
    return {
        "source": draw(st.from_regex(r"\A[a-z][a-z0-9_]{0,10}\Z")),
        "format": draw(st.sampled_from(["csv", "jsonl"])),
        "schema_version": version,
        "columns": {name: draw(names) for name in sorted(fields)},
        "event_time": {
            "epoch_unit": draw(st.sampled_from(["s", "ms", "us", "ns"])),
            "zone": draw(st.sampled_from(["UTC", "Asia/Tokyo"])),
            **draw(st.fixed_dictionaries({}, optional={"time_column": names, "format": time_formats})),
        },
        "event_type": draw(
            st.fixed_dictionaries(
                {"mapping": st.dictionaries(names, st.just("search"), max_size=3)},
                optional={"default": st.just("other")},
            )
        ),
        "identity": draw(st.lists(names, max_size=3)),
        "label": draw(st.none() | names),
        "user_id_domain": draw(st.none() | names),
        "unknown_columns": draw(st.sampled_from(["evolve", "freeze", "discard"])),
    }


@given(raw=whole_contracts())
@tried(60)
def test_queries_of_any_taken_contract_run(duck, raw):
    """Whatever names a contract uses, its queries run over any row and lose none."""
    contract = taken_or_refused(yaml.safe_dump(raw, allow_unicode=True))
    if contract is None:
        return
    landed = [json.dumps(dict.fromkeys(raw["columns"].values(), "x")), "{}", '{"_unparsed": "x"}']
    duck.register(
        "fuzz_rows", pa.table({"source_row": [0, 1, 2], "landed": landed, "defect": pa.nulls(3, pa.string())})
    )
    routed = routing_query(
        contract, "fuzz_rows", start_date=dt.date(2026, 1, 1), latest=dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
    )
    assert [
        row["source_row"] for row in duck.sql(f"SELECT * FROM ({routed}) ORDER BY 1").to_arrow_table().to_pylist()
    ] == [0, 1, 2]
    raw_rows = f"(SELECT '{contract.source}' AS source, 'f' AS source_file, * FROM ({routed}))"
    assert duck.sql(mapping_query({contract.source: contract}, raw_rows)).to_arrow_table().num_rows == 3
    unknown = duck.sql(unknown_columns_query(contract, "fuzz_rows")).to_arrow_table()["column_name"].to_pylist()
    assert set(unknown) & contract.known_columns == set()
    assert "_unparsed" in unknown

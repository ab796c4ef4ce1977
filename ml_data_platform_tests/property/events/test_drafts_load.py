"""Whatever a file looks like, its draft is a contract, or says what it lacks."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from ml_data_platform.errors import ContractError
from ml_data_platform.events.column_roles import NAMES
from ml_data_platform.events.contracts import parse_contract
from ml_data_platform.events.drafting import write_draft
from ml_data_platform.events.inference import infer_contract
from ml_data_platform.events.profiles import NESTED, profile_rows
from ml_data_platform_tests.examples import tried

LATEST = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
names = st.one_of(
    st.sampled_from(sorted({name for role in NAMES.values() for name in role})),
    st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="."), min_size=1, max_size=8),
)
cells = st.one_of(
    st.none(),
    st.just(NESTED),
    st.integers(0, 3).map(str),
    st.sampled_from(
        ["2026-06-01T10:00:00Z", "01.06.2026 10:00", "01.06.2026", "10:00:00", "1780315207", "1780315207000"]
    ),
    st.sampled_from(["view", "purchase", "12,5", "0.5", "a" * 300, "'", '"', "#", "- x", "x\ny", "\x07"]),
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=5),
)


@st.composite
def tables(draw):
    """Return rows of a few columns, each drawn from a few values so that some repeat."""
    columns = draw(st.lists(names, min_size=1, max_size=7, unique=True))
    pools = {column: draw(st.lists(cells, min_size=1, max_size=4)) for column in columns}
    count = draw(st.integers(1, 30))
    return [
        {column: pool[(n * (at + 1)) % len(pool)] for at, (column, pool) in enumerate(pools.items())}
        for n in range(count)
    ]


@given(rows=tables(), form=st.sampled_from(["csv", "jsonl", "parquet"]))
@tried(100)
def test_a_draft_loads_unless_it_says_what_is_missing(rows, form):
    """The YAML of a draft is read back as the contract that it drafts, or refused exactly where something is missing."""
    draft = infer_contract(profile_rows(rows), source="shop", form={"format": form}, latest=LATEST)
    text = write_draft(draft, origin="any\nfile")
    try:
        contract = parse_contract(text, file="shop.yaml")
    except ContractError:
        assert draft.missing
        return
    assert not draft.missing
    columns = {name: column for name, column in draft.keys.get("columns", {}).items() if column is not None}
    assert columns.items() <= {name: c for v in contract.versions for name, c in contract.fields(v).items()}.items()
    assert set(columns.values()) <= set(rows[0])

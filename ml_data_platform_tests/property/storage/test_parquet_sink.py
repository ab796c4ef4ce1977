"""A file's bytes follow its rows and nothing else."""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from ml_data_platform.events.schemas import LANDED_ROWS, QUARANTINED_EVENTS
from ml_data_platform.storage import parquet
from ml_data_platform.storage.parquet import ParquetSink, verify_file
from ml_data_platform_tests.examples import tried

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = st.one_of(st.none(), st.text(max_size=5))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "source": TEXTS,
            "source_file": TEXTS,
            "source_row": st.integers(0, 2**40),
            "event_time": st.one_of(
                st.none(), st.integers(0, 10**12).map(lambda micros: EPOCH + timedelta(microseconds=micros))
            ),
            "schema_version": st.one_of(st.none(), st.integers(1, 2)),
            "event_id": TEXTS,
            "rules": st.one_of(st.none(), st.lists(TEXTS, max_size=3)),
            "kept_source_file": st.none(),
            "kept_source_row": st.one_of(st.none(), st.integers(0, 9)),
            "landed": TEXTS,
        }
    ),
    max_size=40,
)


def _write(path, table, batches):
    with ParquetSink(path, table) as sink:
        for batch in batches:
            sink.write(batch)
    return path.read_bytes()


@given(rows=ROWS, cuts=st.lists(st.integers(0, 40), max_size=8), group=st.integers(1, 12))
@tried(60)
def test_bytes_do_not_depend_on_how_rows_are_batched(tmp_path_factory, rows, cuts, group):
    """Any cut of the same rows, as slices or fresh batches, gives the same bytes; all rows come back."""
    folder = tmp_path_factory.mktemp("sink")
    whole = pa.Table.from_pylist(rows, schema=QUARANTINED_EVENTS.columns)
    borders = sorted({0, len(rows), *(cut for cut in cuts if cut <= len(rows))})
    slices = [whole.slice(start, stop - start) for start, stop in pairwise(borders)]
    fresh = [pa.Table.from_pylist(piece.to_pylist(), schema=QUARANTINED_EVENTS.columns) for piece in slices]
    batches = [batch for piece in slices for batch in piece.to_batches()]
    normal, parquet.ROW_GROUP_ROWS = parquet.ROW_GROUP_ROWS, group
    try:
        written = [
            _write(folder / str(number), QUARANTINED_EVENTS, pieces)
            for number, pieces in enumerate([[whole], slices, fresh, batches])
        ]
    finally:
        parquet.ROW_GROUP_ROWS = normal
    assert len(set(written)) == 1
    back = pq.read_table(folder / "1", partitioning=None)
    assert back.to_pylist() == rows
    staged = verify_file(folder / "1", QUARANTINED_EVENTS, "data.parquet")
    assert staged.rows == len(rows)
    assert staged.sha256 == hashlib.sha256(written[1]).hexdigest()


def test_row_groups_hold_131072_rows_whatever_arrives(tmp_path):
    """At real size: groups are full but the last, and odd batches give the bytes of one big batch."""
    size = 2 * 131_072 + 4_321
    chooser = random.Random(20260304)
    rows = pa.table(
        {
            "source_row": pa.array(range(size), pa.int64()),
            "event_time": pa.array(
                [1_770_000_000_000_000 + chooser.randrange(10**10) for _ in range(size)], pa.timestamp("us", tz="UTC")
            ),
            "schema_version": pa.array([chooser.choice([1, 2, None]) for _ in range(size)], pa.int16()),
            "landed": pa.array([f"line {chooser.randrange(1000)}" for _ in range(size)], pa.string()),
        }
    )
    borders = [0, *sorted(chooser.sample(range(1, size), 17)), size]
    pieces = [rows.slice(start, stop - start) for start, stop in pairwise(borders)]
    one, many = _write(tmp_path / "one", LANDED_ROWS, [rows]), _write(tmp_path / "many", LANDED_ROWS, pieces)
    assert one == many
    footer = pq.read_metadata(tmp_path / "many")
    assert [footer.row_group(group).num_rows for group in range(footer.num_row_groups)] == [131_072, 131_072, 4_321]
    assert pq.read_table(tmp_path / "many", partitioning=None).equals(rows)

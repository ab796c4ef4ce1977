"""A Parquet file with a damaged column: the refusal names the column and the row group."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_data_platform.errors import LandingError
from ml_data_platform.landing.parquet import open_parquet, read_rows

ROWS = 2_000


@pytest.mark.parametrize(("column", "group"), [("user", 0), ("page", 1), ("spent", 1)])
def test_the_column_that_cannot_be_decoded_is_named(tmp_path: Path, column: str, group: int) -> None:
    """Whichever it is; the whole file is read to its end."""
    path, names = tmp_path / "events.parquet", ["user", "page", "spent"]
    texts = [str(number) * 9 for number in range(ROWS)]
    table = pa.table({"user": texts, "page": texts[::-1], "spent": list(range(ROWS))})
    pq.write_table(table, path, row_group_size=ROWS // 2, use_dictionary=False)
    with open_parquet(path, None) as whole:
        assert sum(batch.num_rows for batch in read_rows(whole, path.stat().st_size)) == ROWS

    chunk = pq.read_metadata(path).row_group(group).column(names.index(column))
    data = bytearray(path.read_bytes())
    data[chunk.data_page_offset : chunk.data_page_offset + 600] = b"\xa5" * 600
    path.write_bytes(data)

    with open_parquet(path, None) as damaged, pytest.raises(LandingError) as refused:
        list(read_rows(damaged, len(data)))
    assert (refused.value.column, refused.value.row_group) == (column, f"{group + 1} of 2")

"""A staged file is read back to its last page before it is published."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_data_platform.errors import VerificationError
from ml_data_platform.storage.commit_log import CommitLog
from ml_data_platform.storage.local_objects import LocalObjectStore
from ml_data_platform.storage.parquet import verify_file
from ml_data_platform.storage.scrub import Scrub
from ml_data_platform_tests.storage_tables import SINGLE

ROWS = 70_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A whole file of several row groups."""
    path = tmp_path / "data.parquet"
    rows = pa.table({"row": range(ROWS), "generation": [number % 7 for number in range(ROWS)]}, schema=SINGLE.columns)
    pq.write_table(rows.replace_schema_metadata(SINGLE.metadata), path, compression="zstd", row_group_size=20_000)
    return path


def test_a_whole_file_is_accepted(path: Path) -> None:
    """Its rows are counted, and its hash is that of its bytes."""
    found = verify_file(path, SINGLE, "data.parquet")
    assert (found.rows, found.size_bytes) == (ROWS, path.stat().st_size)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("group", range(4))
@pytest.mark.parametrize("column", range(2))
def test_a_damaged_page_is_refused_wherever_it_lies(path: Path, group: int, column: int) -> None:
    """Whose footer is whole: each column of each row group is decoded."""
    chunk = pq.read_metadata(path).row_group(group).column(column)
    begin = chunk.data_page_offset if chunk.dictionary_page_offset is None else chunk.dictionary_page_offset
    data = bytearray(path.read_bytes())
    for place in range(begin, min(begin + 40, begin + chunk.total_compressed_size)):
        data[place] ^= 0xFF
    path.write_bytes(data)
    assert pq.read_metadata(path).num_rows == ROWS
    with pytest.raises(VerificationError, match="cannot be read back"):
        verify_file(path, SINGLE, "data.parquet")


def test_a_name_in_the_footer_that_is_no_text_is_refused(path: Path) -> None:
    """One bit of a column's name makes it no UTF-8, over which the reader itself falls."""
    content = path.read_bytes()
    path.write_bytes(content.replace(b"generation", b"gener\xe1tion"))
    with pytest.raises(VerificationError, match="cannot be read back"):
        verify_file(path, SINGLE, "data.parquet")
    store = LocalObjectStore(path.parent)
    assert Scrub(store, CommitLog(store)).read("files", [path.name])[path.name].rows is None

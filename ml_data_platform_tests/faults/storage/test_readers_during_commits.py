"""A reader that never rests, during commits that never rest, sees only whole generations."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest

from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.faults.storage.writer_process import writers
from ml_data_platform_tests.storage_tables import (
    DAY,
    PARTED,
    SINGLE,
    files_below,
    generation_in,
    present,
    publish,
    shown_generations,
    write_files,
)

READS = 1_000
MAX_CONTROL_READS = 60_000


@pytest.mark.parametrize("table", [SINGLE, PARTED], ids=lambda table: table.name)
def test_readers_never_see_a_missing_mixed_or_garbled_partition(tmp_path, table):
    """Through the log always one whole generation; in the view whole files, never older than before.

    Every one of 1,000 reads counts; the writer replaces the partition as fast as it can meanwhile.
    """
    store = TableStore(tmp_path, present)
    publish(store, table, 1, expected=0)
    pinned, shown = [], []
    with writers(1) as (writer,):
        assert writer.ask(do="recommit", root=tmp_path, table=table.name, first=2) == {"started": True}
        for _ in range(READS):
            found = {generation_in(path) for path in store.ref(table.name, [DAY]).paths()}
            assert len(found) == 1
            pinned.append(found.pop())
            shown.append(shown_generations(tmp_path, table))
            assert len(files_below(tmp_path / "data")) == len(table.files)
        writer.order(do="stop")
        last = writer.answer()["last"]
    assert pinned == sorted(pinned)
    for older, newer in pairwise(shown):
        assert max(older) <= max(newer)
        assert min(older) <= min(newer)
    assert len(set(pinned)) >= 10
    assert shown_generations(tmp_path, table) == {last}


def test_the_reader_would_notice_delete_then_rename(tmp_path):
    """Negative control: the same reader on a partition replaced by delete-then-rename finds it missing."""
    sources = [str(next(iter(write_files(tmp_path, SINGLE, generation).values()))) for generation in (1, 2)]
    target = tmp_path / "data" / SINGLE.name / f"dt={DAY}" / "data.parquet"
    target.parent.mkdir(parents=True)
    target.write_bytes(Path(sources[0]).read_bytes())
    anomalies = 0
    with writers(1) as (writer,):
        assert writer.ask(do="delete_then_rename", target=target, sources=sources) == {"started": True}
        for _ in range(MAX_CONTROL_READS):
            try:
                shown_generations(tmp_path, SINGLE)
            except (OSError, pa.ArrowException):
                anomalies += 1
            if anomalies >= 5:
                break
        writer.order(do="stop")
        assert writer.answer()["last"] > 0
    assert anomalies >= 5

"""Delays add up over files, and their quantiles are those of the rows, within the error that is promised."""

from __future__ import annotations

import random

import duckdb
import numpy as np
import pytest

from ml_data_platform.events.delays import Delays, bucket_sql, merged

SHARES = (0.0, 0.5, 0.99, 1.0)


def counted(seconds: list[float]) -> Delays:
    """Count delays as landing does it: in SQL."""
    engine = duckdb.connect()
    engine.execute("CREATE TABLE t (s DOUBLE)")
    engine.executemany("INSERT INTO t VALUES (?)", [[each] for each in seconds])
    rows = engine.execute(f"SELECT {bucket_sql('s')} AS b, count(*) FROM t GROUP BY b").fetchall()
    return Delays(dict(rows), max(seconds))


@pytest.mark.parametrize("seed", range(5))
def test_quantiles_of_several_files_are_those_of_all_rows(seed: int) -> None:
    """However rows are spread over files, each quantile is within 1 % of the row of that rank; the maximum is exact."""
    rng = random.Random(seed)
    seconds = [rng.choice((rng.uniform(2, 60), rng.lognormvariate(8, 3) + 1.5)) for _ in range(300)]
    parts = np.array_split(np.array(seconds), [10, 11, 200])
    both = merged(Delays.of_text(counted(list(map(float, part))).to_text()) for part in parts)
    for share in SHARES:
        exact = float(np.quantile(seconds, share, method="inverted_cdf"))
        assert both.quantile(share) == pytest.approx(exact, rel=0.0101), share
    assert both.max_seconds == max(seconds)


def test_short_and_negative_delays_count_as_none() -> None:
    """Rows from clocks that run ahead, and of the last second, are not late; only the maximum tells them apart."""
    delays = counted([-500.0, -1.0, 0.0, 1.0])
    assert delays.rows == {0: 4}
    assert [delays.quantile(share) for share in SHARES] == [0.0] * 4
    assert counted([-7.0]).quantile(0.5) == 0.0
    assert counted([-7.0]).max_seconds == -7.0


def test_without_rows_there_is_nothing_to_say() -> None:
    """No quantile is invented."""
    assert (merged([]).quantile(0.5), merged([Delays(), Delays()]).max_seconds) == (None, None)

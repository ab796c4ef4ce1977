"""Sampling of negatives: every positive stays, the sample is stable, and probabilities can be brought back."""

from __future__ import annotations

import hashlib

import duckdb
import pytest

from ml_data_platform.errors import SplitError
from ml_data_platform.features.dialects import DUCKDB, render
from ml_data_platform.training.sampling import NegativeSampling, keep_condition, recalibrated, sampling_for_ratio

IDS = [f"shop:{number}" for number in range(4000)]


def kept(sampling: NegativeSampling) -> set[str]:
    """Return the ids that the condition keeps; every tenth is a positive."""
    condition = render(keep_condition(sampling), DUCKDB)
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"SELECT event_id FROM (SELECT 'shop:' || n AS event_id, CASE WHEN n % 10 = 0 THEN 1 ELSE 0 END AS label "
            f"FROM range({len(IDS)}) AS numbers(n)) WHERE {condition}"
        ).fetchall()
    return {row[0] for row in rows}


@pytest.mark.parametrize("rate", [1.0, 0.5, 0.1, 0.001])
def test_the_sample_is_the_hash_and_nothing_else(rate: float) -> None:
    """Positives all stay; a negative stays exactly if the first 32 bits of its keyed MD5 say so."""
    expected = {
        name
        for number, name in enumerate(IDS)
        if number % 10 == 0
        or rate == 1
        or int(hashlib.md5(f"negatives-1:{name}".encode()).hexdigest()[:8], 16) < round(rate * 2**32)
    }
    assert kept(NegativeSampling(rate)) == expected


def test_a_smaller_sample_is_part_of_a_larger_one() -> None:
    """Another ratio keeps what a smaller one kept; another salt does not."""
    small, large = kept(NegativeSampling(0.05)), kept(NegativeSampling(0.2))
    assert small < large
    assert not small < kept(NegativeSampling(0.2, salt="other"))


def test_the_ratio_is_kept_as_far_as_there_are_negatives() -> None:
    """Three per positive of 3600 negatives and 400 positives is a third; more than there are is all of them."""
    sampling = sampling_for_ratio(400, 3600, 3)
    assert sampling.rate == pytest.approx(1 / 3)
    assert len(kept(sampling)) == pytest.approx(400 + 1200, rel=0.05)
    assert sampling.negative_weight == pytest.approx(3)
    assert sampling_for_ratio(400, 100, 3).rate == 1
    for positives, ratio in ((0, 1.0), (5, 0.0)):
        with pytest.raises(SplitError):
            sampling_for_ratio(positives, 10, ratio)


def test_probabilities_come_back() -> None:
    """Of counts in a cell: what a model of the sample says, recalibrated, is the share before sampling."""
    for positives, negatives, rate in ((5, 1000, 0.1), (300, 50, 0.5), (1, 1, 1.0)):
        in_sample = positives / (positives + negatives * rate)
        assert recalibrated(in_sample, rate) == pytest.approx(positives / (positives + negatives))
    assert recalibrated(0.0, 0.1) == 0.0
    assert recalibrated(1.0, 0.1) == 1.0

"""Fewer negatives: a sample that depends on nothing but the event, and what it does to a probability.

Belongs here: the condition that keeps a row, the rate, the weight, and the way back to true probabilities. Does not
belong here: counting or reading rows. Only the train part is ever sampled: a test part that was sampled measures
another world.
"""

from __future__ import annotations

from dataclasses import dataclass

from ml_data_platform.errors import SplitError
from ml_data_platform.events.sql_text import sql_literal

DEFAULT_SALT = "negatives-1"
_RANGE = 2**32


@dataclass(frozen=True)
class NegativeSampling:
    """How negatives are sampled.

    Attributes:
        rate: Share of the negatives that are kept, over 0 and up to 1.
        salt: Another salt, another sample. With one salt, a smaller sample is part of a larger one.
    """

    rate: float
    salt: str = DEFAULT_SALT

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise SplitError("the sampling rate is out of bounds", expected="over 0 and up to 1", got=self.rate)

    @property
    def threshold(self) -> int:
        """Negatives whose 32-bit hash is below this are kept; the rate is rounded to it."""
        return max(1, round(self.rate * _RANGE))

    @property
    def negative_weight(self) -> float:
        """Weight of a kept negative that makes the sample stand for all; positives weigh 1."""
        return 1.0 / self.rate


def sampling_for_ratio(
    positives: int, negatives: int, per_positive: float, salt: str = DEFAULT_SALT
) -> NegativeSampling:
    """Return the sampling that keeps about so many negatives per positive; all of them where there are fewer.

    Args:
        positives: Number of rows with label 1.
        negatives: Number of rows with label 0.
        per_positive: Negatives per positive, over 0.
        salt: See ``NegativeSampling``.

    Raises:
        SplitError: There are no positives, or the ratio is not over 0.
    """
    if per_positive <= 0:
        raise SplitError("the number of negatives per positive must be over 0", got=per_positive)
    if positives == 0:
        raise SplitError(
            "there are no positives, so no ratio can be kept",
            remedy="Choose a longer train part.",
            negatives=negatives,
        )
    wanted = per_positive * positives
    return NegativeSampling(1.0 if negatives <= wanted else wanted / negatives, salt)


def keep_condition(sampling: NegativeSampling) -> str:
    """Return the portable condition on a labelled row that keeps it: every positive, and the sampled negatives."""
    if sampling.rate == 1:
        return "TRUE"
    return f"(label = 1 OR @hash32({sql_literal(sampling.salt + ':')} || event_id) < {sampling.threshold})"


def recalibrated(probability: float, rate: float) -> float:
    """Return the true probability behind one that was learnt from a sample without weights.

    Args:
        probability: As the model gives it, 0 to 1.
        rate: Share of negatives that were kept.

    Source: A. Dal Pozzolo et al., "Calibrating Probability with Undersampling for Unbalanced Classification", IEEE
    SSCI 2015, equation 4.
    """
    return probability * rate / ((1.0 - probability) + probability * rate)

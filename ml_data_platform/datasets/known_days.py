"""Up to when the labels of a version are known, and where it is best cut in two.

Belongs here: arithmetic on a manifest's days. Does not belong here: splits (``training.temporal``).
"""

from __future__ import annotations

import datetime as dt
from itertools import takewhile

from ml_data_platform.datasets.manifest import Manifest
from ml_data_platform.errors import SplitError

TEST_SHARE = 0.2


def known_through(manifest: Manifest) -> dt.datetime:
    """Return the end of the last day before any that lacks rows whose label is not known."""
    whole = [day.day for day in takewhile(lambda day: not day.immature_rows, manifest.days)]
    last = dt.date.fromisoformat(whole[-1] if whole else manifest.days[0].day)
    return dt.datetime.combine(last, dt.time(), tzinfo=dt.UTC) + dt.timedelta(days=1 if whole else 0)


def default_cutoff(manifest: Manifest) -> dt.date:
    """Return the day from which on about a fifth of the known days are tested.

    Raises:
        SplitError: The version has too few days to split.
    """
    end = known_through(manifest).date()
    days = [day.day for day in manifest.days if day.day < end.isoformat() and day.rows]
    if len(days) < 3:
        raise SplitError("the version has too few days to learn from and test on", days=len(days), expected="3 or more")
    return dt.date.fromisoformat(days[-max(1, round(len(days) * TEST_SHARE))])

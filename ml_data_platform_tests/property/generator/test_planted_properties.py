"""Whatever the seed, the size and the shares: the truth equals the files."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ml_data_platform.generator.generate import generate
from ml_data_platform.generator.kinds import DUPLICATE_KINDS
from ml_data_platform.generator.options import GeneratorOptions
from ml_data_platform_tests.examples import tried
from ml_data_platform_tests.planted_recount import kind_counts, read_lines

SHARES = st.sampled_from([0.0, 0.01, 0.3])
OPTIONS = st.builds(
    GeneratorOptions,
    duplicate_share=SHARES | st.just(1.0),
    broken_share=SHARES,
    undated_share=SHARES,
    late_share=SHARES | st.just(1.0),
    v2_share=SHARES | st.just(1.0),
    users=st.none() | st.integers(1, 50),
)


@tried(30)
@given(
    seed=st.integers(0, 2**64 - 1),
    start=st.dates(date(2002, 1, 1), date(2079, 12, 1)),
    days=st.integers(1, 3),
    events=st.integers(1, 120),
    options=OPTIONS,
)
def test_truth_equals_the_files(seed: int, start: date, days: int, events: int, options: GeneratorOptions) -> None:
    """Events before copies are exactly as many as asked; counts by day and by file equal a reading by json."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        planted = generate(out, start=start, days=days, events_per_day=events, seed=seed, options=options)
        lines = list(read_lines(out, start=start, days=days))
    copies = sum(planted.kinds.get(kind, 0) for kind in DUPLICATE_KINDS)
    assert planted.rows == len(lines) == days * events + copies
    counts = kind_counts(lines)
    undated = counts.pop(None, {})
    assert {line.file for line in lines} == set(planted.files)
    assert sum(undated.values()) == planted.undated
    assert {day: truth.rows for day, truth in planted.days.items()} == {
        day: found.total() for day, found in counts.items()
    }
    for day, truth in planted.days.items():
        assert truth.kinds.get("clean", 0) == counts[day]["clean"]
        assert truth.duplicates == counts[day]["duplicate"]
        assert truth.rejected == truth.rows - counts[day]["clean"] - counts[day]["duplicate"]
        assert truth.late == sum(line.is_late for line in lines if line.day == day)
        for rule, count in truth.rules.items():
            assert count == sum(rule in line.rules for line in lines if line.day == day)

"""Two weeks of sample data, generated once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from ml_data_platform.generator.generate import generate
from ml_data_platform.generator.truth import Planted
from ml_data_platform_tests.planted_recount import Line, read_lines

START, DAYS, EVENTS_PER_DAY, SEED = date(2026, 1, 5), 14, 2_000, 7


@dataclass(frozen=True)
class Sample:
    out: Path
    planted: Planted
    lines: list[Line]


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Two weeks of 2,000 events a day, with every default."""
    out = tmp_path_factory.mktemp("sample")
    planted = generate(out, start=START, days=DAYS, events_per_day=EVENTS_PER_DAY, seed=SEED)
    return Sample(out=out, planted=planted, lines=list(read_lines(out, start=START, days=DAYS)))

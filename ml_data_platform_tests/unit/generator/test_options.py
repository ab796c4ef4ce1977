"""Options: what is asked is planted, and what cannot be met is refused before a byte is written."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ml_data_platform.errors import SettingsError
from ml_data_platform.generator.generate import generate
from ml_data_platform.generator.kinds import BROKEN_KINDS, UNDATED_KINDS
from ml_data_platform.generator.options import GeneratorOptions
from ml_data_platform_tests.planted_recount import kind_counts, read_lines

SMALL: dict[str, Any] = {"start": date(2026, 1, 3), "days": 3, "events_per_day": 2_000, "seed": 5}


def test_one_day_is_poisoned(tmp_path: Path) -> None:
    """Near the asked share of the poisoned day's rows is broken, under every rule; other days are as usual."""
    options = GeneratorOptions(poisoned_day=date(2026, 1, 4), poisoned_share=0.3)
    generate(tmp_path, **SMALL, options=options)
    for day, counts in kind_counts(list(read_lines(tmp_path, start=date(2026, 1, 3), days=3))).items():
        broken = sum(count for kind, count in counts.items() if kind not in ("clean", "duplicate", *UNDATED_KINDS))
        if day == "2026-01-04":
            assert 0.25 < broken / counts.total() < 0.35
            assert set(BROKEN_KINDS) <= set(counts)
        elif day and counts.total() > 500:
            assert broken / counts.total() < 0.02


def test_nothing_is_planted_where_nothing_is_asked(tmp_path: Path) -> None:
    """With all shares zero every row is clean, on time, distinct and of format v1."""
    options = GeneratorOptions(duplicate_share=0, broken_share=0, undated_share=0, late_share=0, v2_share=0)
    generate(tmp_path, **SMALL, options=options)
    lines = list(read_lines(tmp_path, start=date(2026, 1, 3), days=3))
    assert len({line.event_id for line in lines}) == len(lines) == 6_000
    assert {(line.version, line.reason, line.rules, line.is_late) for line in lines} == {(1, None, (), False)}


def test_single_kinds_can_be_asked_for(tmp_path: Path) -> None:
    """A share given for one kind takes the place of its part, and leaves the other kinds alone."""
    shares = {"event_types_are_known": 0.2, "malformed_row": 0.0, "duplicate_across_versions": 0.1}
    planted = generate(tmp_path, **SMALL, options=GeneratorOptions(kind_shares=shares))
    assert 1_080 < planted.kinds["event_types_are_known"] < 1_320
    assert 380 < planted.kinds["duplicate_across_versions"] < 580
    assert "malformed_row" not in planted.kinds
    assert planted.kinds["user_ids_are_present"] < 20


def test_a_single_user_can_make_all_events(tmp_path: Path) -> None:
    """The population is as small as asked."""
    generate(tmp_path, **SMALL, options=GeneratorOptions(users=1))
    lines = read_lines(tmp_path, start=date(2026, 1, 3), days=3)
    assert len({line.body["user_id"] for line in lines if line.time and not line.rules}) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"late_share": 1.5},
        {"duplicate_share": -0.1},
        {"v2_share": float("nan")},
        {"broken_share": 0.7, "undated_share": 0.4},
        {"poisoned_share": 0.9, "undated_share": 0.2},
        {"kind_shares": {"unheard_of": 0.1}},
        {"kind_shares": {"malformed_row": 2.0}},
        {"users": 0},
        {"users": 10**8},
    ],
)
def test_unusable_options_are_refused(wrong: dict[str, Any]) -> None:
    """A share that is no fraction, shares that exceed the whole, unknown kinds and sizes are settings errors."""
    with pytest.raises(SettingsError):
        GeneratorOptions(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"days": 0},
        {"events_per_day": 0},
        {"events_per_day": 10**13},
        {"seed": -1},
        {"seed": 2**64},
        {"start": date(2001, 12, 31)},
        {"start": date(2079, 12, 31)},
        {"days": 10**9},
        {"options": GeneratorOptions(poisoned_day=date(2026, 1, 6))},
    ],
)
def test_unusable_arguments_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """Arguments out of bounds are settings errors, and nothing is written."""
    with pytest.raises(SettingsError):
        generate(tmp_path / "out", **{**SMALL, **wrong})
    assert not (tmp_path / "out").exists()

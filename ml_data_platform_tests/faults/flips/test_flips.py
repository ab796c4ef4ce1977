"""Bits that turn over in what is stored: nothing is built on them, `verify` finds each, and what can be had again comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_data_platform.storage import local_objects
from ml_data_platform_tests.faults.flips.consumers import CONSUMERS
from ml_data_platform_tests.faults.flips.lane import Lane
from ml_data_platform_tests.faults.flips.prepared import furnish
from ml_data_platform_tests.faults.flips.repairs import play
from ml_data_platform_tests.pipeline_root import PipelineRoot

SEED = 20260304
TRIALS = len(CONSUMERS)


@pytest.fixture(scope="module")
def furnished(built_root: PipelineRoot, tmp_path_factory: pytest.TempPathFactory) -> PipelineRoot:
    """A root with one of everything that is stored; each test leaves it as it was."""
    return furnish(built_root.copied(tmp_path_factory.mktemp("flips") / "root"))


@pytest.fixture
def unguarded() -> Iterator[None]:
    """The platform without the comparison of bytes with their name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_objects, "require_own_bytes", lambda *_: None)
        yield


def test_nothing_is_built_on_a_bit_that_turned_over(furnished):
    """Of every kind of stored file: refused in the platform's own words, or made as before; and found by `verify`."""
    counts = Lane(furnished, SEED).run(TRIALS)
    assert counts.trials.keys() == CONSUMERS.keys()
    assert counts.built_upon == []
    assert counts.unforeseen == []
    assert counts.unfound == []


@pytest.mark.usefixtures("unguarded")
def test_without_the_comparison_it_is_built_upon(furnished):
    """The same flips of published files and of landed bytes, with the comparison left out: wrong values are built."""
    counts = Lane(furnished, SEED).run(20, kinds=("object", "fragment"), is_verified=False)
    assert counts.built_upon or counts.unforeseen


def test_what_can_be_had_again_comes_back(furnished, tmp_path: Path):
    """One file of each kind is damaged at once: after the repair the root is as it was, but for what is named as lost."""
    found = play(furnished, tmp_path / "copy", count=len(CONSUMERS), seed=SEED)
    assert found.flips.total() == len(CONSUMERS)
    assert found.unnamed == []

"""Many bits turned over at once, then repaired as a person does it: what comes back, and what is named as lost.

Belongs here: one round. Does not belong here: single flips (``lane``).
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ml_data_platform.cli.verifying import verify_all
from ml_data_platform.stages.verification import Verification
from ml_data_platform.storage.defects import Defect
from ml_data_platform_tests.faults.flips.consumers import CONSUMERS, opened
from ml_data_platform_tests.faults.flips.places import any_bit, flip, places
from ml_data_platform_tests.pipeline_root import PipelineRoot
from ml_data_platform_tests.version_root import file_hashes

RESTORABLE = tuple(kind for kind in CONSUMERS if kind != "key")
"""A key that is damaged comes back from a backup alone: nothing is built until then."""


@dataclass(frozen=True)
class Round:
    """What a round left.

    Attributes:
        flips: Bits turned over, by kind.
        lost: What `verify` names as lost after everything was repaired: kind of the defect and its key.
        differing: Files of the view, and readings of a kind, that are not as in the undisturbed root.
        unnamed: Of them, those on which no defect that is left bears.
    """

    flips: Counter[str]
    lost: list[str]
    differing: list[str]
    unnamed: list[str]


def play(root: PipelineRoot, folder: Path, *, count: int, seed: int, kinds: tuple[str, ...] = RESTORABLE) -> Round:
    """Damage a copy of a root in several files, repair it, build what is to be built, and compare it with the root.

    Args:
        root: The undisturbed root.
        folder: Where the copy goes; it must not exist.
        count: Files to damage, the kinds in turn, each file once.
        seed: Of the choice of files and bits.
        kinds: What to damage.
    """
    chance = random.Random(seed)
    copy = root.copied(folder)
    found = places(copy.folder)
    chosen = [kind for kind in kinds if kind in found]
    flips: Counter[str] = Counter()
    hit: set[Path] = set()
    for number in range(count):
        kind = chosen[number % len(chosen)]
        whole = [path for path in found[kind] if path not in hit]
        if whole:
            path = chance.choice(whole)
            flip(path, any_bit(path, chance))
            hit.add(path)
            flips[kind] += 1
    left = repair(copy)
    differing = _differences(root, copy)
    unnamed = [line for line in differing if not any(_bears_on(defect, line) for defect in left.open)]
    return Round(flips, [f"{defect.kind.value} {defect.key}" for defect in left.open], differing, unnamed)


def repair(root: PipelineRoot) -> Verification:
    """Repair what can be repaired, build what is due, and look again."""
    verify_all(opened(root).platform, is_repair=True)
    opened(root).backfill()
    # What was built anew may bring back what the first look could not.
    verify_all(opened(root).platform, is_repair=True)
    return verify_all(opened(root).platform)


def _differences(root: PipelineRoot, copy: PipelineRoot) -> list[str]:
    was, becomes = file_hashes(root.folder / "data"), file_hashes(copy.folder / "data")
    found = [f"data/{path}" for path in sorted(was.keys() | becomes.keys()) if was.get(path) != becomes.get(path)]
    for kind in ("git", "model", "snapshot"):
        path = places(root.folder)[kind][0]
        there = copy.folder / path.relative_to(root.folder)
        if CONSUMERS[kind](opened(root), path) != _made(kind, copy, there):
            found.append(kind)
    return found


def _made(kind: str, root: PipelineRoot, path: Path) -> str | None:
    try:
        return CONSUMERS[kind](opened(root), path)
    except Exception:  # noqa: BLE001 - what is lost may end in any error; that it is named is what counts
        return None


def _bears_on(defect: Defect, line: str) -> bool:
    """Tell whether a defect that is left tells of a file of the view, or of a kind, that differs."""
    if not line.startswith("data/"):
        return True
    parts = line.split("/")
    return defect.day == "" or f"dt={defect.day}" in parts

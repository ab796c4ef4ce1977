"""Turning bits over, one after the other: is anything built on them, and does `verify` find each?

Belongs here: the trials and what they count. Does not belong here: repairing (``repairs``).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ml_data_platform.cli.verifying import verify_all
from ml_data_platform.errors import PlatformError
from ml_data_platform.stages.verification import verify
from ml_data_platform_tests.faults.flips.consumers import CONSUMERS, opened
from ml_data_platform_tests.faults.flips.places import any_bit, flipped, places
from ml_data_platform_tests.pipeline_root import PipelineRoot

BESIDE_TABLES = frozenset({"git", "cached", "model", "snapshot", "key", "binding"})
"""Kinds that other layers keep, whose looks cost more than those at the tables."""


@dataclass
class Counts:
    """What trials have shown.

    Attributes:
        trials: Flips by kind.
        refused: Of them, those on which nothing was built, by kind; on the others the same was built as without.
        built_upon: A line for each flip on which something else was built.
        unforeseen: A line for each flip that ended in an error which the platform does not say in its own words.
        unfound: A line for each flip that `verify` did not find.
    """

    trials: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    built_upon: list[str] = field(default_factory=list)
    unforeseen: list[str] = field(default_factory=list)
    unfound: list[str] = field(default_factory=list)


class Lane:
    """Flips in one root, each taken back before the next.

    Args:
        root: A root of ``prepared``; it is as it was afterwards.
        seed: Of the choice of files and bits.
    """

    def __init__(self, root: PipelineRoot, seed: int) -> None:
        self.root = root
        self.files = places(root.folder)
        self._chance = random.Random(seed)
        self._whole: dict[Path, str] = {}

    def run(
        self,
        trials: int,
        *,
        kinds: Iterable[str] = CONSUMERS,
        is_verified: bool = True,
        progress: Callable[[Counts], None] = lambda _: None,
    ) -> Counts:
        """Turn over as many bits, the kinds in turn.

        Args:
            trials: How many.
            kinds: Which; those of which the root has no file are left out.
            is_verified: Ask `verify` of each, too.
            progress: Called after each.
        """
        counts = Counts()
        chosen: Sequence[str] = [kind for kind in kinds if kind in self.files]
        for number in range(trials):
            self._try(chosen[number % len(chosen)], counts, is_verified=is_verified)
            progress(counts)
        return counts

    def _try(self, kind: str, counts: Counts, *, is_verified: bool) -> None:
        path = self._chance.choice(self.files[kind])
        bit = any_bit(path, self._chance)
        line = f"{kind}: bit {bit} of {path.relative_to(self.root.folder)}"
        if path not in self._whole:
            self._whole[path] = CONSUMERS[kind](opened(self.root), path)
        counts.trials[kind] += 1
        with flipped(path, bit):
            try:
                made = CONSUMERS[kind](opened(self.root), path)
            except (PlatformError, OSError) as refusal:
                counts.refused[kind] += 1
                line += f" ({type(refusal).__name__})"
            except Exception as error:  # noqa: BLE001 - whatever a library says of damaged bytes
                counts.unforeseen.append(f"{line}: {type(error).__name__}: {error}")
            else:
                if made != self._whole[path]:
                    counts.built_upon.append(line)
            if is_verified and not self._is_found(kind):
                counts.unfound.append(line)

    def _is_found(self, kind: str) -> bool:
        look = verify_all if kind in BESIDE_TABLES else verify
        try:
            return bool(look(opened(self.root).platform).open)
        except PlatformError:
            # A root that cannot be opened says why.
            return True

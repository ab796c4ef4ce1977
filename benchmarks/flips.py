"""Bits that turn over in stored bytes, in full length: what is built on them, what `verify` finds, what comes back.

Belongs here: lengths, the table, the exit status. Does not belong here: flips (``ml_data_platform_tests/faults/flips``).

Examples::

    python -m benchmarks.flips                 1,500 flips, the control, and 20 rounds of repair: about half an hour
    python -m benchmarks.flips --count 100 --rounds 2 --seed 7

The exit status is 1 when something was built on a flip, `verify` missed one, the control (the comparison of bytes with
their name left out) built on none, or something differs after the repair that is not named as lost.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ml_data_platform.storage import local_objects
from ml_data_platform_tests.faults.flips.consumers import CONSUMERS
from ml_data_platform_tests.faults.flips.lane import Counts, Lane
from ml_data_platform_tests.faults.flips.prepared import prepare
from ml_data_platform_tests.faults.flips.repairs import Round, play
from ml_data_platform_tests.pipeline_root import PipelineRoot

FLIPS_PER_ROUND = 2 * len(CONSUMERS)
OBJECTS = ("object", "fragment")
EVERY = 50

console = Console(width=None if sys.stdout.isatty() else 140)
progress = Console(stderr=True)


def main() -> int:
    """Turn bits over; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.flips", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1_500, help="bits to turn over one by one (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of repair (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=20260304, help="of every choice (default: %(default)s)")
    options = parser.parse_args()
    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="flips-") as folder:
        root = prepare(Path(folder))
        counts = Lane(root, options.seed).run(options.count, progress=_report)
        console.print(_table(counts))
        control = _control(root, options.seed, max(options.count // 10, 20))
        rounds = [_round(root, Path(folder), options.seed + number) for number in range(options.rounds)]
    _print_rounds(rounds)
    for what, lines in (
        ("built upon", counts.built_upon),
        ("unforeseen", counts.unforeseen),
        ("not found", counts.unfound),
        ("not named", [line for each in rounds for line in each.unnamed]),
    ):
        for line in lines:
            console.print(f"{what}: {line}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{time.process_time() - began:,.0f} CPU seconds")
    is_noticed = bool(control.built_upon or control.unforeseen)
    is_red = counts.built_upon or counts.unforeseen or counts.unfound or any(each.unnamed for each in rounds)
    return int(bool(is_red) or not is_noticed)


def _report(counts: Counts) -> None:
    done = counts.trials.total()
    if done % EVERY == 0:
        wrong = len(counts.built_upon) + len(counts.unforeseen) + len(counts.unfound)
        progress.print(f"{done:,} flips, {wrong} anomalies")


def _control(root: PipelineRoot, seed: int, trials: int) -> Counts:
    comparison = local_objects.require_own_bytes
    local_objects.require_own_bytes = lambda *_: None
    try:
        control = Lane(root, seed).run(trials, kinds=OBJECTS, is_verified=False)
    finally:
        local_objects.require_own_bytes = comparison
    console.print(
        f"control, the comparison left out: {len(control.built_upon)} of {trials} flips of published files built upon, "
        f"{len(control.unforeseen)} failed to decode"
    )
    return control


def _round(root: PipelineRoot, folder: Path, seed: int) -> Round:
    target = folder / f"round-{seed}"
    try:
        found = play(root, target, count=FLIPS_PER_ROUND, seed=seed)
    finally:
        shutil.rmtree(target, ignore_errors=True)
    progress.print(f"round {seed}: {found.flips.total()} flips, {len(found.lost)} lost, {len(found.unnamed)} not named")
    return found


def _table(counts: Counts) -> Table:
    table = Table("stored as", "flips", "refused", "built upon", "not found", title="One bit at a time")
    for kind, trials in counts.trials.items():
        wrong = [sum(line.startswith(f"{kind}:") for line in lines) for lines in (counts.built_upon, counts.unfound)]
        table.add_row(kind, f"{trials:,}", f"{counts.refused[kind]:,}", *map(str, wrong))
    return table


def _print_rounds(rounds: list[Round]) -> None:
    lost = Counter(line.split(" ")[0] for each in rounds for line in each.lost)
    flips = sum(each.flips.total() for each in rounds)
    as_before = sum(not each.differing for each in rounds)
    named = ", ".join(f"{kind}: {count}" for kind, count in sorted(lost.items())) or "nothing"
    console.print(
        f"{len(rounds)} rounds, {flips} flips: {as_before} roots as before; named as lost: {named}", highlight=False
    )


if __name__ == "__main__":
    sys.exit(main())

"""A real dagster dev, fed by another process and killed again and again: make kills.

Belongs here: random rounds of feeding and killing. Does not belong here: what must hold at the end
(``ml_data_platform_tests.e2e.killed_daemons``).

Each round starts `dagster dev`, lets another process drop files of random days, kills all of it, the daemon or the code
server at a random moment, and in half of the rounds deletes what the daemon remembers of its sensors. At the end
everything must be there once, published once per change, with the bytes of one clean build of the same files.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from ml_data_platform_tests.e2e.checkout import Checkout
from ml_data_platform_tests.e2e.dagster_process import DagsterDev
from ml_data_platform_tests.e2e.killed_daemons import (
    Drop,
    ended_runs,
    faults,
    feeding,
    lose_cursors,
    opened,
    wait_for_rest,
)
from ml_data_platform_tests.e2e.user_interface import UserInterface
from ml_data_platform_tests.pipeline_root import day

VICTIMS = {"everything": "", "the daemon": "dagster._daemon", "the code server": "api grpc"}
DAYS = 3
FILES = 3


def main() -> int:
    """Run the rounds and print what came of them; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        checkout = Checkout.made(Path(folder))
        drops: list[Drop] = []
        for number in range(given.rounds):
            drops += _round(checkout, rng, number)
        with DagsterDev(checkout.folder, Path(folder) / "last.log", checkout.environment) as dagster:
            ui = UserInterface(dagster)
            wait_for_rest(ui)
            runs = ended_runs(ui)
        found = faults(opened(checkout), drops, runs, Path(folder) / "clean")
    ended = Counter(each.split()[1] for each in runs.values())
    print(f"{len(drops)} files, {given.rounds} kills; runs: {dict(ended)}")
    for fault in found:
        print(f"FAULT: {fault}")
    print("nothing missed, nothing done twice, the bytes of a clean build" if not found else f"{len(found)} faults")
    return 1 if found else 0


def _round(checkout: Checkout, rng: random.Random, number: int) -> list[Drop]:
    drops = [
        Drop(rng.uniform(0, 6), f"r{number}_{file}", day(rng.randint(1, DAYS)), rng.randint(1, 20))
        for file in range(FILES)
    ]
    victim = rng.choice(list(VICTIMS))
    log = checkout.folder.parent / f"round_{number}.log"
    with feeding(checkout, drops), DagsterDev(checkout.folder, log, checkout.environment) as dagster:
        seconds = rng.uniform(1, 30)
        time.sleep(seconds)
        killed = dagster.kill(VICTIMS[victim])
        if VICTIMS[victim]:
            # What goes on without it, or ends because of it, does so for a while before the rest is killed too.
            time.sleep(rng.uniform(5, 15))
            dagster.kill()
    lost = lose_cursors(checkout.root / "dagster") if rng.random() < 0.5 else 0
    print(
        f"round {number}: {killed} processes of {victim} killed after {seconds:.1f} s; {lost} notes of sensors lost",
        flush=True,
    )
    return drops


if __name__ == "__main__":
    sys.exit(main())

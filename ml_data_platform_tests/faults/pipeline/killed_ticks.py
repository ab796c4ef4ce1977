"""Looks of the daemon's own sensor loop, each in a process that may be killed at a point of it.

Belongs here: the processes. Does not belong here: what must hold afterwards (``test_killed_ticks``).

Run as a program it imports everything once, and forks for each line of its input: Dagster's loop over both sensors goes
round, runs are executed where they are launched, and the child dies of SIGKILL at the point that the line names.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import dagster as dg
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration

import ml_data_platform.definitions  # noqa: F401 - loaded before forking
from ml_data_platform.stages import flow

POINTS = ("TICK_CREATED", "TICK_HELD", "RUN_IDS_RESERVED", "RUN_CREATED", "RUN_LAUNCHED")
"""Where Dagster's sensor loop can be struck: the tick recorded, evaluated or not; its requests recorded; each of its
runs recorded; started."""
IN_RUNS = ("after_landing", "after_building")
"""Within the run: its work done, and nothing of that recorded by Dagster."""
INTERVAL_SECONDS = 1
IDLE_ROUNDS = 3
"""Looks in a row that started nothing, after which nothing is left to be done."""
INSTANCE = {
    "telemetry": {"enabled": False},
    "run_launcher": {
        "module": "dagster._core.launcher.sync_in_memory_run_launcher",
        "class": "SyncInMemoryRunLauncher",
    },
    "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
}


def main() -> None:
    """Read orders, one JSON object a line: ``kill`` (sensor and point, or nothing) and ``rounds``; write how each ended."""
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            try:
                _look(order.get("kill"), order["rounds"])
            except BaseException:
                logging.getLogger().exception("a look failed")
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _look(kill: list[str] | None, rounds: int) -> None:
    flags: dict[str, Any] = {}
    if kill is not None and kill[1] in IN_RUNS:
        _die_in_run(kill[1])
    elif kill is not None:
        flags = {kill[0]: {kill[1]: signal.SIGKILL}}
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name="ml_data_platform.definitions")
    origin = InProcessCodeLocationOrigin(loadable_target_origin=target, location_name="ml_data_platform.definitions")
    with (
        dg.DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget([origin])) as context,
    ):
        known, idle = -1, 0
        for _ in range(rounds):
            if idle == IDLE_ROUNDS and kill is None:
                return
            runs = instance.get_runs_count()
            known, idle = runs, idle + 1 if runs == known else 0
            # Dagster looks no oftener than the sensors' interval.
            time.sleep(INTERVAL_SECONDS)
            list(execute_sensor_iteration(context, logging.getLogger("loop"), None, None, debug_crash_flags=flags))


def _die_in_run(point: str) -> None:
    landing = sys.modules["ml_data_platform.defs.assets.landed_files"]
    module, name = (landing, "land_inbox") if point == "after_landing" else (flow, "build")
    real: Callable[..., Any] = getattr(module, name)

    def dying(*given: Any, **named: Any) -> Any:
        real(*given, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(module, name, dying)


if __name__ == "__main__":
    main()

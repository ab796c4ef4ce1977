"""The daemon's part of the loop in one process: looks of both sensors, and the runs that they ask for.

Belongs here: evaluating the sensors as the daemon does, and executing what they ask for, once per run key. Does not
belong here: a real daemon (``e2e``).
"""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg

from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform_tests.pipeline_root import PipelineRoot

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class SensorLoop:
    """Both sensors of one root over one instance.

    Attributes:
        root: The root.
        instance: Where runs are recorded.
    """

    root: PipelineRoot
    instance: dg.DagsterInstance

    def look(self, sensor: str = "late_data_sensor") -> dg.SensorResult:
        """Evaluate a sensor once, with no cursor."""
        found = self.root.definitions.resolve_sensor_def(sensor)
        resources = {"platform": PlatformResource.of(self.root.settings, self.root.now)}
        context = dg.build_sensor_context(
            instance=self.instance, resources=resources, definitions=self.root.definitions, sensor_name=sensor
        )
        ticked = found.evaluate_tick(context)
        return dg.SensorResult(run_requests=ticked.run_requests or None, skip_reason=ticked.skip_message)

    def requests(self, sensor: str = "late_data_sensor") -> list[dg.RunRequest]:
        """Evaluate a sensor once, and return what it asks for."""
        return list(self.look(sensor).run_requests or [])

    def execute(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult | None:
        """Execute a run that was asked for; none where its run key was used before, as the daemon does."""
        if self.instance.get_runs_count(dg.RunsFilter(tags={"dagster/run_key": str(request.run_key)})):
            return None
        return self.root.definitions.resolve_job_def(str(request.job_name)).execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            asset_selection=list(request.asset_selection) if request.asset_selection else None,
            run_config={**QUIET, **request.run_config},
            tags={**request.tags, "dagster/run_key": str(request.run_key)},
            raise_on_error=False,
        )

    def turn(self) -> list[dg.RunRequest]:
        """Let both sensors look once, and execute what they ask for; return what was executed."""
        asked = [*self.requests("landing_sensor"), *self.requests("late_data_sensor")]
        return [request for request in asked if self.execute(request) is not None]

    def settle(self, most: int = 20) -> list[dg.RunRequest]:
        """Go on until a turn starts nothing; return all that was executed."""
        done: list[dg.RunRequest] = []
        for _ in range(most):
            turn = self.turn()
            if not turn:
                return done
            done += turn
        raise AssertionError(f"the loop does not come to rest: {[request.tags for request in done[-3:]]}")

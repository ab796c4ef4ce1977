"""The flow, listed in order: the code location of one root.

Belongs here: putting assets, jobs, sensors and resources together. Does not belong here: finding the settings
(``definitions``).
"""

import datetime as dt
from typing import TYPE_CHECKING

import dagster as dg

from ml_data_platform.defs.assets.conversion_model import conversion_model
from ml_data_platform.defs.assets.dataset_versions import dataset_versions
from ml_data_platform.defs.assets.date_partitions import date_partitions
from ml_data_platform.defs.assets.label_partitions import label_partitions
from ml_data_platform.defs.assets.landed_files import landed_files
from ml_data_platform.defs.assets.raw_events import raw_events
from ml_data_platform.defs.assets.session_features import session_features
from ml_data_platform.defs.assets.session_summaries import session_summaries
from ml_data_platform.defs.assets.stratified_partitions import stratified_partitions
from ml_data_platform.defs.assets.validated_events import validated_events
from ml_data_platform.defs.io_manager import CommittedTables
from ml_data_platform.defs.jobs import cut, ingest, rebuild, refresh_day, train
from ml_data_platform.defs.partitions import daily_partitions
from ml_data_platform.defs.pull_sensor import pull_sensor
from ml_data_platform.defs.replay import replay_quarantined
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.defs.sensors import landing_sensor, late_data_sensor
from ml_data_platform.settings import Settings

if TYPE_CHECKING:
    from dagster_aws.s3 import S3Resource


def build_definitions(
    settings: Settings, now: dt.datetime | None = None, s3: "S3Resource | None" = None
) -> dg.Definitions:
    """Return the code location of one root.

    Args:
        settings: The deployment's choices.
        now: A fixed instant in place of the machine's clock; for tests and audits.
        s3: How buckets of root, landing folder and pull sources are reached, in place of the settings and AWS's own variables and files.
    """
    daily = daily_partitions(settings.start_date)
    take_in, bring_up_to_date = ingest(), refresh_day()
    platform = _platform(settings, now, s3)
    return dg.Definitions(
        assets=[
            landed_files(),
            raw_events(daily),
            validated_events(daily),
            session_features(daily),
            session_summaries(daily),
            date_partitions(daily),
            label_partitions(daily),
            stratified_partitions(daily),
            dataset_versions(),
            conversion_model(),
        ],
        jobs=[
            take_in,
            bring_up_to_date,
            rebuild(),
            replay_quarantined(lambda: build_definitions(settings, now, s3)),
            cut(),
            train(),
        ],
        sensors=[
            landing_sensor(take_in, interval_seconds=settings.sensor_interval_seconds),
            pull_sensor(take_in, interval_seconds=settings.pull_interval_seconds),
            late_data_sensor(bring_up_to_date, interval_seconds=settings.sensor_interval_seconds),
        ],
        resources={"platform": platform, "tables": CommittedTables(platform=platform)},
        executor=dg.in_process_executor,
    )


def _platform(settings: Settings, now: dt.datetime | None, s3: "S3Resource | None") -> PlatformResource:
    if s3 is None:
        return PlatformResource.of(settings, now)
    from ml_data_platform.defs.bucket_access import PlatformInBucket  # noqa: PLC0415 - loads clients of AWS

    return PlatformInBucket.through(settings, s3, now.isoformat() if now else None)

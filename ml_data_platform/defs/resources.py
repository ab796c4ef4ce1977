"""Resources: the opened root, as Dagster passes it to assets, sensors and the IO manager.

Belongs here: resources. Does not belong here: what a root is made of (``stages.platform``).
"""

import datetime as dt
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.storage.runs import SqlRunStorage

from ml_data_platform.defs.instance import require_own_folder
from ml_data_platform.defs.runs import mark_owner
from ml_data_platform.settings import Settings
from ml_data_platform.stages.platform import Platform, open_platform, utc_now
from ml_data_platform.storage.access import keep_private

if TYPE_CHECKING:
    from ml_data_platform.storage.s3_client import S3Connection


class PlatformResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The platform of one root.

    Attributes:
        settings: The settings, as plain values.
        now: A fixed instant (ISO-8601 with offset) in place of the machine's clock; for tests and audits.
    """

    settings: dict[str, Any]
    now: str | None = None

    @classmethod
    def of(cls, settings: Settings, now: dt.datetime | None = None) -> "PlatformResource":
        """Make the resource of ``settings``."""
        return cls(settings=settings.model_dump(mode="json", exclude_none=True), now=now.isoformat() if now else None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Bind the root to the run's instance, and note on the run which process executes it."""
        if context.instance is None:
            return
        self.bind(context.instance)
        if context.run is not None:
            mark_owner(context.instance, context.run.run_id)

    def bind(self, instance: dg.DagsterInstance) -> None:
        """Bind the root to ``instance``; an ephemeral one leaves no history, so it binds nothing."""
        storage = instance.run_storage
        if not instance.is_ephemeral and isinstance(storage, SqlRunStorage):
            platform = self.open()
            require_own_folder(platform.settings, instance)
            has_runs = instance.get_runs_count() > 0
            platform.bind_instance(storage.get_run_storage_id(), instance.has_run if has_runs else None)

    def open(self) -> Platform:
        """Open the root; the same process opens it once for as long as the user's contracts and keys stay the same."""
        settings = Settings.model_validate(dict(self.settings))
        folders = (self.settings.get("sources"), str(settings.secrets_folder))
        files = tuple(each for folder in folders for each in _versions_of_files(folder))
        return _open(json.dumps(dict(self.settings), sort_keys=True), self.now, files, self.connection())

    def connection(self) -> "S3Connection | None":
        """Return how a root in a bucket is reached; none where settings and AWS's own variables and files say it."""
        return None


def _versions_of_files(folder: str | None) -> tuple[tuple[str, int, int], ...]:
    """Return name, time of change and size of the files in a folder: one that was corrected is read again."""
    if folder is None or not Path(folder).is_dir():
        return ()
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
    return tuple(sorted((name, status.st_mtime_ns, status.st_size) for name, status in found))


@lru_cache(maxsize=8)
def _open(
    settings: str,
    now: str | None,
    _files: tuple[tuple[str, int, int], ...],
    connection: "S3Connection | None",
) -> Platform:
    fixed = dt.datetime.fromisoformat(now) if now else None
    clock = (lambda: fixed) if fixed else utc_now
    found = Settings.model_validate(json.loads(settings))
    keep_private(found.access)
    return open_platform(found, clock, connection)

"""Roots for tests of the whole flow: landed, built through the real Dagster job, read back as users read them."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq

from ml_data_platform.defs.backfill import BackfillReport, backfill, build_dirty
from ml_data_platform.defs.location import build_definitions
from ml_data_platform.events.planning import LAYERS, expected_days
from ml_data_platform.landing.landing import LandedFile
from ml_data_platform.settings import Settings, load_settings
from ml_data_platform.stages.landed_files import land_named
from ml_data_platform.stages.platform import Platform, open_platform
from ml_data_platform.stages.state import TABLES, read_state
from ml_data_platform.storage.commit_log import LogRecord
from ml_data_platform_tests.plain_runs import plain_runs

SHOP = "demo_shop"
START = dt.date(2026, 3, 2)
NOW = dt.datetime(2026, 3, 20, 12, tzinfo=dt.UTC)
"""A fixed instant long after the days of these tests: everything is mature that can be."""


def day(number: int) -> dt.date:
    """Return the ``number``-th day of these tests, from 1 on."""
    return START + dt.timedelta(days=number - 1)


def settings_for(root: Path, **choices: Any) -> Settings:
    """Return settings of a root that begins on the first day of these tests, deaf to the environment."""
    return load_settings({}, root, **{"root": root, "start_date": START, **choices})


@dataclass(frozen=True)
class PipelineRoot:
    """One root and the instant that its clock shows."""

    settings: Settings
    now: dt.datetime = NOW

    @cached_property
    def platform(self) -> Platform:
        """The opened root."""
        return open_platform(self.settings, lambda: self.now)

    @cached_property
    def definitions(self) -> dg.Definitions:
        """Its code location."""
        return build_definitions(self.settings, self.now)

    @property
    def folder(self) -> Path:
        """The root."""
        return self.settings.root

    def at(self, now: dt.datetime) -> PipelineRoot:
        """Return the same root at another instant."""
        return replace(self, now=now)

    def with_settings(self, **choices: Any) -> PipelineRoot:
        """Return the same root under other settings."""
        return replace(self, settings=self.settings.model_copy(update=choices))

    def copied(self, target: Path) -> PipelineRoot:
        """Copy the root; the copy keeps which files are one inode, as `cp -a` does."""
        _copy_tree(self.folder, target)
        return self.with_settings(root=target, landing=target / "landing")

    def land(self, *paths: Path, source: str = SHOP) -> list[LandedFile]:
        """Land files and folders, in this order."""
        return land_named(self.platform, source, paths)

    def drop(self, name: str, lines: Iterable[dict[str, Any]], source: str = SHOP) -> LandedFile:
        """Write one file of events and land it."""
        folder = self.settings.local_folder
        path = folder.parent / f"{folder.name}_dropped" / source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        (landed,) = self.land(path, source=source)
        return landed

    def backfill(
        self, days: Sequence[dt.date] | None = None, instance: dg.DagsterInstance | None = None
    ) -> BackfillReport:
        """Bring days up to date, by default all that are expected: through the real job where an instance is given."""
        wanted = expected_days(read_state(self.platform)) if days is None else days
        if instance is not None:
            return backfill(self.definitions, instance, self.platform, wanted)
        return build_dirty(self.platform, wanted, plain_runs(self.platform))

    def judge(self, days: Sequence[dt.date] | None = None, layers: int = 1) -> BackfillReport:
        """Build the first layers of days, by default of all that are expected, and nothing of what is made of them.

        The first is ``raw_events`` and ``validated_events``, the second the features and the summaries of sessions.
        """
        wanted = expected_days(read_state(self.platform)) if days is None else days
        return build_dirty(self.platform, wanted, plain_runs(self.platform), layers=LAYERS[:layers])

    def run(
        self, of: dt.date, assets: Sequence[str], instance: dg.DagsterInstance, **tags: str
    ) -> dg.ExecuteInProcessResult:
        """Run some assets of one day, as a person does in the UI: also where nothing changed."""
        return self.definitions.resolve_job_def("rebuild").execute_in_process(
            instance=instance,
            partition_key=of.isoformat(),
            asset_selection=[dg.AssetKey(asset) for asset in assets],
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags=tags,
            raise_on_error=False,
        )

    def heads(self) -> dict[tuple[str, dt.date], LogRecord]:
        """Return the published generation of every partition."""
        return {
            (asset, dt.date.fromisoformat(key)): head
            for asset in TABLES
            for key, head in self.platform.store.heads(asset).items()
        }

    def contents(self) -> dict[tuple[str, dt.date], str]:
        """Return the content hash of every partition."""
        return {key: head.content for key, head in self.heads().items()}

    def generations(self) -> dict[tuple[str, dt.date], int]:
        """Return the generation number of every partition."""
        return {key: head.generation for key, head in self.heads().items()}

    def rows(self, asset: str, of: dt.date, file: str = "data.parquet") -> list[dict[str, Any]]:
        """Read one file of a partition as plain readers do: from the view."""
        return pq.ParquetFile(self.folder / "data" / asset / f"dt={of}" / file).read().to_pylist()

    def view(self) -> dict[str, bytes]:
        """Return every file of the view, by its path below ``data``."""
        data = self.folder / "data"
        return {path.relative_to(data).as_posix(): path.read_bytes() for path in data.rglob("*") if path.is_file()}


def shop_lines(
    of: dt.date, count: int, *, name: str = "a", broken: int = 0, hour: int = 9, seed: int = 0
) -> list[dict[str, Any]]:
    """Return ``count`` good events of one day, five a session, the fifth a purchase.

    Args:
        of: UTC day.
        count: Good events on the day.
        name: Makes the ids of this call its own.
        broken: Further events of the day that break exactly the rule ``event_types_are_known``.
        hour: First hour of the events; they are a minute apart.
        seed: Moves the sequence numbers, so that the same events have other bytes.
    """
    first = dt.datetime.combine(of, dt.time(hour), tzinfo=dt.UTC)
    lines = []
    for number in range(count + broken):
        at = first + dt.timedelta(minutes=number)
        session = number // 5
        lines.append(
            {
                "event_id": f"{of}-{name}-{number}",
                "user_id": f"user-{session % 7}",
                "session_uuid": f"{of}-{name}-s{session}",
                "event_type": "strange" if number >= count else "purchase" if number % 5 == 4 else "page_view",
                "event_timestamp": int(at.timestamp() * 1000),
                "sequence": number + seed,
                **({"purchase_amount_usd": 10.5} if number % 5 == 4 else {}),
            }
        )
    return lines


def _copy_tree(source: Path, target: Path) -> None:
    copies: dict[int, Path] = {}
    for folder, _, names in os.walk(source):
        place = target / Path(folder).relative_to(source)
        place.mkdir(parents=True, exist_ok=True)
        for name in names:
            path = Path(folder) / name
            inode = path.stat().st_ino
            if inode in copies:
                os.link(copies[inode], place / name)
            else:
                copies[inode] = Path(shutil.copy2(path, place / name))

"""A copy of the checkout with a root of its own, and the files that are dropped there.

Belongs here: folders and files. Does not belong here: processes (``dagster_process``).
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from ml_data_platform.generator.generate import generate
from ml_data_platform.generator.options import GeneratorOptions
from ml_data_platform.generator.truth import DayTruth
from ml_data_platform_tests.e2e.dagster_process import clean_environment
from ml_data_platform_tests.pipeline_root import SHOP, START

CHECKOUT = Path(__file__).parents[2]
COPIED = ("ml_data_platform", "dagster.yaml", "workspace.yaml", "dg.toml", "pyproject.toml")
COMMAND_SECONDS = 900


@dataclass(frozen=True)
class Checkout:
    """A copy of the checkout; its root is `.platform`, as a newcomer has it.

    Attributes:
        folder: The copy.
    """

    folder: Path

    @classmethod
    def made(cls, parent: Path) -> Checkout:
        """Copy the checkout below ``parent``, and choose settings that do not make tests wait."""
        made = cls(parent / "checkout")
        made.landing.mkdir(parents=True)
        for name in COPIED:
            source = CHECKOUT / name
            if source.is_dir():
                shutil.copytree(source, made.folder / name)
            else:
                shutil.copy2(source, made.folder / name)
        choices = {"start_date": START, "settle_seconds": 0, "sensor_interval_seconds": 1}
        (made.root / "platform.yaml").write_text(yaml.safe_dump(choices), encoding="utf-8")
        return made

    @property
    def root(self) -> Path:
        """The default root."""
        return self.folder / ".platform"

    @property
    def landing(self) -> Path:
        """Where files of the shop are dropped."""
        return self.root / "landing" / SHOP

    @property
    def environment(self) -> dict[str, str]:
        """An environment that names neither a root nor a Dagster instance, with an empty home, and this copy installed."""
        return clean_environment(HOME=str(self.folder.parent), PYTHONPATH=str(self.folder))

    def drop(self, name: str, lines: Iterable[dict[str, Any] | str]) -> None:
        """Write a file elsewhere, and rename it into the landing folder as a producer does."""
        written = self.folder / f"{name}.writing"
        texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        written.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        written.rename(self.landing / name)

    def run(self, tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run an installed command in the copy."""
        return subprocess.run(
            [str(installed(tool)), *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def rows(self, asset: str, of: dt.date | str, file: str = "data.parquet") -> list[dict[str, Any]]:
        """Read one file of a partition as plain readers do: from the view."""
        return pq.ParquetFile(self.root / "data" / asset / f"dt={of}" / file).read().to_pylist()

    def is_published(self, asset: str, of: dt.date) -> bool:
        """Tell whether a partition has files in the view."""
        folder = self.root / "data" / asset / f"dt={of}"
        return folder.is_dir() and any(folder.rglob("*.parquet"))


def installed(tool: str) -> Path:
    """Return a command that was installed beside this Python."""
    return Path(sys.executable).with_name(tool)


def generated_days(
    folder: Path, days: Sequence[dt.date], poisoned: dt.date, events_per_day: int
) -> tuple[dict[dt.date, list[str]], dict[dt.date, DayTruth]]:
    """Generate days, one of them with more broken rows than tolerated.

    Returns:
        The lines of each day over all hourly files, and what was planted among them. Rows of other days, which
        sessions over midnight spill, are left out.
    """
    options = GeneratorOptions(poisoned_day=poisoned)
    planted = generate(folder, start=days[0], days=len(days), events_per_day=events_per_day, seed=3, options=options)
    lines: dict[dt.date, list[str]] = {day: [] for day in days}
    contents = {name: (folder / name).read_text(encoding="utf-8").splitlines() for name in planted.files}
    for text in (folder / "_planted" / "rows.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(text)
        day = dt.date.fromisoformat(row["day"]) if row["day"] else None
        if day in lines:
            lines[day].append(contents[row["file"]][row["row"] - 1])
    return lines, {day: planted.days[day.isoformat()] for day in days}

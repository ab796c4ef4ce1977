"""Roots whose one source is pulled, and the files that its producer offers.

Belongs here: contracts with an address, made-up files, and what is known of them beforehand. Does not belong here:
servers (``file_server``).
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ml_data_platform.stages.pull_report import PullReport
from ml_data_platform.stages.pulling import pull_days
from ml_data_platform.storage.remote_files import Patience
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, settings_for

SOURCE = "shop_export"
PAUSES: list[float] = []
HASTY = Patience(attempts=4, sleep=PAUSES.append)
"""Tries as often as in production, and does not wait in between."""


@dataclass(frozen=True)
class Offer:
    """One file that a producer offers.

    Attributes:
        content: Its bytes.
        rows: Events per UTC day.
    """

    content: bytes
    rows: Counter[str]


def offer(of: dt.date, rows: int, name: str, *, late: int = 0) -> Offer:
    """Make a file of events of a day, and some of the day before."""
    lines, counted = [], Counter[str]()
    for number in range(rows + late):
        at = dt.datetime.combine(of, dt.time(9), dt.UTC) + dt.timedelta(seconds=number)
        at -= dt.timedelta(days=1) if number >= rows else dt.timedelta()
        counted[at.date().isoformat()] += 1
        lines.append(
            {
                "event_id": f"{of}-{name}-{number}",
                "user_id": f"user{number % 7}",
                "session_uuid": f"{name}-{number % 11}",
                "event_type": "page_view",
                "event_timestamp": round(at.timestamp() * 1000),
            }
        )
    return Offer("".join(json.dumps(line) + "\n" for line in lines).encode(), counted)


def root_pulling(folder: Path, url: str, *, section: str = "", **choices: object) -> PipelineRoot:
    """Make a root with one more source, pulled from an address."""
    sources = folder / "contracts"
    sources.mkdir(parents=True, exist_ok=True)
    text = f"source: {SOURCE}\nformat: jsonl\npull:\n  url: '{url}'\n{section}"
    (sources / f"{SOURCE}.yaml").write_text(text, encoding="utf-8")
    return PipelineRoot(settings_for(folder / "root", sources=sources, **choices))


def pull(root: PipelineRoot, first: int = 1, last: int = 3, patience: Patience = HASTY) -> PullReport:
    """Pull days by their numbers."""
    days = [day(number) for number in range(first, last + 1)]
    return pull_days(root.platform, SOURCE, days, patience=patience)


def outcomes(report: PullReport) -> dict[str, str]:
    """Return what happened to each file, by name."""
    return {file.name: file.outcome for file in report.files}


def landed_rows(root: PipelineRoot) -> Counter[str]:
    """Return the rows per day of all that the ledger holds of the source."""
    counted: Counter[str] = Counter()
    for record in root.platform.ledger.records():
        if record.source == SOURCE:
            counted.update(record.rows_per_day)
    return counted


def texts_below(*folders: Path) -> str:
    """Return all that is written in JSON, YAML and text files below folders, and their names."""
    paths = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    return "\n".join(f"{path}\n{path.read_bytes().decode('utf-8', 'replace')}" for path in paths)

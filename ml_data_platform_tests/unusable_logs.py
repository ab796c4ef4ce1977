"""Logs of a small producer of which some rows reach no day, written as CSV, JSON lines and Parquet.

Belongs here: the files and the contract of the tests about unusable rows. Does not belong here: what must be said of them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

SOURCE = "club"
DAY = "2026-06-01"
FORMATS = ("csv", "jsonl", "parquet")
COLUMNS = {"user_id": "who", "session_id": "visit", "event_type": "what", "timestamp": "at"}
Rows = Sequence[Mapping[str, str]]


def write_contract(folder: Path, form: str, **said: object) -> None:
    """Write the contract of the producer into a root that is below ``folder``."""
    place = folder / ".platform" / "sources" / f"{SOURCE}.yaml"
    place.parent.mkdir(parents=True, exist_ok=True)
    contract = {
        "source": SOURCE,
        "format": form,
        "schema_version": 1,
        "columns": COLUMNS,
        "event_type": {"default": "page_view"},
        **said,
    }
    place.write_text(yaml.safe_dump(contract), encoding="utf-8")


def rows(good: int, *, day: str = DAY, bad: int = 0, at: str = "yesterday", name: str = "a") -> list[dict[str, str]]:
    """Return rows of which ``good`` fall on a day, a minute apart, and ``bad`` have ``at`` for their time."""
    times = [f"{day}T{9 + number // 60:02}:{number % 60:02}:00Z" for number in range(good)] + [at] * bad
    return [
        {"who": f"{name}{number % 7}", "visit": f"{name}{number // 5}", "what": "view", "at": time}
        for number, time in enumerate(times)
    ]


def write(path: Path, of: Rows) -> Path:
    """Write rows in the format that the path's name ends with."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(COLUMNS.values()))
        writer.writeheader()
        writer.writerows(of)
        path.write_text(text.getvalue(), encoding="utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in of), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist([dict(row) for row in of]), path)
    return path

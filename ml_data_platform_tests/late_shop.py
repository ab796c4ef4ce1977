"""A shop whose contract keeps rows apart that come too late, and files of it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_data_platform_tests.pipeline_root import NOW, PipelineRoot, settings_for, shop_lines

SOURCE = "late_shop"
TODAY = NOW.date()


def days_ago(number: int) -> dt.date:
    """Return a day before the day that the clock of these tests shows first."""
    return TODAY - dt.timedelta(days=number)


def late_root(folder: Path, *, now: dt.datetime = NOW, zone: str = "UTC", **lateness: Any) -> PipelineRoot:
    """Return an empty root with the contract of the shop.

    Args:
        folder: Empty folder; the root and the contract lie in it.
        now: What the clock shows.
        zone: Zone of event times without an offset.
        lateness: Keys of the contract's section; by default rows of days frozen for a day are too late.
    """
    write_contract(folder, {"late_policy": "quarantine", **lateness}, zone=zone)
    sources = folder / "contracts"
    return PipelineRoot(settings_for(folder / "root", sources=sources, settle_seconds=0), now=now)


def write_contract(folder: Path, lateness: Mapping[str, Any], *, zone: str = "UTC") -> None:
    """Write the shop's contract, which YAML reads because it reads JSON."""
    contract = {
        "source": SOURCE,
        "format": "jsonl",
        "schema_version": 1,
        "event_time": {"zone": zone},
        "lateness": dict(lateness),
    }
    path = folder / "contracts" / f"{SOURCE}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(contract), encoding="utf-8")


def lines_of(of: dt.date, count: int, *, name: str = "a", hour: int = 9) -> list[dict[str, Any]]:
    """Return events of one day as schema version 1 lands them, times without an offset, a minute apart."""
    lines = []
    for line in shop_lines(of, count, name=name, hour=hour):
        at = dt.datetime.fromtimestamp(line.pop("event_timestamp") / 1000, dt.UTC)
        session = line.pop("session_uuid")
        lines.append({**line, "session_id": session, "timestamp": at.replace(tzinfo=None).isoformat()})
    return lines

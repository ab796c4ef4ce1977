"""Three real logs and generated events in one root that begins in 1997: what holds of them, and what it costs.

Run by ``make real-sources``; ends with status 1 when anything does not hold. The logs are read where they lie
(``../shared/data`` beside the checkout, or where ``EVENT_LOGS_FOLDER`` says); the root is temporary. One
backfill builds every day that has rows and every day right after one, and no other of the 29 years; it takes the better
part of an hour. ``--first N`` builds only the first N days of each source.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring import Cost, run_platform
from benchmarks.verdicts import Verdicts, out, print_costs, print_verdicts
from ml_data_platform.events.planning import expected_days, plan
from ml_data_platform.settings import load_settings
from ml_data_platform.stages.platform import Platform, open_platform
from ml_data_platform.stages.state import read_state
from ml_data_platform_tests.four_sources import (
    Log,
    expected_with_followers,
    read_deskdrop,
    read_softshop,
    verify_accounts,
    verify_features,
    verify_landing,
    verify_source,
)
from ml_data_platform_tests.globo_log import GloboLog, hourly_files
from ml_data_platform_tests.globo_verification import verify_counts
from ml_data_platform_tests.real_logs import DESKDROP, FOLDER, GLOBO, SOFTSHOP

START = dt.date(1997, 1, 1)
GENERATED = [dt.date(2026, 6, number) for number in (1, 2)]
KNOWN = {
    "softshop": {
        "add_to_cart": 935,
        "purchase": 607,
        "sessions": 1_240,
        "sessions with a purchase": 354,
        "duplicates": 0,
    },
    "deskdrop": {"rows": 72_312, "duplicates": 11},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the lane and print its tables; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="build in this folder and keep it; it must not exist")
    parser.add_argument("--first", type=int, metavar="N", help="build only the first N days with rows of each source")
    options = parser.parse_args(arguments)
    if not (GLOBO.is_dir() and SOFTSHOP.is_file() and DESKDROP.is_file()):
        out.print(f"the real logs are not in {FOLDER}; EVENT_LOGS_FOLDER names another place")
        return 1
    with tempfile.TemporaryDirectory(prefix="sources-") as temporary:
        top = options.keep or Path(temporary)
        top.mkdir(parents=True, exist_ok=options.keep is None)
        return _run(top, options.first)


def _run(top: Path, first: int | None) -> int:
    root, verdicts = top / "root", Verdicts()
    softshop, deskdrop = read_softshop(), read_deskdrop()
    clicks = GloboLog.read(hourly_files(GLOBO))
    costs = _land(top, root)
    platform = open_platform(load_settings({}, root, root=root))
    verdicts.judge("per file: landed = routed + undated", lambda: _verify_files((softshop, deskdrop), clicks, platform))
    verdicts.judge("days expected", lambda: _verify_expected(platform))
    ranges: list[tuple[str, ...]] = [()] if first is None else _first_days(platform, first)
    costs += [
        run_platform(" ".join(("backfill", *days)), "backfill", "--root", root, *days, "--json") for days in ranges
    ]
    costs.append(run_platform("backfill again", "backfill", "--root", root, *ranges[-1], "--json"))
    built = sorted(dt.date.fromisoformat(day) for day in platform.store.heads("validated_events"))
    verdicts.judge("per day: raw = published + duplicates + rejected", lambda: verify_accounts(root, built))
    for log in (softshop, deskdrop):
        days = [day for day in built if min(log.rows_per_day) <= day <= max(log.rows_per_day)]
        verdicts.judge(
            f"{log.source}: per day as pandas counts", lambda log=log, days=days: verify_source(log, root, days)
        )
        verdicts.judge(
            f"{log.source}: features of sessions",
            lambda log=log, days=days: _verify_features(log, root, days, platform.id_key.secret),
        )
        verdicts.judge(f"{log.source}: known totals", lambda log=log: _verify_known(log))
    verdicts.judge("globo: per day as pandas counts", lambda: _verify_clicks(clicks, root, built))
    verdicts.judge("nothing to do again", lambda: _verify_nothing_built(costs[-1]))
    print_verdicts(verdicts)
    print_costs(costs)
    return 0 if verdicts.all_hold else 1


def _land(top: Path, root: Path) -> list[Cost]:
    run_platform("init", "init", "--root", root, "--start-date", START.isoformat())
    generated = ("--start", GENERATED[0].isoformat(), "--days", str(len(GENERATED)), "--events-per-day", "2000")
    run_platform("generate", "generate", "--out", top / "generated", *generated)
    files = {
        "deskdrop": [DESKDROP],
        "globo": hourly_files(GLOBO),
        "softshop": [SOFTSHOP],
        "demo_shop": [top / "generated" / "demo_shop"],
    }
    return [
        run_platform(f"land {source}", "land", "--root", root, "--source", source, "--json", *paths)
        for source, paths in files.items()
    ]


def _first_days(platform: Platform, count: int) -> list[tuple[str, ...]]:
    """Return per source the range that ends with its ``count``-th day."""
    days: dict[str, set[str]] = {}
    for record in platform.ledger.records():
        days.setdefault(record.source, set()).update(record.rows_per_day)
    ordered = [sorted(found)[:count] for _, found in sorted(days.items())]
    return [("--from", found[0], "--to", found[-1]) for found in ordered]


def _verify_features(log: Log, root: Path, days: Sequence[dt.date], secret: bytes) -> str:
    rows, sessions, tied = verify_features(log, root, days, secret)
    return f"{rows:,} rows of {sessions:,} sessions equal in every column, {tied:,} of them share their instant"


def _verify_clicks(clicks: GloboLog, root: Path, built: Sequence[dt.date]) -> str:
    first, last = min(clicks.rows_per_day), max(clicks.rows_per_day)
    return verify_counts(clicks, root, [day for day in built if first <= day <= last])


def _verify_files(logs: tuple[Log, ...], clicks: GloboLog, platform: Platform) -> str:
    records = list(platform.ledger.records())
    found = verify_landing(logs, records)
    per_day: dict[dt.date, int] = {}
    for record in records:
        for day, rows in record.rows_per_day.items() if record.source == "globo" else ():
            per_day[dt.date.fromisoformat(day)] = per_day.get(dt.date.fromisoformat(day), 0) + rows
    assert per_day == clicks.rows_per_day
    return f"{found}; the clicks' {len(per_day)} days too"


def _verify_expected(platform: Platform) -> str:
    landed = {dt.date.fromisoformat(day) for record in platform.ledger.records() for day in record.rows_per_day}
    state = read_state(platform)
    days = expected_days(state)
    assert set(days) == expected_with_followers(landed)
    decisions = plan(state, days)
    span = (max(days) - min(days)).days + 1
    return f"{len(days):,} of the {span:,} days from {min(days)} to {max(days)}; {len(decisions):,} decisions"


def _verify_known(log: Log) -> str:
    kinds = log.rows["kind"].value_counts()
    found = {
        "rows": len(log.rows),
        "add_to_cart": int(kinds.get("add_to_cart", 0)),
        "purchase": int(kinds.get("purchase", 0)),
        "sessions": int(log.rows["session"].nunique()),
        "sessions with a purchase": int(log.rows[log.rows["kind"] == "purchase"]["session"].nunique()),
        "duplicates": log.repeats_on(log.rows_per_day),
    }
    known = KNOWN[log.source]
    assert {name: found[name] for name in known} == known, found
    return ", ".join(f"{count:,} {name}" for name, count in found.items())


def _verify_nothing_built(again: Cost) -> str:
    report = json.loads(again.output)
    assert report["runs"] == 0, report
    return f"0 runs, in {again.wall_seconds:.1f} s"


if __name__ == "__main__":
    sys.exit(main())

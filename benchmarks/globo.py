"""The real clicks, all 192 hours, through the whole flow: what holds of them, and what it costs.

Run by ``make real-data``; ends with status 1 when anything does not hold. The clicks are read where they lie
(``../shared/data`` beside the checkout, or where ``EVENT_LOGS_FOLDER`` says); the root is temporary.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
from rich.table import Table

from benchmarks.measuring import Cost, run_platform
from benchmarks.verdicts import Verdicts, out, print_costs, print_verdicts
from ml_data_platform.defs.instance import open_instance
from ml_data_platform.settings import load_settings
from ml_data_platform.stages.platform import Platform, open_platform
from ml_data_platform.stages.state import CODE_VERSIONS, TABLES
from ml_data_platform_tests.globo_log import SOURCE, GloboLog, clicks_folder, hourly_files
from ml_data_platform_tests.globo_verification import (
    verify_counts,
    verify_landing,
    verify_sessions,
    verify_zero_purchases,
)

FIRST, LAST = dt.date(2017, 10, 1), dt.date(2017, 10, 27)
DAYS = [FIRST + dt.timedelta(days=offset) for offset in range((LAST - FIRST).days + 1)]
DENSE_DAYS = DAYS[:8]
ALL_ROWS, DENSE_ROWS = 1_539_265, 1_518_889
SAMPLED_SESSIONS = 1_000
SINGLE_THREAD_DAYS = DAYS[:3]
"""Built again with one thread; the last of them lacks its next day there, so its features are not compared."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the lane and print its tables; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="build in this folder and keep it; it must not exist")
    parser.add_argument("--without-single-thread", action="store_true", help="leave out the comparison with one thread")
    options = parser.parse_args(arguments)
    folder = clicks_folder(os.environ)
    if not folder.is_dir():
        out.print(f"the real clicks are not in {folder}; EVENT_LOGS_FOLDER names another place")
        return 1
    with tempfile.TemporaryDirectory(prefix="globo-") as temporary:
        top = options.keep or Path(temporary)
        top.mkdir(parents=True, exist_ok=options.keep is None)
        return _run(top, hourly_files(folder), with_single_thread=not options.without_single_thread)


def _run(top: Path, files: list[Path], *, with_single_thread: bool) -> int:
    root, verdicts = top / "root", Verdicts()
    costs = _build(root, files)
    platform = _open(root)
    log = GloboLog.read(files)
    sample = log.sample(SAMPLED_SESSIONS, seed=20171001)
    verdicts.judge("files and rows landed", lambda: verify_landing(log, platform.ledger.records()))
    verdicts.judge("rows per day", lambda: verify_counts(log, root, DAYS))
    verdicts.judge("totals", lambda: _verify_totals(log))
    verdicts.judge("features of sessions", lambda: verify_sessions(log, root, DAYS, sample, platform.id_key.secret))
    verdicts.judge("zero purchases", lambda: verify_zero_purchases(root, DAYS))
    verdicts.judge("asset checks", lambda: _verify_checks(root))
    verdicts.judge("second backfill", lambda: _verify_nothing_built(costs[-1]))
    if with_single_thread:
        costs += _build_with_one_thread(top / "one_thread", files, root)
        verdicts.judge("one thread", lambda: _verify_same_bytes(platform, _open(top / "one_thread")))
    print_verdicts(verdicts)
    print_costs(costs)
    _print_shares(root, costs[1])
    return 0 if verdicts.all_hold else 1


def _build(root: Path, files: Sequence[Path]) -> list[Cost]:
    run_platform("init", "init", "--root", root, "--start-date", FIRST.isoformat())
    days = ("--root", root, "--from", FIRST.isoformat(), "--to", LAST.isoformat(), "--json")
    return [
        run_platform(f"land {len(files)} files", "land", "--root", root, "--source", SOURCE, "--json", *files),
        run_platform(f"backfill {len(DAYS)} days", "backfill", *days),
        run_platform("backfill again", "backfill", *days),
    ]


def _build_with_one_thread(root: Path, files: Sequence[Path], like: Path) -> list[Cost]:
    run_platform("init", "init", "--root", root, "--start-date", FIRST.isoformat())
    with (root / "platform.yaml").open("a", encoding="utf-8") as settings:
        settings.write("threads: 1\n")
    key = Path("secrets/user_id.key")
    (root / key).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    (root / key).write_bytes((like / key).read_bytes())
    (root / key).chmod(0o600)
    first, last = SINGLE_THREAD_DAYS[0].isoformat(), SINGLE_THREAD_DAYS[-1].isoformat()
    name = f"one thread: backfill {len(SINGLE_THREAD_DAYS)} days"
    return [
        run_platform("one thread: land", "land", "--root", root, "--source", SOURCE, "--json", *reversed(files)),
        run_platform(name, "backfill", "--root", root, "--from", first, "--to", last, "--json"),
    ]


def _open(root: Path) -> Platform:
    return open_platform(load_settings({}, root, root=root))


def _verify_totals(log: GloboLog) -> str:
    dense = sum(log.rows_per_day[day] for day in DENSE_DAYS)
    assert (len(log.clicks), dense) == (ALL_ROWS, DENSE_ROWS), (len(log.clicks), dense)
    return f"{ALL_ROWS:,} rows, {dense:,} of them on {DENSE_DAYS[0]} to {DENSE_DAYS[-1]}"


def _verify_checks(root: Path) -> str:
    days = ("--from", FIRST.isoformat(), "--to", LAST.isoformat())
    status = json.loads(run_platform("status", "status", "--root", root, *days, "--json").output)
    checks = [day["checks"] for day in status["days"]]
    assert len(checks) == len(DAYS)
    assert all(check and not check["failed"] for check in checks), [check for check in checks if check["failed"]]
    warned = Counter(name for check in checks for name in check["warned"])
    passed = sum(check["passed"] for check in checks)
    return f"{passed:,} green, 0 blocking red; warnings: " + ", ".join(
        f"{name} on {count} days" for name, count in sorted(warned.items())
    )


def _verify_nothing_built(again: Cost) -> str:
    report = json.loads(again.output)
    assert report["runs"] == 0, report
    assert not report["built"], report
    return f"0 runs, in {again.wall_seconds:.1f} s"


def _verify_same_bytes(first: Platform, second: Platform) -> str:
    compared = 0
    for asset in TABLES:
        is_whole = asset in {"raw_events", "validated_events", "quarantined_events", "session_summaries"}
        for day in SINGLE_THREAD_DAYS if is_whole else SINGLE_THREAD_DAYS[:-1]:
            heads = first.store.head(asset, day), second.store.head(asset, day)
            assert all(heads), (asset, day)
            assert heads[0].files == heads[1].files, (asset, day)
            compared += len(heads[0].files)
    fragments = [{record.fragment for record in platform.ledger.records()} for platform in (first, second)]
    assert fragments[0] == fragments[1]
    return f"{compared} files of partitions and {len(fragments[0] - {None})} landed fragments have the same bytes"


def _print_shares(root: Path, backfill: Cost) -> None:
    """Print which stage took what, as each noted on its materializations; the rest is Dagster, start-up, planning."""
    seconds: dict[str, float] = {}
    with open_instance(load_settings({}, root, root=root)) as instance:
        for stage in CODE_VERSIONS:
            records = instance.fetch_materializations(dg.AssetKey(stage), limit=len(DAYS) * 2).records
            noted = [record.asset_materialization.metadata.get("seconds") for record in records]
            seconds[stage] = sum(float(value.value) for value in noted if value is not None)
    seconds["the rest"] = backfill.wall_seconds - sum(seconds.values())
    table = Table(title=f"Where the {backfill.wall_seconds:.0f} s of the backfill went", header_style="bold")
    table.add_column("stage")
    table.add_column("wall s", justify="right")
    table.add_column("share", justify="right")
    for stage, spent in seconds.items():
        table.add_row(stage, f"{spent:.1f}", f"{spent / backfill.wall_seconds:.0%}")
    out.print(table)


if __name__ == "__main__":
    sys.exit(main())

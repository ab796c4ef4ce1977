"""The demo and days of real clicks, once in a folder and once in a bucket: the same bytes, and what each costs.

Run by ``make bucket``; ends with status 1 when a content hash differs. The bucket is served over HTTP on 127.0.0.1, by
moto in this process or by ministack in another, so that times show the platform's own work and requests, not a network. The clicks are read
where they lie (``../shared/data`` beside the checkout, or where ``EVENT_LOGS_FOLDER`` says); without them only the demo
is compared. Everything is temporary.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.measuring import Cost, run_platform
from benchmarks.verdicts import Verdicts, print_costs, print_verdicts
from ml_data_platform.settings import load_settings
from ml_data_platform.stages.platform import Platform, open_platform
from ml_data_platform.stages.state import TABLES
from ml_data_platform_tests.globo_log import SOURCE, clicks_folder, hourly_files
from ml_data_platform_tests.ministack_server import ministack, missing_ministack
from ml_data_platform_tests.s3_server import moto, s3_server

DEMO = ("--start", "2026-06-01", "--days", "3", "--events-per-day", "2000")
FIRST_CLICKS = dt.date(2017, 10, 1)
SERVERS = {"moto": moto, "ministack": ministack}
Lane = tuple[str, str, Sequence[Path], Sequence[str]]


def main() -> int:
    """Run the lane and print its tables; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bucket")
    parser.add_argument(
        "--server", choices=SERVERS, default="moto", help="what serves the bucket (default: %(default)s)"
    )
    parser.add_argument("--days", type=int, default=1, help="days of real clicks (default: %(default)s)")
    options = parser.parse_args()
    if options.server == "ministack" and (why := missing_ministack()):
        print(f"skipped: {why}")
        return 0
    clicks = hourly_files(clicks_folder(os.environ), range(24 * options.days))
    verdicts, costs = Verdicts(), list[Cost]()
    with tempfile.TemporaryDirectory(prefix="bucket-") as folder, s3_server(SERVERS[options.server]) as server:
        top = Path(folder)
        run_platform("generate", "generate", "--out", top / "dropped", *DEMO)
        lanes: list[Lane] = [("demo", "demo_shop", [top / "dropped" / "demo_shop"], ())]
        if all(path.is_file() for path in clicks):
            last = FIRST_CLICKS + dt.timedelta(days=options.days - 1)
            lanes.append(("clicks", SOURCE, clicks, ("--from", str(FIRST_CLICKS), "--to", str(last))))
        for lane in lanes:
            name = lane[0]
            folder_root, home = top / name, top / f"{name}-home"
            bucket_root = f"s3://{server.new_bucket()}/{name}"
            here, there = {"START_DATE": "2017-10-01"}, {"START_DATE": "2017-10-01", "HOME": str(home)}
            costs += _build(f"{name}, folder", str(folder_root), here, lane)
            shutil.copytree(folder_root / "secrets", home / "secrets")
            costs += _build(f"{name}, bucket", bucket_root, there, lane)
            one = open_platform(load_settings({}, top, root=folder_root, start_date="2017-10-01"))
            other = open_platform(load_settings({}, top, root=bucket_root, home=home, start_date="2017-10-01"))
            verdicts.judge(f"{name}: same content hashes", lambda one=one, other=other: _compare(one, other))  # type: ignore[misc]
    print_verdicts(verdicts)
    print_costs(costs)
    return 0 if verdicts.all_hold else 1


def _build(
    name: str,
    root: str,
    settings: Mapping[str, str],
    lane: Lane,
) -> list[Cost]:
    _, source, paths, days = lane
    environment = {f"ML_DATA_PLATFORM_{key}": value for key, value in settings.items()}
    at = ["--root", root]
    return [
        run_platform(f"{name}: land", "land", *paths, "--source", source, *at, environment=environment),
        run_platform(f"{name}: backfill", "backfill", *days, *at, "--json", environment=environment),
        run_platform(f"{name}: backfill again", "backfill", *days, *at, "--json", environment=environment),
        run_platform(f"{name}: verify", "verify", *at, environment=environment),
    ]


def _compare(one: Platform, other: Platform) -> str:
    contents = []
    for platform in (one, other):
        heads = {asset: platform.store.heads(asset) for asset in TABLES}
        contents.append({(asset, day): head.content for asset, of in heads.items() for day, head in of.items()})
    assert contents[0], "nothing was built"
    differing = [key for key in contents[0] | contents[1] if contents[0].get(key) != contents[1].get(key)]
    assert not differing, f"{len(differing)} partitions differ, e.g. {differing[:3]}"
    return f"{len(contents[0])} partitions"


if __name__ == "__main__":
    sys.exit(main())

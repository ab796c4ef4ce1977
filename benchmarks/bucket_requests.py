"""How many requests a look at a root in a bucket takes, of 1,000 days with all their tables: make bucket-requests.

Belongs here: a root made of records, as ``benchmarks.planning`` makes it, in a bucket that moto serves; counting
requests. Does not belong here: seconds, which depend on the way to a bucket.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.planning import START, make_root
from ml_data_platform.events.planning import expected_days, plan
from ml_data_platform.settings import load_settings
from ml_data_platform.stages.platform import Platform, open_platform
from ml_data_platform.stages.state import read_state
from ml_data_platform.stages.watching import Watch
from ml_data_platform_tests.s3_server import S3Server, s3_server


def main() -> int:
    """Count, and print a line for each kind of look."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bucket_requests")
    parser.add_argument("--days", type=int, default=1_000)
    parser.add_argument("--files", type=int, default=1_000)
    options = parser.parse_args()
    table = Table("a look at a root in a bucket", "listings", "objects read", "others")
    with tempfile.TemporaryDirectory(prefix="requests-") as folder, s3_server() as server:
        local = make_root(Path(folder, "root"), options.days, options.files)
        bucket = _moved(server, local)

        def opened() -> Platform:
            place = {"root": f"s3://{bucket}/root", "home": Path(folder, "home"), "start_date": START}
            return open_platform(load_settings({}, Path(folder), **place), local.clock)

        (Path(folder, "home")).mkdir()
        local.settings.secrets_folder.rename(Path(folder, "home", "secrets"))
        first, second = opened(), opened()
        watch = Watch(second, lambda: 0.0)
        for name, look in (
            ("the first plan on this machine", lambda: _plan(first)),
            ("the next plan of the same process", lambda: _plan(first)),
            ("the first look of a new process", watch.look),
            ("a look of the sensor in which nothing is new", watch.look),
        ):
            asked = _count(server, look)
            table.add_row(name, *(f"{asked[kind]:,}" for kind in ("listings", "objects read", "others")))
    Console().print(table)
    return 0


def _plan(platform: Platform) -> None:
    state = read_state(platform)
    plan(state, expected_days(state))


def _moved(server: S3Server, platform: Platform) -> str:
    """Put all that a local root holds into a new bucket."""
    bucket = server.new_bucket()
    root = Path(platform.settings.root)
    for path in root.rglob("*"):
        key = path.relative_to(root).as_posix()
        if (
            path.is_file()
            and key.startswith(("_store/", "ledger/"))
            and not key.startswith(("_store/locks", "_store/tmp"))
        ):
            server.client.put_object(Bucket=bucket, Key=f"root/{key}", Body=path.read_bytes())
    return bucket


def _count(server: S3Server, look: Callable[[], object]) -> Counter[str]:
    asked: Counter[str] = Counter()

    def meddle(environ: Any, start_response: Any, serve: Any) -> list[bytes]:
        is_listing = "list-type" in environ.get("QUERY_STRING", "")
        kind = "listings" if is_listing else "objects read" if environ["REQUEST_METHOD"] == "GET" else "others"
        asked[kind] += 1
        return serve(environ, start_response)

    server.meddle = meddle
    look()
    server.meddle = None
    return asked


if __name__ == "__main__":
    sys.exit(main())

"""A model of a real shop's log, traced to the file and the rows that it came from, and made again from them.

Run by ``make shop-trace``; ends with status 1 when anything does not hold. The whole log is landed, six days of it with
purchases are built, a version of them is cut, and a model is trained on it. Then the trace of the model and of events
that it learnt from is followed down, and the row it names is looked up in the log by plain Python: the instant, and
what the version says of it, recomputed from the log. In the end all is built again in another place from the landed bytes
and the ledger alone, and compared byte by byte. The log is read where it lies (``../shared/data`` beside the
checkout, or where ``EVENT_LOGS_FOLDER`` says); the root is temporary.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import hashlib
import json
import random
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.dataset as pads

from benchmarks.measuring import Cost, run_platform
from benchmarks.verdicts import Verdicts, out, print_costs, print_verdicts
from ml_data_platform.datasets.dvc_files import Remote
from ml_data_platform.datasets.lineage import Lineage, Node
from ml_data_platform.datasets.repository import VersionsRepository
from ml_data_platform.settings import load_settings
from ml_data_platform.stages.platform import open_platform
from ml_data_platform_tests.real_logs import FOLDER, SOFTSHOP

FIRST, LAST, CUTOFF = dt.date(1997, 10, 27), dt.date(1997, 11, 1), dt.date(1997, 10, 30)
ONE_DAY = dt.timedelta(days=1)
EVENTS = 25
BERLIN = ZoneInfo("Europe/Berlin")


@dataclass(frozen=True)
class Line:
    """One row of the log: the cookie, the instant, its place among the session's clicks, and the page."""

    cookie: str
    at: dt.datetime
    order: int
    page: str


def main() -> int:
    """Build, cut, train and trace; print what holds. Returns the exit status."""
    if not SOFTSHOP.is_file():
        out.print(f"the log of the shop is not in {FOLDER}; EVENT_LOGS_FOLDER names another place")
        return 1
    with tempfile.TemporaryDirectory(prefix="shop-trace-") as folder:
        return _run(Path(folder) / "root", Path(folder) / "checkout", Path(folder) / "again")


def _run(root: Path, checkout: Path, again: Path) -> int:
    costs, verdicts, log = _build(root, checkout), Verdicts(), _read_log()
    trained = json.loads(costs[-1].output)
    trace = run_platform("trace the model", "trace", trained["run_id"], "--root", root, "--json")
    made_from = json.loads(trace.output)["made_from"]
    verdicts.judge("the model's trace ends at the log", lambda: _verify_model(made_from, trained["version"]))
    lineage = _lineage(root)
    rows = pads.dataset(checkout / "data" / "date_partitions", format="parquet").to_table().to_pylist()
    rows.sort(key=lambda row: row["event_id"])
    positive = [row for row in rows if row["label"] == 1]
    chosen = random.Random(7).sample(rows, EVENTS) + positive[:: max(1, len(positive) // 5)]
    verdicts.judge(
        "events of the version end at their rows of the log", lambda: _verify_events(lineage, chosen, log, trained)
    )
    verdicts.judge("the log leads to the version and the model", lambda: _verify_file(lineage, len(rows), trained))
    rebuilt = run_platform(
        "rebuild from what landed", "rebuild", "--root", root, "--to", again, "--model", "latest", "--json"
    )
    verdicts.judge("built again from what landed", lambda: _verify_rebuild(json.loads(rebuilt.output), root, again))
    print_verdicts(verdicts)
    print_costs([*costs, trace, rebuilt])
    return 0 if verdicts.all_hold else 1


def _build(root: Path, checkout: Path) -> list[Cost]:
    at = ("--root", root)
    return [
        run_platform("init", "init", *at, "--start-date", "1997-10-01"),
        run_platform("land the log", "land", *at, "--source", "softshop", "--historical", SOFTSHOP),
        run_platform("backfill 6 days", "backfill", *at, "--from", f"{FIRST}", "--to", f"{LAST}"),
        run_platform("version cut", "version", "cut", *at, "--json"),
        run_platform("version checkout", "version", "checkout", "latest", *at, "--to", checkout),
        run_platform("train", "train", *at, "--cutoff", f"{CUTOFF}", "--json"),
    ]


def _lineage(root: Path) -> Lineage:
    settings = load_settings({}, root, root=root)
    platform = open_platform(settings)
    repository = VersionsRepository(settings.versions_folder, Remote(settings.versions_remote_url))
    return Lineage(platform.store, platform.ledger, repository, settings.models_folder)


def _read_log() -> list[Line]:
    """Read the log with nothing but the standard library; the first row of data is row 1."""
    with gzip.open(SOFTSHOP, "rt", encoding="utf-8", newline="") as file:
        return [
            Line(
                row["COOKIE"],
                dt.datetime.fromisoformat(f"{row['Date']} {row['Time']}").replace(tzinfo=BERLIN).astimezone(dt.UTC),
                int(row["Click_order"]),
                row["Webpage"],
            )
            for row in csv.DictReader(file, delimiter=";")
        ]


def _ends(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [end for child in node["children"] for end in _ends(child)] or [node]


def _verify_model(made_from: dict[str, Any], tag: str) -> str:
    """Every chain of the model ends at the log's file, or at a day without rows."""
    sha256 = hashlib.sha256(SOFTSHOP.read_bytes()).hexdigest()
    assert [child["name"] for child in made_from["children"]] == [tag]
    days = [child["name"][-10:] for child in made_from["children"][0]["children"]]
    assert days == [f"{FIRST + number * ONE_DAY}" for number in range((LAST - FIRST).days + 1)], days
    ends = _ends(made_from)
    files = [end for end in ends if end["kind"] == "landed file"]
    assert files
    assert {end["facts"]["sha256"] for end in files} == {sha256}
    assert all(end["facts"]["rows"] == 0 for end in ends if end["kind"] != "landed file")
    return f"{len(days)} days; {len(files)} of {len(ends)} chains end at {files[0]['name']}, the others at empty days"


def _verify_events(lineage: Lineage, rows: list[dict[str, Any]], log: list[Line], trained: dict[str, Any]) -> str:
    """The row that the trace names has the event's instant, and the count and label that the version gives it."""
    kept = hashlib.sha256(SOFTSHOP.read_bytes()).hexdigest()
    for row in rows:
        found = lineage.trace(row["event_id"])
        landed: Node = found.made_from.children[0]
        assert landed.facts["sha256"] == kept, row["event_id"]
        line = log[landed.facts["row"] - 1]
        assert line.at == row["event_timestamp"], (line, row)
        own = [each for each in log if each.cookie == line.cookie]
        seen = [e for e in own if (e.at, e.order) <= (line.at, line.order) and e.at > line.at - ONE_DAY]
        assert row["session_event_count"] == len(seen), (line, row)
        buys = any(e.page == "pay_res" and line.at < e.at <= line.at + ONE_DAY for e in own)
        assert row["label"] == int(buys), (line, row)
        assert [(node.name, [child.name for child in node.children]) for node in found.contained_in] == [
            (trained["version"], [trained["run_id"]])
        ]
    return f"{len(rows)} events, {sum(row['label'] for row in rows)} of them before a purchase"


def _verify_file(lineage: Lineage, rows: int, trained: dict[str, Any]) -> str:
    (version,) = lineage.trace(SOFTSHOP.name).contained_in
    assert (version.name, version.facts["rows"]) == (trained["version"], rows), version
    assert [model.name for model in version.children] == [trained["run_id"]]
    return f"{rows} rows of it in one version, one model learnt from them"


def _verify_rebuild(told: dict[str, Any], root: Path, again: Path) -> str:
    """All tables, listings of the version and the model are the same bytes; files are hashed here once more."""
    assert told["is_same"], told
    digests = [
        {
            path.relative_to(place).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for pattern in ("data/**/*.parquet", "versions_remote/files/md5/*/*.dir")
            for path in place.glob(pattern)
        }
        for place in (root, again)
    ]
    assert digests[0] == digests[1]
    models = [next(place.glob("models/*/model.skops")).read_bytes() for place in (root, again)]
    assert models[0] == models[1]
    listings = sum(name.endswith(".dir") for name in digests[0])
    return f"{told['same_partitions']} partitions, {listings} listings of DVC and the model: the same bytes"


if __name__ == "__main__":
    sys.exit(main())

"""Lanes of a failing medium: errors at any system call, files that may not grow, a disk that is full.

Belongs here: making the medium fail. Does not belong here: what is done meanwhile and checked after (`scenarios`).
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from ml_data_platform_tests.faults.lanes.children import WRITE_FAILED, Server, server
from ml_data_platform_tests.faults.lanes.kills import all_points, check, trial
from ml_data_platform_tests.faults.lanes.lane import Figures, Plan
from ml_data_platform_tests.faults.lanes.scenario import Scenario
from ml_data_platform_tests.faults.lanes.scenarios import SCENARIOS

CODES = (errno.ENOSPC, errno.EIO, errno.EDQUOT)
# Calls by which a medium can fail; the others ask the process's own memory, or what it may do.
CALLS = frozenset(
    [
        "openat",
        "open",
        "mkdir",
        "mkdirat",
        "link",
        "linkat",
        "rename",
        "renameat",
        "renameat2",
        "unlink",
        "unlinkat",
        "rmdir",
        "write",
        "pwrite64",
        "writev",
        "ftruncate",
        "fallocate",
        "fsync",
        "fdatasync",
        "chmod",
        "fchmod",
        "fchmodat",
        "getdents64",
        "read",
        "pread64",
        "newfstatat",
        "stat",
        "lstat",
        "utimensat",
        "copy_file_range",
        "sendfile",
        "close",
    ]
)
# A flush that failed may have lost what it was to keep: it is never passed over.
MUST_BE_TOLD = frozenset({"fsync", "fdatasync"})
LARGEST_FILE = 1_600
DISK_BYTES = 2 * 1024 * 1024
PAGE = 4_096
MOST_FREE_PAGES = 14
MOST_FREE_INODES = 16
_FILLING = ("recommit", "recommit_without_links", "multi_file")


def inject_errors(plan: Plan) -> Figures:
    """Let one system call of some work fail as a medium fails, and every eighth time bound the size of files."""
    figures, chooser, struck = Figures(), plan.chooser, set()
    with server(plan.mutant) as forker:
        points = [point for point in all_points(plan, forker, figures) if point[1] in CALLS]
        place = 0
        while not plan.is_done(figures):
            name, call, which = points[place % len(points)]
            scenario, code, place = SCENARIOS[name], chooser.choice(CODES), place + 1
            root, told = trial(plan, scenario)
            trace = root.parent / "trace"
            if place % 8:
                where = f"{call} {which} fails with {errno.errorcode[code]}"
                inject = f"inject={call}:error={errno.errorcode[code]}:when={which}"
                options = ["-o", str(trace), "-e", f"trace={call}", "-e", inject]
                done = forker.ask(do="act", scenario=name, root=root, told=told, strace=options)
                is_struck = "(INJECTED)" in trace.read_text(errors="replace")
                struck |= {(name, call, which, code)} if is_struck else set()
            else:
                largest = chooser.randrange(LARGEST_FILE)
                where = f"no file over {largest} bytes"
                done = forker.ask(do="act", scenario=name, root=root, told=told, largest=largest)
                is_struck = done["exit"] == WRITE_FAILED
                figures.count("files too large", is_struck)
            figures.trials += is_struck
            figures.count("passed over", is_struck and done["exit"] == 0)
            if place % 8 and is_struck and call in MUST_BE_TOLD:
                with figures.noting(f"{name}, {where}"):
                    assert done["exit"], "a failed flush was passed over"
            check(figures, scenario, root, told, where)
    figures.points = len(struck)
    return figures


def fill_disk(plan: Plan) -> Figures:
    """Commit on a small disk of its own that has a few free pages, or inodes, left; then make room and try again."""
    figures, chooser = Figures(), plan.chooser
    names = plan.scenarios or [name for name in SCENARIOS if name not in {"nothing_new", "stale"}]
    with server(plan.mutant) as forker, _small_disk(plan.folder / "disk") as disk:
        inner = Plan(disk, plan.trials, plan.seed)
        while not plan.is_done(figures):
            scenario = SCENARIOS[chooser.choice(names)]
            free = chooser.randrange(MOST_FREE_PAGES), chooser.choice([None, chooser.randrange(MOST_FREE_INODES)])
            _work_on_full(figures, forker, inner, plan.folder / "told", scenario, free=free)
    return figures


def fill_disk_in_turn(plan: Plan) -> Figures:
    """Do the work on a small disk with each number of free pages in turn, then of free inodes."""
    figures = Figures()
    free = [*((pages, None) for pages in range(MOST_FREE_PAGES)), *((0, inodes) for inodes in range(MOST_FREE_INODES))]
    with server(plan.mutant) as forker, _small_disk(plan.folder / "disk") as disk:
        inner = Plan(disk, plan.trials)
        for name, room in itertools.product(plan.scenarios or _FILLING, free):
            _work_on_full(figures, forker, inner, plan.folder / "told", SCENARIOS[name], free=room)
            if len(figures.anomalies) >= plan.enough:
                break
    return figures


def _work_on_full(
    figures: Figures,
    forker: Server,
    plan: Plan,
    outside: Path,
    scenario: Scenario,
    *,
    free: tuple[int, int | None],
) -> None:
    """Do some work on a disk with so many free pages, or inodes where they are given; make room, and check."""
    root, told = trial(plan, scenario)
    ballast = plan.folder / "ballast"
    _fill(ballast, *free)
    done = forker.ask(do="act", scenario=scenario.name, root=root, told=outside)
    error = outside.with_suffix(".error")
    is_full = error.exists() and any(text in error.read_text() for text in _FULL)
    with figures.noting(scenario.name):
        assert done["exit"] == 0 or is_full, f"it failed by: {error.read_text()[:200]}"
    figures.trials += is_full
    figures.count("had room", done["exit"] == 0)
    shutil.rmtree(ballast)
    if outside.exists():
        shutil.move(outside, told)
    error.unlink(missing_ok=True)
    check(figures, scenario, root, told, "disk full")


_FULL = ("No space left", "Errno 28", "errno 28", "could not be flushed", "Could not write", "disk")


@cache
def missing_small_disk() -> str | None:
    """Say why no small disk can be mounted here; None where one can."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with _small_disk(Path(folder) / "disk"):
                return None
        except (OSError, subprocess.CalledProcessError) as error:
            told = getattr(error, "stderr", None) or error
            return f"a small tmpfs cannot be mounted (needs root): {str(told).strip()[-200:]}"


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    options = f"size={DISK_BYTES},nr_inodes=400"
    command = ["mount", "-t", "tmpfs", "-o", options, "mdp-faults", str(folder)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True, capture_output=True)


def _fill(ballast: Path, free_pages: int, free_inodes: int | None) -> None:
    """Take all of a disk but some pages; or, where that is asked for, all of its inodes but some, and no more bytes."""
    ballast.mkdir()
    if free_inodes is not None:
        for number in range(max(0, os.statvfs(ballast).f_ffree - free_inodes)):
            (ballast / str(number)).touch()
        return
    pages = [ballast / f"page-{number}" for number in range(free_pages)]
    for page in pages:
        page.write_bytes(bytes(PAGE))
    _until_full(ballast / "rest", pages)


def _until_full(path: Path, pages: list[Path]) -> None:
    with path.open("wb", buffering=0) as stream:
        while True:
            try:
                if not stream.write(bytes(PAGE)):
                    break
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                break
    for page in pages:
        page.unlink()

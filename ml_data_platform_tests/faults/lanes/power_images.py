"""The lane of power cuts of a real file system: images of a loop-mounted ext4, taken in mid-run, mounted again.

Belongs here: a writer on a recorded disk, cuts at its events, and the check of what each leaves. Does not belong here:
the disk (`recorded_disk`).
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.faults.lanes import numbered
from ml_data_platform_tests.faults.lanes.children import Server, server
from ml_data_platform_tests.faults.lanes.lane import Figures, Plan, fault_folder
from ml_data_platform_tests.faults.lanes.recorded_disk import (
    DISK,
    TOLD,
    RecordedDisk,
    Told,
    formatted,
    loop_device,
    mounted_ext4,
)
from ml_data_platform_tests.storage_tables import PARTED, present

DISK_BYTES = 16 * 1024 * 1024
COMMITS = 40
IMAGES_OF_A_RUN = 100


def cut_power(plan: Plan) -> Figures:
    """Commit on a recorded disk, then cut the power at random events; what was acknowledged before is on every image.

    Half of the images are of a disk without a cache; on the others some of what was not flushed is lost.
    """
    figures, chooser = Figures(), plan.chooser
    with server(plan.mutant) as writer:
        while not plan.is_done(figures):
            folder = plan.folder / f"run-{figures.notes.get('runs', 0)}"
            folder.mkdir()
            figures.count("runs")
            with recorded_run(folder, writer) as disk:
                ends = sorted(chooser.choices(range(len(disk.happened) + 1), k=IMAGES_OF_A_RUN))
                figures.count("events", len(disk.happened))
                for end in ends:
                    if plan.is_done(figures):
                        break
                    kept = chooser if chooser.random() < 0.5 else None
                    _check(figures, folder, disk, end, kept)
            shutil.rmtree(folder)
    return figures


def cut_power_in_turn(plan: Plan) -> Figures:
    """Cut the power right after each acknowledgement in turn, of a disk without a cache."""
    figures, folder = Figures(), plan.folder / "run"
    folder.mkdir()
    with server(plan.mutant) as writer, recorded_run(folder, writer) as disk:
        for end in (place + 1 for place, event in enumerate(disk.happened) if isinstance(event, Told)):
            _check(figures, folder, disk, end, None)
            if len(figures.anomalies) >= plan.enough:
                break
    shutil.rmtree(folder)
    figures.points = figures.trials
    return figures


@contextlib.contextmanager
def recorded_run(folder: Path, writer: Server) -> Iterator[RecordedDisk]:
    """Let a writer commit on a recorded disk; yield the disk, which nobody uses any more."""
    (folder / "served").mkdir()
    with contextlib.closing(RecordedDisk(folder / "served", formatted(folder, DISK_BYTES))) as disk:
        with loop_device(folder / "served" / DISK) as device, mounted_ext4(device, folder / "mounted") as top:
            told = writer.ask(do="commit_and_tell", root=top / "root", told=folder / "served" / TOLD, commits=COMMITS)
            # What unmounting writes is no power cut's.
            events = len(disk.happened)
        del disk.happened[events:]
        assert told["last"] == COMMITS
        yield disk


def _check(figures: Figures, folder: Path, disk: RecordedDisk, end: int, chooser: random.Random | None) -> None:
    """Mount what a cut leaves, and check log, objects and view; then recover, and commit what comes next."""
    acknowledged = max((int(event.text) for event in disk.happened[:end] if isinstance(event, Told)), default=0)
    image = folder / "image.ext4"
    image.write_bytes(disk.after_cut(end, chooser))
    figures.trials += 1
    figures.count("with acknowledged commits", acknowledged > 0)
    cache_lost = "" if chooser is None else ", its cache lost"
    with (
        figures.noting(f"cut at event {end} of {len(disk.happened)}{cache_lost}, {acknowledged} acknowledged"),
        loop_device(image) as device,
        mounted_ext4(device, folder / "again") as top,
    ):
        root = top / "root"
        found = numbered.numbers(root, PARTED)
        assert len(found) in {acknowledged, acknowledged + 1}, f"the log holds {len(found)} commits"
        assert found == list(range(1, len(found) + 1))
        numbered.assert_view_is_whole(root, PARTED, found, complete=acknowledged > 0)
        if acknowledged == 0 and not root.is_dir():
            return
        numbered.recover(root)
        numbered.assert_whole(root, PARTED)
        for record in numbered.records(root, PARTED):
            numbered.assert_record_holds(root, PARTED, record)
        again = numbered.commit_numbered(
            TableStore(root, present), PARTED, acknowledged + 1, expected=acknowledged, run_id="retry"
        )
        assert again.outcome == ("unchanged" if len(found) > acknowledged else "committed")
        assert numbered.numbers(root, PARTED) == list(range(1, acknowledged + 2))
        numbered.assert_whole(root, PARTED)


@cache
def missing_disks() -> str | None:
    """Say why no disk can be recorded here; None where one can."""
    absent = [tool for tool in ("mkfs.ext4", "losetup", "mount") if shutil.which(tool) is None]
    if absent or not os.access("/dev/fuse", os.W_OK):
        return f"no disk can be recorded (needs root and FUSE): {', '.join(absent) or '/dev/fuse cannot be opened'}"
    with fault_folder() as folder:
        try:
            (folder / "served").mkdir()
            with (
                contextlib.closing(RecordedDisk(folder / "served", formatted(folder, DISK_BYTES))),
                loop_device(folder / "served" / DISK) as device,
                mounted_ext4(device, folder / "mounted"),
            ):
                return None
        except (OSError, subprocess.CalledProcessError) as error:
            told = getattr(error, "stderr", None) or error
            return f"no disk can be recorded (needs root, loop devices and FUSE): {str(told).strip()[-200:]}"

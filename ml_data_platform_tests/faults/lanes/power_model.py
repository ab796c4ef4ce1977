"""The lane of power cuts on a modelled disk: one that keeps what was flushed, and of the rest what it likes.

Belongs here: what of a folder has been flushed so far, and the folders that a power cut could leave. Does not belong
here: what a real file system keeps (`power_images`), which is more.

The model is POSIX at its worst, after "All File Systems Are Not Created Equal" (Pillai et al., OSDI 2014): a file's
bytes last from its fsync on, a name from the fsync of its folder on; whatever was not flushed is there or not, each
name by itself, each file whole, cut or empty.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from ml_data_platform_tests import storage_tables
from ml_data_platform_tests.faults.lanes import mutants
from ml_data_platform_tests.faults.lanes.kills import remove
from ml_data_platform_tests.faults.lanes.lane import Figures, Plan
from ml_data_platform_tests.faults.lanes.scenario import Scenario
from ml_data_platform_tests.faults.lanes.scenarios import SCENARIOS
from ml_data_platform_tests.faults.lanes.steps import Before, at_step, watched
from ml_data_platform_tests.faults.lanes.trees import Tree
from ml_data_platform_tests.storage_tables import present

RANDOM_IMAGES = 2
CUTS_AFTER_A_DEATH = 0.1
FLUSHED, LIVE = 0, 1
Content = tuple[bytes, int]
Live = tuple[dict[int, dict[str, int]], dict[int, Content]]
# What a cut may leave, what was acknowledged before it, and where it was.
Cut = tuple[Tree, str | None, str]


class DiedError(BaseException):
    """The end of a process; nothing in the platform may catch it."""


class Choices:
    """Stands in for a generator of random choices: always the same one of two, but for one that is the other.

    Args:
        base: Which of the two: what was flushed, or what processes see.
        other: Number of the choice that is the other.
    """

    def __init__(self, base: int, other: int | None = None) -> None:
        self.base, self.other, self.made = base, other, 0

    def choice(self, options: Sequence[Any]) -> Any:
        """Return what was flushed, or what processes see."""
        self.made += 1
        return options[1 - self.base if self.made - 1 == self.other else self.base]

    def randrange(self, end: int) -> int:
        """Return the middle."""
        return end // 2


class Disk:
    """What of a folder would survive a power cut now.

    Args:
        root: The folder; what it holds at first has been flushed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.top = os.stat(root).st_ino
        self.folders, self.files = self.live()
        # Files that are held open keep their inode numbers from being given to others.
        self._held: list[int] = []

    def live(self) -> Live:
        """Return the names in each folder and the content of each file as processes see them, by inode."""
        folders: dict[int, dict[str, int]] = {}
        files: dict[int, Content] = {}
        for path, _, names in os.walk(self.root):
            inside = {entry.name: entry.inode() for entry in os.scandir(path)}
            folders[os.stat(path).st_ino] = inside
            for name in names:
                if inside[name] not in files:
                    files[inside[name]] = _content(os.path.join(path, name))
        return folders, files

    def flush(self, handle: int) -> None:
        """Take notice that a file or a folder was flushed."""
        path = f"/proc/self/fd/{handle}"
        inode = os.fstat(handle).st_ino
        if os.path.isdir(path):
            self.folders[inode] = {entry.name: entry.inode() for entry in os.scandir(path)}
        else:
            self.files[inode] = _content(path)
        self._held.append(os.dup(handle))

    def close(self) -> None:
        """Let go of the files."""
        for handle in self._held:
            os.close(handle)

    def images(self) -> Iterator[Tree]:
        """Yield what is flushed, what processes see, and each with one thing that is not flushed as in the other."""
        live = self.live()
        for base in (FLUSHED, LIVE):
            choices = Choices(base)
            yield self.image(choices, live)
            for number in range(choices.made):
                yield self.image(Choices(base, number), live)

    def image(self, chooser: random.Random | Choices | None, live: Live | None = None) -> Tree:
        """Return a folder that a power cut could leave: nothing that was not flushed, or what a chooser keeps of it.

        Args:
            chooser: Chooses what is kept; None for nothing that was not flushed.
            live: What processes see, where it has been read already.
        """
        folders, files = (live or self.live()) if chooser else (self.folders, self.files)
        paths: list[str] = []
        found: dict[str, int] = {}
        contents: dict[int, Content] = {}

        def visit(inode: int, path: str) -> None:
            flushed, live = self.folders.get(inode, {}), folders.get(inode, {})
            for name in sorted(flushed.keys() | live.keys()):
                either = [flushed.get(name), live.get(name)]
                child = either[0] if either[0] == either[1] or not chooser else chooser.choice(either)
                if child is None:
                    continue
                inside = os.path.normpath(f"{path}/{name}")
                if child in self.folders or child in folders:
                    paths.append(inside)
                    visit(child, inside)
                elif child in self.files or child in files:
                    found[inside] = child
                    contents.setdefault(child, self._bytes(child, files, chooser))
                elif _is_folder(live.get(name) == child, self.root / inside):
                    paths.append(inside)
                else:
                    found[inside] = child
                    contents.setdefault(child, (b"", 0o600))

        visit(self.top, ".")
        return Tree(tuple(paths), found, contents)

    def _bytes(self, inode: int, files: dict[int, Content], chooser: random.Random | Choices | None) -> Content:
        flushed, live = self.files.get(inode, (b"", 0o600)), files.get(inode)
        if chooser is None or live is None or live == flushed:
            return flushed
        cut = live[0][: chooser.randrange(len(live[0]) + 1)], live[1]
        return chooser.choice([flushed, live, cut])


def cut_power_on_a_model(plan: Plan) -> Figures:
    """Cut the power before each step of some work; then after a process that died in the same work."""
    figures, chooser = Figures(), plan.chooser
    names, seen = plan.scenarios or tuple(SCENARIOS), set()
    places = dict.fromkeys(names, 0)
    while not plan.is_done(figures):
        scenario = SCENARIOS[names[figures.notes.get("rounds", 0) % len(names)]]
        figures.count("rounds")
        # First nobody dies, then somebody at each step in turn, then from the start again.
        dies_at = places[scenario.name] - 1 if places[scenario.name] else None
        outlived = figures.notes.get("outlived its death", 0)
        images = _images(plan, figures, scenario, chooser, dies_at)
        is_over = figures.notes.get("outlived its death", 0) > outlived
        places[scenario.name] = 0 if is_over else places[scenario.name] + 1
        for image, acknowledged, where in _some_of(images, plan.trials // len(names), chooser):
            key = scenario.name, acknowledged, str(image.folders), str(image.files), str(image.contents)
            if hash(key) in seen:
                continue
            seen.add(hash(key))
            _check(plan, figures, scenario, (image, acknowledged, where))
            if plan.is_done(figures):
                break
    figures.points = len(seen)
    return figures


def _images(plan: Plan, figures: Figures, scenario: Scenario, chooser: random.Random, dies_at: int | None) -> list[Cut]:
    """Do some work on a modelled disk; return what a power cut before some of its steps, and after it, could leave."""

    def taken(disk: Disk, acknowledged: str | None) -> Iterable[Tree]:
        # After a death it is the death that matters, so that few of the cuts are enough.
        if dies_at is not None and acknowledged is None and chooser.random() > CUTS_AFTER_A_DEATH:
            return ()
        return (disk.image(keep) for keep in (None, *[chooser] * RANDOM_IMAGES))

    return _cuts(plan, figures, scenario, dies_at, taken)


def _cuts(
    plan: Plan,
    figures: Figures,
    scenario: Scenario,
    dies_at: int | None,
    taken: Callable[[Disk, str | None], Iterable[Tree]],
) -> list[Cut]:
    """Do some work on a modelled disk, maybe after a death in it; return the images that are taken of it.

    Args:
        plan: Where, and on which protocol.
        figures: Take notice of a death that did not come.
        scenario: The work.
        dies_at: The step before which somebody dies first; None for nobody.
        taken: Takes images before each step, and with what was acknowledged at the end.
    """
    root = plan.folder / "model"
    scenario.prepared.write(root)
    disk, images = Disk(root), []
    after = "" if dies_at is None else f" after a death at step {dies_at}"

    def cut(where: str, acknowledged: str | None = None) -> None:
        images.extend((image, acknowledged, where + after) for image in taken(disk, acknowledged))

    with contextlib.closing(disk):
        if dies_at is not None:
            # The protocol's change comes over the watching, so that a flush that it leaves out is not taken notice of.
            with (
                watched_disk(disk, at_step(dies_at, _die)),
                mutants.applied(plan.mutant),
                contextlib.suppress(DiedError),
            ):
                scenario.die(root)
                figures.count("outlived its death")
        with (
            figures.noting(f"{scenario.name}, undisturbed{after}"),
            watched_disk(disk, cut),
            mutants.applied(plan.mutant),
        ):
            acknowledged = scenario.act(root)
            cut("at the end", acknowledged)
    remove(root)
    return images


def cut_power_in_turn(plan: Plan) -> Figures:
    """Let each scenario die at each step in turn; then lose, or keep, each thing alone that was not flushed.

    Nothing is left to chance: first the cuts after what was acknowledged, whoever died before, then those before.
    """
    figures, seen = Figures(), set()
    for scenario in (SCENARIOS[name] for name in plan.scenarios or SCENARIOS):
        for images in _in_turn(plan, figures, scenario):
            for image, acknowledged, where in images:
                key = scenario.name, acknowledged, image.shape
                if key in seen:
                    continue
                seen.add(key)
                _check(plan, figures, scenario, (image, acknowledged, where))
                if len(figures.anomalies) >= plan.enough:
                    return figures
    figures.points = len(seen)
    return figures


def _in_turn(plan: Plan, figures: Figures, scenario: Scenario) -> Iterator[list[Cut]]:
    def at_the_end(disk: Disk, acknowledged: str | None) -> Iterable[Tree]:
        return () if acknowledged is None else disk.images()

    def before_each(disk: Disk, _: str | None) -> Iterable[Tree]:
        return disk.images()

    clock = present()

    def cuts(dies_at: int | None, taken: Callable[[Disk, str | None], Iterable[Tree]]) -> list[Cut]:
        with _as_each_time(clock):
            return _cuts(plan, figures, scenario, dies_at, taken)

    yield cuts(None, at_the_end)
    for dies_at in itertools.count():
        outlived = figures.notes.get("outlived its death", 0)
        yield cuts(dies_at, at_the_end)
        if figures.notes.get("outlived its death", 0) > outlived:
            break
    yield cuts(None, before_each)


@contextlib.contextmanager
def _as_each_time(clock: datetime) -> Iterator[None]:
    """Let the clock stand, and count for random names: what different deaths leave alike is seen to be the same."""
    numbers = itertools.count(1)
    with (
        patch.object(storage_tables, "datetime", SimpleNamespace(now=lambda _: clock)),
        patch.object(uuid, "uuid4", lambda: uuid.UUID(int=next(numbers))),
    ):
        yield


def _check(plan: Plan, figures: Figures, scenario: Scenario, cut: Cut) -> None:
    """Check what a cut leaves, and count it."""
    image, acknowledged, where = cut
    root = plan.folder / "image" / "root"
    root.parent.mkdir()
    image.write(root)
    with figures.noting(f"{scenario.name}, {where}"):
        scenario.check(root, acknowledged)
    remove(root.parent)
    figures.trials += 1
    figures.count("acknowledged", acknowledged is not None)


def _some_of(images: list[Cut], most: int, chooser: random.Random) -> list[Cut]:
    """Return those after an acknowledgement, and of the others as many as let every scenario have its turn."""
    after = [each for each in images if each[1] is not None]
    others = [each for each in images if each[1] is None]
    return [*chooser.sample(others, max(0, min(len(others), most - len(after)))), *after]


def watched_disk(disk: Disk, before: Before) -> contextlib.AbstractContextManager[None]:
    """Call ``before`` with the name of each step before it is taken; the disk takes notice of each flush."""
    return watched(before, lambda name, handle: disk.flush(handle) if name == "fsync" else None)


def _die() -> None:
    raise DiedError


def _is_folder(is_live: bool, path: Path) -> bool:
    return is_live and path.is_dir()


def _content(path: str) -> Content:
    with open(path, "rb") as stream:
        return stream.read(), os.fstat(stream.fileno()).st_mode & 0o777

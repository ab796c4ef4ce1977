"""The commit protocol less one step: each change must turn some lane red.

Belongs here: the table of changes, each with the lane that notices it. Does not belong here: noticing.

Where it can, a change is made below the platform, at the system call, so that it means the same however the code
above is cut.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ml_data_platform.landing import landing
from ml_data_platform.storage import commit_log, ledger, parquet, scratch, table_store
from ml_data_platform.storage.layout import SNAPSHOTS_FOLDER, Layout

Objects = type(table_store.TableStore(Path("nowhere"), lambda: None).objects)


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        what: What is left out.
        lane: The lane that must notice.
        apply: Makes it, for the time of a block.
        scenarios: Where it must show; empty for everywhere.
        calls: The system calls between which it must show; empty for all.
    """

    what: str
    lane: str
    apply: Callable[[], AbstractContextManager[Any]]
    scenarios: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()


def applied(name: str | None) -> AbstractContextManager[Any]:
    """Work with a change by its name; with none for None."""
    if name is None:
        return contextlib.nullcontext()
    return MUTANTS[name].apply()


def flushing_functions(work: Callable[[], Any]) -> set[str]:
    """Return the functions that flush something while ``work`` is done, each as ``helper.caller``."""
    found, real = set(), os.fsync

    def fsync(handle: int) -> None:
        found.add(_flushing())
        real(handle)

    with patch.object(os, "fsync", fsync):
        work()
    return found


def _flushing() -> str:
    """Return who flushes: the function that calls fsync, and the one that called it."""
    helper = sys._getframe(2)
    return f"{helper.f_code.co_name}.{helper.f_back.f_code.co_name}"


def _no_flush_in(where: str) -> AbstractContextManager[Any]:
    real = os.fsync

    def fsync(handle: int) -> None:
        if where not in {"everything", _flushing()}:
            real(handle)

    return patch.object(os, "fsync", fsync)


def _delete_then_rename() -> AbstractContextManager[Any]:
    real = os.replace

    def replace(source: Any, target: Any, **facts: Any) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target)
        # The system may do anything between two calls.
        time.sleep(0.001)
        real(source, target, **facts)

    return patch.object(os, "replace", replace)


def _written_in_place() -> AbstractContextManager[Any]:
    def replace(source: Any, target: Any, **_: Any) -> None:
        data = Path(source).read_bytes()
        with contextlib.suppress(FileNotFoundError):
            # not the object that the view was linked to
            if os.stat(target).st_nlink > 1:
                Path(target).unlink()
        with Path(target).open("wb") as stream:
            for at in range(0, len(data), 512):
                stream.write(data[at : at + 512])
                stream.flush()

    return patch.object(os, "replace", replace)


@contextmanager
def _log_is_overwritten() -> Iterator[None]:
    link, lexists = os.link, os.path.lexists

    def overwriting(source: Any, target: Any, **facts: Any) -> None:
        if f"{os.sep}log{os.sep}" in str(target):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(target)
        link(source, target, **facts)

    def is_there(path: Any) -> bool:
        return f"{os.sep}log{os.sep}" not in str(path) and lexists(path)

    with patch.object(os, "link", overwriting), patch.object(os.path, "lexists", is_there):
        yield


def _view_before_log() -> AbstractContextManager[Any]:
    real = table_store.TableStore.commit

    def commit(self: Any, staged: Any, **facts: Any) -> Any:
        for file in staged.files:
            key = Layout.object_key(staged.asset, file.sha256)
            self.objects.put_object(key, file.path, sha256=file.sha256, size_bytes=file.size_bytes)
            self.objects.project(key, Layout.view_key(staged.asset, staged.day, file.name))
        return real(self, staged, **facts)

    return patch.object(table_store.TableStore, "commit", commit)


@contextmanager
def _log_before_objects() -> Iterator[None]:
    put, append, waiting = Objects.put_object, commit_log.CommitLog.append, []

    def put_object(*arguments: Any, **facts: Any) -> bool:
        waiting.append((arguments, facts))
        return True

    def append_first(self: Any, record: Any) -> bool:
        done = append(self, record)
        while waiting:
            arguments, facts = waiting.pop()
            put(*arguments, **facts)
        return done

    real = table_store.TableStore.commit

    def commit(self: Any, staged: Any, **facts: Any) -> Any:
        waiting.clear()
        return real(self, staged, **facts)

    with (
        patch.object(Objects, "put_object", put_object),
        patch.object(commit_log.CommitLog, "append", append_first),
        patch.object(table_store.TableStore, "commit", commit),
    ):
        yield


@contextmanager
def _ledger_before_fragments() -> Iterator[None]:
    publish, append, waiting = landing._publish, ledger.Ledger.append, []

    def later(file: Any, *arguments: Any) -> Any:
        # Its bytes, since scratch is gone by then.
        if file is None:
            return None
        waiting.append((file.path.read_bytes(), file, arguments))
        return file.sha256

    def append_first(self: Any, record: Any) -> bool:
        done = append(self, record)
        while waiting:
            data, file, arguments = waiting.pop()
            file.path.parent.mkdir(exist_ok=True)
            file.path.write_bytes(data)
            publish(file, *arguments)
            shutil.rmtree(file.path.parent)
        return done

    with patch.object(landing, "_publish", later), patch.object(ledger.Ledger, "append", append_first):
        yield


def _never(*_: Any, **__: Any) -> None:
    return None


def _nothing_differs(*_: Any, **__: Any) -> list[str]:
    return []


def _no_lock(is_meant: Callable[[str], bool]) -> Callable[[], AbstractContextManager[Any]]:
    def apply() -> AbstractContextManager[Any]:
        real = Objects.lock

        def lock(self: Any, key: str, **facts: Any) -> AbstractContextManager[None]:
            return contextlib.nullcontext() if is_meant(key) else real(self, key, **facts)

        return patch.object(Objects, "lock", lock)

    return apply


def _scratch_of_the_living() -> AbstractContextManager[Any]:
    real = scratch.fcntl.flock

    def flock(handle: int, how: int) -> None:
        if not how & scratch.fcntl.LOCK_NB:
            real(handle, how)

    return patch.object(scratch.fcntl, "flock", flock)


def _no_view_recovered() -> AbstractContextManager[Any]:
    real = table_store.TableStore.recover

    def recover(self: Any) -> Any:
        with patch.object(Objects, "project", lambda *_, **__: False):
            return real(self)

    return patch.object(table_store.TableStore, "recover", recover)


def _stale_is_current() -> AbstractContextManager[Any]:
    real = table_store.TableStore.commit

    def commit(self: Any, staged: Any, **facts: Any) -> Any:
        return real(self, staged, **facts | {"inputs_are_current": lambda _: True})

    return patch.object(table_store.TableStore, "commit", commit)


def _existing_objects_are_trusted() -> AbstractContextManager[Any]:
    def put_object(self: Any, key: str, source: Path, **_: Any) -> bool:
        return not self.exists(key) and self.put_if_absent(key, source)

    return patch.object(Objects, "put_object", put_object)


def _failed_flush_is_forgiven() -> AbstractContextManager[Any]:
    real = os.fsync

    def fsync(handle: int) -> None:
        try:
            real(handle)
        except OSError as error:
            if error.errno not in {errno.EIO, errno.ENOSPC, errno.EDQUOT}:
                raise

    return patch.object(os, "fsync", fsync)


@contextmanager
def _nothing_is_pinned() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for module in list(sys.modules.values()):
            if module.__name__.startswith("ml_data_platform.storage.") and hasattr(module, "SNAPSHOTS_FOLDER"):
                stack.enter_context(patch.object(module, "SNAPSHOTS_FOLDER", f"{SNAPSHOTS_FOLDER}-elsewhere"))
        yield


def _replaced(where: Any, name: str, by: Any) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: patch.object(where, name, by)


# Each flush of the protocol, as `flushing_functions` finds them, and where leaving it out must show.
FLUSHES: dict[str, tuple[str, ...]] = {
    "sync_file._temp_file": ("first_commit",),
    "sync_folder.make_folder": ("first_commit",),
    "sync_folder._make_lasting": ("recommit",),
    "sync_folder.put_if_absent": ("first_commit",),
    "sync_folder.put_object": ("recommit",),
    "sync_folder.project": ("recommit",),
}
# Flushed again, under its final mode, where it is published; a test of injected errors shows what this one is for.
FLUSHED_TWICE = frozenset({"sync_file.verify_file"})
_PUBLISHING = ("link", "rename", "unlink")
MUTANTS: dict[str, Mutant] = {
    "view_is_deleted_then_renamed": Mutant(
        "the view is replaced by delete, then rename", "readers", _delete_then_rename
    ),
    "view_is_written_in_place": Mutant("the view is written in place", "readers", _written_in_place),
    "view_before_log": Mutant(
        "the view is shown before the log record is there", "kills", _view_before_log, ("multi_file",), _PUBLISHING
    ),
    "log_before_objects": Mutant(
        "the log record is written before its objects", "kills", _log_before_objects, ("recommit",), _PUBLISHING
    ),
    "ledger_before_fragments": Mutant(
        "the ledger record is written before its fragments",
        "kills",
        _ledger_before_fragments,
        ("landing",),
        _PUBLISHING,
    ),
    "own_commit_is_unknown": Mutant(
        "a retry does not recognise its own commit", "races", _replaced(table_store.TableStore, "_find_own", _never)
    ),
    "stale_is_current": Mutant(
        "inputs that no longer count are published", "kills", _stale_is_current, ("stale",), _PUBLISHING
    ),
    "view_is_not_recovered": Mutant(
        "recovery leaves views behind their heads", "kills", _no_view_recovered, ("recommit",), _PUBLISHING
    ),
    "scratch_is_not_reaped": Mutant(
        "recovery leaves scratch of the dead",
        "kills",
        _replaced(Objects, "reap_scratch", lambda _: 0),
        ("recommit",),
        _PUBLISHING,
    ),
    "nothing_is_pinned": Mutant(
        "collection takes what a snapshot names", "kills", _nothing_is_pinned, ("collection",), _PUBLISHING
    ),
    "log_is_overwritten": Mutant("a log record is put although there is one", "races", _log_is_overwritten),
    "view_without_lock": Mutant("views are shown without a lock", "races", _no_lock(lambda key: "/dt=" in key)),
    "collection_without_lock": Mutant(
        "collection does not keep off commits", "races", _no_lock(lambda key: "objects" in key)
    ),
    "scratch_of_the_living": Mutant("scratch is removed although its owner lives", "races", _scratch_of_the_living),
    "log_before_objects, at random": Mutant("the same, struck at random", "random", _log_before_objects),
    "log_before_objects, disk full": Mutant("the same, struck by a full disk", "disk", _log_before_objects),
    **{
        f"no_flush_in_{where}": Mutant(f"{where} does not flush", "power", partial(_no_flush_in, where), scenarios)
        for where, scenarios in FLUSHES.items()
    },
    "nothing_is_flushed": Mutant("nothing is flushed", "power", partial(_no_flush_in, "everything")),
    "nothing_is_flushed, on ext4": Mutant(
        "the same, on a real file system", "images", partial(_no_flush_in, "everything")
    ),
    "failed_flush_is_forgiven": Mutant(
        "a failed flush is forgiven", "errors", _failed_flush_is_forgiven, ("recommit",), ("fsync",)
    ),
    "schema_is_not_compared": Mutant(
        "columns and types are not compared", "damage", _replaced(parquet, "schema_differences", _nothing_differs)
    ),
    "metadata_is_not_compared": Mutant(
        "the version in a file is not compared", "damage", _replaced(parquet, "_metadata_differences", _nothing_differs)
    ),
    "existing_object_is_trusted": Mutant(
        "an object that is there is not compared with its name", "damage", _existing_objects_are_trusted
    ),
}

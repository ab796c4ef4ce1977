"""What can be left out of the commit protocol, each as a block of code within which it is.

Belongs here: the changes. Does not belong here: which lane notices which (`mutants`).

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
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ml_data_platform.landing import landing
from ml_data_platform.storage import commit_log, ledger, scratch, table_store
from ml_data_platform.storage.layout import SNAPSHOTS_FOLDER, Layout
from ml_data_platform.storage.local_objects import LocalObjectStore as Objects


def let_others_run() -> None:
    """Wait a moment: the system may do anything between two calls."""
    time.sleep(0.001)


def delete_then_rename() -> AbstractContextManager[Any]:
    """Replace a file by deleting it and renaming another to its name."""
    real = os.replace

    def replace(source: Any, target: Any, **facts: Any) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target)
        let_others_run()
        real(source, target, **facts)

    return patch.object(os, "replace", replace)


def written_in_place() -> AbstractContextManager[Any]:
    """Write the new bytes into the file of the view."""

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
                let_others_run()

    return patch.object(os, "replace", replace)


@contextmanager
def log_is_overwritten() -> Iterator[None]:
    """Let a log record take the place of another."""
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


def view_before_log() -> AbstractContextManager[Any]:
    """Show files in the view before the log record is there."""
    real = table_store.TableStore.commit

    def commit(self: Any, staged: Any, **facts: Any) -> Any:
        for file in staged.files:
            key = Layout.object_key(staged.asset, file.sha256)
            self.objects.put_object(key, file.path, sha256=file.sha256, size_bytes=file.size_bytes)
            self.objects.project(key, Layout.view_key(staged.asset, staged.day, file.name))
        return real(self, staged, **facts)

    return patch.object(table_store.TableStore, "commit", commit)


@contextmanager
def log_before_objects() -> Iterator[None]:
    """Publish objects after the log record that names them."""
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
def ledger_before_fragments() -> Iterator[None]:
    """Publish fragments after the ledger record that names them."""
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


def never(*_: Any, **__: Any) -> None:
    """Stand in for a function that finds nothing."""
    return


def nothing_differs(*_: Any, **__: Any) -> list[str]:
    """Stand in for a comparison that finds no difference."""
    return []


def no_lock(is_meant: Callable[[str], bool]) -> Callable[[], AbstractContextManager[Any]]:
    """Leave out the locks whose keys are meant."""

    def apply() -> AbstractContextManager[Any]:
        real = Objects.lock

        def lock(self: Any, key: str, **facts: Any) -> AbstractContextManager[None]:
            return contextlib.nullcontext() if is_meant(key) else real(self, key, **facts)

        return patch.object(Objects, "lock", lock)

    return apply


def scratch_of_the_living() -> AbstractContextManager[Any]:
    """Take every owner of scratch for dead."""
    real = scratch.fcntl.flock

    def flock(handle: int, how: int) -> None:
        if not how & scratch.fcntl.LOCK_NB:
            real(handle, how)

    return patch.object(scratch.fcntl, "flock", flock)


def full_disk_is_forgiven() -> AbstractContextManager[Any]:
    """Take a file of the view for shown where there was no room for it."""
    real = Objects.project

    def project(*arguments: Any, **facts: Any) -> Any:
        try:
            return real(*arguments, **facts)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return True

    return patch.object(Objects, "project", project)


def no_view_recovered() -> AbstractContextManager[Any]:
    """Recover without showing anything."""
    real = table_store.TableStore.recover

    def recover(self: Any) -> Any:
        with patch.object(Objects, "project", lambda *_, **__: False):
            return real(self)

    return patch.object(table_store.TableStore, "recover", recover)


def stale_is_current() -> AbstractContextManager[Any]:
    """Take inputs that no longer count for current."""
    real = table_store.TableStore.commit

    def commit(self: Any, staged: Any, **facts: Any) -> Any:
        return real(self, staged, **facts | {"inputs_are_current": lambda _: True})

    return patch.object(table_store.TableStore, "commit", commit)


def existing_objects_are_trusted() -> AbstractContextManager[Any]:
    """Compare neither a staged file nor an object that is there with what it must be."""

    def put_object(self: Any, key: str, source: Path, **_: Any) -> bool:
        return not self.exists(key) and self.put_if_absent(key, source)

    return patch.object(Objects, "put_object", put_object)


@contextmanager
def nothing_is_pinned() -> Iterator[None]:
    """Look for snapshots where there are none."""
    with contextlib.ExitStack() as stack:
        for module in list(sys.modules.values()):
            if module.__name__.startswith("ml_data_platform.storage.") and hasattr(module, "SNAPSHOTS_FOLDER"):
                stack.enter_context(patch.object(module, "SNAPSHOTS_FOLDER", f"{SNAPSHOTS_FOLDER}-elsewhere"))
        yield


def replaced(where: Any, name: str, by: Any) -> Callable[[], AbstractContextManager[Any]]:
    """Put something else in the place of a function."""
    return lambda: patch.object(where, name, by)

"""The commit protocol less one step: each change must turn some lane red.

Belongs here: the table of changes, each with the lane that notices it. Does not belong here: noticing, or how a change
is made (`changes`, `flushes`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from ml_data_platform.storage import parquet, table_store
from ml_data_platform.storage.local_objects import LocalObjectStore
from ml_data_platform_tests.faults.lanes import bucket_changes, changes, flushes


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


# Each flush of the protocol, as `flushes.flushing_functions` finds them, and where leaving it out must show.
FLUSHES: dict[str, tuple[str, ...]] = {
    "sync_file._temp_file": ("first_commit",),
    "sync_folder.make_folder": ("first_commit",),
    "sync_folder._make_lasting": ("recommit",),
    "sync_folder.put_if_absent": ("first_commit",),
    "sync_folder.put_object": ("recommit",),
    "sync_folder.project": ("recommit",),
    "sync_folder.project_head": ("recovery_after_a_death",),
    "sync_folder._recover_day": ("recovery_after_a_death",),
    "sync_folder._show": ("withdrawal_after_a_death",),
    "sync_folder.collect": ("collection_after_a_death",),
    "sync_folder.write_snapshot": ("pin_after_a_death",),
    "sync_folder.withdraw": ("withdrawn_rows", "fewer_files"),
    "sync_folder.record_keys": ("ledger_read_after_a_death",),
    "sync_folder.record": ("ledger_asked_after_a_death",),
    "sync_folder.of": ("decision",),
    "sync_folder.forget_failures": ("forgotten_failure",),
    "sync_file.make": ("recommit_without_links",),
    "_generate.load_or_create_key": ("key",),
    "sync_folder._flush_names": ("key",),
}
# Flushed again, under its final mode, where it is published; a test of injected errors shows what this one is for.
FLUSHED_TWICE = frozenset({"sync_file.verify_file"})
_PUBLISHING = ("link", "rename", "unlink")
MUTANTS: dict[str, Mutant] = {
    "view_is_deleted_then_renamed": Mutant(
        "the view is replaced by delete, then rename", "readers", changes.delete_then_rename
    ),
    "view_is_written_in_place": Mutant("the view is written in place", "readers", changes.written_in_place),
    "view_before_log": Mutant(
        "the view is shown before the log record is there",
        "kills",
        changes.view_before_log,
        ("multi_file",),
        _PUBLISHING,
    ),
    "log_before_objects": Mutant(
        "the log record is written before its objects", "kills", changes.log_before_objects, ("recommit",), _PUBLISHING
    ),
    "ledger_before_fragments": Mutant(
        "the ledger record is written before its fragments",
        "kills",
        changes.ledger_before_fragments,
        ("landing",),
        _PUBLISHING,
    ),
    "own_commit_is_unknown": Mutant(
        "a retry does not recognise its own commit",
        "races",
        changes.replaced(table_store.TableStore, "_find_own", changes.never),
        ("a death, and another commit",),
    ),
    "stale_is_current": Mutant(
        "inputs that no longer count are published", "kills", changes.stale_is_current, ("stale",), _PUBLISHING
    ),
    "view_is_not_recovered": Mutant(
        "recovery leaves views behind their heads", "kills", changes.no_view_recovered, ("recommit",), _PUBLISHING
    ),
    "scratch_is_not_reaped": Mutant(
        "recovery leaves scratch of the dead",
        "kills",
        changes.replaced(LocalObjectStore, "reap_scratch", lambda _: 0),
        ("recommit",),
        _PUBLISHING,
    ),
    "nothing_is_pinned": Mutant(
        "collection takes what a snapshot names", "kills", changes.nothing_is_pinned, ("collection",), _PUBLISHING
    ),
    "log_is_overwritten": Mutant("a log record is put although there is one", "races", changes.log_is_overwritten),
    "view_without_lock": Mutant("views are shown without a lock", "races", changes.no_lock(lambda key: "/dt=" in key)),
    "collection_without_lock": Mutant(
        "collection does not keep off commits", "races", changes.no_lock(lambda key: "objects" in key)
    ),
    "scratch_of_the_living": Mutant(
        "scratch is removed although its owner lives", "races", changes.scratch_of_the_living
    ),
    "log_before_objects, at random": Mutant("the same, struck at random", "random", changes.log_before_objects),
    "full_disk_is_forgiven": Mutant(
        "a file that there is no room for is taken for shown",
        "disk",
        changes.full_disk_is_forgiven,
        ("recommit_without_links",),
    ),
    **{
        f"no_flush_in_{where}": Mutant(
            f"{where} does not flush", "power", partial(flushes.no_flush_in, where), scenarios
        )
        for where, scenarios in FLUSHES.items()
    },
    "nothing_is_flushed": Mutant(
        "nothing is flushed", "power", partial(flushes.no_flush_in, "everything"), ("first_commit",)
    ),
    "nothing_is_flushed, on ext4": Mutant(
        "the same, on a real file system", "images", partial(flushes.no_flush_in, "everything")
    ),
    "failed_flush_is_forgiven": Mutant(
        "a failed flush is forgiven", "errors", flushes.failed_flush_is_forgiven, ("recommit",), ("fsync",)
    ),
    "schema_is_not_compared": Mutant(
        "columns and types are not compared",
        "damage",
        changes.replaced(parquet, "schema_differences", changes.nothing_differs),
    ),
    "metadata_is_not_compared": Mutant(
        "the version in a file is not compared",
        "damage",
        changes.replaced(parquet, "_metadata_differences", changes.nothing_differs),
    ),
    "existing_object_is_trusted": Mutant(
        "an object that is there is not compared with its name", "damage", changes.existing_objects_are_trusted
    ),
    "conditions_are_ignored": Mutant(
        "a bucket ignores conditions, and is not tried",
        "bucket",
        bucket_changes.conditions_are_ignored,
        ("another commits before",),
    ),
    "conditions_are_ignored, ministack": Mutant(
        "another bucket ignores conditions, and is not tried",
        "ministack",
        bucket_changes.conditions_are_ignored,
        ("another commits before",),
    ),
    "store_is_not_probed": Mutant(
        "a bucket that ignores conditions is not refused", "bucket", bucket_changes.store_is_not_probed, ("deaf",)
    ),
    "own_record_is_anothers": Mutant(
        "a record whose answer was lost is taken for another's",
        "bucket",
        bucket_changes.own_record_is_anothers,
        ("answer lost",),
    ),
    "view_without_condition": Mutant(
        "a bucket's view is replaced whatever it shows",
        "bucket",
        bucket_changes.view_without_condition,
        ("another commits before",),
    ),
}

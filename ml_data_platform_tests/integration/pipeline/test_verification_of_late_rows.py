"""Rows that came too late, and decisions about them, are verified, mended and collected like all else."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from ml_data_platform.stages.verification import verify
from ml_data_platform.storage.defects import Kind
from ml_data_platform.storage.layout import TOO_LATE_ROWS, Layout
from ml_data_platform.storage.ledger import LedgerRecord
from ml_data_platform_tests.late_shop import SOURCE, days_ago, late_root, lines_of
from ml_data_platform_tests.pipeline_root import PipelineRoot

FROZEN = days_ago(2)


@pytest.fixture
def root(tmp_path: Path) -> PipelineRoot:
    """A root with a file of which three rows of two days are too late, and one of these days was admitted."""
    made = late_root(tmp_path)
    record = land(made)
    made.platform.ledger.decisions.admit(
        SOURCE, record.sha256, [str(days_ago(3))], reason="yes", at=made.now.isoformat()
    )
    land(made)
    return made


def land(root: PipelineRoot) -> LedgerRecord:
    """Land the file, again where it was landed."""
    record = root.drop("a.jsonl", [*lines_of(FROZEN, 2), *lines_of(days_ago(3), 1, name="b")], source=SOURCE).record
    assert record is not None
    return record


def record_of(root: PipelineRoot) -> LedgerRecord:
    """Return the file's record."""
    (record,) = root.platform.ledger.records()
    return record


def overwrite(root: PipelineRoot, key: str, data: bytes) -> str:
    """Put other bytes under a key, as a person with a text editor would."""
    root.platform.store.objects.delete(key)
    root.platform.store.objects.put_if_absent(key, data)
    return key


def lose(root: PipelineRoot, key: str) -> str:
    """Remove a file."""
    root.platform.store.objects.delete(key)
    return key


def view(root: PipelineRoot) -> str:
    """Return where the rows are shown."""
    return Layout.too_late_view_key(SOURCE, record_of(root).sha256)


def show_more(root: PipelineRoot) -> str:
    """Show what was shown before the day was admitted."""
    objects = root.platform.store.objects
    (older,) = [
        key
        for key in objects.list(Layout.objects_folder(TOO_LATE_ROWS))
        if objects.read_bytes(key) != objects.read_bytes(view(root))
    ]
    return overwrite(root, view(root), objects.read_bytes(older))


def decision(root: PipelineRoot) -> str:
    """Return the key of the only decision."""
    return Layout.decision_key(SOURCE, record_of(root).sha256, 1)


def edit(root: PipelineRoot, key: str, **changes: object) -> str:
    """Change fields of a record, as a person who knows JSON would."""
    fields = json.loads(root.platform.store.objects.read_bytes(key))
    return overwrite(root, key, json.dumps({**fields, **changes}).encode())


PLANTED: dict[str, tuple[Callable[[PipelineRoot], str], Kind, bool]] = {
    "hidden": (lambda root: lose(root, view(root)), Kind.VIEW_MISSING, True),
    "altered": (lambda root: overwrite(root, view(root), b"x"), Kind.VIEW_ALTERED, True),
    "empty": (lambda root: overwrite(root, view(root), b""), Kind.VIEW_ALTERED, True),
    "of an older decision": (show_more, Kind.VIEW_STALE, True),
    "decision cut": (lambda root: overwrite(root, decision(root), b"{"), Kind.LEDGER_RECORD_DAMAGED, True),
    "decision edited": (lambda root: edit(root, decision(root), days=[]), Kind.LEDGER_RECORD_DAMAGED, True),
    "reason edited": (lambda root: edit(root, decision(root), reason="no"), Kind.LEDGER_RECORD_DAMAGED, True),
    "ledger edited": (
        lambda root: edit(root, record_of(root).key, ingested_at="2026-01-01T00:00:00+00:00"),
        Kind.LEDGER_RECORD_DAMAGED,
        True,
    ),
    "foreign file among decisions": (
        lambda root: overwrite(root, f"{Layout.decisions_folder(SOURCE)}/notes.txt", b"x"),
        Kind.FOREIGN_FILE,
        False,
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_defects_of_late_rows_and_decisions_are_found_and_mended(root: PipelineRoot, name: str) -> None:
    """The defect is named at its key; what is shown, and each record, is made again as it was."""
    plant, kind, is_mendable = PLANTED[name]
    assert verify(root.platform).defects == ()
    objects = root.platform.store.objects
    before = {key: objects.read_bytes(key) for key in [*objects.list("ledger"), view(root)]}
    key = plant(root)
    again = late_root(root.folder.parent)
    found = verify(again.platform)
    assert [(defect.kind, defect.key) for defect in found.defects] == [(kind, key)]
    mended = verify(again.platform, is_repair=True)
    assert [defect.is_repaired for defect in mended.defects] == [is_mendable]
    if is_mendable:
        assert again.platform.store.objects.read_bytes(key) == before[key]
        assert verify(again.platform).defects == ()


def test_rows_that_are_shown_no_more_are_collected_and_those_that_are_stay(root: PipelineRoot) -> None:
    """The day that was admitted is shown no longer with the others: what showed it is litter, and only that."""
    store = root.platform.store
    before = store.objects.list(Layout.objects_folder(TOO_LATE_ROWS))
    assert len(before) == 2
    later = root.at(root.now + timedelta(days=3650)).platform.store
    removed = later.collect(keep_last=1, older_than=timedelta(0)).keys
    assert len(removed) == 1
    assert set(removed) < set(before)
    assert verify(root.platform).defects == ()
    lose(root, view(root))
    assert verify(root.platform, is_repair=True).open == ()

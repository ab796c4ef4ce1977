"""Stored bytes that change on the disk: nothing is built on them, and what they held is built again."""

from __future__ import annotations

import datetime as dt
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform.defs.attempts import DUE_TAG, Ending, pasts_of
from ml_data_platform.errors import DamagedObjectError
from ml_data_platform.events.lateness import ONE_DAY
from ml_data_platform.events.planning import UPSTREAM, Status, plan
from ml_data_platform.landing.restoring import restore_fragments
from ml_data_platform.stages import flow
from ml_data_platform.stages.landed_files import landing_terms
from ml_data_platform.stages.state import current_records, read_state
from ml_data_platform.stages.verification import verify
from ml_data_platform.storage import compared_files
from ml_data_platform.storage.defects import Kind
from ml_data_platform.storage.layout import LANDED_FILES, LOST_FOLDER, Layout
from ml_data_platform_tests.faults.flips.places import flip, flipped
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, shop_lines

FLIPS = 20
DAYS = (1, 2, 3)


def object_paths(root: PipelineRoot, asset: str, of: dt.date) -> list[Path]:
    """Return the files of the newest generation of a partition."""
    head = root.heads()[asset, of]
    return [root.folder / Layout.object_key(asset, file.sha256) for file in head.files]


def rebuilt(root: PipelineRoot, asset: str, of: dt.date) -> Callable[[], object]:
    """Return what builds a partition again, and gives its content."""
    platform = root.platform
    refs = {
        upstream: platform.store.ref(
            upstream, [of + off * ONE_DAY for name, off in UPSTREAM[asset] if name == upstream]
        )
        for upstream, _ in UPSTREAM[asset]
    }

    def build() -> object:
        with platform.store.scratch() as scratch:
            return flow.build(platform, asset, of, refs, scratch).tables[asset].content

    return build


def routed_again(root: PipelineRoot) -> Callable[[], object]:
    """Return what routes the kept bytes of a file again, whose fragment is gone, and tells the fragment."""
    platform = root.platform
    (record, *_) = [each for each in current_records(platform) if each.fragment]
    key = Layout.object_key(LANDED_FILES, str(record.fragment))

    def route() -> object:
        platform.store.objects.delete(key)
        restore_fragments([record], platform.contracts, landing_terms(platform))
        return platform.store.objects.hash(key)

    return route


def targets(root: PipelineRoot) -> list[tuple[Path, Callable[[], object], object]]:
    """Return files of every kind, each with what reads it, and what that gives of the honest bytes."""
    found: list[tuple[Path, Callable[[], object], object]] = []
    for number in DAYS:
        for reader, inputs in UPSTREAM.items():
            honest = root.heads()[reader, day(number)].content
            read = {upstream for upstream, _ in inputs}
            paths = [path for asset in sorted(read) for path in object_paths(root, asset, day(number))]
            if reader == "raw_events":
                records = [each for each in current_records(root.platform) if str(day(number)) in each.rows_per_day]
                paths = [root.folder / Layout.object_key(LANDED_FILES, str(each.fragment)) for each in records]
            found += [(path, rebuilt(root, reader, day(number)), honest) for path in paths]
    (record, *_) = [each for each in current_records(root.platform) if each.fragment]
    kept = root.folder / Layout.raw_key(record.bytes_sha256)
    return [*found, *[(kept, routed_again(root), record.fragment)] * 8]


def test_no_flipped_bit_is_built_upon_unless_nothing_is_compared(
    copied_root: PipelineRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty files of all kinds with one bit flipped: each build is refused, and goes through once the bytes are back.

    With the comparison taken out, some are built upon: they give other bytes, or none and another error.
    """
    rng = random.Random(7)
    chosen = [rng.choice(targets(copied_root)) for _ in range(FLIPS)]
    flips = [(path, rng.randrange(8 * path.stat().st_size), build, honest) for path, build, honest in chosen]
    for path, bit, build, _ in flips:
        with flipped(path, bit), pytest.raises(DamagedObjectError, match=path.name):
            build()
    path, _, build, honest = flips[0]
    assert build() == honest
    monkeypatch.setattr(compared_files, "names_its_bytes", lambda _key, _sha256: True)
    assert any(_is_built_upon(path, bit, build, honest) for path, bit, build, honest in flips)


def _is_built_upon(path: Path, bit: int, build: Callable[[], object], honest: object) -> bool:
    with flipped(path, bit):
        try:
            return build() != honest
        except Exception:  # noqa: BLE001 - without the comparison any reader may stumble in its own way
            return False


def test_a_day_over_damaged_bytes_fails_with_one_message_and_is_built_once_they_are_whole(
    copied_root: PipelineRoot, instance: dg.DagsterInstance
) -> None:
    """Features keep their last good generation, the sensor's request waits for the repair, and nothing else is lost."""
    before = copied_root.contents()
    copied_root.drop("late.jsonl", shop_lines(day(1), 5, name="late"))
    assert copied_root.run(day(1), ["raw_events", "validated_events", "quarantined_events"], instance).success
    (path,) = object_paths(copied_root, "validated_events", day(2))
    flip(path, 8_000)
    ran = copied_root.run(day(1), ["session_features"], instance, **{DUE_TAG: "features"})
    (failed,) = [event.step_failure_data for event in ran.all_events if event.is_step_failure]
    assert failed.user_failure_data is not None
    said = failed.user_failure_data.description or ""
    for expected in (path.name, "validated_events", str(day(2)), "expected=", "got=", "verify --repair", "backfill"):
        assert expected in said
    (past,) = pasts_of(instance, ["features"])["features"]
    assert (past.ending, past.damaged) == (Ending.DAMAGED, str(path.relative_to(copied_root.folder)))
    assert not copied_root.platform.store.objects.is_whole(past.damaged)
    assert copied_root.contents()["session_features", day(1)] == before["session_features", day(1)]
    flip(path, 8_000)
    assert copied_root.platform.store.objects.is_whole(past.damaged)
    assert copied_root.run(day(1), ["session_features"], instance).success
    assert copied_root.contents()["session_features", day(1)] != before["session_features", day(1)]


def test_damage_of_a_whole_chain_is_built_again_from_what_landed(copied_root: PipelineRoot) -> None:
    """Each table of a day, and the fragments before them: set aside, hidden, marked; one backfill has all bytes again."""
    before, view = copied_root.contents(), copied_root.view()
    rng = random.Random(3)
    assets = sorted({asset for asset, of in before if of == day(2)})
    damaged = [path for asset in assets for path in object_paths(copied_root, asset, day(2))]
    fragments = {
        str(each.fragment) for each in current_records(copied_root.platform) if str(day(2)) in each.rows_per_day
    }
    damaged += [copied_root.folder / Layout.object_key(LANDED_FILES, each) for each in sorted(fragments)]
    for path in dict.fromkeys(damaged):
        flip(path, rng.randrange(8 * path.stat().st_size))
    found = verify(copied_root.platform, is_repair=True)
    assert {defect.kind for defect in found.open} == {Kind.OBJECT_ALTERED}
    assert {(defect.asset, defect.day) for defect in found.open} >= {(asset, str(day(2))) for asset in assets}
    assert all("backfill" in f"{defect.detail} {defect.remedy}" for defect in found.open)
    assert all(data == view[name] for name, data in copied_root.view().items())
    state = read_state(copied_root.platform)
    (raw,) = [each for each in plan(state, [day(2)]) if each.status is Status.DIRTY and each.asset == "raw_events"]
    assert "lost data.parquet of raw_events" in raw.reasons[0]
    report = copied_root.backfill()
    assert report.is_successful, report
    assert copied_root.contents() == before
    assert copied_root.view() == view
    assert verify(copied_root.platform).defects == ()
    assert copied_root.platform.store.objects.list(LOST_FOLDER) == []


def test_rows_whose_bytes_are_gone_everywhere_are_named_as_lost(copied_root: PipelineRoot) -> None:
    """Neither table, nor fragment, nor kept bytes: the day fails by name; landing the file again brings all back."""
    before = copied_root.contents()
    (record, *_) = [each for each in current_records(copied_root.platform) if each.fragment]
    lost_day = dt.date.fromisoformat(min(record.rows_per_day))
    objects = copied_root.platform.store.objects
    for key in (Layout.raw_key(record.bytes_sha256), Layout.object_key(LANDED_FILES, str(record.fragment))):
        flip(copied_root.folder / key, 77)
    (path,) = object_paths(copied_root, "raw_events", lost_day)
    flip(path, 77)
    found = verify(copied_root.platform, is_repair=True)
    (lost,) = [defect for defect in found.open if defect.asset == LANDED_FILES]
    assert f"lost: the kept bytes of {record.source}/{record.name}" in lost.detail
    report = copied_root.backfill([lost_day])
    assert not report.is_successful
    assert [(failed.asset, failed.day) for failed in report.failed if failed.run_id] == [("raw_events", lost_day)]
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder, Path(record.name).name)
        shutil.copy(next(copied_root.settings.landing.rglob(record.name)), again)
        copied_root.land(again)
    assert objects.is_whole(Layout.raw_key(record.bytes_sha256))
    assert copied_root.backfill().is_successful
    assert copied_root.contents() == before
    assert verify(copied_root.platform).defects == ()

"""The snapshot of a version that is gone or changed is found, and is written again as it was."""

from __future__ import annotations

from ml_data_platform.datasets.verified_snapshots import look_at_snapshots
from ml_data_platform.storage.defects import Kind
from ml_data_platform.storage.layout import SNAPSHOTS_FOLDER
from ml_data_platform_tests.integration.datasets.conftest import TwoVersions
from ml_data_platform_tests.version_root import repository_of


def test_a_lost_and_a_changed_snapshot_are_written_again(two_versions: TwoVersions) -> None:
    """One of two versions loses its snapshot, the other's is cut short: both are named, and have their bytes again."""
    platform, repository = two_versions.root.platform, repository_of(two_versions.root)
    objects = platform.store.objects
    assert list(look_at_snapshots(platform.store, repository, is_repair=False)) == []
    before = {key: objects.read_bytes(key) for key in objects.list(SNAPSHOTS_FOLDER)}
    gone, cut = sorted(before)
    objects.delete(gone)
    objects.delete(cut)
    objects.put_if_absent(cut, before[cut][:-2])
    for is_repair in (False, True):
        found = [
            (each.kind, each.key, each.is_repaired)
            for each in look_at_snapshots(platform.store, repository, is_repair=is_repair)
        ]
        assert found == [(Kind.SNAPSHOT_LOST, gone, is_repair), (Kind.SNAPSHOT_DAMAGED, cut, is_repair)]
    assert {key: objects.read_bytes(key) for key in objects.list(SNAPSHOTS_FOLDER)} == before
    assert list(look_at_snapshots(platform.store, repository, is_repair=False)) == []

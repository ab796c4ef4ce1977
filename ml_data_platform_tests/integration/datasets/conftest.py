from __future__ import annotations

from dataclasses import dataclass

import pytest

from ml_data_platform.datasets.dataset_versions import Cut
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, shop_lines
from ml_data_platform_tests.version_root import cut, remote_objects, view_hashes

DATASETS = ("date_partitions", "label_partitions", "stratified_partitions")


@dataclass(frozen=True)
class TwoVersions:
    """A root with two versions, and what its view and its remote held when each was cut."""

    root: PipelineRoot
    first: Cut
    second: Cut
    first_view: dict[str, str]
    second_view: dict[str, str]
    first_objects: set[str]
    second_objects: set[str]


@pytest.fixture(scope="session")
def two_versions(built_root: PipelineRoot, tmp_path_factory: pytest.TempPathFactory) -> TwoVersions:
    """A version, ten late events of the second day, built, and another version; to be read only."""
    root = built_root.copied(tmp_path_factory.mktemp("versions") / "root")
    first, first_view, first_objects = cut(root), view_hashes(root, *DATASETS), set(remote_objects(root))
    root.drop("late.jsonl", shop_lines(day(2), 10, name="late"))
    assert root.backfill().is_successful
    second = cut(root)
    return TwoVersions(
        root, first, second, first_view, view_hashes(root, *DATASETS), first_objects, set(remote_objects(root))
    )

"""The files of a version as they lie somewhere, each compared with the manifest before a byte of it is used.

Belongs here: finding the files of a version and refusing what no version pins, or what differs. Does not belong here:
choosing rows (``loading``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ml_data_platform.datasets.checkout import differing_files
from ml_data_platform.datasets.git import Git
from ml_data_platform.datasets.manifest import MANIFEST, DatasetFacts, FileFacts, Manifest
from ml_data_platform.datasets.recomputable_days import recomputable_days
from ml_data_platform.datasets.repository import VersionsRepository
from ml_data_platform.errors import CorruptVersionError, UnpinnedDataError, VersionError
from ml_data_platform.storage.durability import file_sha256
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.table_store import TableStore


@dataclass(frozen=True)
class PinnedData:
    """A version and where its files are.

    Attributes:
        manifest: The version.
        paths: Path in the version to a local file with exactly those bytes.
        events: Some of its days to the files with the events, of the day and the one before, that its features were
            computed from; empty where they are not at hand, as in a checkout.
    """

    manifest: Manifest
    paths: dict[str, Path]
    events: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)

    def files_of(self, dataset: DatasetFacts) -> list[Path]:
        """Return the files of a data set that have rows, by day."""
        return [self.paths[file.path] for file in dataset.files if file.rows]

    def dataset(self, name: str) -> DatasetFacts:
        """Return a data set of the version.

        Raises:
            UnpinnedDataError: The version does not hold it.
        """
        found = self.manifest.dataset(name)
        if found is None:
            raise UnpinnedDataError(
                "the version does not hold this data set",
                remedy="Cut a version with it: ml-data-platform version cut.",
                version=self.manifest.tag,
                expected=[dataset.name for dataset in self.manifest.datasets],
                got=name,
            )
        return found


def pin_checkout(folder: Path) -> PinnedData:
    """Return the version that a folder is a checkout of, every file compared by its hash.

    Raises:
        UnpinnedDataError: The folder is no checkout of a tag, or files differ from the manifest.
    """
    manifest_file = folder / MANIFEST
    if not manifest_file.is_file():
        raise UnpinnedDataError(
            "no version pins these data",
            remedy="Restore a version with `ml-data-platform version checkout TAG --to FOLDER`, and load that.",
            folder=str(folder),
        )
    manifest = Manifest.from_text(manifest_file.read_text(encoding="utf-8"), where=str(folder))
    try:
        committed = Git(folder)("cat-file", "blob", f"refs/tags/{manifest.tag}:{MANIFEST}")
    except VersionError as error:
        raise UnpinnedDataError(
            "the folder names a version that its git does not have",
            remedy=f"Restore it: ml-data-platform version checkout {manifest.tag} --to FOLDER.",
            folder=str(folder),
            version=manifest.tag,
        ) from error
    wrong = differing_files(folder, manifest)
    if committed.strip() != manifest_file.read_text(encoding="utf-8").strip():
        wrong.insert(0, MANIFEST)
    if wrong:
        raise UnpinnedDataError(
            "the files differ from those that the version names",
            remedy=f"Restore it: ml-data-platform version checkout {manifest.tag} --to FOLDER.",
            folder=str(folder),
            version=manifest.tag,
            files=wrong[:5],
        )
    return PinnedData(manifest, {file.path: folder / file.path for file in manifest.files})


def pin_version(repository: VersionsRepository, store: TableStore, tag: str, datasets: tuple[str, ...]) -> PinnedData:
    """Return a version of this root, from the immutable objects that it pins, or from DVC's cache.

    Args:
        repository: Where versions are kept.
        store: The root's tables.
        tag: A version; see ``VersionsRepository.version``.
        datasets: Data sets that will be read: their files are compared by their hashes.

    Raises:
        UnknownVersionError: There is no such version.
        CorruptVersionError: Bytes are gone or have changed, here and in the cache.
    """
    manifest = repository.version(tag)
    paths: dict[str, Path] = {}
    for dataset in manifest.datasets:
        if dataset.name not in datasets:
            continue
        for file in dataset.files:
            key = Layout.object_key(dataset.name, file.sha256)
            good = store.objects.whole_path(key) or _from_cache(repository, file)
            if good is None:
                raise CorruptVersionError(
                    "a file of the version is gone, or has other bytes than the version names",
                    remedy=f"Load a checkout instead: ml-data-platform version checkout {manifest.tag} --to FOLDER.",
                    version=manifest.tag,
                    file=file.path,
                )
            paths[file.path] = good
    if manifest.folds is not None:
        paths[manifest.folds.file.path] = _stored_folds(repository, manifest, manifest.folds.file)
    first = next((each for each in manifest.datasets if each.name in datasets), None)
    return PinnedData(manifest, paths, {} if first is None else recomputable_days(store, first))


def _stored_folds(repository: VersionsRepository, manifest: Manifest, file: FileFacts) -> Path:
    """Return the table of folds, which only DVC has."""
    cached = _from_cache(repository, file)
    if cached is None:
        raise CorruptVersionError(
            "the folds of the version are gone from DVC's cache, or have other bytes than the version names",
            remedy=f"Load a checkout instead: ml-data-platform version checkout {manifest.tag} --to FOLDER.",
            version=manifest.tag,
            file=file.path,
        )
    return cached


def _from_cache(repository: VersionsRepository, file: FileFacts) -> Path | None:
    """Return the copy in DVC's cache of a file; None where it has none, or one of other bytes."""
    cached = repository.dvc.cached(file.md5)
    return cached if cached is not None and file_sha256(cached) == file.sha256 else None

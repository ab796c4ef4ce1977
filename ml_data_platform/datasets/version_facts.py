"""What a version says of itself, put together from the commit log and from what DVC found.

Belongs here: filling in the manifest and the message of its commit. Does not belong here: their form (``manifest``), and
the steps of a cut (``dataset_versions``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from ml_data_platform.datasets.label_maturity import declared_early, mature_through
from ml_data_platform.datasets.manifest import (
    FOLDS,
    AcceptedFeature,
    ColumnFacts,
    DatasetFacts,
    DayFacts,
    FileFacts,
    FoldFacts,
    Manifest,
    PartitionFacts,
)
from ml_data_platform.datasets.manifest_fields import DATA
from ml_data_platform.datasets.provenance import code_identity
from ml_data_platform.datasets.repository import TAG_PREFIX
from ml_data_platform.datasets.selection import Request, Selection, features_of
from ml_data_platform.datasets.spanned_facts import SpannedFiles
from ml_data_platform.features.catalog import CATALOG
from ml_data_platform.storage.commit_log import LogRecord
from ml_data_platform.storage.table_store import TableStore


def path_of(asset: str, day: str, name: str) -> str:
    """Return the path of a file of a partition below the work tree: as in the view."""
    return f"{DATA}/{asset}/dt={day}/{name}"


def describe_version(  # noqa: PLR0917 - every fact of a version comes together here
    store: TableStore,
    request: Request,
    selection: Selection,
    snapshot: str,
    instant: dt.datetime,
    unsettled: Collection[str],
    md5s: dict[str, str],
    dirs: dict[str, str],
    folds: FoldFacts | None,
    spanned: SpannedFiles,
) -> Manifest:
    """Return what a version says of itself.

    Args:
        store: The root's tables.
        request: What was asked for.
        selection: The chosen generations.
        snapshot: Id of the snapshot that pins them.
        instant: When it is cut, aware.
        unsettled: Days of which rows may still arrive.
        md5s: Path of each file to its MD5.
        dirs: Folder to the MD5 of DVC's listing of it.
        folds: Folds that were dealt for it.
        spanned: The landed files of its days.
    """
    days = tuple(
        DayFacts(
            day=chosen.day,
            rows=chosen.partitions[request.datasets[0]].rows,
            positives=chosen.positives,
            immature_rows=chosen.immature_rows,
            is_provisional=chosen.day in unsettled,
            mature_through=mature_through(chosen),
            declared_early=declared_early(store, chosen),
            checks={"blocking_checks_passed": True, "validation": dict(chosen.verdict)},
        )
        for chosen in selection.days
    )
    return Manifest(
        tag=f"{TAG_PREFIX}{instant:%Y%m%dT%H%M%SZ}-{snapshot}",
        created_at=instant.isoformat(),
        snapshot_id=snapshot,
        code=code_identity(),
        first=request.first.isoformat() if request.first else None,
        last=request.last.isoformat() if request.last else None,
        is_provisional=any(day.is_provisional for day in days),
        days=days,
        left_out=selection.left_out,
        datasets=tuple(_dataset(name, selection, md5s, dirs.get(name, "")) for name in request.datasets),
        folds=folds.model_copy(update={"dir_md5": dirs[FOLDS]}) if folds else None,
        spanned_files=spanned,
        accepted_features=tuple(
            AcceptedFeature(
                feature=feature,
                reason=reason,
                days={chosen.day: chosen.accepted[feature] for chosen in selection.days if feature in chosen.accepted},
            )
            for feature, reason in sorted(request.accepted_features.items())
        ),
    )


def _dataset(name: str, selection: Selection, md5s: dict[str, str], dir_md5: str) -> DatasetFacts:
    partitions = tuple(_partition(name, chosen.partitions[name], md5s) for chosen in selection.days)
    return DatasetFacts(
        name=name,
        columns=tuple(ColumnFacts(name=each.name, type=str(each.type), role=each.role) for each in CATALOG[name]),
        dir_md5=dir_md5,
        rows=sum(each.rows for each in partitions),
        size_bytes=sum(file.size_bytes for each in partitions for file in each.files),
        partitions=partitions,
    )


def _partition(asset: str, record: LogRecord, md5s: dict[str, str]) -> PartitionFacts:
    paths = {file.name: path_of(asset, record.day, file.name) for file in record.files}
    return PartitionFacts(
        day=record.day,
        generation=record.generation,
        content=record.content,
        features=features_of(record),
        code_version=record.code_version,
        schema_version=record.schema_version,
        committed_at=record.committed_at,
        rows=record.rows,
        files=tuple(
            FileFacts(
                path=paths[file.name],
                sha256=file.sha256,
                md5=md5s.get(paths[file.name], ""),
                size_bytes=file.size_bytes,
                rows=file.rows,
            )
            for file in record.files
        ),
    )


def commit_message(manifest: Manifest) -> str:
    """Return what `git log` shows of a version: days, rows, and the listings that DVC knows it by."""
    first, last = manifest.days[0].day, manifest.days[-1].day
    lines = [
        f"{'Provisional data' if manifest.is_provisional else 'Data'} of {len(manifest.days)} days, {first} to {last}",
        "",
        f"{manifest.rows} rows, {manifest.immature_rows} immature rows left out",
        *(f"{folder.name}: {folder.dir_md5}.dir" for folder in manifest.tracked),
        *([f"folds {manifest.folds.name}"] if manifest.folds else []),
        f"snapshot {manifest.snapshot_id}",
    ]
    return "\n".join(lines) + "\n"

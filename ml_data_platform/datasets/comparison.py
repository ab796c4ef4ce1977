"""What lies between two versions, and between a version and what is published now.

Belongs here: comparing manifests, and the rows of the days that differ. Does not belong here: laying it out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from ml_data_platform.datasets.dvc_files import DvcFiles
from ml_data_platform.datasets.manifest import ColumnFacts, DatasetFacts, Manifest, PartitionFacts
from ml_data_platform.errors import CorruptVersionError, VersionError
from ml_data_platform.events.sql_text import sql_identifier
from ml_data_platform.storage import duck
from ml_data_platform.storage.durability import file_sha256
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.scratch import place_to_write
from ml_data_platform.storage.table_store import TableStore


@dataclass(frozen=True)
class DayDifference:
    """What became of one day: rows that only one version has, and rows of both whose values differ."""

    day: str
    rows_added: int
    rows_removed: int
    rows_changed: int


@dataclass(frozen=True)
class VersionDifference:
    """What lies between two versions.

    Attributes:
        before: Tag of the first.
        after: Tag of the second.
        dataset: The data set whose rows are compared.
        days_added: Days that only the second has.
        days_removed: Days that only the first has.
        days: Rows added, removed and changed, by day, of the days that differ.
        columns_changed: Column to the number of rows of both versions in which its value differs.
        schema: Data set to what changed in its columns, one line each.
        folds_before: Strategy and number of the folds stored with the first; none where there are none.
        folds_after: Of the second.
        label_rate_before: Of the first; none where it is not known.
        label_rate_after: Of the second.
    """

    before: str
    after: str
    dataset: str
    days_added: tuple[str, ...]
    days_removed: tuple[str, ...]
    days: tuple[DayDifference, ...]
    columns_changed: Mapping[str, int]
    schema: Mapping[str, tuple[str, ...]]
    folds_before: str | None
    folds_after: str | None
    label_rate_before: float | None
    label_rate_after: float | None

    @property
    def totals(self) -> dict[str, int]:
        """Rows added, removed and changed over all days."""
        names = ("rows_added", "rows_removed", "rows_changed")
        return {name: sum(getattr(day, name) for day in self.days) for name in names}

    def to_json(self) -> dict[str, Any]:
        """Return plain values for scripts."""
        return {**asdict(self), **self.totals}


def restated_days(manifest: Manifest, store: TableStore) -> list[str]:
    """Return the days of a version of which something else is published now; none: the version is up to date."""
    restated: set[str] = set()
    for dataset in manifest.datasets:
        heads = store.heads(dataset.name)
        for partition in dataset.partitions:
            head = heads.get(partition.day)
            if head is None or head.content != partition.content:
                restated.add(partition.day)
    return sorted(restated)


def compare_versions(
    before: Manifest, after: Manifest, store: TableStore, dvc: DvcFiles, *, memory_limit: str, threads: int
) -> VersionDifference:
    """Compare two versions.

    Args:
        before: The first.
        after: The second.
        store: Where the objects are that both pin.
        dvc: The repository of versions, whose cache has what the store lost.
        memory_limit: Bound of the query engine.
        threads: Its threads.

    Raises:
        VersionError: They have no data set in common.
        CorruptVersionError: Bytes of one are neither in the store nor in the cache.
    """
    name = _common(before, after)
    first, second = before.dataset(name), after.dataset(name)
    assert first is not None
    assert second is not None
    old, new = _by_day(first), _by_day(second)
    differing = sorted(day for day in old.keys() | new.keys() if _content(old.get(day)) != _content(new.get(day)))
    columns = sorted({column.name for column in first.columns} & {column.name for column in second.columns})
    with (
        tempfile.TemporaryDirectory(dir=place_to_write(dvc.folder / ".dvc" / "tmp")) as scratch,
        duck.connect(
            Path(scratch),
            folders=[store.objects.local_folder, dvc.folder],
            memory_limit=memory_limit,
            threads=threads,
        ) as connection,
    ):
        connection.execute(
            f"""CREATE TEMP TABLE compared AS
            SELECT coalesce(b.day, a.day) AS day, a.event_id IS NULL AS is_added, b.event_id IS NULL AS is_removed,
            {", ".join(f"a.{_q(c)} IS DISTINCT FROM b.{_q(c)} AS {_q('changed_' + c)}" for c in columns)}
            FROM {_rows(connection, store, dvc, dataset=first, days=differing, columns=columns)} AS a
            FULL OUTER JOIN {_rows(connection, store, dvc, dataset=second, days=differing, columns=columns)} AS b USING (event_id)"""
        )
        is_changed = " OR ".join(_q(f"changed_{column}") for column in columns)
        days = connection.execute(
            f"""SELECT CAST(day AS VARCHAR), count(*) FILTER (is_added), count(*) FILTER (is_removed),
            count(*) FILTER (NOT is_added AND NOT is_removed AND ({is_changed})) FROM compared GROUP BY day ORDER BY day"""
        ).fetchall()
        counts = connection.execute(
            f"""SELECT {", ".join(f"count(*) FILTER ({_q('changed_' + column)})" for column in columns)}
            FROM compared WHERE NOT is_added AND NOT is_removed"""
        ).fetchone()
    return VersionDifference(
        before=before.tag,
        after=after.tag,
        dataset=name,
        days_added=tuple(sorted(new.keys() - old.keys())),
        days_removed=tuple(sorted(old.keys() - new.keys())),
        days=tuple(DayDifference(*row) for row in days),
        columns_changed={column: count for column, count in zip(columns, counts or (), strict=bool(counts)) if count},
        schema=_schema_changes(before, after),
        folds_before=before.folds.name if before.folds else None,
        folds_after=after.folds.name if after.folds else None,
        label_rate_before=before.label_rate,
        label_rate_after=after.label_rate,
    )


def _common(before: Manifest, after: Manifest) -> str:
    names = [dataset.name for dataset in before.datasets if after.dataset(dataset.name)]
    if not names:
        raise VersionError(
            "the versions have no data set in common",
            version=before.tag,
            expected=[dataset.name for dataset in before.datasets],
            got=[dataset.name for dataset in after.datasets],
        )
    return names[0]


def _by_day(dataset: DatasetFacts) -> dict[str, PartitionFacts]:
    return {partition.day: partition for partition in dataset.partitions}


def _content(partition: PartitionFacts | None) -> str | None:
    return partition.content if partition else None


def _q(name: str) -> str:
    return sql_identifier(name)


def _rows(
    connection: duckdb.DuckDBPyConnection,
    store: TableStore,
    dvc: DvcFiles,
    *,
    dataset: DatasetFacts,
    days: list[str],
    columns: list[str],
) -> str:
    """Return a relation over the rows of some days, with their day."""
    wanted = set(days)
    files = [file for each in dataset.partitions if each.day in wanted for file in each.files if file.rows]
    day = "CAST(make_timestamp(epoch_us(event_timestamp)) AS DATE) AS day"
    names = ", ".join(_q(column) for column in columns)
    if not files:
        nothing = ", ".join(f"NULL AS {_q(column)}" for column in columns if column != "event_id")
        return f"(SELECT CAST(NULL AS VARCHAR) AS event_id, {nothing}, CAST(NULL AS DATE) AS day WHERE FALSE)"
    paths = [_place(store, dvc, dataset.name, file.sha256, file.md5) for file in files]
    return f"(SELECT {names}, {day} FROM {duck.parquet(connection, paths)})"


def _place(store: TableStore, dvc: DvcFiles, asset: str, sha256: str, md5: str) -> Path:
    key = Layout.object_key(asset, sha256)
    cached = dvc.cached(md5)
    found = store.objects.whole_path(key) or cached
    if found is None or (found == cached and file_sha256(found) != sha256):
        raise CorruptVersionError(
            "the bytes of a version are neither in the store nor in DVC's cache",
            remedy="Run `dvc pull` in the repository of versions.",
            asset=asset,
            sha256=sha256,
        )
    return found


def _schema_changes(before: Manifest, after: Manifest) -> dict[str, tuple[str, ...]]:
    changes: dict[str, tuple[str, ...]] = {}
    names = {dataset.name for version in (before, after) for dataset in version.datasets}
    for name in sorted(names):
        old, new = before.dataset(name), after.dataset(name)
        if old is None or new is None:
            changes[name] = (f"the data set is only in {(new and after.tag) or before.tag}",)
        elif lines := _column_changes(old.columns, new.columns):
            changes[name] = lines
    return changes


def _column_changes(old: tuple[ColumnFacts, ...], new: tuple[ColumnFacts, ...]) -> tuple[str, ...]:
    was = {column.name: column for column in old}
    now = {column.name: column for column in new}
    lines = [f"+ {name} ({now[name].type}, {now[name].role})" for name in now if name not in was]
    lines += [f"- {name} ({was[name].type}, {was[name].role})" for name in was if name not in now]
    both = [name for name in was if name in now and was[name] != now[name]]
    lines += [f"~ {name}: {was[name].type}, {was[name].role} → {now[name].type}, {now[name].role}" for name in both]
    return tuple(lines)

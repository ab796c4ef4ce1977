"""Which versions hold rows, and which models learnt from them: the way up.

Belongs here: counting rows of versions by a condition, each file read once however many versions share it. Does not
belong here: the way down (``origins``), and printing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from ml_data_platform.datasets.landed_rows import EVENTS, RowSearch
from ml_data_platform.datasets.lineage_nodes import Node
from ml_data_platform.datasets.manifest import Manifest
from ml_data_platform.datasets.run_manifest import all_runs
from ml_data_platform.datasets.snapshots import read_snapshot
from ml_data_platform.storage import duck


class Containment:
    """The versions and models of one root.

    Args:
        search: Its rows.
        models: Folder of training runs.
    """

    def __init__(self, search: RowSearch, models: Path) -> None:
        self.search, self.models = search, models
        self.repository, self.connection = search.origins.repository, search.connection

    def of_rows(self, column: str, wanted: str, days: Collection[str] | None) -> tuple[Node, ...]:
        """Return the versions with rows of an event or a user.

        Args:
            column: ``event_id`` or ``user_id``.
            wanted: Its value.
            days: UTC days that the rows are on; none where nobody knows.
        """
        files = {version.tag: self._files(version, days) for version in self.repository.versions()}
        paths = sorted({path for of_days in files.values() for each in of_days.values() for path in each})
        counts = self._counts(paths, column, wanted) if paths else {}
        return self.versions(
            {
                tag: sum(counts.get(path, 0) for each in of_days.values() for path in each)
                for tag, of_days in files.items()
            }
        )

    def of_landed_file(self, source: str, sha256: str, days: Collection[str]) -> tuple[Node, ...]:
        """Return the versions with rows of a landed file; only the days that it has rows on are looked at."""
        pairs: dict[str, set[tuple[str, str]]] = {}
        for version in self.repository.versions():
            pinned = read_snapshot(self.search.store, version.snapshot_id)["partitions"].get(EVENTS, {})
            pairs[version.tag] = {
                (events, rows)
                for day, paths in self._files(version, days).items()
                for events in self.search.stored(EVENTS, pinned.get(day, {}).get("files", {}).values())
                for rows in paths
            }
        counts = self._shared(set().union(*pairs.values()), source, sha256)
        return self.versions({tag: sum(counts.get(pair, 0) for pair in each) for tag, each in pairs.items()})

    def versions(self, counts: Mapping[str, int | None]) -> tuple[Node, ...]:
        """Return versions, with the models that learnt from them below; those with no rows are left out."""
        return tuple(
            Node("version", tag, {"rows": count} if count is not None else {}, self.models_of([tag]))
            for tag, count in counts.items()
            if count != 0
        )

    def models_of(self, tags: Iterable[str]) -> tuple[Node, ...]:
        """Return the models that learnt from versions."""
        wanted = set(tags)
        return tuple(
            Node("model", run.run_id, {"created_at": run.created_at, "cutoff": run.config["cutoff"]})
            for run in all_runs(self.models)
            if run.version in wanted
        )

    def _files(self, version: Manifest, days: Collection[str] | None) -> dict[str, list[str]]:
        """Return the files of a version's first data set that have rows, by day."""
        dataset = version.datasets[0]
        return {
            each.day: self.search.stored(dataset.name, [file.sha256 for file in each.files if file.rows])
            for each in dataset.partitions
            if days is None or each.day in days
        }

    def _counts(self, paths: list[str], column: str, wanted: str) -> dict[str, int]:
        rows = duck.parquet(self.connection, paths, has_file_names=True)
        condition = "user_id = $wanted" if column == "user_id" else "event_id = $wanted"
        query = f"SELECT filename, count(*) FROM {rows} WHERE {condition} GROUP BY filename"
        return dict(self.connection.execute(query, {"wanted": wanted}).fetchall())

    def _shared(self, pairs: Collection[tuple[str, str]], source: str, sha256: str) -> dict[tuple[str, str], int]:
        """Count the rows of files whose events are those that other files have from a landed file."""
        if not pairs:
            return {}
        events, rows = (
            duck.parquet(self.connection, sorted({pair[place] for pair in pairs}), has_file_names=True)
            for place in (0, 1)
        )
        query = (
            f"SELECT events.filename, rows.filename, count(*) FROM {events} AS events INNER JOIN {rows} AS rows "
            "ON rows.event_id = events.event_id WHERE events.source_file = $sha256 AND events.source = $source "
            "GROUP BY ALL"
        )
        found = self.connection.execute(query, {"sha256": sha256, "source": source}).fetchall()
        return {(row[0], row[1]): int(row[2]) for row in found if (row[0], row[1]) in pairs}

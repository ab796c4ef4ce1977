"""Lineage: from a model down to the landed rows, and from an event, a user or a landed file up to versions and models.

Belongs here: walking what is recorded: commit log, snapshots, tags, run manifests. Does not belong here: printing.

The chain is: run manifest → tag → partitions → ``inputs`` of each generation in the commit log → landed files.
"""

from __future__ import annotations

import datetime as dt
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from ml_data_platform.datasets.manifest import Manifest
from ml_data_platform.datasets.repository import VersionsRepository
from ml_data_platform.datasets.run_manifest import RunManifest, all_runs
from ml_data_platform.datasets.selection import generation_with
from ml_data_platform.datasets.snapshots import read_snapshot
from ml_data_platform.errors import UnknownVersionError
from ml_data_platform.events.planning import UPSTREAM
from ml_data_platform.storage import duck
from ml_data_platform.storage.commit_log import LogRecord
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.ledger import Ledger
from ml_data_platform.storage.table_store import TableStore

_PARTITION = re.compile(r"([a-z_]+)[/@](?:dt=)?([0-9]{4}-[0-9]{2}-[0-9]{2})")
_LANDED = "landed_files"
_EVENTS = "validated_events"


@dataclass(frozen=True)
class Node:
    """One thing in a chain.

    Attributes:
        kind: ``model``, ``version``, ``partition``, ``event``, ``user`` or ``landed file``.
        name: What it is called.
        facts: What is known of it.
        children: What it was made from; of a trace upwards, what was made from it.
    """

    kind: str
    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    children: tuple[Node, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values for scripts."""
        return {
            "kind": self.kind,
            "name": self.name,
            "facts": dict(self.facts),
            "children": [child.to_json() for child in self.children],
        }


@dataclass(frozen=True)
class Trace:
    """What something was made from, and which versions and models contain it."""

    made_from: Node
    contained_in: tuple[Node, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for scripts."""
        return {
            "made_from": self.made_from.to_json(),
            "contained_in": [node.to_json() for node in self.contained_in],
        }


@dataclass(frozen=True)
class Lineage:
    """Everything that is recorded about one root.

    Attributes:
        store: Tables and commit log.
        ledger: Landed files.
        repository: Versions.
        models: Folder of training runs.
        memory_limit: Bound of the query engine.
        threads: Its threads.
    """

    store: TableStore
    ledger: Ledger
    repository: VersionsRepository
    models: Path
    memory_limit: str = "1GB"
    threads: int = 2

    def trace(self, what: str) -> Trace:
        """Trace a model, a version, a partition, an event, a user or a landed file.

        Args:
            what: A run id, a tag, ``asset/YYYY-MM-DD``, an event id, a user id, or the hash or name of a landed file.

        Raises:
            UnknownVersionError: Nothing that is recorded has this name.
        """
        for run in all_runs(self.models):
            if run.run_id == what or (len(what) >= 6 and run.run_id.startswith(what)):
                return Trace(self._model(run), ())
        partition = _PARTITION.fullmatch(what)
        if partition:
            return self._of_partition(partition[1], partition[2])
        if any(what in tag for tag in self.repository.tags()) or what == "latest":
            version = self.repository.version(what)
            return Trace(self._version(version), self._models_of([version.tag]))
        if re.fullmatch(r"usr_[0-9a-f]{16}", what):
            return self._of_rows(Node("user", what), "user_id = $wanted", what, what)
        landed = [
            each for each in self.ledger.records() if what in {each.sha256, each.name, f"{each.source}/{each.name}"}
        ]
        if landed:
            record = landed[0]
            node = self._landed_file(record.source, record.sha256)
            return self._of_rows(node, "source_file = $wanted", record.sha256, what)
        return self._of_event(what)

    def _model(self, run: RunManifest) -> Node:
        facts = {
            "created_at": run.created_at,
            "model_sha256": run.model_sha256,
            "code": run.code.get("git_sha") or run.code.get("package_version"),
            "code_is_dirty": run.code.get("is_dirty"),
            "config": run.config,
        }
        return Node("model", run.run_id, facts, (self._version(self.repository.version(run.version)),))

    def _version(self, version: Manifest) -> Node:
        facts = {
            "created_at": version.created_at,
            "rows": version.rows,
            "snapshot": version.snapshot_id,
            **{f"{each.name}_md5": f"{each.dir_md5}.dir" for each in version.tracked},
        }
        dataset = version.datasets[0]
        days = tuple(
            self._partition(dataset.name, each.day, each.content, each.committed_at) for each in dataset.partitions
        )
        return Node("version", version.tag, facts, days)

    def _partition(self, asset: str, day: str, content: str, before: str = "9999") -> Node:
        record = self._generation(asset, day, content, before)
        if record is None:
            return Node("partition", f"{asset}/{day}", {"content": content, "note": "no record of this content"})
        facts = {
            "generation": record.generation,
            "rows": record.rows,
            "content": record.content,
            "code_version": record.code_version,
            "run_id": record.run_id,
            "committed_at": record.committed_at,
        }
        return Node("partition", f"{asset}/{day}", facts, tuple(self._inputs(record)))

    def _generation(self, asset: str, day: str, content: str, before: str) -> LogRecord | None:
        """Return the generation with this content that was the newest at an instant; later ones may have it again."""
        newest = generation_with(self.store, asset, day, content)
        if newest is None or newest.committed_at <= before:
            return newest
        earlier = [each for each in self.store.log.history(asset, day) if each.content == content]
        return next((each for each in reversed(earlier) if each.committed_at <= before), newest)

    def _inputs(self, record: LogRecord) -> Iterator[Node]:
        for key, content in sorted(record.inputs.items()):
            asset, _, rest = key.partition("/")
            if asset in UPSTREAM and content != "absent":
                yield self._partition(asset, rest, content, record.committed_at)
            elif asset == _LANDED:
                source, _, sha256 = rest.partition("/")
                yield self._landed_file(source, sha256)

    def _landed_file(self, source: str, sha256: str) -> Node:
        names = self.ledger.names(source, sha256)
        found = [each for each in self.ledger.records() if (each.source, each.sha256) == (source, sha256)]
        facts: dict[str, Any] = {"sha256": sha256, "kept_bytes": self.store.objects.uri(Layout.raw_key(sha256))}
        if found:
            names = names or (found[0].name,)
            facts |= {"rows": found[0].rows, "ingested_at": found[0].ingested_at, "contract": found[0].contract_hash}
        return Node("landed file", f"{source}/{', '.join(names) or sha256}", facts)

    def _of_partition(self, asset: str, day: str) -> Trace:
        head = self.store.head(asset, day)
        if head is None:
            raise UnknownVersionError("nothing is published of this partition", remedy="", asset=asset, partition=day)
        tags = []
        for version in self.repository.versions():
            pinned = read_snapshot(self.store, version.snapshot_id)["partitions"].get(asset, {}).get(day)
            dataset = version.dataset(asset)
            content = {each.day: each.content for each in dataset.partitions}.get(day) if dataset else None
            if head.content in {content, (pinned or {}).get("content")} or self._leads_to(
                version, asset, day, head.content
            ):
                tags.append(version.tag)
        return Trace(self._partition(asset, day, head.content), self._versions_of(dict.fromkeys(tags)))

    def _leads_to(self, version: Manifest, asset: str, day: str, content: str) -> bool:
        """Tell whether a generation is among what a version's days, at most one day away, were made from."""
        dataset, of = version.datasets[0], dt.date.fromisoformat(day)
        near = {(of + dt.timedelta(days=offset)).isoformat() for offset in (-1, 0, 1)}
        tops = [
            self._partition(dataset.name, each.day, each.content, each.committed_at)
            for each in dataset.partitions
            if each.day in near
        ]
        return any(_is_below(top, f"{asset}/{day}", content) for top in tops)

    def _of_event(self, event_id: str) -> Trace:
        known = "event_id = $wanted"
        with self._engine() as connection:
            files = self._event_files()
            rows = _query(
                connection,
                files,
                "filename, source, source_file, source_row, event_timestamp, user_id, session_uuid",
                known,
                event_id,
            )
        if not rows:
            raise UnknownVersionError(
                "nothing that is recorded has this name",
                remedy=(
                    "Name a model, a tag, asset/YYYY-MM-DD, an event id as in validated_events, a user id, or a landed"
                    " file by its name or hash. `quarantine list` shows rows that are not published."
                ),
                got=event_id,
            )
        path, source, sha256, row, at, user, session = rows[-1]
        file = self._landed_file(source, sha256)
        landed = Node(file.kind, file.name, {"row": row, **file.facts})
        facts = {
            "event_timestamp": at,
            "user_id": user,
            "session_uuid": session,
            "landed_row": f"{file.name} row {row}",
        }
        day, content = files[path]
        node = Node("event", event_id, facts, (landed, self._partition(_EVENTS, day, content)))
        return Trace(node, self._containing(known, known, event_id))

    def _of_rows(self, node: Node, condition: str, wanted: str, what: str) -> Trace:
        found = self._containing(condition, condition if node.kind == "user" else None, wanted)
        if node.kind == "user" and not found:
            with self._engine() as connection:
                rows = _query(connection, self._event_files(), "count(*)", condition, wanted)
            if not rows or not rows[0][0]:
                raise UnknownVersionError("no event of this user is published", remedy="", got=what)
        return Trace(node, found)

    def _containing(self, on_events: str, on_rows: str | None, wanted: str) -> tuple[Node, ...]:
        """Return the versions with rows that meet a condition, and the models that learnt from them.

        Args:
            on_events: Condition on the pinned events.
            on_rows: The same condition on training rows; none where only events can tell.
            wanted: The value that the conditions name ``$wanted``.
        """
        counts: dict[str, int] = {}
        with self._engine() as connection:
            for version in self.repository.versions():
                dataset = version.datasets[0]
                rows = self._stored(dataset.name, [file.sha256 for file in dataset.files if file.rows])
                condition = on_rows
                if condition is None:
                    pinned = read_snapshot(self.store, version.snapshot_id)["partitions"].get(_EVENTS, {})
                    events = self._stored(_EVENTS, [sha for day in pinned.values() for sha in day["files"].values()])
                    if not events:
                        continue
                    condition = (
                        f"event_id IN (SELECT event_id FROM {duck.parquet(connection, events)} WHERE {on_events})"
                    )
                found = _query(connection, rows, "count(*)", condition, wanted) if rows else []
                if found and found[0][0]:
                    counts[version.tag] = int(found[0][0])
        return self._versions_of(counts)

    def _versions_of(self, counts: Mapping[str, int | None]) -> tuple[Node, ...]:
        return tuple(
            Node("version", tag, {"rows": count} if count is not None else {}, self._models_of([tag]))
            for tag, count in counts.items()
        )

    def _models_of(self, tags: Iterable[str]) -> tuple[Node, ...]:
        wanted = set(tags)
        return tuple(
            Node("model", run.run_id, {"created_at": run.created_at, "cutoff": run.config["cutoff"]})
            for run in all_runs(self.models)
            if run.version in wanted
        )

    def _event_files(self) -> dict[str, tuple[str, str]]:
        """Return the files with published or pinned events, with their day and content; published ones last."""
        found: dict[str, tuple[str, str]] = {}
        for version in self.repository.versions():
            pinned = read_snapshot(self.store, version.snapshot_id)["partitions"].get(_EVENTS, {})
            for day, entry in pinned.items():
                for path in self._stored(_EVENTS, entry["files"].values()):
                    found[path] = (day, entry["content"])
        for day, head in self.store.heads(_EVENTS).items():
            for path in self._stored(_EVENTS, [file.sha256 for file in head.files]):
                found.pop(path, None)
                found[path] = (day, head.content)
        return found

    def _stored(self, asset: str, hashes: Iterable[str]) -> list[str]:
        keys = [Layout.object_key(asset, sha256) for sha256 in dict.fromkeys(hashes)]
        return [str(self.store.objects.local_path(key)) for key in keys if self.store.objects.exists(key)]

    @contextmanager
    def _engine(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with (
            tempfile.TemporaryDirectory(prefix="ml-data-platform-") as scratch,
            duck.connect(
                Path(scratch),
                folders=[self.store.objects.local_folder],
                memory_limit=self.memory_limit,
                threads=self.threads,
            ) as connection,
        ):
            yield connection


def _is_below(node: Node, name: str, content: str) -> bool:
    if (node.name, node.facts.get("content")) == (name, content):
        return True
    return any(_is_below(child, name, content) for child in node.children)


def _query(
    connection: duckdb.DuckDBPyConnection, paths: Iterable[str], columns: str, condition: str, wanted: str
) -> Sequence[tuple[Any, ...]]:
    """Return rows of files that meet a condition on ``$wanted``, in the order of the files."""
    ordered = list(paths)
    if not ordered:
        return []
    text = columns.replace("event_timestamp", "CAST(event_timestamp AS VARCHAR) AS event_timestamp")
    files = duck.parquet(connection, ordered, has_file_names=True)
    rows = connection.execute(f"SELECT {text} FROM {files} WHERE {condition}", {"wanted": wanted}).fetchall()
    place = {path: number for number, path in enumerate(ordered)}
    return sorted(rows, key=lambda row: place.get(row[0], 0)) if columns.startswith("filename") else rows

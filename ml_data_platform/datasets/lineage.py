"""Lineage: from a model down to the landed rows, and from an event, a user or a landed file up to versions and models.

Belongs here: finding out what a name means, and putting the two ways together. Does not belong here: walking records down
(``origins``), finding rows (``landed_rows``), the way up (``containment``), and printing.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ml_data_platform.datasets.containment import Containment
from ml_data_platform.datasets.landed_rows import EVENTS, FoundRow, Place, RowSearch
from ml_data_platform.datasets.lineage_nodes import Node, Trace
from ml_data_platform.datasets.manifest import Manifest
from ml_data_platform.datasets.origins import Origins
from ml_data_platform.datasets.repository import TAG_PREFIX, VersionsRepository
from ml_data_platform.datasets.run_manifest import RunManifest, all_runs
from ml_data_platform.datasets.snapshots import read_snapshot
from ml_data_platform.errors import UnknownVersionError
from ml_data_platform.events.lateness import ONE_DAY
from ml_data_platform.events.schemas import QUARANTINED_EVENTS
from ml_data_platform.storage import duck
from ml_data_platform.storage.layout import parse_day
from ml_data_platform.storage.ledger import Ledger
from ml_data_platform.storage.ledger_record import LedgerRecord
from ml_data_platform.storage.table_store import TableStore

__all__ = ["Lineage", "Node", "Trace"]

_PARTITION = re.compile(r"([a-z_]+)[/@](?:dt=)?([0-9]{4}-[0-9]{2}-[0-9]{2})")
_USER = re.compile(r"(usr|anon)_[0-9a-f]{16}")
_ROW = re.compile(r"(.+):([1-9][0-9]{0,11})", re.DOTALL)
_PART, _HASH_PART = 6, 8
"""Characters that a part of a name has at least."""
_SHOWN = 5


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

    @cached_property
    def origins(self) -> Origins:
        """The records, each read once."""
        return Origins(self.store, self.ledger, self.repository)

    def trace(self, what: str, day: str | None = None) -> Trace:
        """Trace a model, a version, a partition, a user, a landed file or a row of it, or an event.

        A whole name comes before a part of one. Events come last: no record says which file holds an id, so all are
        searched, unless a day is named.

        Args:
            what: A run id, a tag, ``asset/YYYY-MM-DD``, a user id, the hash or name of a landed file, that and ``:`` and
                the number of a row, or an event id, with or without its source. Of run ids, tags and hashes a part that
                is theirs alone will do.
            day: UTC day of an event, ``YYYY-MM-DD``, where it is known.

        Raises:
            UnknownVersionError: Nothing that is recorded has this name, or several things have it.
        """
        with self._searching() as (search, containment):
            return self._of_name(what, containment) or self._of_event(what, day, search, containment)

    def _of_name(self, what: str, containment: Containment) -> Trace | None:
        """Trace what has a name in some record; none where nothing has."""
        run, tag = self._run(what), self._tag(what)
        if run is not None:
            return Trace(self.origins.of_model(run), ())
        if tag is not None:
            version = self.repository.version(tag)
            return Trace(self.origins.of_version(version), containment.models_of([tag]))
        partition = _PARTITION.fullmatch(what)
        if partition:
            return self._of_partition(partition[1], str(parse_day(partition[2])), containment)
        if _USER.fullmatch(what):
            found = containment.of_rows("user_id", what, None)
            if not found and not containment.search.has_user(what):
                raise UnknownVersionError(
                    "no event of this user is published", remedy="`trace` knows users by their hashed id.", got=what
                )
            return Trace(Node("user", what), found)
        return self._of_landed(what, containment)

    def _of_landed(self, what: str, containment: Containment) -> Trace | None:
        """Trace a landed file, or a row of one."""
        record = self._landed(what)
        if record is not None:
            days = {*record.rows_per_day, *record.too_late}
            node = self.origins.of_landed_file(record.source, record.sha256)
            return Trace(node, containment.of_landed_file(record.source, record.sha256, days))
        row = _ROW.fullmatch(what)
        record = self._landed(row[1]) if row else None
        if row and record is not None:
            rows = containment.search.by_place(Place(record.source, record.sha256, int(row[2])))
            if not rows:
                raise UnknownVersionError(
                    "no record holds such a row of the file", remedy="Rows count from 1.", rows=record.rows, got=row[2]
                )
            return self._of_found(rows[-1:], [], containment)
        return None

    def _run(self, what: str) -> RunManifest | None:
        runs = all_runs(self.models)
        exact = [run for run in runs if run.run_id == what]
        found = exact or [run for run in runs if len(what) >= _PART and run.run_id.startswith(what)]
        _require_one([run.run_id for run in found], what, "models")
        return found[0] if found else None

    def _tag(self, what: str) -> str | None:
        tags = self.repository.tags()
        if what == "latest" and tags:
            return tags[-1]
        exact = [tag for tag in tags if what in {tag, tag.removeprefix(TAG_PREFIX)}]
        part = what.removeprefix(TAG_PREFIX)
        found = exact or [tag for tag in tags if len(part) >= _PART and part in tag.removeprefix(TAG_PREFIX)]
        _require_one(found, what, "versions")
        return found[0] if found else None

    def _landed(self, what: str) -> LedgerRecord | None:
        records = list(self.origins.landed.values())
        found = [each for each in records if what in {each.sha256, each.name, f"{each.source}/{each.name}"}]
        if not found and len(what) >= _HASH_PART:
            found = [each for each in records if each.sha256.startswith(what)]
        _require_one([f"{each.source}/{each.name} {each.sha256[:16]}" for each in found], what, "landed files")
        return found[0] if found else None

    def _of_partition(self, asset: str, day: str, containment: Containment) -> Trace:
        head = self.store.head(asset, day)
        if head is None:
            raise UnknownVersionError("nothing is published of this partition", remedy="", asset=asset, partition=day)
        of = parse_day(day)
        near = frozenset(str(of + offset * ONE_DAY) for offset in (-1, 0, 1))
        tags: dict[str, int | None] = {}
        for version in self.repository.versions():
            pinned = read_snapshot(self.store, version.snapshot_id)["partitions"].get(asset, {}).get(day)
            if head.content in {(pinned or {}).get("content"), _content(version, asset, day)} or any(
                top.holds(f"{asset}/{day}", head.content) for top in self.origins.days_of(version, near)
            ):
                tags[version.tag] = None
        return Trace(self.origins.of_partition(asset, day, head.content), containment.versions(tags))

    def _of_event(self, what: str, day: str | None, search: RowSearch, containment: Containment) -> Trace:
        ids = [what, *(f"{source}:{what}" for source in self.ledger.sources())]
        days = None if day is None else {str(parse_day(day))}
        rows = search.by_id(ids, days)
        rows = [row for row in rows if row.event_id == what] or rows
        _require_one(sorted({row.event_id for row in rows}), what, "events")
        rows = rows or search.by_text(what.partition(":")[2] or what)
        if not rows:
            raise UnknownVersionError(
                "nothing that is recorded has this name",
                remedy=(
                    "Name a model, a tag, asset/YYYY-MM-DD, an event id as in validated_events, a user id, or a landed"
                    " file by its name or hash, with :ROW for a row. `quarantine list` shows what is not published."
                ),
                got=what,
                day=day,
            )
        published = [row for row in rows if row.fate == "event"]
        others = [row for row in rows if row.fate != "event"] if published else []
        return self._of_found(published or rows, others, containment)

    def _of_found(self, rows: Sequence[FoundRow], others: Sequence[FoundRow], containment: Containment) -> Trace:
        """Return the trace of an event's rows: of each landed row once, newest last, and of those that lost against it."""
        by_place = {(row.source, row.sha256, row.row, row.day): row for row in rows}
        newest = [row for row in by_place.values() if row.is_published] or list(by_place.values())
        lost = [self._node(row, ()) for row in others]
        if len(newest) == 1:
            node = self._node(newest[0], lost)
        else:
            # One id on several days, or in several files of what is not published: each is shown.
            name = newest[0].event_id or newest[0].sha256
            node = Node("event", name, {"found": len(newest)}, (*(self._node(row, ()) for row in newest), *lost))
        is_event = any(row.fate == "event" for row in rows)
        days = {row.day for row in rows}
        return Trace(node, containment.of_rows("event_id", rows[-1].event_id, days) if is_event else ())

    def _node(self, row: FoundRow, lost: Iterable[Node]) -> Node:
        file = self.origins.of_landed_file(row.source, row.sha256)
        place = f"{file.name} row {row.row}"
        children = [Node(file.kind, file.name, {"row": row.row, **file.facts})]
        if row.content:
            asset = EVENTS if row.fate == "event" else QUARANTINED_EVENTS.name
            children.append(self.origins.of_partition(asset, row.day, row.content))
        facts = {**row.facts, "landed_row": place}
        if row.fate == "event" and not row.is_published:
            facts["note"] = "pinned by a version; not in what is published now"
        return Node(row.fate, row.event_id or place, facts, (*children, *lost))

    @contextmanager
    def _searching(self) -> Iterator[tuple[RowSearch, Containment]]:
        with (
            tempfile.TemporaryDirectory(prefix="ml-data-platform-") as scratch,
            duck.connect(
                Path(scratch),
                folders=[self.store.objects.local_folder],
                memory_limit=self.memory_limit,
                threads=self.threads,
            ) as connection,
        ):
            search = RowSearch(self.origins, connection)
            yield search, Containment(search, self.models)


def _content(version: Manifest, asset: str, day: str) -> str | None:
    dataset = version.dataset(asset)
    return next((each.content for each in dataset.partitions if each.day == day), None) if dataset else None


def _require_one(found: Sequence[str], what: str, kind: str) -> None:
    """Refuse a name that several things have.

    Raises:
        UnknownVersionError: Several have it.
    """
    if len(found) > 1:
        raise UnknownVersionError(
            f"several {kind} have this name",
            remedy="Name one of them in full.",
            got=what,
            found="; ".join(found[:_SHOWN]) + (f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""),
        )

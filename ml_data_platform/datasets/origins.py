"""What models, versions, partitions and landed files were made from, by what is recorded: no row is read.

Belongs here: walking run manifests, tags and the commit log downwards. Does not belong here: finding rows
(``landed_rows``), and the way up (``containment``).

The chain is: run manifest → tag → partitions → ``inputs`` of each generation in the commit log → landed files.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from ml_data_platform.datasets.lineage_nodes import Node
from ml_data_platform.datasets.manifest import Manifest
from ml_data_platform.datasets.repository import VersionsRepository
from ml_data_platform.datasets.run_manifest import RunManifest
from ml_data_platform.events.planning import UPSTREAM
from ml_data_platform.storage.commit_log import LogRecord
from ml_data_platform.storage.decisions import Standing
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.ledger import Ledger, LedgerRecord
from ml_data_platform.storage.table_store import TableStore

_LANDED = "landed_files"


class Origins:
    """The records of one root, each read once.

    Args:
        store: Tables and commit log.
        ledger: Landed files.
        repository: Versions.
    """

    def __init__(self, store: TableStore, ledger: Ledger, repository: VersionsRepository) -> None:
        self.store, self.ledger, self.repository = store, ledger, repository
        self._standings: dict[str, dict[str, Standing]] = {}
        self._histories: dict[tuple[str, str], tuple[LogRecord, ...]] = {}
        self._partitions: dict[tuple[str, str, int], Node] = {}
        self._files: dict[tuple[str, str], Node] = {}

    @cached_property
    def landed(self) -> dict[tuple[str, str], LedgerRecord]:
        """The current record of each landed content, by source and hash."""
        return {(record.source, record.sha256): record for record in self.ledger.records()}

    def of_model(self, run: RunManifest) -> Node:
        """Return a model, with its version below."""
        facts = {
            "created_at": run.created_at,
            "model_sha256": run.model_sha256,
            "code": run.code.get("git_sha") or run.code.get("package_version"),
            "code_is_dirty": run.code.get("is_dirty"),
            "config": run.config,
        }
        return Node("model", run.run_id, facts, (self.of_version(self.repository.version(run.version)),))

    def of_version(self, version: Manifest) -> Node:
        """Return a version, with its days below."""
        facts = {
            "created_at": version.created_at,
            "rows": version.rows,
            "snapshot": version.snapshot_id,
            **{f"{each.name}_md5": f"{each.dir_md5}.dir" for each in version.tracked},
        }
        return Node("version", version.tag, facts, tuple(self.days_of(version)))

    def days_of(self, version: Manifest, days: frozenset[str] | None = None) -> Iterator[Node]:
        """Yield the days of a version's first data set, or those of them that are named."""
        dataset = version.datasets[0]
        for each in dataset.partitions:
            if days is None or each.day in days:
                history = self.history(dataset.name, each.day)
                record = next((one for one in history if one.generation == each.generation), None)
                known = record is not None and record.content == each.content
                yield self._node(record) if record and known else self._unknown(dataset.name, each.day, each.content)

    def of_partition(self, asset: str, day: str, content: str, reader: LogRecord | None = None) -> Node:
        """Return a partition, with its inputs below.

        Args:
            asset: Its asset.
            day: UTC day.
            content: Hash of the content that it had.
            reader: The generation that was made from it; none for the newest with this content.
        """
        record = _read_by(reader, [each for each in self.history(asset, day) if each.content == content])
        return self._unknown(asset, day, content) if record is None else self._node(record)

    def of_landed_file(self, source: str, sha256: str) -> Node:
        """Return a landed file."""
        found = self._files.get((source, sha256))
        if found is None:
            record = self.landed.get((source, sha256))
            names = self.ledger.names(source, sha256) or ((record.name,) if record else ())
            kept = Layout.raw_key(record.bytes_sha256 if record else sha256)
            facts: dict[str, Any] = {"sha256": sha256, "kept_bytes": self.store.objects.uri(kept)}
            if record:
                facts |= {
                    "rows": record.rows,
                    "ingested_at": record.ingested_at,
                    "contract": record.contract_hash,
                    "status": record.status,
                }
            standing = self._standings_of(source).get(sha256)
            if standing is not None and standing.is_retracted:
                facts["retracted"] = f"{standing.decided_at}: {standing.reason}"
            found = self._files[source, sha256] = Node("landed file", f"{source}/{', '.join(names) or sha256}", facts)
        return found

    def _standings_of(self, source: str) -> dict[str, Standing]:
        if source not in self._standings:
            self._standings[source] = self.ledger.decisions.standings(source)
        return self._standings[source]

    def history(self, asset: str, day: str) -> tuple[LogRecord, ...]:
        """Return every generation of a partition, oldest first."""
        if (asset, day) not in self._histories:
            self._histories[asset, day] = self.store.log.history(asset, day)
        return self._histories[asset, day]

    def _node(self, record: LogRecord) -> Node:
        key = (record.asset, record.day, record.generation)
        if key not in self._partitions:
            facts = {
                "generation": record.generation,
                "rows": record.rows,
                "content": record.content,
                "code_version": record.code_version,
                "run_id": record.run_id,
                "committed_at": record.committed_at,
            }
            name = f"{record.asset}/{record.day}"
            self._partitions[key] = Node("partition", name, facts, tuple(self._inputs(record)))
        return self._partitions[key]

    def _inputs(self, record: LogRecord) -> Iterator[Node]:
        for key, content in sorted(record.inputs.items()):
            asset, _, rest = key.partition("/")
            if asset in UPSTREAM and content != "absent":
                yield self.of_partition(asset, rest, content, record)
            elif asset == _LANDED:
                source, _, sha256 = rest.partition("/")
                yield self.of_landed_file(source, sha256)

    @staticmethod
    def _unknown(asset: str, day: str, content: str) -> Node:
        return Node("partition", f"{asset}/{day}", {"content": content, "note": "no record of this content"})


def _read_by(reader: LogRecord | None, candidates: list[LogRecord]) -> LogRecord | None:
    """Return the generation that another one was made from, among those with the content that it names.

    It is the newest of the reader's run, or else the newest that was committed before the reader. At the same instant
    nobody can tell which came first; there it is the oldest: later ones had the same content, and nothing was made anew.
    """
    if reader is None or not candidates:
        return candidates[-1] if candidates else None
    earlier = [each for each in candidates if each.committed_at <= reader.committed_at]
    of_run = [each for each in earlier if each.run_id == reader.run_id]
    before = [each for each in earlier if each.committed_at < reader.committed_at]
    return next(iter([*of_run[-1:], *before[-1:], *earlier, *candidates[:1]]))

"""What a stage hands over to be committed, and what it gets back.

Belongs here: the staged table and its identity, and the result of a commit. Does not belong here: the
steps in between (`table_store`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ml_data_platform.storage.commit_log import LogRecord, content_hash
from ml_data_platform.storage.parquet import StagedFile
from ml_data_platform.storage.records import canonical_json

Outcome = Literal["committed", "unchanged", "rebased"]
MEASURED = "measured"
"""Key of a verdict for the numbers behind it: some compare with other days, so that the same inputs may give others. Numbers
alone make no new generation."""


@dataclass(frozen=True)
class StagedTable:
    """A verified new generation of one partition, still in scratch.

    Attributes:
        asset: Asset name.
        day: UTC day, ``YYYY-MM-DD``.
        files: Verified files, by name.
        inputs: What they were computed from: input name to content hash.
        code_version: Version of the stage that computed them.
        schema_version: Version of the table's columns.
        expected_generation: The head when the inputs were read; 0 for none.
        verdict: What validation said, as JSON.
    """

    asset: str
    day: str
    files: tuple[StagedFile, ...]
    inputs: Mapping[str, str]
    code_version: str
    schema_version: int
    expected_generation: int
    verdict: Mapping[str, Any] | None = None

    @property
    def content(self) -> str:
        """Hash of the names and bytes of all files, hex."""
        return content_hash((file.name, file.sha256) for file in self.files)

    @property
    def sha256(self) -> str:
        """The content hash, as data version."""
        return self.content

    @property
    def rows(self) -> int:
        """Rows of all files together."""
        return sum(file.rows for file in self.files)

    @property
    def commit_id(self) -> str:
        """Identity of this commit: a retry has the same, a commit onto another head has another."""
        return commit_id(
            self.asset,
            self.day,
            self.content,
            self.inputs,
            code_version=self.code_version,
            verdict=self.verdict,
            expected_generation=self.expected_generation,
        )


def commit_id(
    asset: str,
    day: str,
    content: str,
    inputs: Mapping[str, str],
    *,
    code_version: str,
    verdict: Mapping[str, Any] | None,
    expected_generation: int,
) -> str:
    """Return the identity of a commit of these facts onto a head."""
    facts = [asset, day, content, dict(inputs), code_version, verdict]
    return hashlib.sha256(canonical_json([*facts, expected_generation])).hexdigest()


@dataclass(frozen=True)
class Commit:
    """What a commit did.

    Attributes:
        record: The generation that holds the staged result.
        outcome: ``committed``; ``unchanged`` when the log already said so; ``rebased`` when another
            writer's generation came between and ours was appended after it.
    """

    record: LogRecord
    outcome: Outcome

"""Folds that are dealt when a version is cut and stored with it, so that every machine has the same ones.

Belongs here: counting the users of a version, writing the table of who is in which fold, what the manifest says of it,
and joining it to rows that are loaded. Does not belong here: how they are dealt (``training.folds``), and the folds that are published with each day.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from ml_data_platform.datasets.manifest import FOLDS, FileFacts, FoldFacts, FoldPart, Manifest
from ml_data_platform.datasets.manifest_fields import DATA
from ml_data_platform.errors import SplitError, UnpinnedDataError
from ml_data_platform.events.schemas import TableSchema
from ml_data_platform.events.sql_text import sql_identifier, sql_literal
from ml_data_platform.features.catalog import CATALOG
from ml_data_platform.storage import duck
from ml_data_platform.storage.durability import file_sha256
from ml_data_platform.storage.parquet import ParquetSink, verify_file
from ml_data_platform.training.folds import STRATEGIES, FoldChoice, compute_folds, fold_users, require_acceptance

FILE = f"{DATA}/{FOLDS}/{FOLDS}.parquet"
"""Path of the table within a version."""


def fold_table(key: str) -> TableSchema:
    """Return the table of folds: one row per key, ``fold`` from 0 on, by key.

    Args:
        key: ``user_id``, or ``event_id`` where users are torn apart.
    """
    columns = pa.schema([(key, pa.string()), ("fold", pa.int16())])
    return TableSchema(name="version_folds", version=1, columns=columns, key=(key,), sort=(key,))


def deal_folds(
    folder: Path, dataset: str, files: Sequence[str], choice: FoldChoice, *, memory_limit: str, threads: int
) -> FoldFacts:
    """Deal the users of some files out to folds, and write the table into the work tree.

    Takes about 60 bytes a row and, by scientific Python's own loop, about a minute for half a million users.

    Args:
        folder: The work tree.
        dataset: The data set of the files.
        files: Their paths below the work tree: all rows of a version, each once.
        choice: ``stratified_group``, or ``stratified`` with its words.
        memory_limit: Bound of the query engine.
        threads: Its threads.

    Returns:
        What the manifest says; the MD5 of the listing is filled in once DVC tracks the folder.

    Raises:
        SplitError: Users would be torn apart and nobody accepted that, or there are too few rows or users.
    """
    with (
        tempfile.TemporaryDirectory(dir=folder / ".dvc" / "tmp") as scratch,
        duck.connect(Path(scratch), folders=[folder], memory_limit=memory_limit, threads=threads) as connection,
    ):
        rows = _labelled(folder, dataset, files)
        users = connection.sql(
            f"SELECT user_id, count(*) AS n, CAST(sum(label) AS BIGINT) AS y FROM {rows} GROUP BY user_id ORDER BY user_id"
        ).to_arrow_table()
        if choice.strategy == "stratified":
            table, parts = _by_row(connection, rows, users, choice)
        else:
            table, parts = _by_user(users, choice)
    schema = fold_table(table.column_names[0])
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with ParquetSink(path, schema) as sink:
        sink.write(table)
    verify_file(path, schema, path.name)
    content = path.read_bytes()
    return FoldFacts(
        strategy=choice.strategy,
        count=choice.count,
        seed=choice.seed,
        accepts=choice.accepts if choice.strategy == "stratified" else "",
        key=schema.key[0],
        parts=parts,
        dir_md5="",
        file=FileFacts(
            path=FILE,
            sha256=file_sha256(path),
            md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
            size_bytes=len(content),
            rows=table.num_rows,
        ),
    )


def answers(facts: FoldFacts | None, choice: FoldChoice | None) -> bool:
    """Tell whether stored folds are those that are asked for."""
    if facts is None or choice is None:
        return facts is None and choice is None
    return (facts.strategy, facts.count, facts.seed) == (choice.strategy, choice.count, choice.seed)


def chosen_folds(manifest: Manifest, folds: Sequence[int] | None, strategy: str | None) -> FoldFacts | None:
    """Return the stored folds that are meant; none where those published with each day are, or no folds at all.

    Args:
        manifest: The version.
        folds: Numbers of folds that are wanted; none for all rows.
        strategy: Of the folds; none for the stored ones where there are any.

    Raises:
        UnpinnedDataError: The version does not store folds of this strategy.
        SplitError: There is no such fold or strategy.
    """
    if strategy is not None and strategy not in STRATEGIES:
        raise SplitError("there is no such fold strategy", expected=STRATEGIES, got=strategy)
    if folds is None:
        return None
    stored = manifest.folds if strategy is None or strategy != "keyed_hash" else None
    if strategy not in {None, "keyed_hash"} and (stored is None or stored.strategy != strategy):
        raise UnpinnedDataError(
            "the version does not store these folds",
            remedy=f"Cut one that does: ml-data-platform version cut --folds {strategy}:5.",
            version=manifest.tag,
            expected=strategy,
            got=manifest.folds.name if manifest.folds else "none; those published with each day are keyed_hash",
        )
    count = stored.count if stored is not None else _published_count(manifest)
    wrong = [fold for fold in folds if not 0 <= fold < count]
    if wrong and count:
        raise SplitError("there is no such fold", expected=f"0 to {count - 1}", got=wrong[:5])
    return stored


def with_stored_folds(rows: str, stored: FoldFacts, table: Path) -> str:
    """Return a relation whose column ``fold`` says what the stored table says.

    Args:
        rows: A relation over rows of the version, with a column ``fold``.
        stored: The folds.
        table: Their file.
    """
    folds = f"read_parquet({sql_literal(str(table))}, hive_partitioning = false)"
    key = sql_identifier(stored.key)
    return f"SELECT r.* REPLACE (CAST(f.fold AS BIGINT) AS fold) FROM {rows} AS r LEFT JOIN {folds} AS f ON f.{key} = r.{key}"


def _published_count(manifest: Manifest) -> int:
    """Return how many folds are published with each day of a version; 0 where it does not hold them."""
    published = manifest.dataset("stratified_partitions")
    names = {part for file in (published.files if published else ()) for part in file.path.split("/")}
    return sum(name.startswith("fold=") for name in names)


def _labelled(folder: Path, dataset: str, files: Sequence[str]) -> str:
    """Return a relation with event, user and label; of a data set without labels they are in the paths."""
    has_label = any(column.name == "label" for column in CATALOG[dataset])
    parts = [
        f"SELECT event_id, user_id, {'label' if has_label else int('label=positive' in path)} AS label"
        f" FROM read_parquet({sql_literal(str(folder / path))}, hive_partitioning = false)"
        for path in files
    ]
    nothing = "SELECT CAST(NULL AS VARCHAR) AS event_id, CAST(NULL AS VARCHAR) AS user_id, 0 AS label WHERE FALSE"
    return f"({' UNION ALL '.join(parts) or nothing})"


def _by_user(users: pa.Table, choice: FoldChoice) -> tuple[pa.Table, tuple[FoldPart, ...]]:
    rows, positives = users["n"].to_numpy(), users["y"].to_numpy()
    folds = fold_users(choice, rows, positives)
    parts = tuple(
        FoldPart(
            fold=fold,
            users=int(np.count_nonzero(folds == fold)),
            rows=int(rows[folds == fold].sum()),
            positives=int(positives[folds == fold].sum()),
        )
        for fold in range(choice.count)
    )
    return pa.table({"user_id": users["user_id"], "fold": folds}), parts


def _by_row(
    connection: duckdb.DuckDBPyConnection, rows: str, users: pa.Table, choice: FoldChoice
) -> tuple[pa.Table, tuple[FoldPart, ...]]:
    require_acceptance(choice, rows=sum(users["n"].to_pylist()), users=users.num_rows)
    found = connection.sql(f"SELECT event_id, user_id, label FROM {rows} ORDER BY event_id").to_arrow_table()
    labels = found["label"].to_numpy()
    folds = compute_folds(choice, found["user_id"].to_pylist(), labels)
    owners = np.asarray(found["user_id"].to_pylist(), dtype=object)
    parts = tuple(
        FoldPart(
            fold=fold,
            users=len(set(owners[folds == fold])),
            rows=int(np.count_nonzero(folds == fold)),
            positives=int(labels[folds == fold].sum()),
        )
        for fold in range(choice.count)
    )
    return pa.table({"event_id": found["event_id"], "fold": folds}), parts

"""What producers expect of their values: the rules of contracts, judged over the rows of a day.

Belongs here: running the rules of a source over its own rows and counting what breaks them. Does not belong here: what
a contract may expect (``events.expectations``), which values a rule sees (``events.expected_values``) and the
platform's own rules (``row_judgement``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml_data_platform.errors import bounded
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.expectations import (
    NOT_NULL,
    NULL,
    Expectation,
    rules_before_masking,
    rules_on_kept_values,
    unique_rules,
)
from ml_data_platform.events.expected_values import expected_values, has_column, value_names
from ml_data_platform.events.schemas import VALIDATED_EVENTS
from ml_data_platform.events.sql_text import sql_literal
from ml_data_platform.stages.contract_findings import ContractRules, RuleCount
from ml_data_platform.stages.event_order import kept_events
from ml_data_platform.stages.row_judgement import CHUNK_ROWS, REJECTIONS
from ml_data_platform.stages.rules_before_masking import row_rules
from ml_data_platform.storage import duck
from ml_data_platform.validation.outcomes import MAX_EXAMPLE_CHARACTERS, MAX_EXAMPLES
from ml_data_platform.validation.runner import RowValidator

ASSET = "validated_events"
ROWS_TO_MISS_A_COLUMN = 30
_PLACE = ("source_file", "source_row")


def judge_contracts(
    connection: duckdb.DuckDBPyConnection,
    mapped: Path,
    contracts: Mapping[str, SourceContract],
    rejections: Path,
    unjudged: Mapping[tuple[str, str], int],
) -> list[RuleCount]:
    """Judge the rows of each source by the rules of its own contract, row by row.

    Args:
        connection: Any connection.
        mapped: Parquet with the columns of ``events.parsing.mapping_query``.
        contracts: Contract per source.
        rejections: File to write, of schema REJECTIONS: the rows that break rules that block.
        unjudged: Source and rule to rows that landed before the rule was as it is, and were masked since.

    Returns:
        One entry per rule and source with rows, by source and name; uniqueness is not among them.
    """
    rows = duck.parquet(connection, [mapped], has_row_numbers=True)
    present = [name for (name,) in connection.execute(f"SELECT DISTINCT source FROM {rows} ORDER BY 1").fetchall()]
    counts: list[RuleCount] = []
    with pq.ParquetWriter(rejections, REJECTIONS, compression="lz4") as writer:
        for source in present:
            contract = contracts[source]
            of_source = f"(SELECT * FROM {rows} WHERE source = {sql_literal(source)})"
            found = {
                name: RuleCount(source, name, rule)
                for name, rule in sorted(contract.expect.items())
                if not rule.is_unique
            }
            for table in _judged(connection, contract, of_source, found):
                writer.write_table(table)
            for name, count in found.items():
                _note_lack(connection, contract, of_source, count, unjudged.get((source, name), 0))
            counts += found.values()
    return counts


def _judged(
    connection: duckdb.DuckDBPyConnection, contract: SourceContract, rows: str, counts: Mapping[str, RuleCount]
) -> Iterator[pa.Table]:
    """Judge the rows of one source, count, and yield those to reject."""
    if not counts:
        return
    kept, hidden = rules_on_kept_values(contract), rules_before_masking(contract)
    verdicts = "broken_rules" if contract.pii is not None else "CAST(NULL AS VARCHAR[])"
    keep = ("file_row_number", *_PLACE, f"{verdicts} AS broken_rules")
    names = value_names(kept.values())
    values = expected_values(contract, kept.values(), rows, keep)
    validator = RowValidator(row_rules(kept))
    for batch in connection.sql(f"{values} ORDER BY file_row_number").to_arrow_reader(CHUNK_ROWS):
        table = pa.Table.from_batches([batch])
        frame = table.select(range(len(keep), table.num_columns)).rename_columns(list(names))
        broken = dict(validator.validate(frame.to_pandas())) if kept else {}
        broken |= _named_before_masking(table["broken_rules"], hidden)
        for name, count in counts.items():
            _add(count, table, frame, broken[name])
        yield _rejections(
            table["file_row_number"], {name: broken[name] for name in sorted(counts) if counts[name].rule.blocks}
        )


def _named_before_masking(verdicts: pa.ChunkedArray, rules: Mapping[str, Expectation]) -> dict[str, np.ndarray]:
    """Return the positions of rows whose verdict names a rule; what a contract no longer says counts no more."""
    found: dict[str, list[int]] = {name: [] for name in rules}
    if verdicts.null_count < len(verdicts):
        for position, names in enumerate(verdicts.to_pylist()):
            for name in names or ():
                if name in found:
                    found[name].append(position)
    return {name: np.asarray(positions, dtype=np.int64) for name, positions in found.items()}


def _add(count: RuleCount, table: pa.Table, frame: pa.Table, broken: np.ndarray) -> None:
    count.rows += table.num_rows
    count.broken += len(broken)
    columns = [column for column in count.rule.columns if column in frame.column_names]
    if columns:
        count.values = (count.values or 0) + table.num_rows - frame[columns[0]].null_count
    for position in broken[: MAX_EXAMPLES - len(count.examples)].tolist():
        values = [frame[column][position].as_py() for column in columns]
        shown = ", ".join("nothing" if value is None else value for value in values) or "not kept"
        place = f"file {table['source_file'][position].as_py()[:8]} row {table['source_row'][position].as_py()}"
        count.examples.append(bounded(f"{place}: {shown}", MAX_EXAMPLE_CHARACTERS))


def _rejections(numbers: pa.ChunkedArray, broken: Mapping[str, np.ndarray]) -> pa.Table:
    reasons: dict[int, list[str]] = {}
    for name, positions in broken.items():
        for position in positions.tolist():
            reasons.setdefault(position, []).append(name)
    rows = sorted(reasons)
    at = pc.take(numbers, pa.array(rows, pa.int64()))
    return pa.table({"position": at, "rules": [reasons[row] for row in rows]}, schema=REJECTIONS)


def _note_lack(
    connection: duckdb.DuckDBPyConnection, contract: SourceContract, rows: str, count: RuleCount, unjudged: int
) -> None:
    if unjudged:
        count.lack = f"{unjudged:,} rows were masked before the rule was as it is now; land their files again to have them judged"
    elif count.values == 0 and count.rows >= ROWS_TO_MISS_A_COLUMN and count.rule.expectation not in (NULL, NOT_NULL):
        column = str(count.rule.column)
        (is_there,) = connection.execute(f"SELECT bool_or({has_column(contract, column)}) FROM {rows}").fetchall()[0]
        if not is_there:
            count.lack = f"no row has the column {column!r}, so that the rule says nothing"


def find_repeated_values(
    connection: duckdb.DuckDBPyConnection, contracts: Mapping[str, SourceContract]
) -> list[RuleCount]:
    """Find rows that repeat what a contract says is unique, among the valid rows of the source without duplicates.

    All rows that share a value break the rule. Of these the first in the total order of events stays, and the others
    are rejected where the rule blocks: what came when, and in which file, decides nothing.

    Args:
        connection: With what ``event_order.kept_events`` reads. Gets the tables ``repeats``, a row for each that shares
            a value and rule, and ``repeated_values``: ``file_row_number`` and ``rules``, those that reject the row.
        contracts: Contract per source.

    Returns:
        One entry per rule and source with rows, by source and name.
    """
    connection.execute("CREATE TEMP TABLE repeats (file_row_number BIGINT, rule VARCHAR, is_rejected BOOLEAN)")
    present = [name for (name,) in connection.execute("SELECT DISTINCT source FROM judged ORDER BY 1").fetchall()]
    counts = [
        _repeated(connection, contracts[source], contracts, name, rule)
        for source in present
        for name, rule in sorted(unique_rules(contracts[source]).items())
    ]
    connection.execute(
        """CREATE TEMP TABLE repeated_values AS
        SELECT file_row_number, list(rule ORDER BY rule) AS rules FROM repeats WHERE is_rejected GROUP BY file_row_number"""
    )
    return counts


def _repeated(
    connection: duckdb.DuckDBPyConnection,
    contract: SourceContract,
    contracts: Mapping[str, SourceContract],
    name: str,
    rule: Expectation,
) -> RuleCount:
    kept = f"(SELECT * FROM ({kept_events(contracts)}) WHERE source = {sql_literal(contract.source)})"
    order = [part.strip() for part in VALIDATED_EVENTS.order_by.split(",")]
    columns = ("file_row_number", *_PLACE, *(part.split()[0] for part in order))
    values = expected_values(contract, [rule], kept, tuple(dict.fromkeys(columns)))
    compared = [f"value_{at}" for at in range(len(value_names([rule])))]
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE shared AS
        SELECT *, count(*) OVER same AS copies, row_number() OVER (same ORDER BY {VALIDATED_EVENTS.order_by}) AS place
        FROM ({values}) WHERE coalesce({", ".join(compared)}) IS NOT NULL
        WINDOW same AS (PARTITION BY CAST(event_timestamp AS DATE), {", ".join(compared)})"""
    )
    rows, filled, broken = connection.execute(
        f"""SELECT (SELECT count(*) FROM {kept}), count(*), count(*) FILTER (copies > 1) FROM shared"""
    ).fetchall()[0]
    connection.execute(
        "INSERT INTO repeats SELECT file_row_number, $name, $blocks AND place > 1 FROM shared WHERE copies > 1",
        {"name": name, "blocks": rule.blocks},
    )
    shown = connection.execute(
        f"""SELECT source_file, source_row, concat_ws(', ', {", ".join(compared)}) FROM shared WHERE copies > 1
        ORDER BY 3, place LIMIT {MAX_EXAMPLES}"""
    ).fetchall()
    examples = [bounded(f"file {file[:8]} row {row}: {text}", MAX_EXAMPLE_CHARACTERS) for file, row, text in shown]
    return RuleCount(contract.source, name, rule, rows, filled, broken, examples)


def settle(
    connection: duckdb.DuckDBPyConnection,
    mapped: Path,
    rejections: Path,
    contracts: Mapping[str, SourceContract],
    unjudged: Mapping[tuple[str, str], int] | None = None,
) -> ContractRules:
    """Judge rows by the rules of their contracts, beside what the platform's own rules rejected.

    Args:
        connection: Gets what ``event_order.kept_events`` reads, the tables of `find_repeated_values`, and the view
            ``settled``: the mapped rows with ``file_row_number`` and ``rules``, the names of the rules that reject a
            row, NULL for valid rows. Of ``losers`` each is a valid row that repeats an event of its day.
        mapped: Parquet with the columns of ``events.parsing.mapping_query``.
        rejections: What ``row_judgement.judge_rows`` wrote; further files are written beside it.
        contracts: Contract per source.
        unjudged: See `judge_contracts`.
    """
    by_contracts, merged = rejections.with_suffix(".contracts"), rejections.with_suffix(".merged")
    judged = judge_contracts(connection, mapped, contracts, by_contracts, unjudged or {})
    rejected = merge_rejections(connection, [rejections, by_contracts], merged)
    rows = duck.parquet(connection, [mapped], has_row_numbers=True)
    connection.execute(
        f"""
        CREATE TEMP VIEW judged AS
            SELECT m.*, r.rules FROM {rows} m
            LEFT JOIN {duck.parquet(connection, [rejected])} r ON r.position = m.file_row_number;
        CREATE TEMP TABLE repeated_ids AS
            SELECT event_id, min({{'source_row': source_row, 'source_file': source_file}}) AS first_copy
            FROM judged WHERE rules IS NULL GROUP BY event_id HAVING count(*) > 1;
        CREATE TEMP TABLE losers AS
            WITH ranked AS (
                SELECT file_row_number, source_file, source_row,
                    row_number() OVER ranking AS rank,
                    first_value(source_file) OVER ranking AS kept_source_file,
                    first_value(source_row) OVER ranking AS kept_source_row
                FROM judged SEMI JOIN repeated_ids USING (event_id)
                WHERE rules IS NULL
                WINDOW ranking AS (
                    PARTITION BY event_id, CAST(event_timestamp AS DATE)
                    ORDER BY schema_version DESC, source_file, source_row
                )
            )
            SELECT file_row_number, kept_source_file, kept_source_row FROM ranked WHERE rank > 1;
        """
    )
    repeated = find_repeated_values(connection, contracts)
    connection.execute(
        """CREATE TEMP VIEW settled AS
        SELECT j.* REPLACE (coalesce(j.rules, r.rules) AS rules)
        FROM judged j LEFT JOIN repeated_values r USING (file_row_number)"""
    )
    return ContractRules((*judged, *repeated))


def merge_rejections(connection: duckdb.DuckDBPyConnection, parts: Sequence[Path], target: Path) -> Path:
    """Write the rejections of several judgements as one, the names of the first before those of the second."""
    listed = " UNION ALL ".join(
        f"SELECT {sql_literal(at)} AS part, * FROM {duck.parquet(connection, [part])}" for at, part in enumerate(parts)
    )
    query = f"SELECT position, flatten(list(rules ORDER BY part)) AS rules FROM ({listed}) GROUP BY 1 ORDER BY 1"
    duck.write_parquet(connection, query, target, duck.TEMPORARY)
    return target

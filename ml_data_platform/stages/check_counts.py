"""Counting what a dry run mapped and rejected.

Belongs here: the queries behind a check report. Does not belong here: the dry run itself (``source_check``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from ml_data_platform.errors import bounded
from ml_data_platform.events.check_report import BrokenRule, DayCounts, FieldCounts, TypeCounts, UndatedRows
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.ids import ANONYMOUS_PREFIX
from ml_data_platform.events.landed_paths import landed_text
from ml_data_platform.events.masking_plan import ROW_KEY
from ml_data_platform.events.schemas import EVENT_TYPES
from ml_data_platform.events.sql_text import sql_identifier, sql_literal
from ml_data_platform.stages.contract_findings import ContractRules
from ml_data_platform.stages.event_order import unstated_order
from ml_data_platform.storage import duck
from ml_data_platform.validation.outcomes import is_within_tolerance
from ml_data_platform.validation.rules import Rule

MAX_EXAMPLES = 3
MAX_TIMES = 400
MAX_TYPES = 100
MAX_SHOWN = 60
ROWS_TO_JUDGE_A_TYPE = 30
PROVENANCE = frozenset({"attributes", "source", "schema_version", "source_file", "source_row"})


def open_views(engine: duckdb.DuckDBPyConnection) -> None:
    """Make the view ``checked`` of what ``contract_rules.settle`` left: rows with their broken rules and their day."""
    engine.execute(
        """CREATE VIEW checked AS
        SELECT s.*, CAST(s.event_time AS DATE) AS day, l.file_row_number IS NOT NULL AS is_duplicate
        FROM settled s LEFT JOIN losers l USING (file_row_number)"""
    )


def undated_rows(engine: duckdb.DuckDBPyConnection, fragment: Path) -> dict[str, UndatedRows]:
    """Return per reason, most rows first, the rows of a fragment of UNDATED_ROWS."""
    rows = duck.parquet(engine, [fragment])
    counts = engine.execute(f"SELECT reason, count(*) FROM {rows} GROUP BY 1 ORDER BY 2 DESC, 1").fetchall()
    found = {}
    for reason, count in counts:
        these, bound = f"{rows} WHERE reason = $reason", {"reason": reason}
        examples = engine.execute(
            f"""SELECT source_row, coalesce(event_time_landed, landed) FROM {these} ORDER BY source_row
            LIMIT {MAX_EXAMPLES}""",
            bound,
        ).fetchall()
        times = engine.execute(
            f"""SELECT DISTINCT event_time_landed FROM {these} AND event_time_landed IS NOT NULL
            ORDER BY 1 LIMIT {MAX_TIMES}""",
            bound,
        ).fetchall()
        shown = tuple(f"row {number}: {bounded(text, MAX_SHOWN)}" for number, text in examples)
        found[reason] = UndatedRows(count, shown, tuple(text for (text,) in times))
    return found


def day_counts(
    engine: duckdb.DuckDBPyConnection, rules: Mapping[str, Rule], expected: ContractRules
) -> dict[Any, DayCounts]:
    """Return per UTC day, in order, what would become of its rows.

    Args:
        engine: With the view ``checked``.
        rules: Rules of ``validated_events`` and of the contract by name, tolerances as they are set.
        expected: What the rules of the contract found.
    """
    share, of_type = rules["rejected_share_is_within_tolerance"], rules["each_event_type_is_mostly_valid"]
    broken: dict[Any, dict[str, int]] = {}
    for day, name, count in engine.execute(
        """SELECT day, rule, count(*) FROM (
            SELECT day, unnest(rules) AS rule FROM checked ANTI JOIN repeated_values USING (file_row_number)
            UNION ALL SELECT day, rule FROM checked JOIN repeats USING (file_row_number)) GROUP BY ALL"""
    ).fetchall():
        broken.setdefault(day, {})[name] = count
    worst = dict(
        engine.execute(
            f"""SELECT day, max(share) FROM (
                SELECT day, count(*) FILTER (NOT list_has_all($tolerant, coalesce(rules, []))) / count(*) AS share
                FROM checked WHERE event_type IS NOT NULL
                GROUP BY day, event_type HAVING count(*) >= {ROWS_TO_JUDGE_A_TYPE})
            GROUP BY day""",
            {"tolerant": list(expected.tolerant(of_type.tolerance))},
        ).fetchall()
    )
    found = {}
    for day, landed, rejected, duplicates, counted in engine.execute(
        """SELECT day, count(*), count(*) FILTER (rules IS NOT NULL), count(*) FILTER (is_duplicate),
            count(*) FILTER (NOT list_has_all($tolerant, coalesce(rules, [])))
        FROM checked GROUP BY day ORDER BY day""",
        {"tolerant": list(expected.tolerant(share.tolerance))},
    ).fetchall():
        failed = [
            name
            for name, count in sorted(broken.get(day, {}).items())
            if rules[name].blocking and not is_within_tolerance(count, landed, rules[name].tolerance)
        ]
        if share.blocking and not is_within_tolerance(counted, landed, share.tolerance):
            failed.append(share.name)
        if of_type.blocking and worst.get(day, 0.0) > of_type.tolerance:
            failed.append(of_type.name)
        valid = landed - rejected - duplicates
        found[day] = DayCounts(landed, valid, rejected, duplicates, tuple(failed))
    return found


def version_counts(engine: duckdb.DuckDBPyConnection) -> dict[int, int]:
    """Return the rows per schema version."""
    return dict(engine.execute("SELECT schema_version, count(*) FROM checked GROUP BY 1 ORDER BY 1").fetchall())


def field_counts(engine: duckdb.DuckDBPyConnection, contract: SourceContract) -> dict[str, FieldCounts]:
    """Return per canonical column how it would be filled."""
    columns: dict[str, list[str]] = {name: [] for name in contract.registry.canonical_types}
    for version in version_counts(engine):
        for name, column in contract.registry.canonical_columns(version).items():
            columns[column] += [
                each for each in contract.field_columns(version).get(name, ()) if each not in columns[column]
            ]
    known = [row[0] for row in engine.execute("DESCRIBE checked").fetchall()]
    found = {}
    for name, landed_columns in columns.items():
        unreadable = f"unreadable_{name}"
        has_report = unreadable in known
        bad = sql_identifier(unreadable) if has_report else "CAST(NULL AS VARCHAR)"
        filled, wrong = engine.execute(f"SELECT count({sql_identifier(name)}), count({bad}) FROM checked").fetchall()[0]
        texts = [landed_text(each, is_flat=contract.is_flat) for each in landed_columns]
        examples = _first(engine, f"coalesce({', '.join(texts)})") if texts else ()
        found[name] = FieldCounts(tuple(landed_columns), filled, wrong, examples, _first(engine, bad))
    return found


def type_counts(engine: duckdb.DuckDBPyConnection, contract: SourceContract) -> dict[str, TypeCounts]:
    """Return the landed event types, most rows first."""
    columns = {
        landed[name]
        for version in contract.versions
        for name, column in contract.registry.canonical_columns(version).items()
        if column == "event_type" and name in (landed := contract.fields(version))
    }
    if not columns:
        return {}
    texts = ", ".join(landed_text(name, is_flat=contract.is_flat) for name in columns)
    rows = engine.execute(
        f"""SELECT coalesce({texts}, '') AS landed_type, event_type, count(*) FROM checked
        GROUP BY 1, 2 ORDER BY 3 DESC, 1 LIMIT {MAX_TYPES}"""
    ).fetchall()
    return {
        bounded(landed): TypeCounts(count, becomes if becomes in EVENT_TYPES else None)
        for landed, becomes, count in rows
    }


def broken_rules(engine: duckdb.DuckDBPyConnection, rules: Mapping[str, Rule]) -> dict[str, BrokenRule]:
    """Return the row rules that rows break, most rows first."""
    counts = engine.execute(
        "SELECT rule, count(*) FROM (SELECT unnest(rules) AS rule FROM checked) GROUP BY 1 ORDER BY 2 DESC, 1"
    ).fetchall()
    found = {}
    for name, count in counts:
        if name not in rules:
            continue
        columns = ", ".join(f"CAST({sql_identifier(column)} AS VARCHAR)" for column in rules[name].columns)
        examples = engine.execute(
            f"""SELECT source_row, concat_ws(', ', {columns}) FROM checked
            WHERE list_contains(rules, $rule) ORDER BY source_row LIMIT {MAX_EXAMPLES}""",
            {"rule": name},
        ).fetchall()
        shown = tuple(f"row {number}: {bounded(text, MAX_SHOWN) or 'nothing'}" for number, text in examples)
        found[name] = BrokenRule(rules[name].description, count, shown)
    return found


def broken_contract_rules(expected: ContractRules) -> dict[str, BrokenRule]:
    """Return the rules of the contract that rows break, or that could judge no row, most rows first."""
    told = [count for count in expected.counts if count.broken or count.lack]
    return {
        count.name: BrokenRule(
            f"{count.rule.expectation} of {', '.join(count.rule.columns)}",
            count.broken,
            tuple(each.removeprefix("file the file ") for each in count.examples[:MAX_EXAMPLES]) or (count.lack,),
            is_warning=not count.rule.blocks,
        )
        for count in sorted(told, key=lambda count: (-count.broken, count.name))
    }


def unknown_columns(engine: duckdb.DuckDBPyConnection, contract: SourceContract) -> dict[str, int]:
    """Return top-level landed columns that the contract does not name, and their rows; most rows first."""
    return dict(
        engine.execute(
            """SELECT name, count(*) FROM (SELECT unnest(json_keys(landed)) AS name FROM checked)
            WHERE NOT list_contains($known, name) GROUP BY 1 ORDER BY 2 DESC, 1""",
            {"known": sorted({*contract.known_columns, ROW_KEY})},
        ).fetchall()
    )


def shared_sessions(engine: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Return the number of sessions that hold several users, and of all sessions."""
    is_known = f"NOT starts_with(user_id, {sql_literal(ANONYMOUS_PREFIX)})"
    found = engine.execute(
        f"""SELECT count(*) FILTER (users > 1), count(*) FROM (
            SELECT count(DISTINCT user_id) FILTER ({is_known}) AS users FROM checked WHERE session_uuid IS NOT NULL GROUP BY session_uuid)"""
    ).fetchall()[0]
    return found[0], found[1]


def unordered_rows(engine: duckdb.DuckDBPyConnection, contract: SourceContract) -> dict[str, int]:
    """Return the rows that share session and instant with others in an order nobody stated, by why, most rows first.

    Args:
        engine: With what ``contract_rules.settle`` left of one file.
        contract: The contract that is tried.
    """
    unstated_order(engine, {contract.source: contract})
    counts = engine.execute(
        "SELECT reason, sum(of_rows)::BIGINT FROM unstated GROUP BY 1 ORDER BY 2 DESC, 1"
    ).fetchall()
    return dict(counts)


def _first(engine: duckdb.DuckDBPyConnection, text: str) -> tuple[str, ...]:
    """Some different texts in the order in which rows have them first."""
    rows = engine.execute(
        f"""SELECT found FROM (SELECT {text} AS found, min(source_row) AS first FROM checked GROUP BY 1)
        WHERE found IS NOT NULL ORDER BY first LIMIT {MAX_EXAMPLES}"""
    ).fetchall()
    return tuple(bounded(found, MAX_SHOWN) for (found,) in rows)

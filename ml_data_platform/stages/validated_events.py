"""validated_events and quarantined_events: one schema, typed, valid and deduplicated; the rest with its reasons.

Belongs here: mapping, judging and deduplicating the raw rows of one day. Does not belong here: what a rule
says (``validation.suites``) or how a column is mapped (``events.parsing``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from ml_data_platform.events import ids
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.lateness import end_of_day, start_of_day
from ml_data_platform.events.parsing import mapping_query, member_names_query
from ml_data_platform.events.schemas import EVENT_TYPES, QUARANTINED_EVENTS, VALIDATED_EVENTS
from ml_data_platform.events.sql_text import sql_identifier, sql_instant, sql_literal
from ml_data_platform.stages.contract_findings import ContractRules
from ml_data_platform.stages.contract_rules import settle
from ml_data_platform.stages.event_order import kept_events, unstated_order
from ml_data_platform.stages.field_profiles import FEW, PROFILE, Profiles, declared_shares, profile_fields, unusual_on
from ml_data_platform.stages.id_findings import find_in_ids
from ml_data_platform.stages.rejected_rows import rejected_rows
from ml_data_platform.stages.repeated_ids import differing_duplicates
from ml_data_platform.stages.result import EngineLimits, SourceShares, StageResult, most_unusual_ratio
from ml_data_platform.stages.row_judgement import judge_rows
from ml_data_platform.stages.single_table import expected_generation, finish
from ml_data_platform.stages.source_history import SourceHistory
from ml_data_platform.stages.verdicts import verdict_of
from ml_data_platform.storage import duck
from ml_data_platform.storage.parquet import copy_options
from ml_data_platform.storage.table_store import PartitionRef, TableStore
from ml_data_platform.validation.outcomes import ROWS_TO_EXCEED_A_SHARE, CheckOutcome
from ml_data_platform.validation.rules import Rule
from ml_data_platform.validation.runner import check_metrics
from ml_data_platform.validation.table_rules import (
    CONTRACT_RULES_HOLD,
    NEARLY_ALL_VALID,
    REJECTED_SHARE,
    WARNING_RULES_HOLD,
)

CODE_VERSION = "3"
ROWS_TO_JUDGE_A_TYPE = 30
REJECTED, DUPLICATE = QUARANTINED_EVENTS.files
BY_TYPE = "each_event_type_is_mostly_valid"
SHOW_FINDINGS = {CONTRACT_RULES_HOLD: True, WARNING_RULES_HOLD: False}


def build(
    day: dt.date,
    raw: PartitionRef,
    *,
    contracts: Mapping[str, SourceContract],
    id_key: ids.IdKey,
    store: TableStore,
    scratch: Path,
    inputs: Mapping[str, str],
    engine: EngineLimits,
    rules: Sequence[Rule],
    quarantine_rules: Sequence[Rule],
    history: SourceHistory,
    profiles: Mapping[dt.date, Profiles],
    unjudged: Mapping[tuple[str, str], int] | None = None,
) -> StageResult:
    """Judge every raw row of one day.

    Validity first, then duplicates: of the valid rows with one ``event_id`` the winner is the one with the highest
    schema version, then the smallest source file, then the smallest source row, whatever landed first.

    Args:
        day: UTC day.
        raw: ``raw_events`` of the day.
        contracts: Contract per source.
        id_key: Key of the pseudonyms.
        store: Where the tables are staged.
        scratch: Private folder for temporary files.
        inputs: What the tables are built from, as planned.
        engine: Bounds of the query engine.
        rules: Row and table rules of ``validated_events``.
        quarantine_rules: Table rules of ``quarantined_events``.
        history: Source to its published rows per earlier day; days without rows of it are absent.
        profiles: Earlier day to what its fields held, for a warning; nothing that is published depends on it.
        unjudged: Source and rule of its contract to rows that were masked before the rule was as it is.

    Returns:
        ``validated_events`` unless a blocking check failed; ``quarantined_events`` always.
    """
    generation = expected_generation(store, VALIDATED_EVENTS, day)
    quarantine_generation = expected_generation(store, QUARANTINED_EVENTS, day)
    mapped, published = scratch / "mapped.parquet", scratch / "validated.parquet"
    by_platform = scratch / "rejections.parquet"
    quarantine = {REJECTED: scratch / "rejected.parquet", DUPLICATE: scratch / "duplicate.parquet"}
    with duck.connect(scratch, **engine.options(store)) as connection:
        _map(connection, raw, contracts, id_key, mapped)
        row_checks = judge_rows(mapped, [rule for rule in rules if rule.scope == "row"], by_platform)
        expected = settle(connection, mapped, by_platform, contracts, unjudged)
        _split(connection, published, quarantine, contracts=contracts)
        tolerant = {rule.name: expected.tolerant(rule.tolerance) for rule in rules if rule.tolerance_kind == "limit"}
        counts, metrics = _measure(connection, day, raw.rows(), published, quarantine, tolerant=tolerant)
        rejected, duplicate, rows = _by_source(connection, mapped, published, quarantine, tolerant)
        lost = rejected_rows(connection, tolerant.get(NEARLY_ALL_VALID, ()))
        differing = differing_duplicates(connection)
        unstated = unstated_order(connection, contracts)
        fields = profile_fields(connection, contracts)
        declared = declared_shares(connection, contracts, fields)
        of_ids = find_in_ids(connection, published)
    metrics |= of_ids.metrics
    order = SourceShares(rows, unstated.rows)
    metrics["unstated_order_share"] = order.largest
    metrics["differing_duplicates"] = differing.events
    is_strict = any(rule.name == REJECTED_SHARE and rule.tolerance == 0 for rule in rules)
    metrics["rejected_share"] = rejected.largest_of(1 if is_strict else ROWS_TO_EXCEED_A_SHARE)
    metrics["rejected_share_or_whole_event_type"] = lost.largest
    metrics["broken_contract_rules"] = len(expected.broken(blocking=True))
    metrics["broken_warning_rules"] = len(expected.broken(blocking=False))
    metrics["duplicate_share"] = duplicate.largest
    examples = {
        **of_ids.examples,
        "differing_duplicates": differing.examples,
        "rejected_share": rejected.lines,
        "rejected_share_or_whole_event_type": lost.lines,
        "broken_contract_rules": tuple(count.line for count in expected.broken(blocking=True)),
        "broken_warning_rules": tuple(count.line for count in expected.broken(blocking=False)),
        "duplicate_share": duplicate.lines,
        "unstated_order_share": (*order.lines[:1], *unstated.examples),
    }
    unusual = (*unusual_on(day, fields, profiles), *declared.few)
    metrics["unusual_fields"], examples["unusual_fields"] = len(unusual), unusual
    metrics["declared_fields_not_filled"], examples["declared_fields_not_filled"] = declared.missed, declared.lines
    ratio, volumes = most_unusual_ratio(day, rows, history)
    metrics["row_count_ratio_to_previous_7_days"] = ratio
    examples["row_count_ratio_to_previous_7_days"] = volumes
    checks = (
        *row_checks,
        *check_metrics([rule for rule in rules if rule.scope == "table"], metrics, examples),
        *check_metrics(quarantine_rules, metrics),
    )
    checks = tuple(_with_findings(check, expected) for check in checks)
    quarantined = store.stage(
        QUARANTINED_EVENTS,
        day,
        quarantine,
        inputs=inputs,
        code_version=CODE_VERSION,
        expected_generation=quarantine_generation,
        verdict=verdict_of(
            checks,
            {
                **({FEW: list(declared.few)} if declared.few else {}),
                PROFILE: {source: profile.to_json() for source, profile in fields.items()},
            },
        ),
    )
    result = finish(
        VALIDATED_EVENTS,
        day,
        {"data.parquet": published},
        store=store,
        generation=generation,
        inputs=inputs,
        code_version=CODE_VERSION,
        checks=checks,
        facts={**counts, "rows_of_unstated_order": sum(unstated.rows.values())},
        is_judged_elsewhere=True,
    )
    return StageResult(
        {QUARANTINED_EVENTS.name: quarantined, **result.tables},
        checks,
        {**result.metadata, QUARANTINED_EVENTS.name: counts},
    )


def _with_findings(check: CheckOutcome, found: ContractRules) -> CheckOutcome:
    """Return the check with a line per rule of a contract beside it, where it is about those."""
    if check.name not in SHOW_FINDINGS:
        return check
    return replace(check, table=tuple(count.to_json() for count in found.of(blocking=SHOW_FINDINGS[check.name])))


def _map(
    connection: duckdb.DuckDBPyConnection,
    raw: PartitionRef,
    contracts: Mapping[str, SourceContract],
    id_key: ids.IdKey,
    target: Path,
) -> None:
    """Write the validation frame of all raw rows: canonical columns and what could not be read."""
    connection.execute(f"CREATE TEMP VIEW raw AS SELECT * FROM {duck.parquet(connection, raw.paths())}")
    found = [row[0] for row in connection.execute("SELECT DISTINCT source FROM raw ORDER BY source").fetchall()]
    present = {source: contracts[source] for source in found} or dict(sorted(contracts.items())[:1])
    ids.bind_id_key(connection, id_key)
    query = mapping_query(present, "raw", _names(connection, present))
    duck.write_parquet(connection, query, target, duck.TEMPORARY)


def _names(
    connection: duckdb.DuckDBPyConnection, contracts: Mapping[str, SourceContract]
) -> dict[str, list[str]] | None:
    """Return the names of the members of the day's rows, of sources whose rows are identified by all of them."""
    query = member_names_query(contracts, "raw")
    if query is None:
        return None
    names: dict[str, list[str]] = {}
    for source, name in connection.execute(query).fetchall():
        names.setdefault(source, []).append(name)
    return names


def _split(
    connection: duckdb.DuckDBPyConnection,
    published: Path,
    quarantine: Mapping[str, Path],
    *,
    contracts: Mapping[str, SourceContract],
) -> None:
    """Write published, rejected and duplicate rows; each mapped row goes to exactly one of them."""
    columns = ", ".join(sql_identifier(name) for name in VALIDATED_EVENTS.columns.names)
    queries = {
        published: f"""SELECT {columns} FROM ({kept_events(contracts)})
            ANTI JOIN repeated_values USING (file_row_number) ORDER BY {VALIDATED_EVENTS.order_by}""",
        quarantine[REJECTED]: f"""SELECT {_quarantine_columns("rules", "NULL", "NULL")} FROM settled j
            WHERE rules IS NOT NULL ORDER BY {QUARANTINED_EVENTS.order_by}""",
        quarantine[DUPLICATE]: f"""
            SELECT {_quarantine_columns("['event_ids_are_unique']", "kept_source_file", "kept_source_row")}
            FROM judged j JOIN losers USING (file_row_number) ORDER BY {QUARANTINED_EVENTS.order_by}""",
    }
    for path, query in queries.items():
        table = VALIDATED_EVENTS if path is published else QUARANTINED_EVENTS
        duck.write_parquet(connection, query, path, copy_options(table))


def _quarantine_columns(rules: str, kept_source_file: str, kept_source_row: str) -> str:
    return f"""j.source, j.source_file, j.source_row, j.event_time, j.schema_version, j.event_id,
        {rules} AS rules, {kept_source_file}::VARCHAR AS kept_source_file,
        {kept_source_row}::BIGINT AS kept_source_row, j.landed"""


def _measure(
    connection: duckdb.DuckDBPyConnection,
    day: dt.date,
    raw_rows: int,
    published: Path,
    quarantine: Mapping[str, Path],
    *,
    tolerant: Mapping[str, Sequence[str]],
) -> tuple[dict[str, int], dict[str, int | float | None]]:
    """Count what was written, from the written files: row counts, and the metrics of the table rules."""
    found = connection.execute(
        f"""SELECT count(*), count(*) - count(DISTINCT event_id),
            count(*) FILTER (event_timestamp < {sql_instant(start_of_day(day))}
                OR event_timestamp >= {sql_instant(end_of_day(day))})
            FROM {duck.parquet(connection, [published])}"""
    ).fetchall()[0]
    known_types = ", ".join(sql_literal(name) for name in EVENT_TYPES)
    by_type = connection.execute(
        f"""SELECT max(share) FROM (
            SELECT count(*) FILTER (NOT list_has_all($tolerant, coalesce(rules, []))) / count(*) AS share
            FROM settled WHERE event_type IN ({known_types}) GROUP BY source, event_type HAVING count(*) >= {ROWS_TO_JUDGE_A_TYPE})""",
        {"tolerant": list(tolerant.get(BY_TYPE, ()))},
    ).fetchall()[0]
    rejected = pq.read_metadata(quarantine[REJECTED]).num_rows
    duplicates = pq.read_metadata(quarantine[DUPLICATE]).num_rows
    counts = {
        "raw_rows": raw_rows,
        "published_rows": found[0],
        "duplicate_rows": duplicates,
        "rejected_rows": rejected,
    }
    return counts, {
        "duplicate_event_ids": found[1],
        "rows_outside_the_day": found[2],
        "unaccounted_rows": raw_rows - found[0] - duplicates - rejected,
        "largest_rejected_share_of_an_event_type": by_type[0],
    }


def _by_source(
    connection: duckdb.DuckDBPyConnection,
    mapped: Path,
    published: Path,
    quarantine: Mapping[str, Path],
    tolerant: Mapping[str, Sequence[str]],
) -> tuple[SourceShares, SourceShares, dict[str, int]]:
    """Return shares of rejected and of duplicate rows and published rows by source: a big source hides no small one."""

    def by_source(path: Path, condition: str = "TRUE", **bound: object) -> dict[str, int]:
        rows = duck.parquet(connection, [path])
        query = f"SELECT source, count(*) FROM {rows} WHERE {condition} GROUP BY 1"
        return dict(connection.execute(query, bound or None).fetchall())

    rows = by_source(mapped)
    counted = "NOT list_has_all($tolerant, rules)"
    rejected = by_source(quarantine[REJECTED], counted, tolerant=list(tolerant.get(REJECTED_SHARE, ())))
    duplicate = by_source(quarantine[DUPLICATE])
    return SourceShares(rows, rejected), SourceShares(rows, duplicate), by_source(published)

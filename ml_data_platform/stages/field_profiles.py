"""What is filled on a day, counted from its rows, kept with its verdict, and compared with the days before.

Belongs here: the queries, and reading what was kept. Does not belong here: when a difference is worth a warning
(``events.field_presence``).

The comparison is made from what stands in the log now, so that it does not depend on the order in which days are built.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import duckdb

from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.field_presence import (
    MAX_TEXTS,
    EventTypes,
    FieldProfile,
    SourceProfile,
    unusual_fields,
    unusual_types,
)
from ml_data_platform.events.id_texts import BLANKS, trimmed_sql
from ml_data_platform.events.landed_paths import landed_kind, landed_text
from ml_data_platform.events.lateness import ONE_DAY
from ml_data_platform.events.masking_plan import ROW_KEY
from ml_data_platform.events.schemas import QUARANTINED_EVENTS
from ml_data_platform.events.sql_text import json_pointer, present, sql_list, sql_literal
from ml_data_platform.stages.result import DAYS_OF_HISTORY
from ml_data_platform.storage.commit_log import LogRecord
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform.validation.outcomes import is_within_tolerance

PROFILE, FEW = "fields", "fields_empty_in_few_rows"
"""Keys of the verdict of ``quarantined_events``: the profiles, and the lines `DeclaredShares.few`."""
MAX_ROWS = 20_000
MAX_OTHER_COLUMNS, MAX_TEXT = 200, 60
Profiles = Mapping[str, SourceProfile]
_NUMBER = r"^\s*[+-]?(\d+([.,]\d+)?|[.,]\d+)([eE][+-]?\d+)?\s*$"


@dataclass(frozen=True)
class DeclaredShares:
    """How far the fields are filled of which contracts declare it.

    Attributes:
        missed: Declarations that do not hold.
        lines: One for each that does not hold.
        few: One for each that would not hold, if a row or two were enough to tell.
    """

    missed: int
    lines: tuple[str, ...]
    few: tuple[str, ...]


def profile_fields(
    connection: duckdb.DuckDBPyConnection, contracts: Mapping[str, SourceContract]
) -> dict[str, SourceProfile]:
    """Return the fields of each source of a day, of at most 20,000 of its valid rows.

    Args:
        connection: With the view ``judged``: mapped rows with the rules that they break, and ``file_row_number``.
        contracts: Source to contract.
    """
    rows = connection.execute(
        "SELECT source, count(*) FROM judged WHERE rules IS NULL GROUP BY 1 ORDER BY 1"
    ).fetchall()
    return {source: _profile(connection, contracts[source], count) for source, count in rows}


def _profile(connection: duckdb.DuckDBPyConnection, contract: SourceContract, count: int) -> SourceProfile:
    chosen = _chosen_rows(contract.source, math.ceil(count / MAX_ROWS))
    mapped = _mapped_columns(contract)
    taken = {name for columns in mapped.values() for column in columns for name in contract.top_names(column)}
    others = connection.execute(
        f"""SELECT DISTINCT name FROM (SELECT unnest(json_keys(landed)) AS name {chosen})
        WHERE NOT list_contains($taken, name) ORDER BY 1 LIMIT {MAX_OTHER_COLUMNS}""",
        {"taken": sorted(taken | {ROW_KEY})},
    ).fetchall()
    columns = mapped | {name: [name] for (name,) in others if name not in mapped}
    simple, other = _places(contract, mapped, [name for (name,) in others if name not in mapped])
    places = [*(name for name, _ in simple), *(name for name, _ in other)]
    (rows,) = connection.execute(f"SELECT count(*) {chosen}").fetchall()[0]
    kinds: dict[str, dict[str, int]] = {name: {} for name in columns}
    query = _kinds_query([path for _, path in simple], [column for _, column in other], chosen, contract)
    for place, kind, found in connection.execute(query).fetchall():
        of_field = kinds[places[place]]
        of_field[kind] = of_field.get(kind, 0) + found
    fields = {name: _field(found, rows, len(columns[name]) == 1) for name, found in kinds.items()}
    return SourceProfile(rows, fields, _event_types(connection, contract, mapped.get("event_type", ()), chosen))


def _event_types(
    connection: duckdb.DuckDBPyConnection, contract: SourceContract, columns: Sequence[str], relation: str
) -> EventTypes | None:
    """Return the event types of the rows that are looked at; none where no column has them."""
    if not columns:
        return None
    found = f"coalesce({', '.join(present(landed_text(column, is_flat=contract.is_flat)) for column in columns)}, NULL)"
    meant = contract.known_event_types
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE type_texts AS
        SELECT text, list_contains($known, text) OR list_contains($known, {trimmed_sql("text")}) AS is_known,
            count(*) AS rows FROM (SELECT {found} AS text {relation}) GROUP BY ALL""",
        {"known": list(meant)},
    )
    known: dict[str, int] = {}
    for text, rows in connection.execute("SELECT text, rows FROM type_texts WHERE is_known ORDER BY 1").fetchall():
        name = meant.get(text) or meant[text.strip(BLANKS)]
        known[name] = known.get(name, 0) + rows
    others = connection.execute(
        f"""SELECT coalesce(left(text, {MAX_TEXT}), '(nothing)') AS text, sum(rows)::BIGINT AS rows FROM type_texts
        WHERE is_known IS DISTINCT FROM true GROUP BY 1 ORDER BY rows DESC, text"""
    ).fetchall()
    return EventTypes(dict(sorted(known.items())), sum(rows for _, rows in others), dict(others[:MAX_TEXTS]))


def _chosen_rows(source: str, step: int) -> str:
    """Return where the rows that are looked at come from: one in ``step``, chosen by where it stands."""
    return (
        f"FROM judged WHERE rules IS NULL AND source = {sql_literal(source)} AND hash(file_row_number) % {step:d} = 0"
    )


def _mapped_columns(contract: SourceContract) -> dict[str, list[str]]:
    """Return canonical column, or field that has none, to the landed columns that it is read from, over all versions."""
    found: dict[str, list[str]] = {}
    for version in contract.versions:
        canonical = contract.registry.canonical_columns(version)
        for name, columns in contract.field_columns(version).items():
            known = found.setdefault(canonical.get(name, name), [])
            known += [column for column in columns if column not in known]
    return found


def _places(
    contract: SourceContract, mapped: Mapping[str, Sequence[str]], others: Iterable[str]
) -> tuple[list[tuple[str, tuple[str, ...]]], list[tuple[str, str]]]:
    """Return the fields that stand in one place only, with its path, and those that may stand in several, by column."""
    pairs = [(name, column) for name, columns in mapped.items() for column in columns]
    several = [pair for pair in pairs if len(contract.top_names(pair[1])) > 1]
    simple = [(name, contract.path(column)) for name, column in pairs if (name, column) not in several]
    return [*simple, *((name, (name,)) for name in others)], several


def _kinds_query(
    paths: Sequence[tuple[str, ...]], several: Sequence[str], relation: str, contract: SourceContract
) -> str:
    pointers = sql_list(sql_literal(json_pointer(path)) for path in paths)
    kinds, texts = f"json_type(landed, {pointers})", f"json_extract_string(landed, {pointers})"
    if several:
        more = sql_list(landed_kind(column, is_flat=contract.is_flat) for column in several)
        kinds = f"list_concat({kinds}, {more})"
        more_texts = sql_list(landed_text(column, is_flat=contract.is_flat) for column in several)
        texts = f"list_concat({texts}, {more_texts})"
    return f"""
        SELECT place, CASE
            WHEN kind IN ('OBJECT', 'ARRAY') THEN 'nested'
            WHEN kind = 'BOOLEAN' THEN 'boolean'
            WHEN kind <> 'VARCHAR' THEN 'number'
            WHEN regexp_matches(text, {sql_literal(_NUMBER)}) THEN 'number as text'
            ELSE 'text' END AS shape, count(*)
        FROM (SELECT unnest(range({len(paths) + len(several):d})) AS place, unnest({kinds}) AS kind,
            unnest({texts}) AS text {relation})
        WHERE kind <> 'NULL' AND trim(text) <> '' GROUP BY ALL"""


def _field(kinds: Mapping[str, int], rows: int, is_one_column: bool) -> FieldProfile:
    """Return what the values of a field are; of several columns that take turns no kind is told."""
    filled = min(sum(kinds.values()), rows)
    if not kinds or not is_one_column:
        return FieldProfile(filled)
    of_kind, kind = max((count, kind) for kind, count in kinds.items())
    return FieldProfile(filled, kind, of_kind)


def declared_shares(
    connection: duckdb.DuckDBPyConnection, contracts: Mapping[str, SourceContract], sources: Iterable[str]
) -> DeclaredShares:
    """Compare what contracts declare under ``filled`` with all valid rows of a day.

    Args:
        connection: With the view ``judged``.
        contracts: Source to contract.
        sources: The sources with rows on the day.
    """
    lines, few = [], []
    for contract in (contracts[source] for source in sorted(sources) if contracts[source].filled):
        mapped = _mapped_columns(contract)
        by_field = {name: contract.columns_of(name) for number in contract.versions for name in contract.fields(number)}
        for name, share in sorted(contract.filled.items()):
            columns = mapped.get(name) or by_field.get(name) or (name,)
            texts = ", ".join(present(landed_text(column, is_flat=contract.is_flat)) for column in columns)
            rows, filled = connection.execute(
                f"""SELECT count(*), count(coalesce({texts})) FROM judged
                WHERE rules IS NULL AND source = {sql_literal(contract.source)}"""
            ).fetchall()[0]
            allowed = float(1 - Decimal(repr(share)))
            line = f"{contract.source}: {name} is filled in {filled:,} of {rows:,} rows, declared {share:g}"
            if not is_within_tolerance(rows - filled, rows, allowed):
                lines.append(line)
            elif filled < share * rows:
                few.append(line)
    return DeclaredShares(len(lines), tuple(lines), tuple(few))


def profiles_of(head: LogRecord | None) -> Profiles | None:
    """Return the profiles that stand in a quarantine's record; None where its day was refused, or is older than they."""
    verdict = head.verdict if head is not None else None
    if not verdict or not verdict.get("is_published", True) or PROFILE not in verdict:
        return None
    return {source: SourceProfile.from_json(stored) for source, stored in verdict[PROFILE].items()}


def earlier_profiles(store: TableStore, day: dt.date) -> dict[dt.date, Profiles]:
    """Return the profiles of the published days among the 7 before a day."""
    days = [day - back * ONE_DAY for back in range(1, DAYS_OF_HISTORY + 1)]
    heads = store.objects.each(lambda of: store.head(QUARANTINED_EVENTS.name, of), days)
    found = {of: profiles_of(head) for of, head in zip(days, heads, strict=True)}
    return {of: profiles for of, profiles in found.items() if profiles is not None}


def unusual_on(day: dt.date, today: Profiles, before: Mapping[dt.date, Profiles]) -> tuple[str, ...]:
    """Return what is unusual about the fields and events of a day, against its days among the 7 before, by source."""
    days = [before[of] for back in range(1, DAYS_OF_HISTORY + 1) if (of := day - back * ONE_DAY) in before]
    return tuple(
        line
        for source, profile in sorted(today.items())
        for earlier in [[of[source] for of in days if source in of]]
        for line in (*unusual_fields(source, profile, earlier), *unusual_types(source, profile, earlier))
    )


def unusual_days(heads: Mapping[str, LogRecord]) -> dict[dt.date, tuple[str, ...]]:
    """Return what is unusual about the fields of each day that has profiles; nothing for most.

    Args:
        heads: Day to the newest generation of ``quarantined_events``.
    """
    known = {
        dt.date.fromisoformat(day): found for day, head in heads.items() if (found := profiles_of(head)) is not None
    }
    return {
        day: (*unusual_on(day, today, known), *((heads[day.isoformat()].verdict or {}).get(FEW, ())))
        for day, today in sorted(known.items())
    }

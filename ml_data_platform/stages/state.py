"""The state that planning sees: what is landed, published and configured.

Belongs here: the tables of the flow, and reading ledger and commit log into a planning state. Does not belong
here: deciding what is dirty (``events.planning``), or building it (``stages.flow``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from ml_data_platform.events.lateness import clock_watermark
from ml_data_platform.events.planning import (
    UPSTREAM,
    Head,
    State,
)
from ml_data_platform.events.schemas import QUARANTINED_EVENTS, RAW_EVENTS, VALIDATED_EVENTS, TableSchema
from ml_data_platform.features.catalog import (
    DATE_PARTITIONS,
    LABEL_PARTITIONS,
    SESSION_FEATURES,
    SESSION_SUMMARIES,
    STRATIFIED_PARTITIONS,
)
from ml_data_platform.stages import (
    date_partitions,
    label_partitions,
    raw_events,
    session_features,
    session_summaries,
    stratified_partitions,
    validated_events,
)
from ml_data_platform.stages.platform import Platform
from ml_data_platform.storage.commit_log import LogRecord
from ml_data_platform.storage.ledger import LedgerRecord
from ml_data_platform.storage.table_store import PartitionRef
from ml_data_platform.validation.rules import Rule, hash_rules, with_tolerances
from ml_data_platform.validation.suites import rules_for

CODE_VERSIONS: Mapping[str, str] = {
    "raw_events": raw_events.CODE_VERSION,
    "validated_events": validated_events.CODE_VERSION,
    "session_features": session_features.CODE_VERSION,
    "session_summaries": session_summaries.CODE_VERSION,
    "date_partitions": date_partitions.CODE_VERSION,
    "label_partitions": label_partitions.CODE_VERSION,
    "stratified_partitions": stratified_partitions.CODE_VERSION,
}
TABLES: Mapping[str, TableSchema] = {
    table.name: table
    for table in (
        RAW_EVENTS,
        VALIDATED_EVENTS,
        QUARANTINED_EVENTS,
        SESSION_FEATURES,
        SESSION_SUMMARIES,
        DATE_PARTITIONS,
        LABEL_PARTITIONS,
        STRATIFIED_PARTITIONS,
    )
}
"""Every table with daily partitions, in the order of the flow."""


def current_records(platform: Platform) -> tuple[LedgerRecord, ...]:
    """Return one ledger record per landed content and source: the one read under the present contract."""
    start_date = platform.settings.start_date
    routing = {source: contract.routing_hash(start_date) for source, contract in platform.contracts.items()}
    return tuple(platform.ledger.records(routing))


def asset_rules(platform: Platform, asset: str) -> tuple[Rule, ...]:
    """Return the rules of an asset, with the tolerances of this root."""
    rules = rules_for(asset)
    named = {rule.name for rule in rules}
    return with_tolerances(rules, {name: t for name, t in platform.settings.tolerances.items() if name in named})


def read_state(
    platform: Platform,
    records: Sequence[LedgerRecord] | None = None,
    pinned: Sequence[PartitionRef] = (),
    days: Sequence[dt.date] | None = None,
) -> State:
    """Read what planning needs.

    Args:
        platform: The opened root.
        records: Current ledger records, where they were read already.
        pinned: Upstream partitions that a run has pinned; they stand for what is published.
        days: Read only the generations of these days; all of them where not given.
    """
    records = current_records(platform) if records is None else records
    landed: dict[dt.date, dict[str, str]] = {}
    for record in records:
        for day in record.rows_per_day:
            key = f"landed_files/{record.source}/{record.sha256}"
            landed.setdefault(dt.date.fromisoformat(day), {})[key] = str(record.fragment)
    heads = {asset: _heads(platform, asset, days) for asset in UPSTREAM}
    for ref in pinned:
        for day, head in ref.days.items():
            heads[ref.asset].pop(dt.date.fromisoformat(day), None)
            if head is not None:
                heads[ref.asset][dt.date.fromisoformat(day)] = _as_head(head)
    now = platform.clock()
    return State(
        landed=landed,
        heads=heads,
        verdicts=_heads(platform, "quarantined_events", days),
        watermarks={
            source: clock_watermark(now, dt.timedelta(hours=contract.lateness.max_delay_hours))
            for source, contract in platform.contracts.items()
        },
        configuration={asset: _configuration(platform, asset) for asset in UPSTREAM},
        contracts={source: contract.content_hash for source, contract in platform.contracts.items()},
        today=now.astimezone(dt.UTC).date(),
    )


def _heads(platform: Platform, asset: str, days: Sequence[dt.date] | None) -> dict[dt.date, Head]:
    if days is None:
        return {dt.date.fromisoformat(day): _as_head(head) for day, head in platform.store.heads(asset).items()}
    found = {day: platform.store.head(asset, day) for day in days}
    return {day: _as_head(head) for day, head in found.items() if head is not None}


def _as_head(record: LogRecord) -> Head:
    is_published = record.verdict is None or bool(record.verdict["is_published"])
    return Head(record.content, record.inputs, record.generation, is_published)


def _configuration(platform: Platform, asset: str) -> dict[str, str]:
    configuration = {"code_version": CODE_VERSIONS[asset], "rules": hash_rules(asset_rules(platform, asset))}
    if asset == "validated_events":
        configuration["id_key"] = platform.id_key.key_id
    if asset == "stratified_partitions":
        configuration["fold_count"] = str(platform.settings.fold_count)
        configuration["fold_salt"] = platform.settings.fold_salt
    return configuration

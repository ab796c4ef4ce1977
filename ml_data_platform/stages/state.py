"""The state that planning sees: what is landed, published and configured.

Belongs here: the tables of the flow, and reading ledger and commit log into a planning state. Does not belong
here: deciding what is dirty (``events.planning``), or building it (``stages.flow``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from ml_data_platform.events.lateness import Arrival, source_watermark
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
from ml_data_platform.storage.decisions import UNDECIDED, applied
from ml_data_platform.storage.ledger import LedgerRecord
from ml_data_platform.storage.lost_files import lost_files, names_of_lost
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


_LANDED = "landed_files/"


def current_records(platform: Platform) -> tuple[LedgerRecord, ...]:
    """Return one ledger record per landed content and source whose rows count, as they count now.

    That is the record read under the present contract, with the rows that were admitted later on their days. Contents
    that were retracted are left out.
    """
    records = landed_records(platform)
    standings = {source: platform.ledger.decisions.standings(source) for source in {each.source for each in records}}
    standing = [(record, standings[record.source].get(record.sha256, UNDECIDED)) for record in records]
    return tuple(applied(record, decided) for record, decided in standing if not decided.is_retracted)


def landed_records(platform: Platform) -> tuple[LedgerRecord, ...]:
    """Return one ledger record per landed content and source, as landing wrote it, whatever was decided since."""
    return tuple(platform.ledger.records(platform.routing_hashes))


def read_watermarks(platform: Platform) -> dict[str, dt.datetime]:
    """Return source to watermark, aware; sources that have none yet are left out."""
    arrivals: dict[str, list[Arrival]] = {}
    if any(contract.lateness.watermark != "clock" for contract in platform.contracts.values()):
        # Also of retracted contents: that they came is a fact, and a watermark that went back would unsettle days.
        for record in landed_records(platform):
            arrivals.setdefault(record.source, []).append(_arrival(record))
    now = platform.clock()
    found = {
        source: source_watermark(contract.lateness, arrivals.get(source, ()), now)
        for source, contract in platform.contracts.items()
    }
    return {source: watermark for source, watermark in found.items() if watermark is not None}


def _arrival(record: LedgerRecord) -> Arrival:
    # Nothing of a rejected file is there, so it says of no event that it has arrived.
    stands_for_it = None if record.status == "rejected" else record.event_time or record.max_event_time
    return Arrival(
        record.name,
        dt.datetime.fromisoformat(record.ingested_at),
        dt.datetime.fromisoformat(stands_for_it) if stands_for_it else None,
        record.admission,
    )


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
        of_file = f"{record.source}/{record.sha256}"
        for day in record.rows_per_day:
            inputs = landed.setdefault(dt.date.fromisoformat(day), {})
            inputs[f"{_LANDED}{of_file}"] = str(record.fragment)
            if record.admission and record.admission.is_too_late(day):
                # Only a decision can have put them there.
                inputs[f"admitted/{of_file}"] = "replayed"
    heads = _heads(platform, [*UPSTREAM, QUARANTINED_EVENTS.name], days)
    verdicts = heads.pop(QUARANTINED_EVENTS.name)
    for ref in pinned:
        for day, head in ref.days.items():
            heads[ref.asset].pop(dt.date.fromisoformat(day), None)
            if head is not None:
                heads[ref.asset][dt.date.fromisoformat(day)] = _as_head(head)
    now = platform.clock()
    return State(
        lost=_lost(platform, records, heads["raw_events"]),
        landed=landed,
        heads=heads,
        verdicts=verdicts,
        watermarks=read_watermarks(platform),
        configuration={asset: _configuration(platform, asset) for asset in UPSTREAM},
        contracts={source: contract.content_hash for source, contract in platform.contracts.items()},
        broken_contracts=frozenset(platform.contracts.broken),
        accepted_features=platform.settings.accepted_features,
        lost_files=_lost_files(platform),
        today=now.astimezone(dt.UTC).date(),
    )


def _heads(platform: Platform, assets: Sequence[str], days: Sequence[dt.date] | None) -> dict[str, dict[dt.date, Head]]:
    """Return what is published, by asset and day; all is asked for at once, where it is far away."""
    if days is None:
        every = platform.store.log.heads_of(assets)
        return {
            asset: {dt.date.fromisoformat(day): _as_head(head) for day, head in found.items()}
            for asset, found in every.items()
        }
    wanted = [(asset, day) for asset in assets for day in days]
    heads: dict[str, dict[dt.date, Head]] = {asset: {} for asset in assets}
    read = platform.store.objects.each(lambda one: platform.store.head(*one), wanted)
    for (asset, day), head in zip(wanted, read, strict=True):
        if head is not None:
            heads[asset][day] = _as_head(head)
    return heads


def _lost(platform: Platform, records: Sequence[LedgerRecord], heads: Mapping[dt.date, Head]) -> dict[dt.date, str]:
    """Return by day, in words, the landed files that it was published from and that have no record, nor were retracted."""
    counted = {f"{record.source}/{record.sha256}" for record in records}
    gone = {
        day: [file for file in head.inputs if file.startswith(_LANDED) and file.removeprefix(_LANDED) not in counted]
        for day, head in heads.items()
    }
    named = {file.removeprefix(_LANDED) for files in gone.values() for file in files}
    if not named:
        return {}
    # Seldom: a file that does not count was retracted, or its record is gone.
    named -= {f"{record.source}/{record.sha256}" for record in landed_records(platform)}
    for source in {file.partition("/")[0] for file in named}:
        standings = platform.ledger.decisions.standings(source)
        named -= {f"{source}/{sha256}" for sha256, standing in standings.items() if standing.is_retracted}
    found = {day: sorted(named & {file.removeprefix(_LANDED) for file in files}) for day, files in gone.items()}
    return {day: _in_words(files) for day, files in found.items() if files}


def _in_words(lost: Sequence[str]) -> str:
    source, _, sha256 = lost[0].partition("/")
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    return f"the ledger has lost the record of {source}/{sha256[:12]}{more}, whose rows would be dropped: ml-data-platform verify --repair"


def _lost_files(platform: Platform) -> dict[tuple[str, dt.date], tuple[str, ...]]:
    """Return by asset and day the names of published files that are gone and marked as such."""
    found = {}
    for (asset, day), hashes in lost_files(platform.store.objects).items():
        head = platform.store.head(asset, day)
        names = names_of_lost(head, hashes) if head else ()
        if names:
            found[asset, dt.date.fromisoformat(day)] = names
    return found


def _as_head(record: LogRecord) -> Head:
    is_published = record.verdict is None or bool(record.verdict["is_published"])
    return Head(record.content, record.inputs, record.generation, is_published)


def _configuration(platform: Platform, asset: str) -> dict[str, str]:
    rules = [rule for rule in asset_rules(platform, asset) if not rule.is_about_arrival]
    configuration = {"code_version": CODE_VERSIONS[asset], "rules": hash_rules(rules)}
    if asset == "validated_events":
        configuration["id_key"] = platform.id_key_id
    if asset == "stratified_partitions":
        configuration["fold_count"] = str(platform.settings.fold_count)
        configuration["fold_salt"] = platform.settings.fold_salt
    return configuration

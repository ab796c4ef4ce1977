"""The flow: which stage builds which asset, and with what.

Belongs here: calling one stage with pinned inputs. Does not belong here: deciding what is dirty
(``events.planning``), reading the state (``stages.state``), or Dagster.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from ml_data_platform.errors import BlockedUpstreamError, ContractError, RecordError
from ml_data_platform.events.lateness import ONE_DAY
from ml_data_platform.events.planning import (
    READS_CONTRACTS,
    State,
    closed_gate,
    maturity,
    missing_upstream,
    refused_days,
    required_inputs,
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
from ml_data_platform.stages.day_lateness import NOTHING_LANDED, lateness_of_days
from ml_data_platform.stages.field_profiles import earlier_profiles
from ml_data_platform.stages.landed_files import restore_landed
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.result import EngineLimits, StageResult
from ml_data_platform.stages.rules_before_masking import unjudged_rows
from ml_data_platform.stages.source_history import landed_rows, published_rows
from ml_data_platform.stages.state import asset_rules, current_records, read_state
from ml_data_platform.storage.keys import USER_ID
from ml_data_platform.storage.ledger import LedgerRecord
from ml_data_platform.storage.table_store import PartitionRef, TableStore
from ml_data_platform.validation.rules import Rule


class Common(TypedDict):
    """What every stage takes beside its day and its upstream."""

    store: TableStore
    scratch: Path
    inputs: Mapping[str, str]
    engine: EngineLimits
    rules: Sequence[Rule]


@dataclass(frozen=True)
class Job:
    """One partition to build.

    Attributes:
        platform: The opened root.
        day: UTC day.
        refs: Upstream asset to pinned partitions.
        records: Current ledger records.
        state: The planning state of the day and its neighbours, upstream as pinned.
        common: What every stage takes.
    """

    platform: Platform
    day: dt.date
    refs: Mapping[str, PartitionRef]
    records: Sequence[LedgerRecord]
    state: State
    common: Common


def build(platform: Platform, asset: str, day: dt.date, refs: Mapping[str, PartitionRef], scratch: Path) -> StageResult:
    """Build one partition from pinned upstream partitions; publish nothing.

    Args:
        platform: The opened root.
        asset: Asset name.
        day: UTC day.
        refs: Upstream asset to pinned partitions.
        scratch: Private folder for temporary files.

    Raises:
        BlockedUpstreamError: A partition that is read has no published generation, and must not be taken as empty; or
            the checks that judge the same rows have not passed them.
        ContractError: Rows of a source whose contract is broken or gone are among the day's rows.
        SettingsError: User ids are to be made, and their key is lost, or another than the root's.
    """
    if asset == "validated_events":
        # Before its inputs are taken down: the key is one of them.
        platform.keys.require(USER_ID)
    records = current_records(platform)
    neighbours = [day + offset * ONE_DAY for offset in (-1, 0, 1)]
    state = read_state(platform, records, list(refs.values()), neighbours)
    _require_contracts(state, asset, day)
    _refuse_lost(state, asset, day)
    _refuse_blocked(state, asset, day)
    common = Common(
        store=platform.store,
        scratch=scratch,
        inputs=required_inputs(state, asset, day),
        engine=platform.engine,
        rules=asset_rules(platform, asset),
    )
    return _BUILDERS[asset](Job(platform, day, refs, records, state, common))


def _build_raw_events(job: Job) -> StageResult:
    landed = [record for record in job.records if job.day.isoformat() in record.rows_per_day]
    restore_landed(job.platform, landed)
    lateness = lateness_of_days(job.records, job.state.watermarks, job.platform.contracts, [job.day])
    return raw_events.build(
        job.day,
        landed,
        history=landed_rows(job.records),
        lateness=lateness.get(job.day, NOTHING_LANDED),
        **job.common,
    )


def _build_validated_events(job: Job) -> StageResult:
    return validated_events.build(
        job.day,
        job.refs["raw_events"],
        contracts=job.platform.contracts,
        id_key=job.platform.id_key,
        quarantine_rules=asset_rules(job.platform, "quarantined_events"),
        history=published_rows(job.platform, job.records, job.day, job.common["scratch"]),
        profiles=earlier_profiles(job.platform.store, job.day),
        unjudged=unjudged_rows(job.records, job.platform.contracts, job.day),
        **job.common,
    )


def _build_session_features(job: Job) -> StageResult:
    known = maturity(job.state, job.day)
    return session_features.build(job.day, job.refs["validated_events"], mature_through=known, **job.common)


def _build_session_summaries(job: Job) -> StageResult:
    return session_summaries.build(job.day, job.refs["validated_events"], **job.common)


def _build_date_partitions(job: Job) -> StageResult:
    return date_partitions.build(job.day, job.refs["session_features"], **job.common)


def _build_label_partitions(job: Job) -> StageResult:
    return label_partitions.build(job.day, job.refs["session_features"], **job.common)


def _build_stratified_partitions(job: Job) -> StageResult:
    settings = job.platform.settings
    return stratified_partitions.build(
        job.day,
        job.refs["session_features"],
        fold_count=settings.fold_count,
        fold_salt=settings.fold_salt,
        **job.common,
    )


_BUILDERS: Mapping[str, Callable[[Job], StageResult]] = {
    "raw_events": _build_raw_events,
    "validated_events": _build_validated_events,
    "session_features": _build_session_features,
    "session_summaries": _build_session_summaries,
    "date_partitions": _build_date_partitions,
    "label_partitions": _build_label_partitions,
    "stratified_partitions": _build_stratified_partitions,
}


def _refuse_lost(state: State, asset: str, day: dt.date) -> None:
    if asset == "raw_events" and day in state.lost:
        raise RecordError(state.lost[day], asset=asset, partition=day.isoformat())


def _refuse_blocked(state: State, asset: str, day: dt.date) -> None:
    missing = missing_upstream(state, asset, day)
    if missing:
        names = ", ".join(f"{upstream} of {of}" for upstream, of in missing)
        days = refused_days(state, asset, day) or sorted({of for _, of in missing})
        raise BlockedUpstreamError(
            f"{asset} reads {names}, which has no published generation",
            remedy="Build that first; where its checks are red, look at the day's quarantined_events.",
            asset=asset,
            partition=day.isoformat(),
            blocked_by=", ".join(map(str, days)),
        )
    gate = closed_gate(state, asset, day)
    if gate is not None:
        raise BlockedUpstreamError(
            f"{asset} holds the rows that {gate} holds, which is not published from what is there now",
            remedy=f"Build {gate} of the day with it, as backfill does; where its checks refuse the rows, all of these"
            " tables keep their last good generation.",
            asset=asset,
            partition=day.isoformat(),
            blocked_by=gate,
        )


def _require_contracts(state: State, asset: str, day: dt.date) -> None:
    lacking = state.lacking_contracts(day) if asset in READS_CONTRACTS else {}
    if lacking:
        raise ContractError(
            f"rows of {', '.join(lacking)} were landed, and their contract is {' or '.join(sorted(set(lacking.values())))}"
            " now: the day stays as it is",
            remedy="`ml-data-platform status` says what is wrong with it, and what to do.",
            asset=asset,
            partition=day.isoformat(),
            expected=", ".join(state.contracts),
        )

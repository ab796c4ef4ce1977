"""A dry run of a source contract on a file: the platform's own routing, mapping and rules, and nothing is kept.

Belongs here: running them in a temporary folder and counting. Does not belong here: what the counts mean
(``events.advice``), and landing a file for good (``landed_files``).
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from ml_data_platform.errors import LandingError
from ml_data_platform.events.check_report import CheckReport
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.file_changes import file_change, nearest_version
from ml_data_platform.events.ids import IdKey, bind_id_key
from ml_data_platform.events.parsing import mapping_query
from ml_data_platform.events.path_columns import path_values
from ml_data_platform.events.sql_text import sql_literal
from ml_data_platform.events.usable_rows import Level, judge_counts
from ml_data_platform.landing.lines import is_without_content
from ml_data_platform.landing.masked_files import is_masked_without_content, write_masked
from ml_data_platform.landing.masking import MaskingKeys
from ml_data_platform.landing.routing import RoutedFile, route_file
from ml_data_platform.landing.sampling import Sample, sample_file
from ml_data_platform.settings import Settings
from ml_data_platform.stages import check_counts
from ml_data_platform.stages.contract_findings import ContractRules
from ml_data_platform.stages.contract_rules import settle
from ml_data_platform.stages.landed_files import limits_of
from ml_data_platform.stages.row_judgement import judge_rows
from ml_data_platform.stages.rules_before_masking import broken_before_masking, row_rules
from ml_data_platform.storage import duck
from ml_data_platform.validation.rules import Rule, with_tolerances
from ml_data_platform.validation.suites import rules_for

ASSET = "validated_events"
# Ids are only counted here, and never shown: no key of a root is needed.
_NO_KEY = IdKey("dry run", b"dry run")


def check_source(
    path: Path, contract: SourceContract, settings: Settings, *, now: dt.datetime
) -> tuple[CheckReport, Sample | None]:
    """Say what would become of a file's rows.

    Args:
        path: A regular file.
        contract: The contract to try.
        settings: Those of the root that the file is meant for; nothing is written there.
        now: The present, aware.

    Returns:
        The report, and what the file looks like by itself; None where its own form cannot be recognised.

    Raises:
        SettingsError: Its rows are too large for ``memory_limit``.
        OSError: The file cannot be opened.
    """
    sample = _sample(path, contract)
    report = CheckReport(contract.source, str(path), "read")
    with tempfile.TemporaryDirectory(prefix="source-check-") as folder:
        try:
            kept = _masked(path, contract, settings, Path(folder)) if contract.pii is not None else path
            is_masked = kept is not path
            if is_masked_without_content(kept) if is_masked else is_without_content(path):
                return replace(report, status="empty"), sample
            routed = route_file(
                kept,
                contract,
                sha256="0" * 64,
                start_date=settings.start_date,
                latest=now + settings.max_future,
                folder=Path(folder),
                memory_limit=settings.memory_limit,
                threads=settings.threads,
                is_masked=is_masked,
                limits=limits_of(settings),
                path_values=path_values(str(path.absolute()), contract.named_columns),
            )
        except LandingError as refusal:
            report = replace(report, status="refused", refusal=str(refusal))
        else:
            report = _count(report, routed, contract, settings, Path(folder))
    if sample is not None:
        seen = max(report.versions, key=lambda number: report.versions[number], default=0)
        version = seen or nearest_version(contract, sample.profiles)
        report = replace(report, change=file_change(contract, version, sample.profiles))
    return report, sample


def _masked(path: Path, contract: SourceContract, settings: Settings, folder: Path) -> Path:
    """Mask a file as landing would: nothing of it that its contract does not keep is shown or written."""
    target = folder / "masked.parquet"
    write_masked(
        path,
        contract,
        MaskingKeys.throwaway(),
        target,
        judge=broken_before_masking(contract),
        limits=limits_of(settings),
        path_values=path_values(str(path.absolute()), contract.named_columns),
    )
    return target


def _sample(path: Path, contract: SourceContract) -> Sample | None:
    try:
        return sample_file(path, contract=contract)
    except LandingError:
        return None


def _count(
    report: CheckReport, routed: RoutedFile, contract: SourceContract, settings: Settings, folder: Path
) -> CheckReport:
    account = routed.account
    report = replace(report, rows=account.rows, first=account.first, last=account.last)
    if not account.rows:
        return replace(report, status="header_only")
    level = judge_counts(account.rows, account.undated, contract.unusable_rows)
    report = replace(report, is_red=level is Level.RED)
    with duck.connect(folder, memory_limit=settings.memory_limit, threads=settings.threads) as engine:
        if routed.undated_fragment is not None:
            report = replace(report, undated=check_counts.undated_rows(engine, routed.undated_fragment.path))
        if routed.fragment is None:
            return report
        mapped, rejections = folder / "mapped.parquet", folder / "rejections.parquet"
        _map(engine, routed.fragment.path, contract, mapped)
        names = {rule.name for rule in rules_for(ASSET)}
        tolerances = {name: share for name, share in settings.tolerances.items() if name in names}
        rules = with_tolerances(rules_for(ASSET), tolerances)
        judge_rows(mapped, [rule for rule in rules if rule.scope == "row"], rejections)
        expected = settle(engine, mapped, rejections, {contract.source: contract})
        check_counts.open_views(engine)
        return _counted(report, engine, contract, rules, expected)


def _map(engine: duckdb.DuckDBPyConnection, fragment: Path, contract: SourceContract, target: Path) -> None:
    rows = duck.parquet(engine, [fragment])
    raw = f"(SELECT {sql_literal(contract.source)} AS source, 'the file' AS source_file, * FROM {rows})"
    bind_id_key(engine, _NO_KEY)
    query = mapping_query({contract.source: contract}, raw)
    duck.write_parquet(engine, query, target, duck.TEMPORARY)


def _counted(
    report: CheckReport,
    engine: duckdb.DuckDBPyConnection,
    contract: SourceContract,
    rules: Sequence[Rule],
    expected: ContractRules,
) -> CheckReport:
    by_name: Mapping[str, Rule] = {rule.name: rule for rule in rules}
    all_rules = {**by_name, **{rule.name: rule for rule in row_rules(contract.expect)}}
    shared, sessions = check_counts.shared_sessions(engine)
    return replace(
        report,
        days=check_counts.day_counts(engine, all_rules, expected),
        versions=check_counts.version_counts(engine),
        fields=check_counts.field_counts(engine, contract),
        event_types=check_counts.type_counts(engine, contract),
        rules={**check_counts.broken_rules(engine, by_name), **check_counts.broken_contract_rules(expected)},
        unknown_columns=check_counts.unknown_columns(engine, contract),
        shared_sessions=shared,
        unordered=check_counts.unordered_rows(engine, contract),
        sessions=sessions,
    )

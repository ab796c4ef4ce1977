"""All rules of a root as suites, and the rows of a day that they judge.

Belongs here: gathering them. Does not belong here: writing and running them (``validation.data_docs``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from ml_data_platform.errors import PlatformError
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.expectations import (
    Expectation,
    rules_before_masking,
    rules_on_kept_values,
    unique_rules,
)
from ml_data_platform.events.expected_values import expected_values, value_names
from ml_data_platform.events.lateness import ONE_DAY
from ml_data_platform.events.planning import UPSTREAM
from ml_data_platform.events.sql_text import sql_literal
from ml_data_platform.stages import flow
from ml_data_platform.stages.contract_rules import settle
from ml_data_platform.stages.event_order import kept_events
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.result import StageResult
from ml_data_platform.stages.row_judgement import judge_rows
from ml_data_platform.stages.rules_before_masking import row_rules
from ml_data_platform.stages.state import asset_rules
from ml_data_platform.storage import duck
from ml_data_platform.validation.data_docs import Suite
from ml_data_platform.validation.rules import Rule
from ml_data_platform.validation.runner import readable_frame
from ml_data_platform.validation.suites import TABLE_RULES


@dataclass
class SuitesOfDay:
    """The suites of a root.

    Attributes:
        suites: The suites, those of a day with rows.
        not_run: Suite to why nothing is there that it could judge.
    """

    suites: list[Suite] = field(default_factory=list)
    not_run: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, rules: tuple[Rule, ...], rows: pd.DataFrame | None, why_not: str) -> None:
        """Add a suite, where it has rules."""
        if not rules:
            return
        self.suites.append(Suite(name, rules, readable_frame(rules, rows) if rows is not None else None))
        if rows is None:
            self.not_run[name] = why_not


def suites_of(platform: Platform, day: dt.date | None) -> SuitesOfDay:
    """Gather the rules of every asset and contract, and the rows of a day that they judge.

    What a day's tables were built from is judged again, with nothing published: metrics of a table are computed anew.

    Args:
        platform: The opened root.
        day: UTC day; None: no rows.
    """
    found = SuitesOfDay()
    for asset in TABLE_RULES:
        rules = asset_rules(platform, asset)
        with platform.store.scratch() as scratch:
            result, why_not = _build(platform, asset, day, scratch)
            rows = tuple(rule for rule in rules if rule.scope == "row")
            frame = _rows(asset, scratch) if result is not None and rows else None
            found.add(f"{asset}_rows", rows, frame, why_not)
            tables = tuple(rule for rule in rules if rule.scope == "table")
            found.add(f"{asset}_tables", tables, _metrics(result, asset) if result is not None else None, why_not)
            if asset == "validated_events":
                _add_contracts(found, platform, rows, scratch if result is not None else None, why_not)
    return found


def _build(platform: Platform, asset: str, day: dt.date | None, scratch: Path) -> tuple[StageResult | None, str]:
    stage = "validated_events" if asset == "quarantined_events" else asset
    if day is None:
        return None, "no day was named"
    refs = {
        upstream: platform.store.ref(
            upstream, [day + offset * ONE_DAY for up, offset in UPSTREAM[stage] if up == upstream]
        )
        for upstream in dict.fromkeys(up for up, _ in UPSTREAM[stage])
    }
    if platform.store.head(asset, day) is None:
        return None, f"{asset} of {day} is not published"
    try:
        return flow.build(platform, stage, day, refs, scratch), ""
    except PlatformError as error:
        return None, str(error)


def _rows(asset: str, scratch: Path) -> pd.DataFrame:
    """Return the rows that the row rules of an asset judge: of events, those that were mapped."""
    name = "mapped.parquet" if asset == "validated_events" else "session_features.parquet"
    frame: pd.DataFrame = pq.read_table(scratch / name).to_pandas()
    return frame


def _metrics(result: StageResult, asset: str) -> pd.DataFrame:
    values = {
        column: pd.Series([check.value], dtype="float64")
        for check in result.checks
        if check.asset == asset and check.rule["scope"] == "table"
        for column in [check.rule["kwargs"]["column"]]
    }
    return pd.DataFrame(values)


def _add_contracts(
    found: SuitesOfDay, platform: Platform, rules: tuple[Rule, ...], scratch: Path | None, why_not: str
) -> None:
    frames: dict[tuple[str, str], pd.DataFrame] = {}
    contracts = {source: contract for source, contract in platform.contracts.items() if contract.expect}
    if scratch is not None and contracts:
        frames = _frames(platform, contracts, rules, scratch)
    for source, contract in contracts.items():
        missing = why_not or "the source has no rows of the day"
        kept, unique = rules_on_kept_values(contract), unique_rules(contract)
        found.add(f"{source}_expectations", row_rules(kept), frames.get((source, "kept")), missing)
        found.add(f"{source}_uniqueness", row_rules(unique), frames.get((source, "unique")), missing)
        hidden = "what it judges is masked or dropped before anything is kept"
        found.add(f"{source}_before_masking", row_rules(rules_before_masking(contract)), None, hidden)


def _frames(
    platform: Platform, contracts: Mapping[str, SourceContract], rules: tuple[Rule, ...], scratch: Path
) -> dict[tuple[str, str], pd.DataFrame]:
    """Return by source and kind the values that its rules judge, where the day has rows of it."""
    mapped, rejections = scratch / "mapped.parquet", scratch / "rejections.parquet"
    frames = {}
    with duck.connect(scratch, **platform.engine.options(platform.store)) as connection:
        judge_rows(mapped, rules, rejections)
        settle(connection, mapped, rejections, platform.contracts)
        for source, contract in contracts.items():
            of_source = f"WHERE source = {sql_literal(source)}"
            relations: dict[str, tuple[Mapping[str, Expectation], str]] = {
                "kept": (rules_on_kept_values(contract), f"(SELECT * FROM judged {of_source})"),
                "unique": (unique_rules(contract), f"(SELECT * FROM ({kept_events(platform.contracts)}) {of_source})"),
            }
            for kind, (said, relation) in relations.items():
                names = list(value_names(said.values()))
                values = expected_values(contract, said.values(), relation, ())
                table = connection.sql(values).to_arrow_table() if said else None
                if table is not None and table.num_rows:
                    frames[source, kind] = table.rename_columns(names).to_pandas()
    return frames

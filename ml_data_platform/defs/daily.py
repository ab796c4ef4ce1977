"""What all daily assets have in common: how one partition is built, judged and reported.

Belongs here: the shell around a stage. Does not belong here: any single asset (``defs.assets``).
"""

import datetime as dt
import inspect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from ml_data_platform.defs import shown_text
from ml_data_platform.defs.checks import check_results, check_specs
from ml_data_platform.defs.io_manager import as_failure, publish, retry_if_transient
from ml_data_platform.defs.partitions import neighbouring_days
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.defs.runs import is_beside_backfill
from ml_data_platform.defs.said_again import SaidAgain, results_again
from ml_data_platform.errors import PlatformError, bounded
from ml_data_platform.events.descriptions import COLUMN_DESCRIPTIONS
from ml_data_platform.events.lateness import ONE_DAY
from ml_data_platform.events.planning import GATES, UPSTREAM, State, Status, decide, missing_upstream
from ml_data_platform.events.untrusted_text import plain
from ml_data_platform.features.catalog import CATALOG
from ml_data_platform.stages import flow, state
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.result import StageResult
from ml_data_platform.stages.stored_checks import stored_checks
from ml_data_platform.storage.layout import parse_day
from ml_data_platform.storage.table_store import PartitionRef

OWNERS = ["team:ml-data-platform"]
REFUSED = "refused by blocking checks"
"""What a failed step carries as its error where checks failed."""
ONLY_DIRTY_TAG = "ml_data_platform/only_dirty"
Events = Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]


def daily_asset(
    daily: dg.DailyPartitionsDefinition,
    *,
    group: str,
    kinds: Sequence[str] = ("duckdb", "parquet"),
    also_writes: Mapping[str, str] | None = None,
    after: Sequence[str] = (),
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Turn a function into the asset of its name; its docstring is the description shown in the UI.

    Args:
        daily: The partitions.
        group: Asset group.
        kinds: Shown as icons.
        also_writes: Further tables of the same step, with their descriptions.
        after: Assets that it depends on without reading their value.
    """

    def define(function: Callable[..., Any]) -> dg.AssetsDefinition:
        name = function.__name__
        descriptions = {name: inspect.getdoc(function) or "", **(also_writes or {})}
        reads = sorted({upstream for upstream, _ in UPSTREAM[name]})
        return dg.multi_asset(
            name=name,
            partitions_def=daily,
            ins={upstream: _asset_in(name, upstream) for upstream in reads},
            deps=[*after, *([GATES[name]] if name in GATES else [])],
            outs={
                asset: dg.AssetOut(
                    is_required=False,
                    io_manager_key="tables",
                    description=description,
                    group_name=group,
                    kinds=set(kinds),
                    owners=OWNERS,
                    code_version=state.CODE_VERSIONS[name],
                    tags={"ml_data_platform/stage": name},
                    metadata={"dagster/column_schema": _column_schema(asset), "dagster/table_name": asset},
                )
                for asset, description in descriptions.items()
            },
            check_specs=[spec for asset in descriptions for spec in check_specs(asset, daily)],
            can_subset=True,
        )(function)

    return define


def _asset_in(asset: str, upstream: str) -> dg.AssetIn:
    offsets = [offset for name, offset in UPSTREAM[asset] if name == upstream]
    mapping = neighbouring_days() if len(offsets) > 1 else None
    return dg.AssetIn(upstream, partition_mapping=mapping, input_manager_key="tables", dagster_type=dg.Any)


def _column_schema(asset: str) -> dg.TableSchema:
    columns = CATALOG.get(asset, ())
    roles = {column.name: {"role": column.role} for column in columns}
    descriptions = COLUMN_DESCRIPTIONS.get(asset) or {column.name: column.description for column in columns}
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=field.name,
                type=str(field.type),
                description=descriptions[field.name],
                tags=roles.get(field.name),
            )
            for field in state.TABLES[asset].columns
        ]
    )


def build_partition(
    context: dg.AssetExecutionContext, platform: PlatformResource, refs: Mapping[str, PartitionRef]
) -> Events:
    """Build the asset of this step for the partition of this run, and report it.

    A refused day fails the step with red checks and publishes nothing but its quarantine. A day of which nothing was
    landed, and which is not complete, ends well and publishes nothing: no data is invented.
    """
    asset, day = context.op_def.name, parse_day(context.partition_key)
    opened = platform.open()
    neighbours = [day + offset * ONE_DAY for offset in (-1, 0, 1)]
    found = state.read_state(opened, pinned=list(refs.values()), days=neighbours)
    why_not = why_not_built(found, asset, day, opened.clock()) or _why_not_asked_for(context, found, asset, day)
    if why_not is None and context.run.tags.get(ONLY_DIRTY_TAG) == "true":
        is_clean = decide(found, asset, day).status is Status.CLEAN
        why_not = "its inputs are those of the published generation" if is_clean else None
    if why_not is not None:
        yield from report_nothing_built(context, opened, asset, why_not)
        return
    started = time.monotonic()
    with opened.store.scratch() as scratch:
        try:
            result = flow.build(opened, asset, day, refs, scratch)
        except OSError as error:
            retry_if_transient(error, context.retry_number)
            raise
        except PlatformError as error:
            raise as_failure(error) from error
        yield from _report(context, opened, result, seconds=time.monotonic() - started)


def why_not_built(found: State, asset: str, day: dt.date, now: dt.datetime) -> str | None:
    """Return why a day without landed rows is left as it is; none where there is something to build.

    A range that is built in the UI runs the neighbours of its days too, also those that never had a row.
    """
    if found.landed.get(day) or found.head(asset, day) is not None:
        return None
    if asset == "raw_events":
        is_past = day < now.astimezone(dt.UTC).date()
        return None if is_past else "no row of this day was landed, and the day is not over"
    absent = [up for up, offset in UPSTREAM[asset] if offset == 0 and found.head(up, day) is None]
    return f"no row of this day was landed, and its {absent[0]} are not built" if absent else None


def _why_not_asked_for(context: dg.AssetExecutionContext, found: State, asset: str, day: dt.date) -> str | None:
    """Return why a day is left as it is that a backfill runs only because it is a neighbour; none where it is built.

    Who asked for other days did not ask for what this one reads: that it is missing is no failure of theirs.
    """
    missing = missing_upstream(found, asset, day)
    if not missing or not is_beside_backfill(context.instance, context.run, "validated_events", day):
        return None
    names = ", ".join(f"{upstream} of {of}" for upstream, of in missing)
    return f"its backfill did not ask for this day, and {names} is not published"


def report_nothing_built(context: dg.AssetExecutionContext, opened: Platform, asset: str, why: str) -> Events:
    """Report what is published already, with what its checks said then, or that nothing is.

    Raises:
        Failure: What is stored is that a blocking check refused the day.
    """
    context.log.info("%s of %s: nothing to build: %s", asset, context.partition_key, plain(why))
    day, refused = parse_day(context.partition_key), []
    for output in sorted(key.to_user_string() for key in context.selected_asset_keys):
        head, said = opened.store.head(output, day), _said_again(context, opened, output, day)
        failed = [each for each in said.results if not each.passed and each.severity is dg.AssetCheckSeverity.ERROR]
        refused += [f"{each.check_name} (stored result)" for each in failed]
        if failed:
            # A failed blocking check within a materialization would show the partition as green.
            yield from said.results
            continue
        yield dg.MaterializeResult(
            asset_key=output,
            data_version=dg.DataVersion(head.content) if head else None,
            metadata=shown_text.facts(
                {
                    "nothing_built": why,
                    **({"dagster/partition_row_count": head.rows, "generation": head.generation} if head else {}),
                    **({"checks_not_evaluated": ", ".join(said.unknown)} if said.unknown else {}),
                }
            ),
            check_results=said.results,
        )
    if refused:
        raise refusal(refused)


def _said_again(context: dg.AssetExecutionContext, opened: Platform, asset: str, day: dt.date) -> SaidAgain:
    """Return the stored results of the checks of one asset that the run selects."""
    only = {key.name for key in context.selected_asset_check_keys if key.asset_key == dg.AssetKey(asset)}
    stored = stored_checks(opened, asset, day)
    if stored is None:
        return SaidAgain((), ())
    return results_again(context.instance, asset, day.isoformat(), stored, only)


def failed_checks(result: StageResult) -> list[str]:
    """Return the blocking checks that failed, each with what it found."""
    return [f"{check.name} ({check.found})" for check in result.failed]


def refusal(found: Sequence[str]) -> dg.Failure:
    """Return the failure of a step that names what was found."""
    # In place of Dagster's own error, which names neither that nor checks that the run did not select.
    return dg.Failure(
        description=bounded(f"{REFUSED}: {', '.join(found)}", 500), allow_retries=False, metadata={"error": REFUSED}
    )


def _report(context: dg.AssetExecutionContext, opened: Platform, result: StageResult, seconds: float) -> Events:
    """Report what was built; tables of one stage are published together, whichever of them a run selects."""
    selected = context.selected_asset_check_keys
    for asset, staged in result.tables.items():
        metadata = {"seconds": round(seconds, 3), **result.metadata.get(asset, {})}
        if dg.AssetKey(asset) not in context.selected_asset_keys:
            facts = {**metadata, **publish(opened, staged, context.run.run_id)}
            context.log_event(
                dg.AssetMaterialization(asset, partition=context.partition_key, metadata=shown_text.facts(facts))
            )
            continue
        yield dg.MaterializeResult(
            asset_key=asset,
            value=staged,
            data_version=dg.DataVersion(staged.sha256),
            metadata=shown_text.facts(metadata),
            check_results=[check for check in check_results(asset, result.checks) if _key_of(check) in selected],
        )
    for asset in {check.asset for check in result.checks} - set(result.tables):
        for check in check_results(asset, result.checks):
            if _key_of(check) in selected:
                yield check
    if result.failed:
        raise refusal(failed_checks(result))


def _key_of(check: dg.AssetCheckResult) -> dg.AssetCheckKey:
    assert check.asset_key is not None
    assert check.check_name is not None
    return dg.AssetCheckKey(check.asset_key, check.check_name)

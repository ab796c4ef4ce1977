"""What `sources` prints: contracts, dry runs, drafts and differences.

Belongs here: laying out what was found, so that it fits a terminal. Does not belong here: finding it.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from ml_data_platform.cli.screen import coloured, counted, note, say, show
from ml_data_platform.events.schema_versions import Add, Remove, Rename, Step
from ml_data_platform.settings import OWN_SOURCES

if TYPE_CHECKING:
    from ml_data_platform.events.check_report import CheckReport
    from ml_data_platform.events.contracts import SourceContract
    from ml_data_platform.events.draft import Draft
    from ml_data_platform.events.evolution import SchemaChange
    from ml_data_platform.events.suggestions import Suggestion
    from ml_data_platform.settings import Settings

SHOWN_DAYS = 14
INCOMPLETE = ".draft"
SHOWN_NAMES = 8


def contract_facts(contract: SourceContract) -> dict[str, Any]:
    """Return what a contract comes to, as JSON-able values."""
    return {
        "source": contract.source,
        "description": contract.description,
        "format": contract.format,
        "schema_versions": list(contract.versions),
        "fields": {
            str(version): {
                name: columns[0] if len(columns) == 1 else list(columns)
                for name, columns in contract.field_columns(version).items()
            }
            for version in contract.versions
        },
        "unknown_columns": contract.unknown_columns,
        "content_hash": contract.content_hash,
    }


def print_sources(contracts: Sequence[SourceContract]) -> None:
    """Print one line per source."""
    table = _table("source", "format", "versions", "unknown", "description")
    for contract in contracts:
        versions = ", ".join(map(str, contract.versions))
        table.add_row(contract.source, contract.format, versions, contract.unknown_columns, contract.description)
    show(table)


def print_contract(contract: SourceContract) -> None:
    """Print one contract: where fields land, and how they are read."""
    say(contract.source, style="bold", tail=f": {contract.description}" if contract.description else "")
    for version in contract.versions:
        fields = contract.field_columns(version)
        canonical = contract.registry.canonical_columns(version)
        table = _table(f"version {version}", "landed column", "canonical column")
        for name, columns in fields.items():
            joint = " or " if contract.is_first_of(name) else " + "
            table.add_row(name, joint.join(columns), canonical.get(name, "attributes"))
        show(table)
    # Its default is a long list, which says nothing of this source.
    unsaid = {"ids"} - contract.model_fields_set
    for name, value in contract.model_dump(mode="json", exclude={"source", "description", "columns", *unsaid}).items():
        if value not in (None, [], {}):
            say(f"{name}: ", style="bold", tail=_inline(value))


def print_check(report: CheckReport, suggestions: Sequence[Suggestion]) -> None:
    """Print a dry run: what is routed, mapped and rejected, and what to change."""
    if report.status == "refused":
        say("refused ", style="red", tail=str(report.refusal))
    elif report.status != "read":
        say("no rows", style="yellow", tail=f": the file is {report.status.replace('_', ' ')}")
    else:
        _print_routing(report)
        _print_days(report)
        _print_fields(report)
        _print_findings(report)
    if report.change is not None and report.change.differences:
        shown = "; ".join(report.change.differences[:SHOWN_NAMES])
        more = f"; and {len(report.change.differences) - SHOWN_NAMES} more" * (
            len(report.change.differences) > SHOWN_NAMES
        )
        say(f"columns against the contract: {report.change.kind}", tail=f" ({shown}{more})")
    for suggestion in suggestions:
        say("suggestion ", style="yellow", tail=str(suggestion))
    if report.is_good:
        say("good", style="green", tail=": every day of the file would be published")
    elif report.refused_days:
        say("not good", style="red", tail=f": {counted(len(report.refused_days), 'day')} would be refused")
    elif report.days:
        say("not good", style="red", tail=": too many rows have no usable day (see unusable_rows of the contract)")
    else:
        say("not good", style="red", tail=": no row has a usable day")


def _print_routing(report: CheckReport) -> None:
    span = (
        f", {report.first:%Y-%m-%d %H:%M:%S} to {report.last:%Y-%m-%d %H:%M:%S} UTC"
        if report.first and report.last
        else ""
    )
    say(
        f"{counted(report.rows, 'row')}: ",
        style="bold",
        tail=f"{report.dated:,} on {counted(len(report.days), 'day')}{span}",
    )
    for reason, found in report.undated.items():
        say(f"  no usable day: {found.rows:,} {reason}", style="red", tail=f" ({'; '.join(found.examples)})")
    if len(report.versions) > 1:
        say(f"  schema versions: {', '.join(f'{rows:,} of {number}' for number, rows in report.versions.items())}")


def _print_days(report: CheckReport) -> None:
    if not report.days:
        return
    table = _table("day (UTC)", "landed", "valid", "duplicate", "rejected", "refused by", numbers=4)
    days = list(report.days.items())
    shown = [*days[: SHOWN_DAYS // 2], *days[-(SHOWN_DAYS // 2) :]] if len(days) > SHOWN_DAYS else days
    for at, (day, found) in enumerate(shown):
        if len(days) > SHOWN_DAYS and at == SHOWN_DAYS // 2:
            table.add_row("…", f"{len(days) - SHOWN_DAYS} more", "", "", "", "")
        counts = (found.landed, found.valid, found.duplicates, found.rejected)
        table.add_row(
            day.isoformat(), *(f"{count:,}" for count in counts), coloured((", ".join(found.refused_by), "red"))
        )
    show(table)


def _print_fields(report: CheckReport) -> None:
    if not report.fields or not report.dated:
        return
    table = _table("canonical column", "from", "filled", "unreadable", "examples")
    for name, found in report.fields.items():
        unreadable = coloured((f"{found.unreadable / report.dated:.1%}", "red")) if found.unreadable else "-"
        filled = f"{found.filled / report.dated:.1%}"
        table.add_row(name, ", ".join(found.columns) or "-", filled, unreadable, ", ".join(found.examples))
    show(table)


def _print_findings(report: CheckReport) -> None:
    if report.event_types:
        types = [
            f"{name or '(none)'} → {found.becomes or 'not mapped'} {found.rows:,}"
            for name, found in report.event_types.items()
        ]
        say(
            "event types: ",
            style="bold",
            tail=f"{'; '.join(types[:SHOWN_NAMES])}{' …' if len(types) > SHOWN_NAMES else ''}",
        )
    for name, rule in report.rules.items():
        told, colour = ("published, though it breaks", "yellow") if rule.is_warning else ("rejected by", "red")
        if not rule.rows:
            told, colour = "nothing judged by", "yellow"
        say(f"{told} {name}: {counted(rule.rows, 'row')}", style=colour, tail=f" ({'; '.join(rule.examples)})")
    if report.unknown_columns:
        names = list(report.unknown_columns)
        more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
        say("columns that the contract does not name: ", style="bold", tail=f"{', '.join(names[:SHOWN_NAMES])}{more}")


def print_change(title: str, change: SchemaChange, steps: Sequence[Step]) -> None:
    """Print what differs, and the registered steps."""
    if not change.differences:
        say(title, style="bold", tail=": no difference")
        return
    colour = "red" if change.kind == "breaking" else "green"
    say(title, style="bold", tail=":")
    say(change.kind, style=colour)
    for difference in change.differences:
        say(f"  {difference}")
    if steps:
        say("registered upcast: ", style="bold", tail="; ".join(step_text(step) for step in steps))


def step_text(step: Step) -> str:
    """Return a step in words."""
    if isinstance(step, Add):
        return f"{step.name} is new"
    if isinstance(step, Remove):
        return f"{step.name} is removed"
    if isinstance(step, Rename):
        return f"{step.old} becomes {step.new}"
    return f"{step.old} becomes {step.new} as {step.to_type}"


def print_next_steps(draft: Draft, file: Path, target: Path | None, settings: Settings) -> None:
    """Print, beside the draft, what to do with it."""
    for lack in draft.missing:
        note(f"the draft is no contract yet, for want of {lack}")
    doubts = sum(remark.is_doubt for found in draft.remarks.values() for remark in found)
    if doubts:
        note(f"{counted(doubts, 'guess' if doubts == 1 else 'guesse')} marked CHECK")
    if draft.first is not None and draft.first.date() < settings.start_date:
        note(
            f"the events begin on {draft.first:%Y-%m-%d}, before the first day of the root, {settings.start_date}: "
            f"set `start_date: {draft.first:%Y-%m-%d}` in platform.yaml, or `ml-data-platform init --start-date`"
        )
    if draft.missing:
        if target is not None:
            note(f"complete {target}, then rename it to {target.with_suffix('.yaml').name}")
        return
    where = target or settings.local_folder / OWN_SOURCES / f"{draft.keys['source']}.yaml"
    if target is None:
        note(f"keep it with --out {shlex.quote(str(where))}")
    is_known = where.resolve().parent in {settings.sources, settings.local_folder / OWN_SOURCES}
    named = f"--source {where.stem}" if is_known else f"--contract {shlex.quote(str(where))}"
    note(f"try it: ml-data-platform sources check {shlex.quote(str(file))} {named}")


def _table(*names: str, numbers: int = 0) -> Table:
    table = Table(box=box.SIMPLE, show_edge=False, padding=(0, 1), pad_edge=False, header_style="bold")
    for at, name in enumerate(names):
        table.add_column(name, justify="right" if 0 < at <= numbers else "left", overflow="fold")
    return table


def _inline(value: Any) -> str:
    import yaml

    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10**9)
    return text.removesuffix("\n").removesuffix("\n...")

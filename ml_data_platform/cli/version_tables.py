"""What `version` prints: versions, cuts, differences and verifications.

Belongs here: laying out what was found, so that it fits a terminal. Does not belong here: finding it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from ml_data_platform.cli.screen import counted, say, show

if TYPE_CHECKING:
    from ml_data_platform.datasets.checkout import Verification
    from ml_data_platform.datasets.comparison import VersionDifference
    from ml_data_platform.datasets.dataset_versions import Cut
    from ml_data_platform.datasets.manifest import AcceptedFeature, FoldFacts, LeftOut, Manifest
    from ml_data_platform.datasets.spanned_facts import SpannedFiles

SHOWN = 10
_TAG_WIDTH = len("data/20260601T080000Z-0123456789ab")


def version_json(version: Manifest, restated: Sequence[str]) -> dict[str, Any]:
    """Return a version as plain values for scripts."""
    return {
        "tag": version.tag,
        "created_at": version.created_at,
        "first_day": version.days[0].day,
        "last_day": version.days[-1].day,
        "days": len(version.days),
        "rows": version.rows,
        "immature_rows": version.immature_rows,
        "label_rate": version.label_rate,
        "left_out": [each.model_dump() for each in version.left_out],
        "is_provisional": version.is_provisional,
        "restated_days": list(restated),
        "datasets": {
            each.name: {"dir_md5": each.dir_md5, "rows": each.rows, "size_bytes": each.size_bytes}
            for each in version.datasets
        },
        "folds": version.folds.model_dump(mode="json") if version.folds else None,
        "spanned_files": version.spanned_files.model_dump(mode="json") if version.spanned_files else None,
        "accepted_features": [each.model_dump(mode="json") for each in version.accepted_features],
        "snapshot_id": version.snapshot_id,
    }


def cut_json(cut: Cut, unbuilt: Sequence[str]) -> dict[str, Any]:
    """Return what a cut did as plain values for scripts."""
    facts = version_json(cut.manifest, ())
    return {"outcome": cut.outcome, "copied": list(cut.copied), **facts, "unbuilt_days": list(unbuilt)}


def print_cut(cut: Cut, unbuilt: Sequence[str]) -> None:
    """Print what a cut did, and which of its days have changed inputs that are not built yet."""
    version = cut.manifest
    if cut.outcome == "unchanged":
        say("nothing changed", style="green", tail=f" since {version.tag}")
    elif cut.outcome == "cut":
        say(f"cut {version.tag}", style="green", tail=f": {counted(len(cut.copied), 'file')} copied")
    else:
        say("would be cut", style="yellow", tail=f": {counted(len(cut.copied), 'file')} to copy")
    _print_facts(version)
    _print_left_out(version.left_out)
    if unbuilt:
        say(f"not built yet from what is there now: {_some(unbuilt)}; backfill, then cut again", style="yellow")


def print_versions(found: Sequence[tuple[Manifest, Sequence[str]]]) -> None:
    """Print one line per version."""
    table = _table("version", "days", "rows", "immature", "label", "state", right={"days", "rows", "immature", "label"})
    for version, restated in found:
        table.add_row(
            version.tag,
            f"{len(version.days):,}",
            f"{version.rows:,}",
            f"{version.immature_rows:,}",
            _rate(version.label_rate),
            _state(version, restated),
        )
    show(table)


def print_version(version: Manifest, restated: Sequence[str], *, with_days: bool) -> None:
    """Print what a version holds."""
    say(version.tag, style="bold", tail=f", cut {version.created_at}, {_state(version, restated)}")
    _print_facts(version)
    for dataset in version.datasets:
        files = sum(1 for _ in dataset.files)
        say(
            f"{dataset.name}: {dataset.rows:,} rows, {counted(files, 'file')}, {dataset.size_bytes:,} bytes, "
            f"{dataset.dir_md5}.dir"
        )
    if version.folds is not None:
        _print_folds(version.folds)
    code = version.code
    dirty = ", with changes" if code.get("is_dirty") else ""
    say(f"snapshot {version.snapshot_id}, code {code.get('git_sha') or code.get('package_version')}{dirty}")
    if with_days:
        table = _table("day (UTC)", "rows", "immature", "label", "state", right={"rows", "immature", "label"})
        for day in version.days:
            rate = day.positives / day.rows if day.rows and day.positives is not None else None
            state = "restated since" if day.day in restated else "provisional" if day.is_provisional else "as published"
            immature = "-" if day.immature_rows is None else f"{day.immature_rows:,}"
            table.add_row(day.day, f"{day.rows:,}", immature, _rate(rate), state)
        show(table)
    elif restated:
        say(f"restated since: {_some(restated)}", style="yellow")
    _print_left_out(version.left_out)


def print_difference(difference: VersionDifference) -> None:
    """Print what lies between two versions."""
    say(f"{difference.before} → {difference.after}", style="bold", tail=f", rows of {difference.dataset}")
    if difference.days_added:
        say(f"days added: {_some(difference.days_added)}")
    if difference.days_removed:
        say(f"days removed: {_some(difference.days_removed)}")
    for name, lines in difference.schema.items():
        for line in lines:
            say(f"columns of {name}: {line}")
    if difference.days:
        table = _table("day (UTC)", "added", "removed", "changed", right={"added", "removed", "changed"})
        for day in difference.days:
            table.add_row(day.day, f"{day.rows_added:,}", f"{day.rows_removed:,}", f"{day.rows_changed:,}")
        totals = difference.totals
        table.add_row("all", *(f"{totals[f'rows_{name}']:,}" for name in ("added", "removed", "changed")))
        show(table)
        changed = ", ".join(f"{name} {count:,}" for name, count in difference.columns_changed.items())
        if changed:
            say(f"changed values by column: {changed}")
    elif not difference.schema:
        say("the same rows", style="green")
    if difference.folds_before != difference.folds_after:
        say(f"stored folds: {difference.folds_before or 'none'} → {difference.folds_after or 'none'}")
    say(f"label rate: {_rate(difference.label_rate_before)} → {_rate(difference.label_rate_after)}")


def print_verifications(found: Sequence[Verification]) -> None:
    """Print what was found about each version."""
    for each in found:
        if each.faults:
            say("corrupt ", style="red", tail=f"{each.tag}: {counted(len(each.faults), 'fault')}")
            for fault in each.faults[:SHOWN]:
                say(f"  {fault}")
        else:
            say("good ", style="green", tail=f"{each.tag}: {counted(each.objects, 'object')} read")
    if not found:
        say("there is no version to verify")


def _print_folds(folds: FoldFacts) -> None:
    table = _table("fold", "users", "rows", "label", right={"fold", "users", "rows", "label"})
    for part in folds.parts:
        table.add_row(f"{part.fold}", f"{part.users:,}", f"{part.rows:,}", _rate(part.label_rate))
    torn = f"; {folds.accepts}" if folds.accepts else ""
    say(f"folds stored with it: {folds.name}, {folds.dir_md5}.dir{torn}")
    show(table)


def _print_facts(version: Manifest) -> None:
    first, last = version.days[0].day, version.days[-1].day
    say(
        f"{counted(len(version.days), 'day')}, {first} to {last}: {counted(version.rows, 'row')}, label rate "
        f"{_rate(version.label_rate)}; {counted(version.immature_rows, 'immature row')} left out"
    )
    provisional = [day.day for day in version.days if day.is_provisional]
    if provisional:
        say("provisional", style="yellow", tail=f": rows may still arrive for {_some(provisional)}")
    _print_spanned(version.spanned_files)
    _print_accepted(version.accepted_features)


def _print_spanned(spanned: SpannedFiles | None) -> None:
    """Say of which sources rows of the version's files reach no day, and why that was accepted."""
    for each in spanned.sources if spanned else ():
        if each.red_files or each.warned_files:
            rows = f"{each.unusable_rows:,} of {counted(each.rows, 'row')} of {counted(each.files, 'file')}"
            files = f"{counted(each.red_files, 'file')} red, {counted(each.warned_files, 'file')} warned of"
            say("unusable ", style="yellow", tail=f"{each.source}: {rows} reach no day; {files}")
    if spanned and spanned.accepted:
        say("accepted ", style="yellow", tail=spanned.accepted)


def _print_accepted(accepted: Sequence[AcceptedFeature]) -> None:
    for each in accepted:
        days = sorted(each.days)
        rang = (
            f"told the label on {_some(days)}, worst AUC {max(each.days.values()):.3f}" if days else "on no day alone"
        )
        say("accepted ", style="yellow", tail=f"{each.feature}: {each.reason} ({rang})")


def _print_left_out(left_out: Sequence[LeftOut]) -> None:
    for each in left_out[:SHOWN]:
        say("left out ", style="yellow", tail=f"{each.day}: {each.reason}")
    if len(left_out) > SHOWN:
        say(f"… and {counted(len(left_out) - SHOWN, 'day')} more; --json prints all", style="dim")


def _state(version: Manifest, restated: Sequence[str]) -> str:
    states = ["provisional"] if version.is_provisional else []
    if restated:
        states.append(f"superseded ({counted(len(restated), 'day')} restated)")
    return ", ".join(states) or "current"


def _some(days: Sequence[str]) -> str:
    more = f" and {len(days) - SHOWN} more" if len(days) > SHOWN else ""
    return ", ".join(days[:SHOWN]) + more


def _rate(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.2%}"


def _table(*names: str, right: set[str]) -> Table:
    table = Table(box=box.SIMPLE, show_edge=False, padding=(0, 1), pad_edge=False, header_style="bold")
    for name in names:
        # A tag that is cut short cannot be copied into the next command.
        is_whole = name in right or name == "version"
        table.add_column(
            name,
            justify="right" if name in right else "left",
            no_wrap=is_whole,
            min_width=_TAG_WIDTH if name == "version" else None,
        )
    return table

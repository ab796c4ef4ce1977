"""The command ``rebuild``.

Belongs here: its arguments and output, and the order of its steps. Does not belong here: any of them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from ml_data_platform.cli import screen
from ml_data_platform.cli.building import ALL_DAYS, run_backfill
from ml_data_platform.cli.options import JsonOption, RootOption, require_root, settings_of
from ml_data_platform.cli.versioning import repository_of
from ml_data_platform.settings import load_settings

if TYPE_CHECKING:
    from ml_data_platform.datasets.rebuilding import Repetition
    from ml_data_platform.settings import Settings
    from ml_data_platform.stages.rebuilding import Comparison

MAX_SHOWN = 30


def rebuild(
    target: Annotated[str, typer.Option("--to", metavar="NEW", help="Where to: a folder, or place in a bucket.")],
    version: Annotated[
        str | None, typer.Option("--version", metavar="TAG", help="Also cut this version again, and compare it.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="RUN", help="Also train this model again, on its version.")
    ] = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build a root again from what landed alone, in another place, and compare every byte.

    Copied are the kept bytes, the ledger with all decisions, the contracts, the keys of ids and masks, and the settings
    that bytes depend on. Everything else is computed anew. The original is only read. Stopped half-way, run it again.
    """
    from ml_data_platform.datasets.run_manifest import find_run
    from ml_data_platform.stages.platform import open_platform
    from ml_data_platform.stages.rebuilding import (
        compare_roots,
        copy_landed,
        days_of,
        prepare_root,
        require_read_as_now,
    )

    original = require_root(settings_of(root))
    run = find_run(original.models_folder, model) if model else None
    tag = run.version if run else version
    before = repository_of(original).version(tag) if tag else None
    source = open_platform(original)
    require_read_as_now(source)
    prepare_root(original, load_settings(os.environ, Path.cwd(), root=target))
    rebuilt = load_settings(os.environ, Path.cwd(), root=target)
    with screen.progress("copying") as (bar, task):
        copied = copy_landed(
            source.store.objects,
            open_platform(rebuilt).store.objects,
            lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
        )
    days = days_of(source)
    run_backfill(rebuilt, ALL_DAYS, only=days)
    compared = compare_roots(source, open_platform(rebuilt), days)
    repeated: dict[str, Repetition] = {}
    if before is not None:
        with screen.progress("cutting and training") as _:
            repeated = _repeat(rebuilt, before.tag, run.run_id if run else None, original)
    is_same = not compared.differences and all(each.is_same for each in repeated.values())
    if as_json:
        facts = {name: each.to_json() for name, each in repeated.items()}
        screen.print_json({"copied": copied, **compared.to_json(), **facts, "is_same": is_same})
    else:
        _print(copied, compared, repeated)
    if not is_same:
        raise typer.Exit(1)


def _repeat(rebuilt: Settings, tag: str, run_id: str | None, original: Settings) -> dict[str, Repetition]:
    from ml_data_platform.datasets.conversion_model import train_model
    from ml_data_platform.datasets.dataset_versions import cut_version
    from ml_data_platform.datasets.load_dataset import find_version
    from ml_data_platform.datasets.rebuilding import compare_models, compare_versions_of_roots, config_of, request_of
    from ml_data_platform.datasets.run_manifest import find_run
    from ml_data_platform.stages.platform import open_platform
    from ml_data_platform.stages.retraction import retracted_inputs
    from ml_data_platform.stages.settled_days import unsettled_days
    from ml_data_platform.stages.unusable_rows import judge_landed

    platform = open_platform(rebuilt)
    before = repository_of(original).version(tag)
    made = cut_version(
        repository_of(rebuilt),
        platform.store,
        request_of(before),
        now=platform.clock(),
        unsettled=unsettled_days(platform),
        verdicts=judge_landed(platform).files,
        retracted=retracted_inputs(platform),
        memory_limit=rebuilt.memory_limit,
        threads=rebuilt.threads,
    ).manifest
    repeated = {"version": compare_versions_of_roots(before, made)}
    if run_id is not None:
        run = find_run(original.models_folder, run_id)
        data = find_version(rebuilt, made.tag)
        again = train_model(
            data,
            config_of(run),
            rebuilt.models_folder,
            now=platform.clock(),
            memory_limit=rebuilt.memory_limit,
            threads=rebuilt.threads,
        )
        repeated["model"] = compare_models(run, again.manifest)
    return repeated


def _print(copied: int, compared: Comparison, repeated: dict[str, Repetition]) -> None:
    total = compared.same + len(compared.differences)
    screen.say(f"copied {screen.counted(copied, 'object')} of what landed")
    style = "red" if compared.differences else "green"
    screen.say(f"{compared.same:,} of {total:,} partitions are the same", style=style, tail=", byte for byte")
    if compared.differences:
        table = Table(box=box.SIMPLE, show_edge=False, padding=(0, 1), pad_edge=False, header_style="bold")
        for name in ("table", "day (UTC)", "what", "why"):
            table.add_column(name)
        for each in compared.differences[:MAX_SHOWN]:
            table.add_row(each.asset, each.day, each.what, each.why or "-")
        screen.show(table)
    for name, made in repeated.items():
        word = "the same" if made.is_same else "not the same"
        screen.say(f"{name} {made.before}, again {made.after}: {word}", style="green" if made.is_same else "red")
        for part, digest in made.hashes_before.items():
            now = made.hashes_after.get(part)
            screen.say(f"  {part} {digest}" + ("" if now == digest else f" → {now}"))
        for part, note in made.notes.items():
            screen.say(f"  {part}: {note}")

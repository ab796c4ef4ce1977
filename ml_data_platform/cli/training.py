"""The command ``train``.

Belongs here: its arguments and output. Does not belong here: training.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from ml_data_platform.cli import screen
from ml_data_platform.cli.options import JsonOption, RootOption, root_and_days, settings_of
from ml_data_platform.errors import SplitError
from ml_data_platform.training.temporal import SHARED_USERS, SharedUsers, SplitRows, split_text

if TYPE_CHECKING:
    from ml_data_platform.datasets.conversion_model import TrainedModel, TrainingPlan
    from ml_data_platform.settings import Settings


def _cutoff(text: str | dt.datetime) -> dt.datetime:
    from ml_data_platform.training.temporal import cutoff_instant

    try:
        return cutoff_instant(text)
    except SplitError as error:
        raise typer.BadParameter(f"{error.what}: got {text!r}. {error.remedy}") from error


def train(
    version: Annotated[
        str, typer.Option("--version", metavar="TAG", help="A version, latest, or the folder of a checkout.")
    ] = "latest",
    cutoff: Annotated[
        dt.datetime | None,
        typer.Option(
            "--cutoff",
            metavar="DAY|INSTANT",
            parser=_cutoff,
            help="What is tested begins here: with a UTC day, or at an instant with its offset, e.g. 2026-06-10T12:00:00Z.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Same seed, same bytes.")] = 0,
    negatives_per_positive: Annotated[
        float | None, typer.Option("--negatives-per-positive", metavar="N", help="Keep so many; by default all.")
    ] = None,
    shared_users: Annotated[
        SharedUsers,
        typer.Option(
            "--shared-users",
            help=f"Users on both sides of the cutoff. {'. '.join(f'{each}: {what}' for each, what in SHARED_USERS.items())}.",
        ),
    ] = "keep",
    models: Annotated[
        Path | None, typer.Option("--models", metavar="FOLDER", help="Folder of training runs; by default the root's.")
    ] = None,
    is_dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and say what would be learnt from; train nothing.")
    ] = False,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a baseline on one version: learn from the past, test on what came after, keep model, manifest and card.

    Only rows that the version pins are used, after the leakage firewall has looked at them. Without --cutoff, about the
    last fifth of the days is tested. The same version and choices give the same bytes.
    """
    from ml_data_platform.datasets.conversion_model import TrainingConfig, plan_model, train_model
    from ml_data_platform.datasets.known_days import default_cutoff
    from ml_data_platform.datasets.load_dataset import find_version
    from ml_data_platform.stages.platform import utc_now

    # A checkout needs no root; its models then go where --models says.
    is_alone = models is not None and Path(version).is_dir()
    settings = settings_of(root) if is_alone else root_and_days(root, None, None, None)[0]
    data = find_version(settings, version)
    config = TrainingConfig(
        cutoff=cutoff or default_cutoff(data.manifest),
        seed=seed,
        negatives_per_positive=negatives_per_positive,
        shared_users=shared_users,
    )
    folder = models.resolve() if models else settings.models_folder
    if is_dry_run:
        plan = plan_model(data, config, folder, memory_limit=settings.memory_limit, threads=settings.threads)
        screen.print_json({"outcome": "dry run", **asdict(plan)}) if as_json else _print_plan(plan)
        return
    started = dt.datetime.now(dt.UTC)
    with screen.progress("training") as (bar, task):
        trained = train_model(
            data,
            config,
            folder,
            now=utc_now(),
            memory_limit=settings.memory_limit,
            threads=settings.threads,
            progress=lambda what: bar.update(task, description=what),
        )
    if folder == settings.models_folder:
        _show_in_ui(settings, trained, started)
    if as_json:
        screen.print_json({"outcome": trained.outcome, "folder": str(trained.folder), **_facts(trained)})
    else:
        _print(trained)


def _show_in_ui(settings: Settings, trained: TrainedModel, started: dt.datetime) -> None:
    from ml_data_platform.defs.assets.conversion_model import report_trained
    from ml_data_platform.defs.command_runs import history_of

    with history_of(settings) as instance:
        report_trained(instance, trained, command="train", started=started)


def _facts(trained: TrainedModel) -> dict[str, Any]:
    facts: dict[str, Any] = trained.manifest.model_dump(mode="json")
    return facts


def _print_plan(plan: TrainingPlan) -> None:
    state = "is there already: training it again changes nothing" if plan.is_trained else "would be trained"
    screen.say(f"{plan.run_id} {state}", tail=f"; on {plan.version}, tested from {plan.config['cutoff']} on")
    for part, rows in plan.rows.items():
        screen.say(f"{part}: {rows:,} rows, {plan.positives[part]:,} of them positive")
    rate = plan.negative_sampling["rate"]
    screen.say(f"of the train part's negatives {rate:.4f} are kept" if rate < 1 else "all negatives are kept")
    screen.say(split_text(plan.config["shared_users"], SplitRows(**plan.split_rows)))
    costs = ", ".join(f"{choice} {rows:,}" for choice, rows in plan.shared_users_cost.items())
    screen.say(f"rows that each of --shared-users leaves out for their users: {costs}")
    screen.say(f"{len(plan.features)} features: {', '.join(plan.features)}")
    screen.say(f"checked for leaks, all passed: {', '.join(sorted(plan.firewall))}")
    _print_accepted(plan.accepted_features)


def _print(trained: TrainedModel) -> None:
    from ml_data_platform.datasets.model_card import split_line

    run = trained.manifest
    word = "trained" if trained.outcome == "trained" else "trained before, the same bytes:"
    screen.say(f"{word} {run.run_id}", style="green", tail=f" on {run.version}, tested from {run.config['cutoff']} on")
    table = Table(box=box.SIMPLE, show_edge=False, padding=(0, 1), pad_edge=False, header_style="bold")
    for name in ("metric", "value", "95 % of draws of users"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    for name, score in run.metrics.items():
        interval = "-" if score["low"] is None else f"{score['low']:.4f} to {score['high']:.4f}"
        table.add_row(name, "-" if score["value"] is None else f"{score['value']:.4f}", interval)
    screen.show(table)
    screen.say(
        f"{run.rows['train']:,} rows learnt from, {run.rows['test']:,} tested; {run.positives['test']:,} of these positive"
    )
    screen.say(split_line(run))
    if run.baseline_log_loss is not None:
        screen.say(f"log loss of always saying the share of positives: {run.baseline_log_loss:.4f}")
    _print_accepted(run.accepted_features)
    screen.say(f"model, manifest and card: {trained.folder}")


def _print_accepted(accepted: Sequence[str]) -> None:
    for text in accepted:
        screen.say("accepted ", style="yellow", tail=text)

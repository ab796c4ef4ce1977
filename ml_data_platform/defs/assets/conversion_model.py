"""The asset ``conversion_model``."""

import datetime as dt

import dagster as dg
from pydantic import Field

from ml_data_platform.datasets.conversion_model import TrainedModel, TrainingConfig, train_model
from ml_data_platform.datasets.known_days import default_cutoff
from ml_data_platform.datasets.load_dataset import find_version
from ml_data_platform.datasets.model_card import split_line
from ml_data_platform.datasets.run_manifest import CARD_FILE, PLOT_FILE
from ml_data_platform.defs import shown_text
from ml_data_platform.defs.command_runs import record_command
from ml_data_platform.defs.daily import OWNERS
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.events.untrusted_text import plain
from ml_data_platform.training.temporal import SHARED_USERS, SharedUsers, cutoff_instant


class TrainingChoice(dg.Config):
    """What to train on; by default the newest version, tested on about the last fifth of its days."""

    version: str = Field(default="latest", description="A version: its tag, or a part of it.")
    cutoff: str | None = Field(
        default=None, description="First UTC day that is tested, YYYY-MM-DD, or first instant, with its offset."
    )
    seed: int = Field(default=0, description="Same seed, same bytes.")
    negatives_per_positive: float | None = Field(default=None, description="Keep so many negatives; none keeps all.")
    shared_users: SharedUsers = Field(
        default="keep",
        description="Users on both sides of the cutoff. "
        + " ".join(f"{each}: {what}." for each, what in SHARED_USERS.items()),
    )


def conversion_model() -> dg.AssetsDefinition:
    """Define the asset."""

    @dg.asset(
        name="conversion_model",
        group_name="training",
        kinds={"scikitlearn"},
        owners=OWNERS,
        deps=["dataset_versions"],
    )
    def conversion_model(
        context: dg.AssetExecutionContext, config: TrainingChoice, platform: PlatformResource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        """One model per training run, learnt from the rows of one version, with a manifest that traces it.

        Only rows that a version pins are used, after the leakage firewall has looked at them. Learnt from the past and
        tested on what came after; by default no row is left out but those in the embargo, and users stay on both sides.
        """
        opened = platform.open()
        data = find_version(opened.settings, config.version)
        choices = TrainingConfig(
            cutoff=cutoff_instant(config.cutoff) if config.cutoff else default_cutoff(data.manifest),
            seed=config.seed,
            negatives_per_positive=config.negatives_per_positive,
            shared_users=config.shared_users,
        )
        trained = train_model(
            data,
            choices,
            opened.settings.models_folder,
            now=opened.clock(),
            memory_limit=opened.settings.memory_limit,
            threads=opened.settings.threads,
            progress=lambda what: context.log.info("%s", plain(what)),
        )
        return _result(trained)

    return conversion_model


def report_trained(instance: dg.DagsterInstance, trained: TrainedModel, *, command: str, started: dt.datetime) -> None:
    """Show in the UI what a command trained, as a run of the job that does the same."""
    record_command(instance, "train_model", {"conversion_model": _result(trained)}, command=command, started=started)


def _result(trained: TrainedModel) -> dg.MaterializeResult:  # type: ignore[type-arg]
    run = trained.manifest
    metrics = {name: score["value"] for name, score in run.metrics.items() if score["value"] is not None}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(run.model_sha256),
        metadata=shown_text.facts(
            {
                "run_id": run.run_id,
                "outcome": trained.outcome,
                "version": run.version,
                "cutoff": str(run.config["cutoff"]),
                **metrics,
                "train_rows": run.rows["train"],
                "test_rows": run.rows["test"],
                "shared_users": split_line(run),
                "baseline_log_loss": run.baseline_log_loss or 0.0,
                "card": shown_text.own_markdown((trained.folder / CARD_FILE).read_text(encoding="utf-8")),
                "plots": shown_text.image((trained.folder / PLOT_FILE).read_bytes(), "ROC and calibration"),
                "manifest": dg.MetadataValue.json(run.model_dump(mode="json")),
                "folder": dg.MetadataValue.path(str(trained.folder)),
            }
        ),
    )

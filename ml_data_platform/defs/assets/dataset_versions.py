"""The asset ``dataset_versions``."""

import datetime as dt
from dataclasses import replace
from typing import Any

import dagster as dg
from pydantic import Field

from ml_data_platform.datasets.dataset_versions import Cut, cut_version
from ml_data_platform.datasets.dvc_files import Remote
from ml_data_platform.datasets.repository import VersionsRepository
from ml_data_platform.datasets.selection import DATASETS, Request
from ml_data_platform.defs import shown_text
from ml_data_platform.defs.command_runs import record_command
from ml_data_platform.defs.daily import OWNERS
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.events.untrusted_text import plain
from ml_data_platform.settings import Settings
from ml_data_platform.stages.retraction import retracted_inputs
from ml_data_platform.stages.settled_days import unsettled_days
from ml_data_platform.stages.unusable_rows import judge_landed
from ml_data_platform.storage.layout import parse_day
from ml_data_platform.training.folds import parse_choice

POOL = "dataset_versions"


class VersionChoice(dg.Config):
    """What a version is to hold; by default everything that is published."""

    datasets: list[str] = Field(default=list(DATASETS), description="Assets with training data.")
    first_day: str | None = Field(default=None, description="First UTC day, YYYY-MM-DD.")
    last_day: str | None = Field(default=None, description="Last UTC day, YYYY-MM-DD.")
    folds: str | None = Field(
        default=None, description="Folds to store with the version, e.g. stratified_group:5; see version cut --help."
    )
    accept: str = Field(default="", description="What folds that tear users apart need to be told in words.")
    accept_unusable: str = Field(
        default="", description="Why rows of red files may be missing, in words; the version records them."
    )

    def request(self) -> Request:
        """Return the request, checked."""
        first, last = (parse_day(day) if day else None for day in (self.first_day, self.last_day))
        folds = parse_choice(self.folds, self.accept)
        return Request(
            tuple(name for name in DATASETS if name in self.datasets), first, last, folds, self.accept_unusable
        )


def versions_of(settings: Settings) -> VersionsRepository:
    """Return the repository of versions of a root."""
    remote = Remote(settings.versions_remote_url, settings.versions_remote_facts)
    return VersionsRepository(settings.versions_folder, remote)


def dataset_versions() -> dg.AssetsDefinition:
    """Define the asset."""

    @dg.asset(
        name="dataset_versions",
        group_name="training",
        kinds={"dvc", "git"},
        owners=OWNERS,
        deps=list(DATASETS),
        # Git and DVC take one writer; the lock of the repository is what holds across processes.
        pool=POOL,
    )
    def dataset_versions(
        context: dg.AssetExecutionContext, config: VersionChoice, platform: PlatformResource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        """One git tag per version: the days, rows and bytes that a training run may use.

        A version holds the published days whose blocking checks pass, as they are when it is cut; it never changes.
        Where nothing changed since the last one, that is the answer. Days that are refused are left out, with the
        reason; rows whose label is not known are counted.
        """
        opened = platform.open()
        cut = cut_version(
            versions_of(opened.settings),
            opened.store,
            replace(config.request(), accepted_features=opened.settings.accepted_features),
            now=opened.clock(),
            unsettled=unsettled_days(opened),
            verdicts=judge_landed(opened).files,
            retracted=retracted_inputs(opened),
            memory_limit=opened.settings.memory_limit,
            threads=opened.settings.threads,
            progress=lambda step, what, done, total: context.log.debug("%s %s %s/%s", step, plain(what), done, total),
        )
        return _result(cut, opened.settings)

    return dataset_versions


def report_cut(
    instance: dg.DagsterInstance, settings: Settings, cut: Cut, *, command: str, started: dt.datetime
) -> None:
    """Show in the UI which version a command cut, as a run of the job that does the same."""
    record_command(
        instance, "cut_version", {"dataset_versions": _result(cut, settings)}, command=command, started=started
    )


def _result(cut: Cut, settings: Settings) -> dg.MaterializeResult:  # type: ignore[type-arg]
    return dg.MaterializeResult(data_version=dg.DataVersion(cut.manifest.tag), metadata=_shown(cut, settings))


def _shown(cut: Cut, settings: Settings) -> dict[str, Any]:
    version, spanned = cut.manifest, cut.manifest.spanned_files
    return shown_text.facts(
        {
            "tag": version.tag,
            "outcome": cut.outcome,
            "dagster/row_count": version.rows,
            "days": len(version.days),
            "first_day": version.days[0].day,
            "last_day": version.days[-1].day,
            "immature_rows": version.immature_rows,
            "label_rate": version.label_rate if version.label_rate is not None else "not known",
            "is_provisional": version.is_provisional,
            "left_out": shown_text.listed(f"{each.day}: {each.reason}" for each in version.left_out),
            "files_copied": len(cut.copied),
            "accepted_features": "; ".join(f"{each.feature}: {each.reason}" for each in version.accepted_features)
            or "none",
            "folds": version.folds.name if version.folds else "as published each day",
            "snapshot": version.snapshot_id,
            "unusable_rows": sum(each.unusable_rows for each in spanned.sources) if spanned else "not known",
            "accepted_unusable": (spanned.accepted if spanned else "") or "none",
            "repository": dg.MetadataValue.path(str(settings.versions_folder)),
            "remote": settings.versions_remote_url,
            **{f"{each.name}_md5": f"{each.dir_md5}.dir" for each in version.tracked},
        }
    )

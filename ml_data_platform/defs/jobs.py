"""Jobs: what a person or a sensor starts.

Belongs here: jobs. Does not belong here: when they start (``defs.sensors``).
"""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ml_data_platform.defs.daily import ONLY_DIRTY_TAG
from ml_data_platform.stages.state import TABLES

DAILY = dg.AssetSelection.assets(*TABLES)


def ingest() -> UnresolvedAssetJobDefinition:
    """Define the job that takes files in."""
    return dg.define_asset_job(
        "ingest",
        selection=dg.AssetSelection.assets("landed_files"),
        description=(
            "Take in the files that lie ready in the landing folder, and pull those that contracts name addresses of:"
            " of the last days, or, with `pull_from` and `pull_to` in the launchpad, of any days."
        ),
    )


def cut() -> UnresolvedAssetJobDefinition:
    """Define the job that cuts a version."""
    return dg.define_asset_job(
        "cut_version",
        selection=dg.AssetSelection.assets("dataset_versions"),
        description="Cut a version of the training data as it is published now, unless nothing changed.",
    )


def train() -> UnresolvedAssetJobDefinition:
    """Define the job that trains the model."""
    return dg.define_asset_job(
        "train_model",
        selection=dg.AssetSelection.assets("conversion_model"),
        description="Train the baseline on a version; by default on the newest.",
    )


def refresh_day() -> UnresolvedAssetJobDefinition:
    """Define the job that brings a day up to date."""
    return dg.define_asset_job(
        "refresh_day",
        selection=DAILY,
        tags={ONLY_DIRTY_TAG: "true"},
        description="Bring one day up to date: builds what its inputs have changed, leaves the rest.",
    )


def rebuild() -> UnresolvedAssetJobDefinition:
    """Define the job that builds a day again."""
    return dg.define_asset_job(
        "rebuild",
        selection=DAILY,
        description="Build every table of one day again from what was landed; the same inputs give the same bytes.",
    )

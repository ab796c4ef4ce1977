"""What `verify` and `adopt` do for versions and models, of which the stages do not know.

Belongs here: handing a root's repository of versions and its models to what looks after them. Does not belong here:
looking (``datasets.stored_versions``, ``datasets.stored_models``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ml_data_platform.cli.versioning import repository_of

if TYPE_CHECKING:
    from ml_data_platform.stages.adoption import Taken
    from ml_data_platform.stages.platform import Platform
    from ml_data_platform.storage.defects import Defect


def look_at_versions(platform: Platform, is_repair: bool) -> Iterable[Defect]:
    """Look at git, snapshots, DVC's cache and remote; see `stages.verification.Look`."""
    from ml_data_platform.datasets.stored_versions import defects_of_versions

    return defects_of_versions(repository_of(platform.settings), platform.store, is_repair=is_repair)


def look_at_models(platform: Platform, is_repair: bool) -> Iterable[Defect]:
    """Look at training runs; see `stages.verification.Look`."""
    from ml_data_platform.datasets.stored_models import defects_of_models

    return defects_of_models(platform.settings.models_folder, is_repair=is_repair)


def restored_objects(platform: Platform) -> tuple[Defect, ...]:
    """Put back what versions pin, before tables are looked at: DVC may have what no table has any more."""
    from ml_data_platform.datasets.stored_versions import restore_pinned_objects

    return tuple(restore_pinned_objects(repository_of(platform.settings), platform.store))


def note_runs(platform: Platform, is_dry_run: bool) -> Taken:
    """Note the hashes of training runs of before; see `stages.adoption.Step`."""
    from ml_data_platform.datasets.stored_models import note_hashes
    from ml_data_platform.stages.adoption import Taken

    count, problems = note_hashes(platform.settings.models_folder, is_dry_run=is_dry_run)
    return Taken("training runs without hashes of their files: these were noted", count, tuple(problems))


def name_remote(platform: Platform, is_dry_run: bool) -> Taken:
    """Commit a configuration of versions that names nothing of this machine; see `stages.adoption.Step`."""
    from ml_data_platform.errors import PlatformError
    from ml_data_platform.stages.adoption import Taken

    what = "configuration of versions in git that named a folder of this machine: a new one was committed"
    try:
        is_due = repository_of(platform.settings).take_over(platform.clock(), is_dry_run=is_dry_run)
    except PlatformError as error:
        return Taken(what, 0, (str(error),))
    return Taken(what, int(is_due))

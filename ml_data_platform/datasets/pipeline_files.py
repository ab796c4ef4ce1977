"""``dvc.yaml`` and ``params.yaml`` of a version: training as a stage that DVC can show and run again.

Belongs here: their text. Does not belong here: training. DVC's parameters repeat a run; lineage is the run manifest.
"""

from __future__ import annotations

import datetime as dt

import yaml

from ml_data_platform.datasets.manifest import MANIFEST, Manifest
from ml_data_platform.datasets.manifest_fields import DATA

PIPELINE = "dvc.yaml"
PARAMETERS = "params.yaml"
MODELS = "models"
_COMMAND = (
    "ml-data-platform train --version . --models {models} --cutoff ${{cutoff}} --seed ${{seed}}"
    " --shared-users ${{shared_users}}"
)


def pipeline_text(manifest: Manifest) -> str:
    """Return ``dvc.yaml``: one stage that trains on the version's data sets."""
    stage = {
        "desc": "Train the baseline on this version; the same version and parameters give the same model bytes.",
        "cmd": _COMMAND.format(models=MODELS),
        "deps": [MANIFEST, *(f"{DATA}/{folder.name}" for folder in manifest.tracked)],
        "params": ["cutoff", "seed", "shared_users"],
        # Not kept by DVC: a pull of the data must not ask for a model that nobody trained here.
        "outs": [{MODELS: {"cache": False}}],
    }
    return yaml.safe_dump({"stages": {"train": stage}}, sort_keys=False, width=100)


def parameters_text(cutoff: dt.date, seed: int = 0) -> str:
    """Return ``params.yaml``: the first day that is tested, the seed, and what becomes of users on both sides."""
    return yaml.safe_dump({"cutoff": cutoff.isoformat(), "seed": seed, "shared_users": "keep"}, sort_keys=False)

"""A small root with one of everything that is stored.

Belongs here: making it. Does not belong here: damage.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from ml_data_platform.datasets.conversion_model import TrainingConfig, train_model
from ml_data_platform.datasets.load_dataset import find_version
from ml_data_platform.generator.generate import generate
from ml_data_platform.generator.options import GeneratorOptions
from ml_data_platform.stages.retraction import retract_file
from ml_data_platform_tests.pipeline_root import NOW, SHOP, START, PipelineRoot, day, settings_for, shop_lines
from ml_data_platform_tests.version_root import cut

INSTANCE = "history-of-tests"
DAYS = 4
EVENTS_PER_DAY = 400


def prepare(folder: Path) -> PipelineRoot:
    """Land and build some days, and furnish the root."""
    settings = settings_for(folder / "root", tolerances={"rejected_share_is_within_tolerance": 0.5})
    root = PipelineRoot(settings)
    damage = GeneratorOptions(duplicate_share=0.05, broken_share=0.05, undated_share=0.05)
    generate(settings.landing, start=START, days=DAYS, events_per_day=EVENTS_PER_DAY, seed=12, options=damage)
    root.land(settings.landing / SHOP)
    return furnish(root)


def furnish(root: PipelineRoot) -> PipelineRoot:
    """Take a file back, build, cut a version, train on it, land a late file, and build again; returns the root later."""
    root.platform.bind_instance(INSTANCE)
    # Users who buy early, for a model to learn from.
    root.drop("buyers.jsonl", shop_lines(day(1), 30, name="buyers"))
    root.drop("wrong.jsonl", shop_lines(day(2), 10, name="wrong"))
    retract_file(root.platform, SHOP, "wrong.jsonl", "sent by mistake")
    _build(root)
    cut(root)
    config = TrainingConfig(cutoff=day(3), trees=5, fold_count=2, leaf_rows=20)
    train_model(find_version(root.settings, "latest"), config, root.settings.models_folder, now=NOW)
    root.drop("late.jsonl", shop_lines(day(2), 10, name="late"))
    _build(root)
    return root.at(NOW + dt.timedelta(days=1))


def _build(root: PipelineRoot) -> None:
    report = root.backfill()
    assert report.is_successful, report

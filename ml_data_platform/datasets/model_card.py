"""The card of a model: what it is, how good, and on which bytes; for people.

Belongs here: Markdown and plots made from a run's manifest. Does not belong here: numbers that the manifest lacks.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from ml_data_platform.datasets.run_manifest import RunManifest
from ml_data_platform.events.untrusted_text import markdown
from ml_data_platform.training.scoring import Floats, Labels
from ml_data_platform.training.temporal import SHARED_USERS, SplitRows, split_text


def card_text(manifest: RunManifest) -> str:
    """Return the card."""
    config = manifest.config
    code = manifest.code
    dirty = " with changes that no commit holds" if code.get("is_dirty") else ""
    folds = [each for each in manifest.cross_validation if each.get("roc_auc") is not None]
    spread = ", ".join(f"{each['roc_auc']:.3f}" for each in folds) or "too few rows"
    rate = manifest.negative_sampling["rate"]
    lines = [
        f"# Conversion model {manifest.run_id}",
        "",
        (
            f"Probability that a session's user purchases within 24 hours after an event. Trained {manifest.created_at} on "
            f"version `{manifest.version}`{' (provisional)' if manifest.is_provisional else ''}."
        ),
        "",
        "## How good it is",
        "",
        (
            f"On {manifest.rows['test']:,} rows from {config['cutoff']} on, {_share(manifest, 'test')} of them positive; "
            "intervals hold 95 % of draws of users."
        ),
        "",
        "| metric | value | interval |",
        "|---|---|---|",
        *(f"| {name} | {_number(score['value'])} | {_interval(score)} |" for name, score in manifest.metrics.items()),
        "",
        (
            "Always saying the share of positives in the train part has a log loss of "
            f"{_number(manifest.baseline_log_loss)}."
        ),
        "",
        f"ROC AUC of {len(folds)} folds of the train part, users whole: {spread}.",
        "",
        "## What it learnt from",
        "",
        f"{manifest.rows['train']:,} rows that end a day before {config['cutoff']}, {_share(manifest, 'train')} positive. "
        f"Users on both sides of the cutoff: {SHARED_USERS[config['shared_users']]}. {split_line(manifest).capitalize()}. "
        + (f"Of the negatives {rate:.4f} were kept; probabilities are brought back by that rate." if rate < 1 else ""),
        "",
        f"Features: {', '.join(f'`{name}`' for name in manifest.features)}.",
        "",
        f"Checked for leaks, all passed: {', '.join(sorted(manifest.firewall))}."
        + "".join(f" Accepted: {markdown(text)}." for text in manifest.accepted_features),
        "",
        "## What it must not be used for",
        "",
        (
            "Users are pseudonymous and nothing is known of them but their sessions; scores are no judgement of a person. "
            "Other sources, prices or seasons than those of the version were not tested."
        ),
        "",
        "## How to make it again",
        "",
        f"Code {code.get('git_sha') or code.get('package_version')}{dirty}; snapshot `{manifest.snapshot_id}`; listings "
        + ", ".join(f"`{name}` {md5}" for name, md5 in sorted(manifest.dir_md5.items()))
        + f"; configuration `{config}`. The same of all these gives a model of SHA-256 `{manifest.model_sha256}`.",
    ]
    return "\n".join(lines) + "\n"


def split_line(manifest: RunManifest) -> str:
    """Return in a line what became of users of both sides, and which rows are left out; empty for older runs."""
    rows = manifest.split_rows
    return split_text(manifest.config["shared_users"], SplitRows(**rows)) if rows else ""


def plot(manifest: RunManifest, labels: Labels, predicted: Floats) -> bytes:
    """Return a PNG with the ROC curve and the calibration of the test part; the same numbers, the same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    false_positives, true_positives = _roc(labels, predicted)
    left.plot(false_positives, true_positives)
    left.plot([0, 1], [0, 1], linestyle=":", color="grey")
    left.set(title=f"ROC, AUC {_number(manifest.metrics['roc_auc']['value'])}", xlabel="false positives", ylabel="true")
    bins = manifest.calibration
    right.plot([each["predicted"] for each in bins], [each["observed"] for each in bins], marker="o")
    top = max([0.01, *(max(each["predicted"], each["observed"]) for each in bins)])
    right.plot([0, top], [0, top], linestyle=":", color="grey")
    right.set(title="Calibration", xlabel="predicted", ylabel="observed")
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _roc(labels: Labels, predicted: Floats) -> tuple[Any, Any]:
    order = np.argsort(-predicted, kind="stable")
    hits = np.cumsum(labels[order] == 1) / max(1, int(np.count_nonzero(labels)))
    misses = np.cumsum(labels[order] == 0) / max(1, int(np.count_nonzero(labels == 0)))
    return np.insert(misses, 0, 0.0), np.insert(hits, 0, 0.0)


def _share(manifest: RunManifest, part: str) -> str:
    return f"{manifest.positives[part] / manifest.rows[part]:.2%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _interval(score: dict[str, float | None]) -> str:
    return "-" if score["low"] is None else f"{_number(score['low'])} to {_number(score['high'])}"

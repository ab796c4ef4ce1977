"""Which generations a version consists of.

Belongs here: reading the commit log, and choosing days and generations that fit each other. Does not belong here:
moving bytes, or anything that only a plan knows (``stages``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ml_data_platform.datasets.manifest import LeftOut
from ml_data_platform.errors import VersionError
from ml_data_platform.events.acceptance import accepted_in
from ml_data_platform.storage.commit_log import LogRecord
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform.training.folds import FoldChoice

DATASETS = ("date_partitions", "label_partitions", "stratified_partitions")
"""The assets that hold training data."""

FEATURES = "session_features"
_QUARANTINE = "quarantined_events"
_POSITIVE = "label=positive"
_JUDGED = "date_partitions"
_BY_FOLD = "stratified_partitions"
_DIVISION = ("fold_count", "fold_salt")


@dataclass(frozen=True)
class Request:
    """What a version is asked to hold.

    Attributes:
        datasets: Names of assets, in the order of the flow.
        first: First UTC day; none for an open beginning.
        last: Last UTC day; none for an open end.
        folds: Folds to be dealt and stored with the version; none for those that are published with each day alone.
        accept_unusable: Why rows of red files may be missing, in words; empty to refuse such a version.
        accepted_features: Feature that may tell the label alone to the reason, as it is set now.
    """

    datasets: tuple[str, ...] = DATASETS
    first: dt.date | None = None
    last: dt.date | None = None
    folds: FoldChoice | None = None
    accept_unusable: str = ""
    accepted_features: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [name for name in self.datasets if name not in DATASETS]
        if unknown or not self.datasets:
            raise VersionError(
                "a version holds training data only", remedy="Name some of them.", expected=DATASETS, got=unknown
            )

    def includes(self, day: str) -> bool:
        """Tell whether a day lies in the range."""
        return (self.first is None or self.first.isoformat() <= day) and (
            self.last is None or day <= self.last.isoformat()
        )


_VERDICT = ("is_published", "failed_checks")


@dataclass(frozen=True)
class ChosenDay:
    """One day of a version.

    Attributes:
        day: UTC day.
        partitions: Data set to the chosen generation; all are built from the same features.
        features: Content of those features.
        positives: Rows with a positive label, as ``label_partitions`` counts them; none where it does not.
        immature_rows: Rows of the features that are not in the data sets; none where the features are not recorded.
        verdict: What validation recorded with the day.
        source: The generation of those features; none where it is not recorded.
        accepted: Feature that tells the label on this day, and is accepted, to its AUC.
    """

    day: str
    partitions: Mapping[str, LogRecord]
    features: str
    positives: int | None
    immature_rows: int | None
    verdict: Mapping[str, object] = field(default_factory=dict)
    source: LogRecord | None = None
    accepted: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Selection:
    """The days of a version, and those that are known and not in it."""

    days: tuple[ChosenDay, ...]
    left_out: tuple[LeftOut, ...]


def select_partitions(store: TableStore, request: Request) -> Selection:
    """Choose the newest generations that fit each other, of days whose blocking checks pass.

    A day whose validation refuses what was landed last is left out, although its last good generation is published:
    rows are missing from it. A day is left out too where the data sets are not built from the same features, or from
    others than the checks of ``date_partitions`` have passed, whether or not that data set is asked for.

    Raises:
        VersionError: Users of some days are divided into other folds than those of the others.
    """
    heads = {name: store.heads(name) for name in request.datasets}
    verdicts = store.heads(_QUARANTINE)
    known = sorted({day for found in heads.values() for day in found} | set(verdicts))
    chosen: list[ChosenDay] = []
    left_out: list[LeftOut] = []
    for day in filter(request.includes, known):
        found = _choose(store, request, day, {name: heads[name].get(day) for name in heads}, verdicts.get(day))
        if isinstance(found, str):
            left_out.append(LeftOut(day=day, reason=found))
        else:
            chosen.append(found)
    _require_one_division(chosen)
    return Selection(tuple(chosen), tuple(left_out))


def _require_one_division(chosen: Sequence[ChosenDay]) -> None:
    """Refuse days that were built under several fold settings: a user would be in several folds."""
    divisions: dict[tuple[str, ...], list[str]] = {}
    for each in chosen:
        record = each.partitions.get(_BY_FOLD)
        if record is not None and record.rows:
            settings = tuple(f"{name} {record.inputs[name]}" for name in _DIVISION if name in record.inputs)
            divisions.setdefault(settings, []).append(each.day)
    if len(divisions) > 1:
        raise VersionError(
            f"days of {_BY_FOLD} were built under several fold settings: users would be in several folds",
            remedy=f"Run backfill and cut again; or leave {_BY_FOLD} out with --dataset, or days with --from and --to.",
            found="; ".join(
                f"{', '.join(names)} on {days[0]} to {days[-1]}" for names, days in sorted(divisions.items())
            ),
        )


def _choose(
    store: TableStore,
    request: Request,
    day: str,
    heads: Mapping[str, LogRecord | None],
    quarantine: LogRecord | None,
) -> ChosenDay | str:
    datasets = request.datasets
    stored = (quarantine.verdict if quarantine else None) or {}
    verdict = {key: value for key, value in stored.items() if key in _VERDICT}
    if not verdict.get("is_published", True):
        failed = verdict.get("failed_checks") or []
        names = ", ".join(map(str, failed)) if isinstance(failed, (list, tuple)) else str(failed)
        return f"refused by its blocking checks: {names}"
    missing = [name for name in datasets if heads[name] is None]
    if missing:
        return f"{', '.join(missing)} has no published generation"
    partitions = _fitting(store, datasets, day, heads)
    if partitions is None:
        return f"{', '.join(datasets)} are not built from the same {FEATURES}; run backfill"
    features = features_of(partitions[datasets[0]])
    judged = partitions.get(_JUDGED) or _built_from(store, _JUDGED, day, features)
    if judged is None:
        return f"{_JUDGED}, whose checks judge these rows, does not hold them: it is refused or not built"
    withdrawn = sorted(accepted_in(judged.inputs).keys() - request.accepted_features.keys())
    if withdrawn:
        return f"{', '.join(withdrawn)} tells the label, which was accepted and is no more; run backfill"
    rows = partitions[datasets[0]].rows
    source = generation_with(store, FEATURES, day, features)
    labels = partitions.get("label_partitions") or _built_from(store, "label_partitions", day, features)
    return ChosenDay(
        day=day,
        partitions=partitions,
        features=features,
        positives=_positives(labels),
        immature_rows=source.rows - rows if source else None,
        verdict=verdict,
        source=source,
        accepted=dict((judged.verdict or {}).get("accepted_features", {})),
    )


def _fitting(
    store: TableStore, datasets: Sequence[str], day: str, heads: Mapping[str, LogRecord | None]
) -> dict[str, LogRecord] | None:
    """Return the newest generations that are built from the same features; none where there are no such."""
    present = {name: head for name, head in heads.items() if head is not None}
    if len({features_of(head) for head in present.values()}) == 1:
        return present
    histories = {name: list(reversed(store.log.history(name, day))) for name in datasets}
    for newest in histories[datasets[0]]:
        matches = {name: _first(histories[name], features_of(newest)) for name in datasets}
        fitting = {name: match for name, match in matches.items() if match is not None}
        if len(fitting) == len(datasets) and all(_is_stored(store, record) for record in fitting.values()):
            return fitting
    return None


def features_of(record: LogRecord) -> str:
    """Return the content of the features that a training partition was built from."""
    return record.inputs.get(f"{FEATURES}/{record.day}", "")


def _first(records: Collection[LogRecord], features: str) -> LogRecord | None:
    return next((record for record in records if features_of(record) == features), None)


def _is_stored(store: TableStore, record: LogRecord) -> bool:
    return all(store.objects.exists(Layout.object_key(record.asset, file.sha256)) for file in record.files)


def _built_from(store: TableStore, asset: str, day: str, features: str) -> LogRecord | None:
    head = store.head(asset, day)
    if head is None or features_of(head) == features:
        return head
    return _first(list(reversed(store.log.history(asset, day))), features)


def generation_with(store: TableStore, asset: str, day: str, content: str) -> LogRecord | None:
    """Return the newest generation of a partition that has this content; none where no record has it."""
    head = store.head(asset, day)
    if head is None or head.content == content:
        return head
    return next((record for record in reversed(store.log.history(asset, day)) if record.content == content), None)


def _positives(labels: LogRecord | None) -> int | None:
    if labels is None:
        return None
    return next((entry.rows for entry in labels.files if entry.name.startswith(_POSITIVE)), None)

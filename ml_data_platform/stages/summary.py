"""What is there: rows per day and stage, and what is to be done about each day.

Belongs here: reading the commit log and the ledger into numbers. Does not belong here: printing (``cli``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ml_data_platform.events.lateness import ONE_DAY
from ml_data_platform.events.planning import UPSTREAM, Decision, State, Status, expected_days, plan
from ml_data_platform.landing.masking_state import masking_notices
from ml_data_platform.stages.contract_notices import contract_notices
from ml_data_platform.stages.day_lateness import NOTHING_LANDED, DayLateness, lateness_of_days
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.retraction import retracted_files
from ml_data_platform.stages.state import TABLES, current_records, read_state, read_watermarks
from ml_data_platform.stages.unusable_rows import LandedVerdicts, judge_landed
from ml_data_platform.stages.verdicts import KEPT_WITH
from ml_data_platform.storage.commit_log import LogRecord

LATENESS_SECONDS = ("lateness_p50_seconds", "lateness_p99_seconds", "lateness_max_seconds")
WORST_FIRST = (Status.BLOCKED, Status.DIRTY, Status.WAITING, Status.CLEAN, Status.NOT_NEEDED)


@dataclass(frozen=True)
class DaySummary:
    """One day.

    Attributes:
        day: UTC day.
        landed_rows: Rows that landing routed to the day.
        rows: Published rows by asset; none where nothing is published.
        generations: Published generation by asset; none where nothing is published.
        duplicate_rows: Repeats of an event that is published.
        rejected_rows: Rows that broke rules.
        positive_rows: Mature rows with a positive label.
        status: The worst status of the day's partitions.
        decisions: What is to be done about each partition, and why.
        lateness: How late the day's rows came, and how far the day is.
    """

    day: dt.date
    landed_rows: int
    rows: Mapping[str, int | None]
    generations: Mapping[str, int | None]
    duplicate_rows: int | None
    rejected_rows: int | None
    positive_rows: int | None
    status: Status
    decisions: tuple[Decision, ...]
    lateness: DayLateness

    @property
    def label_rate(self) -> float | None:
        """Share of positive labels among mature rows; none without mature rows."""
        mature = self.rows["label_partitions"]
        return self.positive_rows / mature if mature and self.positive_rows is not None else None

    @property
    def expected_tables(self) -> frozenset[str]:
        """Tables that the day has or should have, and so the results of their checks."""
        needed = {each.asset for each in self.decisions if each.status is not Status.NOT_NEEDED}
        kept = {KEPT_WITH[asset] for asset in needed & KEPT_WITH.keys()}
        return frozenset(needed | kept | {asset for asset in TABLES if self.generations.get(asset)})

    def to_json(self) -> dict[str, object]:
        """Return plain values for scripts."""
        return {
            "day": self.day.isoformat(),
            "status": self.status.value,
            "landed_rows": self.landed_rows,
            "duplicate_rows": self.duplicate_rows,
            "rejected_rows": self.rejected_rows,
            "label_rate": self.label_rate,
            **lateness_json(self.lateness),
            "partitions": {
                asset: {"rows": self.rows[asset], "generation": self.generations[asset]} for asset in TABLES
            },
            "decisions": [decision_json(each) for each in self.decisions],
        }


def lateness_json(lateness: DayLateness) -> dict[str, object]:
    """Return how late a day's rows came as plain values, null where there is nothing to say."""
    found = lateness.facts
    return {
        "late_rows": lateness.late_rows,
        "too_late_rows": lateness.too_late_rows,
        **{name: found.get(name) for name in LATENESS_SECONDS},
        "day_state": lateness.state.value if lateness.state else None,
        "watermarks": {
            source: instant.isoformat(timespec="seconds") for source, instant in lateness.watermarks.items()
        },
    }


def decision_json(decision: Decision) -> dict[str, object]:
    """Return a decision as plain values."""
    return {
        "asset": decision.asset,
        "day": decision.day.isoformat(),
        "status": decision.status.value,
        "reasons": list(decision.reasons),
        "blocked_by": [day.isoformat() for day in decision.blocked_by],
    }


@dataclass(frozen=True)
class LandingSummary:
    """What was landed over all sources.

    Attributes:
        files: Files by source and outcome; ``retracted`` ones count nowhere else.
        rows: Rows of all landed files; of rejected ones nothing is counted here.
        undated: Rows without a usable day, by reason.
        late_rows: Rows that came after their day was complete, too late or not.
        too_late_rows: Rows that came after their day was frozen, and were not replayed.
        watermarks: Source with landed files to what its watermark follows, and how far it is; none where it has none.
        refused: One line for each file that is not landed, with the reason: those that their contract refuses, then
            those whose bytes could not be read when they were last tried.
        failures: Number of files without readable bytes.
        verdicts: Which files have too many rows that reach no day.
        notices: A sentence for each source of which files are masked in another way than its contract says now.
        contract_notices: A line for each source whose contract is broken, or gone although files of it count.
        key_faults: A message for each secret key that is lost, unusable, or another than the root's.
        retracted: A line for each file that was retracted: its rows, when and why.
    """

    files: Mapping[str, Mapping[str, int]]
    rows: int
    undated: Mapping[str, int]
    late_rows: int
    too_late_rows: int
    watermarks: Mapping[str, tuple[str, dt.datetime | None]]
    refused: tuple[str, ...]
    failures: int
    verdicts: LandedVerdicts
    notices: tuple[str, ...] = ()
    contract_notices: tuple[str, ...] = ()
    key_faults: tuple[str, ...] = ()
    retracted: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return plain values for scripts."""
        return {
            "files": {source: dict(counts) for source, counts in self.files.items()},
            "rows": self.rows,
            "undated": dict(self.undated),
            "late_rows": self.late_rows,
            "too_late_rows": self.too_late_rows,
            "watermarks": {
                source: {"strategy": strategy, "watermark": instant.isoformat(timespec="seconds") if instant else None}
                for source, (strategy, instant) in self.watermarks.items()
            },
            "refused_files": list(self.refused),
            "unreadable_files": self.failures,
            "unusable_rows": self.verdicts.to_json(),
            "masking_notices": list(self.notices),
            "contract_notices": list(self.contract_notices),
            "key_faults": list(self.key_faults),
            "retracted_files": list(self.retracted),
        }


def summarise_landing(platform: Platform) -> LandingSummary:
    """Add up the current ledger records."""
    files: dict[str, dict[str, int]] = {}
    undated: dict[str, int] = {}
    refused: list[str] = []
    rows = late = too_late = 0
    current = current_records(platform)
    for record in current:
        counts = files.setdefault(record.source, {})
        counts[record.status] = counts.get(record.status, 0) + 1
        if record.status == "rejected":
            refused.append(f"{record.source}/{record.name}: {record.reason}")
            continue
        rows += record.rows
        late += sum(record.late.values())
        too_late += sum(record.too_late.values())
        for reason, count in record.undated.items():
            undated[reason] = undated.get(reason, 0) + count
    retracted = retracted_files(platform)
    for each in retracted:
        counts = files.setdefault(each.record.source, {})
        counts["retracted"] = counts.get("retracted", 0) + 1
    watermarks = read_watermarks(platform)
    failures = platform.ledger.failures()
    unreadable = [f"{failure.source}: {failure.path}: {failure.reason} ({failure.at})" for failure in failures]
    return LandingSummary(
        files=dict(sorted(files.items())),
        rows=rows,
        undated=dict(sorted(undated.items())),
        late_rows=late,
        too_late_rows=too_late,
        watermarks={
            source: (platform.contracts[source].lateness.watermark, watermarks.get(source))
            for source in sorted(files.keys() & platform.contracts.keys())
        },
        refused=(*sorted(refused), *unreadable),
        failures=len(failures),
        verdicts=judge_landed(platform, current),
        notices=masking_notices(current, platform.contracts, platform.masked_with),
        contract_notices=contract_notices(platform.contracts, current),
        key_faults=tuple(platform.keys.faults()),
        retracted=tuple(
            f"{each.record.source}/{each.record.name} ({each.record.sha256[:12]}), {each.record.rows:,} rows, {each.why}"
            for each in retracted
        ),
    )


def known_days(platform: Platform) -> list[dt.date]:
    """Return the days of which there is or must be anything, also if only rows that came too late; sorted."""
    records = current_records(platform)
    state = read_state(platform, records)
    return _known(state, lateness_of_days(records, state.watermarks, platform.contracts))


def _known(state: State, lateness: Mapping[dt.date, DayLateness]) -> list[dt.date]:
    return sorted({*expected_days(state), *(day for day, found in lateness.items() if found.too_late_rows)})


def summarise_days(platform: Platform, wanted: Iterable[dt.date] | None = None) -> list[DaySummary]:
    """Summarise days, in order.

    Args:
        platform: The opened root.
        wanted: Only these days, whether or not there is anything; by default all that have or need anything.
    """
    records = current_records(platform)
    state = read_state(platform, records)
    lateness = lateness_of_days(records, state.watermarks, platform.contracts)
    days = _known(state, lateness) if wanted is None else sorted(set(wanted))
    landed: dict[str, int] = {}
    for record in records:
        for day, rows in record.rows_per_day.items():
            landed[day] = landed.get(day, 0) + rows
    heads = {asset: platform.store.heads(asset) for asset in TABLES}
    decisions: dict[dt.date, list[Decision]] = {day: [] for day in days}
    # What reads a neighbour that is only to be built waits for it; left out of the plan, the neighbour would block it.
    around = plan(state, {day + offset * ONE_DAY for day in days for offset in (-1, 0, 1)})
    waiting = {(each.asset, each.day): each for each in around if each.status is Status.WAITING}
    for decision in plan(state, days):
        is_blocked = decision.status is Status.BLOCKED
        shown = waiting.get((decision.asset, decision.day), decision) if is_blocked else decision
        decisions[decision.day].append(shown)
    return [
        _summarise(
            day,
            landed.get(day.isoformat(), 0),
            {a: heads[a].get(day.isoformat()) for a in TABLES},
            decisions[day],
            lateness.get(day, NOTHING_LANDED),
        )
        for day in days
    ]


def _summarise(
    day: dt.date,
    landed_rows: int,
    heads: Mapping[str, LogRecord | None],
    decisions: list[Decision],
    lateness: DayLateness,
) -> DaySummary:
    assert len(decisions) == len(UPSTREAM)
    found = {decision.status for decision in decisions}
    return DaySummary(
        day=day,
        landed_rows=landed_rows,
        rows={asset: head.rows if head else None for asset, head in heads.items()},
        generations={asset: head.generation if head else None for asset, head in heads.items()},
        duplicate_rows=_file_rows(heads["quarantined_events"], "disposition=duplicate"),
        rejected_rows=_file_rows(heads["quarantined_events"], "disposition=rejected"),
        positive_rows=_file_rows(heads["label_partitions"], "label=positive"),
        status=next(status for status in WORST_FIRST if status in found),
        decisions=tuple(decisions),
        lateness=lateness,
    )


def _file_rows(head: LogRecord | None, folder: str) -> int | None:
    return next((entry.rows for entry in head.files if entry.name.startswith(folder)), None) if head else None

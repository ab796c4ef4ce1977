"""What must run, and why: inputs required now against the inputs of what is published.

Belongs here: the one decision function that the command line, the sensor and the status share. It is pure:
it sees a :class:`State` and answers. Does not belong here: reading logs, ledgers or clocks.

A partition is dirty exactly when the inputs recorded with its published generation differ from the inputs
required now. There is no cursor: losing history, running twice or running late changes no answer.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from ml_data_platform.events.acceptance import accepted_inputs
from ml_data_platform.events.lateness import ONE_DAY, is_complete, mature_through, start_of_day

ABSENT = "absent"

UPSTREAM: Mapping[str, tuple[tuple[str, int], ...]] = {
    "raw_events": (),
    "validated_events": (("raw_events", 0),),
    "session_features": (("validated_events", -1), ("validated_events", 0), ("validated_events", 1)),
    "session_summaries": (("validated_events", 0),),
    "date_partitions": (("session_features", 0),),
    "label_partitions": (("session_features", 0),),
    "stratified_partitions": (("session_features", 0),),
}
"""Asset to the (asset, offset in days) that it reads; in an order in which everything can be built."""

REJECTS = "quarantined_events"
"""Published by the stage of ``validated_events``, with it or without."""

GATES: Mapping[str, str] = {"label_partitions": "date_partitions", "stratified_partitions": "date_partitions"}
"""Asset to the one whose checks judge the rows of both: it is built where that one is published from what is required now."""

LAYERS: tuple[tuple[str, ...], ...] = (
    ("raw_events", "validated_events"),
    ("session_features", "session_summaries"),
    ("date_partitions", "label_partitions", "stratified_partitions"),
)
"""Assets of one day that one run builds; a layer reads other days only of the layers before it."""

READS_CONTRACTS = frozenset({"raw_events", "validated_events", "session_features"})
"""Assets that cannot be built without the contract of each source with rows: it says which reading of a file counts,
what the rows mean, and up to when labels are known. Built without one, they would lack its rows, or their labels."""


class Status(StrEnum):
    """What is to be done about one partition."""

    CLEAN = "clean"
    DIRTY = "dirty"
    WAITING = "waiting"
    BLOCKED = "blocked"
    NOT_NEEDED = "not needed"


@dataclass(frozen=True)
class Head:
    """The published generation of one partition, as far as planning sees it.

    Attributes:
        content: Hash over the partition's files.
        inputs: What it was built from.
        generation: Its number in the commit log.
        is_published: False only for a quarantine whose day was refused.
    """

    content: str
    inputs: Mapping[str, str]
    generation: int = 1
    is_published: bool = True


@dataclass(frozen=True)
class State:
    """Everything that a decision depends on.

    Attributes:
        landed: Day to (ledger input key, e.g. ``landed_files/globo/<sha256>``) to fragment hash; also the keys
            ``admitted/<source>/<sha256>`` of rows that came too late and were replayed.
        heads: Asset to day to published generation.
        verdicts: Day to the head of ``quarantined_events``, which is published also for a refused day.
        watermarks: Source to watermark.
        configuration: Asset to configuration inputs, e.g. code version, rules, fold count.
        contracts: Source to hash of its contract; sources whose contract is broken or gone are left out.
        broken_contracts: Sources whose contract is broken.
        accepted_features: Feature that may tell the label to the reason.
        lost: Day to what the ledger has lost of the records that it was published from, in words.
        lost_files: (Asset, day) to the names of published files that are gone and marked to be built again.
        today: Last day that has a partition; rows can claim a later one, which is built once it has begun.
    """

    landed: Mapping[dt.date, Mapping[str, str]] = field(default_factory=dict)
    heads: Mapping[str, Mapping[dt.date, Head]] = field(default_factory=dict)
    verdicts: Mapping[dt.date, Head] = field(default_factory=dict)
    watermarks: Mapping[str, dt.datetime] = field(default_factory=dict)
    configuration: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    contracts: Mapping[str, str] = field(default_factory=dict)
    broken_contracts: frozenset[str] = frozenset()
    accepted_features: Mapping[str, str] = field(default_factory=dict)
    lost: Mapping[dt.date, str] = field(default_factory=dict)
    lost_files: Mapping[tuple[str, dt.date], tuple[str, ...]] = field(default_factory=dict)
    today: dt.date = dt.date.max

    def head(self, asset: str, day: dt.date) -> Head | None:
        """Return the published generation of a partition, or none."""
        return self.heads.get(asset, {}).get(day)

    def sources_of(self, day: dt.date) -> list[str]:
        """Return the sources with landed rows on ``day``, sorted."""
        return sorted({key.split("/")[1] for key in self.landed.get(day, {})})

    def lacking_contracts(self, day: dt.date) -> dict[str, str]:
        """Return the sources with landed rows on ``day`` that have no usable contract to why: broken or gone."""
        lacking = [source for source in self.sources_of(day) if source not in self.contracts]
        return {source: "broken" if source in self.broken_contracts else "gone" for source in lacking}


@dataclass(frozen=True)
class Decision:
    """What is to be done about one partition, and why.

    Attributes:
        asset: Asset name.
        day: UTC day.
        status: What is to be done.
        reasons: For a dirty partition the inputs that changed or files that are lost, for a blocked one what blocks it.
        blocked_by: Days that block this partition: refused ones, else those with a missing upstream, where there are any.
        by_refusal: Whether these are refused ones.
        required: The inputs required now; empty where it is not needed.
        lost: Files of it that were published and are lost, in words.
    """

    asset: str
    day: dt.date
    status: Status
    reasons: tuple[str, ...] = ()
    blocked_by: tuple[dt.date, ...] = ()
    required: Mapping[str, str] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    by_refusal: bool = False


def required_inputs(state: State, asset: str, day: dt.date) -> dict[str, str]:
    """Return what ``asset`` of ``day`` must be built from now.

    Returns:
        Input key to content hash or configuration value; ``absent`` for an upstream day that has no generation.
    """
    inputs = dict(state.configuration.get(asset, {}))
    if asset == "raw_events":
        inputs.update(state.landed.get(day, {}))
    if asset == "validated_events":
        inputs.update({f"contract/{source}": state.contracts.get(source, ABSENT) for source in state.sources_of(day)})
    for upstream, offset in UPSTREAM[asset]:
        upstream_day = day + offset * ONE_DAY
        head = state.head(upstream, upstream_day)
        inputs[f"{upstream}/{upstream_day.isoformat()}"] = head.content if head else ABSENT
    if asset == "date_partitions":
        head = state.head(asset, day)
        inputs |= accepted_inputs(state.accepted_features, inputs, head.inputs if head else None)
    if asset == "session_features":
        for source, instant in maturity(state, day).items():
            inputs[f"mature_through/{source}"] = instant.isoformat()
    return inputs


def maturity(state: State, day: dt.date) -> dict[str, dt.datetime]:
    """Return per source of ``day`` the instant through which its labels are known.

    The watermark counts in whole days, so that a moving clock makes a day dirty once and not at every tick.
    """
    watermarks = {
        source: start_of_day(state.watermarks[source].astimezone(dt.UTC).date())
        for source in state.sources_of(day)
        if source in state.watermarks
    }
    return mature_through(day, watermarks, next_day_is_built=state.head("validated_events", day + ONE_DAY) is not None)


def missing_upstream(state: State, asset: str, day: dt.date) -> tuple[tuple[str, dt.date], ...]:
    """Return the partitions without a generation that forbid to build ``asset`` of ``day``.

    What is missing must not be read as empty. Days that have no landed rows are an exception, and so is the following
    day as long as nobody refused it: without it labels are immature, which is counted and repaired later.
    """
    missing = []
    for upstream, offset in UPSTREAM[asset]:
        upstream_day = day + offset * ONE_DAY
        if state.head(upstream, upstream_day) is not None:
            continue
        has_rows = bool(state.landed.get(upstream_day))
        if offset == 0 or (has_rows and (offset < 0 or is_refused(state, upstream_day))):
            missing.append((upstream, upstream_day))
    return tuple(missing)


def closed_gate(state: State, asset: str, day: dt.date) -> str | None:
    """Return the asset whose checks must have passed the same rows before, and have not; none where nothing forbids."""
    gate = GATES.get(asset)
    if gate is None:
        return None
    head = state.head(gate, day)
    return None if head is not None and dict(head.inputs) == required_inputs(state, gate, day) else gate


def refused_days(state: State, asset: str, day: dt.date) -> tuple[dt.date, ...]:
    """Return the days whose refused rows keep ``asset`` of ``day`` from being built, near or far upstream; sorted."""
    if asset == "validated_events" and is_refused(state, day):
        return (day,)
    missing = missing_upstream(state, asset, day)
    return tuple(sorted({refused for upstream, of in missing for refused in refused_days(state, upstream, of)}))


def is_refused(state: State, day: dt.date) -> bool:
    """Tell whether the present inputs of ``validated_events`` were tried and refused."""
    verdict = state.verdicts.get(day)
    return (
        verdict is not None
        and not verdict.is_published
        and dict(verdict.inputs) == required_inputs(state, "validated_events", day)
    )


def changed_inputs(published: Mapping[str, str], required: Mapping[str, str]) -> tuple[str, ...]:
    """Return in words how the required inputs differ from those of the published generation."""
    reasons = [f"new {key}" for key in sorted(required.keys() - published.keys())]
    reasons += [f"gone {key}" for key in sorted(published.keys() - required.keys())]
    both = sorted(required.keys() & published.keys())
    reasons += [f"changed {key}" for key in both if required[key] != published[key]]
    return tuple(reasons)


def decide(state: State, asset: str, day: dt.date, *, is_requested: bool = False) -> Decision:
    """Decide what is to be done about one partition, its upstream being as it is.

    Args:
        state: What is landed, published and configured.
        asset: Asset name.
        day: UTC day.
        is_requested: Build the day also when no row of it was ever landed.
    """
    head = state.head(asset, day)
    if day > state.today:
        return Decision(asset, day, Status.NOT_NEEDED, ("the day has not begun",))
    if head is None and not is_requested and not is_expected(state, day):
        return Decision(asset, day, Status.NOT_NEEDED)
    required = required_inputs(state, asset, day)
    blocked = _blocked(state, asset, day, required)
    if blocked is not None:
        return blocked
    reasons = ("never built",) if head is None else changed_inputs(head.inputs, required)
    lost = _lost(state, asset, day)
    reasons += lost
    if reasons:
        gone = [f"{up} of {of}" for up, of in _read_by(asset, day) if (up, of) in state.lost_files]
        if gone:
            why = f"needs {' and '.join(gone)}, whose stored file is lost"
            return Decision(asset, day, Status.BLOCKED, (why,), (), required)
    gate = closed_gate(state, asset, day) if reasons else None
    if gate is not None:
        why = f"{gate} of {day}, whose checks judge the same rows, is not published from what is there now"
        return Decision(asset, day, Status.BLOCKED, (why,), (day,), required)
    return Decision(asset, day, Status.DIRTY if reasons else Status.CLEAN, reasons, (), required, lost)


def _blocked(state: State, asset: str, day: dt.date, required: Mapping[str, str]) -> Decision | None:
    """Return the decision about a partition that something keeps from being built; none where nothing does."""
    lacking = state.lacking_contracts(day) if asset in READS_CONTRACTS else {}
    if lacking:
        named = ", ".join(f"{source}, which is {why}" for source, why in lacking.items())
        return Decision(asset, day, Status.BLOCKED, (f"waits for the contract of {named}",), (), required)
    if asset == "raw_events" and day in state.lost:
        return Decision(asset, day, Status.BLOCKED, (state.lost[day],), (), required)
    if asset == "validated_events" and is_refused(state, day) and (REJECTS, day) not in state.lost_files:
        reason = "its rows were refused by a blocking check; waits for new inputs"
        return Decision(asset, day, Status.BLOCKED, (reason,), (day,), required, by_refusal=True)
    missing = missing_upstream(state, asset, day)
    if missing:
        refused = refused_days(state, asset, day)
        reasons = tuple(f"needs {upstream} of {of}, which is not published" for upstream, of in missing)
        if refused:
            reasons = (f"blocked by validated_events of {', '.join(map(str, refused))}",)
        blocked_by = refused or tuple(sorted({of for _, of in missing if not state.lacking_contracts(of)}))
        return Decision(asset, day, Status.BLOCKED, reasons, blocked_by, required, by_refusal=bool(refused))
    return None


def _read_by(asset: str, day: dt.date) -> list[tuple[str, dt.date]]:
    return [(upstream, day + offset * ONE_DAY) for upstream, offset in UPSTREAM[asset]]


def _lost(state: State, asset: str, day: dt.date) -> tuple[str, ...]:
    """Return in words which published files that a stage writes are lost; none where all are there."""
    written = (asset, REJECTS) if asset == "validated_events" else (asset,)
    lost = [(each, name) for each in written for name in state.lost_files.get((each, day), ())]
    return tuple(f"lost {name} of {each}: its bytes were damaged or are gone" for each, name in lost)


def is_expected(state: State, day: dt.date) -> bool:
    """Tell whether ``day`` is to be built without being asked for.

    So are days with landed rows, or with refused ones that were retracted since, and a day that follows one and is
    complete for a source with rows there: the labels before it need to know that it is empty. Sources that have nothing to
    do with these days have no say.
    """
    verdict = state.verdicts.get(day)
    if state.landed.get(day) or (verdict is not None and not verdict.is_published):
        return True
    watermarks = [state.watermarks[name] for name in state.sources_of(day - ONE_DAY) if name in state.watermarks]
    return any(is_complete(day, watermark) for watermark in watermarks)


def expected_days(state: State) -> list[dt.date]:
    """Return all days that have rows, generations, or follow a day with rows; sorted."""
    days = {day for day, files in state.landed.items() if files}
    days |= {day + ONE_DAY for day in days if is_expected(state, day + ONE_DAY)}
    return sorted(days.union(state.verdicts, *state.heads.values()))


def plan(
    state: State, days: Iterable[dt.date], *, assets: Iterable[str] = tuple(UPSTREAM), is_requested: bool = False
) -> list[Decision]:
    """Decide about every partition of ``assets`` and ``days``, in an order in which they can be built.

    Decisions see the upstream as it is published now; what reads a dirty partition is ``waiting``, whatever it is by
    itself: plan again once that was built, and what did not change there leaves it clean.
    """
    wanted = set(assets)
    chosen = [asset for asset in UPSTREAM if asset in wanted]
    ordered = sorted(set(days))
    unsettled: set[tuple[str, dt.date]] = set()
    decisions = []
    for asset in chosen:
        for day in ordered:
            decision = decide(state, asset, day, is_requested=is_requested)
            behind = [(up, day + offset * ONE_DAY) for up, offset in UPSTREAM[asset]]
            if asset in GATES and decision.status is not Status.CLEAN:
                behind.append((GATES[asset], day))
            waits_for = [f"after {up} of {of.isoformat()}" for up, of in behind if (up, of) in unsettled]
            if waits_for and decision.status is not Status.NOT_NEEDED:
                decision = replace(decision, status=Status.WAITING, reasons=tuple(waits_for))
            if decision.status in {Status.DIRTY, Status.WAITING}:
                unsettled.add((asset, day))
            decisions.append(decision)
    return decisions

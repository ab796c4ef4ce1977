"""What becomes of each value of a landed row, where a contract has a ``pii`` section.

Belongs here: the rules by path, and what the section must agree with in the rest of the contract. Does not belong here:
masking (``landing.masking``), keys (storage).

A contract lists what may stay: the columns that it reads as fields, and those that ``pii.columns`` keeps. All else is
unnamed, whoever sends it, so that a column that a producer adds tomorrow is safe before anybody has looked at it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ml_data_platform.events.contract_errors import Problem
from ml_data_platform.events.contract_parts import MaskingAction, PersonalData, VersionColumn
from ml_data_platform.events.id_texts import NULL_MARKERS, absent_texts
from ml_data_platform.events.schema_versions import ID_COLUMNS, FieldType

if TYPE_CHECKING:
    from ml_data_platform.events.contract_model import SourceContract

ROW_KEY = "_masked_row"
"""Member of a masked row that tells it from rows that differ in dropped values only; it is no column."""

BROKEN_RULES_KEY = "_broken_rules"
"""First member of a masked row that broke rules on columns that are hidden since: the rules' names; it is no column."""

_DEFAULT_ABSENT = absent_texts(NULL_MARKERS, ())
# Masked, it would be no type that the contract maps.
_READ_AS_WRITTEN = frozenset({"event_type"})


@dataclass(frozen=True)
class PathRule:
    """What becomes of the value at one path.

    Attributes:
        action: ``field``: a plain value stays, and what is within an object or array is unnamed. None: only paths
            within are named.
        within: Key to the rule of what lies under it.
        is_id: The value is an id: what stands for none is not masked, and spellings of one integer have one mask.
    """

    action: MaskingAction | Literal["field"] | None = None
    within: Mapping[str, PathRule] = field(default_factory=dict)
    is_id: bool = False


@dataclass(frozen=True)
class MaskingPlan:
    """What becomes of the values of a landed row.

    Attributes:
        root: The rule of the row as a whole.
        unnamed: What becomes of what no rule names.
        domain: Equal values have equal masks within it.
        tells_rows_apart: Rows are told apart by all that they hold, so that what is dropped must leave a trace.
        absent_ids: Texts that stand for no id, as ``id_texts`` compares them.
        is_flat: Rows have no objects within them, but cells may hold JSON text.
    """

    root: PathRule
    unnamed: MaskingAction
    domain: str
    tells_rows_apart: bool
    absent_ids: tuple[str, ...]
    is_flat: bool


def masking_plan(contract: SourceContract) -> MaskingPlan | None:
    """Return the plan of a contract; None where it has no ``pii`` section."""
    said = contract.pii
    if said is None:
        return None
    named: dict[str, MaskingAction | Literal["field"]] = {**dict.fromkeys(_named(contract), "field"), **said.columns}
    actions = {path: action for column, action in named.items() for path in _paths(contract, column)}
    # A producer's own member of that name would speak for the platform.
    actions[(BROKEN_RULES_KEY,)] = "drop"
    has_ids = bool(contract.identity) or contract.has_stated_event_ids
    is_dropping = said.unnamed == "drop" or "drop" in said.columns.values()
    return MaskingPlan(
        root=_rule((), actions, _id_paths(contract)),
        unnamed=said.unnamed,
        domain=said.domain or contract.domain,
        tells_rows_apart=is_dropping and not has_ids,
        absent_ids=contract.absent_ids,
        is_flat=contract.is_flat,
    )


def masking_of(contract: SourceContract, column: str) -> MaskingAction:
    """Return what is left of a landed column's values in kept rows, of all places where they may stand the least."""
    plan = masking_plan(contract)
    if plan is None:
        return "keep"
    found = {_masking_at(plan, path) for path in _paths(contract, column)}
    return "drop" if "drop" in found else "mask" if "mask" in found else "keep"


def _masking_at(plan: MaskingPlan, path: tuple[str, ...]) -> MaskingAction:
    rule = plan.root
    for key in path:
        below = rule.within.get(key)
        if below is None:
            return "keep" if rule.action == "keep" else plan.unnamed
        if below.action in ("mask", "drop"):
            return below.action
        rule = below
    # Where only what is within is named, what is left of the whole is no value of the producer's.
    return "mask" if rule.action is None else "keep"


def plan_facts(contract: SourceContract) -> dict[str, Any] | None:
    """Return what the kept rows of a source depend on beside the key, as JSON-able values; None where nothing is masked."""
    said = contract.pii
    if said is None:
        return None
    return {
        "columns": dict(sorted(said.columns.items())),
        "named": sorted(set(_named(contract)) - set(said.columns)),
        "unnamed": said.unnamed,
        "domain": said.domain or contract.domain,
        "paths": contract.format != "csv",
        # What is said by default is left out, so that files that were masked before are masked alike.
        **({"absent_ids": list(contract.absent_ids)} if contract.absent_ids != _DEFAULT_ABSENT else {}),
    }


def parsed_as(contract: SourceContract) -> dict[str, Any]:
    """Return how a contract reads the values that stay where they parse, as JSON-able values."""
    described = contract.registry.versions
    kinds = {
        f"{column} {version}": described[version].fields[name].type.value
        for version in contract.versions
        for name, columns in contract.field_columns(version).items()
        for column in columns
    }
    declared = contract.schema_version
    return {
        "kinds": kinds,
        "event_time": contract.event_time.model_dump(mode="json", exclude_defaults=True),
        "event_types": sorted(contract.known_event_types),
        "numbers": [contract.csv.thousands, contract.csv.decimal],
        "versions": list(contract.versions) if isinstance(declared, VersionColumn) else [],
    }


def with_masked(rule: PathRule, paths: Collection[tuple[str, ...]]) -> PathRule:
    """Return a rule by which also what stands at these paths is masked; empty paths stand for the value itself."""
    if () in paths:
        return PathRule("mask", {}, rule.is_id)
    below: dict[str, list[tuple[str, ...]]] = {}
    for path in paths:
        below.setdefault(path[0], []).append(path[1:])
    within = {key: with_masked(rule.within.get(key) or PathRule(), rest) for key, rest in below.items()}
    return PathRule(rule.action, {**rule.within, **within}, rule.is_id)


def plan_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return in words what `plan_facts` of two times differ in, at most one entry per column."""
    was, becomes = _actions(before), _actions(now)
    found = [
        f"{column}: {was.get(column, before['unnamed'])} then, {becomes.get(column, now['unnamed'])} now"
        for column in sorted(was.keys() | becomes.keys())
        if was.get(column, before["unnamed"]) != becomes.get(column, now["unnamed"])
    ]
    if before.get("absent_ids") != now.get("absent_ids"):
        found.append("ids: other texts stand for no id")
    found += [f"{key}: {before[key]} then, {now[key]} now" for key in ("unnamed", "domain") if before[key] != now[key]]
    return found


def masking_problems(contract: SourceContract) -> Iterator[Problem]:
    """Yield what in the ``pii`` section contradicts itself, or what the rest of the contract reads."""
    said = contract.pii
    if said is None:
        return
    for column, action in said.columns.items():
        key = f"pii.columns.{column}"
        if not all(contract.path(column)):
            yield Problem(key, "a dotted path has an empty part", column)
            continue
        above = next((other for other in said.columns if other != column and _is_above(contract, other, column)), None)
        if above is not None and said.columns[above] != "keep":
            why = f"lies within {above}, of which nothing is left: it is to {said.columns[above]}"
            yield Problem(key, why, action)
        yield from _contradictions(contract, said, column)


def _contradictions(contract: SourceContract, said: PersonalData, column: str) -> Iterator[Problem]:
    action, key = said.columns[column], f"pii.columns.{column}"
    if action == "keep":
        return
    for read, why_unmaskable, why_undroppable in _uses(contract):
        if read == column:
            why = why_unmaskable if action == "mask" else why_undroppable
        else:
            why = f"the contract reads {read} in it" if _is_above(contract, column, read) else None
        if why is not None:
            allowed = ("keep",) if why_unmaskable else ("mask", "keep")
            yield Problem(key, f"cannot be {action}{'ed' if action == 'mask' else 'ped'}: {why}", action, allowed)
            return


def _uses(contract: SourceContract) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield each landed column that is read, why it cannot be masked, and why not dropped; None = it can."""
    for version in contract.versions:
        described = contract.registry.versions[version].fields
        for column in contract.time_columns(version):
            yield column, "it is read as the event time", "it is read as the event time"
        for name, columns in contract.field_columns(version).items():
            is_plain = described[name].type is FieldType.TEXT and name not in _READ_AS_WRITTEN
            unmaskable = None if is_plain else f"it is read as {name}, which a mask is not"
            is_needed = described[name].required or name in contract.registry.versions[version].markers
            for column in columns:
                yield column, unmaskable, f"it is read as {name}" if is_needed or not is_plain else None
    if isinstance(contract.schema_version, VersionColumn):
        why = "it is read as the schema version"
        yield contract.schema_version.column, why, why
    for column in contract.identity:
        yield column, None, "it tells events apart"


def _named(contract: SourceContract) -> tuple[str, ...]:
    read = (column for version in contract.versions for column in contract.landed_columns(version))
    return tuple(dict.fromkeys((*read, *contract.identity)))


def _is_above(contract: SourceContract, one: str, other: str) -> bool:
    parts, below = contract.path(one), contract.path(other)
    return len(parts) < len(below) and below[: len(parts)] == parts


def _id_paths(contract: SourceContract) -> frozenset[tuple[str, ...]]:
    """Return the paths of the columns that fields of ids are made of."""
    return frozenset(
        path
        for version in contract.versions
        for name, canonical in contract.registry.canonical_columns(version).items()
        if canonical in ID_COLUMNS
        for column in contract.columns_of(name)
        for path in _paths(contract, column)
    )


def _paths(contract: SourceContract, column: str) -> tuple[tuple[str, ...], ...]:
    """Return the path of a column; of CSV also the one that leads into the JSON text of a cell."""
    parts = tuple(column.split("."))
    return tuple(dict.fromkeys((parts, contract.path(column)))) if all(parts) else (contract.path(column),)


def _rule(
    path: tuple[str, ...],
    actions: Mapping[tuple[str, ...], MaskingAction | Literal["field"]],
    ids: Collection[tuple[str, ...]],
) -> PathRule:
    at = len(path)
    keys = dict.fromkeys(each[at] for each in actions if len(each) > at and each[:at] == path)
    return PathRule(actions.get(path), {key: _rule((*path, key), actions, ids) for key in keys}, path in ids)


def _actions(facts: Mapping[str, Any]) -> dict[str, str]:
    return {**dict.fromkeys(facts["named"], "keep"), **facts["columns"]}

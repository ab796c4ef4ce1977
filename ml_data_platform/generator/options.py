"""What the caller may ask of the generator, checked before a byte is written.

Belongs here: the shares of each kind of row, the poisoned day, the size of the population. Does not
belong here: the draws that turn a share into rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from typing import Any

from ml_data_platform.errors import SettingsError
from ml_data_platform.generator.kinds import BROKEN_KINDS, DUPLICATE_KINDS, UNDATED_KINDS

GENERATOR_VERSION = 1
MAX_USERS = 9_999_999
MAX_EVENTS = 10**12
MAX_SEED = 2**64 - 1
# from September 2001 to 2286 an epoch in milliseconds has thirteen digits, which lines have room for
EARLIEST_START = date(2002, 1, 1)
# before the planted future of 2090
LATEST_END = date(2080, 1, 1)


@dataclass(frozen=True, kw_only=True)
class GeneratorOptions:
    """How much of what to plant. A share is a fraction (0 to 1) of the rows before duplication.

    Attributes:
        duplicate_share: Extra copies of clean rows, split evenly over the duplicate kinds.
        broken_share: Rows that land on a day and break one named rule, split evenly over the broken kinds.
        undated_share: Rows without a usable day, split evenly over the reasons.
        late_share: Rows written to the file of a later hour than the hour of their event.
        v2_share: Sessions whose client writes row format v2; the others write v1.
        kind_shares: Share of single kinds, in place of their part of the totals above.
        poisoned_day: A UTC day among the generated ones on which ``poisoned_share`` takes the place of
            the share of broken rows; None for no such day.
        poisoned_share: Broken rows among the rows of the poisoned day.
        users: Size of the population; None for a tenth of the events of a day (20 to 2,000,000).
        row_truth: Whether to write ``_planted/rows.jsonl``, one line for each row; the counts by day and
            by file are always written.
    """

    duplicate_share: float = 0.01
    broken_share: float = 0.005
    undated_share: float = 0.002
    late_share: float = 0.02
    v2_share: float = 0.5
    kind_shares: Mapping[str, float] = field(default_factory=dict)
    poisoned_day: date | None = None
    poisoned_share: float = 0.3
    users: int | None = None
    row_truth: bool = True

    def __post_init__(self) -> None:
        known = (*DUPLICATE_KINDS, *BROKEN_KINDS, *UNDATED_KINDS)
        for kind in self.kind_shares:
            if kind not in known:
                raise SettingsError("There is no such kind of row.", expected=", ".join(known), got=kind)
        named = {name: value for name, value in asdict(self).items() if name.endswith("_share")}
        for name, share in {**named, **self.kind_shares}.items():
            _require_share(name, share)
        for kinds in (DUPLICATE_KINDS, (*BROKEN_KINDS, *UNDATED_KINDS)):
            _require_share(" + ".join(kinds), sum(self.shares(kinds).values()))
        _require_share("poisoned_share + undated", self.poisoned_share + sum(self.shares(UNDATED_KINDS).values()))
        if self.users is not None and not 1 <= self.users <= MAX_USERS:
            raise SettingsError("The population has an unusable size.", expected=f"1 to {MAX_USERS}", got=self.users)

    def shares(self, kinds: Iterable[str]) -> dict[str, float]:
        """Return the share of each of ``kinds`` (any but the clean one), in their order."""
        even: dict[str, float] = {}
        for group, total in (
            (DUPLICATE_KINDS, self.duplicate_share),
            (BROKEN_KINDS, self.broken_share),
            (UNDATED_KINDS, self.undated_share),
        ):
            even.update(dict.fromkeys(group, total / len(group)))
        return {kind: float(self.kind_shares.get(kind, even[kind])) for kind in kinds}

    def to_json(self) -> dict[str, Any]:
        """Return the options as JSON values, with keys in declaration order."""
        facts = asdict(self)
        facts["kind_shares"] = {kind: self.kind_shares[kind] for kind in sorted(self.kind_shares)}
        facts["poisoned_day"] = self.poisoned_day.isoformat() if self.poisoned_day else None
        return facts


def population(options: GeneratorOptions, events_per_day: int) -> int:
    """Return the number of users that events are spread over."""
    return options.users if options.users is not None else min(2_000_000, max(20, events_per_day // 10))


def check_arguments(
    start: date, days: int, events_per_day: int, seed: int, options: GeneratorOptions
) -> dict[str, Any]:
    """Return all arguments as JSON values, after checking that they can be met.

    Raises:
        SettingsError: When one is out of bounds, or the poisoned day is not among the generated days.
    """
    if days < 1 or events_per_day < 1 or days * events_per_day > MAX_EVENTS:
        raise SettingsError(
            "The amount of events is unusable.",
            expected=f"at least one day of one event, at most {MAX_EVENTS} events",
            got=f"{days} days of {events_per_day} events",
        )
    if not 0 <= seed <= MAX_SEED:
        raise SettingsError("The seed is unusable.", expected=f"0 to {MAX_SEED}", got=seed)
    if start < EARLIEST_START or days > (LATEST_END - EARLIEST_START).days or start + timedelta(days) > LATEST_END:
        raise SettingsError(
            "Events cannot be generated for these days.",
            expected=f"days from {EARLIEST_START} to {LATEST_END}",
            got=f"{days} days from {start}",
        )
    poisoned = options.poisoned_day
    if poisoned is not None and not start <= poisoned < start + timedelta(days):
        raise SettingsError(
            "The poisoned day is not generated.", expected=f"{days} days from {start}", got=poisoned.isoformat()
        )
    return {
        "generator_version": GENERATOR_VERSION,
        "start": start.isoformat(),
        "days": days,
        "events_per_day": events_per_day,
        "seed": seed,
        "options": options.to_json(),
    }


def _require_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise SettingsError("A share is not a fraction.", setting=name, expected="0 to 1", got=share)

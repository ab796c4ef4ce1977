"""What the rules of contracts found on one day.

Belongs here: counts, verdicts and how they read. Does not belong here: judging (``contract_rules``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ml_data_platform.events.expectations import Expectation
from ml_data_platform.validation.outcomes import is_within_tolerance


@dataclass
class RuleCount:
    """What one rule found in the rows of its source on one day.

    Attributes:
        source: Source name.
        name: Name of the rule.
        rule: The rule.
        rows: Rows that were judged.
        values: Those of them with a value; None where only the names of broken rules were kept.
        broken: Rows that break it; of a rule on uniqueness all that share a value.
        examples: A few of them, bounded.
        lack: Why the rule says less than it seems to; empty where it judged all rows.
    """

    source: str
    name: str
    rule: Expectation
    rows: int = 0
    values: int | None = None
    broken: int = 0
    examples: list[str] = field(default_factory=list)
    lack: str = ""

    @property
    def holds(self) -> bool:
        """Whether no more rows break the rule than tolerated."""
        return is_within_tolerance(self.broken, self.rows, self.rule.tolerated)

    @property
    def line(self) -> str:
        """The finding in one bounded line."""
        share = f" ({self.broken / self.rows:.3%}, tolerated {self.rule.tolerated:.3%})" if self.rows else ""
        first = f"; {self.examples[0]}" if self.examples else ""
        found = f"{self.broken:,} of {self.rows:,} rows break it{share}{first}"
        return f"{self.source} {self.name}: {self.lack if self.lack and self.holds else found}"

    def to_json(self) -> dict[str, str | int | float]:
        """Return the finding as a row of a table."""
        return {
            "source": self.source,
            "rule": self.name,
            "expectation": self.rule.expectation,
            "columns": ", ".join(self.rule.columns),
            "severity": self.rule.severity,
            "rows": self.rows,
            "values": "" if self.values is None else self.values,
            "broken": self.broken,
            "share": self.broken / self.rows if self.rows else 0.0,
            "tolerance": self.rule.tolerated,
            "holds": "yes" if self.holds and not self.lack else "no" if not self.holds else self.lack,
            "examples": "; ".join(self.examples),
        }


@dataclass(frozen=True)
class ContractRules:
    """What the rules of all sources found on one day.

    Attributes:
        counts: One entry per rule of each source with rows, by source and rule.
    """

    counts: tuple[RuleCount, ...] = ()

    def of(self, *, blocking: bool) -> tuple[RuleCount, ...]:
        """Return the findings of the rules that block, or of those that warn."""
        return tuple(count for count in self.counts if count.rule.blocks == blocking)

    def broken(self, *, blocking: bool) -> tuple[RuleCount, ...]:
        """Return what must be said, by severity: with those that warn, also each rule that could not judge all rows."""
        return tuple(
            count
            for count in self.counts
            if (count.rule.blocks == blocking and not count.holds) or (count.lack and not blocking)
        )

    def tolerant(self, bound: float) -> tuple[str, ...]:
        """Return the names of rules that tolerate a larger share than a bound on all rejected rows would."""
        return tuple(
            sorted({count.name for count in self.counts if count.rule.blocks and count.rule.tolerated > bound})
        )

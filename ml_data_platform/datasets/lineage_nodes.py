"""What a trace consists of: things, what is known of them, and what they were made from.

Belongs here: the shape of a trace, and its form for scripts. Does not belong here: finding out (``lineage``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Node:
    """One thing in a chain.

    Attributes:
        kind: ``model``, ``version``, ``partition``, ``event``, ``user``, ``landed file``, or what became of a landed row:
            ``duplicate row``, ``rejected row``, ``too late row``, ``row without a day``.
        name: What it is called.
        facts: What is known of it.
        children: What it was made from; of a trace upwards, what was made from it.
    """

    kind: str
    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    children: tuple[Node, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values for scripts."""
        return {
            "kind": self.kind,
            "name": self.name,
            "facts": dict(self.facts),
            "children": [child.to_json() for child in self.children],
        }

    def holds(self, name: str, content: str) -> bool:
        """Tell whether a partition of this name and content is here or below."""
        if (self.name, self.facts.get("content")) == (name, content):
            return True
        return any(child.holds(name, content) for child in self.children)


@dataclass(frozen=True)
class Trace:
    """What something was made from, and which versions and models contain it."""

    made_from: Node
    contained_in: tuple[Node, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for scripts."""
        return {
            "made_from": self.made_from.to_json(),
            "contained_in": [node.to_json() for node in self.contained_in],
        }

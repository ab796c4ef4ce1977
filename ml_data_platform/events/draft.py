"""The draft of a source contract, and the remarks in it.

Belongs here: value types. Does not belong here: drafting (inference) and writing YAML (drafting).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Remark:
    """One remark in the draft.

    Attributes:
        text: What was found, and why it was chosen.
        is_doubt: Whether its author must look at it.
    """

    text: str
    is_doubt: bool = False


@dataclass(frozen=True)
class Draft:
    """A draft of a contract.

    Attributes:
        keys: The contract's keys, in the order in which they are written.
        remarks: Dotted key to remarks about it; the empty key is the file as a whole.
        first: Earliest event time seen, as guessed.
        last: Latest event time seen.
        missing: What the draft cannot be without and the file does not seem to have.
    """

    keys: Mapping[str, Any]
    remarks: Mapping[str, tuple[Remark, ...]]
    first: dt.datetime | None = None
    last: dt.datetime | None = None
    missing: tuple[str, ...] = ()


@dataclass
class Notes:
    """Remarks as they are collected.

    Attributes:
        remarks: Dotted key to remarks.
    """

    remarks: dict[str, list[Remark]] = field(default_factory=dict)

    def say(self, key: str, text: str, *, is_doubt: bool = False) -> None:
        """Add a remark about a key."""
        self.remarks.setdefault(key, []).append(Remark(text, is_doubt))

    def doubt(self, key: str, text: str) -> None:
        """Add a remark that the author must look at."""
        self.say(key, text, is_doubt=True)

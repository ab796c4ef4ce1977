"""The form of a suggestion, and what suggestions are made from.

Belongs here: value types. Does not belong here: making suggestions (advice, advice_on_times).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ml_data_platform.events.profiles import ColumnProfile
from ml_data_platform.events.sniffing import FormatGuess


@dataclass(frozen=True)
class Suggestion:
    """One thing to do.

    Attributes:
        what: What was seen, in one sentence.
        change: What to write where, e.g. a line of the contract; empty where there is nothing to write.
    """

    what: str
    change: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.change}" if self.change else self.what


@dataclass(frozen=True)
class FileLook:
    """What a file looks like by itself.

    Attributes:
        form: Its format, as guessed from its beginning.
        profiles: Landed column to profile, of the first rows.
    """

    form: FormatGuess
    profiles: Mapping[str, ColumnProfile]

"""The names of a file's columns: which can be used, which a contract asks for, which it allows.

Belongs here: refusing a whole file for its columns. Does not belong here: reading it (the readers), and what a column
means (``events``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ml_data_platform.errors import LandingError, bounded
from ml_data_platform.events.alike_names import alike_names
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.identity import POSITION_COLUMNS
from ml_data_platform.events.landed_paths import key_paths

MAX_NAMES_SHOWN = 20


def refuse_unreadable_names(names: Sequence[str]) -> None:
    """Check that each column has a name that is text.

    Args:
        names: Column names in the file's order; bytes that are not UTF-8 as lone surrogates.

    Raises:
        LandingError: Names are not UTF-8.
    """
    unreadable = [printable(name) for name in names if not is_text(name)]
    if unreadable:
        raise LandingError(
            "The file has columns whose names are not UTF-8.",
            header=bounded(printable(",".join(names))),
            unreadable=unreadable,
            remedy="Send UTF-8; of a file of Windows or Excel: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW.",
        )


def refuse_ambiguous(repeated: Iterable[Sequence[str]], contract: SourceContract) -> None:
    """Check that no column that the contract names stands in the file several times.

    Columns that it does not name land under names of their own, see `distinct_names`.

    Args:
        repeated: Names, or keys that lead into an object, that occur more than once or are reserved.
        contract: The contract of the file's source.

    Raises:
        LandingError: Nobody can tell which of two columns is the one that is meant.
    """
    named = {column for version in contract.versions for column in contract.landed_columns(version)}
    named |= {*contract.identity, *(contract.pii.columns if contract.pii is not None else ())}
    paths = {path for column in named for path in key_paths(column, is_flat=contract.is_flat)}
    meant = sorted({".".join(keys) for keys in repeated if any(path[: len(keys)] == tuple(keys) for path in paths)})
    if meant:
        raise LandingError(
            "The file has several columns of one name, or of a reserved one, that its contract reads.",
            repeated=_shown(meant),
            remedy="Send the file with one column of each name that the contract reads.",
        )


def require_columns(names: Sequence[str], contract: SourceContract) -> None:
    """Check that a file has every column that its contract reads, for one of its schema versions.

    Raises:
        LandingError: Columns are missing.
    """
    needed = {version: _top_level(contract, contract.required_columns(version)) for version in contract.versions}
    missing = {
        version: [shown for shown, held in columns.items() if held.isdisjoint(names)]
        + _without_any(names, contract, version)
        for version, columns in needed.items()
    }
    nearest = min(missing, key=lambda version: len(missing[version]))
    if missing[nearest]:
        raise LandingError(
            "The file lacks columns that its contract reads.",
            missing=_shown(missing[nearest]),
            expected=_shown(list(needed[nearest])),
            got=_shown(names),
            alike="; ".join(alike_names(missing[nearest], names)) or None,
            remedy="Send the file with these columns, or correct `columns`, `csv.delimiter` or the header's names in the contract.",
        )


def refuse_unknown_columns(names: Iterable[str], contract: SourceContract) -> None:
    """Check that a file has no column beyond the contract's and data frames' positions, where the contract freezes them.

    Raises:
        LandingError: There are such columns, and ``unknown_columns`` is ``freeze``.
    """
    unknown = sorted(set(names) - contract.known_columns - set(POSITION_COLUMNS))
    if unknown and contract.unknown_columns == "freeze":
        raise LandingError(
            "The file has columns that its contract does not name, and the contract freezes them.",
            unknown=_shown(unknown),
            alike="; ".join(alike_names(contract.known_columns - set(names), unknown)) or None,
            expected=_shown(sorted(contract.known_columns)),
            remedy="Name the columns in the contract, or set `unknown_columns` to `evolve` or `discard`.",
        )


def is_text(name: str) -> bool:
    """Return whether a text that was decoded with surrogates is UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _top_level(contract: SourceContract, columns: Iterable[str]) -> dict[str, set[str]]:
    """Return the columns of a file that are asked for, and which of its columns may hold each."""
    found: dict[str, set[str]] = {}
    for column in columns:
        found.setdefault(contract.path(column)[0], set()).update(contract.top_names(column))
    return found


def _without_any(names: Sequence[str], contract: SourceContract, version: int) -> list[str]:
    """Return the columns of which a file needs one and has none."""
    groups = [_top_level(contract, group) for group in contract.alternatives(version)]
    return [" or ".join(group) for group in groups if set().union(*group.values()).isdisjoint(names)]


def printable(text: str) -> str:
    """Return a text that was decoded with surrogates, bytes that are not UTF-8 as backslash escapes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _shown(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMES_SHOWN
    return ", ".join(names[:MAX_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")

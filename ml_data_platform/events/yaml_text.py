"""YAML text as plain values, refusing what is ambiguous or grows without bound.

Belongs here: from bytes to mappings, lists and scalars. Does not belong here: what they mean.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

from ml_data_platform.events.contract_errors import Problem, contract_error

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20


def regular_bytes(path: Path) -> bytes:
    """Return what is in a file; a FIFO that nobody writes to, or a device without an end, is not waited for.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    return path.read_bytes()


def read_yaml(content: bytes | str, file: str) -> object:
    """Read one YAML document.

    Args:
        content: The text, UTF-8.
        file: Where it came from, for messages.

    Raises:
        ContractError: It is no YAML, is too long or too deep, has aliases, or repeats a key.
    """
    if len(content) > MAX_BYTES:
        raise contract_error([Problem("", f"is longer than {MAX_BYTES} bytes", len(content))], file)
    try:
        _refuse_growth(content, file)
        repeated = tuple(_repeated_keys(yaml.compose(content, Loader=yaml.SafeLoader), ()))
        if repeated:
            raise contract_error(repeated, file)
        raw: Any = yaml.safe_load(content)
        _refuse_unwritable_text(raw)
    # The constructors of dates, numbers and binaries raise plain ValueErrors; deep nesting exhausts the stack.
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as cause:
        raise contract_error([Problem("", "is not readable YAML", _place_and_reason(cause))], file) from cause
    return raw


def _place_and_reason(cause: Exception) -> str:
    """Return the line and the reason: the library's own text has several lines, and its end is what matters."""
    if isinstance(cause, yaml.MarkedYAMLError) and cause.problem_mark is not None:
        mark = cause.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {cause.problem}"
    return str(cause)


def _refuse_growth(content: bytes | str, file: str) -> None:
    """Nested aliases grow without bound when they are walked, and deep nesting takes its square in time."""
    depth = 0
    for event in yaml.parse(content, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise contract_error([Problem("", "aliases are not taken", f"*{event.anchor}")], file)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise contract_error([Problem("", f"is nested deeper than {MAX_DEPTH} levels", depth)], file)


def _repeated_keys(node: yaml.Node | None, location: tuple[str, ...]) -> Iterator[Problem]:
    if isinstance(node, yaml.SequenceNode):
        for at, item in enumerate(node.value):
            yield from _repeated_keys(item, (*location, str(at)))
    if isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            name = str(key.value)
            if (key.tag, name) in seen:
                line = key.start_mark.line + 1
                yield Problem(".".join((*location, name)), f"the key is given twice, again in line {line}", name)
            seen.add((key.tag, name))
            yield from _repeated_keys(value, (*location, name))


def _refuse_unwritable_text(raw: object) -> None:
    """Lone surrogates can be written in YAML escapes, but not in any file or query."""
    if isinstance(raw, str):
        raw.encode()
    elif isinstance(raw, dict):
        for key, value in raw.items():
            _refuse_unwritable_text(key)
            _refuse_unwritable_text(value)
    elif isinstance(raw, list):
        for value in raw:
            _refuse_unwritable_text(value)

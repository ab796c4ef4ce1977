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

from ml_data_platform.errors import YamlTextError, bounded

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
_BREAK = "\n"
Problem = tuple[str, str, object]
"""Dotted key, empty for the file as a whole; what is wrong; what was found."""


class _PlacedLoader(yaml.SafeLoader):
    """The constructors of dates, numbers and binaries raise plain errors, which name no line."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError) as cause:
            raise yaml.constructor.ConstructorError(None, None, str(cause), node.start_mark) from cause


def regular_bytes(path: Path) -> bytes:
    """Return what is in a file; a FIFO that nobody writes to, or a device without an end, is not waited for.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    return path.read_bytes()


def read_yaml(content: bytes | str) -> object:
    """Read one YAML document.

    Args:
        content: The text, UTF-8.

    Raises:
        YamlTextError: It is no YAML, is too long or too deep, has aliases, or repeats a key.
    """
    if len(content) > MAX_BYTES:
        raise _error(("", f"is longer than {MAX_BYTES} bytes", len(content)))
    try:
        _refuse_growth(content)
        repeated = tuple(_repeated_keys(yaml.compose(content, Loader=yaml.SafeLoader), ()))
        if repeated:
            raise _error(*repeated)
        raw: Any = _PlacedLoader(content).get_single_data()
        _refuse_unwritable_text(raw)
    # Deep nesting exhausts the stack.
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as cause:
        raise _error(("", "is not readable YAML", _place_and_reason(cause, content))) from cause
    return raw


def _error(*problems: Problem) -> YamlTextError:
    """Return one error for all problems: each with a dotted key, what is wrong, and what was found."""
    key, says, got = problems[0]
    return YamlTextError(f"{key or 'the file'}: {says}, got {bounded(got)!r}", problems=problems)


def _place_and_reason(cause: Exception, content: bytes | str) -> str:
    """Return the line and the reason: the library's own text has several lines, and its end is what matters."""
    if isinstance(cause, yaml.reader.ReaderError):
        # Its position counts bytes where they are no UTF-8, and characters where one of these may not be in YAML.
        before = content[: cause.position] if cause.encoding == "utf-8" else _text(content)[: cause.position]
        code = cause.character if isinstance(cause.character, int) else ord(cause.character)
        place = f"line {_text(before).count(_BREAK) + 1}, column {len(_text(before).rpartition(_BREAK)[2]) + 1}"
        return f"{place}: {cause.reason}, character {code:#04x}"
    if isinstance(cause, yaml.MarkedYAMLError) and cause.problem_mark is not None:
        mark = cause.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {cause.problem}"
    return str(cause)


def _text(content: bytes | str) -> str:
    return content if isinstance(content, str) else content.decode("utf-8-sig", "replace")


def _refuse_growth(content: bytes | str) -> None:
    """Nested aliases grow without bound when they are walked, and deep nesting takes its square in time."""
    depth = 0
    for event in yaml.parse(content, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise _error(("", "aliases are not taken", f"*{event.anchor}"))
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _error(("", f"is nested deeper than {MAX_DEPTH} levels", depth))


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
                yield ".".join((*location, name)), f"the key is given twice, again in line {line}", name
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

"""Has Great Expectations work out what it knows already once per evaluation, not 150 times.

Belongs here: two shortcuts through its internals. Does not belong here: rules or results.

An expectation's `configuration` is a property that copies all its fields, and every metric asks for it again, through
a new expectation each time: more than half of the CPU time of a small evaluation. Neither changes while a suite is
evaluated, so both are remembered until its end, and never longer.

A metric is known by a hash over its arguments, which is taken 700 times for some 50 metrics: half of what is left. It is
remembered by the arguments themselves, where they are plain values.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

# Key: which answer, and the identity of the object asked, which is kept so that no other takes its identity; or, of a
# hash, the arguments.
_Memory = dict[tuple[Any, ...], tuple[object, Any]]
_MEMORY: ContextVar[_Memory | None] = ContextVar("remembered_configurations", default=None)


@contextmanager
def remembered_configurations() -> Iterator[None]:
    """Remember what expectations answer about themselves, in this thread, until the end of the block."""
    _install()
    token = _MEMORY.set({})
    try:
        yield
    finally:
        _MEMORY.reset(token)


@functools.cache
def _install() -> None:
    # These cost seconds to import: only those who validate pay.
    from great_expectations.core.id_dict import IDDict  # noqa: PLC0415
    from great_expectations.expectations.expectation import Expectation  # noqa: PLC0415
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration  # noqa: PLC0415

    answer = _remembering("configuration", Expectation.configuration.fget)
    Expectation.configuration = property(answer)
    ExpectationConfiguration.to_domain_obj = _remembering("to_domain_obj", ExpectationConfiguration.to_domain_obj)
    IDDict.to_id = _remembering_hash(IDDict.to_id)


def _remembering(name: str, ask: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(ask)
    def answer(asked: Any) -> Any:
        memory = _MEMORY.get()
        if memory is None:
            return ask(asked)
        key = (name, id(asked))
        if key not in memory:
            memory[key] = (asked, ask(asked))
        return memory[key][1]

    return answer


def _remembering_hash(ask: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(ask)
    def answer(asked: dict[str, Any], *chosen: Any, **named: Any) -> Any:
        memory = _MEMORY.get()
        if memory is None or chosen or named:
            return ask(asked, *chosen, **named)
        try:
            key = ("hash", _as_key(asked))
        except TypeError:
            return ask(asked)
        if key not in memory:
            memory[key] = (None, ask(asked))
        return memory[key][1]

    return answer


def _as_key(value: Any) -> tuple[Any, ...]:
    """Return what is equal of two values where they are written alike; of plain values only."""
    if isinstance(value, dict):
        return (dict, *((name, _as_key(each)) for name, each in value.items()))
    if isinstance(value, list | tuple):
        return (type(value), *map(_as_key, value))
    if value is None or type(value) in {str, int, bool}:
        return (type(value), value)
    if type(value) is float:
        return (float, repr(value))  # a zero may be negative
    raise TypeError(type(value))

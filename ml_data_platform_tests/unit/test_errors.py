"""Errors say what is wrong, where, and what to do; they cross process borders whole."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
from collections.abc import Iterator

import pytest

import ml_data_platform
from ml_data_platform import errors
from ml_data_platform.errors import MESSAGE_LIMIT, PlatformError, bounded


def kinds(base: type[PlatformError] = PlatformError) -> Iterator[type[PlatformError]]:
    """Yield all classes of errors that the package defines."""
    yield base
    for kind in base.__subclasses__():
        yield from kinds(kind)


def _all_kinds() -> list[type[PlatformError]]:
    for module in pkgutil.walk_packages(ml_data_platform.__path__, "ml_data_platform."):
        # Dagster's and Great Expectations' imports cost seconds, and errors do not live there; PyTorch need not be there.
        if module.name.split(".")[1] not in {"defs", "definitions", "cli"} and not module.name.endswith(".torch_rows"):
            importlib.import_module(module.name)
    return sorted(set(kinds()), key=lambda kind: kind.__qualname__)


KINDS = _all_kinds()


def test_every_error_is_known_here() -> None:
    """The classes of `errors` are all found, and their names end as errors' do."""
    declared = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)}
    assert declared <= set(KINDS)
    assert len(declared) > 10
    assert all(kind.__name__.endswith("Error") and kind.__doc__ for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_survives_pickling(kind: type[PlatformError]) -> None:
    """Class, message and facts come out as they went in; so do copies."""
    error = kind("it broke", asset="raw_events", partition="2026-03-02", got=[1, None], remedy="Mend it.")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert str(again) == str(error) == "it broke [asset=raw_events, partition=2026-03-02, got=[1, None]] Mend it."
        assert (again.asset, again.got, again.what, again.remedy) == ("raw_events", [1, None], "it broke", "Mend it.")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_default_remedy_is_said(kind: type[PlatformError]) -> None:
    """Without a remedy of the moment, that of the class is used."""
    assert str(kind("it broke")) == f"it broke {kind.default_remedy}".strip()
    assert pickle.loads(pickle.dumps(kind("it broke"))).remedy == kind.default_remedy


def test_facts_without_a_value_are_left_out() -> None:
    """A fact that is none says nothing; zero, false and the empty text do."""
    error = PlatformError("x", asset=None, row=0, is_known=False, got="")
    assert str(error) == "x [row=0, is_known=False, got=]"
    assert error.asset is None


def test_a_fact_that_was_not_given_is_no_attribute() -> None:
    """As with any other object; the class never answers for it."""
    with pytest.raises(AttributeError, match="partition"):
        _ = PlatformError("x", asset="raw_events").partition


def test_text_is_bounded_and_of_one_line() -> None:
    """What came from outside cannot fill a log or forge its lines."""
    error = PlatformError("x", **{f"fact_{number}": "a\nb" * 1_000 for number in range(50)})
    assert len(str(error)) == MESSAGE_LIMIT
    assert "\n" not in str(error)
    assert error.fact_7 == "a\nb" * 1_000
    assert bounded("a\r\n\x1b[31m") == "a\\r\\n\\x1b[31m"
    assert bounded("é" * 300) == "é" * 199 + "…"
    assert bounded(12) == "12"

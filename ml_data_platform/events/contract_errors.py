"""What is wrong with a source contract, said so that its author can mend it.

Belongs here: turning problems (the model's own and pydantic's) into one ContractError that names file,
key, value, allowed values and the likely meaning of a typo. Does not belong here: finding the problems.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ml_data_platform.errors import ContractError, YamlTextError, bounded
from ml_data_platform.yaml_text import read_yaml

SHOWN_PROBLEMS = 5
SHOWN_ALLOWED = 15
REMEDY = "Mend the YAML file; sources/demo_shop.yaml in the package is a worked example."


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a contract.

    Attributes:
        key: Dotted key within the YAML file; empty for the file as a whole.
        says: What is wrong, without the value.
        got: The value found.
        allowed: Values or keys that would be right; empty when they cannot be listed.
    """

    key: str
    says: str
    got: object
    allowed: tuple[str, ...] = ()

    @property
    def meant(self) -> str | None:
        """The allowed value that the value found is probably a typo of."""
        close = difflib.get_close_matches(str(self.got), self.allowed, n=1, cutoff=0.6)
        return close[0] if close and close[0] != self.got else None

    def __str__(self) -> str:
        text = f"{bounded(self.key, 100) or 'the file'}: {self.says}, got {bounded(self.got, 80)!r}"
        if self.allowed:
            shown = ", ".join(self.allowed[:SHOWN_ALLOWED])
            more = len(self.allowed) - SHOWN_ALLOWED
            text += f"; allowed: {shown}{f' and {more} more' if more > 0 else ''}"
        return f"{text}; did you mean {self.meant!r}?" if self.meant else text


def contract_error(
    problems: Sequence[Problem],
    file: str | None = None,
    *,
    subject: str = "the source contract",
    remedy: str = REMEDY,
) -> ContractError:
    """Return one error for all problems of a contract.

    Args:
        problems: At least one; the first one's facts become attributes of the error.
        file: Path of the contract, where it came from a file.
        subject: What has the problems.
        remedy: What to do.

    Returns:
        The error, with ``file``, ``key``, ``got``, ``allowed``, ``meant`` and ``problems`` as attributes.
    """
    first = problems[0]
    listed = "; ".join(f"({at}) {problem}" for at, problem in enumerate(problems[:SHOWN_PROBLEMS], start=1))
    more = len(problems) - SHOWN_PROBLEMS
    where = f"{file}: " if file else ""
    error = ContractError(
        f"{where}{subject} has {len(problems)} problem{'s' if len(problems) > 1 else ''}: "
        f"{listed}{f' and {more} more' if more > 0 else ''}.",
        remedy=remedy,
        file=file,
        key=first.key or None,
    )
    # Readable as attributes, but not repeated in the message, which already lists them.
    error.facts.update(got=first.got, allowed=first.allowed, meant=first.meant, problems=tuple(problems))
    return error


def read_contract(content: bytes | str, file: str) -> object:
    """Read the YAML text of a contract, or of schema versions.

    Args:
        content: The text, UTF-8.
        file: Where it came from, for messages.

    Raises:
        ContractError: It cannot be read.
    """
    try:
        return read_yaml(content)
    except YamlTextError as found:
        raise contract_error([Problem(*problem) for problem in found.problems], file) from found


def problems_of(
    found: ValidationError, model: type[BaseModel], version_forms: tuple[str, ...] = ()
) -> tuple[Problem, ...]:
    """Translate pydantic's report about a model into problems, in its order.

    Args:
        found: What pydantic reported.
        model: The model it reported about; keys of its sections are suggested for unknown ones.
        version_forms: What may stand under ``schema_version``.
    """
    problems: dict[tuple[str, str], Problem] = {}
    for detail in found.errors(include_url=False):
        problem = _translated(detail, model, version_forms)
        problems.setdefault((problem.key, problem.says), problem)
    return tuple(problems.values())


def _translated(detail: ErrorDetails, model: type[BaseModel], version_forms: tuple[str, ...]) -> Problem:
    location = tuple(str(part) for part in detail["loc"])
    message, got = detail["msg"], detail["input"]
    if location[:1] == ("schema_version",):
        # pydantic reports each member of the union of its own.
        return Problem("schema_version", "must be a version, `infer` or a column", got, version_forms)
    if location[:1] == ("columns",) and len(location) > 2 and location[-1] != "[key]":
        says = "must be a column, null, or for ids a list of 2 to 8 columns or {first_of: [columns]}"
        return Problem(f"columns.{location[1]}", says, got)
    if location[:2] == ("event_time", "format"):
        return Problem("event_time.format", "must be a format, or a list of some", got)
    key = ".".join(location[:-1] if location[-1:] == ("[key]",) else location)
    if detail["type"] == "extra_forbidden":
        return Problem(key, "there is no such key", location[-1], _keys(model, location[:-1]))
    if detail["type"] == "missing":
        return Problem(key, "the key is missing", None)
    allowed = tuple(re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected", ""))))
    message = message.removeprefix("Value error, ")
    return Problem(key, bounded(message[:1].lower() + message[1:]), got, allowed)


def _keys(model: type[BaseModel], location: tuple[str, ...]) -> tuple[str, ...]:
    parts = iter(location)
    for part in parts:
        described = model.model_fields.get(part)
        kinds = (described.annotation, *get_args(described.annotation)) if described else ()
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if len(inner) != 1:
            return ()
        if described is not None and get_origin(described.annotation) is dict:
            # Its keys are names that the author gave.
            next(parts, None)
        model = inner[0]
    return tuple(model.model_fields)

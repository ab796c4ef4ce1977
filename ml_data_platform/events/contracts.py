"""Source contracts: finding and reading the YAML files in which producers are described.

Belongs here: from folders and bytes to checked contracts. Does not belong here: what a contract may say
(contract_model).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ml_data_platform.errors import ContractError
from ml_data_platform.events.contract_errors import Problem, contract_error, problems_of
from ml_data_platform.events.contract_model import SourceContract

__all__ = ["SHIPPED_SOURCES", "SourceContract", "load_contract", "load_contracts", "parse_contract"]

SHIPPED_SOURCES = Path(__file__).parent.parent / "sources"
SUFFIXES = (".yaml", ".yml")
MAX_BYTES = 256 * 1024
MAX_DEPTH = 20


def load_contracts(*folders: Path) -> dict[str, SourceContract]:
    """Read the contracts of all folders.

    Args:
        folders: E.g. the shipped folder and the user's own; only their direct ``.yaml`` and ``.yml`` files count.

    Returns:
        Source to contract, sorted by source.

    Raises:
        ContractError: A folder does not exist, a contract is wrong, or two files describe the same source:
            a later folder never silently replaces a contract of an earlier one.
    """
    files: dict[str, Path] = {}
    contracts: dict[str, SourceContract] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ContractError("The folder of source contracts does not exist.", file=str(folder))
        for path in sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES):
            contract = load_contract(path)
            if contract.source in files:
                raise ContractError(
                    f"Two files describe the source {contract.source}: {files[contract.source]} and {path}.",
                    remedy="Rename or remove one of them.",
                    file=str(path),
                    key="source",
                    other_file=str(files[contract.source]),
                )
            files[contract.source], contracts[contract.source] = path, contract
    return dict(sorted(contracts.items()))


def load_contract(path: Path) -> SourceContract:
    """Read one contract.

    Args:
        path: A YAML file named after its source.

    Raises:
        ContractError: The file cannot be read, is no YAML, repeats a key, or says what a contract may not.
    """
    try:
        content = path.read_bytes()
    except OSError as cause:
        raise ContractError(f"The source contract cannot be read: {cause.strerror}.", file=str(path)) from cause
    contract = parse_contract(content, file=str(path))
    if contract.source != path.stem:
        problem = Problem("source", "must equal the name of the file", contract.source, (path.stem,))
        raise contract_error([problem], str(path))
    return contract


def parse_contract(content: bytes | str, *, file: str) -> SourceContract:
    """Check the YAML text of one contract.

    Args:
        content: The text, UTF-8.
        file: Where it came from, for messages.

    Raises:
        ContractError: It is no YAML, repeats a key, or says what a contract may not.
    """
    raw = _read_yaml(content, file)
    try:
        return SourceContract.model_validate(raw)
    except ValidationError as found:
        raise contract_error(problems_of(found, SourceContract), file) from None
    except ContractError as found:
        raise contract_error(found.problems, file) from None


def _read_yaml(content: bytes | str, file: str) -> object:
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
        raise contract_error([Problem("", "is not readable YAML", str(cause))], file) from cause
    return raw


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

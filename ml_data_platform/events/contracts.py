"""Source contracts: finding and reading the YAML files in which producers are described.

Belongs here: from folders and bytes to checked contracts. Does not belong here: what a contract may say
(contract_model).
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from ml_data_platform.errors import ContractError
from ml_data_platform.events.contract_errors import Problem, contract_error, problems_of
from ml_data_platform.events.contract_model import SourceContract
from ml_data_platform.events.registry import SchemaRegistry
from ml_data_platform.events.registry_file import (
    SHIPPED_REGISTRY,
    SHIPPED_SOURCES,
    VERSIONS_FILE,
    load_registry,
    version_forms,
)
from ml_data_platform.events.yaml_text import read_yaml

__all__ = ["SHIPPED_SOURCES", "SourceContract", "load_contract", "load_contracts", "parse_contract"]

SUFFIXES = (".yaml", ".yml")


def load_contracts(*folders: Path) -> dict[str, SourceContract]:
    """Read the contracts of all folders.

    Args:
        folders: E.g. the shipped folder and the user's own; only their direct ``.yaml`` and ``.yml`` files count.
            ``schema_versions.yaml`` is no contract, but adds schema versions for the contracts of all folders.

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
    registry = load_registry(*folders)
    for folder in folders:
        for path in sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES):
            if path.name == VERSIONS_FILE:
                continue
            contract = load_contract(path, registry)
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


def load_contract(path: Path, registry: SchemaRegistry = SHIPPED_REGISTRY) -> SourceContract:
    """Read one contract.

    Args:
        path: A YAML file named after its source.
        registry: The schema versions that rows may have.

    Raises:
        ContractError: The file cannot be read, is no YAML, repeats a key, or says what a contract may not.
    """
    try:
        content = path.read_bytes()
    except OSError as cause:
        raise ContractError(f"The source contract cannot be read: {cause.strerror}.", file=str(path)) from cause
    contract = parse_contract(content, file=str(path), registry=registry)
    if contract.source != path.stem:
        problem = Problem("source", "must equal the name of the file", contract.source, (path.stem,))
        raise contract_error([problem], str(path))
    return contract


def parse_contract(content: bytes | str, *, file: str, registry: SchemaRegistry = SHIPPED_REGISTRY) -> SourceContract:
    """Check the YAML text of one contract.

    Args:
        content: The text, UTF-8.
        file: Where it came from, for messages.
        registry: The schema versions that rows may have.

    Raises:
        ContractError: It is no YAML, repeats a key, or says what a contract may not.
    """
    raw = read_yaml(content, file)
    try:
        return SourceContract.model_validate(raw, context={"registry": registry})
    except ValidationError as found:
        raise contract_error(problems_of(found, SourceContract, version_forms(registry)), file) from None
    except ContractError as found:
        raise contract_error(found.problems, file) from None

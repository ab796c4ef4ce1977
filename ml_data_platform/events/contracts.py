"""Source contracts: finding and reading the YAML files in which producers are described.

Belongs here: from folders and bytes to checked contracts. Does not belong here: what a contract may say
(contract_model).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from ml_data_platform.errors import ContractError
from ml_data_platform.events.contract_errors import Problem, contract_error, problems_of, read_contract
from ml_data_platform.events.contract_model import SourceContract
from ml_data_platform.events.registry import SchemaRegistry
from ml_data_platform.events.registry_file import (
    SHIPPED_REGISTRY,
    SHIPPED_SOURCES,
    VERSIONS_FILE,
    load_registry,
    version_forms,
)
from ml_data_platform.yaml_text import regular_bytes

__all__ = ["SHIPPED_SOURCES", "Contracts", "SourceContract", "load_contract", "load_contracts", "parse_contract"]

SUFFIXES = (".yaml", ".yml")


class Contracts(dict[str, SourceContract]):
    """Source to contract, sorted by source.

    Attributes:
        broken: Source, or the name of its file, to what is wrong with its contract; such a source is no key.
    """

    def __init__(
        self, readable: Mapping[str, SourceContract] | None = None, broken: Mapping[str, ContractError] | None = None
    ) -> None:
        super().__init__(sorted((readable or {}).items()))
        self.broken = dict(sorted((broken or {}).items()))

    def of(self, source: str) -> SourceContract:
        """Return the contract of a source.

        Raises:
            ContractError: It is broken, or there is none of that name.
        """
        if source in self.broken:
            raise self.broken[source]
        if source not in self:
            raise ContractError(
                "there is no contract of this source",
                remedy="Name one of these, or write a contract and point `--sources` to its folder.",
                expected=", ".join(self),
                got=source,
            )
        return self[source]


def load_contracts(*folders: Path) -> Contracts:
    """Read the contracts of all folders; what is wrong with one stops no other source.

    Args:
        folders: E.g. the shipped folder and the user's own; see `contract_files` for what counts.
            ``schema_versions.yaml`` is no contract, but adds schema versions for the contracts of all folders: where
            it is broken, so is every contract, since nobody can tell what its rows mean.

    Returns:
        The contracts. Two files that describe the same source break it: a later folder never silently replaces a
        contract of an earlier one.

    Raises:
        ContractError: A folder does not exist.
    """
    for folder in folders:
        if not folder.is_dir():
            raise ContractError("The folder of source contracts does not exist.", file=str(folder))
    paths = [path for folder in folders for path in contract_files(folder)]
    try:
        registry = load_registry(*folders)
    except ContractError as error:
        return Contracts({}, {path.stem: error for path in paths})
    files: dict[str, Path] = {}
    contracts: dict[str, SourceContract] = {}
    broken: dict[str, ContractError] = {}
    for path in paths:
        if path.stem in files:
            broken[path.stem] = _repeated(path.stem, files[path.stem], path)
            continue
        files[path.stem] = path
        try:
            contracts[path.stem] = load_contract(path, registry)
        except ContractError as error:
            broken[path.stem] = error
    return Contracts({source: found for source, found in contracts.items() if source not in broken}, broken)


def contract_files(folder: Path) -> list[Path]:
    """Return the direct ``.yaml`` and ``.yml`` files of a folder but the schema versions, in order.

    Names that begin with a dot are left out: editors and file systems keep notes of their own under such names.
    """
    named = (path for path in folder.iterdir() if path.suffix in SUFFIXES and not path.name.startswith("."))
    return sorted(path for path in named if path.name != VERSIONS_FILE)


def _repeated(source: str, first: Path, second: Path) -> ContractError:
    return ContractError(
        f"Two files describe the source {source}: {first} and {second}.",
        remedy="Rename or remove one of them.",
        file=str(second),
        key="source",
        other_file=str(first),
    )


def load_contract(path: Path, registry: SchemaRegistry = SHIPPED_REGISTRY) -> SourceContract:
    """Read one contract.

    Args:
        path: A YAML file named after its source.
        registry: The schema versions that rows may have.

    Raises:
        ContractError: The file cannot be read, is no YAML, repeats a key, or says what a contract may not.
    """
    try:
        content = regular_bytes(path)
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
    return _of_shipped_versions(content, file) if registry is SHIPPED_REGISTRY else _parsed(content, file, registry)


@lru_cache(maxsize=256)
def _of_shipped_versions(content: bytes | str, file: str) -> SourceContract:
    """Parse a text once per process: roots are opened at each look of a sensor, and reading YAML is slow."""
    return _parsed(content, file, SHIPPED_REGISTRY)


def _parsed(content: bytes | str, file: str, registry: SchemaRegistry) -> SourceContract:
    raw = read_contract(content, file)
    try:
        return SourceContract.model_validate(raw, context={"registry": registry})
    except ValidationError as found:
        raise contract_error(problems_of(found, SourceContract, version_forms(registry)), file) from None
    except ContractError as found:
        raise contract_error(found.problems, file) from None

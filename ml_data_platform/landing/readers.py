"""A landed file as chunks of rows, by its contract's format.

Belongs here: choosing the reader, and refusing a file whose columns the contract does not allow. Does
not belong here: what the columns mean, and on which day a row falls (``events.parsing``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import duckdb
import pyarrow as pa

from ml_data_platform.errors import LandingError
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.parsing import unknown_columns_query
from ml_data_platform.landing.delimited import DelimitedReader
from ml_data_platform.landing.jsonl import read_json_lines
from ml_data_platform.landing.lines import open_landed

MAX_NAMES_SHOWN = 20


def read_chunks(
    path: Path, contract: SourceContract, *, connection: duckdb.DuckDBPyConnection | None = None
) -> Iterator[pa.Table]:
    """Read the rows of a landed file, streaming; gzip is recognised by its first bytes.

    Args:
        path: A regular file with at least one byte of content.
        contract: The contract of its source.
        connection: An engine to work with, single-threaded use; by default one is opened.

    Yields:
        Tables of at most 131,072 rows and about 16 MiB of text, in file order, with ``source_row`` (int64, 1-based;
        CSV: number of the record behind the header, JSON lines: number of the physical line), ``landed``
        (JSON object as text) and ``defect`` (null, ``malformed_row`` or ``wrong_field_count``).

    Raises:
        LandingError: The file as a whole is not what the contract says: damaged gzip, another format, a
            header without the contract's columns, or unknown columns where they are frozen.
    """
    with ExitStack() as stack:
        engine = connection or stack.enter_context(duckdb.connect(config={"threads": 1}))
        stream = stack.enter_context(open_landed(path))
        if contract.format == "csv":
            reader = DelimitedReader(stream, delimiter=contract.csv.delimiter, quote=contract.csv.quote)
            require_columns(reader.header, contract)
            refuse_unknown_columns(reader.header, contract)
            yield from reader.chunks(engine)
            return
        for chunk in read_json_lines(stream, engine):
            if contract.unknown_columns == "freeze":
                refuse_unknown_columns(_unknown(chunk, contract, engine), contract)
            yield chunk


def require_columns(header: Sequence[str], contract: SourceContract) -> None:
    """Check that a header has every column that the contract reads, for one of its schema versions.

    Raises:
        LandingError: Columns are missing.
    """
    missing = {
        version: [name for name in (*contract.landed_columns(version), *contract.identity) if name not in header]
        for version in contract.versions
    }
    nearest = min(missing, key=lambda version: len(missing[version]))
    if missing[nearest]:
        raise LandingError(
            "The file lacks columns that its contract reads.",
            missing=_shown(missing[nearest]),
            expected=_shown([*contract.landed_columns(nearest), *contract.identity]),
            got=_shown(header),
            remedy="Send the file with these columns, or correct `columns`, `csv.delimiter` or the header's names in the contract.",
        )


def refuse_unknown_columns(names: Iterable[str], contract: SourceContract) -> None:
    """Check that a file has no column beyond the contract's, where the contract freezes them.

    Raises:
        LandingError: There are such columns, and ``unknown_columns`` is ``freeze``.
    """
    unknown = sorted(set(names) - contract.known_columns)
    if unknown and contract.unknown_columns == "freeze":
        raise LandingError(
            "The file has columns that its contract does not name, and the contract freezes them.",
            unknown=_shown(unknown),
            expected=_shown(sorted(contract.known_columns)),
            remedy="Name the columns in the contract, or set `unknown_columns` to `evolve` or `discard`.",
        )


def _unknown(chunk: pa.Table, contract: SourceContract, connection: duckdb.DuckDBPyConnection) -> list[str]:
    connection.register("landed_objects", chunk)
    try:
        found = connection.sql(unknown_columns_query(contract, "landed_objects")).fetchall()
    finally:
        connection.unregister("landed_objects")
    return [name for name, _ in found]


def _shown(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMES_SHOWN
    return ", ".join(names[:MAX_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")

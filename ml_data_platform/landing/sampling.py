"""The first rows of a file of which nothing is known, as texts by column.

Belongs here: sniffing the format, reading with the platform's own readers, flattening objects. Does not belong
here: what the columns mean (``events.inference``).
"""

from __future__ import annotations

import io
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ml_data_platform.errors import LandingError
from ml_data_platform.events.contract_parts import MAX_TEXT
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.identity import POSITION_COLUMNS
from ml_data_platform.events.masking_plan import ROW_KEY
from ml_data_platform.events.profiles import NESTED, ColumnProfile, profile_rows
from ml_data_platform.events.sniffing import FormatGuess, lacks_header, sniff_format
from ml_data_platform.landing.delimited import DelimitedReader
from ml_data_platform.landing.guarded import read_parquet
from ml_data_platform.landing.jsonl import read_json_lines
from ml_data_platform.landing.lines import open_landed
from ml_data_platform.landing.masked_files import without_quotes
from ml_data_platform.landing.masking import Masker, MaskingKeys
from ml_data_platform.landing.text_content import as_utf8, foreign_format
from ml_data_platform.landing.unparsed_values import masker_of
from ml_data_platform.storage.duck import connect_without_files

MAX_ROWS = 20_000
MAX_DEPTH = 6
HEAD_BYTES = 256 * 1024


@dataclass(frozen=True)
class Sample:
    """What was read of a file.

    Attributes:
        form: Its format.
        profiles: Column to profile, in the file's order; parts of paths are joined by dots.
        rows: Rows that were read without a defect.
        defects: Rows by what is wrong with their form.
        is_whole: Whether these are all rows of the file.
        unaddressable: Columns that a contract cannot name.
    """

    form: FormatGuess
    profiles: Mapping[str, ColumnProfile]
    rows: int
    defects: Mapping[str, int]
    is_whole: bool
    unaddressable: tuple[str, ...]


def sample_file(path: Path, *, max_rows: int = MAX_ROWS, contract: SourceContract | None = None) -> Sample:
    """Read the first rows of a file.

    Args:
        path: A regular file, plain or gzip.
        max_rows: Read about so many rows.
        contract: The contract of its source, if any: with a ``pii`` section, rows are masked before anything is made
            of them.

    Raises:
        LandingError: The file is empty or damaged, its format is none that is read, or it has no header.
        OSError: The file cannot be opened.
    """
    masker = masker_of(contract, MaskingKeys.throwaway()) if contract is not None else None
    if masker is not None:
        return _masked_sample(path, max_rows, masker)
    return _sample(path, max_rows, None)


def _masked_sample(path: Path, max_rows: int, masker: Masker) -> Sample:
    try:
        return _sample(path, max_rows, masker)
    except LandingError as error:
        refusal = without_quotes(error)
    raise refusal


def _sample(path: Path, max_rows: int, masker: Masker | None) -> Sample:
    form = sniff_file(path)
    rows: list[dict[str, str | None]] = []
    defects: Counter[str] = Counter()
    unaddressable: dict[str, None] = {}
    is_whole = True
    for read in _chunks(path, form, in_memory=masker is not None):
        chunk = read if masker is None else masker.mask_chunk(read)
        for landed, defect in zip(chunk["landed"].to_pylist(), chunk["defect"].to_pylist(), strict=True):
            if len(rows) >= max_rows:
                is_whole = False
                break
            if defect is not None:
                defects[defect] += 1
                continue
            try:
                values = json.loads(landed, parse_float=str, parse_int=str)
            except RecursionError:
                # Such a row lands as the text that it is; its columns cannot be looked at.
                defects["nested_too_deep"] += 1
                continue
            values.pop(ROW_KEY, None)
            rows.append(dict(_flat(values, form, unaddressable)))
        if not is_whole:
            break
    if not rows:
        raise LandingError("The file has no row that could be looked at.", file=str(path), got=dict(defects) or None)
    return Sample(form, profile_rows(rows), len(rows), dict(defects), is_whole, tuple(unaddressable))


def sniff_file(path: Path) -> FormatGuess:
    """Guess the format of a file from its first bytes.

    Raises:
        LandingError: The file is empty or damaged, or its format is none that is read.
    """
    with open_landed(path) as stream:
        head = stream.read(HEAD_BYTES)
    if foreign_format(head) is None:
        head = as_utf8(io.BytesIO(head)).read(2 * HEAD_BYTES)
    if not head.strip():
        raise LandingError("The file is empty.", file=str(path), remedy="Name a file with some rows of the source.")
    return sniff_format(head)


def _chunks(path: Path, form: FormatGuess, *, in_memory: bool) -> Iterator[pa.Table]:
    with ExitStack() as stack:
        if form.format == "parquet":
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            _, _, tables = stack.enter_context(read_parquet(path, folder, in_memory=in_memory))
            yield from tables
            return
        engine = stack.enter_context(connect_without_files())
        stream = stack.enter_context(open_landed(path))
        if form.format == "jsonl":
            yield from read_json_lines(stream, engine)
            return
        reader = DelimitedReader(stream, delimiter=form.delimiter, quote=form.quote, escape=form.escape)
        if lacks_header(reader.header):
            raise LandingError(
                "The first line looks like a row, not like names of columns.",
                got=",".join(reader.header),
                remedy="Put a line with the names of the columns before it; without it cells have no meaning.",
            )
        yield from reader.chunks(engine)


def _flat(
    row: Mapping[str, Any], form: FormatGuess, unaddressable: dict[str, None], prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, str | None]]:
    for key, value in row.items():
        name = f"{prefix}{key}"
        within = _json_text(value) if depth < MAX_DEPTH else None
        if name in POSITION_COLUMNS and _is_position(value):
            continue
        if len(name) > MAX_TEXT or not (key if form.format == "csv" else all(key.split("."))):
            unaddressable[name] = None
        elif isinstance(value, dict) and value and depth < MAX_DEPTH:
            yield from _flat(value, form, unaddressable, f"{name}.", depth + 1)
        elif within:
            yield from _flat(within, form, unaddressable, f"{name}.", depth + 1)
        elif isinstance(value, dict | list):
            yield name, NESTED
        else:
            yield name, _text(value)


def _is_position(value: Any) -> bool:
    return value is None or str(value).isdigit()


def _json_text(value: Any) -> Mapping[str, Any] | None:
    """Return the object whose JSON text a value is, into which a contract can lead too."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(value, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)

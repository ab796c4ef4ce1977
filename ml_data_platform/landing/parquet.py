"""Parquet as chunks of landed rows.

Belongs here: opening a Parquet file, and reading it batch by batch within bounds. Does not belong here: what becomes
of a row (``typed_rows``), and keeping a hostile file from taking the machine's memory (``guarded``), under whose
guard this runs: it knows no contract and no engine, so that the guarded process starts fast.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ml_data_platform.errors import LandingError, bounded
from ml_data_platform.landing.distinct_names import repeated_names
from ml_data_platform.landing.limits import LIMITS, Limits, too_large
from ml_data_platform.landing.lines import is_gzip, open_landed
from ml_data_platform.landing.text_content import foreign_format
from ml_data_platform.landing.typed_rows import landed_rows

# Values that repeat are expanded a batch at a time, so batches are small; the other end of the pipe joins them.
MAX_BATCH_ROWS = 2_048
BATCH_BYTES = 8 * 1024 * 1024
COPY_BYTES = 1024 * 1024
# Rows of a few distinct values cost almost nothing in Parquet: real logs stay far below, bombs do not.
MAX_TEXT_PER_BYTE = 2_000

_MAGIC = b"PAR1"
_MIN_BYTES = 12


@contextmanager
def open_parquet(path: Path, scratch: Path | None, limits: Limits = LIMITS) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file, decompressed first where it is gzip as a whole.

    Args:
        path: A regular file.
        scratch: Folder for the decompressed content; the caller removes it. None: it is held in memory.
        limits: What the file may cost.

    Raises:
        LandingError: It is another format, truncated, damaged, or encrypted.
        MemoryError: The decompressed content does not fit.
    """
    plain = _unzipped(path, scratch, limits)
    _refuse_other_formats(plain)
    with _damage_as_landing_error():
        # 96-bit times reach further than nanoseconds do; buffered reading keeps no column chunk whole.
        parquet = pq.ParquetFile(
            plain,
            coerce_int96_timestamp_unit="us",
            buffer_size=COPY_BYTES,
            pre_buffer=False,
            page_checksum_verification=True,
        )
    with parquet:
        yield parquet


def _unzipped(path: Path, scratch: Path | None, limits: Limits) -> Path | io.BytesIO:
    if not is_gzip(path):
        return path
    target = io.BytesIO() if scratch is None else scratch / "unzipped.parquet"
    with open_landed(path, limits=limits) as stream:
        if isinstance(target, io.BytesIO):
            shutil.copyfileobj(stream, target, COPY_BYTES)
        else:
            with target.open("wb") as file:
                shutil.copyfileobj(stream, file, COPY_BYTES)
    return target


def read_rows(parquet: pq.ParquetFile, size_bytes: int, limits: Limits = LIMITS) -> Iterator[pa.RecordBatch]:
    """Read the rows.

    Args:
        parquet: The opened file.
        size_bytes: Bytes of the file as landed.
        limits: What the file may cost.

    Yields:
        Batches of schema ``CHUNK`` in file order; ``source_row`` counts from 1.

    Raises:
        LandingError: The file is damaged, holds another number of rows than its footer says, or decodes to far more
            than a file of its size.
    """
    allowed = max(limits.unzipped_bytes, MAX_TEXT_PER_BYTE * size_bytes)
    limits.require_columns(parquet.metadata.num_columns)
    limits.require_rows(parquet.metadata.num_rows)
    rows, text_bytes = 0, 0
    with _damage_as_landing_error(lambda: _damaged_place(parquet)):
        for batch in parquet.iter_batches(batch_size=_batch_rows(parquet.metadata), use_threads=False):
            chunk = landed_rows(batch, rows + 1)
            rows += chunk.num_rows
            text_bytes += chunk.nbytes
            if text_bytes > allowed:
                raise too_large(
                    "The Parquet file decodes to far more than a file of its size holds.",
                    "max_unzipped_size",
                    f"at most {allowed:,} bytes of text from {size_bytes:,} bytes",
                    f"more than that by row {rows:,} of {parquet.metadata.num_rows:,}",
                )
            yield chunk
    if rows != parquet.metadata.num_rows:
        raise LandingError(
            "The Parquet file holds another number of rows than its footer says.",
            remedy="Ask the producer to send the file again.",
            expected=parquet.metadata.num_rows,
            got=rows,
        )


def repeated_paths(schema: pa.Schema) -> list[list[str]]:
    """Return the keys that lead to each name that is repeated or reserved, in the file or in an object of it."""
    found = [[name] for name in repeated_names(schema.names)]
    open_paths = [([field.name], field.type) for field in schema]
    while open_paths:
        path, kind = open_paths.pop()
        if pa.types.is_struct(kind):
            members = [kind.field(place) for place in range(kind.num_fields)]
            found += [[*path, name] for name in repeated_names([member.name for member in members])]
            open_paths += [([*path, member.name], member.type) for member in members]
    return found


def _batch_rows(footer: pq.FileMetaData) -> int:
    declared: int = sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
    per_row = max(1, declared // max(1, int(footer.num_rows)))
    return max(1, min(MAX_BATCH_ROWS, BATCH_BYTES // per_row))


def _refuse_other_formats(content: Path | io.BytesIO) -> None:
    with content.open("rb") if isinstance(content, Path) else nullcontext(content) as file:
        file.seek(0)
        head = file.read(_MIN_BYTES)
        size = file.seek(0, 2)
        file.seek(max(0, size - len(_MAGIC)))
        tail = file.read()
    if not head.startswith(_MAGIC):
        raise LandingError(
            "The file is not Parquet.",
            expected="Parquet, plain or gzip",
            got=foreign_format(head) or bounded(head.decode("utf-8", "backslashreplace")),
            remedy="Send it in the format that the source's contract declares, or correct the contract.",
        )
    if size < _MIN_BYTES or tail != _MAGIC:
        raise LandingError(
            "The Parquet file has no footer at its end: it is truncated.",
            remedy="Ask the producer to send the whole file again.",
        )


@contextmanager
def _damage_as_landing_error(where: Callable[[], Mapping[str, object]] = dict) -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise LandingError(
            "The Parquet file is damaged, encrypted, or of a kind that cannot be read.",
            **where(),
            reason=bounded(str(error)),
            remedy="Ask the producer to send the file again.",
        ) from error


def _damaged_place(parquet: pq.ParquetFile) -> Mapping[str, object]:
    """Return the first column, and its row group from 1 on, that cannot be decoded alone; nothing where each can."""
    footer, rows = parquet.metadata, _batch_rows(parquet.metadata)
    for group in range(footer.num_row_groups):
        for number in range(footer.num_columns):
            name = footer.schema.column(number).path
            try:
                for _ in parquet.iter_batches(rows, row_groups=[group], columns=[name], use_threads=False):
                    pass
            except MemoryError:
                return {}
            except (pa.ArrowException, OSError, ValueError, OverflowError):
                return {"column": bounded(name), "row_group": f"{group + 1} of {footer.num_row_groups}"}
    return {}

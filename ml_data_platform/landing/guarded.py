"""Reading a Parquet file in a process of its own, with a bound on its memory.

Belongs here: starting that process, what it is sent and what it says, and both its ends of the pipe. Does not belong
here: reading Parquet (``parquet``).

A few kilobytes of Parquet can stand for terabytes: runs, dictionaries and shared prefixes are expanded while pages are
decoded, whatever the footer says, and decoders of hostile bytes crash. So neither memory nor a crash may be the
platform's own.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from ml_data_platform.errors import FileTooLargeError, LandingError
from ml_data_platform.landing.chunks import CHUNK, MAX_CHUNK_CHARACTERS, MAX_CHUNK_ROWS
from ml_data_platform.landing.limits import LIMITS, Limits, too_large

_COLUMNS_KEY, _REPEATED_KEY = b"columns", b"repeated"
_REFUSED, _TOO_LARGE = 3, 4
_MAX_COMPLAINT_BYTES = 16_384
_PACKAGE_FOLDER = Path(__file__).parents[2]


@contextmanager
def read_parquet(
    path: Path,
    scratch: Path,
    *,
    in_memory: bool = False,
    limits: Limits = LIMITS,
) -> Iterator[tuple[list[str], list[list[str]], Iterator[pa.Table]]]:
    """Read a Parquet file under guard.

    Args:
        path: A regular file.
        scratch: Private folder for temporary files; the caller removes it.
        in_memory: Write nothing of the content to temporary files: a gzip is then decompressed within that memory.
        limits: What the file may cost.

    Yields:
        The names of its columns as they land; the keys that lead to names that are repeated or reserved in it; and its
        rows as tables of schema ``CHUNK`` in file order.

    Raises:
        LandingError: The file as a whole cannot be read, or exceeds a limit (``FileTooLargeError``).
    """
    folder = "" if in_memory else str(scratch.absolute())
    arguments = [str(path.absolute()), folder, json.dumps(asdict(limits))]
    with tempfile.TemporaryFile(dir=scratch) as complaints:
        child = subprocess.Popen(  # noqa: S603 - this very module, without a shell
            [sys.executable, "-m", __name__, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=_environment(),
            cwd=scratch,
        )
        assert child.stdout is not None
        try:
            stream = _opened(child, complaints, limits)
            said = stream.schema.metadata
            names, repeated = json.loads(said[_COLUMNS_KEY]), json.loads(said[_REPEATED_KEY])
            yield names, repeated, _tables(stream, child, complaints, limits)
        finally:
            child.kill()
            child.stdout.close()
            child.wait()


def _environment() -> dict[str, str]:
    # Nothing of the platform's own environment, which may hold secrets; few threads and arenas, so that what is
    # counted is what is decoded.
    return {
        "PYTHONPATH": str(_PACKAGE_FOLDER),
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "1",
        "OMP_NUM_THREADS": "1",
    }


def _opened(child: subprocess.Popen[bytes], complaints: IO[bytes], limits: Limits) -> pa.ipc.RecordBatchStreamReader:
    try:
        return pa.ipc.open_stream(child.stdout)
    except (pa.ArrowInvalid, OSError):
        _raise_complaint(child, complaints, limits)
        raise


def _tables(
    stream: pa.ipc.RecordBatchStreamReader, child: subprocess.Popen[bytes], complaints: IO[bytes], limits: Limits
) -> Iterator[pa.Table]:
    batches: list[pa.RecordBatch] = []
    try:
        for batch in stream:
            batches.append(batch)
            rows = sum(held.num_rows for held in batches)
            if rows + batch.num_rows > MAX_CHUNK_ROWS or sum(held.nbytes for held in batches) > MAX_CHUNK_CHARACTERS:
                yield pa.Table.from_batches(batches).combine_chunks()
                batches = []
    except (pa.ArrowInvalid, OSError):
        _raise_complaint(child, complaints, limits)
        raise
    # A process that dies between two batches leaves a stream that looks complete.
    _raise_complaint(child, complaints, limits)
    if batches:
        yield pa.Table.from_batches(batches).combine_chunks()


def _raise_complaint(child: subprocess.Popen[bytes], complaints: IO[bytes], limits: Limits) -> None:
    """Raise what the process had to complain about; return when it ended well."""
    status = child.wait()
    if status == 0:
        return
    complaints.seek(0)
    said = complaints.read(_MAX_COMPLAINT_BYTES)
    if status == _REFUSED:
        complaint = json.loads(said)
        kind = FileTooLargeError if complaint["is_too_large"] else LandingError
        raise kind(complaint["what"], remedy=complaint["remedy"], **complaint["facts"])
    if status == _TOO_LARGE:
        raise too_large(
            "The pages of the Parquet file decode to more than the memory that a file may take.",
            "max_decoded_size",
            f"at most {limits.decoded_bytes:,} bytes at one time",
        )
    died = f"it died of {signal.Signals(-status).name}" if status < 0 else f"it ended with status {status}"
    raise LandingError(
        f"The Parquet file cannot be read: the process that decoded it failed, {died}.",
        remedy="Ask the producer to send the file again.",
        reason=said.decode("utf-8", "backslashreplace")[-300:] or None,
    )


def main(arguments: list[str]) -> int:
    """Send a file's rows to standard output as an Arrow stream; this is the guarded process.

    Args:
        arguments: The file, a scratch folder or nothing, and the limits, JSON.

    Returns:
        The exit status.
    """
    from ml_data_platform.landing.distinct_names import distinct_names  # noqa: PLC0415 - only this process needs them
    from ml_data_platform.landing.parquet import open_parquet, read_rows, repeated_paths  # noqa: PLC0415

    path, limits = Path(arguments[0]), Limits(**json.loads(arguments[2]))
    scratch = Path(arguments[1]) if arguments[1] else None
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    _limit_memory(limits.decoded_bytes)
    try:
        with open_parquet(path, scratch, limits) as parquet, os.fdopen(os.dup(1), "wb") as out:
            names, repeated = distinct_names(parquet.schema_arrow.names), repeated_paths(parquet.schema_arrow)
            said = {_COLUMNS_KEY: json.dumps(names), _REPEATED_KEY: json.dumps(repeated)}
            schema = CHUNK.with_metadata(said)
            with pa.ipc.new_stream(out, schema) as sink:
                for batch in read_rows(parquet, path.stat().st_size, limits):
                    sink.write_batch(batch.replace_schema_metadata(schema.metadata))
    except LandingError as error:
        facts: dict[str, Any] = {name: _bare(value) for name, value in error.facts.items()}
        sys.stderr.write(
            json.dumps(
                {
                    "what": error.what,
                    "remedy": error.remedy,
                    "facts": facts,
                    "is_too_large": isinstance(error, FileTooLargeError),
                }
            )
        )
        return _REFUSED
    except MemoryError:
        return _TOO_LARGE
    except BrokenPipeError:
        return 0
    return 0


def _bare(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _limit_memory(extra: int) -> None:
    pages = (
        int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5]) if Path("/proc/self/statm").exists() else 0
    )
    limit = pages * resource.getpagesize() + extra
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    # A crash on hostile bytes must not fill the disk with the memory that held them.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

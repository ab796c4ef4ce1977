"""Hourly files: each appears whole, under its own name, or not at all.

Belongs here: names, temporary files, hashes. Does not belong here: which rows are written.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ml_data_platform.generator.lines import render_lines
from ml_data_platform.generator.row_truth import render_truth
from ml_data_platform.generator.sessions import Rows
from ml_data_platform.generator.text_columns import line_bytes
from ml_data_platform.generator.truth import (
    ROW_TRUTH_FILE,
    SOURCE,
    TRUTH_FILE,
    TRUTH_FOLDER,
    DayCounter,
    FileTruth,
    Planted,
    count_days,
    count_undated,
    day_text,
)

CHUNK_ROWS = 65_536
TEMP_FOLDER = f"{TRUTH_FOLDER}/unfinished"


def file_name(hour: int) -> str:
    """Return the name, relative to the output folder, of the file of an hour (hours since 1970 UTC)."""
    return f"{SOURCE}/events_{day_text(hour // 24)}T{hour % 24:02d}.jsonl"


class HourFile:
    """One hourly file under construction; rows are appended in the order of their arrival.

    Args:
        out: The output folder.
        hour: Hours since 1970 UTC.
        seed: Seed of the run, which ids depend on.
        truth: Where the truth about each row goes, or None.
    """

    def __init__(self, out: Path, hour: int, seed: int, truth: BinaryIO | None) -> None:
        self.name = file_name(hour)
        self._out = out
        self._seed = seed
        self._truth = truth
        self._temp = out / TEMP_FOLDER / Path(self.name).name
        self._file = self._temp.open("wb")
        self._hash = hashlib.sha256()
        self._rows = 0
        self._bytes = 0
        self._days: Counter[str] = Counter()
        self._undated: Counter[str] = Counter()

    def append(self, rows: Rows, counter: DayCounter) -> None:
        """Write rows and count them, by chunks so that the text of few is held at a time."""
        for first in range(0, len(rows), CHUNK_ROWS):
            chunk = rows[first : first + CHUNK_ROWS]
            text = line_bytes(render_lines(chunk, self._seed))
            self._file.write(text)
            self._hash.update(text)
            if self._truth is not None:
                lines = render_truth(chunk, self._seed, file_name=self.name, first_row=self._rows + 1)
                self._truth.write(line_bytes(lines))
            counter.add(chunk)
            self._days.update(count_days(chunk))
            self._undated.update(count_undated(chunk))
            self._rows += len(chunk)
            self._bytes += len(text)

    def publish(self) -> FileTruth | None:
        """Put the file under its name; a file without rows is dropped, and None returned."""
        self._file.close()
        if not self._rows:
            self._temp.unlink()
            return None
        self._temp.replace(self._out / self.name)
        return FileTruth(
            rows=self._rows,
            days=dict(sorted(self._days.items())),
            undated=dict(sorted(self._undated.items())),
            size_bytes=self._bytes,
            sha256=self._hash.hexdigest(),
        )

    def abandon(self) -> None:
        """Close and remove what was not published."""
        self._file.close()
        self._temp.unlink(missing_ok=True)


@contextmanager
def row_truth_file(out: Path, *, is_wanted: bool) -> Iterator[BinaryIO | None]:
    """Give a file for the truth about each row, put under its name at the end; None when not wanted."""
    if not is_wanted:
        (out / ROW_TRUTH_FILE).unlink(missing_ok=True)
        yield None
        return
    temp = out / TEMP_FOLDER / "rows.jsonl"
    with temp.open("wb") as file:
        yield file
    temp.replace(out / ROW_TRUTH_FILE)


def write_truth(out: Path, text: str) -> None:
    """Put ``planted.json`` in place whole."""
    temp = out / TEMP_FOLDER / "planted.json"
    temp.write_text(text, encoding="utf-8", newline="\n")
    temp.replace(out / TRUTH_FILE)


def prepare_folders(out: Path) -> None:
    """Create the folders of a run and remove what an interrupted one left half-written."""
    (out / SOURCE).mkdir(parents=True, exist_ok=True)
    temp = out / TEMP_FOLDER
    temp.mkdir(parents=True, exist_ok=True)
    for leftover in temp.iterdir():
        leftover.unlink()


def remove_temp_folder(out: Path) -> None:
    """Remove the folder of temporary files, which is empty after a finished run."""
    (out / TEMP_FOLDER).rmdir()


def event_files(out: Path) -> set[str]:
    """Return the names, relative to the output folder, of the hourly files it holds."""
    return {f"{SOURCE}/{path.name}" for path in (out / SOURCE).glob("events_*.jsonl")}


def holds_exactly(out: Path, planted: Planted) -> bool:
    """Return whether every file of a finished run is there with its bytes, and no other hourly file."""
    if event_files(out) != set(planted.files):
        return False
    if planted.arguments["options"]["row_truth"] != (out / ROW_TRUTH_FILE).exists():
        return False
    return all(
        (out / name).stat().st_size == truth.size_bytes and _sha256(out / name) == truth.sha256
        for name, truth in planted.files.items()
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

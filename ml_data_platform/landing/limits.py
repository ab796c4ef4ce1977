"""What a landed file may cost.

Belongs here: the bounds that a deployment sets, and the refusal of a file beyond one. Does not belong here: bounds that
no setting moves, which stand with the readers.

A file beyond a limit is refused without a ledger record: under a higher limit it is tried again by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from ml_data_platform.errors import FileTooLargeError


@dataclass(frozen=True)
class Limits:
    """The bounds of one landed file; each is the setting that is named.

    Attributes:
        unzipped_bytes: ``max_unzipped_size``: what compressed or encoded content may decode to. A multiple of the
            file's own size is always allowed, since real logs shrink too.
        decoded_bytes: ``max_decoded_size``: memory that decoded Parquet may take at one time: large pages, row groups
            or values.
        rows: ``max_file_rows``.
        columns: ``max_file_columns``: names in a CSV header or a Parquet schema.
    """

    unzipped_bytes: int = 4 * 1024 * 1024 * 1024
    decoded_bytes: int = 1024 * 1024 * 1024
    rows: int = 1_000_000_000
    columns: int = 10_000

    def require_rows(self, rows: int) -> None:
        """Check a number of rows.

        Raises:
            FileTooLargeError: There are more than allowed.
        """
        if rows > self.rows:
            raise too_large("The file has too many rows.", "max_file_rows", f"at most {self.rows:,} rows", f"{rows:,}")

    def require_columns(self, columns: int) -> None:
        """Check a number of columns.

        Raises:
            FileTooLargeError: There are more than allowed.
        """
        if columns > self.columns:
            allowed = f"at most {self.columns:,} columns"
            raise too_large("The file has too many columns.", "max_file_columns", allowed, f"{columns:,}")


def too_large(what: str, setting: str, expected: str, got: str | None = None) -> FileTooLargeError:
    """Return the refusal of a file beyond a limit."""
    remedy = f"If it is meant so, raise the setting `{setting}`: it is tried again then; or have the file split."
    return FileTooLargeError(what, remedy=remedy, expected=expected, got=got)


LIMITS = Limits()

"""Where data lies that need not be local: a folder, or a prefix in a bucket.

Belongs here: telling a URL from a path, and composing what lies below. Does not belong here: reading or writing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_data_platform.errors import SettingsError

S3_SCHEME = "s3://"
# AWS allows dots, but not two of them in a row, and no form of an IP address.
_BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+\Z)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX_PART = re.compile(r"[A-Za-z0-9!_.*'()=+@,:-]{1,255}")


@dataclass(frozen=True)
class S3Location:
    """A prefix in a bucket.

    Attributes:
        bucket: Name of the bucket.
        prefix: Keys lie below it; without slashes at its ends, empty for the whole bucket.
    """

    bucket: str
    prefix: str = ""

    @classmethod
    def parse(cls, url: str) -> S3Location:
        """Return the location that ``s3://bucket/prefix`` names.

        Raises:
            SettingsError: It names none. What stands before an ``@`` is never shown: it may be a secret.
        """
        bucket, _, prefix = url.removeprefix(S3_SCHEME).partition("/")
        parts = [part for part in prefix.split("/") if part]
        is_plain = all(_PREFIX_PART.fullmatch(part) and part not in {".", ".."} for part in parts)
        if not url.startswith(S3_SCHEME) or _BUCKET.fullmatch(bucket) is None or not is_plain:
            raise SettingsError(
                "the URL names no place in a bucket",
                remedy="Credentials do not belong in it: they are found as every AWS tool finds them.",
                expected="s3://BUCKET/PREFIX",
                got=url.rpartition("@")[2] if "@" in bucket else url,
            )
        return cls(bucket, "/".join(parts))

    def __str__(self) -> str:
        return f"{S3_SCHEME}{self.bucket}/{self.prefix}".rstrip("/")

    def __truediv__(self, below: str | Path) -> S3Location:
        return S3Location(self.bucket, "/".join(part for part in (self.prefix, str(below).strip("/")) if part))


Location = Path | S3Location
"""A folder of this machine, or a place in a bucket."""


def is_s3_url(text: object) -> bool:
    """Tell whether text is meant as a place in a bucket."""
    return str(text).startswith(S3_SCHEME)


def parse_location(value: Any) -> Location:
    """Return the location that a setting's value names.

    Raises:
        SettingsError: It begins like a URL of S3 and names no place in a bucket.
    """
    if isinstance(value, S3Location | Path):
        return value
    return S3Location.parse(value) if is_s3_url(value) else Path(str(value))

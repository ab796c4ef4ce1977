"""What values in a manifest look like: nothing in it can lead out of a folder, whoever wrote it.

Belongs here: names, paths and hashes in a manifest, and what each part of it has in common. Does not belong here: the
parts (``manifest``).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

DATA = "data"
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,99}$")]
PathInVersion = Annotated[str, Field(pattern=r"^data(/[A-Za-z0-9][A-Za-z0-9=._-]{0,199}){2,5}$")]
Day = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Md5 = Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")]
"""Of what a dry run would write there is none yet."""
Count = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """A part of a manifest; it says nothing that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def require_below(name: str, paths: list[str]) -> None:
    """Require that files of a folder below ``data`` lie in it, and that none is named twice.

    Raises:
        ValueError: One does not.
    """
    top = f"{DATA}/{name}/"
    if not all(path.startswith(top) for path in paths) or len(set(paths)) != len(paths):
        raise ValueError(f"a file of {name} lies outside of it, or is named twice")

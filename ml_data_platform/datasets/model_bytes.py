"""A fitted model as bytes, without pickle, and the same bytes for the same model.

Belongs here: writing and reading. Does not belong here: fitting. Skops writes a zip with the time of day and with
memory addresses as names; both are replaced, so that what is equal has equal bytes.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from typing import Any

from ml_data_platform.errors import VersionError, bounded

_SCHEMA = "schema.json"
_ID = "__id__"
_THEN = (1980, 1, 1, 0, 0, 0)
_NAME = re.compile(r"[A-Za-z0-9_-]+\.[a-z0-9]+")
_REMEDY = "Load only models of your own runs: train it again with the command that its card names."
MAX_BYTES = 1 << 30
MAX_ENTRIES = 100_000
TRUSTED = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)
"""Types of our own models that skops does not trust by itself; any other type in a file is refused."""


def model_to_bytes(model: Any) -> bytes:
    """Return a fitted scikit-learn model as a skops file whose bytes depend on the model alone."""
    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as source:
        entries = {name: source.read(name) for name in source.namelist()}
    schema = json.loads(entries.pop(_SCHEMA))
    numbers: dict[str, int] = {}
    _number(schema, numbers)
    names = {name: _renamed(name, numbers) for name in entries}
    text = json.dumps(_replaced(schema, numbers, names), sort_keys=True, separators=(",", ":"))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in sorted([(_SCHEMA, text.encode()), *((names[name], entries[name]) for name in entries)]):
            entry = zipfile.ZipInfo(name, _THEN)
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, content)
    return out.getvalue()


def model_from_bytes(data: bytes) -> Any:
    """Return the model of a skops file that `model_to_bytes` wrote; anything else is refused before it is unpacked.

    Raises:
        VersionError: The file is damaged, is no such file, would unpack to more than a model of ours, or holds types that
            no model of ours has: it might run code.
    """
    import skops.io

    _require_modest_archive(data)
    try:
        foreign = sorted(set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED))
        model = None if foreign else skops.io.loads(data, trusted=list(TRUSTED))
    except Exception as error:
        # What a file of another's making can raise in there has no common base.
        raise VersionError(f"a model's file cannot be read: {bounded(str(error))}", remedy=_REMEDY) from error
    if foreign:
        raise VersionError("a model's file holds types that are not trusted", remedy=_REMEDY, types=foreign[:5])
    return model


def _require_modest_archive(data: bytes) -> None:
    """Refuse an archive with names that lead elsewhere, the same name twice, or contents that no model has."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise VersionError("a model's file is no archive of skops", remedy=_REMEDY, got=error) from error
    names = [entry.filename for entry in entries]
    strange = [name for name in names if not _NAME.fullmatch(name)]
    size = sum(entry.file_size for entry in entries)
    if strange or len(set(names)) != len(names) or _SCHEMA not in names:
        raise VersionError(
            "a model's file holds other files than a model", remedy=_REMEDY, got=strange[:5] or names[:5]
        )
    if size > MAX_BYTES or len(names) > MAX_ENTRIES:
        raise VersionError(
            "a model's file would unpack to more than a model",
            remedy=_REMEDY,
            expected=f"{MAX_ENTRIES:,} files of {MAX_BYTES:,} bytes together",
            got=f"{len(names):,} files of {size:,} bytes",
        )


def _number(value: Any, numbers: dict[str, int]) -> None:
    """Number the objects in the order in which the schema first names them."""
    if isinstance(value, dict):
        if _ID in value:
            numbers.setdefault(str(value[_ID]), len(numbers) + 1)
        for key in sorted(value):
            _number(value[key], numbers)
    elif isinstance(value, list):
        for item in value:
            _number(item, numbers)


def _renamed(name: str, numbers: dict[str, int]) -> str:
    stem, dot, suffix = name.partition(".")
    return f"{numbers[stem]}{dot}{suffix}" if stem in numbers else name


def _replaced(value: Any, numbers: dict[str, int], names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            key: numbers[str(item)] if key == _ID and str(item) in numbers else _replaced(item, numbers, names)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_replaced(item, numbers, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value

"""A fitted model as bytes, without pickle, and the same bytes for the same model.

Belongs here: writing and reading. Does not belong here: fitting. Skops writes a zip with the time of day and with
memory addresses as names; both are replaced, so that what is equal has equal bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from ml_data_platform.errors import VersionError

_SCHEMA = "schema.json"
_ID = "__id__"
_THEN = (1980, 1, 1, 0, 0, 0)
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
    """Return the model of a skops file that `model_to_bytes` wrote.

    Raises:
        VersionError: The file holds types that no model of ours has: it might run code.
    """
    import skops.io

    foreign = sorted(set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED))
    if foreign:
        raise VersionError("a model's file holds types that are not trusted", types=foreign[:5])
    return skops.io.loads(data, trusted=list(TRUSTED))


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

"""Whether a store keeps the conditions of a request, on which every commit rests: learnt by trying.

Belongs here: the trial, and when what is shown may stay. Does not belong here: what is stored under conditions (``s3_objects``).
"""

from __future__ import annotations

from ml_data_platform.errors import ConditionFailedError, SettingsError
from ml_data_platform.storage.s3_requests import Head, S3Requests

ABSENT = "*"
"""The condition that nothing is stored under a key."""
SHA256, GENERATION = "sha256", "generation"
"""What is kept with each object, beside its bytes."""
_PROBE = b"The platform tries here whether this store keeps conditions.\n"


def require_conditions(requests: S3Requests, full: str, root: str) -> None:
    """Refuse a store that ignores conditions.

    Args:
        requests: How it is reached.
        full: Key of the probe, with the prefix of the root.
        root: The root, for the message.

    Raises:
        SettingsError: It does: two writers could both believe that they committed.
    """
    refused = [
        _is_refused(requests, full, if_none_match=ABSENT) or _is_refused(requests, full, if_none_match=ABSENT),
        _is_refused(requests, full, if_match=f'"{"0" * 32}"'),
    ]
    if not all(refused):
        raise SettingsError(
            "this store ignores the conditions of a request, so that two writers could both commit",
            remedy="Use one that answers 412 to PutObject with If-None-Match and If-Match: AWS S3, MinIO, Ceph.",
            root=root,
        )


def _is_refused(requests: S3Requests, full: str, if_match: str | None = None, if_none_match: str | None = None) -> bool:
    try:
        requests.put(full, _PROBE, if_match=if_match, if_none_match=if_none_match)
    except ConditionFailedError:
        return True
    return False


def is_as_new(shown: Head, wanted: str, generation: int | None) -> bool:
    """Tell whether what is shown may stay: the very object, or a newer generation."""
    number = shown.metadata.get(GENERATION, "")
    shown_generation = int(number) if number.isdecimal() else 0
    if generation is None or shown_generation == generation:
        return shown.metadata.get(SHA256) == wanted
    return shown_generation > generation

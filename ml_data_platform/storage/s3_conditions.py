"""Whether a store keeps the conditions of a request, on which every commit rests: learnt by trying.

Belongs here: the trial. Does not belong here: what is stored under conditions (``s3_objects``).
"""

from __future__ import annotations

from ml_data_platform.errors import ConditionFailedError, SettingsError
from ml_data_platform.storage.s3_requests import S3Requests

ABSENT = "*"
"""The condition that nothing is stored under a key."""
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

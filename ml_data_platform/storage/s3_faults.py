"""Faults of a bucket: what an answer, or the lack of one, means, and what to do.

Belongs here: the words for expired credentials, denied access and a store that cannot be reached. Does not belong here:
sending requests again (``s3_requests``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError

from ml_data_platform.errors import StorageUnavailableError

_AGAIN = "Then run it again: what is published stays."
_RENEW = f"Renew them (`aws sso login`, a new session token, or a new profile). {_AGAIN}"
_CHECK_KEYS = (
    "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the profile (`s3_profile_name`), and that "
    f"they are those of this store. {_AGAIN}"
)
_GRANT = (
    "Grant the user of these credentials s3:ListBucket on the bucket and s3:GetObject, s3:PutObject, s3:DeleteObject below "
    f"the root (to read: the first two), or use other credentials. {_AGAIN}"
)
_REACH = (
    "Check `s3_endpoint_url`, AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL, that the store runs, and the network to it. "
    f"{_AGAIN}"
)
_REGION = f"Set `s3_region_name`, or AWS_DEFAULT_REGION, to the bucket's own region. {_AGAIN}"
_EXPIRED = "The credentials of the store have expired."
_REFUSED = "The store does not accept the credentials."
_OF_CODES: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"), (_EXPIRED, _RENEW)),
    **dict.fromkeys(
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthFailure", "InvalidSecurity"),
        (_REFUSED, _CHECK_KEYS),
    ),
    "401": (_REFUSED, _CHECK_KEYS),
    **dict.fromkeys(
        ("AccessDenied", "AllAccessDisabled", "AccountProblem", "403"), ("The store denies access to a place.", _GRANT)
    ),
    "RequestTimeTooSkewed": ("The clock of this machine differs from the store's.", f"Set the clock. {_AGAIN}"),
    **dict.fromkeys(
        ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"),
        ("The bucket lies in another region than the one that was asked.", _REGION),
    ),
    **dict.fromkeys(
        ("QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507"),
        ("The store has no room left.", f"Make room in the store, or raise its quota. {_AGAIN}"),
    ),
}
_UNREACHED = (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ProxyConnectionError, boto.SSLError)
_CREDENTIALS = (
    boto.SSOError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
    boto.MetadataRetrievalError,
    boto.UnauthorizedSSOTokenError,
)
LASTING_ERRORS = (
    boto.SSOError,
    boto.TokenRetrievalError,
    boto.NoRegionError,
    boto.ParamValidationError,
    boto.InvalidRegionError,
)
"""Errors before anything is sent: trying again changes nothing."""


def unavailable(error: Exception | None, *, attempts: int, **facts: Any) -> StorageUnavailableError:
    """Return the error that says what a failed request means.

    Args:
        error: The last failure.
        attempts: How often the request was sent.
        **facts: Operation and place; nothing of what was sent.
    """
    # The message of an answer may repeat what was sent; its code does not.
    code = code_of(error) if isinstance(error, ClientError) else type(error).__name__
    status = status_of(error) if isinstance(error, ClientError) else None
    what, remedy = _meaning(error, code, status)
    return StorageUnavailableError(what, remedy=remedy, **facts, got=code, status=status, attempts=attempts)


def _meaning(error: Exception | None, code: str, status: int | None) -> tuple[str, str]:
    if code in _OF_CODES or str(status) in _OF_CODES:
        return _OF_CODES.get(code) or _OF_CODES[str(status)]
    if isinstance(error, _UNREACHED):
        return "The store cannot be reached.", _REACH
    if isinstance(error, _CREDENTIALS):
        return "The credentials of the store cannot be had.", _RENEW
    if isinstance(error, boto.NoRegionError | boto.InvalidRegionError):
        return "The region of the bucket is not known.", _REGION
    if isinstance(error, BotoCoreError | OSError):
        return "The way to the store, or the store itself, fails: no whole answer came.", _REACH
    return "The store did not do what it was asked.", ""


def code_of(error: ClientError) -> str:
    """Return the code of an answer; empty where it has none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    """Return the HTTP status of an answer; 0 where there is none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))

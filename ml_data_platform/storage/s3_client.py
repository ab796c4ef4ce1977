"""Clients of S3 and of stores that speak its protocol.

Belongs here: how a client is made: endpoint, timeouts, retries, checksums. Does not belong here: what is done with
it, and credentials, which are found where every AWS tool finds them (environment, profile, role).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ProfileNotFound
from botocore.loaders import Loader, create_loader
from botocore.utils import parse_timestamp

from ml_data_platform.errors import SettingsError

_HOSTS_OF_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws")


@dataclass(frozen=True)
class S3Connection:
    """How a store is reached.

    Attributes:
        endpoint_url: Where it answers, e.g. ``http://127.0.0.1:9000``; None: what ``AWS_ENDPOINT_URL_S3``,
            ``AWS_ENDPOINT_URL`` or the AWS configuration says, else AWS itself.
        connect_timeout_seconds: Longest wait for a connection.
        read_timeout_seconds: Longest wait for the next bytes of an answer.
        attempts: How often a request is sent at most; between two there is a growing, jittered pause.
        connections: Requests that may be under way at once.
        region_name: Region of the bucket; None: as AWS's own variables and files say.
        profile_name: Profile of the AWS configuration; None: the usual chain.
        addressing_style: Where a request names the bucket: ``path``, ``virtual`` (the host's name) or ``auto``; None: as
            the AWS configuration says, else in the path, except for AWS itself.
        use_ssl: Whether AWS itself is spoken to over TLS.
        verify: Whether certificates are verified; None: they are.
        is_unsigned: Whether requests are sent without credentials, to a public bucket.
        credentials: Access key, secret key and session token, where a resource gives them; never shown.
    """

    endpoint_url: str | None = None
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 60.0
    attempts: int = 5
    connections: int = 16
    region_name: str | None = None
    profile_name: str | None = None
    addressing_style: str | None = None
    use_ssl: bool = True
    verify: bool | None = None
    is_unsigned: bool = False
    credentials: tuple[str | None, str | None, str | None] | None = field(default=None, repr=False)


def s3_client(connection: S3Connection = S3Connection()) -> Any:
    """Make a client; it may be used by several threads at once.

    Raises:
        SettingsError: The endpoint is no http(s) URL, or holds credentials; or there is no such profile.
    """
    if connection.endpoint_url is not None:
        check_endpoint_url(connection.endpoint_url)
    key_id, secret, token = connection.credentials or (None, None, None)
    core = botocore.session.get_session()
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=parse_instant)
    try:
        session = boto3.session.Session(
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            aws_session_token=token,
            region_name=connection.region_name,
            profile_name=connection.profile_name,
            botocore_session=core,
        )
        core.register_component("data_loader", _models(core.get_config_variable("data_path")))
    except ProfileNotFound as error:
        raise SettingsError("there is no such AWS profile", got=connection.profile_name) from error
    if connection.addressing_style is not None:
        return _client(session, connection, connection.addressing_style)
    client = _client(session, connection, None)
    is_told = "addressing_style" in (client.meta.config.s3 or {})
    if is_told or (urlsplit(client.meta.endpoint_url).hostname or "").endswith(_HOSTS_OF_AWS):
        return client
    # Another store rarely has a host name per bucket. Only the client knows where AWS's own variables and files led it.
    return _client(session, connection, "path")


@lru_cache(maxsize=4)
def _models(data_path: str | None) -> Loader:
    """Return what knows what S3 is; reading that is most of the cost of a client."""
    return create_loader(data_path)


def parse_instant(text: Any) -> dt.datetime:
    """Return an instant of an answer; listings are full of them, in one format, and a guess of the format costs more."""
    if isinstance(text, str) and text.endswith("Z"):
        try:
            return dt.datetime.fromisoformat(text)
        except ValueError:
            pass
    guessed: dt.datetime = parse_timestamp(text)
    return guessed


def _client(session: boto3.session.Session, connection: S3Connection, addressing_style: str | None) -> Any:
    config = Config(
        connect_timeout=connection.connect_timeout_seconds,
        read_timeout=connection.read_timeout_seconds,
        max_pool_connections=connection.connections,
        # "standard" retries timeouts, throttling and 5xx with exponential backoff and jitter.
        retries={"mode": "standard", "total_max_attempts": connection.attempts},
        # Stores other than AWS answer trailing checksums with errors; the platform compares hashes of its own.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": addressing_style} if addressing_style else {},
        **({"signature_version": UNSIGNED} if connection.is_unsigned else {}),
    )
    return session.client(
        "s3",
        endpoint_url=connection.endpoint_url,
        use_ssl=connection.use_ssl,
        verify=connection.verify,
        config=config,
    )


def check_endpoint_url(url: str) -> str:
    """Return the URL of an endpoint, checked.

    Raises:
        SettingsError: It is no http(s) URL, or holds credentials, which would end up in logs.
    """
    try:
        parts = urlsplit(url)
        is_plain = parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.query and not parts.fragment
        holds_credentials = "@" in parts.netloc
    except ValueError:
        is_plain = holds_credentials = False
    if holds_credentials:
        raise SettingsError(
            "the S3 endpoint holds credentials", remedy="Give them as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    if not is_plain:
        raise SettingsError("the S3 endpoint is no URL", expected="http://HOST:PORT or https://HOST", got=url)
    return url

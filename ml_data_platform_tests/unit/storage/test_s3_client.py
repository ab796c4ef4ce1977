"""Clients of S3: what they are told, and which endpoints they refuse."""

from __future__ import annotations

import datetime as dt

import pytest

from ml_data_platform.errors import SettingsError
from ml_data_platform.storage.s3_client import S3Connection, parse_instant, s3_client


def test_a_client_has_the_endpoint_and_the_bounds_that_it_was_given() -> None:
    """Timeouts, attempts and connections are those of the connection, and paths name the bucket."""
    client = s3_client(S3Connection("http://127.0.0.1:9000", connect_timeout_seconds=1.5, attempts=7, connections=3))
    assert client.meta.endpoint_url == "http://127.0.0.1:9000"
    assert client.meta.config.connect_timeout == 1.5
    assert client.meta.config.retries["total_max_attempts"] == 7
    assert client.meta.config.max_pool_connections == 3
    assert client.meta.config.s3["addressing_style"] == "path"


def test_without_a_setting_the_environment_names_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's own variables count, as in every AWS tool."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9001")
    assert s3_client().meta.endpoint_url == "http://127.0.0.1:9001"


@pytest.mark.parametrize(
    ("endpoint", "chosen", "named_in"),
    [
        ("http://store:9000", None, "http://store:9000/exports/a?"),
        ("http://store:9000", "virtual", "http://exports.store:9000/a?"),
        (None, None, "https://exports.s3."),
        (None, "path", "https://s3.eu-west-1.amazonaws.com/exports/a?"),
    ],
)
def test_a_store_that_is_not_aws_is_told_the_bucket_in_the_path(
    monkeypatch: pytest.MonkeyPatch, endpoint: str | None, chosen: str | None, named_in: str
) -> None:
    """Also where AWS's own variables name it: most have no host name per bucket. A choice goes before."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    client = s3_client(S3Connection(region_name="eu-west-1", addressing_style=chosen))
    assert client.generate_presigned_url("get_object", {"Bucket": "exports", "Key": "a"}).startswith(named_in)


@pytest.mark.parametrize("url", ["127.0.0.1:9000", "ftp://host", "http://", "http://[", "http://host/?key=1"])
def test_an_endpoint_is_an_http_url(url: str) -> None:
    """Whatever else is refused before a request is sent."""
    with pytest.raises(SettingsError, match="no URL"):
        s3_client(S3Connection(url))


def test_an_endpoint_with_credentials_is_refused_and_not_repeated() -> None:
    """The message does not hold the secret."""
    with pytest.raises(SettingsError, match="holds credentials") as caught:
        s3_client(S3Connection("https://key:hunter2@host"))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-02T09:05:07Z",
        "2026-03-02T09:05:07.000Z",
        "Mon, 02 Mar 2026 09:05:07 GMT",
        "2026-03-02T10:05:07+01:00",
        "20260302T090507Z",
        1772442307,
    ],
)
def test_an_instant_of_an_answer_is_read_in_every_format_of_a_store(text: str | int) -> None:
    """Listings and heads have formats of their own; some stores have others."""
    assert parse_instant(text) == dt.datetime(2026, 3, 2, 9, 5, 7, tzinfo=dt.UTC)
    assert parse_instant(text).tzinfo is not None

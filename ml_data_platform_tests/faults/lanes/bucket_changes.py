"""What can be left out of the commit protocol in a bucket, each as a block of code within which it is.

Belongs here: the changes. Does not belong here: which lane notices which (`mutants`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from ml_data_platform.errors import ConditionFailedError
from ml_data_platform.storage import table_store
from ml_data_platform.storage.s3_objects import ABSENT, S3ObjectStore
from ml_data_platform.storage.s3_requests import S3Requests


def _nothing(*_: Any, **__: Any) -> None:
    """Stand in for what is left out."""


@contextmanager
def store_is_not_probed() -> Iterator[None]:
    """Write without trying whether conditions are kept."""
    with patch.object(S3ObjectStore, "prepare", _nothing):
        yield


@contextmanager
def conditions_are_ignored() -> Iterator[None]:
    """Have a store that ignores conditions, and do not try it."""
    with store_is_not_probed(), _put_without(lambda _key: True):
        yield


@contextmanager
def view_without_condition() -> Iterator[None]:
    """Show files whatever is shown meanwhile."""
    with _put_without(lambda key: key.startswith("data/")):
        yield


@contextmanager
def own_record_is_anothers() -> Iterator[None]:
    """Take a record that is there already for another writer's, whoever wrote it."""

    def put_if_absent(self: S3ObjectStore, key: str, source: bytes, **_: Any) -> bool:
        self.prepare()
        try:
            self.requests.put(key, source, if_none_match=ABSENT)
        except ConditionFailedError:
            return False
        return True

    def never(*_: Any, **__: Any) -> bool:
        return False

    with (
        patch.object(S3ObjectStore, "put_if_absent", put_if_absent),
        patch.object(table_store.TableStore, "_find_own", never),
        patch.object(table_store, "_says_the_same", never),
    ):
        yield


@contextmanager
def _put_without(is_meant: Any) -> Iterator[None]:
    """Put keys that are meant without a condition."""
    real = S3Requests.put

    def put(self: S3Requests, key: str, source: Any, metadata: Any = None, **conditions: Any) -> str:
        return real(self, key, source, metadata or {}, **({} if is_meant(key) else conditions))

    with patch.object(S3Requests, "put", put):
        yield

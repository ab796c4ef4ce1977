"""A root has one secret key, however many processes start at once."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ml_data_platform.errors import SettingsError
from ml_data_platform.storage.keys import load_or_create_key


def test_a_key_is_generated_once_and_private(tmp_path):
    """First use generates 32 bytes that only the owner can read; later uses read them."""
    key_id, secret = load_or_create_key(tmp_path / "secrets")
    path = tmp_path / "secrets" / "user_id.key"
    assert load_or_create_key(tmp_path / "secrets") == (key_id, secret)
    assert len(secret) == 32
    assert bytes.fromhex(path.read_text()) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key_id == hashlib.sha256(secret).hexdigest()[:8]
    assert load_or_create_key(tmp_path / "secrets", "other")[1] != secret


def test_all_that_start_at_once_read_the_same_key(tmp_path):
    """Of many concurrent first uses one generates, and all return its key."""
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: load_or_create_key(tmp_path / "secrets"), range(16)))
    assert len(set(keys)) == 1
    assert len(list((tmp_path / "secrets").iterdir())) == 1


def test_they_do_so_too_where_there_are_no_hard_links(tmp_path, monkeypatch):
    """No key takes the place of one that was read already, however slowly each gets its name."""
    real = Path.rename

    def refused(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    def slowly(self, target):
        time.sleep(0.02)
        return real(self, target)

    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr(Path, "rename", slowly)
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: load_or_create_key(tmp_path / "secrets"), range(8)))
    assert set(keys) == {load_or_create_key(tmp_path / "secrets")}


@pytest.mark.parametrize("text", ["", "zz" * 32, "ab" * 15, "abc", "hunter2-hunter2-hunter2"])
def test_an_unusable_key_is_refused_and_never_shown(tmp_path, text):
    """Short keys and text that is no hex are refused without printing them."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "user_id.key").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_or_create_key(tmp_path / "secrets")
    assert not text or text not in str(caught.value)
    assert caught.value.__cause__ is None

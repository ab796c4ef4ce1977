"""Versions whose data are pushed to a bucket: restored elsewhere, found out when damaged, safe against kills."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ml_data_platform.datasets.checkout import check_out, verify_versions
from ml_data_platform.datasets.dataset_versions import cut_version
from ml_data_platform.datasets.dvc_files import Remote
from ml_data_platform.datasets.load_dataset import load_dataset
from ml_data_platform.datasets.repository import VersionsRepository
from ml_data_platform.datasets.selection import Request
from ml_data_platform.errors import CorruptVersionError, VersionError
from ml_data_platform.settings import load_settings
from ml_data_platform.storage.opening import open_objects
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.faults.datasets.cut_lane import published
from ml_data_platform_tests.faults.datasets.killed_cuts import REQUEST, cut_now, repository_at, start_cut
from ml_data_platform_tests.s3_server import CREDENTIALS, S3Server, hang_up
from ml_data_platform_tests.training_days import NOW, feature_rows, nth, publish_days, publish_features, store_at
from ml_data_platform_tests.version_root import dvc, file_hashes


@pytest.fixture
def remote(s3: S3Server) -> Remote:
    """Return a prefix of a new bucket, as the settings describe it."""
    settings = load_settings(
        {}, Path("/"), root="/r", versions_remote=f"s3://{s3.new_bucket()}/shop", s3_endpoint_url=s3.endpoint_url
    )
    return Remote(settings.versions_remote_url, settings.versions_remote_facts)


def objects(s3: S3Server, remote: Remote) -> dict[str, str]:
    """Return MD5 to key of what the bucket holds."""
    bucket = remote.url.split("/")[2]
    keys = [each["Key"] for each in s3.client.list_objects_v2(Bucket=bucket).get("Contents", [])]
    return {"".join(key.split("/")[-2:]): key for key in keys}


def run(folder: Path, *command: str) -> str:
    """Run a command as a user does."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_another_machine_restores_from_git_and_the_bucket_alone(s3: S3Server, remote: Remote, tmp_path: Path) -> None:
    """With the root gone, checkout, `dvc pull` and `dvc get` give what was published; git holds no credentials."""
    root = tmp_path / "root"
    publish_days(store_at(root), 2, rows=40)
    view = published(root)
    tag = cut_now(root, REQUEST, remote).manifest.tag
    publish_features(store_at(root), nth(2), feature_rows(nth(2), rows=50))
    before = len(objects(s3, remote))
    second = cut_now(root, REQUEST, remote)
    changed = {file.md5 for file in second.manifest.files if f"dt={nth(2)}" in file.path or "folds" in file.path}
    assert len(objects(s3, remote)) - before <= len(changed) + 4
    git = tmp_path / "shop.git"
    run(tmp_path, "git", "clone", "--quiet", "--mirror", str(root / "versions"), str(git))
    shutil.rmtree(root)
    check_out(str(git), tag, tmp_path / "restored")
    assert file_hashes(tmp_path / "restored" / "data").items() >= view.items()
    assert load_dataset(tmp_path / "restored", folds=[0, 1]).rows == 80
    run(tmp_path, "git", "clone", "--quiet", "--branch", tag, str(git), "clone")
    dvc(tmp_path / "clone", "pull")
    assert file_hashes(tmp_path / "clone" / "data") == file_hashes(tmp_path / "restored" / "data")
    dvc(tmp_path, "get", str(git), "data/label_partitions", "--rev", tag)
    got = {f"label_partitions/{path}": digest for path, digest in file_hashes(tmp_path / "label_partitions").items()}
    assert got == {path: digest for path, digest in view.items() if path.startswith("label_partitions/")}
    history = run(git, "git", "log", "--all", "--patch", "--format=fuller")
    assert f"url = {remote.url}" in history
    assert not [value for name, value in CREDENTIALS.items() if name.endswith(("_ID", "_KEY")) and value in history]


def test_secrets_among_the_options_stay_out_of_git(tmp_path: Path) -> None:
    """Credentials that somebody sets as options, and this machine's paths, are in a file of mode 0600 that git ignores."""
    secrets = {"access_key_id": "AKIASECRET", "secret_access_key": "S3CRET", "credentialpath": "/my/credentials"}
    repository = repository_at(tmp_path, Remote("s3://shop/versions", {"region": "eu-west-1", **secrets}))
    commit = repository.prepare(NOW.isoformat())
    history = run(tmp_path / "versions", "git", "show", "--patch", commit)
    assert "region = eu-west-1" in history
    assert not [value for value in secrets.values() if value in history]
    local = tmp_path / "versions" / ".dvc" / "config.local"
    assert local.stat().st_mode & 0o777 == 0o600
    assert all(value in local.read_text(encoding="utf-8") for value in secrets.values())


def test_a_corrupt_bucket_is_found_out_every_time(s3: S3Server, remote: Remote, tmp_path: Path) -> None:
    """Whatever object is changed, cut short or gone: nothing is restored, and `verify` names it."""
    publish_days(store_at(tmp_path), 1, rows=40)
    manifest = cut_now(tmp_path, REQUEST, remote).manifest
    repository, rng = repository_at(tmp_path, remote), random.Random(3)
    bucket, keys = remote.url.split("/")[2], objects(s3, remote)
    listing = f"{manifest.datasets[0].dir_md5}.dir"
    for number, oid in enumerate((listing, *rng.sample(sorted({file.md5 for file in manifest.files}), 2))):
        content = s3.client.get_object(Bucket=bucket, Key=keys[oid])["Body"].read()
        place = rng.randrange(len(content))
        damaged = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        if number % 3 == 2:
            s3.client.delete_object(Bucket=bucket, Key=keys[oid])
        else:
            s3.client.put_object(Bucket=bucket, Key=keys[oid], Body=damaged if number % 3 == 0 else content[:place])
        (verification,) = verify_versions(repository, [manifest.tag])
        assert len(verification.faults) == 1, verification
        with pytest.raises(CorruptVersionError):
            check_out(str(repository.folder), manifest.tag, tmp_path / "restored")
        assert not (tmp_path / "restored").exists()
        shutil.rmtree(tmp_path / ".restored.partial", ignore_errors=True)
        s3.client.put_object(Bucket=bucket, Key=keys[oid], Body=content)
    check_out(str(repository.folder), manifest.tag, tmp_path / "restored")


def test_cuts_killed_in_the_middle_of_their_push(s3: S3Server, remote: Remote, tmp_path: Path) -> None:
    """Before the bucket took an object, one between, and again after it took the last: no tag; the next cut is whole."""
    publish_days(store_at(tmp_path), 1, rows=40)
    repository = repository_at(tmp_path, remote)
    _kill_at_an_object(s3, remote, tmp_path, 5, is_stored=False)
    assert repository.tags() == []
    # The last object of a push is a listing; each data set pushes one, and so do the folds.
    listings = sum(oid.endswith(".dir") for oid in objects(s3, remote))
    _kill_at_an_object(s3, remote, tmp_path, 3 + 1 - listings, ".dir", is_stored=True)
    assert repository.tags() == []
    assert sum(oid.endswith(".dir") for oid in objects(s3, remote)) == 3 + 1
    made = cut_now(tmp_path, REQUEST, remote)
    assert verify_versions(repository, [made.manifest.tag])[0].faults == ()
    check_out(str(repository.folder), made.manifest.tag, tmp_path / "restored")
    assert file_hashes(tmp_path / "restored" / "data").items() >= published(tmp_path).items()


def _kill_at_an_object(
    s3: S3Server, remote: Remote, root: Path, number: int, ending: str = "", *, is_stored: bool
) -> None:
    """Kill a cut at the n-th object that it pushes, of those with this ending: before the bucket took it, or after."""
    puts = count(1)

    def kill(environ: dict[str, Any], start_response: Any, serve: Any) -> list[bytes]:
        is_object = environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].endswith(ending)
        is_due = is_object and next(puts) == number
        if is_due and not is_stored:
            process.kill()
            return hang_up(environ, start_response)
        answer: list[bytes] = serve(environ, start_response)
        if is_due:
            process.kill()
        return answer

    s3.meddle = kill
    try:
        process = start_cut(root, remote=remote, environment=s3.environment)
        process.join()
    finally:
        s3.meddle = None
    assert process.exitcode == -signal.SIGKILL


def test_a_bucket_that_refuses_is_named_without_secrets(
    s3: S3Server, remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket that does not exist: one error with the place and what to look at; no tag, and later the cut succeeds."""
    publish_days(store_at(tmp_path), 1, rows=20)
    with pytest.raises(VersionError, match="s3://no-such-bucket") as caught:
        cut_now(tmp_path, remote=Remote("s3://no-such-bucket/shop", remote.options))
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
    with pytest.raises(VersionError, match="credentials"):
        cut_now(tmp_path, remote=remote)
    assert repository_at(tmp_path).tags() == []
    monkeypatch.undo()
    assert cut_now(tmp_path, remote=remote).outcome == "cut"
    assert objects(s3, remote)


def test_a_root_in_a_bucket_is_cut_and_restored(s3: S3Server, tmp_path: Path) -> None:
    """Tables in a bucket, versions pushed to the same bucket: what a version names is there, and comes back."""
    settings = load_settings(
        {}, tmp_path, root=f"s3://{s3.new_bucket()}/shop", home=tmp_path / "home", s3_endpoint_url=s3.endpoint_url
    )
    store = TableStore(open_objects(settings), lambda: NOW)
    publish_days(store, 1, rows=40)
    repository = VersionsRepository(
        settings.versions_folder, Remote(settings.versions_remote_url, settings.versions_remote_facts)
    )
    made = cut_version(repository, store, Request(folds=REQUEST.folds), now=NOW, threads=1)
    check_out(str(repository.folder), made.manifest.tag, tmp_path / "restored")
    named = {file.path.removeprefix("data/"): file.sha256 for file in made.manifest.files}
    assert file_hashes(tmp_path / "restored" / "data").items() >= named.items()
    local = tmp_path / "local"
    publish_days(store_at(local), 1, rows=40)
    assert named.items() >= published(local).items()
    assert cut_version(repository, store, Request(folds=REQUEST.folds), now=NOW, threads=1).outcome == "unchanged"

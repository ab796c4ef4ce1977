"""DVC in one folder: what it tracks, where it pushes to, what the remote holds.

Belongs here: every use of DVC. It runs in this process: a start of its command line costs a second, and there are
four calls in each cut. Does not belong here: git, manifests, and in which order things happen.

DVC's own file of readers and writers (``.dvc/tmp/rwlock``) outlives a killed process and may be cut short by one, so
the caller, who holds the lock of the repository of versions, has it removed before anything else.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ml_data_platform.datasets.dvc_texts import config_text, tracking_text, url_for_all, write_if_changed
from ml_data_platform.datasets.manifest import Manifest
from ml_data_platform.datasets.manifest_fields import DATA
from ml_data_platform.errors import CorruptVersionError, PlatformError, VersionError, bounded
from ml_data_platform.storage.durability import sync_file, sync_folder
from ml_data_platform.storage.scratch import place_to_write

REMOTE = "store"
_SECRETS = (
    "access_key_id secret_access_key session_token sse_customer_key connection_string sas_token account_key client_secret"
    " password token custom_auth_header oss_key_id oss_key_secret gdrive_client_secret"
)
_OF_THIS_MACHINE = "profile credentialpath configpath keyfile cert_path key_path gdrive_service_account_json_file_path"
LOCAL_OPTIONS = frozenset(f"{_SECRETS} {_OF_THIS_MACHINE}".split())
"""Options of a remote that are never committed: secrets, and what only this machine has."""

MISSING = "missing"
_IGNORED_BY_GIT = "/config.local\n/tmp\n/cache\n"
_CHUNK = 1 << 20
_READERS = 8
_ROOM = 1 << 20
_LOOK_AT_REMOTE = (
    "Check that the remote can be reached, and the credentials, which are found as every tool of it finds them."
)


@dataclass(frozen=True)
class Remote:
    """Where versions are pushed to.

    Attributes:
        url: A folder, absolute, or what DVC knows, e.g. ``s3://bucket/prefix``.
        options: Further options of the remote as DVC names them, e.g. ``endpointurl``.
    """

    url: str
    options: Mapping[str, str] = field(default_factory=dict)


class DvcFiles:
    """DVC in one folder that is a git repository.

    Args:
        folder: The work tree.
        remote: The remote to use, whatever the folder's own configuration says; none for that one.
    """

    def __init__(self, folder: Path, remote: Remote | None = None) -> None:
        self.folder = folder
        self.remote = remote

    def configure(self, remote: Remote) -> None:
        """Make the folder DVC's, or bring its configuration up to date; nothing outside of it is written.

        The remote is verified on each download, or a corrupt one would restore corrupt files with exit status 0. What is
        committed names nothing of this machine: a remote beside the folder is named by the way from here, so that both
        may be moved together, and one elsewhere on this machine is named in the file that git ignores. Files are reflinks or copies: a link would let an edit of the work tree change the cache.
        """
        (self.folder / ".dvc" / "tmp").mkdir(parents=True, exist_ok=True)
        open_options = {name: value for name, value in remote.options.items() if name not in LOCAL_OPTIONS}
        local_options = {name: value for name, value in remote.options.items() if name in LOCAL_OPTIONS}
        core = {
            "remote": REMOTE,
            "analytics": "false",
            "check_update": "false",
            "autostage": "false",
            "no_scm": "false",
        }
        section = f'remote "{REMOTE}"'
        shared: dict[str, Mapping[str, str]] = {"core": core, "cache": {"type": "reflink,copy"}}
        url = url_for_all(remote.url, self.folder)
        if url is not None:
            shared[section] = {"url": url, "verify": "true", **open_options}
        else:
            local_options = {"url": remote.url, "verify": "true", **open_options, **local_options}
        # DVC's state would lie in a folder of the machine.
        local: dict[str, Mapping[str, str]] = {"core": {"site_cache_dir": str(self._state)}}
        if local_options:
            local[section] = local_options
        write_if_changed(self.folder / ".dvc" / "config", config_text(shared))
        write_if_changed(self.folder / ".dvc" / "config.local", config_text(local), mode=0o600)
        write_if_changed(self.folder / ".dvc" / ".gitignore", _IGNORED_BY_GIT)
        write_if_changed(self.folder / ".dvcignore", "/.incoming\n")

    def override(self, remote: Remote | None) -> None:
        """Let this folder alone use another remote, with DVC's state where DVC keeps that of all folders; for a clone.

        Args:
            remote: The remote; none for the one that the repository names.
        """
        local: dict[str, Mapping[str, str]] = {}
        if remote is not None:
            local["core"] = {"remote": REMOTE}
            local[f'remote "{REMOTE}"'] = {"url": remote.url, "verify": "true", **remote.options}
        write_if_changed(self.folder / ".dvc" / "config.local", config_text(local), mode=0o600)

    def track(self, manifest: Manifest) -> list[str]:
        """Let DVC track what a manifest names, and nothing else; returns the folders, for `pull`."""
        (self.folder / DATA).mkdir(exist_ok=True)
        for tracked in manifest.tracked:
            write_if_changed(self.folder / DATA / f"{tracked.name}.dvc", tracking_text(tracked))
        return [f"{DATA}/{tracked.name}" for tracked in manifest.tracked]

    def forget_killed_processes(self) -> None:
        """Remove what killed processes of DVC left; the caller is the only one here.

        DVC tries to copy by reflink, which makes an empty file under the final name first. One that was killed then leaves
        it in the cache, where DVC trusts an empty listing, and fails on it.
        """
        for name in ("rwlock", "rwlock.lock"):
            (self.folder / ".dvc" / "tmp" / name).unlink(missing_ok=True)
        for path in self._cache.glob("files/md5/*/*"):
            if path.stat().st_size == 0:
                path.unlink()

    def add(self, paths: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
        """Track folders in their present state; at once, because DVC reads all that it tracks for each call.

        Args:
            paths: The folders, relative to the work tree.

        Returns:
            Of each folder, in this order, the MD5 of its listing, and each file's MD5 by path within the folder.
        """
        with self._open() as repo:
            return [_listing(stage.outs[0]) for stage in repo.add([str(self.folder / path) for path in paths])]

    def push(self, paths: Iterable[str]) -> None:
        """Push what is tracked as ``PATH.dvc`` to the remote."""
        with self._open() as repo:
            repo.push(targets=[str(self.folder / f"{path}.dvc") for path in paths])

    def pull(self, paths: Iterable[str]) -> None:
        """Restore what is tracked as ``PATH.dvc`` from the remote.

        Raises:
            VersionError: There is no room on the disk.
            CorruptVersionError: The remote lacks objects, or has other bytes than their names say.
        """
        try:
            with self._open() as repo:
                repo.pull(targets=[str(self.folder / f"{path}.dvc") for path in paths], force=True)
        except VersionError as error:
            if shutil.disk_usage(self.folder).free < _ROOM:
                raise VersionError(
                    f"the disk is full: {error.what}",
                    remedy="Make room, twice what the version holds, and try again: it goes on from there.",
                    folder=str(self.folder),
                ) from error
            raise CorruptVersionError(
                f"the remote does not give back what was pushed: {error.what}",
                remedy="Restore the remote from a backup, or run `version verify` where the data were made.",
                folder=str(self.folder),
            ) from error

    def is_in_cloud(self, paths: Iterable[str]) -> bool:
        """Tell whether ``dvc status --cloud`` is clean."""
        with self._open() as repo:
            return not repo.status(targets=[str(self.folder / f"{path}.dvc") for path in paths], cloud=True)

    def missing(self, oids: Iterable[str]) -> set[str]:
        """Return those MD5 that the remote does not hold; it is asked itself, not DVC's memory of it."""
        wanted = set(oids)
        with self._open() as repo:
            store = repo.cloud.get_remote_odb()
            return wanted - set(store.list_oids_exists(sorted(wanted)))

    def corrupt(self, oids: Iterable[str], *, sync: bool = False) -> dict[str, str]:
        """Read objects back from the remote.

        Args:
            oids: MD5 of the objects; that of a listing ends in ``.dir``.
            sync: Flush those of a local folder to disk.

        Returns:
            The objects that are missing or have other bytes, with what is wrong.
        """
        wanted = sorted(set(oids))
        with self._open() as repo:
            store = repo.cloud.get_remote_odb()
            look = partial(_fault, store, sync=sync)
            # Readers that began at once would each make a client of the bucket, which takes longer than to read.
            faults = [look(oid) for oid in wanted[:1]]
            # A folder is read as fast by one; of a bucket, one would wait for each answer in turn.
            with ThreadPoolExecutor(1 if store.fs.protocol == "local" else _READERS) as readers:
                faults += readers.map(look, wanted[1:])
        return {oid: fault for oid, fault in zip(wanted, faults, strict=True) if fault}

    def discard(self, oids: Iterable[str]) -> None:
        """Remove objects from the remote whose bytes are wrong, and DVC's memory of the remote; they can be pushed again."""
        wrong = list(oids)
        if not wrong:
            return
        with self._open() as repo:
            store = repo.cloud.get_remote_odb()
            for oid in wrong:
                if store.fs.exists(store.oid_to_path(oid)):
                    store.fs.remove(store.oid_to_path(oid))
        self.forget_remote()

    def forget_remote(self) -> None:
        """Remove DVC's memory of what the remote holds, which may be wrong when others changed the remote."""
        from dvc_data.hashfile.db import get_index

        with self._open() as repo:
            get_index(repo.cloud.get_remote_odb()).clear()

    def cached(self, md5: str) -> Path | None:
        """Return the file of the local cache that has these bytes by its name; none where there is none."""
        path = self._cache / "files" / "md5" / md5[:2] / md5[2:]
        return path if path.is_file() else None

    def cache_fault(self, oid: str) -> str | None:
        """Return what is wrong with an object of the local cache; none where it is whole, or not there."""
        path = self.cached(oid)
        if path is None:
            return None
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "md5").hexdigest()
        return None if found == oid.removesuffix(".dir") else f"its bytes have the MD5 {found}"

    def keep(self, oid: str, source: Path) -> None:
        """Put a file into the local cache, in the place of what is there under its name."""
        target = self._cache / "files" / "md5" / oid[:2] / oid[2:]
        target.parent.mkdir(parents=True, exist_ok=True)
        written = target.with_name(f"{target.name}.new")
        shutil.copyfile(source, written)
        written.chmod(0o444)
        written.replace(target)

    def give(self, oid: str, source: Path) -> None:
        """Put a file into the remote."""
        with self._open() as repo:
            store = repo.cloud.get_remote_odb()
            path = store.oid_to_path(oid)
            store.fs.makedirs(store.fs.parent(path))
            store.fs.put_file(str(source), path)

    def take(self, oid: str, target: Path) -> bool:
        """Copy an object of the remote into a file, as it is; tells whether the remote has it."""
        with self._open() as repo:
            store = repo.cloud.get_remote_odb()
            path = store.oid_to_path(oid)
            if not store.fs.exists(path):
                return False
            with store.fs.open(path, "rb") as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, _CHUNK)
        return True

    @property
    def _cache(self) -> Path:
        return self.folder / ".dvc" / "cache"

    @property
    def _state(self) -> Path:
        return place_to_write(self.folder / ".dvc" / "tmp") / "site"

    def _override(self) -> dict[str, Any] | None:
        """Return what counts over all configuration: the remote, and that cache and state are the folder's own."""
        if self.remote is None:
            return None
        return {
            "core": {"site_cache_dir": str(self._state)},
            "cache": {"dir": str(self._cache)},
            "remote": {REMOTE: {"url": self.remote.url, "verify": True, **self.remote.options}},
        }

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """Open the repository in silence; errors of DVC become the platform's."""
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        # Below ERROR, DVC prints advice and progress bars into whatever this process prints.
        logging.getLogger("dvc").setLevel(logging.CRITICAL)
        logging.getLogger("dvc_data").setLevel(logging.CRITICAL)
        logging.getLogger("dvc_objects").setLevel(logging.CRITICAL)
        try:
            with Repo(str(self.folder), config=self._override()) as repo:
                yield repo
        except PlatformError:
            raise
        except Exception as error:
            # The libraries of remotes raise errors of their own, which have no common base.
            raise VersionError(
                f"DVC failed: {bounded(_causes(error), 600)}",
                remedy="" if isinstance(error, DvcException) else _LOOK_AT_REMOTE,
                repository=str(self.folder),
                remote=self.remote.url if self.remote else None,
            ) from error


def _causes(error: BaseException) -> str:
    causes: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(causes) < 5:
        text = " ".join(str(cause).split())
        if text not in causes:
            causes.append(text)
        cause = cause.__cause__
    return ": ".join(filter(None, causes)) or type(error).__name__


def _listing(out: Any) -> tuple[str, dict[str, str]]:
    entries = {"/".join(key): info.value for key, _, info in out.get_obj()}
    return str(out.hash_info.value).removesuffix(".dir"), entries


def _fault(store: Any, oid: str, *, sync: bool) -> str | None:
    path = store.oid_to_path(oid)
    try:
        found = _md5(store.fs, path)
    except FileNotFoundError:
        return MISSING
    if found != oid.removesuffix(".dir"):
        return f"its bytes have the MD5 {found}"
    if sync and store.fs.protocol == "local":
        sync_file(Path(path))
        sync_folder(Path(path).parent)
    return None


def _md5(fs: Any, path: str) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with fs.open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()

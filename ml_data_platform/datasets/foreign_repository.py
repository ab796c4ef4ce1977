"""What is taken from a repository of versions that somebody else may have made.

Belongs here: which files of its commit are taken, what they may say, and the remote that it names. Nothing of it is
believed: paths and hashes are those of a manifest that was checked, what DVC is told follows from that manifest, and
options of a remote that name a program or a file of this machine are refused. Does not belong here: fetching and
comparing (``checkout``).
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from ml_data_platform.datasets.dvc_files import REMOTE, Remote
from ml_data_platform.datasets.dvc_texts import listing_md5, tracking_text
from ml_data_platform.datasets.git import Git
from ml_data_platform.datasets.manifest import MANIFEST, Manifest
from ml_data_platform.datasets.manifest_fields import DATA
from ml_data_platform.datasets.pipeline_files import PARAMETERS, PIPELINE
from ml_data_platform.datasets.repository import manifest_of_tag
from ml_data_platform.errors import CorruptVersionError, VersionError, bounded

CONFIG = ".dvc/config"
MAX_MANIFEST_BYTES = 256 << 20
MAX_CONFIG_BYTES = 64 << 10
_LINK_MODES = {"120000": "a link", "160000": "another repository"}
_OWN = frozenset({DATA, ".dvc", ".dvcignore", MANIFEST, PIPELINE, PARAMETERS})
_OF_THIS_MACHINE = (".dvc/cache", ".dvc/tmp", ".dvc/config.local")
_URL_SCHEME = re.compile(r"([a-z][a-z0-9+]*)://")
_SCHEMES = frozenset(
    ["s3", "gs", "azure", "oss", "ssh", "http", "https", "webdav", "webdavs", "hdfs", "webhdfs", "gdrive"]
)
_OPTIONS = frozenset(
    [
        "url",
        "verify",
        "region",
        "endpointurl",
        "use_ssl",
        "allow_anonymous_login",
        "version_aware",
        "jobs",
        "checksum_jobs",
        "listobjects",
        "read_timeout",
        "connect_timeout",
        "timeout",
        "sse",
        "sse_kms_key_id",
        "acl",
        "port",
        "user",
        "account_name",
        "projectname",
        "oss_endpoint",
        "gdrive_acknowledge_abuse",
        "gdrive_use_service_account",
    ]
)
"""Options that only say where data are; others name programs, files, or what of this machine is to be trusted."""
_SETTINGS: Mapping[str, frozenset[str]] = {
    "core": frozenset(["remote", "analytics", "check_update", "autostage", "no_scm"]),
    "cache": frozenset({"type"}),
}
_REMEDY = "Name the remote with --remote if you know it, and ask who made the repository."


def private_folder(folder: Path) -> None:
    """Make a folder that nobody else writes into, or go on in it; what a stopped checkout left may be there.

    Raises:
        VersionError: Something that is no folder of this user lies there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError as error:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise VersionError(
                "where the version is to be put together lies something else",
                remedy="Move it away, or restore to another place.",
                folder=str(folder),
            ) from error
        folder.chmod(0o700)
        if any((Path(top) / name).is_symlink() for top, *both in os.walk(folder) for name in (*both[0], *both[1])):
            shutil.rmtree(folder)
            folder.mkdir(mode=0o700)


def manifest_in(git: Git, tag: str) -> Manifest:
    """Return the manifest of a tag; no other file of its commit was looked at.

    Raises:
        CorruptVersionError: It cannot be read, says what no version says, or is not small enough to be one.
    """
    name = f"refs/tags/{tag}:{MANIFEST}"
    if not git.succeeds("cat-file", "-e", name):
        raise CorruptVersionError("the commit of a version has no manifest", version=tag, expected=MANIFEST)
    size = int(git("cat-file", "-s", name))
    if size > MAX_MANIFEST_BYTES:
        raise CorruptVersionError(
            "a version's manifest is too large", version=tag, expected=MAX_MANIFEST_BYTES, got=size
        )
    return manifest_of_tag(git("cat-file", "blob", name), tag)


def require_honest_tree(git: Git, manifest: Manifest) -> None:
    """Refuse a commit whose files lead elsewhere, or have DVC do other things than the manifest says.

    Raises:
        CorruptVersionError: A folder or file of the version is a link, lies where data will lie, or says other things.
    """
    tracked = {f"{DATA}/{each.name}": each for each in manifest.tracked}
    listed = git("ls-tree", "-r", "-z", "--full-tree", f"refs/tags/{manifest.tag}").split("\0")[:-1]
    for entry in listed:
        facts, _, path = entry.partition("\t")
        what = _what_is_wrong(path, facts.partition(" ")[0], tracked)
        if what:
            raise CorruptVersionError(
                "the repository is not one that a version was cut in: it would have files written elsewhere",
                remedy="Nothing was restored. Ask who made it; the versions of a root are in its own repository.",
                version=manifest.tag,
                file=path,
                got=what,
            )
    for top, folder in tracked.items():
        listing = listing_md5({file.path.removeprefix(f"{top}/"): file.md5 for file in folder.files})
        text = _text(git, manifest.tag, f"{top}.dvc")
        if listing != folder.dir_md5 or text != tracking_text(folder):
            raise CorruptVersionError(
                "what DVC is to restore is not what the manifest names",
                remedy="Nothing was restored. Ask who made the repository, or fetch it again.",
                version=manifest.tag,
                file=f"{top}.dvc",
                expected=f"md5: {listing}.dir",
                got=text,
            )


def _what_is_wrong(path: str, mode: str, tracked: Mapping[str, object]) -> str | None:
    top = path.casefold().partition("/")[0]
    if mode in _LINK_MODES and top in _OWN:
        return f"{_LINK_MODES[mode]} in the place of a file or folder"
    below = "/".join(path.casefold().split("/")[:2])
    if below in tracked:
        return "a file in git where data are to lie"
    if below in _OF_THIS_MACHINE:
        return "a file in git that belongs to one machine alone"
    return None


def remote_in(git: Git, manifest: Manifest, source: str) -> Remote:
    """Return the remote that a repository names.

    Args:
        git: Where the repository was fetched into.
        manifest: The version.
        source: Path or URL of the repository; a path that the repository names is relative to it.

    Raises:
        VersionError: It names none, or one that only makes sense on the machine where it was made.
        CorruptVersionError: Its configuration cannot be read, or says more than where the data are.
    """
    sections = _sections(_text(git, manifest.tag, CONFIG), manifest.tag)
    name = sections.get("core", {}).get("remote", REMOTE)
    options = sections.get(f'remote "{name}"', {})
    url = options.pop("url", "")
    if not url:
        raise VersionError(
            "the repository does not say where its data are: they are in a folder of the machine that made it",
            remedy="Name it: --remote FOLDER.",
            repository=source,
        )
    scheme = _URL_SCHEME.match(url)
    if scheme is None:
        return Remote(_place(url, source), options)
    if scheme[1] not in _SCHEMES:
        raise CorruptVersionError("the repository names a remote of a kind that is not known", remedy=_REMEDY, got=url)
    return Remote(url, options)


def _place(path: str, source: str) -> str:
    if Path(path).is_absolute():
        return path
    folder = Path(source)
    if not folder.is_dir() or not (folder / ".git").exists():
        raise VersionError(
            "the repository says where its data are by a path beside it, and it is not where it was made",
            remedy="Name the remote: --remote FOLDER.",
            repository=source,
            got=path,
        )
    return os.path.normpath(folder / ".dvc" / path)


def _sections(text: str, tag: str) -> dict[str, dict[str, str]]:
    """Return the sections of DVC's configuration by name, with their options; each option is one of those known."""
    from configobj import ConfigObj, ConfigObjError

    try:
        config = ConfigObj(text.splitlines(), interpolation=False, list_values=True)
    except ConfigObjError as error:
        raise CorruptVersionError("DVC's configuration cannot be read", version=tag, file=CONFIG, got=error) from error
    found: dict[str, dict[str, str]] = {}
    for name, options in config.items():
        # A section of a remote is written with single quotes around its name.
        section = str(name).strip("'")
        known = _OPTIONS if section.startswith("remote ") else _SETTINGS.get(section, frozenset())
        unknown = sorted(set(options) - known) if isinstance(options, dict) else [section]
        if unknown:
            raise CorruptVersionError(
                "DVC's configuration in the repository says more than where the data are",
                remedy=f"It could have programs run here. {_REMEDY}",
                version=tag,
                file=CONFIG,
                got=[f"{bounded(section, 60)}: {bounded(each, 60)}" for each in unknown[:5]],
            )
        found[section] = {option: str(value) for option, value in options.items()}
    return found


def _text(git: Git, tag: str, path: str) -> str:
    name = f"refs/tags/{tag}:{path}"
    if not git.succeeds("cat-file", "-e", name):
        raise CorruptVersionError("the commit of a version lacks a file", version=tag, file=path)
    if int(git("cat-file", "-s", name)) > MAX_CONFIG_BYTES:
        raise CorruptVersionError("a file of a version's commit is too large", version=tag, file=path)
    return git("cat-file", "blob", name) + "\n"

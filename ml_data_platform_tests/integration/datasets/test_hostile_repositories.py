"""Repositories of versions that somebody else made, to do harm: nothing is written elsewhere, and nothing is run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_data_platform.datasets.checkout import check_out, resolve_tag
from ml_data_platform.datasets.dvc_files import Remote
from ml_data_platform.datasets.pinned_data import pin_checkout
from ml_data_platform.errors import PlatformError, VersionError
from ml_data_platform_tests.faults.datasets.killed_cuts import cut_now, repository_at
from ml_data_platform_tests.training_days import publish_days, store_at
from ml_data_platform_tests.version_root import dvc, file_hashes

PERSON = ("-c", "user.name=someone", "-c", "user.email=someone@localhost", "-c", "protocol.file.allow=always")


def git(folder: Path, *arguments: str) -> str:
    """Run git as somebody with a name does."""
    done = subprocess.run(["git", *PERSON, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A repository with one version of one day, and its tag; to be read only."""
    root = tmp_path_factory.mktemp("honest") / "root"
    publish_days(store_at(root), 1, rows=20)
    return root / "versions", cut_now(root).manifest.tag


class Hostile:
    """A copy of a repository that is changed by somebody, beside a folder that must stay as it is."""

    def __init__(self, honest: tuple[Path, str], folder: Path) -> None:
        self.source, self.tag = honest
        self.folder, self.victim, self.canary = folder / "hostile", folder / "victim", folder / "canary"
        self.target = folder / "checkouts" / "out"
        self.target.parent.mkdir()
        shutil.copytree(self.source, self.folder, symlinks=True)
        self.victim.mkdir()
        for path in self.folder.glob("data/*.dvc"):
            shutil.copy(path, self.victim)
        (self.victim / "config").write_text((self.folder / ".dvc" / "config").read_text())
        self.remote = repository_at(self.source.parent).remote

    def program(self) -> str:
        """Return a program that leaves a canary when it is run."""
        program = self.folder.parent / "program"
        program.write_text(f"#!/bin/sh\ntouch '{self.canary}'\n")
        program.chmod(0o755)
        return str(program)

    def commit(self) -> None:
        """Make the tag lead to what lies in the work tree now."""
        git(self.folder, "add", "--all", ".")
        git(self.folder, "commit", "--quiet", "--message=changed")
        git(self.folder, "tag", "--force", "--annotate", "--message=changed", self.tag)

    def edit_manifest(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the manifest."""
        path = self.folder / "version.json"
        manifest = json.loads(path.read_text())
        change(manifest)
        path.write_text(json.dumps(manifest))

    def is_harmless(self, before: dict[str, str]) -> bool:
        """Tell whether nothing was run, and nothing written but below the target and beside it."""
        outside = {path.name for path in self.folder.parent.iterdir()}
        beside = {path.name for path in self.target.parent.iterdir()}
        return (
            not self.canary.exists()
            and file_hashes(self.victim) == before
            and outside <= {"hostile", "victim", "checkouts", "program", "home", "objects"}
            and beside <= {"out", ".out.partial"}
        )


@pytest.fixture
def hostile(honest: tuple[Path, str], tmp_path: Path) -> Hostile:
    """A repository to be changed."""
    return Hostile(honest, tmp_path)


def _link_data(hostile: Hostile) -> None:
    shutil.rmtree(hostile.folder / "data")
    (hostile.folder / "data").symlink_to(hostile.victim)


def _link_configuration(hostile: Hostile) -> None:
    (hostile.folder / ".dvc" / "config").unlink()
    (hostile.folder / ".dvc" / "config").symlink_to(hostile.victim / "config")


def _link_tracking_file(hostile: Hostile) -> None:
    (hostile.folder / "data" / "date_partitions.dvc").unlink()
    (hostile.folder / "data" / "date_partitions.dvc").symlink_to(hostile.victim / "date_partitions.dvc")


def _link_manifest(hostile: Hostile) -> None:
    shutil.move(hostile.folder / "version.json", hostile.victim / "version.json")
    (hostile.folder / "version.json").symlink_to(hostile.victim / "version.json")


def _link_where_data_will_lie(hostile: Hostile) -> None:
    shutil.rmtree(hostile.folder / "data" / "date_partitions")
    (hostile.folder / "data" / "date_partitions").symlink_to(hostile.victim)
    (hostile.folder / "data" / ".gitignore").write_text("/label_partitions\n/stratified_partitions\n")


def _file_where_data_will_lie(hostile: Hostile) -> None:
    (hostile.folder / "data" / ".gitignore").write_text("")


def _repository_in_the_repository(hostile: Hostile) -> None:
    inner = hostile.folder / "data" / "inner"
    git(hostile.folder, "clone", "--quiet", str(hostile.source), str(inner))


def _configuration_of_one_machine(hostile: Hostile) -> None:
    (hostile.folder / ".dvc" / ".gitignore").write_text("/cache\n/tmp\n")
    (hostile.folder / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {hostile.victim}\n")


def _tracked_elsewhere(hostile: Hostile) -> None:
    path = hostile.folder / "data" / "date_partitions.dvc"
    path.write_text(f"wdir: {hostile.victim}\n{path.read_text()}")


def _yaml_bomb(hostile: Hostile) -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]", *(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))]
    path = hostile.folder / "data" / "date_partitions.dvc"
    path.write_text("\n".join(lines) + "\n" + path.read_text())


def _code_in_yaml(hostile: Hostile) -> None:
    path = hostile.folder / "data" / "date_partitions.dvc"
    path.write_text(f"x: !!python/object/apply:os.system ['{hostile.program()}']\n{path.read_text()}")


def _files(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    return [file for each in manifest["datasets"] for part in each["partitions"] for file in part["files"]]


def _path_out_of_the_folder(hostile: Hostile) -> None:
    def change(manifest: dict[str, Any]) -> None:
        dataset = manifest["datasets"][0]
        for file in (file for part in dataset["partitions"] for file in part["files"]):
            file["path"] = f"data/{dataset['name']}/../../../../victim/x"
        listing = [{"md5": file["md5"], "relpath": "../../../../victim/x"} for file in _files(manifest)[:1]]
        content = json.dumps(listing, sort_keys=True).encode()
        old, new = dataset["dir_md5"], hashlib.md5(content).hexdigest()
        dataset["dir_md5"] = new
        objects = hostile.folder.parent / "objects"
        shutil.copytree(hostile.remote.url, objects)
        place = objects / "files" / "md5" / new[:2] / f"{new[2:]}.dir"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content)
        hostile.remote = Remote(str(objects))
        tracking = hostile.folder / "data" / f"{dataset['name']}.dvc"
        tracking.write_text(tracking.read_text().replace(old, new))

    hostile.edit_manifest(change)


def _hash_that_is_a_path(hostile: Hostile) -> None:
    def change(manifest: dict[str, Any]) -> None:
        _files(manifest)[0]["md5"] = "../../../../victim/x"

    hostile.edit_manifest(change)


def _data_set_that_is_a_path(hostile: Hostile) -> None:
    hostile.edit_manifest(lambda manifest: manifest["datasets"][0].update(name="../../victim"))


def _deep_manifest(hostile: Hostile) -> None:
    (hostile.folder / "version.json").write_text('{"code": ' * 50_000 + "1" + "}" * 50_000)


CHANGES = [
    *(_link_data, _link_configuration, _link_tracking_file, _link_manifest, _link_where_data_will_lie),
    *(_file_where_data_will_lie, _repository_in_the_repository, _configuration_of_one_machine),
    *(_tracked_elsewhere, _yaml_bomb, _code_in_yaml),
    *(_path_out_of_the_folder, _hash_that_is_a_path, _data_set_that_is_a_path, _deep_manifest),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_a_repository_that_leads_elsewhere_is_refused(hostile: Hostile, change: Callable[[Hostile], None]) -> None:
    """Whatever it is: one message with the version, no checkout, and nothing written or run outside of it."""
    change(hostile)
    hostile.commit()
    before = file_hashes(hostile.victim)
    with pytest.raises(PlatformError, match=r"data/2") as refused:
        check_out(str(hostile.folder), hostile.tag, hostile.target, remote=hostile.remote)
    assert len(str(refused.value)) <= 2_000
    assert not hostile.target.exists()
    assert hostile.is_harmless(before)


@pytest.mark.parametrize(
    ("section", "option"),
    [
        ("cache", "dir = {victim}"),
        ("cache", "shared = group"),
        ("core", "site_cache_dir = {victim}"),
        ("core", "hardlink_lock = true"),
        ("'remote \"store\"'", "bearer_token_command = {program}"),
        ("'remote \"store\"'", "configpath = {victim}/config"),
        ("'remote \"store\"'", "credentialpath = {victim}/config"),
        ("'remote \"store\"'", "ssl_verify = false"),
        ("machine", "x = y"),
    ],
)
def test_configuration_that_names_more_than_a_place_is_refused(hostile: Hostile, section: str, option: str) -> None:
    """Options that name programs, other folders, or what is to be trusted, are named in the message."""
    path = hostile.folder / ".dvc" / "config"
    line = option.format(victim=hostile.victim, program=hostile.program())
    text = path.read_text()
    head = f"[{section}]\n"
    path.write_text(text.replace(head, f"{head}    {line}\n") if head in text else f"{text}{head}    {line}\n")
    hostile.commit()
    before = file_hashes(hostile.victim)
    with pytest.raises(PlatformError, match=option.partition(" ")[0]):
        check_out(str(hostile.folder), hostile.tag, hostile.target)
    assert not hostile.target.exists()
    assert hostile.is_harmless(before)


def test_no_program_that_a_repository_names_is_run(
    hostile: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hooks, monitors, filters, pagers and transports of a repository: not by a checkout, nor by naming a version in it."""
    program = hostile.program()
    for hook in ("post-checkout", "post-merge", "reference-transaction", "pre-auto-gc", "post-index-change"):
        for folder in (hostile.folder / ".git" / "hooks", tmp_path / "hooks"):
            folder.mkdir(exist_ok=True)
            shutil.copy(program, folder / hook)
    for name in ("core.fsmonitor", "core.sshCommand", "uploadpack.packObjectsHook", "core.alternateRefsCommand"):
        git(hostile.folder, "config", name, program)
    for name in ("core.pager", "diff.external", "gpg.program", "core.gitProxy", "credential.helper", "core.editor"):
        git(hostile.folder, "config", name, program)
    git(hostile.folder, "config", "core.hooksPath", str(tmp_path / "hooks"))
    # What a person has set up, which a repository can ask for in its attributes.
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[filter "x"]\nsmudge = {program}\nprocess = {program}\n[diff "x"]\ntextconv = {program}\n'
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    (hostile.folder / ".gitattributes").write_text("* filter=x diff=x\n")
    (hostile.folder / "LINK").symlink_to(hostile.victim)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    git(hostile.folder, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "add", ".gitattributes", "LINK")
    git(hostile.folder, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "commit", "-qm", "changed")
    git(hostile.folder, "-c", "core.hooksPath=/dev/null", "tag", "-f", "-a", "-m", "changed", hostile.tag)
    monkeypatch.delenv("GIT_CONFIG_GLOBAL")
    hostile.canary.unlink(missing_ok=True)
    before = file_hashes(hostile.victim)
    monkeypatch.chdir(hostile.folder)
    assert resolve_tag(str(hostile.folder), "latest") == hostile.tag
    done = check_out(str(hostile.folder), hostile.tag, hostile.target, remote=hostile.remote)
    assert done.files == len(list((hostile.target / "data").rglob("*.parquet")))
    assert (hostile.target / "LINK").read_text() == str(hostile.victim), "a link is written as a file"
    assert not (hostile.target / "LINK").is_symlink()
    shutil.rmtree(tmp_path / "hooks")
    assert hostile.is_harmless(before)


def test_a_folder_from_elsewhere_runs_nothing_when_it_is_loaded(hostile: Hostile) -> None:
    """A checkout that somebody hands over: its git is asked, whatever it names or lacks, and no program is run."""
    check_out(str(hostile.source), hostile.tag, hostile.target)
    program = hostile.program()
    for name in ("core.fsmonitor", "core.sshCommand", "core.pager", "diff.external", "remote.origin.uploadpack"):
        git(hostile.target, "config", name, program)
    for name, value in (("extensions.partialClone", "origin"), ("remote.origin.promisor", "true")):
        git(hostile.target, "config", name, value)
    git(hostile.target, "status")
    assert hostile.canary.exists(), "a command of git that a person gives runs it"
    hostile.canary.unlink(missing_ok=True)
    assert pin_checkout(hostile.target).manifest.tag == hostile.tag
    assert not hostile.canary.exists()
    blob = git(hostile.target, "rev-parse", f"{hostile.tag}:version.json")
    shutil.rmtree(hostile.target / ".git" / "objects" / "pack", ignore_errors=True)
    (hostile.target / ".git" / "objects" / blob[:2] / blob[2:]).unlink(missing_ok=True)
    hostile.canary.unlink(missing_ok=True)
    with pytest.raises(PlatformError):
        pin_checkout(hostile.target)
    assert not hostile.canary.exists()


@pytest.mark.parametrize("kind", ["link", "file", "with a link in it"])
def test_what_lies_in_the_way_is_not_followed(hostile: Hostile, kind: str) -> None:
    """Where the checkout is put together lies something: a link and a file are refused, a folder with a link is emptied."""
    partial = hostile.target.with_name(".out.partial")
    if kind == "link":
        partial.symlink_to(hostile.victim)
    elif kind == "file":
        partial.write_text("precious")
    else:
        (partial / "data").mkdir(parents=True)
        (partial / "data" / "date_partitions").symlink_to(hostile.victim)
    before = file_hashes(hostile.victim)
    if kind == "with a link in it":
        check_out(str(hostile.source), hostile.tag, hostile.target)
    else:
        with pytest.raises(VersionError, match="something else"):
            check_out(str(hostile.source), hostile.tag, hostile.target)
    assert hostile.is_harmless(before)


def test_names_that_git_would_take_for_options_or_programs(hostile: Hostile, tmp_path: Path) -> None:
    """A repository that is named like an option, or by a transport that runs a program, is an error and runs nothing."""
    program = hostile.program()
    for name in (f"--upload-pack={program}", f"ext::{program} %S", f"ext::sh -c {program}"):
        with pytest.raises(PlatformError):
            resolve_tag(name, "latest")
        with pytest.raises(PlatformError):
            check_out(name, hostile.tag, hostile.target)
    with pytest.raises(PlatformError, match="no such version"):
        check_out(str(hostile.source), f"--upload-pack={program}", hostile.target)
    assert not hostile.canary.exists()


def test_a_checkout_is_a_repository_as_ever(honest: tuple[Path, str], tmp_path: Path) -> None:
    """The positive: nothing is modified for git, `dvc status` is clean, and `dvc pull` finds the remote again."""
    source, tag = honest
    done = check_out(str(source), tag, tmp_path / "out")
    assert git(done.folder, "status", "--porcelain") == ""
    shutil.rmtree(done.folder / "data" / "date_partitions")
    shutil.rmtree(done.folder / ".dvc" / "cache")
    dvc(done.folder, "pull")
    dvc(done.folder, "status")
    assert pin_checkout(done.folder).manifest.tag == tag

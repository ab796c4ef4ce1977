"""A repository of versions is a git repository like any other: people commit to it, tag, configure, and move folders."""

from __future__ import annotations

import datetime as dt
import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ml_data_platform.datasets.checkout import check_out, verify_versions
from ml_data_platform.datasets.dataset_versions import preview_version
from ml_data_platform.datasets.dvc_files import Remote
from ml_data_platform.datasets.selection import Request
from ml_data_platform.errors import CorruptVersionError, VersionError
from ml_data_platform_tests.faults.datasets.killed_cuts import cut_now, repository_at
from ml_data_platform_tests.training_days import NOW, feature_rows, nth, publish_days, publish_features, store_at
from ml_data_platform_tests.version_root import dvc

OWN = {".dvc/.gitignore", ".dvc/config", ".dvcignore", "version.json", "dvc.yaml", "params.yaml", "data/.gitignore"}


def git(folder: Path, *arguments: str) -> str:
    """Run git as a person with a name does."""
    person = ("-c", "user.name=someone", "-c", "user.email=someone@localhost")
    done = subprocess.run(["git", *person, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with one version of two days; to be copied."""
    root = tmp_path_factory.mktemp("made") / "root"
    publish_days(store_at(root), 2, rows=20)
    assert cut_now(root).outcome == "cut"
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """The root, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "root", symlinks=True))


def add_a_day(root: Path) -> None:
    """Publish the third day, so that there is something to be cut."""
    publish_features(store_at(root), nth(3), feature_rows(nth(3), rows=20))


def test_what_people_commit_stays_and_what_they_did_not_is_left_alone(root: Path) -> None:
    """A cut comes after their commits, and neither edits, secrets nor staged files of theirs get into a version."""
    versions = root / "versions"
    (versions / "NOTES.md").write_text("first")
    git(versions, "add", "NOTES.md")
    git(versions, "commit", "--quiet", "--message=Notes")
    commit = git(versions, "rev-parse", "HEAD")
    (versions / "NOTES.md").write_text("second")
    (versions / ".env").write_text("secret")
    (versions / "staged.py").write_text("")
    git(versions, "add", "staged.py")
    add_a_day(root)
    made = cut_now(root)
    files = set(git(versions, "ls-tree", "-r", "--name-only", made.manifest.tag).splitlines())
    assert files == {*OWN, "NOTES.md", *(f"data/{each.name}.dvc" for each in made.manifest.tracked)}
    assert git(versions, "show", f"{made.manifest.tag}:NOTES.md") == "first"
    assert git(versions, "merge-base", commit, "HEAD") == commit
    assert git(versions, "rev-parse", "HEAD") == git(versions, "rev-parse", f"{made.manifest.tag}^{{commit}}")
    assert git(versions, "status", "--porcelain").splitlines() == ["M NOTES.md", "A  staged.py", "?? .env"]


def test_a_dry_run_of_nothing_new_names_the_version_there_is(root: Path) -> None:
    """What it says was cut can be checked out: it is no name that only a cut would have made."""
    repository = repository_at(root)
    seen = preview_version(repository, store_at(root), Request(), now=NOW + dt.timedelta(days=1))
    assert (seen.outcome, seen.manifest.tag) == ("unchanged", repository.tags()[0])


def test_a_stage_that_somebody_ran_hinders_no_cut(root: Path) -> None:
    """After `dvc repro` in the repository itself there is a next version, and what the stage left is not in it."""
    add_a_day(root)
    versions = root / "versions"
    assert cut_now(root).outcome == "cut"
    assert (versions / "dvc.yaml").is_file()
    (versions / "models").mkdir(exist_ok=True)
    (versions / "models" / "card.md").write_text("a model")
    dvc(versions, "commit", "--force")
    assert (versions / "dvc.lock").is_file()
    publish_features(store_at(root), nth(4), feature_rows(nth(4), rows=20))
    made = cut_now(root)
    assert made.outcome == "cut"
    files = set(git(versions, "ls-tree", "-r", "--name-only", made.manifest.tag).splitlines())
    assert files == {*OWN, *(f"data/{each.name}.dvc" for each in made.manifest.tracked)}


def test_tags_of_people_are_no_versions(root: Path) -> None:
    """Tags beside those of versions, also below ``data/``, are neither listed nor taken for the newest."""
    repository = repository_at(root)
    (known,) = repository.tags()
    for tag in ("data/prod", "data/zzz", "mine"):
        git(repository.folder, "tag", tag, "HEAD~1")
    assert [version.tag for version in repository.versions()] == [known] == [repository.full_tag("latest")]
    add_a_day(root)
    assert cut_now(root).outcome == "cut"
    assert len(repository.versions()) == 2


def test_a_tag_that_was_moved_is_refused(root: Path, tmp_path: Path) -> None:
    """A tag that leads to another version gives neither that one nor rows of it, here or in a checkout."""
    repository = repository_at(root)
    (first,) = repository.tags()
    add_a_day(root)
    second = cut_now(root).manifest.tag
    git(repository.folder, "tag", "--force", first, f"{second}^{{}}")
    for use in (
        lambda: repository.version(first),
        lambda: verify_versions(repository, [first]),
        lambda: check_out(str(repository.folder), first, tmp_path / "restored"),
    ):
        with pytest.raises(CorruptVersionError, match=r"moved, or made by hand .*git tag -d"):
            use()
    assert repository.version(second).tag == second


def test_configuration_of_people_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What git ignores and filters, and where DVC keeps its cache for a user, is not asked by a cut or a checkout."""
    home = tmp_path / "home"
    (home / ".config" / "dvc").mkdir(parents=True)
    (home / ".gitconfig").write_text(
        "[core]\nexcludesFile = ~/ignored\nattributesFile = ~/attributes\n"
        "[init]\ndefaultObjectFormat = sha256\ndefaultRefFormat = reftable\ndefaultBranch = trunk\n"
    )
    (home / "ignored").write_text("data/\n*.dvc\n*.json\n*.yaml\n")
    (home / "attributes").write_text("* text eol=crlf filter=lfs\n")
    elsewhere = tmp_path / "elsewhere"
    (home / ".config" / "dvc" / "config").write_text(
        f"[core]\nno_scm = true\nautostage = true\nremote = other\n[cache]\ndir = {elsewhere}\ntype = symlink\n"
    )
    for name, value in (("HOME", home), ("XDG_CONFIG_HOME", home / ".config"), ("GIT_DIR", tmp_path / "nowhere")):
        monkeypatch.setenv(name, str(value))
    root = tmp_path / "root"
    publish_days(store_at(root), 3, rows=20)
    made = cut_now(root)
    monkeypatch.delenv("GIT_DIR")
    versions = root / "versions"
    files = set(git(versions, "ls-tree", "-r", "--name-only", made.manifest.tag).splitlines())
    assert files == {*OWN, *(f"data/{each.name}.dvc" for each in made.manifest.tracked)}
    assert not elsewhere.exists()
    assert all(repository_at(root).dvc.cached(file.md5) for file in made.manifest.files)
    restored = check_out(str(versions), made.manifest.tag, tmp_path / "restored")
    assert restored.files == sum(1 for _ in made.manifest.files)


def test_a_full_disk_is_not_taken_for_a_corrupt_remote(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can be written, the message says so and accuses no remote; with room again, the checkout goes on."""

    def no_room(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    tag = cut_now(root).manifest.tag
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as full:
        full.setattr("dvc.repo.Repo.pull", no_room)
        full.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
        with pytest.raises(VersionError, match=r"the disk is full: .*Make room") as refused:
            check_out(str(root / "versions"), tag, tmp_path / "restored")
    assert not isinstance(refused.value, CorruptVersionError)
    assert not (tmp_path / "restored").exists()
    assert check_out(str(root / "versions"), tag, tmp_path / "restored").files > 0


def test_a_checkout_can_be_moved(root: Path, tmp_path: Path) -> None:
    """DVC's commands find everything in a folder that was moved, and write nothing where it had been made."""
    check_out(str(root / "versions"), cut_now(root).manifest.tag, tmp_path / "made" / "here")
    shutil.move(tmp_path / "made" / "here", tmp_path / "moved")
    dvc(tmp_path / "moved", "status")
    assert list((tmp_path / "made").iterdir()) == []
    assert git(tmp_path / "moved", "status", "--porcelain") == ""


def test_git_names_nothing_of_the_machine_and_a_moved_root_is_cloned(root: Path, tmp_path: Path) -> None:
    """No commit holds a path of this machine; of a root that was moved a clone beside it pulls, and it is checked out."""
    tag = cut_now(root).manifest.tag
    assert str(tmp_path) not in git(root / "versions", "log", "--all", "--patch")
    moved = tmp_path / "elsewhere" / "moved"
    moved.parent.mkdir()
    shutil.move(root, moved)
    git(moved, "clone", "--quiet", "versions", "clone")
    dvc(moved / "clone", "pull")
    restored = check_out(str(moved / "versions"), tag, tmp_path / "restored")
    names = {path.relative_to(restored.folder).as_posix() for path in restored.folder.glob("data/*/*/*")}
    assert names
    assert {path.relative_to(moved / "clone").as_posix() for path in (moved / "clone").glob("data/*/*/*")} == names


def test_a_remote_elsewhere_on_the_machine_stays_out_of_git(tmp_path: Path) -> None:
    """A folder that is not beside the repository is named in the file that git ignores; a checkout needs to be told it."""
    publish_days(store_at(tmp_path / "root"), 1, rows=20)
    remote = Remote(str(tmp_path / "another disk" / "remote"))
    tag = cut_now(tmp_path / "root", remote=remote).manifest.tag
    versions = tmp_path / "root" / "versions"
    assert "another disk" not in git(versions, "log", "--all", "--patch")
    dvc(versions, "status", "--cloud")
    with pytest.raises(VersionError, match="--remote FOLDER"):
        check_out(str(versions), tag, tmp_path / "restored")
    assert check_out(str(versions), tag, tmp_path / "restored", remote=remote).files > 0


def test_a_repository_of_before_is_told_anew_once(root: Path) -> None:
    """Where the configuration in git named a folder of the machine, the next cut commits the new one, even without news."""
    versions = root / "versions"
    config = versions / ".dvc" / "config"
    config.write_text(config.read_text().replace("../../remote", str(root / "remote")))
    git(versions, "commit", "--quiet", "--all", "--message=As before")
    assert str(root) in git(versions, "show", "HEAD:.dvc/config")
    tags = repository_at(root).tags()
    for _ in range(2):
        assert cut_now(root).outcome == "unchanged"
        assert str(root) not in git(versions, "show", "HEAD:.dvc/config")
    assert git(versions, "log", "--format=%s", "-2").splitlines()[1] == "As before"
    assert repository_at(root).tags() == tags
    add_a_day(root)
    assert cut_now(root).outcome == "cut"


def test_a_root_of_before_that_was_moved_is_taken_over_once(root: Path, tmp_path: Path) -> None:
    """Whichever folder its configuration names: a dry run says that it is due, and then it is done, and due no more."""
    config = root / "versions" / ".dvc" / "config"
    config.write_text(config.read_text().replace("../../remote", str(root / "remote")))
    git(root / "versions", "commit", "--quiet", "--all", "--message=As before")
    moved = tmp_path / "moved"
    shutil.move(root, moved)
    repository = repository_at(moved)
    assert repository.take_over(NOW, is_dry_run=True)
    assert str(tmp_path) in git(moved / "versions", "show", "HEAD:.dvc/config")
    assert repository.take_over(NOW, is_dry_run=False)
    assert str(tmp_path) not in git(moved / "versions", "show", "HEAD:.dvc/config")
    assert not repository.take_over(NOW, is_dry_run=False)
    assert not repository_at(tmp_path / "nothing").take_over(NOW, is_dry_run=False)

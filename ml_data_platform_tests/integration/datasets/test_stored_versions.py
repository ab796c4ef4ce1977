"""Stored versions: one flipped bit is found wherever it lies, what another copy has is restored, and whole is whole."""

from __future__ import annotations

import json
import os
import random
import shutil
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ml_data_platform.datasets.dvc_files import Remote
from ml_data_platform.datasets.stored_versions import defects_of_versions, restore_pinned_objects
from ml_data_platform.errors import VersionError
from ml_data_platform.storage.defects import Defect, Kind
from ml_data_platform.storage.durability import file_sha256
from ml_data_platform_tests.faults.datasets.killed_cuts import REQUEST, cut_now, repository_at
from ml_data_platform_tests.integration.datasets.test_hostile_repositories import git
from ml_data_platform_tests.training_days import feature_rows, nth, publish_days, publish_features, store_at

Place = Callable[[Path], list[Path]]
SHOWN = 5
"""As many objects of git as the text of one defect names."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with two versions, with folds; to be copied."""
    root = tmp_path_factory.mktemp("made") / "root"
    publish_days(store_at(root), 2, rows=40)
    cut_now(root, REQUEST)
    publish_features(store_at(root), nth(2), feature_rows(nth(2), rows=50))
    cut_now(root, REQUEST)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """The root, to be damaged."""
    return Path(shutil.copytree(made, tmp_path / "root", symlinks=True))


def defects(root: Path, *, is_repair: bool = False) -> list[Defect]:
    """Return what is wrong with the versions of a root."""
    return list(defects_of_versions(repository_at(root), store_at(root), is_repair=is_repair))


def flip(path: Path, rng: random.Random) -> bytes:
    """Flip one bit of a file, of which nothing else tells that it was written; returns its bytes of before."""
    content, state = path.read_bytes(), path.stat()
    damaged = bytearray(content)
    damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.chmod(0o644)
    path.write_bytes(bytes(damaged))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    return content


PLACES: dict[str, Place] = {
    "loose objects": lambda root: [*(root / "versions" / ".git" / "objects").glob("??/*")],
    "packs": lambda root: [*(root / "versions" / ".git" / "objects" / "pack").glob("*.pack")],
    "cache": lambda root: [*(root / "versions" / ".dvc" / "cache" / "files" / "md5").glob("*/*")],
    "remote": lambda root: [*(root / "remote" / "files" / "md5").glob("*/*")],
    "work tree": lambda root: [*(root / "versions" / "data").rglob("*.parquet")],
}


def test_whole_versions_are_whole(root: Path) -> None:
    """No version, two versions, what people have beside them, a removed version, packed objects: nothing is wrong."""
    assert defects(root.parent / "nothing") == []
    assert defects(root) == []
    versions = root / "versions"
    (versions / "NOTES.md").write_text("ours")
    git(versions, "add", "NOTES.md")
    git(versions, "commit", "--quiet", "--message=Notes")
    git(versions, "tag", "mine")
    git(versions, "tag", "--delete", repository_at(root).tags()[0])
    shutil.rmtree(versions / "data" / "date_partitions")
    git(versions, "gc", "--quiet")
    assert defects(root) == []
    assert defects(root, is_repair=True) == []


@pytest.mark.parametrize("place", PLACES)
def test_a_flipped_bit_is_found_every_time(root: Path, place: str) -> None:
    """In whichever file of its kind, at whichever place: it is named, and with the bytes of before all is whole."""
    rng = random.Random(place)
    if place == "packs":
        git(root / "versions", "gc", "--quiet")
    files = sorted(PLACES[place](root))
    for path in rng.sample(files, min(4, len(files))):
        content = flip(path, rng)
        assert defects(root), (path, place)
        path.write_bytes(content)
    assert defects(root) == []


def test_a_bit_that_git_does_not_read_is_found_and_cleared(root: Path) -> None:
    """The last byte of an object's stream is filled up with zeros: git reads it alike whatever they are."""
    before: dict[Path, tuple[bytes, bytes]] = {}
    for path in PLACES["loose objects"](root):
        content, last = path.read_bytes(), len(path.read_bytes()) - 5
        altered = content[:last] + bytes([content[last] ^ 0x80]) + content[last + 1 :]
        try:
            is_read_alike = zlib.decompress(altered) == zlib.decompress(content)
        except zlib.error:
            is_read_alike = False
        if is_read_alike:
            before[path] = content, altered
    assert before
    for some in batched(before, SHOWN):
        for path in some:
            path.chmod(0o600)
            path.write_bytes(before[path][1])
        (defect,) = defects(root)
        assert [f"a bit behind the end of {path.name}" in defect.detail for path in some] == [True] * len(some)
        assert [each for each in defects(root, is_repair=True) if not each.is_repaired] == []
        assert [path.read_bytes() for path in some] == [before[path][0] for path in some]
    assert defects(root) == []


def batched(paths: Iterable[Path], size: int) -> list[list[Path]]:
    """Return the paths in parts of a size."""
    every = list(paths)
    return [every[place : place + size] for place in range(0, len(every), size)]


@pytest.mark.parametrize("place", ["cache", "remote", "work tree"])
def test_what_another_copy_has_is_restored(root: Path, place: str) -> None:
    """Altered or gone, cache and remote come back with the bytes of before; the rest is left as it is."""
    rng = random.Random(place)
    files = sorted(PLACES[place](root))
    before = {path: file_sha256(path) for path in files}
    gone, altered = rng.sample(files, 2)
    gone.unlink()
    flip(altered, rng)
    found = defects(root, is_repair=True)
    assert found
    assert all(each.is_repaired for each in found), found
    assert defects(root) == []
    back = {path: file_sha256(path) for path in files if path.exists()}
    assert back.items() <= before.items()
    assert place in {"cache", "work tree"} or back == before


def test_a_pinned_object_comes_back_from_its_version(root: Path) -> None:
    """Objects of an older generation that the store lost or altered are put back from DVC's cache, or its remote."""
    first = next(iter(repository_at(root).versions()))
    old = [file for part in first.datasets[0].partitions for file in part.files if part.day == str(nth(2))]
    store = store_at(root)
    (key,) = [f"_store/{first.datasets[0].name}/objects/{file.sha256}.parquet" for file in old]
    path = next(root.rglob(Path(key).name))
    content = path.read_bytes()
    assert list(restore_pinned_objects(repository_at(root), store)) == []
    flip(path, random.Random(1))
    (found,) = restore_pinned_objects(repository_at(root), store)
    assert (found.kind, found.day, found.is_repaired) == (Kind.OBJECT_ALTERED, str(nth(2)), True)
    assert path.read_bytes() == content
    path.unlink()
    shutil.rmtree(root / "versions" / ".dvc" / "cache")
    (found,) = restore_pinned_objects(repository_at(root), store)
    assert (found.kind, found.is_repaired) == (Kind.OBJECT_MISSING, True)
    assert path.read_bytes() == content


def test_git_is_fetched_again_from_a_copy_and_else_named_as_lost(root: Path) -> None:
    """A damaged commit: without a copy the version is named, with one it comes back."""
    versions = root / "versions"
    tag = repository_at(root).tags()[0]
    git(root, "clone", "--quiet", "--mirror", "--no-hardlinks", str(versions), "copy.git")
    tree = git(versions, "rev-parse", f"{tag}:version.json")
    damaged = versions / ".git" / "objects" / tree[:2] / tree[2:]
    content = flip(damaged, random.Random(2))
    found = defects(root, is_repair=True)
    assert {each.kind for each in found} == {Kind.VERSION_DAMAGED}
    assert not any(each.is_repaired for each in found)
    assert any(tag in each.key for each in found)
    kept = versions / ".git" / "damaged" / damaged.name
    assert kept.exists(), "what cannot be had again is set aside, not removed"
    git(versions, "remote", "add", "backup", str(root / "copy.git"))
    assert any(each.is_repaired for each in defects(root, is_repair=True))
    assert defects(root) == []
    assert git(versions, "cat-file", "blob", tree)
    assert content


def _tip(root: Path) -> str | None:
    try:
        return repository_at(root).git.tip()
    except VersionError:
        return None


@pytest.mark.parametrize("name", ["HEAD", "config", "index", "refs/heads/main"])
def test_what_git_keeps_beside_objects_is_found_and_made_again(root: Path, name: str) -> None:
    """Every flip that git minds is told; HEAD, configuration, index and branch are made again."""
    path = root / "versions" / ".git" / name
    content, rng, tip = path.read_bytes(), random.Random(name), repository_at(root).git.tip()
    for _ in range(4):
        flip(path, rng)
        # Git reads small and large digits alike, and much of its configuration changes nothing that it does here.
        is_same = name == "refs/heads/main" and _tip(root) == tip
        assert defects(root) or is_same or name == "config"
        assert all(each.is_repaired for each in defects(root, is_repair=True))
        assert defects(root) == []
        assert repository_at(root).git.tip() == tip or is_same
        path.write_bytes(content)
    path.unlink()
    found = defects(root, is_repair=True)
    assert all(each.is_repaired for each in found)
    assert found or name != "HEAD"
    path.write_bytes(content)
    assert defects(root) == []


@pytest.mark.parametrize("content", [b"\xe9: [", None], ids=["garbage", "gone"])
def test_files_of_the_work_tree_are_made_again(root: Path, content: bytes | None) -> None:
    """Each by a repair, all by the next cut, which DVC would refuse otherwise; these versions are too short for a pipeline."""
    versions = root / "versions"
    table = min((versions / "data").glob("*.dvc")).name
    paths = [versions / name for name in ("dvc.yaml", "version.json", f"data/{table}", ".dvc/config")]

    def damage(path: Path) -> None:
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)

    for path in paths:
        before = path.read_bytes() if path.exists() else None
        damage(path)
        assert bool(defects(root)) == (content is not None or path.name == "config")
        assert all(each.is_repaired for each in defects(root, is_repair=True))
        assert defects(root) == []
        assert not path.exists() or path.read_bytes() == before
    for path in paths:
        damage(path)
    publish_features(store_at(root), nth(3), feature_rows(nth(3), rows=10))
    cut_now(root, REQUEST)
    assert defects(root) == []
    assert git(versions, "status", "--porcelain") == ""


def _object(versions: Path, name: str) -> Path:
    sha1 = git(versions, "rev-parse", name)
    return versions / ".git" / "objects" / sha1[:2] / sha1[2:]


@pytest.mark.parametrize("name", ["TAG", "TAG:version.json", "TAG^{tree}", "reference"])
def test_the_newest_version_comes_back_without_a_copy(root: Path, name: str) -> None:
    """Its files and folders from the work tree, its tag from its commit: each object has the bytes of before."""
    versions, tag = root / "versions", repository_at(root).tags()[-1]
    names = git(versions, "rev-parse", tag, f"{tag}^{{tree}}", f"{tag}:version.json")
    path = (
        versions / ".git" / "refs" / "tags" / tag
        if name == "reference"
        else _object(versions, name.replace("TAG", tag))
    )
    path.chmod(0o644)
    path.write_bytes(b"0")
    assert all(each.is_repaired for each in defects(root, is_repair=True) if each.key.endswith(".git"))
    assert defects(root) == []
    assert git(versions, "rev-parse", tag, f"{tag}^{{tree}}", f"{tag}:version.json") == names


def test_tags_that_are_all_gone_are_named_and_made_again(root: Path) -> None:
    """Commits and no tags: the next cut is refused, so that it is said before, and each tag comes back as it was."""
    versions, tags = root / "versions", repository_at(root).tags()
    before = git(versions, "rev-parse", *tags)
    for tag in tags:
        git(versions, "tag", "--delete", tag)
    assert [each.kind for each in defects(root)] == [Kind.VERSION_DAMAGED]
    assert all(each.is_repaired for each in defects(root, is_repair=True))
    assert git(versions, "rev-parse", *tags) == before
    assert defects(root) == []


@pytest.mark.parametrize("name", ["TAG:version.json", "TAG^{commit}", "TAG^{commit}^"])
@pytest.mark.parametrize("newest", [False, True], ids=["first", "all"])
def test_what_is_lost_is_given_up_and_cutting_goes_on(root: Path, name: str, newest: bool) -> None:
    """The tag is deleted as the message says: the rest is whole again, the next cut works, and stays whole."""
    versions, tags = root / "versions", repository_at(root).tags()
    (versions / "version.json").write_text("not what it was")
    given_up = tags if newest else tags[:1]
    for tag in given_up:
        _object(versions, name.replace("TAG", tag)).unlink(missing_ok=True)
    assert Kind.VERSION_DAMAGED in {each.kind for each in defects(root, is_repair=True)}
    for tag in given_up:
        git(versions, "tag", "--delete", tag)
    assert defects(root) or not newest
    found = defects(root, is_repair=True)
    assert all(each.is_repaired for each in found), found
    assert defects(root) == []
    publish_features(store_at(root), nth(3), feature_rows(nth(3), rows=10))
    cut_now(root, REQUEST)
    assert len(repository_at(root).versions()) == 3 - len(given_up)
    assert defects(root) == []


def test_a_manifest_that_cannot_be_believed_is_named(root: Path) -> None:
    """A commit of other content under the tag, and an unreadable manifest are told."""
    versions = root / "versions"
    tag = repository_at(root).tags()[1]
    git(versions, "checkout", "--quiet", "--force", "--detach", tag)
    text = (versions / "version.json").read_text()
    for wrong in ("{", text.replace('"sha256": "', '"sha256": "0', 1), json.dumps({**json.loads(text), "format": 2})):
        (versions / "version.json").write_text(wrong)
        git(versions, "commit", "--quiet", "--all", "--message=changed")
        git(versions, "tag", "--force", "--annotate", "--message=changed", tag)
        assert Kind.VERSION_DAMAGED in {each.kind for each in defects(root) if tag in each.key}


def test_a_remote_that_cannot_be_reached_is_no_lost_version(root: Path) -> None:
    """Nothing is said to be lost; the message names the remote."""
    repository = repository_at(root, Remote("oss://no-such-bucket/versions"))
    found = list(defects_of_versions(repository, store_at(root), is_repair=False))
    assert [(each.kind, each.key) for each in found] == [
        (Kind.VERSIONS_REMOTE_UNREACHABLE, "oss://no-such-bucket/versions")
    ]

"""Which files of the landing folder may be landed now."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ml_data_platform.landing.inbox import fingerprint, ready_files
from ml_data_platform_tests.bound_user import run_bound

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def drop(folder: Path, name: str, *, age_seconds: float = 100, content: str = "x") -> Path:
    """Write a file whose last change is so long ago, seen from NOW."""
    path = folder / "shop" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (0, NOW.timestamp() - age_seconds))
    return path


def ready(folder: Path, **options: object) -> list[str]:
    """Return the names of the files that are ready, relative to the source's folder."""
    found = ready_files(folder, "shop", now=NOW, settle_seconds=5, **options)
    return [file.path.relative_to(folder / "shop").as_posix() for file in found]


def test_names_that_are_not_final_are_left_alone(tmp_path):
    """Dotfiles, dot folders and the suffixes of unfinished transfers are not landed; any other name is."""
    for name in [".hidden", ".git/a.csv", "a.csv.tmp", "b.PART", "c.crdownload", "d.csv", "tmp", "sub/e.part.csv"]:
        drop(tmp_path, name)
    assert ready(tmp_path) == ["d.csv", "sub/e.part.csv", "tmp"]


def test_a_file_is_ready_once_it_stood_still(tmp_path):
    """The age of the last change decides, to the very second; a renamed file with an old time is ready at once."""
    drop(tmp_path, "young", age_seconds=4.9)
    drop(tmp_path, "settled", age_seconds=5)
    drop(tmp_path, ".writing", age_seconds=1_000).rename(tmp_path / "shop" / "renamed")
    assert ready(tmp_path) == ["renamed", "settled"]


def test_a_file_from_the_future_waits_for_its_arrival_only(tmp_path):
    """A date of another machine's fast clock does not keep a file waiting for ever."""
    path = drop(tmp_path, "skewed", age_seconds=-86_400 * 365 * 50)
    arrived = datetime.fromtimestamp(path.stat().st_ctime, UTC)
    assert ready_files(tmp_path, "shop", now=arrived + timedelta(seconds=1), settle_seconds=5) == []
    assert len(ready_files(tmp_path, "shop", now=arrived + timedelta(seconds=6), settle_seconds=5)) == 1


def test_known_files_are_left_out_until_they_change(tmp_path):
    """A file is known by path, size and time; another size makes it new again."""
    path = drop(tmp_path, "a.csv")
    drop(tmp_path, "b.csv")
    known = [file for file in ready_files(tmp_path, "shop", now=NOW, settle_seconds=5) if file.path == path]
    assert ready(tmp_path, known=known) == ["b.csv"]
    drop(tmp_path, "a.csv", content="longer")
    assert ready(tmp_path, known=known) == ["a.csv", "b.csv"]


def test_links_are_returned_but_not_followed(tmp_path):
    """Landing reports a link; a linked folder is not walked; other sources' folders are not looked at."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "z").write_text("z")
    drop(tmp_path, "a.csv")
    for name, target in [("link", "a.csv"), ("loop", "loop"), ("folder", "../elsewhere")]:
        link = tmp_path / "shop" / name
        link.symlink_to(target)
        os.utime(link, (0, 0), follow_symlinks=False)
    assert ready(tmp_path) == ["a.csv", "folder", "link", "loop"]
    assert ready_files(tmp_path, "absent", now=NOW, settle_seconds=5) == []


def test_a_folder_that_may_not_be_read_is_returned_and_holds_nothing_up(tmp_path):
    """It is named, so that landing can say what is wrong with it; what lies beside it and in other folders is ready."""
    names = ["shop/a.csv", "shop/closed/b.csv", "shop/open/c.csv"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "shop/closed").chmod(0)
    script = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path\n"
        "from ml_data_platform.landing.inbox import ready_files\n"
        "found = ready_files(Path(sys.argv[1]), 'shop', now=datetime.now(UTC), settle_seconds=0)\n"
        "print(*(file.path.relative_to(sys.argv[1]) for file in found))"
    )
    done = run_bound("-c", script, tmp_path)
    assert done.stdout.split() == ["shop/a.csv", "shop/closed", "shop/open/c.csv"], done.stderr


def test_fingerprint_changes_with_any_file_and_not_with_the_order(tmp_path):
    """The same files have the same fingerprint in any order; path, size and time each count."""
    for name in ["b", "a", "c"]:
        drop(tmp_path, name)
    files = ready_files(tmp_path, "shop", now=NOW, settle_seconds=5)
    assert [file.path.name for file in files] == ["a", "b", "c"]
    first = files[0]
    others = [replace(first, path=Path("z")), replace(first, size=2), replace(first, mtime_ns=1)]
    variants = [files, files[1:], [], *([other, *files[1:]] for other in others)]
    assert len({fingerprint(variant) for variant in variants}) == len(variants)
    assert fingerprint(files) == fingerprint(files[::-1])

"""Permission bits of what lies under a root."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_data_platform.storage.access import apply_access


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """A root that everybody may read, with a link to a file outside of it, and with a folder that stays as it is."""
    root = tmp_path / "root"
    (root / "data").mkdir(parents=True)
    (root / "landing").mkdir()
    (root / "data" / "object").write_text("x")
    (root / "data" / "object").chmod(0o444)
    (root / "run").write_text("x")
    (root / "run").chmod(0o755)
    (root / "landing" / "file").write_text("x")
    (root / "landing" / "file").chmod(0o664)
    (tmp_path / "outside").write_text("x")
    (tmp_path / "outside").chmod(0o644)
    (root / "link").symlink_to(tmp_path / "outside")
    for folder in (root, root / "data", root / "landing"):
        folder.chmod(0o755)
    return root


def bits(root: Path) -> dict[str, str]:
    """Return permission bits in octal, by path."""
    paths = [root, root / "data", root / "data" / "object", root / "run", root / "landing", root / "landing" / "file"]
    return {str(path.relative_to(root)): oct(path.stat().st_mode & 0o7777) for path in paths}


def test_a_root_becomes_its_owners_alone(wide):
    """Bits of the owner stay; others have none; a spared folder stays as it is; links lead to nothing."""
    assert apply_access(wide, "owner", but=[wide / "landing"]) == 4
    assert bits(wide) == {
        ".": "0o700",
        "data": "0o700",
        "data/object": "0o400",
        "run": "0o700",
        "landing": "0o755",
        "landing/file": "0o664",
    }
    assert oct((wide.parent / "outside").stat().st_mode & 0o777) == "0o644"
    assert apply_access(wide, "owner", but=[wide / "landing"]) == 0


def test_a_group_may_read_and_enter(wide):
    """It may do what the owner may, except for writing."""
    apply_access(wide, "owner")
    assert apply_access(wide, "group", but=[wide / "landing"]) == 4
    assert (bits(wide)["data"], bits(wide)["data/object"], bits(wide)["run"]) == ("0o750", "0o440", "0o750")


def test_a_dry_run_counts_and_changes_nothing(wide):
    """What would be changed is counted."""
    before = bits(wide)
    assert apply_access(wide, "owner", is_dry_run=True) == 6
    assert bits(wide) == before

"""A pull that is killed leaves no personal data behind: what is fetched lies in no file before it is masked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ml_data_platform_tests.byte_scan import Needles, scan
from ml_data_platform_tests.planted_canaries import (
    ADDRESS_STEM,
    DAY,
    PHONE_STEM,
    STEM,
    contract_text,
    write_files,
)

KILLED = """
import datetime as dt, os, signal, sys
from pathlib import Path
from ml_data_platform.landing import masked_files
from ml_data_platform.settings import Settings
from ml_data_platform.stages import pulling
from ml_data_platform.stages.platform import open_platform

folder, moment, source, is_masked = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4] == "True"
if not is_masked:
    room = pulling.copy_room
    pulling.copy_room = lambda folder, in_memory: room(folder, in_memory=False)
where, name = {"a file is fetched": (pulling, "land_file"), "rows are masked": (masked_files, "file_sha256")}[moment]

def die(*args, **options):
    os.kill(os.getpid(), signal.SIGKILL)

platform = open_platform(Settings(root=folder / "root", landing=folder / "landing", sources=folder / "sources"))
setattr(where, name, die)
pulling.pull_days(platform, source, [dt.date.fromisoformat(sys.argv[5])])
"""


def killed(folder: Path, moment: str, source: str, *, is_masked: bool) -> dict[str, set[str]]:
    """Pull a day, die, and return what can be found in the root and among temporary files."""
    sent, temporary = folder / "sent" / DAY, folder / "tmp"
    canaries = write_files(sent, source)
    for path in sent.iterdir():
        os.utime(path, (0, 0))
    (sent / "refused.data").unlink()
    temporary.mkdir()
    (folder / "sources").mkdir()
    pull = f"pull: {{url: '{folder}/sent/{{date}}/*.data'}}\n"
    (folder / "sources" / f"{source}.yaml").write_text(contract_text(source) + pull)
    arguments = [sys.executable, "-c", KILLED, str(folder), moment, source, str(is_masked), DAY]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    ended = subprocess.run(arguments, capture_output=True, check=False, timeout=600, env=environment)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    needles = Needles((STEM, PHONE_STEM, ADDRESS_STEM), canaries.values())
    return {**scan(folder / "root", needles), **scan(temporary, needles)}


@pytest.mark.parametrize(
    ("moment", "source"),
    [("a file is fetched", "canary_csv"), ("rows are masked", "canary_jsonl"), ("rows are masked", "canary_parquet")],
)
def test_a_killed_pull_leaves_no_personal_data(tmp_path: Path, moment: str, source: str) -> None:
    """What a SIGKILL leaves in the root, scratch folders included, holds no canary."""
    assert killed(tmp_path, moment, source, is_masked=True) == {}


def test_the_scan_sees_what_a_copy_on_disk_leaves(tmp_path: Path) -> None:
    """Were the copy a file, the scratch folder of the dead would show it."""
    found = killed(tmp_path, "a file is fetched", "canary_csv", is_masked=False)
    assert any(name.startswith("_store/tmp/") for name in found)

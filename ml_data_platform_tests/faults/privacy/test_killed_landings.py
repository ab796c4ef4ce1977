"""A landing that is killed leaves no personal data behind, wherever it was."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ml_data_platform_tests.byte_scan import Needles, scan
from ml_data_platform_tests.planted_canaries import ADDRESS_STEM, PHONE_STEM, SOURCES, STEM, contract_text, write_files

KILLED = """
import os, signal, sys
from pathlib import Path
import pyarrow.parquet as pq
from ml_data_platform.landing import masked_files, masking, routing
from ml_data_platform.settings import Settings
from ml_data_platform.stages import landed_files
from ml_data_platform.stages.platform import open_platform
from ml_data_platform.storage.ledger import Ledger

folder, moment, source, is_masked = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4] == "True"

# An unfinished Parquet file has no footer, so that only what is not compressed can be looked through.
class Legible(pq.ParquetWriter):
    def __init__(self, where, schema, **_):
        super().__init__(where, schema, compression="NONE", use_dictionary=False)

pq.ParquetWriter = Legible
if not is_masked:
    masking.Masker.mask_chunk = lambda self, chunk: chunk
where, name = {
    "rows are read": (masking.Masker, "mask_chunk"),
    "rows are written": (masked_files.pq.ParquetWriter, "write_table"),
    "rows are routed": (routing._Spill, "write"),
    "all is recorded": (Ledger, "append"),
}[moment]
real = getattr(where, name)

def then_die(*args, **options):
    real(*args, **options)
    os.kill(os.getpid(), signal.SIGKILL)

settings = Settings(root=folder / "root", landing=folder / "landing", sources=folder / "sources")
platform = open_platform(settings)
setattr(where, name, then_die)
landed_files.land_named(platform, source, [folder / "sent" / "zipped.data"])
"""
MOMENTS = ("rows are read", "rows are written", "rows are routed", "all is recorded")
CASES = [(MOMENTS[number % len(MOMENTS)], source) for number, source in enumerate(SOURCES)]


def killed(folder: Path, moment: str, source: str, *, is_masked: bool) -> dict[str, set[str]]:
    """Land a file, die, and return what can be found in the root."""
    canaries = write_files(folder / "sent", source)
    (folder / "sources").mkdir()
    (folder / "sources" / f"{source}.yaml").write_text(contract_text(source))
    arguments = [sys.executable, "-c", KILLED, str(folder), moment, source, str(is_masked)]
    ended = subprocess.run(arguments, capture_output=True, check=False, timeout=600)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert [path for path in (folder / "root" / "_store" / "tmp").rglob("*") if path.is_file()]
    return scan(folder / "root", Needles((STEM, PHONE_STEM, ADDRESS_STEM), canaries.values()))


@pytest.mark.parametrize(("moment", "source"), [*CASES, ("rows are read", "canary_parquet")])
def test_a_killed_landing_leaves_no_personal_data(tmp_path: Path, moment: str, source: str) -> None:
    """What a SIGKILL leaves in the root, scratch folders included, holds no canary."""
    assert killed(tmp_path, moment, source, is_masked=True) == {}


def test_the_scan_sees_what_a_killed_landing_leaves(tmp_path: Path) -> None:
    """Were nothing masked, the scratch folder of the dead would show it."""
    found = killed(tmp_path, "rows are written", "canary_jsonl", is_masked=False)
    assert any(name.startswith("_store/tmp/") for name in found)

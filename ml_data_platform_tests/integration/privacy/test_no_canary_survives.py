"""Of personal data that a contract masks or drops, no byte stays anywhere: root, Dagster instance, or what is printed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ml_data_platform.events.planning import LAYERS
from ml_data_platform_tests.byte_scan import Needles, contents, scan
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.planted_canaries import (
    ADDRESS_STEM,
    PHONE_STEM,
    SOURCES,
    STEM,
    contract_text,
    write_files,
)

TOLERATED = (
    "duplicate_share_is_within_tolerance",
    "event_types_are_known",
    "event_types_are_present",
    "purchase_amounts_are_numbers",
    "purchase_amounts_are_in_range",
    "rejected_share_is_within_tolerance",
    "text_fields_are_scalars",
)
"""Rules that the planted rows break, so that their days are published."""


EXPECTED = {
    # Two files each: good, escaped and one of two equal rows; jsonl has one in which plain text stands for an object.
    "validated_events": {"canary_csv": 6, "canary_times": 6, "canary_jsonl": 8, "canary_parquet": 6, "canary_array": 6},
    # The other of the equal rows, a negative amount, an address for amount and type, and in jsonl an object for the type.
    "quarantined_events": {
        "canary_csv": 6,
        "canary_times": 6,
        "canary_jsonl": 8,
        "canary_parquet": 6,
        "canary_array": 6,
    },
    # An unreadable time; too long; in csv also two of the wrong width, bad quotes and bad UTF-8; in jsonl four lines, in the array four.
    "undated_rows": {"canary_csv": 12, "canary_times": 12, "canary_jsonl": 10, "canary_parquet": 4, "canary_array": 10},
}
"""Asset to source to rows."""


def _rows(data: Path) -> dict[str, dict[str, int]]:
    """Count what plain readers of the view see."""
    counts: dict[str, dict[str, int]] = {}
    for asset in EXPECTED:
        files = sorted((data / asset).rglob("*.parquet"))
        rows = [source for path in files for source in pq.ParquetFile(path).read(["source"])["source"].to_pylist()]
        counts[asset] = dict(Counter(rows))
    return counts


@dataclass(frozen=True)
class Root:
    """A root that took in the planted files, and all that was printed on the way."""

    folder: Path
    printed: str
    canaries: dict[str, str]

    @property
    def needles(self) -> Needles:
        """What must not be found."""
        return Needles((STEM, PHONE_STEM, ADDRESS_STEM), self.canaries.values())


def _used_root(folder: Path, *, is_masked: bool) -> Root:
    """Land and build all planted files with the real command line; those that are masked are also checked and looked at."""
    cli = CommandLine(folder)
    canaries: dict[str, str] = {}
    printed: list[str] = []
    cli.ok("init", "--root", "root")
    (folder / "root" / "platform.yaml").write_text(f"tolerances: {json.dumps(dict.fromkeys(TOLERATED, 1))}\n")
    for source in SOURCES:
        sources = folder / "root" / "sources"
        sources.mkdir(exist_ok=True)
        (sources / f"{source}.yaml").write_text(contract_text(source, is_masked=is_masked))
        canaries.update(write_files(folder / "sent" / source, source))
    for source in SOURCES:
        sent = f"sent/{source}"
        printed.append(repr(cli("land", sent, "--source", source, "--root", "root")))
        # Of the two that send CSV the commands look at one.
        if not is_masked or source == "canary_times":
            continue
        # What is said of a file is the same for scripts and for people, whom the array stands for.
        calls = [["sources", "check", f"{sent}/refused.data", "--source", source]]
        calls += [["sources", "check", f"{sent}/zipped.data", "--source", source, "--json"]]
        if source == "canary_array":
            calls += [["sources", "check", f"{sent}/plain.data", "--source", source]]
        calls += [["sources", "infer", f"{sent}/plain.data", "--source", source]]
        calls += [["sources", "diff", f"{sent}/zipped.data", "--source", source]]
        for call in calls:
            printed.append(repr(cli(*call, "--root", "root")))
    if not is_masked:
        cli.build("root", layers=LAYERS[:1])
        return Root(folder / "root", "\n".join(printed), canaries)
    for call in (["backfill"], ["status"], ["status", "--json"], ["plan", "--json"], ["sources", "list"]):
        printed.append(repr(cli(*call, "--root", "root")))
    return Root(folder / "root", "\n".join(printed), canaries)


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """The root of sources that mask."""
    return _used_root(tmp_path_factory.mktemp("masked"), is_masked=True)


def test_no_byte_of_personal_data_is_stored_or_printed(masked):
    """No canary is found in root, instance or output, in any form: plain, upper, lower, quoted, encoded, hashed."""
    assert scan(masked.folder, masked.needles) == {}
    assert masked.needles.found_in(masked.printed.encode("utf-8", "surrogatepass")) == set()


def test_no_row_is_lost_by_masking(masked):
    """Per source, rows are published, quarantined or without a day, with the reasons that were planted."""
    counts = _rows(masked.folder / "data")
    assert counts == EXPECTED


def test_the_scan_finds_what_is_not_masked(tmp_path):
    """The same files under contracts without a ``pii`` section: every canary is found in clear, so the scan can see."""
    plain = _used_root(tmp_path, is_masked=False)
    found = scan(plain.folder, plain.needles)
    assert any(name.startswith("raw/") for name in found)
    assert any(name.startswith("data/quarantined_events/") for name in found)
    assert any(name.startswith("data/undated_rows/") for name in found)
    assert any(name.startswith("ledger/") for name in found)
    assert _rows(plain.folder / "data") == EXPECTED
    everything = b"\n".join(c for p in plain.folder.rglob("*") if p.is_file() for c in contents(p)).decode(
        "utf-8", "replace"
    )
    missing = [place for place, text in plain.canaries.items() if text not in everything]
    assert missing == []

"""The files: reproducible, whole, in the hour of arrival."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from ml_data_platform.errors import SettingsError
from ml_data_platform.generator.generate import generate
from ml_data_platform.generator.options import GeneratorOptions
from ml_data_platform_tests.planted_recount import read_lines
from ml_data_platform_tests.unit.generator.conftest import DAYS, START, Sample

SMALL = {"start": date(2026, 1, 3), "days": 2, "events_per_day": 400}


def contents(out: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder."""
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    """Two folders generated with the same arguments are equal byte by byte, the truth included."""
    for name in ("one", "other"):
        generate(tmp_path / name, **SMALL, seed=3)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_bytes_are_those_of_every_platform(tmp_path: Path) -> None:
    """The bytes of one small run are pinned: another platform or library version must not change them."""
    generate(tmp_path, **SMALL, seed=3)
    digest = hashlib.sha256()
    for name, data in contents(tmp_path).items():
        if not name.endswith("planted.json"):
            digest.update(name.encode() + b"\0" + data)
    assert digest.hexdigest() == "cc4e3fb5d2d050d91d6b08aa79a3b4660bb4e2e313cff54c8810ab46ed8176de"


def test_another_seed_gives_other_events(tmp_path: Path) -> None:
    """Two seeds share no event id."""
    ids = []
    for seed in (3, 4):
        generate(tmp_path / str(seed), **SMALL, seed=seed)
        lines = read_lines(tmp_path / str(seed), start=SMALL["start"], days=SMALL["days"])
        ids.append({line.event_id for line in lines if line.event_id})
    assert min(map(len, ids)) > 700
    assert not ids[0] & ids[1]


def test_files_go_by_arrival(sample: Sample) -> None:
    """No event stands in a file of an hour before its own; some stand days later, and files outlast the last day."""
    waits = [line.hour - line.time for line in sample.lines if line.time]
    assert min(waits) > timedelta(hours=-1)
    assert timedelta(days=2) < max(waits) < timedelta(days=5)
    assert any(line.time and line.time.date() != line.hour.date() for line in sample.lines)
    last = max(line.hour for line in sample.lines)
    assert last.date() > START + timedelta(DAYS)


def test_events_fall_on_the_promised_days(sample: Sample) -> None:
    """Every dated event lies between the start and six hours past the last midnight."""
    midnight = datetime.combine(START, datetime.min.time(), tzinfo=UTC)
    times = [line.time for line in sample.lines if line.time]
    assert midnight <= min(times)
    assert midnight + timedelta(days=DAYS) < max(times) < midnight + timedelta(days=DAYS, hours=6)


def test_both_row_formats_stand_in_one_file(sample: Sample) -> None:
    """Files mix v1 and v2, and v1 texts mix Z with offsets on both sides of UTC."""
    versions: dict[str, set[int]] = {}
    for line in sample.lines:
        versions.setdefault(line.file, set()).add(line.version)
    assert sum({1, 2} <= found for found in versions.values()) > 24 * DAYS * 0.9
    offsets = {line.body["timestamp"][23:] for line in sample.lines if line.version == 1 and line.time}
    assert {"Z", "+02:00", "-05:00", "+05:30"} <= offsets


def test_only_hourly_files_stand_in_the_open(sample: Sample) -> None:
    """All else lives in a folder that starts with an underscore, and nothing unfinished is left."""
    names = set(contents(sample.out))
    assert names - set(sample.planted.files) == {"_planted/planted.json", "_planted/rows.jsonl"}
    assert sorted(path.name for path in sample.out.iterdir()) == ["_planted", "demo_shop"]
    assert [path.name for path in (sample.out / "_planted").iterdir() if path.is_dir()] == []


def test_a_rerun_recognises_its_folder(tmp_path: Path) -> None:
    """The same arguments again write nothing and say so, with the same truth."""
    first = generate(tmp_path, **SMALL, seed=3)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = generate(tmp_path, **SMALL, seed=3)
    assert not first.unchanged
    assert again.unchanged
    assert (again.days, again.files, again.arguments) == (first.days, first.files, first.arguments)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times


@pytest.mark.parametrize("accident", ["changed", "removed", "added", "no row truth"])
def test_a_rerun_repairs_its_folder(tmp_path: Path, accident: str) -> None:
    """A changed or missing file, also the side file, is written again; what is not ours is not taken for ours."""
    planted = generate(tmp_path, **SMALL, seed=3)
    before = contents(tmp_path)
    path = tmp_path / list(planted.files)[5]
    if accident == "changed":
        path.write_bytes(path.read_bytes().replace(b"e", b"E", 1))
    elif accident == "removed":
        path.unlink()
    elif accident == "added":
        (tmp_path / "demo_shop/events_2026-02-01T00.jsonl").write_bytes(b"{}\n")
        with pytest.raises(SettingsError, match="another origin"):
            generate(tmp_path, **SMALL, seed=3)
        return
    else:
        (tmp_path / "_planted/rows.jsonl").unlink()
    assert not generate(tmp_path, **SMALL, seed=3).unchanged
    assert contents(tmp_path) == before


def test_an_interrupted_run_is_completed(tmp_path: Path) -> None:
    """After an interruption only whole files are in the open; the same arguments again give the usual bytes."""
    whole = generate(tmp_path / "whole", **SMALL, seed=3)

    def interrupt(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "cut", **SMALL, seed=3, progress=interrupt)
    found = {f"demo_shop/{path.name}": path.read_bytes() for path in (tmp_path / "cut/demo_shop").iterdir()}
    assert 0 < len(found) < len(whole.files)
    assert all(hashlib.sha256(data).hexdigest() == whole.files[name].sha256 for name, data in found.items())
    assert not generate(tmp_path / "cut", **SMALL, seed=3).unchanged
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_a_folder_belongs_to_one_set_of_arguments(tmp_path: Path) -> None:
    """Other arguments are refused and leave the folder as it was; so is a folder with files but no truth."""
    generate(tmp_path, **SMALL, seed=3)
    before = contents(tmp_path)
    with pytest.raises(SettingsError, match="other arguments"):
        generate(tmp_path, **SMALL, seed=4)
    with pytest.raises(SettingsError, match="other arguments"):
        generate(tmp_path, **SMALL, seed=3, options=GeneratorOptions(late_share=0.1))
    assert contents(tmp_path) == before
    for path in (tmp_path / "_planted").iterdir():
        path.unlink()
    with pytest.raises(SettingsError, match="another origin"):
        generate(tmp_path, **SMALL, seed=3)


def test_row_truth_can_be_left_out(tmp_path: Path) -> None:
    """Without the list of rows the hourly files and the counts are the same."""
    full = generate(tmp_path / "full", **SMALL, seed=3)
    lean = generate(tmp_path / "lean", **SMALL, seed=3, options=GeneratorOptions(row_truth=False))
    assert (lean.days, lean.files) == (full.days, full.files)
    assert not (tmp_path / "lean/_planted/rows.jsonl").exists()
    assert generate(tmp_path / "lean", **SMALL, seed=3, options=GeneratorOptions(row_truth=False)).unchanged


def test_progress_reaches_the_total(tmp_path: Path) -> None:
    """Progress never falls and ends at the number of events."""
    calls: list[tuple[int, int]] = []
    generate(tmp_path, **SMALL, seed=3, progress=lambda done, total: calls.append((done, total)))
    assert calls == sorted(calls)
    assert calls[-1] == (800, 800)

"""What a version holds, and that its bytes come back on another machine."""

from __future__ import annotations

import datetime as dt
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ml_data_platform.datasets.checkout import check_out, verify_versions
from ml_data_platform.datasets.comparison import compare_versions, restated_days
from ml_data_platform.datasets.selection import Request, select_partitions
from ml_data_platform.errors import CorruptVersionError, UnknownVersionError, VersionError, VersionsBusyError
from ml_data_platform.stages.settled_days import unbuilt_days
from ml_data_platform_tests.faults.datasets.killed_cuts import cut_now, repository_at
from ml_data_platform_tests.integration.datasets.conftest import DATASETS, TwoVersions
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, shop_lines
from ml_data_platform_tests.training_days import feature_rows, nth, publish_days, publish_features, store_at
from ml_data_platform_tests.version_root import (
    cut,
    dvc,
    file_hashes,
    remote_objects,
    repository_of,
    view_hashes,
    view_rows,
)


def run(folder: Path, *command: str) -> str:
    """Run a command as a user does."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_version_is_what_the_view_showed(two_versions: TwoVersions) -> None:
    """Its files, hashes and rows are those that plain readers saw when it was cut."""
    for made, view in (
        (two_versions.first, two_versions.first_view),
        (two_versions.second, two_versions.second_view),
    ):
        named = {file.path.removeprefix("data/"): file.sha256 for file in made.manifest.files}
        assert made.outcome == "cut"
        assert named == view
    rows = view_rows(two_versions.root, "date_partitions")
    manifest = two_versions.second.manifest
    assert manifest.rows == len(rows)
    assert manifest.label_rate == sum(row["label"] for row in rows) / len(rows)
    features = view_rows(two_versions.root, "session_features")
    assert manifest.immature_rows == sum(not row["label_is_mature"] for row in features)
    assert not manifest.is_provisional


def test_plain_git_and_dvc_restore_what_checkout_restores(two_versions: TwoVersions, tmp_path: Path) -> None:
    """A clone, `dvc pull` and `dvc get` give the same files as `version checkout`: those that were published."""
    repository = two_versions.root.folder / "versions"
    tag = two_versions.first.manifest.tag
    restored = check_out(str(repository), tag, tmp_path / "restored")
    assert file_hashes(tmp_path / "restored" / "data").items() >= two_versions.first_view.items()
    assert restored.files == len(two_versions.first_view)
    run(tmp_path, "git", "clone", "--quiet", "--branch", tag, str(repository), "clone")
    remote = two_versions.root.folder / "versions_remote"
    dvc(tmp_path / "clone", "remote", "modify", "--local", "store", "url", str(remote))
    dvc(tmp_path / "clone", "pull")
    assert file_hashes(tmp_path / "clone" / "data") == file_hashes(tmp_path / "restored" / "data")
    dvc(tmp_path, "get", str(repository), "data/date_partitions", "--rev", tag)
    got = {f"date_partitions/{path}": digest for path, digest in file_hashes(tmp_path / "date_partitions").items()}
    assert got.items() <= two_versions.first_view.items()
    assert len(got) == 5
    log = run(repository, "git", "log", "--format=%s", tag)
    assert log.splitlines()[0].startswith("Data of 5 days")


def test_only_the_changed_day_is_copied_and_pushed(two_versions: TwoVersions) -> None:
    """The second version copies the files of one day, and adds to the remote their distinct bytes and three listings."""
    before, after = two_versions.first_view, two_versions.second_view
    changed = {path for path in after if after[path] != before.get(path)}
    assert changed
    assert {path.split("/")[1] for path in changed} == {f"dt={day(2)}"}
    assert set(two_versions.second.copied) == {f"data/{path}" for path in changed}
    new = two_versions.second_objects - two_versions.first_objects
    assert len([oid for oid in new if oid.endswith(".dir")]) == len(DATASETS)
    assert len(new) == len(DATASETS) + len({after[path] for path in changed} - set(before.values()))


def test_a_version_says_what_changed_and_that_it_was_overtaken(two_versions: TwoVersions) -> None:
    """Ten late events are ten added rows of their day; the first version is superseded there, the second is not."""
    root, first, second = two_versions.root, two_versions.first.manifest, two_versions.second.manifest
    files = repository_of(root).dvc
    found = compare_versions(first, second, root.platform.store, files, memory_limit="500MB", threads=1)
    assert found.totals == {"rows_added": 10, "rows_removed": 0, "rows_changed": 0}
    assert [each.day for each in found.days] == [day(2).isoformat()]
    assert (found.days_added, found.days_removed, found.schema) == ((), (), {})
    back = compare_versions(second, first, root.platform.store, files, memory_limit="500MB", threads=1)
    assert back.totals == {"rows_added": 0, "rows_removed": 10, "rows_changed": 0}
    assert restated_days(first, root.platform.store) == [day(2).isoformat()]
    assert restated_days(second, root.platform.store) == []


def test_the_same_data_are_the_same_version(two_versions: TwoVersions) -> None:
    """Cutting again makes no tag, copies nothing and pushes nothing."""
    again = cut(two_versions.root)
    assert (again.outcome, again.copied) == ("unchanged", ())
    assert again.manifest == two_versions.second.manifest
    assert set(remote_objects(two_versions.root)) == two_versions.second_objects
    assert len(repository_of(two_versions.root).tags()) == 2


def test_a_corrupt_remote_is_found_out_every_time(two_versions: TwoVersions, tmp_path: Path) -> None:
    """Whatever object is changed, cut short or gone: nothing is restored, and `verify` names it."""
    root = two_versions.root.copied(tmp_path / "root")
    repository = repository_of(root)
    manifest = repository.version("latest")
    objects, rng = remote_objects(root), random.Random(6)
    listings = sorted(oid for oid in objects if oid == f"{manifest.datasets[0].dir_md5}.dir")
    files = sorted({file.md5 for file in manifest.files})
    for number, oid in enumerate((*listings, *rng.sample(files, 4))):
        path, content = objects[oid], objects[oid].read_bytes()
        place = rng.randrange(len(content))
        damaged = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        path.chmod(0o644)
        if number % 3 == 2:
            path.unlink()
        else:
            path.write_bytes(damaged if number % 3 == 0 else content[:place])
        with pytest.raises((CorruptVersionError, VersionError)):
            check_out(str(repository.folder), manifest.tag, tmp_path / "restored", remote=repository.remote)
        assert not (tmp_path / "restored").exists()
        (verification,) = verify_versions(repository, [manifest.tag])
        assert len(verification.faults) == 1
        path.write_bytes(content)
        shutil.rmtree(tmp_path / ".restored.partial", ignore_errors=True)
    assert verify_versions(repository, [manifest.tag])[0].faults == ()


def test_what_the_remote_lost_is_pushed_again(tmp_path: Path) -> None:
    """Somebody cleans the remote behind DVC's back: the next cut brings back every object that its version needs."""
    publish_days(store_at(tmp_path), 2, rows=20)
    (lost, *_) = (file.md5 for file in cut_now(tmp_path).manifest.files if file.rows)
    (tmp_path / "remote" / "files" / "md5" / lost[:2] / lost[2:]).unlink()
    publish_features(store_at(tmp_path), nth(2), feature_rows(nth(2), rows=30))
    made = cut_now(tmp_path)
    assert (made.outcome, lost in {file.md5 for file in made.manifest.files}) == ("cut", True)
    assert verify_versions(repository_at(tmp_path), [made.manifest.tag])[0].faults == ()


def test_a_refused_day_is_left_out_with_its_reason(copied_root: PipelineRoot) -> None:
    """Its last good generation is published, and still it is not in the version: rows are missing from it."""
    copied_root.drop("broken.jsonl", shop_lines(day(2), 0, broken=900, name="broken"))
    copied_root.backfill()
    made = cut(copied_root, Request(("date_partitions",)))
    assert [each.day for each in made.manifest.left_out] == [day(2).isoformat()]
    assert "rejected_share_is_within_tolerance" in made.manifest.left_out[0].reason
    assert day(2).isoformat() not in {each.day for each in made.manifest.days}
    assert set(view_hashes(copied_root, "date_partitions")) - {
        file.path.removeprefix("data/") for file in made.manifest.files
    } == {f"date_partitions/dt={day(2)}/data.parquet"}


def test_rows_that_the_checks_never_passed_are_in_no_version(tmp_path: Path) -> None:
    """A day whose labels and folds were published without date_partitions: no choice of data sets takes it."""
    root, store = tmp_path / "root", store_at(tmp_path / "root")
    publish_days(store, 2, rows=20)
    for record in (root / "_store" / "date_partitions" / "log" / f"dt={nth(2)}").iterdir():
        record.unlink()
    for datasets in (("label_partitions",), ("label_partitions", "stratified_partitions"), DATASETS):
        chosen = select_partitions(store_at(root), Request(datasets))
        assert [each.day for each in chosen.days] == [str(nth(1))]
        assert [each.day for each in chosen.left_out] == [str(nth(2))]
        assert "date_partitions" in chosen.left_out[0].reason


def test_days_of_several_fold_settings_are_no_version(copied_root: PipelineRoot) -> None:
    """Half a backfill after another number of folds: users would be in several; without that data set there is a version."""
    other = copied_root.with_settings(fold_count=4)
    assert other.backfill([day(2)]).is_successful
    with pytest.raises(VersionError, match=r"fold_count 4, .* on .*; fold_count 5, .* on .*Run backfill"):
        cut(other)
    assert repository_of(other).tags() == []
    assert cut(other, Request(("date_partitions",))).outcome == "cut"


def test_an_event_on_two_days_is_no_version(tmp_path: Path) -> None:
    """A producer that gave one id to two instants: the cut is refused and names the event; there is no tag."""
    store = store_at(tmp_path / "root")
    publish_days(store, 2, rows=20)
    twice = feature_rows(nth(3), rows=20)
    ids = [feature_rows(nth(1), rows=20)["event_id"][4].as_py(), *twice["event_id"].to_pylist()[1:]]
    publish_features(store, nth(3), twice.set_column(0, "event_id", [ids]))
    with pytest.raises(VersionError, match=f"more than once: 1 .*{ids[0]} on {nth(1)}, {nth(3)}"):
        cut_now(tmp_path / "root")
    assert repository_at(tmp_path / "root").tags() == []


def test_a_version_before_its_days_have_settled_is_provisional(copied_root: PipelineRoot) -> None:
    """Until a day's end and grace of 24 hours, the version says so; later the same bytes are a version that does not."""
    early = copied_root.at(dt.datetime.combine(day(4), dt.time(1), tzinfo=dt.UTC))
    provisional = cut(early, Request(last=day(4)))
    assert provisional.manifest.is_provisional
    assert [each.day for each in provisional.manifest.days if each.is_provisional] == [
        day(number).isoformat() for number in (3, 4)
    ]
    final = cut(copied_root, Request(last=day(4)))
    assert final.outcome == "cut"
    assert not final.manifest.is_provisional
    assert [each.dir_md5 for each in final.manifest.datasets] == [
        each.dir_md5 for each in provisional.manifest.datasets
    ]


def test_rows_that_are_not_built_yet_are_told(copied_root: PipelineRoot) -> None:
    """Landed after the last backfill: the day of these rows is named, a moment ago it was not, and once built no more."""
    days = [day(number).isoformat() for number in range(1, 6)]
    assert unbuilt_days(copied_root.platform, days) == ()
    copied_root.drop("late.jsonl", shop_lines(day(2), 3, name="late"))
    assert day(2).isoformat() in unbuilt_days(copied_root.platform, days)
    assert day(5).isoformat() not in unbuilt_days(copied_root.platform, days)
    assert copied_root.backfill().is_successful
    assert unbuilt_days(copied_root.platform, days) == ()


def test_what_training_leaves_in_the_repository_is_in_no_version(tmp_path: Path) -> None:
    """Somebody runs `dvc repro` where versions are cut, and looks at an old one: the next version holds data alone.

    The versions are long enough to have a training stage, whose lock file DVC would not have git ignore.
    """
    root = tmp_path / "root"
    publish_days(store_at(root), 4, rows=20)
    first = cut_now(root).manifest.tag
    publish_features(store_at(root), nth(1), feature_rows(nth(1), rows=30))
    cut_now(root)
    repository = repository_at(root)
    (repository.folder / "models").mkdir()
    (repository.folder / "models" / "model.skops").write_text("a model", encoding="utf-8")
    (repository.folder / "dvc.lock").write_text("schema: '2.0'", encoding="utf-8")
    run(repository.folder, "git", "checkout", "--quiet", first)
    publish_features(store_at(root), nth(1), feature_rows(nth(1), rows=40))
    made = cut_now(root)
    listed = repository.git("ls-tree", "-r", "--name-only", made.manifest.tag).splitlines()
    assert not [name for name in listed if name == "dvc.lock" or name.startswith("models")]
    assert [len(repository.git("rev-list", tag).splitlines()) for tag in repository.tags()] == [2, 3, 4]
    assert made.manifest.rows == 3 * 20 + 40


def test_a_second_cut_says_who_holds_the_lock(two_versions: TwoVersions) -> None:
    """One that is not to wait ends at once and names the process that cuts."""
    repository = repository_of(two_versions.root)
    code = (
        "import sys; from pathlib import Path; from ml_data_platform.datasets.repository import *;"
        "from ml_data_platform.datasets.dvc_files import Remote\n"
        f"with VersionsRepository(Path({str(repository.folder)!r}), Remote('')).lock(wait_seconds=0):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(VersionsBusyError, match=f'"pid": {holder.pid}'):
            cut(two_versions.root, wait_seconds=0.0)
        holder.kill()
    assert cut(two_versions.root, wait_seconds=5.0).outcome == "unchanged"


def test_names_of_versions_can_be_short(two_versions: TwoVersions) -> None:
    """A part of a tag that is its alone names it; what names none, or several, is refused."""
    repository = repository_of(two_versions.root)
    first = two_versions.first.manifest
    assert repository.version(first.snapshot_id) == first == repository.version(first.tag.removeprefix("data/"))
    assert repository.version("latest") == two_versions.second.manifest
    for wrong in ("data/", "nothing"):
        with pytest.raises(UnknownVersionError):
            repository.version(wrong)


def test_nothing_outside_of_the_root_is_written(tmp_path: Path) -> None:
    """A cut leaves the user's folders as they are: no configuration, no state, no cache, no telemetry."""
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "from pathlib import Path; from ml_data_platform_tests.faults.datasets.killed_cuts import cut_now;"
        f"print(cut_now(Path({str(tmp_path / 'root')!r})).outcome)"
    )
    publish_days(store_at(tmp_path / "root"), 1, rows=20)
    state = set(Path("/var/tmp").glob("dvc/repo/*"))
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)}
    environment |= {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "cut\n", done.stdout + done.stderr
    assert list(home.rglob("*")) == []
    assert set(Path("/var/tmp").glob("dvc/repo/*")) == state

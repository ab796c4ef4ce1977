"""Several processes of the command line at work on one root, on a disk and in a bucket, while a late file comes."""

from __future__ import annotations

import os
import time
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from ml_data_platform.locations import S3Location
from ml_data_platform.settings import load_settings
from ml_data_platform.stages.verification import verify
from ml_data_platform_tests.faults.pipeline.backfill_process import backfills
from ml_data_platform_tests.pipeline_root import SHOP, START, PipelineRoot, day, settings_for, shop_lines

MANY = bool(os.environ.get("BACKFILLS"))
PROCESSES = 8 if MANY else 4
"""`make backfills` has eight of them at once, and a bucket too."""
DAYS = [day(1), day(2)]
# Most of them want the same days, and some only one of them.
RANGES = [(day(1), day(2)), (day(1), day(1)), (day(2), day(2)), (day(1), day(2))]
PATIENCE_SECONDS = 900


IN_A_BUCKET = pytest.mark.skipif(not MANY, reason="takes minutes: `make backfills` runs it")


@pytest.fixture(params=["local", pytest.param("s3", marks=IN_A_BUCKET)])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> PipelineRoot:
    """Two landed days, not built, with settings that the command line finds."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "platform.yaml").write_text(yaml.safe_dump({"start_date": START}))
    if request.param == "local":
        root = PipelineRoot(settings_for(home))
    else:
        bucket = request.getfixturevalue("s3").new_bucket()
        root = PipelineRoot(load_settings({}, tmp_path, root=S3Location(bucket, "root"), home=home, start_date=START))
    for of in DAYS:
        root.drop(f"{of}.jsonl", shop_lines(of, 20))
    return root


def test_backfills_at_once_lose_mix_and_turn_back_nothing(root: PipelineRoot, tmp_path: Path) -> None:
    """Whatever each of them saw when it began: at the end every day has the bytes of one clean build of all files.

    No generation repeats the inputs of another, and none is built from fewer files than one before it.
    """
    at = [f"ML_DATA_PLATFORM_HOME={root.settings.local_folder}"] if root.settings.home else []
    late = shop_lines(day(1), 5, name="late", hour=20)
    with backfills() as server:
        outputs = [tmp_path / f"output-{number}.txt" for number in range(PROCESSES)]
        children = [
            server.start(
                "--root", root.settings.root, "--from", first, "--to", last, "--json", output=output, environment=at
            )
            for output, (first, last) in zip(outputs, RANGES * (PROCESSES // len(RANGES)), strict=True)
        ]
        wait_until_something_is_published(root)
        root.drop("late.jsonl", late)
        ended = [server.wait(child) for child in children]
        last = server.start("--root", root.settings.root, output=tmp_path / "last.txt", environment=at)
        assert server.wait(last) == 0, (tmp_path / "last.txt").read_text()
    said = [output.read_text() for output in outputs]
    assert set(ended) <= {0, 1}, said
    assert not [text for text in said if "Traceback" in text]

    alone = clean_build(root, late, tmp_path / "alone")
    assert {key: content for key, content in root.contents().items() if key[1] in DAYS} == {
        key: content for key, content in alone.contents().items() if key[1] in DAYS
    }
    assert verify(root.platform).defects == ()
    for asset, of in root.heads():
        history = root.platform.store.log.history(asset, of.isoformat())
        inputs = [(tuple(sorted(record.inputs.items())), record.code_version) for record in history]
        assert len(set(inputs)) == len(inputs), f"{asset} of {of} was published twice from the same inputs"
        if asset == "raw_events":
            files = [{name for name in record.inputs if name.startswith("landed_files/")} for record in history]
            assert all(older <= newer for older, newer in pairwise(files)), f"{of} went back"


def wait_until_something_is_published(root: PipelineRoot) -> None:
    """Return when the first partition is, while most of the work is still to be done."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not root.heads():
        assert time.monotonic() < end
        time.sleep(0.02)


def clean_build(root: PipelineRoot, late: list[dict[str, object]], folder: Path) -> PipelineRoot:
    """Build the same files once, with the same key, in a folder."""
    alone = PipelineRoot(settings_for(folder))
    (folder / "secrets").mkdir(parents=True)
    key = root.platform.settings.secrets_folder / "user_id.key"
    (folder / "secrets" / key.name).write_bytes(key.read_bytes())
    for of in DAYS:
        alone.drop(f"{of}.jsonl", shop_lines(of, 20), source=SHOP)
    alone.drop("late.jsonl", late, source=SHOP)
    assert alone.backfill().is_successful
    return alone

"""A landing folder in a bucket: what a producer puts there is landed once, as from a folder."""

from __future__ import annotations

import json

import pytest

from ml_data_platform.settings import load_settings
from ml_data_platform.stages.landed_files import describe, land_inbox, waiting_files
from ml_data_platform_tests.pipeline_root import SHOP, START, PipelineRoot, day, shop_lines


@pytest.fixture
def bucket(s3):
    """A new bucket."""
    return s3.new_bucket()


@pytest.fixture
def root(s3, bucket, tmp_path):
    """A root in a folder whose landing folder is a prefix of the bucket."""
    place = {"root": tmp_path / "root", "landing": f"s3://{bucket}/in", "s3_endpoint_url": s3.endpoint_url}
    return PipelineRoot(load_settings({}, tmp_path, **place, start_date=START))


@pytest.fixture
def put(s3, bucket):
    """Put an object, as a producer does."""

    def put(key, body):
        s3.client.put_object(Bucket=bucket, Key=key, Body=body)

    return put


def lines(number, name):
    """Return a file of events of one day."""
    return "".join(json.dumps(line) + "\n" for line in shop_lines(day(number), 5, name=name)).encode()


def test_objects_are_landed_once_and_again_when_they_change(root, put):
    """New and replaced objects are taken in, the same ones are not; nothing fetched is left on the disk."""
    put(f"in/{SHOP}/a.jsonl", lines(1, "a"))
    put(f"in/{SHOP}/2026/b.jsonl", lines(2, "b"))
    assert [result.name for result in land_inbox(root.platform)] == ["2026/b.jsonl", "a.jsonl"]
    assert waiting_files(root.platform).is_empty
    assert land_inbox(root.platform) == []
    # The same name, size and second: only the bytes tell.
    put(f"in/{SHOP}/a.jsonl", lines(1, "x"))
    (again,) = land_inbox(root.platform)
    assert (again.name, again.outcome) == ("a.jsonl", "landed")
    assert len(root.platform.ledger.records()) == 3
    assert not (root.folder / "landing_fetched").exists()


def test_what_is_not_a_finished_file_of_a_source_is_left_and_named(root, put):
    """Unfinished names wait, strays and folders of no source are named, hidden and odd keys are not touched."""
    for key in ("in/stray.jsonl", "in/nobody/a.jsonl", f"in/{SHOP}/a.jsonl.tmp", f"in/{SHOP}/.hidden", "in/_planted/x"):
        put(key, lines(1, "a"))
    put(f"in/{SHOP}/", b"")
    put(f"in/{SHOP}//double.jsonl", b"x")
    put(f"in/{SHOP}/../escape.jsonl", b"x")
    waiting = waiting_files(root.platform)
    assert waiting.files == ()
    assert waiting.unknown_folders == ("nobody",)
    assert waiting.stray == ("stray.jsonl",)
    assert waiting.unfinished == (f"{SHOP}/a.jsonl.tmp",)
    assert land_inbox(root.platform) == []


def test_a_bad_object_is_refused_with_its_reason_and_holds_up_no_other(root, put):
    """One that cannot be read is recorded; the next one lands."""
    put(f"in/{SHOP}/bad.jsonl.gz", b"\x1f\x8b not gzip")
    put(f"in/{SHOP}/good.jsonl", lines(1, "a"))
    bad, good = land_inbox(root.platform)
    assert (bad.outcome, good.outcome) == ("rejected", "landed")
    assert "gzip" in describe(bad)

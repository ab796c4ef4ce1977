"""Objects of an S3 bucket: those that a pattern names land once, whatever the store does meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_data_platform.storage.remote_files import MAX_NAME
from ml_data_platform_tests import pull_root
from ml_data_platform_tests.bucket_server import SECRET, BucketServer, cut, garbled, refused, replaced, serving_bucket
from ml_data_platform_tests.pipeline_root import PipelineRoot, day
from ml_data_platform_tests.pull_root import SOURCE, landed_rows, offer, outcomes, pull, root_pulling, texts_below


@pytest.fixture(scope="module")
def running() -> Iterator[BucketServer]:
    """One server for all tests of this file."""
    with serving_bucket() as server:
        yield server


@pytest.fixture
def bucket(running: BucketServer) -> BucketServer:
    """An empty bucket."""
    running.clear()
    return running


def pulling(tmp_path: Path, bucket: BucketServer, path: str, **choices: Any) -> PipelineRoot:
    """Return a root that pulls from a path of the bucket."""
    return root_pulling(tmp_path, f"s3://exports/{path}", s3_endpoint_url=bucket.url, **choices)


def test_the_objects_of_a_day_land_once(tmp_path: Path, bucket: BucketServer) -> None:
    """Days have the rows that were offered; a second pull reads nothing; a changed object is read alone."""
    root = pulling(tmp_path, bucket, "clicks/dt={date}/*.jsonl")
    for number in (1, 2):
        for name in ("a", "b"):
            bucket.put(f"clicks/dt={day(number)}/{name}.jsonl", offer(day(number), 10 * number, name).content)
    bucket.put(f"clicks/dt={day(1)}/_SUCCESS", b"")
    bucket.put(f"clicks/dt={day(1)}/deeper/c.jsonl", offer(day(1), 99, "c").content)
    bucket.put(f"clicks/dt={day(1)}x/d.jsonl", offer(day(1), 99, "d").content)
    report = pull(root)
    names = [f"dt={day(number)}/{name}.jsonl" for number in (1, 2) for name in ("a", "b")]
    assert outcomes(report) == dict.fromkeys(names, "landed")
    assert [seen.day for seen in report.days if seen.is_empty] == [day(3)]
    assert landed_rows(root) == {str(day(1)): 20, str(day(2)): 40}
    bucket.requests.clear()
    assert set(outcomes(pull(root)).values()) == {"unchanged"}
    assert bucket.asked("GET") == [""] * 3
    bucket.put(f"clicks/dt={day(2)}/a.jsonl", offer(day(2), 21, "a2").content)
    bucket.requests.clear()
    assert outcomes(pull(root))[f"dt={day(2)}/a.jsonl"] == "landed"
    assert [key for key in bucket.asked("GET") if key] == [f"clicks/dt={day(2)}/a.jsonl"]
    assert landed_rows(root) == {str(day(1)): 20, str(day(2)): 61}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("*/dt={date}/*.jsonl", ["one/dt={}/a.jsonl", "two/dt={}/a.jsonl"]),
        ("two/**/{date}*.jsonl", ["{}-top.jsonl", "x/{}-low.jsonl", "x/y/{}-lower.jsonl"]),
        ("t?o/x/{date}-low.jsonl", ["two/x/{}-low.jsonl"]),
        ("one/dt={date}/a.jsonl", ["dt={}/a.jsonl"]),
        ("one/dt={date}/{hour}.jsonl", ["dt={}/07.jsonl"]),
    ],
)
def test_a_pattern_finds_what_it_names_and_nothing_else(
    tmp_path: Path, bucket: BucketServer, path: str, found: list[str]
) -> None:
    """Names stand for one name, two stars for folders; a file goes by its key below what is fixed."""
    of = day(1)
    for key in (
        f"one/dt={of}/a.jsonl",
        f"two/dt={of}/a.jsonl",
        f"one/dt={of}/07.jsonl.bak",
        f"one/dt={of}/07.jsonl" if "hour" in path else "other",
        f"two/{of}-top.jsonl",
        f"two/x/{of}-low.jsonl",
        f"two/x/y/{of}-lower.jsonl",
        f"two/.hidden/{of}-no.jsonl",
        f"two/x/y/{day(2)}-lower.jsonl",
        f"deep/one/dt={of}/a.jsonl",
    ):
        bucket.put(key, offer(of, 3, key).content)
    report = pull(pulling(tmp_path, bucket, path), 1, 1)
    assert list(outcomes(report)) == sorted(name.format(of) for name in found)
    assert set(outcomes(report).values()) == {"landed"}


@pytest.mark.parametrize(
    ("faults", "gets"),
    [
        ([refused("500 Internal Server Error"), refused("503 Slow Down")], 3),
        ([refused("403 Forbidden")], 2),
        ([cut, cut], 3),
        ([garbled], 2),
    ],
)
def test_faults_that_pass_are_outlasted(tmp_path: Path, bucket: BucketServer, faults: list, gets: int) -> None:
    """Refusals, lost connections and bytes that are not those of the etag: the object is read again."""
    made, key = offer(day(1), 40, "a"), f"{day(1)}.jsonl"
    bucket.put(key, made.content)
    bucket.fail(key, *faults)
    root = pulling(tmp_path, bucket, "{date}.jsonl")
    assert pull(root, 1, 1).refused == []
    assert [path.read_bytes() for path in (root.folder / "raw").iterdir()] == [made.content]
    assert bucket.asked("GET").count(key) == gets


def test_an_etag_that_only_looks_like_a_hash_is_believed(tmp_path: Path, bucket: BucketServer) -> None:
    """Some stores make etags up: bytes that come twice the same are taken, though no hash of them is the etag."""
    key = f"{day(1)}.jsonl"
    bucket.put(key, offer(day(1), 4, "a").content)
    bucket.fail(key, garbled, garbled)
    root = pulling(tmp_path, bucket, "{date}.jsonl")
    assert pull(root, 1, 1).not_fetched == []
    assert bucket.asked("GET").count(key) == 2


def test_an_object_that_is_replaced_while_it_is_read_is_read_again(tmp_path: Path, bucket: BucketServer) -> None:
    """What lands is one whole version: the newer."""
    key, new = f"{day(1)}.jsonl", offer(day(1), 7, "new").content
    bucket.put(key, offer(day(1), 5, "old").content)
    bucket.fail(key, replaced(key, new))
    root = pulling(tmp_path, bucket, "{date}.jsonl")
    assert set(outcomes(pull(root, 1, 1)).values()) == {"landed"}
    assert [path.read_bytes() for path in (root.folder / "raw").iterdir()] == [new]


def test_a_place_that_stays_shut_is_reported(tmp_path: Path, bucket: BucketServer) -> None:
    """A listing that fails is a failure of its day; no bucket and no credentials are said at once, without waiting."""
    bucket.put(f"{day(2)}/a.jsonl", offer(day(2), 3, "a").content)
    bucket.fail("", *[refused("403 Forbidden")] * 3 * 4)
    root = pulling(tmp_path, bucket, "{date}/*.jsonl")
    shut = pull(root).not_fetched
    assert [line for line in shut if "S3 answered 403" in line and "(tried 4 times)" in line] == shut
    assert len(shut) == len(root.platform.ledger.failures()) == 3
    assert pull(root).not_fetched == []
    assert root.platform.ledger.failures() == ()
    pull_root.PAUSES.clear()
    no_bucket = root_pulling(tmp_path / "b", "s3://no-such-place/{date}/*.jsonl", s3_endpoint_url=bucket.url)
    assert all("there is no such bucket" in line for line in pull(no_bucket).not_fetched)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_ACCESS_KEY_ID")
        nobody = pull(pulling(tmp_path / "c", bucket, "{date}/*.jsonl"))
    assert all("there are no AWS credentials" in line for line in nobody.not_fetched)
    assert pull_root.PAUSES == []


def test_keys_from_elsewhere_can_do_no_harm(tmp_path: Path, bucket: BucketServer) -> None:
    """Steps upwards, control characters and very long keys are names like others, made printable and bounded."""
    keys = [f"{day(1)}/{name}" for name in ("../../../../etc/x", "a\x1b[31m\u202eb", "n" * 900, "ü €")]
    for at, key in enumerate(keys):
        bucket.put(key, offer(day(1), at + 1, key).content)
    root = pulling(tmp_path, bucket, "{date}/**/*")
    before = {path for path in tmp_path.rglob("*") if root.folder not in path.parents}
    report = pull(root, 1, 1)
    # A segment that begins with a dot is hidden, like the two steps upwards.
    assert sum(landed_rows(root).values()) == 2 + 3 + 4
    assert all(len(file.name) <= MAX_NAME and file.name.isprintable() for file in report.files)
    assert len({file.name for file in report.files}) == 3
    assert {path for path in tmp_path.rglob("*") if root.folder not in path.parents} - {root.folder} == before


def test_no_credential_is_written_anywhere(tmp_path: Path, bucket: BucketServer) -> None:
    """Neither to the root nor into reports, also where things fail."""
    bucket.put(f"{day(1)}/a.jsonl", offer(day(1), 3, "a").content)
    bucket.put(f"{day(2)}/a.jsonl", offer(day(2), 3, "a").content)
    bucket.fail(f"{day(2)}/a.jsonl", *[cut] * 4)
    root = pulling(tmp_path, bucket, "{date}/*.jsonl")
    report = pull(root)
    assert len(report.refused) == 1
    assert root.platform.ledger.failures()[0].source == SOURCE
    assert SECRET not in texts_below(tmp_path) + repr(report)

"""What must hold of a bucket after commits went through faults, read by a plain client.

Belongs here: reading log, objects and view with nothing but JSON, hashes and Parquet, and comparing them with what was
promised. Does not belong here: faults, and commits (`bucket`).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq

from ml_data_platform.events.schemas import TableSchema
from ml_data_platform_tests.faults.lanes.numbered import rows_of

Partition = tuple[TableSchema, str]


@dataclass
class Promises:
    """What writers were told, kept outside of the bucket.

    Attributes:
        acknowledged: The partition and generation of each acknowledged commit, by its id; twice where told twice.
        raised: Ids of commits that ended with an error, at least once.
        failures: Errors that no fault of the way excuses.
    """

    acknowledged: list[tuple[str, str, int]] = field(default_factory=list)
    raised: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)


class Bucket:
    """All that lies in a bucket, fetched once.

    Args:
        client: A plain client.
        name: The bucket.
    """

    def __init__(self, client: Any, name: str) -> None:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=name)
        keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
        self.held = {key: client.get_object(Bucket=name, Key=key)["Body"].read() for key in keys}

    def below(self, folder: str) -> dict[str, bytes]:
        """Return what lies below a folder, by the rest of its key."""
        start = f"{folder}/"
        return {key.removeprefix(start): data for key, data in sorted(self.held.items()) if key.startswith(start)}

    def records(self, partition: Partition) -> list[dict[str, Any]]:
        """Return a partition's log in order; fails where it has a gap or a foreign name."""
        table, day = partition
        found = self.below(f"_store/{table.name}/log/dt={day}")
        assert list(found) == [f"{number:08d}.json" for number in range(1, len(found) + 1)], f"gaps: {list(found)}"
        records = [json.loads(data) for data in found.values()]
        assert [record["generation"] for record in records] == list(range(1, len(found) + 1))
        return records


def assert_promises_kept(bucket: Bucket, partitions: list[Partition], promises: Promises) -> None:
    """Check that what was acknowledged is there once, and that what is there is whole, and was asked for."""
    assert promises.failures == [], f"writers failed: {promises.failures[:3]}"
    for partition in partitions:
        records = bucket.records(partition)
        _assert_each_is_there_once(records, partition, promises)
        for record in records:
            _assert_is_whole(bucket, partition[0], record)
        _assert_view_is_new_enough(bucket, partition, records, promises)


def assert_view_is_head(bucket: Bucket, partitions: list[Partition]) -> None:
    """Check that plain readers see the newest generation of each partition, and nothing else."""
    wanted = {}
    for table, day in partitions:
        for record in bucket.records((table, day))[-1:]:
            wanted.update({f"{table.name}/dt={day}/{file['name']}": file["sha256"] for file in record["files"]})
    assert {key: _sha256(data) for key, data in bucket.below("data").items()} == wanted, "the view is not the head"


def _assert_each_is_there_once(records: list[dict[str, Any]], partition: Partition, promises: Promises) -> None:
    table, day = partition
    place = f"{table.name}/{day}"
    logged = Counter(record["commit_id"] for record in records)
    numbers = Counter(record["inputs"]["number"] for record in records)
    acknowledged = {commit: number for commit, where, number in promises.acknowledged if where == place}
    lost = [commit for commit in acknowledged if commit not in logged]
    assert not lost, f"lost: {len(lost)} of {place}, e.g. generation {acknowledged[lost[0]]}"
    doubled = [number for number, times in numbers.items() if times > 1]
    assert not doubled, f"twice: {doubled[:5]} of {place}"
    assert max(logged.values(), default=1) == 1, f"twice: a commit of {place}"
    foreign = logged.keys() - acknowledged.keys() - promises.raised
    assert not foreign, f"never asked for: {len(foreign)} of {place}"
    placed = {record["commit_id"]: record["generation"] for record in records}
    moved = [number for commit, number in acknowledged.items() if placed[commit] != number]
    assert not moved, f"not where it was promised to be: {moved[:5]} of {place}"


def _assert_is_whole(bucket: Bucket, table: TableSchema, record: dict[str, Any]) -> None:
    """Check that the objects of a generation are there, with the bytes, sizes and rows that its record says."""
    where = f"{table.name} generation {record['generation']}"
    assert sorted(file["name"] for file in record["files"]) == sorted(table.files), where
    for file in record["files"]:
        key = f"_store/{table.name}/objects/{file['sha256'][:2]}/{file['sha256']}.parquet"
        assert key in bucket.held, f"{where}: an object is missing"
        data = bucket.held[key]
        assert _sha256(data) == file["sha256"], f"{where}: an object's bytes are not those of its name"
        assert len(data) == file["size_bytes"], where
        number = int(record["inputs"]["number"])
        rows = pq.ParquetFile(io.BytesIO(data)).read()
        assert rows["generation"].to_pylist() == [number] * rows_of(number), f"{where}: rows of another commit"


def _assert_view_is_new_enough(
    bucket: Bucket, partition: Partition, records: list[dict[str, Any]], promises: Promises
) -> None:
    """Check, before any recovery, that each file of the view is a generation at least as new as the last promised."""
    table, day = partition
    place = f"{table.name}/{day}"
    promised = max((number for _, where, number in promises.acknowledged if where == place), default=0)
    shown = bucket.below(f"data/{table.name}/dt={day}")
    assert set(shown) <= set(table.files), f"the view of {place} shows {list(shown)}"
    assert not promised or set(shown) == set(table.files), f"the view of {place} lacks files"
    for name, data in shown.items():
        generations = [
            record["generation"]
            for record in records
            if _sha256(data) in {file["sha256"] for file in record["files"] if file["name"] == name}
        ]
        assert generations, f"the view of {place} shows what the log has not"
        assert max(generations) >= promised, f"the view of {place} is behind generation {promised}"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

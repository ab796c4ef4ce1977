"""Names from outside never leave their folder."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import PurePosixPath

import pytest

from ml_data_platform.errors import PartitionKeyError, PlatformError, StorageKeyError
from ml_data_platform.storage.layout import Layout, day_key, parse_day
from ml_data_platform.storage.local_objects import LocalObjectStore

SHA256 = "ab" * 32
HOSTILE_DAYS = [
    "../x",
    "2026-01-01\n",
    "\n2026-01-01",
    "2026-01-01/..",
    " 2026-01-01",
    "2026-1-1",
    "20260101",
    "2026-02-29",
    "2026-13-01",
    "0000-01-01",
    "\u0662\u0660\u0662\u0666-\u0660\u0661-\u0660\u0661",
    "\uff12026-01-01",
    "2026-W01-1",
    "2026-01-01T00:00:00",
    "",
    "2026-01-01\0",
]
HOSTILE_NAMES = ["", ".", "..", "../x", "a/b", "A", "1a", "_a", "a\n", "a b", "a\0", "é", "a" * 65, "tmp", "locks"]
HOSTILE_FILES = [
    "../data.parquet",
    "/data.parquet",
    "fold=../data.parquet",
    "fold=0/../data.parquet",
    ".data.parquet",
    "data.parquet\n",
    "data.csv",
    "fold=.0/data.parquet",
    "fold=0//data.parquet",
    "a=1/b=2/c=3/d=4/data.parquet",
    "",
]


@pytest.mark.parametrize("key", HOSTILE_DAYS)
def test_only_calendar_days_in_ascii_digits_are_partition_keys(key):
    """A partition key with anything but ten ASCII characters of a real day is refused everywhere."""
    with pytest.raises(PartitionKeyError):
        parse_day(key)
    with pytest.raises(PartitionKeyError):
        Layout.view_folder("raw_events", key)
    with pytest.raises(PartitionKeyError):
        Layout.log_key("raw_events", key, 1)


def test_an_instant_is_no_day():
    """A datetime, which is a date to Python, is refused: its day depends on a time zone."""
    with pytest.raises(PartitionKeyError):
        day_key(datetime(2026, 1, 1, tzinfo=UTC))
    assert day_key(date(2024, 2, 29)) == "2024-02-29"
    assert parse_day("2024-02-29") == date(2024, 2, 29)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_assets_and_sources_are_plain_names(name):
    """An asset or source that could leave its folder, or meet storage's own folders, is refused."""
    with pytest.raises(StorageKeyError):
        Layout.object_key(name, SHA256)
    with pytest.raises(StorageKeyError):
        Layout.ledger_key(name, SHA256, "ab" * 16)
    with pytest.raises(StorageKeyError):
        Layout.failure_key(name, "x.csv", "broken")


@pytest.mark.parametrize("name", HOSTILE_FILES)
def test_files_of_a_partition_are_hive_folders_and_a_parquet_file(name):
    """A file name that climbs, hides or is of another kind is refused."""
    with pytest.raises(StorageKeyError):
        Layout.view_key("raw_events", "2026-01-01", name)


@pytest.mark.parametrize("sha256", ["", "AB" * 32, "ab" * 31, "ab" * 32 + "\n", "../" + "a" * 61])
def test_objects_are_named_by_hashes_only(sha256):
    """Anything but 64 lower-case hex digits is no object name."""
    for key in (Layout.object_key, Layout.undated_view_key):
        with pytest.raises(StorageKeyError):
            key("demo_shop", sha256)
    with pytest.raises(StorageKeyError):
        Layout.raw_key(sha256)


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b.csv", "\udcff.csv", "x" * 5000, "", "\0"])
def test_file_names_of_producers_never_become_path_parts(name):
    """Landed file names are free text: in paths only their hash appears."""
    for key in (Layout.name_key("demo_shop", SHA256, name), Layout.failure_key("demo_shop", name, "broken")):
        assert len(PurePosixPath(key).name) == 32 + len(".json")
        assert ".." not in key


def test_keys_are_where_the_design_says():
    """The documented paths, letter by letter: other tools rely on them."""
    assert Layout.view_key("raw_events", "2026-01-02", "data.parquet") == "data/raw_events/dt=2026-01-02/data.parquet"
    assert Layout.object_key("raw_events", SHA256) == f"_store/raw_events/objects/ab/{SHA256}.parquet"
    assert Layout.log_key("raw_events", date(2026, 1, 2), 7) == "_store/raw_events/log/dt=2026-01-02/00000007.json"
    assert Layout.raw_key(SHA256) == f"raw/{SHA256}"
    assert Layout.ledger_key("demo_shop", SHA256, "cd" * 32) == f"ledger/demo_shop/{SHA256}.cdcdcdcdcdcd.json"
    assert Layout.undated_view_key("demo_shop", SHA256) == f"data/undated_rows/source=demo_shop/{SHA256}.parquet"


@pytest.mark.parametrize(
    ("name", "generation"),
    [
        ("00000007.json", 7),
        ("00000000.json", None),
        ("7.json", None),
        ("00000007.json~", None),
        (".00000007.json", None),
    ],
)
def test_foreign_files_in_a_log_folder_are_no_generations(name, generation):
    """Only eight digits and ``.json`` count, from 1."""
    assert Layout.generation(name) == generation


@pytest.mark.parametrize("key", ["", "/etc/passwd", "a/../b", "..", "a//b", "./a", "a/", "a\0b"])
def test_the_store_refuses_keys_that_are_not_plain_relative_paths(tmp_path, key):
    """A key can name nothing outside the root."""
    with pytest.raises(PlatformError):
        LocalObjectStore(tmp_path).uri(key)

"""Every planted defect of tables is found under its name, and mended where what is stored allows it."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest

from ml_data_platform.errors import DamagedObjectError, VerificationError
from ml_data_platform.storage import scrub as scrub_module
from ml_data_platform.storage.defects import MEANINGS, Kind
from ml_data_platform.storage.layout import LOST_FOLDER, Layout
from ml_data_platform.storage.local_objects import LocalObjectStore
from ml_data_platform.storage.lost_files import lost_files
from ml_data_platform.storage.mending import BUILT_AGAIN, mend, restore_object
from ml_data_platform.storage.scrub import Scrub
from ml_data_platform.storage.scrub_landed import foreign_files
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.integration.storage.conftest import s3_objects
from ml_data_platform_tests.storage_tables import DAY, PARTED, SINGLE, assert_whole, present, publish, view_keys


@pytest.fixture
def objects(medium, tmp_path, request):
    """A store on the medium."""
    if medium == "local":
        return LocalObjectStore(tmp_path / "root")
    return s3_objects(request.getfixturevalue("s3"), tmp_path / "home")


@pytest.fixture
def store(objects):
    """Two tables, of three generations and of one."""
    made = TableStore(objects, present)
    for generation in (1, 2, 3):
        publish(made, SINGLE, generation, expected=generation - 1)
    publish(made, PARTED, 1, expected=0)
    return made


def look(store):
    """Return all defects of the tables."""
    scrub = Scrub(store.objects, TableStore(store.objects, present).log)
    found = [defect for asset in scrub.assets() for defect in scrub.table(asset)]
    return [*found, *foreign_files(scrub, dict.fromkeys(scrub.assets()))]


def overwrite(store, key, data):
    """Put other bytes under a key, as a person with a text editor would."""
    store.objects.delete(key)
    store.objects.put_if_absent(key, data)


def head_object(store, table=SINGLE, generation=None):
    """Return the key of the first object of a generation, by default the newest."""
    record = store.log.history(table.name, DAY)[-1 if generation is None else generation - 1]
    return Layout.object_key(table.name, record.files[0].sha256)


def flip_a_byte(store):
    """Change one byte of an object of the newest generation, and of nothing else."""
    key = head_object(store)
    data = bytearray(store.objects.read_bytes(key))
    data[len(data) // 2] ^= 1
    overwrite(store, key, bytes(data))
    return key


def flip_a_byte_of_an_old_generation(store):
    """Damage what only history reads."""
    key = head_object(store, generation=1)
    overwrite(store, key, b"X" + store.objects.read_bytes(key)[1:])
    return key


def delete_an_object(store):
    """Lose an object that the view still shows."""
    key = head_object(store)
    store.objects.delete(key)
    return key


def delete_object_and_view(store):
    """Lose all copies, also the one that this machine keeps of an object in a bucket."""
    store.objects.delete(view_keys(SINGLE)[0])
    copy = store.objects.cached(head_object(store))
    if copy is not None:
        copy.unlink()
    return delete_an_object(store)


def edit(store, **changes):
    """Change fields of the newest record, as a person who knows JSON would."""
    key = Layout.log_key(SINGLE.name, DAY, 3)
    overwrite(store, key, json.dumps({**json.loads(store.objects.read_bytes(key)), **changes}).encode())
    return key


def forge(store):
    """Write a record whose digest is right and whose identity is not."""
    record = store.head(SINGLE.name, DAY)
    key = Layout.log_key(SINGLE.name, DAY, 3)
    overwrite(store, key, replace(record, inputs={"upstream": "other"}).to_json())
    return key


def miscount(store):
    """Write a record that says other rows than its file has."""
    record = store.head(SINGLE.name, DAY)
    key = Layout.log_key(SINGLE.name, DAY, 3)
    overwrite(store, key, replace(record, files=(replace(record.files[0], rows=7),)).to_json())
    return key


def cut_the_log(store):
    """Lose a record in the middle."""
    key = Layout.log_key(SINGLE.name, DAY, 2)
    store.objects.delete(key)
    return key


def lag(store):
    """Show an older generation."""
    (view,) = view_keys(SINGLE)
    overwrite(store, view, store.objects.read_bytes(head_object(store, generation=1)))
    return view


def paint(store):
    """Show bytes that were never published."""
    view = view_keys(PARTED)[1]
    overwrite(store, view, b"PAR1 not")
    return view


def hide(store):
    """Remove a file of the view."""
    view = view_keys(PARTED)[0]
    store.objects.delete(view)
    return view


def empty_an_object(store):
    """Cut all bytes of an object, as a disk that was full does."""
    key = head_object(store)
    overwrite(store, key, b"")
    return key


def swap_objects(store):
    """Exchange the bytes of two generations' objects."""
    first, last = head_object(store, generation=2), head_object(store)
    bytes_of_first, bytes_of_last = store.objects.read_bytes(first), store.objects.read_bytes(last)
    overwrite(store, first, bytes_of_last)
    overwrite(store, last, bytes_of_first)
    return last


def add_a_generation(store):
    """Copy the newest record under the next number."""
    key = Layout.log_key(SINGLE.name, DAY, 4)
    store.objects.put_if_absent(key, store.objects.read_bytes(Layout.log_key(SINGLE.name, DAY, 3)))
    return key


def strew(store, key):
    """Put down a file that nobody asked for."""
    store.objects.put_if_absent(key, b"mine")
    return key


PLANTED = [
    (flip_a_byte, Kind.OBJECT_ALTERED, True),
    (flip_a_byte_of_an_old_generation, Kind.OBJECT_ALTERED, True),
    (delete_an_object, Kind.OBJECT_MISSING, True),
    (delete_object_and_view, Kind.OBJECT_MISSING, False),
    (lambda store: edit(store, run_id="another"), Kind.RECORD_DAMAGED, False),
    (lambda store: edit(store, committed_at="2020-01-01T00:00:00+00:00"), Kind.RECORD_DAMAGED, False),
    (lambda store: overwrite(store, Layout.log_key(SINGLE.name, DAY, 3), b"{"), Kind.RECORD_DAMAGED, False),
    (forge, Kind.RECORD_DAMAGED, False),
    (miscount, Kind.RECORD_CONTRADICTS_OBJECT, False),
    (cut_the_log, Kind.LOG_GAP, False),
    (empty_an_object, Kind.OBJECT_ALTERED, True),
    (swap_objects, Kind.OBJECT_ALTERED, True),
    (add_a_generation, Kind.RECORD_DAMAGED, False),
    (lag, Kind.VIEW_STALE, True),
    (paint, Kind.VIEW_ALTERED, True),
    (hide, Kind.VIEW_MISSING, True),
    (lambda store: strew(store, f"data/{SINGLE.name}/dt={DAY}/notes.txt"), Kind.FOREIGN_FILE, False),
    (lambda store: strew(store, f"data/{SINGLE.name}/dt=2026-03-05/data.parquet"), Kind.FOREIGN_FILE, False),
    (lambda store: strew(store, "data/mine.parquet"), Kind.FOREIGN_FILE, False),
    (lambda store: strew(store, f"_store/{SINGLE.name}/objects/ab/mine.parquet"), Kind.FOREIGN_FILE, False),
    (lambda store: strew(store, f"_store/{SINGLE.name}/log/dt={DAY}/00000003.json~"), Kind.FOREIGN_FILE, False),
    (lambda store: strew(store, "_store/mine"), Kind.FOREIGN_FILE, False),
]


IN_A_BUCKET = (flip_a_byte, delete_object_and_view, cut_the_log, lag, hide)
"""One of each way to repair: what is looked at is the same in a bucket, and ``test_s3_objects.py`` shows its operations."""

CASES = [("local", *case) for case in PLANTED] + [("s3", *case) for case in PLANTED if case[0] in IN_A_BUCKET]


@pytest.mark.parametrize(("medium", "plant", "kind", "is_mendable"), CASES)
def test_every_planted_defect_is_found_and_named(store, plant, kind, is_mendable):
    """It is found at its key, with what it means; mending mends it exactly where the stored bytes allow it."""
    assert look(store) == []
    key = plant(store)
    found = look(store)
    assert kind in {defect.kind for defect in found}
    if key is not None:
        assert key in {defect.key for defect in found if defect.kind is kind}
    before = {
        each: store.objects.read_bytes(each) for each in store.objects.list("_store") + store.objects.list("data")
    }
    mended = mend(store.objects, TableStore(store.objects, present).log, found)
    assert {defect.is_repaired for defect in mended if defect.kind is kind} == {is_mendable}
    assert (look(store) == []) == is_mendable
    if is_mendable:
        assert_whole(store, SINGLE, {3})
        assert_whole(store, PARTED, {1})
    # Whatever was there before is still somewhere: nothing is lost by mending, nor anything foreign touched.
    after = {store.objects.read_bytes(each) for each in store.objects.list("_store") + store.objects.list("data")}
    lost = {each for each, data in before.items() if data not in after}
    assert lost <= set(view_keys(SINGLE) + view_keys(PARTED))


def test_what_cannot_be_mended_is_whole_again_when_the_partition_is_run(store):
    """The remedy of the message: bytes set aside make room, and the same run stores and shows them again."""
    flip_a_byte(store)
    store.objects.delete(view_keys(SINGLE)[0])
    mend(store.objects, store.log, look(store))
    assert publish(store, SINGLE, 3, expected=3) == "unchanged"
    assert look(store) == []
    assert_whole(store, SINGLE, {3})


@pytest.mark.parametrize("medium", ["local"])
def test_a_folder_in_the_place_of_an_object_is_named_until_it_is_moved_away(store):
    """It is no object, and nothing of a person's is moved: repair and build say where it lies, and go on without it."""
    key = head_object(store)
    store.objects.delete(key)
    folder = store.objects.root / key
    folder.mkdir()
    (defect,) = mend(store.objects, store.log, look(store))
    assert (defect.kind, defect.key, defect.is_repaired) == (Kind.OBJECT_MISSING, key, False)
    assert "A folder lies where the platform keeps a file." in defect.detail
    with pytest.raises(VerificationError, match="A folder lies") as refused:
        publish(store, SINGLE, 3, expected=3)
    assert refused.value.file == folder
    folder.rmdir()
    mend(store.objects, store.log, look(store))
    assert look(store) == []
    assert_whole(store, SINGLE, {3})


@pytest.mark.parametrize("medium", ["local", "s3"])
def test_a_file_of_which_no_copy_is_left_is_marked_until_it_is_there_again(store):
    """Altered bytes leave the view, the day is marked once, a commit that changes nothing puts the file back."""
    key = head_object(store)
    (view,) = view_keys(SINGLE)
    good = store.objects.read_bytes(key)
    for each in (key, view):
        overwrite(store, each, bytes([good[0] ^ 1]) + good[1:])
    copy = store.objects.cached(key)
    if copy is not None:
        copy.unlink()
    assert lost_files(store.objects) == {}
    for _ in range(2):
        (defect, *_) = [each for each in mend(store.objects, store.log, look(store)) if each.key == key]
        assert not defect.is_repaired
        assert BUILT_AGAIN in defect.detail
        assert not store.objects.exists(view)
        name = key.rpartition("/")[2].partition(".")[0]
        assert lost_files(store.objects) == {(SINGLE.name, DAY): frozenset({name})}
    with pytest.raises(DamagedObjectError) as refused:
        store.ref(SINGLE.name, [DAY]).paths()
    assert (refused.value.asset, refused.value.partition) == (SINGLE.name, DAY)
    assert publish(store, SINGLE, 3, expected=3) == "unchanged"
    assert store.objects.list(LOST_FOLDER) == []
    assert look(store) == []
    assert_whole(store, SINGLE, {3})


@pytest.mark.parametrize("medium", ["local", "s3"])
def test_an_object_is_restored_from_the_first_copy_that_has_its_bytes(store, tmp_path):
    """Copies that are gone, or of other bytes, are passed over; what stood in the way is set aside."""
    key = head_object(store)
    good = store.objects.read_bytes(key)
    overwrite(store, key, b"damaged")
    wrong, right = tmp_path / "wrong", tmp_path / "right"
    wrong.write_bytes(good[:-1])
    right.write_bytes(good)
    assert not restore_object(store.objects, key, [wrong, tmp_path / "gone"])
    assert store.objects.read_bytes(key) == b"damaged"
    assert restore_object(store.objects, key, [tmp_path / "gone", wrong, right])
    assert store.objects.read_bytes(key) == good
    assert store.objects.read_bytes(f"_store/damaged/{key}") == b"damaged"
    assert right.read_bytes() == good


def test_every_kind_says_what_it_means_and_what_to_do():
    """No defect without a sentence for people."""
    assert set(MEANINGS) == set(Kind)
    assert all(meaning.endswith(".") and remedy.endswith(".") for meaning, remedy in MEANINGS.values())


@pytest.mark.parametrize("medium", ["local"])
def test_a_file_that_the_system_does_not_let_read_is_named_and_the_rest_is_looked_at(store, monkeypatch):
    """Neither a forbidden file nor a failing disk ends the look; what it says stands beside the file."""
    key = head_object(store)
    real = scrub_module.file_sha256

    def denied(path):
        if path == Path(store.objects.uri(key)):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path)

    monkeypatch.setattr(scrub_module, "file_sha256", denied)
    scrub = Scrub(store.objects, store.log)
    defects = [*(defect for asset in scrub.assets() for defect in scrub.table(asset)), *scrub.unread()]
    assert [(defect.kind, defect.key, defect.asset) for defect in defects] == [(Kind.FILE_UNREADABLE, key, SINGLE.name)]

"""What is special of a bucket: conditions, lost answers, whole answers, secrets, and the cache that engines read."""

from __future__ import annotations

import io
import logging
import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from ml_data_platform.errors import (
    CommitStateUnknownError,
    ConditionFailedError,
    PlatformError,
    SettingsError,
    StorageKeyError,
    StorageUnavailableError,
    VerificationError,
)
from ml_data_platform.locations import S3Location
from ml_data_platform.storage import s3_objects as module
from ml_data_platform.storage import s3_parts, s3_requests
from ml_data_platform.storage.durability import file_sha256
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.integration.storage.conftest import s3_objects
from ml_data_platform_tests.s3_server import CREDENTIALS, hang_up
from ml_data_platform_tests.storage_tables import (
    DAY,
    PARTED,
    SINGLE,
    assert_whole,
    generation_in,
    present,
    publish,
    stage,
    view_keys,
)

VIEW = view_keys(SINGLE)[0]


@pytest.fixture
def objects(s3, tmp_path, monkeypatch):
    """A store below a prefix of a new bucket; nothing waits between attempts."""
    monkeypatch.setattr(s3_requests, "FIRST_PAUSE_SECONDS", 0.0)
    yield s3_objects(s3, tmp_path / "home")
    s3.meddle = None


@pytest.fixture
def store(objects):
    """Tables in it."""
    return TableStore(objects, present)


def on(s3, method, part, do, times=1):
    """Let ``do`` take the next requests of a method whose path holds ``part``; returns the list of those taken."""
    taken = []

    def meddle(environ, start_response, serve):
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] == method and part in path and len(taken) < times:
            taken.append(path)
            return do(environ, start_response, serve)
        return serve(environ, start_response)

    s3.meddle = meddle
    return taken


def answer(status, code):
    """Return what answers with an error of S3 and does nothing."""

    def do(_environ, start_response, _serve):
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]

    return do


def lose_answer(environ, start_response, serve):
    """Do what is asked and hang up before the answer."""
    serve(environ, lambda *_: None)
    return hang_up(environ, start_response)


def lose_answer_of_complete(environ, start_response, serve):
    """Lose the answer to the request that ends an upload, and of no other."""
    return (lose_answer if "uploadId" in environ["QUERY_STRING"] else serve_plainly)(environ, start_response, serve)


def serve_plainly(environ, start_response, serve):
    """Let the server answer."""
    return serve(environ, start_response)


def lose_request(environ, start_response, _serve):
    """Hang up before anything is done."""
    return hang_up(environ, start_response)


def cut_body(environ, start_response, serve):
    """Announce the whole body and send half of it."""
    body = b"".join(serve(environ, start_response))
    return [body[: len(body) // 2]]


def cut_head(environ, start_response, serve):
    """Do what is asked and send the first line of the answer only."""
    told = []
    serve(environ, lambda status, *_: told.append(status))
    environ["werkzeug.socket"].sendall(f"HTTP/1.0 {told[0]}\r\nServer: cut".encode())
    return hang_up(environ, start_response)


@pytest.mark.parametrize("ignored", ["HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH"])
def test_a_store_that_ignores_conditions_is_refused_before_anything_is_written(s3, store, ignored):
    """The first write tries both conditions; nothing of a partition is there after the refusal."""

    def deaf(environ, start_response, serve):
        environ.pop(ignored, None)
        return serve(environ, start_response)

    s3.meddle = deaf
    with pytest.raises(SettingsError, match="ignores the conditions"):
        publish(store, SINGLE, 1, expected=0)
    assert store.objects.names("data") == []
    assert store.objects.names("_store") == ["probe"]


def test_the_store_is_probed_once(s3, store):
    """A process asks once whether conditions are kept, whatever it writes after."""
    seen = on(s3, "PUT", "/probe", lambda e, s, serve: serve(e, s), times=99)
    for generation in (1, 2, 3):
        publish(store, SINGLE, generation, expected=generation - 1)
    assert len(seen) == 3


@pytest.mark.parametrize(
    "fault",
    [
        lose_request,
        lose_answer,
        answer("500 Internal Server Error", "InternalError"),
        answer("503 Slow Down", "SlowDown"),
        answer("409 Conflict", "ConditionalRequestConflict"),
        answer("400 Bad Request", "RequestTimeout"),
    ],
    ids=["lost_request", "lost_answer", "500", "503", "409", "request_timeout"],
)
@pytest.mark.parametrize("part", ["/log/", "/objects/", "/data/"])
def test_a_fault_of_any_write_is_got_over_and_the_commit_counts_once(s3, store, part, fault):
    """One record, the right bytes, and the outcome that the writer would have had without the fault."""
    publish(store, SINGLE, 1, expected=0)
    taken = on(s3, "PUT", part, fault, times=2)
    assert publish(store, SINGLE, 2, expected=1) == "committed"
    assert len(taken) == 2 or fault is lose_answer
    assert taken
    assert assert_whole(store, SINGLE, {2}).generation == 2


def test_a_record_of_another_writer_is_not_taken_for_the_own_lost_one(s3, store):
    """The request is lost, another writer commits meanwhile, and the repeated request finds its record: a conflict."""
    other = TableStore(s3_objects(s3, store.objects.local.root / "other", store.objects.location.bucket), present)
    publish(store, SINGLE, 1, expected=0)

    def overtake(environ, start_response, _serve):
        publish(other, SINGLE, 3, expected=1)
        return hang_up(environ, start_response)

    on(s3, "PUT", "/log/", overtake)
    with pytest.raises(PlatformError, match="Another writer published"):
        publish(store, SINGLE, 2, expected=1)
    assert assert_whole(store, SINGLE, {3}).generation == 2


def test_when_no_answer_comes_the_state_is_unknown_and_a_retry_recognises_the_commit(s3, store):
    """All answers to the record are lost: the error says so, and the same staged table commits exactly once."""
    with store.scratch() as scratch:
        staged = stage(store, scratch, SINGLE, 1, expected=0)
        on(s3, "PUT", "/log/", lose_request, times=99)
        with pytest.raises(CommitStateUnknownError):
            store.commit(staged, run_id="run")
        on(s3, "PUT", "/log/", lose_answer, times=99)
        assert store.commit(staged, run_id="run").outcome == "committed"
        s3.meddle = None
        assert store.commit(staged, run_id="run").outcome == "committed"
    assert assert_whole(store, SINGLE, {1}).generation == 1


@pytest.mark.parametrize("fault", [cut_body, lose_request, answer("503 Slow Down", "SlowDown")])
def test_only_whole_answers_are_read(s3, store, fault):
    """Records and objects whose bytes break off are asked for again, and are the right ones in the end."""
    publish(store, SINGLE, 1, expected=0)
    for machine, part in enumerate(("/log/", "/objects/")):
        home = store.objects.local.root / str(machine)
        elsewhere = TableStore(s3_objects(s3, home, store.objects.location.bucket), present)
        taken = on(s3, "GET", part, fault, times=2)
        (path,) = elsewhere.ref(SINGLE.name, [DAY]).paths()
        assert len(taken) == 2
        assert generation_in(path) == 1


@pytest.mark.parametrize(
    "ask",
    [
        lambda objects: objects.names("data"),
        lambda objects: sorted(objects.stored("data")),
        lambda objects: objects.size(VIEW),
        lambda objects: objects.read_bytes(VIEW),
        lambda objects: objects.put_if_absent("_store/mark", b"1"),
    ],
    ids=["names", "stored", "size", "read", "put"],
)
def test_an_answer_that_breaks_off_in_its_head_is_not_believed(s3, store, ask):
    """It reads as a success that tells nothing, a listing as that of an empty bucket: it is asked for again."""
    publish(store, SINGLE, 1, expected=0)
    wanted, taken = ask(store.objects), []
    store.objects.delete("_store/mark")

    def meddle(environ, start_response, serve):
        if len(taken) < 2:
            taken.append(environ["PATH_INFO"])
            return cut_head(environ, start_response, serve)
        return serve(environ, start_response)

    s3.meddle = meddle
    assert ask(store.objects) == wanted
    assert len(taken) == 2


def test_a_store_that_stays_away_is_an_error_that_may_pass_and_one_that_forbids_is_not(s3, store):
    """The error says what was asked, where, and how often; it is an `OSError` whose number tells whether to try again."""
    publish(store, SINGLE, 1, expected=0)
    on(s3, "PUT", "/objects/", answer("503 Slow Down", "SlowDown"), times=99)
    with pytest.raises(StorageUnavailableError, match=r"put_object.*attempts=5") as away:
        publish(store, SINGLE, 2, expected=1)
    on(s3, "PUT", "/objects/", answer("403 Forbidden", "AccessDenied"), times=99)
    with pytest.raises(StorageUnavailableError, match=r"AccessDenied.*attempts=1") as forbidden:
        publish(store, SINGLE, 2, expected=1)
    assert (away.value.errno, forbidden.value.errno) == (5, 13)
    assert assert_whole(store, SINGLE, {1}).generation == 1


def test_a_bucket_that_does_not_exist_says_so(s3, tmp_path):
    """The message names the bucket and the remedy."""
    objects = s3_objects(s3, tmp_path, "no-such-bucket")
    with pytest.raises(SettingsError, match=r"there is no such bucket.*no-such-bucket"):
        objects.put_if_absent("a", b"1")


def test_no_credential_is_ever_shown(s3, store, caplog, tmp_path):
    """Neither in errors of any request, nor in what is logged at the finest level, nor in what is stored."""
    caplog.set_level(logging.INFO)
    texts = [repr(store.objects), repr(store.objects.requests), str(store.objects.location)]
    on(s3, "PUT", "", answer("403 Forbidden", "SignatureDoesNotMatch"), times=99)
    with pytest.raises(StorageUnavailableError) as caught:
        store.objects.put_if_absent("a", b"1")
    texts += [str(caught.value), repr(caught.value.__cause__), caplog.text]
    for credential in (CREDENTIALS["AWS_SECRET_ACCESS_KEY"], CREDENTIALS["AWS_ACCESS_KEY_ID"]):
        assert not [text for text in texts if credential in text]


def test_a_secret_is_never_put_into_a_bucket(objects):
    """What only its owner may read has no place there."""
    with pytest.raises(StorageKeyError, match="keeps no secrets"):
        objects.put_if_absent("secrets/user_id.key", b"secret", mode=0o600)
    assert not objects.exists("secrets/user_id.key")


def test_a_slow_writer_of_another_machine_cannot_bring_an_older_generation_back(s3, store):
    """Held up between its look at the view and its write, it finds that the view has changed, and leaves it."""
    other = TableStore(s3_objects(s3, store.objects.local.root / "other", store.objects.location.bucket), present)
    publish(store, SINGLE, 1, expected=0)
    shown = []

    def overtake(environ, start_response, serve):
        publish(other, SINGLE, 3, expected=2)
        shown.append(generation_in(io.BytesIO(other.objects.read_bytes(VIEW))))
        body = serve(environ, start_response)
        shown.append(generation_in(io.BytesIO(other.objects.read_bytes(VIEW))))
        return body

    on(s3, "PUT", "/data/", overtake)
    publish(store, SINGLE, 2, expected=1)
    assert shown == [3, 3]
    assert assert_whole(store, SINGLE, {3}).generation == 3


def test_a_large_file_goes_in_parts_is_verified_and_leaves_no_part(s3, store, monkeypatch, tmp_path):
    """Its object is whole, its tag is the one computed here; a part that fails for good leaves no upload."""
    monkeypatch.setattr(module, "LARGEST_SINGLE_PUT_BYTES", 1 << 20)
    monkeypatch.setattr(s3_parts, "PART_BYTES", 5 << 20)
    source = tmp_path / "large"
    source.write_bytes(os.urandom(12 << 20))
    sha256 = file_sha256(source)
    on(s3, "PUT", "", answer("503 Slow Down", "SlowDown"), times=2)
    facts = {"sha256": sha256, "size_bytes": source.stat().st_size}
    objects, key = store.objects, Layout.object_key(SINGLE.name, sha256)
    objects.prepare()
    asked = on(s3, "GET", "/objects/", lambda e, s, serve: serve(e, s), times=99)
    assert objects.put_object(key, source, **facts)
    assert asked == []
    assert objects.hash(key) == sha256
    assert not objects.put_object(key, source, **facts)
    on(s3, "PUT", "/objects/", answer("503 Slow Down", "SlowDown"), times=99)
    second = tmp_path / "second"
    second.write_bytes(os.urandom(12 << 20))
    with pytest.raises(StorageUnavailableError):
        objects.put_object(
            Layout.object_key(SINGLE.name, file_sha256(second)),
            second,
            sha256=file_sha256(second),
            size_bytes=second.stat().st_size,
        )
    assert list(objects.parts.uploads("")) == []
    # The upload ended, and its answer is lost: asked again, the store knows it no more.
    ended = on(s3, "POST", "/objects/", lose_answer_of_complete, times=2)
    assert objects.put_object(
        Layout.object_key(SINGLE.name, file_sha256(second)),
        second,
        sha256=file_sha256(second),
        size_bytes=second.stat().st_size,
    )
    assert len(ended) == 2


def test_a_file_too_large_for_one_request_is_copied_by_the_store(s3, store, monkeypatch, tmp_path):
    """What is shown are the object's bytes, in three parts that are not sent again; an older generation stays behind."""
    data = os.urandom((11 << 20) + 5)
    path = tmp_path / "large"
    path.write_bytes(data)
    key = Layout.object_key("daily_events", file_sha256(path))
    store.objects.put_object(key, path, sha256=file_sha256(path), size_bytes=len(data))
    monkeypatch.setattr(module, "LARGEST_VIEW_PUT_BYTES", 10 << 20)
    # No part but the last may be smaller than this.
    monkeypatch.setattr(s3_parts, "COPIED_PART_BYTES", 5 << 20)
    lost = on(s3, "PUT", VIEW, lose_answer)
    copied = []
    s3.meddle = note_copies(copied, s3.meddle)
    assert store.objects.project(key, VIEW, generation=2)
    s3.meddle = None
    assert lost
    assert sorted(set(copied)) == ["bytes=0-5242879", "bytes=10485760-11534340", "bytes=5242880-10485759"]
    assert store.objects.read_bytes(VIEW) == data
    assert store.objects.is_projected(key, VIEW, store.objects.stored("data")[VIEW])
    assert not list(store.objects.parts.uploads(""))
    assert not store.objects.project(key, VIEW, generation=1)
    monkeypatch.setattr(store.objects.parts, "copy", _overtaken(store, VIEW))
    other = tmp_path / "other"
    other.write_bytes(data + b"more")
    newer = Layout.object_key("daily_events", file_sha256(other))
    store.objects.put_object(newer, other, sha256=file_sha256(other), size_bytes=len(data) + 4)
    assert not store.objects.project(newer, VIEW, generation=3)
    assert store.objects.requests.head(store.objects._full(VIEW)).metadata["generation"] == "4"


def _overtaken(store, view):
    """Return what stands in for copying: another machine shows a newer generation meanwhile, so the condition fails."""

    def copy_parts(*_, if_match=None, **__):
        assert if_match
        store.objects.requests.put(store.objects._full(view), b"newer", {"sha256": "0" * 64, "generation": "4"})
        raise ConditionFailedError("overtaken")

    return copy_parts


def note_copies(copied, meddle):
    """Return what notes the ranges that the store is asked to copy, before other faults strike."""

    def take(environ, start_response, serve):
        if span := environ.get("HTTP_X_AMZ_COPY_SOURCE_RANGE"):
            copied.append(span)
        return meddle(environ, start_response, serve)

    return take


def test_uploads_that_never_ended_are_collected_when_they_are_old(s3, store):
    """A writer that was killed between two parts leaves an upload; a young one may still be going on."""
    s3.client.create_multipart_upload(Bucket=store.objects.location.bucket, Key="some/prefix/_store/x")
    ((_, _, begun),) = store.objects.parts.uploads("")
    assert store.collect(now=begun + timedelta(hours=23)).uploads_removed == 0
    assert store.collect(now=begun + timedelta(hours=25)).uploads_removed == 1
    assert list(store.objects.parts.uploads("")) == []


def test_a_collector_of_a_bucket_keeps_away_from_commits_of_other_machines(store):
    """An age below the grace is refused: no lock of this machine would hold back a commit of another."""
    with pytest.raises(SettingsError, match="1 day"):
        store.collect(older_than=timedelta(hours=1))


def test_the_cache_is_verified_bounded_and_safe_to_remove(s3, store):
    """A damaged copy is fetched again, the folder may vanish, old copies go first and those in use stay."""
    from ml_data_platform.storage.object_cache import ObjectCache

    publish(store, PARTED, 1, expected=0)
    home = store.objects.local.root
    fresh = TableStore(s3_objects(s3, home, store.objects.location.bucket), present)
    first, second = map(Path, fresh.ref(PARTED.name, [DAY]).paths())
    first.chmod(0o644)
    first.write_bytes(b"JUNK" + first.read_bytes()[4:])
    again = TableStore(s3_objects(s3, home, store.objects.location.bucket), present)
    assert {generation_in(path) for path in again.ref(PARTED.name, [DAY]).paths()} == {1}
    for path in (first, second):
        path.unlink()
    assert {generation_in(path) for path in again.ref(PARTED.name, [DAY]).paths()} == {1}
    small = ObjectCache(again.objects.cache.folder, 1, again.objects.local.compared)
    assert small.drop_oldest() == 0
    for each in (first, first.with_name(f"{first.name}.used")):
        os.utime(each, (0, 0)) if each.exists() else None
    assert small.drop_oldest() == 1
    assert not first.exists()
    assert second.exists()


def test_another_process_reads_no_record_again_and_believes_no_damaged_copy(s3, store, objects):
    """Heads are read from local copies by a store that is new; one that was damaged is fetched again."""
    publish(store, SINGLE, 1, expected=0)
    publish(store, SINGLE, 2, expected=1)
    head = TableStore(objects, present).head(SINGLE.name, DAY)
    asked = on(s3, "GET", "/log/", serve_plainly, times=99)
    assert TableStore(objects, present).head(SINGLE.name, DAY) == head
    assert asked == []
    for path in objects.records.folder.rglob("*"):
        if path.is_file():
            path.write_bytes(b"damaged")
    assert TableStore(objects, present).head(SINGLE.name, DAY) == head
    assert len(asked) == 1


def test_a_stored_object_with_other_bytes_is_never_read(s3, store):
    """Bytes that do not have the hash of their name are refused, whoever wrote them."""
    publish(store, SINGLE, 1, expected=0)
    head = store.head(SINGLE.name, DAY)
    key = Layout.object_key(SINGLE.name, head.files[0].sha256)
    place = store.objects.location
    s3.client.put_object(Bucket=place.bucket, Key=f"{place.prefix}/{key}", Body=b"x" * head.files[0].size_bytes)
    elsewhere = TableStore(s3_objects(s3, store.objects.local.root / "elsewhere", place.bucket), present)
    with pytest.raises(VerificationError, match="has other bytes than its name says"):
        elsewhere.ref(SINGLE.name, [DAY]).paths()


def test_writers_on_two_machines_lose_and_mix_nothing(s3, store):
    """Each with a home of its own, so that no lock is shared: the log holds exactly the acknowledged commits."""
    bucket, home = store.objects.location.bucket, store.objects.local.root
    acknowledged, failures = [], []

    def write(number):
        mine = TableStore(s3_objects(s3, home / f"machine{number}", bucket), present)
        try:
            for each in range(8):
                generation = number * 100 + each
                head = mine.head(PARTED.name, DAY)
                with mine.scratch() as scratch:
                    staged = stage(mine, scratch, PARTED, generation, expected=head.generation if head else 0)
                    mine.commit(staged, run_id="r", inputs_are_current=lambda _: True)
                acknowledged.append(str(generation))
        except PlatformError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history = store.log.history(PARTED.name, DAY)
    assert failures == []
    assert sorted(record.inputs["upstream"] for record in history) == sorted(acknowledged)
    assert [record.generation for record in history] == list(range(1, 25))
    assert_whole(store, PARTED, {int(history[-1].inputs["upstream"])})


@pytest.mark.parametrize(
    "url", ["s3://", "s3:///x", "s3://Bucket/x", "s3://a..b/x", "s3://1.2.3.4/x", "s3://bucket/a/../b", "s3://bu cket"]
)
def test_urls_that_name_no_place_are_refused(url):
    """Nothing odd becomes a bucket or a key."""
    with pytest.raises(SettingsError, match="names no place"):
        S3Location.parse(url)


def test_credentials_in_a_url_are_refused_and_not_repeated():
    """The message does not show what was typed before the bucket."""
    with pytest.raises(SettingsError) as caught:
        S3Location.parse("s3://AKIDEXAMPLE:wJalrXUtnFEMI@bucket/x")
    assert "wJalrXUtnFEMI" not in str(caught.value)
    assert "AKIDEXAMPLE" not in repr(caught.value) + repr(caught.value.facts)

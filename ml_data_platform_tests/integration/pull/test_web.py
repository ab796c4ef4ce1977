"""Files behind HTTP: what lies there lands once, as it is stored, through every fault that passes."""

from __future__ import annotations

import gzip
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.remote_files import Patience
from ml_data_platform_tests import pull_root
from ml_data_platform_tests.file_server import FileServer, change_to, cut, serving, slow, status
from ml_data_platform_tests.pipeline_root import PipelineRoot, day
from ml_data_platform_tests.pull_root import (
    SOURCE,
    landed_rows,
    offer,
    outcomes,
    pull,
    root_pulling,
    texts_below,
)


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A web server."""
    with serving() as running:
        yield running


@pytest.fixture
def root(server: FileServer, tmp_path: Path) -> PipelineRoot:
    """A root that pulls one file a day."""
    return root_pulling(tmp_path, f"{server.url}/export/{{date:%Y/%m}}/{{date}}.jsonl")


def path_of(number: int) -> str:
    """Return the path of a day's file."""
    return f"/export/{day(number):%Y/%m}/{day(number)}.jsonl"


def kept(root: PipelineRoot) -> list[bytes]:
    """Return all kept contents."""
    return [path.read_bytes() for path in (root.folder / "raw").iterdir()]


def test_what_lies_there_lands_once(server: FileServer, root: PipelineRoot) -> None:
    """Days have the rows that were offered; a day without a file is no error; a second pull fetches nothing."""
    offers = {number: offer(day(number), 20 + number, "a", late=3) for number in (1, 2, 4)}
    server.files.update({path_of(number): made.content for number, made in offers.items()})
    report = pull(root, 1, 4)
    assert outcomes(report) == {path_of(number).removeprefix("/export/"): "landed" for number in (1, 2, 4)}
    assert [seen.day for seen in report.days if seen.is_empty] == [day(3)]
    assert report.refused == []
    expected = sum((made.rows for made in offers.values()), Counter())
    # The three late events of the first file are of a day before the root begins.
    assert landed_rows(root) == expected - Counter({str(day(0)): 3})
    assert sorted(kept(root)) == sorted(made.content for made in offers.values())
    server.requests.clear()
    again = pull(root, 1, 4)
    assert set(outcomes(again).values()) == {"unchanged"}
    assert server.asked("GET") == []
    assert len(server.asked("HEAD")) == 4


@pytest.mark.parametrize("has_etags", [True, False])
def test_a_changed_file_is_fetched_alone(server: FileServer, root: PipelineRoot, has_etags: bool) -> None:
    """By its etag, or by its size where it has none; both contents stay, and no other file is touched."""
    server.has_etags = has_etags
    server.files.update({path_of(number): offer(day(number), 5, "a").content for number in (1, 2)})
    pull(root)
    server.files[path_of(2)] = offer(day(2), 8, "b").content
    server.requests.clear()
    report = pull(root)
    assert outcomes(report)[path_of(2).removeprefix("/export/")] == "landed"
    assert server.asked("GET") == [path_of(2)]
    assert landed_rows(root) == {str(day(1)): 5, str(day(2)): 13}


@pytest.mark.parametrize(
    ("faults", "gets"),
    [
        ([status(500), status(503)], 3),
        ([status(403)], 2),
        ([cut], 2),
        ([cut, status(502), cut], 4),
    ],
)
def test_faults_that_pass_are_outlasted(server: FileServer, root: PipelineRoot, faults: list, gets: int) -> None:
    """A server that fails, refuses or hangs up is asked again, with growing pauses; the bytes are whole at last."""
    made = offer(day(1), 50, "a")
    server.files[path_of(1)] = made.content
    server.fail(path_of(1), *faults)
    pull_root.PAUSES.clear()
    report = pull(root)
    assert set(outcomes(report).values()) == {"landed"}
    assert kept(root) == [made.content]
    assert len(server.asked("GET")) == gets
    assert len(pull_root.PAUSES) == len(faults)
    assert all(0.25 * 2**at <= pause <= 0.5 * 2**at for at, pause in enumerate(pull_root.PAUSES))
    assert root.platform.ledger.failures() == ()


def test_a_server_may_ask_for_a_longer_pause(server: FileServer, root: PipelineRoot) -> None:
    """Its Retry-After counts, within the bound."""
    server.files[path_of(1)] = offer(day(1), 1, "a").content
    server.fail(path_of(1), status(503, Retry_After="7"), status(429, Retry_After="9999"))
    pull_root.PAUSES.clear()
    pull(root)
    assert pull_root.PAUSES == [7.0, 15.0]


def test_a_fault_that_stays_holds_up_no_other_file(server: FileServer, root: PipelineRoot) -> None:
    """It is reported and noted, once; when the file can be fetched, the note is gone."""
    server.files.update({path_of(number): offer(day(number), 5, "a").content for number in (1, 2, 3)})
    server.fail(path_of(1), *[cut] * 4)
    server.fail(path_of(2), *[status(500)] * 4, method="HEAD")
    for _ in range(2):
        report = pull(root)
        assert landed_rows(root) == {str(day(3)): 5}
        first, second = report.refused
        assert f"{SOURCE} {day(2)}: {server.url}{path_of(2)}" in first
        assert "answered 500" in first
        assert f"{SOURCE} {day(1)}" in second
        assert "the connection was cut (tried 4 times)" in second
        assert [each.path for each in root.platform.ledger.failures()] == [
            server.url + path_of(1),
            server.url + path_of(2),
        ]
        server.fail(path_of(1), *[cut] * 4)
        server.fail(path_of(2), *[status(500)] * 4, method="HEAD")
    server.faults.clear()
    assert pull(root).refused == []
    assert sum(landed_rows(root).values()) == 15
    assert root.platform.ledger.failures() == ()


def test_a_file_that_changes_while_it_is_read_is_read_again(server: FileServer, root: PipelineRoot) -> None:
    """Neither the old content nor a mixture lands, whether the server knows conditions or not."""
    new = offer(day(1), 9, "new").content
    server.files[path_of(1)] = offer(day(1), 9, "old").content
    server.fail(path_of(1), change_to(new))
    assert set(outcomes(pull(root)).values()) == {"landed"}
    assert kept(root) == [new]


def test_a_server_that_hangs_is_left(server: FileServer, root: PipelineRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer in time is a failure like others."""
    from ml_data_platform.stages import seen_days

    brief = seen_days.Reach(root.folder, connect_timeout_seconds=0.1, read_timeout_seconds=0.1)
    monkeypatch.setattr(seen_days, "Reach", lambda *_, **__: brief)
    server.files[path_of(1)] = offer(day(1), 5, "a").content
    server.fail(path_of(1), slow(0.4))
    assert set(outcomes(pull(root, 1, 1)).values()) == {"landed"}
    server.files[path_of(2)] = offer(day(2), 5, "a").content
    server.fail(path_of(2), *[slow(0.4)] * 2, method="HEAD")
    (line,) = pull(root, 2, 2, Patience(attempts=2, sleep=lambda _: None)).refused
    assert "no answer in time (tried 2 times)" in line


def test_bytes_land_as_they_are_stored(server: FileServer, root: PipelineRoot) -> None:
    """A content coding is not undone on the way: the kept bytes are those of the server."""
    made = offer(day(1), 30, "a")
    packed = gzip.compress(made.content, mtime=0)
    server.files[path_of(1)] = packed
    server.headers[path_of(1)]["Content-Encoding"] = "gzip"
    pull(root)
    assert kept(root) == [packed]
    assert landed_rows(root) == made.rows


def test_a_server_that_knows_no_head_is_asked_otherwise(server: FileServer, root: PipelineRoot) -> None:
    """Some answer only what a reader would ask; nothing is read twice."""
    server.files[path_of(1)] = offer(day(1), 5, "a").content
    for number in (1, 2, 3):
        server.fail(path_of(number), *[status(405)] * 2, method="HEAD")
    assert set(outcomes(pull(root)).values()) == {"landed"}
    assert landed_rows(root) == {str(day(1)): 5}


def test_redirects_are_followed_only_to_safe_places(server: FileServer, root: PipelineRoot) -> None:
    """To this machine or to https; the address that a redirect leads to, signature and all, is written nowhere."""
    secret = "X-Signature=hunter2"
    made = offer(day(1), 5, "a")
    server.files["/store/a?" + secret] = made.content
    redirect = status(302, Location=f"{server.url}/store/a?{secret}")
    server.fail(path_of(1), redirect, redirect, method="HEAD")
    server.fail(path_of(1), redirect)
    unsafe = status(302, Location=f"http://example.org/a?{secret}")
    server.fail(path_of(2), *[unsafe] * 4, method="HEAD")
    gone = status(302, Location=f"http://127.0.0.1:1/a?{secret}")
    server.fail(path_of(3), *[gone] * 4, method="HEAD")
    report = pull(root)
    assert landed_rows(root) == made.rows
    assert "not encrypted" in report.refused[0]
    assert "no connection" in report.refused[1]
    assert "hunter2" not in texts_below(root.folder) + repr(report)


def test_a_name_says_where_a_file_came_from(server: FileServer, root: PipelineRoot) -> None:
    """In the ledger it goes by its path below the folder that all days share."""
    made = offer(day(1), 5, "a")
    server.files[path_of(1)] = made.content
    pull(root)
    sha256 = hashlib.sha256(made.content).hexdigest()
    assert root.platform.ledger.names(SOURCE, sha256) == (f"2026/03/{day(1)}.jsonl",)
    (record,) = (root.folder / Layout.pulled_folder(SOURCE, day(1))).iterdir()
    assert sha256 in record.read_text(encoding="utf-8")


def test_hours_are_pulled_each(server: FileServer, tmp_path: Path) -> None:
    """The names of a day's hours are asked for one by one; those that are missing are no error."""
    root = root_pulling(tmp_path, f"{server.url}/{{date}}-{{hour:d}}.jsonl")
    server.files.update({f"/{day(1)}-{hour}.jsonl": offer(day(1), 2, f"h{hour}").content for hour in (0, 9, 23)})
    report = pull(root, 1, 1)
    assert len(server.asked("HEAD")) == 24 + 3
    assert set(outcomes(report)) == {f"{day(1)}-{hour}.jsonl" for hour in (0, 9, 23)}
    assert landed_rows(root) == {str(day(1)): 6}

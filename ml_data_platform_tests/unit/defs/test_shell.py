"""Small decisions of the shell: what is tried again, what a report says, whose run it is."""

from __future__ import annotations

import datetime as dt
import errno
import os
import socket
from pathlib import Path

import dagster as dg
import pytest

from ml_data_platform.defs.backfill import BackfillReport, Failure, days_between
from ml_data_platform.defs.io_manager import FIRST_DELAY_SECONDS, MAX_RETRIES, retry_if_transient
from ml_data_platform.defs.owners import is_alive, this_process
from ml_data_platform.errors import SystemFaultError
from ml_data_platform.events.planning import Decision, Status

DAY = dt.date(2026, 3, 2)


@pytest.mark.parametrize("code", [errno.EIO, errno.EAGAIN, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET])
def test_errors_that_may_pass_are_tried_again_later_and_later(code: int) -> None:
    """Each attempt waits twice as long as the one before, and their number is bounded."""
    waits = []
    for attempt in range(3):
        with pytest.raises(dg.RetryRequested) as caught:
            retry_if_transient(OSError(code, "x"), attempt)
        assert caught.value.max_retries == MAX_RETRIES
        waits.append(caught.value.seconds_to_wait)
    assert waits == [FIRST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2, FIRST_DELAY_SECONDS * 4]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "x"), PermissionError(errno.EACCES, "x")])
def test_what_the_machine_refuses_is_not_tried_again(error: OSError) -> None:
    """A full disk and a missing permission keep their number, and say what to do."""
    with pytest.raises(SystemFaultError) as told:
        retry_if_transient(error, 0)
    assert told.value.errno == error.errno
    assert told.value.remedy


def test_an_error_that_nothing_is_known_of_stays_what_it_is() -> None:
    """It is neither tried again nor explained."""
    retry_if_transient(OSError("x"), 0)


def test_a_range_of_days_has_both_ends() -> None:
    """Across a leap day; a range that ends before it begins has none."""
    assert days_between(dt.date(2028, 2, 28), dt.date(2028, 3, 1)) == [
        dt.date(2028, 2, 28),
        dt.date(2028, 2, 29),
        dt.date(2028, 3, 1),
    ]
    assert days_between(DAY, DAY) == [DAY]
    assert days_between(DAY, DAY - dt.timedelta(days=1)) == []


def test_a_report_is_successful_only_when_all_is_built() -> None:
    """A failure or a blocked partition spoils it; a day that is not over does not."""
    assert BackfillReport().is_successful
    assert BackfillReport(not_complete=[DAY]).is_successful
    assert not BackfillReport(failed=[Failure("raw_events", DAY, "x", "")]).is_successful
    assert not BackfillReport(blocked=[Decision("raw_events", DAY, Status.BLOCKED)]).is_successful


def test_this_process_is_alive() -> None:
    """Its own tag, made now."""
    assert is_alive(this_process())


def test_a_process_id_that_was_used_again_is_another_process() -> None:
    """The same host and id with another start is dead; so is a boot before this one."""
    host, pid, started = this_process().rsplit("/", 2)
    boot, _, ticks = started.rpartition("-")
    assert not is_alive(f"{host}/{pid}/{boot}-{int(ticks) + 1}")
    assert not is_alive(f"{host}/{pid}/other-boot-{ticks}")


def test_a_process_that_is_gone_is_dead() -> None:
    """A child that ended and was waited for, and a text that is no process id."""
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)
    assert not is_alive(f"{socket.gethostname()}/{child}/anything")
    assert not is_alive(f"{socket.gethostname()}/-1/anything")
    assert not is_alive(f"{socket.gethostname()}/x/anything")


def test_a_child_that_nobody_waited_for_is_dead() -> None:
    """A zombie executes nothing any more."""
    child = os.posix_spawn("/bin/true", ["true"], {})
    try:
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        started = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[19]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        assert not is_alive(f"{socket.gethostname()}/{child}/{boot}-{started}")
    finally:
        os.waitpid(child, 0)


def test_a_process_elsewhere_is_taken_to_be_alive() -> None:
    """Of another host nothing can be told from here."""
    assert is_alive("some-other-host/1/x-1")

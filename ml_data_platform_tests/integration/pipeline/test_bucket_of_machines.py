"""A root in a bucket, and the machines that use it: each with its own folder, none begins another root unnoticed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import pytest

from ml_data_platform.defs.backfill import build_dirty
from ml_data_platform.events.planning import LAYERS, expected_days
from ml_data_platform.settings import load_settings
from ml_data_platform.stages.platform import open_platform
from ml_data_platform.stages.state import read_state
from ml_data_platform.stages.verified_root import look_at_root_mark
from ml_data_platform_tests.command_line import CommandLine, Result
from ml_data_platform_tests.plain_runs import plain_runs
from ml_data_platform_tests.s3_server import CREDENTIALS, S3Server

EVENT = {"user_id": "u", "session_id": "s", "timestamp": "2026-06-01T10:00:00Z", "event_type": "page_view"}
CREDENTIAL_ERRORS = {
    "ExpiredToken": ("400 Bad Request", "have expired", "aws sso login"),
    "InvalidAccessKeyId": ("403 Forbidden", "does not accept the credentials", "AWS_ACCESS_KEY_ID"),
    "SignatureDoesNotMatch": ("403 Forbidden", "does not accept the credentials", "AWS_ACCESS_KEY_ID"),
    "AccessDenied": ("403 Forbidden", "denies access", "s3:GetObject"),
    "RequestTimeTooSkewed": ("403 Forbidden", "clock of this machine", "Set the clock"),
}


class Machine:
    """A machine with a home of its own, and the root of a bucket."""

    def __init__(self, server: S3Server, bucket: str, home: Path) -> None:
        self.home, self.folder = home, home / "work"
        self.folder.mkdir(parents=True)
        self.environment: Mapping[str, str] = {
            **CREDENTIALS,
            "HOME": str(home),
            "AWS_ENDPOINT_URL_S3": server.endpoint_url,
            "ML_DATA_PLATFORM_ROOT": f"s3://{bucket}/team/events",
            "ML_DATA_PLATFORM_S3_MAX_ATTEMPTS": "1",
        }

    def __call__(self, *arguments: object, **environment: str) -> Result:
        """Call the command line on this machine."""
        return CommandLine(self.folder)(*arguments, environment={**self.environment, **environment})

    def ok(self, *arguments: object) -> Result:
        """Call it and require that it ended well."""
        result = self(*arguments)
        assert result.status == 0, result
        return result

    def begin_to_build(self) -> None:
        """Build the first layer of what is due, without a history of runs."""
        with mock.patch.dict(os.environ, self.environment):
            platform = open_platform(load_settings(os.environ, self.folder))
            build_dirty(platform, expected_days(read_state(platform)), plain_runs(platform), layers=LAYERS[:1])

    def lands(self, name: str) -> Result:
        """Land a file of one event."""
        (self.folder / name).write_text(json.dumps({**EVENT, "event_id": name}) + "\n")
        return self("land", name, "--source", "demo_shop", "--historical")

    @property
    def own(self) -> Path:
        """The folder of what belongs to this machine."""
        (folder,) = (self.home / ".ml-data-platform").iterdir()
        return folder


def keys_of(server: S3Server, bucket: str) -> set[str]:
    """Every key of a bucket, by a plain client."""
    return {each["Key"] for each in server.client.list_objects_v2(Bucket=bucket).get("Contents", ())}


def emptied(server: S3Server, bucket: str) -> None:
    """Remove everything from a bucket, by a plain client."""
    for key in keys_of(server, bucket):
        server.client.delete_object(Bucket=bucket, Key=key)


@pytest.fixture
def bucket(s3: S3Server) -> str:
    """An empty bucket."""
    return s3.new_bucket()


@pytest.fixture
def machine(s3: S3Server, bucket: str, tmp_path: Path) -> Machine:
    """A machine that begins a root in it."""
    first = Machine(s3, bucket, tmp_path / "first")
    first.ok("init", "--start-date", "2026-06-01")
    assert first.lands("a.jsonl").status == 0
    return first


def test_a_second_machine_uses_the_root_as_the_readme_says(
    s3: S3Server, bucket: str, machine: Machine, tmp_path: Path
) -> None:
    """Without the key it reads and says what is lacking; with it, it lands and builds in a history of its own; both agree."""
    machine.begin_to_build()
    second = Machine(s3, bucket, tmp_path / "second")
    due = second.ok("plan").out
    assert due == machine.ok("plan").out
    assert "nothing to do" not in due
    assert second("status").status == 1
    second.lands("b.jsonl")
    refused = second("backfill")
    assert refused.status == 1
    for part in ("user ids are made", "is lost", str(second.own / "secrets" / "user_id.key")):
        assert part in refused.text

    for name in ("secrets", "platform.yaml"):
        copy = shutil.copytree if (machine.own / name).is_dir() else shutil.copy2
        copy(machine.own / name, second.own / name)
    assert second.lands("b.jsonl").status == 0
    second.ok("backfill")
    assert "nothing to do" in second.ok("plan").out
    # Its history is bound where nothing is due, too.
    assert "nothing to do" in machine.ok("backfill").out
    assert "all is whole" in second.ok("verify").out
    bound = {
        json.loads((each.own / "_store" / "instance.json").read_text())["instance_id"] for each in (machine, second)
    }
    assert len(bound) == 2


def test_a_bucket_that_was_emptied_is_refused_and_stays_empty(s3: S3Server, bucket: str, machine: Machine) -> None:
    """Whatever is asked for: one message that says so, and no root is begun anew in its place."""
    emptied(s3, bucket)
    for command in ("status", "plan", "verify", "backfill", "gc", "land"):
        result = machine.lands("b.jsonl") if command == "land" else machine(command)
        assert result.status == 1, command
        assert result.err.count("error:") == 1, result
        for part in ("is empty, and it held a root", f"s3://{bucket}/team/events", str(machine.own), "init"):
            assert part in result.text
        assert keys_of(s3, bucket) == set(), command


def test_another_root_in_the_place_is_refused_until_the_folder_is_moved_away(
    s3: S3Server, bucket: str, machine: Machine, tmp_path: Path
) -> None:
    """A root that another machine began there is not mixed with the one before; the remedy leads out."""
    emptied(s3, bucket)
    Machine(s3, bucket, tmp_path / "other").ok("init")
    before = keys_of(s3, bucket)
    for result in (machine("status"), machine("backfill"), machine.lands("b.jsonl")):
        assert result.status == 1
        assert "holds another root" in result.text
    assert keys_of(s3, bucket) == before

    machine.own.rename(machine.home / "moved")
    assert "nothing is landed" in machine.ok("plan").out


def test_a_root_of_before_there_were_marks_is_known_by_the_cache(s3: S3Server, bucket: str, machine: Machine) -> None:
    """Without a mark it is used as ever, and gets one with the next write; emptied, it is refused too."""
    s3.client.delete_object(Bucket=bucket, Key="team/events/_store/root.json")
    (machine.own / "_store" / "root.json").unlink()
    machine.ok("plan")
    assert "team/events/_store/root.json" not in keys_of(s3, bucket)
    assert machine.lands("b.jsonl").status == 0
    assert "team/events/_store/root.json" in keys_of(s3, bucket)

    s3.client.delete_object(Bucket=bucket, Key="team/events/_store/root.json")
    (machine.own / "_store" / "root.json").unlink()
    emptied(s3, bucket)
    assert "is empty, and it held a root" in machine("plan").text


def test_a_damaged_mark_is_repaired_from_what_the_machine_remembers(
    s3: S3Server, bucket: str, machine: Machine, tmp_path: Path
) -> None:
    """Nothing is written over it, it is named, and the id is the one of before; `verify --repair` does it."""
    place = {"Bucket": bucket, "Key": "team/events/_store/root.json"}
    before = s3.client.get_object(**place)["Body"].read()
    platform = open_platform(
        load_settings(
            {}, tmp_path, root=f"s3://{bucket}/team/events", home=machine.own, s3_endpoint_url=s3.endpoint_url
        )
    )
    assert list(look_at_root_mark(platform, False)) == []
    for damage in (None, b"", b"{}", b'{"digest":"0","format":1,"root_id":"x"}\n'):
        if damage is None:
            s3.client.delete_object(**place)
        else:
            s3.client.put_object(**place, Body=damage)
            refused = machine.lands("b.jsonl")
            assert refused.status == 1
            assert "verify --repair" in refused.text
        (found,) = look_at_root_mark(platform, False)
        assert (found.kind.value, found.is_repaired) == ("root_mark_damaged", False)
        if damage:
            (found,) = look_at_root_mark(platform, True)
            assert found.is_repaired
        else:
            machine.ok("verify", "--repair")
        assert s3.client.get_object(**place)["Body"].read() == before
    assert machine.lands("b.jsonl").status == 0


def test_what_a_store_answers_is_told_with_what_to_do(s3: S3Server, machine: Machine) -> None:
    """Expired, unknown or forbidden credentials, a clock: one message each, for reading and for landing.

    Of a store that cannot be reached, the message names the endpoint and the settings that lead to it.
    """
    for code, (status, says, remedy) in CREDENTIAL_ERRORS.items():

        def refuse(environ, start_response, serve, status=status, code=code):
            start_response(status, [("Content-Type", "application/xml")])
            return [f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()]

        s3.meddle = refuse
        try:
            results = [machine("status"), machine.lands("b.jsonl")]
        finally:
            s3.meddle = None
        for result in results:
            assert result.status == 1
            assert result.err.count("error:") == 1
            for part in (says, remedy, code, s3.endpoint_url):
                assert part in result.text
    away = machine("status", ML_DATA_PLATFORM_S3_ENDPOINT_URL="http://127.0.0.1:9")
    for part in ("cannot be reached", "http://127.0.0.1:9", "s3_endpoint_url"):
        assert part in away.text

"""Errors: one message on standard error, exit status 1, no traceback, and nothing made by looking."""

from __future__ import annotations

import errno
import json
import socket

import pytest
import typer
from typer.testing import CliRunner

from ml_data_platform.cli.boundary import OneMessage
from ml_data_platform.errors import ContractError, PlatformError, SettingsError, VersionError
from ml_data_platform_tests.command_line import CommandLine


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "plan",
        "backfill",
        "replay --reason late",
        "retract 0123456789 --source demo_shop --reason wrong",
        "version cut",
        "train",
        "gc",
        "adopt",
        "suites --out suites",
    ],
)
def test_looking_at_a_missing_root_does_not_make_it(cli: CommandLine, command: str) -> None:
    """A mistyped root is an error that says what to do, not an empty root."""
    result = cli(*command.split(), "--root", "typo")
    assert (result.status, result.out) == (1, "")
    assert result.err.count("error:") == 1
    assert "typo" in result.err
    assert "ml-data-platform init" in result.err
    assert cli.tree() == []


def test_a_command_that_begins_a_root_says_so(cli: CommandLine) -> None:
    """A mistyped root is seen at once; a second landing, a script's document and landing nothing are no new root."""
    (cli.folder / "a.jsonl").write_text("{}\n{}\n")
    nothing = cli("land", "--root", "mistyped")
    assert "there is no root in" in nothing.err
    assert cli.tree() == ["a.jsonl"]
    begun = cli("land", "a.jsonl", "--source", "demo_shop", "--root", "mistyped", "--json")
    assert f"note: a new root begins in {cli.folder / 'mistyped'}" in begun.err
    assert json.loads(begun.out)["files"] == 1
    assert "root" not in cli("land", "a.jsonl", "--source", "demo_shop", "--root", "mistyped").err


def test_a_root_that_is_a_file(cli: CommandLine) -> None:
    """The message says that it is a file, and the file keeps its content."""
    (cli.folder / "root").write_text("precious")
    result = cli("land", "--root", "root")
    assert result.status == 1
    assert "the root is a file" in result.err
    assert (cli.folder / "root").read_text() == "precious"


def test_a_root_below_a_file(cli: CommandLine) -> None:
    """No folder can be made there: the message names both."""
    (cli.folder / "file").write_text("")
    result = cli("land", "--root", "file/root")
    assert result.status == 1
    assert "lies below one" in result.err
    assert "file/root" in result.err


def test_a_setting_that_does_not_exist_is_not_ignored(cli: CommandLine) -> None:
    """A misspelt variable is named, with what was probably meant."""
    result = cli("land", environment={"ML_DATA_PLATFORM_FOLD_COUNTS": "7"})
    assert result.status == 1
    assert "ML_DATA_PLATFORM_FOLD_COUNTS" in result.err
    assert "Did you mean fold_count?" in result.err
    assert cli.tree() == []


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("FOLD_COUNT", "many", "fold_count"),
        ("START_DATE", "yesterday", "start_date"),
        ("MEMORY_LIMIT", "1 elephant", "MB, GB"),
        ("TOLERANCES", "0.1", "tolerances"),
        ("TOLERANCES", "{'a': 1}", "JSON"),
        ("TOLERANCES", '{"no_such_rule": 0.1}', "no_such_rule"),
        ("TOLERANCES", '{"event_ids_are_unique": 0.1}', "exact rules have none"),
    ],
)
def test_a_setting_with_an_unusable_value(cli: CommandLine, variable: str, value: str, says: str) -> None:
    """The message says which setting, and nothing is made."""
    result = cli("land", environment={f"ML_DATA_PLATFORM_{variable}": value})
    assert result.status == 1
    assert says in result.err
    assert cli.tree() == []


def test_a_contract_that_is_wrong(cli: CommandLine) -> None:
    """File, key and the probable meaning are in the message, and not all is well although nothing else is stopped."""
    (cli.folder / "contracts").mkdir()
    (cli.folder / "contracts" / "shop.yaml").write_text("source: shop\nformat: csv\nschema_version: 2\ncolums: {}\n")
    result = cli("land", "--root", "root", "--sources", "contracts")
    assert result.status == 1
    for part in ("shop.yaml", "colums", "did you mean 'columns'"):
        assert part in result.text


def test_a_source_without_a_contract(cli: CommandLine) -> None:
    """The message lists the sources that there are."""
    (cli.folder / "file.csv").write_text("a\n1\n")
    result = cli("land", "file.csv", "--source", "nobody")
    assert result.status == 1
    assert "demo_shop" in result.err
    assert "globo" in result.err


def test_a_range_before_the_first_day(cli: CommandLine) -> None:
    """The message names the setting that lets earlier days in."""
    cli.ok("init", "--start-date", "2026-06-01")
    result = cli("backfill", "--from", "2026-05-31")
    assert result.status == 1
    assert "start_date" in result.err


def test_a_port_that_is_taken(cli: CommandLine) -> None:
    """The message proposes another port, before anything is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = cli("dev", "--port", port)
    assert result.status == 1
    assert f"port {port} cannot be used" in result.err
    assert f"--port {port + 1}" in result.err


def _ends_with(error: BaseException) -> tuple[int, str]:
    app = typer.Typer(cls=OneMessage, pretty_exceptions_enable=False)

    @app.command()
    def fails() -> None:
        raise error

    @app.command()
    def another() -> None:
        """Make it a group."""

    result = CliRunner().invoke(app, ["fails"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stderr


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (ContractError("bad [contract]", remedy="Mend it."), 1, "error: bad [contract] Mend it."),
        (SettingsError("wörld \udcff"), 1, "wörld \\udcff"),
        (OSError(errno.ENOSPC, "No space left on device", "/no/x"), 1, "The disk is full"),
        (OSError(errno.ENOSPC, "No space left on device", "/no/x"), 1, "file=/no/x, free="),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/no/x"), 1, "The disk quota of this user is used up"),
        (OSError(errno.EROFS, "Read-only file system", "/no/x"), 1, "can only be read"),
        (OSError(errno.EACCES, "Permission denied", "/no/x"), 1, "Let this user read and write the root"),
        (OSError(errno.EIO, "Input/output error", "/no/x"), 1, "`ml-data-platform verify`"),
        (OSError(errno.EADDRINUSE, "Address already in use", "/no/x"), 1, "Address already in use: /no/x"),
        (VersionError("git init failed: No space left on device"), 1, "Make room there"),
        (KeyboardInterrupt(), 130, "running the command again goes on"),
    ],
)
def test_the_border(error: BaseException, status: int, says: str) -> None:
    """What is foreseen leaves as one line, with its text as it is: brackets are no markup."""
    found, text = _ends_with(error)
    assert found == status
    assert says in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("error", [ValueError("a defect"), RecursionError()])
def test_a_defect_keeps_its_traceback(error: BaseException) -> None:
    """What nobody foresaw is not dressed up as the user's mistake."""
    with pytest.raises(type(error)):
        _ends_with(error)


def test_long_messages_are_not_wrapped() -> None:
    """A message on a pipe is one line, however long: it can be searched for."""
    _, text = _ends_with(PlatformError("word " * 100 + "end"))
    assert text.splitlines()[0].endswith("end")

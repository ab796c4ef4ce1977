"""What `dev` starts: the UI over the same root, wherever it is called from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ml_data_platform.defs.serving import services
from ml_data_platform.settings import load_settings
from ml_data_platform_tests.command_line import CommandLine


class Replaced(Exception):  # noqa: N818 - stands for the process that takes our place
    """The process was replaced by another one."""

    def __init__(self, arguments: list[str], environment: dict[str, str], folder: Path) -> None:
        self.arguments, self.environment, self.folder = arguments, environment, folder


def test_the_ui_reads_the_settings_that_the_command_line_read(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative paths mean the same to the process of the UI, whose working folder is another; it listens locally only."""

    def execve(_program: str, arguments: list[str], environment: dict[str, str]) -> None:
        raise Replaced(arguments, environment, Path.cwd())

    monkeypatch.setattr(os, "execve", execve)
    (cli.folder / "contracts").mkdir()
    given = {"ML_DATA_PLATFORM_LANDING": "inbox", "ML_DATA_PLATFORM_FOLD_COUNT": "7"}
    with pytest.raises(Replaced) as caught:
        cli(
            *("dev", "--root", "root", "--sources", "contracts", "--port", "39999", "--allowed-host", "Lab.Example"),
            environment=given,
        )
    here = load_settings(given, cli.folder, root="root", sources="contracts")
    there = load_settings(caught.value.environment, caught.value.folder)
    assert there == here
    assert caught.value.environment["DAGSTER_HOME"] == str(here.dagster_home)
    assert caught.value.arguments[-4:] == [services.__name__, "39999", "", "lab.example"]


@pytest.mark.parametrize(
    "name", ["https://lab.example", "lab.example:8080", "lab.example/", "*", "", "user@lab.example"]
)
def test_an_allowed_host_is_a_name(cli: CommandLine, name: str) -> None:
    """What no `Host` header could ever equal is refused, in place of a server that refuses everybody."""
    result = cli("dev", "--root", "root", "--allowed-host", name)
    assert result.status == 2
    assert "without scheme and port" in result.text

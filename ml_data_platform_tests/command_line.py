"""The command line as tests call it: in a folder of its own, deaf to the environment."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import typer.testing
from typer.main import get_command
from typer.testing import CliRunner

from ml_data_platform.cli import app
from ml_data_platform.defs.backfill import build_dirty
from ml_data_platform.events.planning import LAYERS, expected_days
from ml_data_platform.settings import load_settings
from ml_data_platform.settings_file import ENVIRONMENT_PREFIX
from ml_data_platform.stages.platform import open_platform
from ml_data_platform.stages.state import read_state
from ml_data_platform_tests.plain_runs import plain_runs

COMMAND = get_command(app)
"""Made once, as a process makes it: of each call it would be a third of what asking for the plan costs."""


class Result:
    """What one call left: exit status, standard output and standard error."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def text(self) -> str:
        """Both streams as one line, without the frames of help texts, so that a wrapped message can be searched."""
        return " ".join((self.out + self.err).replace("│", " ").split())

    def __repr__(self) -> str:
        return f"exit {self.status}\n{self.out}\n{self.err}"


class CommandLine:
    """Calls the command line in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: object, environment: Mapping[str, str] | None = None) -> Result:
        """Call it in this process; an error that it does not foresee is raised here."""
        before = Path.cwd()
        os.chdir(self.folder)
        # What is private is so because the platform says it, not the tests' shell.
        mask = os.umask(0)
        try:
            with pytest.MonkeyPatch.context() as patch:
                for name in [name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX)]:
                    patch.delenv(name)
                patch.setenv("COLUMNS", "80")
                patch.setattr(typer.testing, "_get_command", lambda _: COMMAND)
                result = CliRunner().invoke(app, [str(each) for each in arguments], env=dict(environment or {}))
        finally:
            os.chdir(before)
            os.umask(mask)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    def ok(self, *arguments: object) -> Result:
        """Call it and require that it ended well."""
        result = self(*arguments)
        assert result.status == 0, result
        return result

    def build(
        self,
        root: Path | str | None = None,
        days: Sequence[dt.date] | None = None,
        layers: Sequence[Sequence[str]] = LAYERS,
    ) -> None:
        """Bring a root up to date and require that all is built: what ``backfill`` does, but for its history of runs.

        For tests in which the tables are the point, and the command is not: it costs a third.

        Args:
            root: Of the folder, by default the one that commands find there.
            days: UTC days, by default all that are expected.
            layers: Those to build, from the first on.
        """
        platform = open_platform(load_settings({}, self.folder, root=root))
        wanted = expected_days(read_state(platform)) if days is None else days
        report = build_dirty(platform, wanted, plain_runs(platform), layers=layers)
        assert report.is_successful, report

    def tree(self) -> Sequence[str]:
        """Return every path below the folder."""
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*"))

from __future__ import annotations

from pathlib import Path

import pytest

from ml_data_platform_tests.command_line import CommandLine


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """The command line in an empty folder."""
    return CommandLine(tmp_path)

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The folder of the checkout that is tested."""
    return Path(__file__).parents[2]

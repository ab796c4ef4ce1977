"""What Dagster loads: the code location of the root that the environment names.

The flow itself is listed in ``defs.location``.
"""

import os
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ml_data_platform.defs.location import build_definitions
from ml_data_platform.settings import load_settings


def warn_of_old_antlr() -> None:
    """Warn when asset selections typed as text would fail, and say what mends it."""
    try:
        installed = version("antlr4-python3-runtime")
    except PackageNotFoundError:
        return
    if installed.startswith("4.9"):
        warnings.warn(
            f"antlr4-python3-runtime {installed} is installed: asset selections typed as text (`--select`, the UI's "
            "search) fail with it. Mend: pip install --no-deps antlr4-python3-runtime==4.13.2",
            stacklevel=2,
        )


warn_of_old_antlr()
defs = build_definitions(load_settings(os.environ, Path.cwd()))

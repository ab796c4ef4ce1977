"""Where the real event logs lie, for the tests and benchmarks that read them; they are never copied into the project."""

from __future__ import annotations

import os

import pytest

from ml_data_platform_tests.globo_log import FOLDER_VARIABLE, clicks_folder

GLOBO = clicks_folder(os.environ)
FOLDER = GLOBO.parent
SOFTSHOP = FOLDER / "softshop_clickstream.csv.gz"
DESKDROP = FOLDER / "deskdrop_interactions.csv.gz"

needs_real_logs = pytest.mark.skipif(
    not (GLOBO.is_dir() and SOFTSHOP.is_file() and DESKDROP.is_file()),
    reason=f"the real event logs are neither in ../shared/data beside the checkout nor where {FOLDER_VARIABLE} says",
)

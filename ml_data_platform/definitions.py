"""What Dagster loads: the code location of the root that the environment names.

The flow itself is listed in ``defs.location``.
"""

import gc
import os
import warnings
from pathlib import Path

# What is imported stays: looking for garbage among it, again and again, is a fifth of what starting a run costs.
gc.disable()
try:
    from ml_data_platform.defs.antlr import antlr_notice, installed_antlr
    from ml_data_platform.defs.location import build_definitions
    from ml_data_platform.settings import load_settings
finally:
    gc.enable()

notice = antlr_notice(installed_antlr())
if notice:
    warnings.warn(notice, stacklevel=2)
defs = build_definitions(load_settings(os.environ, Path.cwd()))

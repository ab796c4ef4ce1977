"""What Dagster loads: the code location of the root that the environment names.

The flow itself is listed in ``defs.location``.
"""

import os
import warnings
from pathlib import Path

from ml_data_platform.importing import no_look_for_garbage

with no_look_for_garbage():
    from ml_data_platform.defs.antlr import antlr_notice, installed_antlr
    from ml_data_platform.defs.location import build_definitions
    from ml_data_platform.settings import load_settings

notice = antlr_notice(installed_antlr())
if notice:
    warnings.warn(notice, stacklevel=2)
defs = build_definitions(load_settings(os.environ, Path.cwd()))

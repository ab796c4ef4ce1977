"""The settings file of a root, ``platform.yaml``, as a mapping.

Belongs here: reading it, and saying what is wrong with its text. Does not belong here: what its values mean.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ml_data_platform.errors import SettingsError, YamlTextError
from ml_data_platform.yaml_text import read_yaml, regular_bytes

ENVIRONMENT_PREFIX = "ML_DATA_PLATFORM_"
SETTINGS_FILE = "platform.yaml"


def read_settings_file(path: Path) -> dict[str, Any]:
    """Return what a settings file says; nothing where there is none.

    Raises:
        SettingsError: It cannot be read, is no YAML, repeats a setting, or is no mapping of names.
    """
    # A link that leads nowhere, or a folder, is a broken file, not an absent one: settings would be gone without a word.
    if not os.path.lexists(path):
        return {}
    try:
        content = read_yaml(regular_bytes(path))
    except (OSError, YamlTextError) as error:
        why = error.strerror if isinstance(error, OSError) else error.what
        raise SettingsError(
            f"the settings file cannot be read: {why}",
            remedy="It is a file of YAML that this user may read, one setting a line; correct it.",
            file=str(path),
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise SettingsError(
            "the settings file is not a mapping", remedy="Write one `name: value` a line.", file=str(path)
        )
    for name in ("root", "home"):
        if name in content:
            raise SettingsError(
                f"`{name}` cannot be set in the settings file, which is looked for in that very folder",
                remedy=f"Leave it out, and name the place with --root or {ENVIRONMENT_PREFIX}{name.upper()}.",
                file=str(path),
                got=content[name],
            )
    return content

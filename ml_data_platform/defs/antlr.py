"""The one conflict of the environment: which antlr4 is installed.

Belongs here: noticing the release with which asset selections typed as text fail. Does not belong here: mending it.

DVC's omegaconf asks for antlr4 4.9; Dagster's parser of selections was made for 4.13 and raises with 4.9. The lock file
overrides the former; an installation without it runs everything but such selections.
"""

from importlib.metadata import PackageNotFoundError, version

PACKAGE = "antlr4-python3-runtime"


def installed_antlr() -> str | None:
    """Return the installed version of antlr4's runtime; none where there is none."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return None


def antlr_notice(installed: str | None) -> str | None:
    """Return what fails with this version and what mends it; none where nothing fails."""
    if installed is None or not installed.startswith("4.9"):
        return None
    return (
        f"{PACKAGE} {installed} is installed: asset selections typed as text (`--select`, the UI's search) fail with it. "
        f"Mend: pip install --no-deps {PACKAGE}==4.13.2"
    )

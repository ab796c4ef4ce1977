"""What is wrong with stored training runs: every file of a run is compared with what was noted when it was written.

Belongs here: the file of hashes beside each run, finding what differs, and setting damaged runs aside. Does not belong
here: the manifest of a run (``run_manifest``), training.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ml_data_platform.datasets.run_manifest import HASHES_FILE, MANIFEST_FILE, MODEL_FILE, RunManifest, hashes_text
from ml_data_platform.errors import PlatformError, bounded
from ml_data_platform.storage.defects import Defect, Kind
from ml_data_platform.storage.durability import file_sha256

DAMAGED = ".damaged"


def defects_of_models(models: Path, *, is_repair: bool) -> Iterator[Defect]:
    """Yield what is wrong with training runs; a run of before, without hashes, is compared as far as its manifest goes.

    Args:
        models: Folder of training runs.
        is_repair: Set damaged runs aside, so that the others can be used, and they can be trained again. They stay
            named as lost.
    """
    for folder in run_folders(models):
        wrong = _what_is_wrong(folder)
        if wrong:
            again = _command(folder)
            if is_repair:
                _set_aside(folder)
            detail = bounded(f"{'; '.join(wrong)}; train it again: {again}", 600)
            yield Defect(Kind.MODEL_DAMAGED, f"{models.name}/{folder.name}", "conversion_model", detail=detail)


def run_folders(models: Path) -> list[Path]:
    """Return the folders of training runs, by name; hidden ones are no runs."""
    if not models.is_dir():
        return []
    return sorted(path for path in models.iterdir() if path.is_dir() and not path.name.startswith("."))


def note_hashes(models: Path, *, is_dry_run: bool) -> tuple[int, list[str]]:
    """Note the hashes of runs of before, if they are whole; returns their number, and which cannot be noted."""
    count, problems = 0, []
    for folder in run_folders(models):
        if (folder / HASHES_FILE).exists() or not (folder / MANIFEST_FILE).is_file():
            continue
        if wrong := _what_is_wrong(folder):
            problems.append(bounded(f"{folder}: {'; '.join(wrong)}; see `ml-data-platform verify`", 400))
            continue
        count += 1
        if not is_dry_run:
            files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
            written = folder / f".{HASHES_FILE}.new"
            written.write_text(hashes_text(files), encoding="utf-8")
            written.replace(folder / HASHES_FILE)
    return count, problems


def _what_is_wrong(folder: Path) -> list[str]:
    if not (folder / MANIFEST_FILE).is_file():
        # Whoever keeps other folders here has no model in them.
        return [f"{MANIFEST_FILE} is gone"] if (folder / MODEL_FILE).exists() or (folder / HASHES_FILE).exists() else []
    wrong = []
    try:
        found = RunManifest.read(folder)
        if found.run_id != folder.name:
            wrong.append(f"{MANIFEST_FILE} is that of run {found.run_id}")
    except PlatformError as error:
        wrong.append(f"{error.what}: {error.facts.get('got', '')}")
    if (folder / HASHES_FILE).exists():
        wrong += _differing(folder, (folder / HASHES_FILE).read_bytes())
    return wrong


def _differing(folder: Path, noted: bytes) -> Iterable[str]:
    lines = (line.partition(b"  ") for line in noted.splitlines())
    hashes: Mapping[bytes, bytes] = {name: digest for digest, _, name in lines}
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != HASHES_FILE)
    if not set(map(str.encode, names)) >= hashes.keys() or not hashes:
        yield f"{HASHES_FILE} names files that are not there"
    for name in names:
        if name.encode() in hashes and file_sha256(folder / name).encode() != hashes[name.encode()]:
            yield f"{name} has other bytes than were written"


def _command(folder: Path) -> str:
    try:
        run = RunManifest.model_validate_json((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
        return f"ml-data-platform train --version {run.version} --cutoff {run.config['cutoff']}"
    except (OSError, ValueError, KeyError):
        return "ml-data-platform train"


def _set_aside(folder: Path) -> None:
    target = folder.parent / DAMAGED / folder.name
    target.parent.mkdir(exist_ok=True)
    number = 1
    while target.exists():
        number += 1
        target = target.with_name(f"{folder.name}-{number}")
    folder.rename(target)

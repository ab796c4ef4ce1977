"""Records of the commit log that are damaged or gone: what bears witness to them, and going on without them.

Belongs here: finding that the newest generation of a partition is lost, and letting the one before it count. Does not
belong here: gaps and damage within one log (``storage.scrub``), building what is due then.

Who built on a generation noted its content: a content that no generation has was published by one that is gone. What was
lost is computed again from what is there, so nothing but the lineage of older generations is ever lost; that is noted, and
told by every verification from then on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from ml_data_platform.errors import PlatformError
from ml_data_platform.stages.platform import Platform
from ml_data_platform.storage.commit_log import LogRecord
from ml_data_platform.storage.defects import Defect, Kind
from ml_data_platform.storage.layout import SNAPSHOTS_FOLDER, Layout
from ml_data_platform.storage.mending import set_aside
from ml_data_platform.storage.records import sealed
from ml_data_platform.storage.recovery import project_head
from ml_data_platform.storage.scrub import Scrub
from ml_data_platform.storage.snapshot_files import parsed_snapshot

FORMAT = 1
_UPSTREAM = re.compile(r"([a-z][a-z0-9_]*)/([0-9]{4}-[0-9]{2}-[0-9]{2})")
_CONTENT = re.compile(r"[0-9a-f]{64}")
_DAMAGED = frozenset({Kind.RECORD_DAMAGED, Kind.RECORD_CONTRADICTS_OBJECT})


def lost_generations(scrub: Scrub, defects: Sequence[Defect]) -> list[Defect]:
    """Find partitions whose newest generation has no record any more.

    Args:
        scrub: The look, which has read the logs.
        defects: What it found in them: of a day with a damaged record nobody can say more.
    """
    unknown = {(each.asset, each.day) for each in defects if each.kind in {Kind.RECORD_DAMAGED, Kind.LOG_GAP}}
    found: dict[str, Defect] = {}
    for asset, day, content, witness in [*_built_upon(scrub.histories), *_pinned(scrub)]:
        history = scrub.histories.get(asset, {}).get(day, [])
        is_known = content in {record.content for record in history}
        if is_known or (asset, day) in unknown or day in scrub.lost.get(asset, {}):
            continue
        newest = history[-1].generation if history else 0
        key = Layout.log_key(asset, day, newest + 1)
        # A generation may have been committed since its log was read.
        if not scrub.objects.exists(key):
            found.setdefault(key, Defect(Kind.LOG_GAP, key, asset, day, f"{witness} a generation that no record tells"))
    return list(found.values())


def _built_upon(
    histories: Mapping[str, Mapping[str, Sequence[LogRecord]]],
) -> Iterator[tuple[str, str, str, str]]:
    for asset, days in histories.items():
        for history in days.values():
            for record in history:
                for name, content in record.inputs.items():
                    match = _UPSTREAM.fullmatch(name)
                    if match is not None and _CONTENT.fullmatch(content):
                        yield match[1], match[2], content, f"{asset} of {record.day} was built from"


def _pinned(scrub: Scrub) -> Iterator[tuple[str, str, str, str]]:
    for key in scrub.objects.list(SNAPSHOTS_FOLDER):
        try:
            partitions = parsed_snapshot(scrub.objects.read_bytes(key), key)["partitions"]
            pinned = [(asset, day, each["content"]) for asset, days in partitions.items() for day, each in days.items()]
        except (PlatformError, FileNotFoundError, KeyError, TypeError, AttributeError):
            # Damaged snapshots are found by those who know versions.
            continue
        yield from ((asset, day, str(content), "a version pins") for asset, day, content in pinned)


def mend_generations(platform: Platform, defects: Sequence[Defect]) -> list[Defect]:
    """Set damaged records of the log aside, note lost ones, and show what is the newest generation then.

    Returns:
        All defects, in their order, those that were mended marked.
    """
    of_log = [defect for defect in defects if _is_of_log(defect)]
    for defect in of_log:
        _set_aside_and_note(platform, defect)
    return [_shown(platform, defect) if _is_of_log(defect) else defect for defect in defects]


def _is_of_log(defect: Defect) -> bool:
    is_kind = defect.kind in _DAMAGED or defect.kind is Kind.LOG_GAP
    return is_kind and bool(defect.day) and defect.key.startswith(f"{Layout.log_root(defect.asset)}/")


def _set_aside_and_note(platform: Platform, defect: Defect) -> None:
    objects, asset, day = platform.store.objects, defect.asset, defect.day
    with suppress(FileNotFoundError):
        if defect.kind in _DAMAGED:
            set_aside(objects, defect.key)
    generation = Layout.generation(defect.key.rpartition("/")[2]) or 0
    fields = {"asset": asset, "day": day, "generation": generation, "noted_at": platform.clock().isoformat()}
    objects.put_if_absent(Layout.gap_key(asset, day, generation), sealed(fields, form=FORMAT))


def _shown(platform: Platform, defect: Defect) -> Defect:
    """Show what is the newest generation now, and say what is lost."""
    log, asset, day = platform.store.log, defect.asset, defect.day
    generation = Layout.generation(defect.key.rpartition("/")[2]) or 0
    newest = max(log.generations(asset).get(day, {0: None}))
    said = f"what generation {generation} was is lost; newer ones are there"
    if generation > newest:
        said = (
            f"generation {generation} is lost, and {newest or 'none'} is the newest now: `ml-data-platform backfill`"
            " builds what is due"
        )
    is_shown = True
    try:
        project_head(platform.store.objects, log, asset, day)
    except PlatformError as error:
        said, is_shown = f"{said}; it cannot be shown: {error.what}", False
    return replace(defect, detail=f"{defect.detail}; {said}", is_repaired=is_shown)

"""What verification says of the mark by which a bucket is known to hold a root.

Belongs here: that look. Does not belong here: what the mark is for (``storage.root_identity``).
"""

from __future__ import annotations

from collections.abc import Iterator

from ml_data_platform.errors import RecordError
from ml_data_platform.stages.platform import Platform
from ml_data_platform.storage.defects import Defect, Kind
from ml_data_platform.storage.layout import ROOT_KEY


def look_at_root_mark(platform: Platform, is_repair: bool) -> Iterator[Defect]:
    """Find a mark that is damaged, or gone although this machine remembers it; a root that is a folder has none."""
    if not platform.store.objects.is_remote:
        return
    from ml_data_platform.storage.s3_objects import S3ObjectStore  # noqa: PLC0415 - loads clients of AWS

    assert isinstance(platform.store.objects, S3ObjectStore)
    identity = platform.store.objects.identity
    try:
        detail = "it is gone" if identity.stored() is None and identity.remembered() is not None else ""
    except RecordError as error:
        detail = str(error.facts["got"])
    if not detail:
        return
    if is_repair:
        platform.store.objects.delete(ROOT_KEY)
        identity.begin()
    yield Defect(Kind.ROOT_MARK_DAMAGED, ROOT_KEY, detail=detail, is_repaired=is_repair)

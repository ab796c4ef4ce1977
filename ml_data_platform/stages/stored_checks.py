"""Finds what the checks of partitions said, in the records of what is published.

Belongs here: reading the heads that keep results. Does not belong here: how results are kept (``verdicts``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from ml_data_platform.events.planning import is_refused
from ml_data_platform.events.schemas import QUARANTINED_EVENTS, VALIDATED_EVENTS
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.state import TABLES, asset_rules, read_state
from ml_data_platform.stages.verdicts import KEPT_WITH, StoredChecks, read_checks
from ml_data_platform.storage.commit_log import LogRecord
from ml_data_platform.storage.layout import parse_day


def stored_checks(platform: Platform, asset: str, day: dt.date) -> StoredChecks | None:
    """Return what the checks of a partition said of what is published; none where it was never judged.

    Of a day that was refused and has no generation, this is the refusal. A refusal of other inputs than those of the
    generation that is published since before says nothing of it.
    """
    store = platform.store
    record, head = store.head(KEPT_WITH.get(asset, asset), day), store.head(VALIDATED_EVENTS.name, day)
    if record is not None and record.asset == QUARANTINED_EVENTS.name and head is not None:
        earlier = range(record.generation - 1, 0, -1)
        same = (store.log.read(record.asset, record.day, each) for each in earlier)
        while record is not None and dict(record.inputs) != dict(head.inputs):
            record = next(same, None)
    return None if record is None else read_checks(record, asset_rules(platform, asset))


def stored_checks_of_days(
    platform: Platform, days: Iterable[dt.date] | None = None
) -> dict[str, dict[str, StoredChecks]]:
    """Return what the checks of all partitions said last, by asset and partition key; all is read at once.

    Args:
        platform: The opened root.
        days: Only these days; all of them where not given.
    """
    heads = _heads(platform, days)
    found: dict[str, dict[str, StoredChecks]] = {}
    for asset in TABLES:
        rules, judged = asset_rules(platform, asset), heads[KEPT_WITH.get(asset, asset)]
        found[asset] = {key: read_checks(record, rules) for key, record in judged.items()}
    published = heads[VALIDATED_EVENTS.name]
    for key, record in heads[QUARANTINED_EVENTS.name].items():
        day = parse_day(key)
        if key in published and not (record.verdict or {}).get("is_published", True) and not _is_refused(platform, day):
            # What was refused is no longer landed: the generation before it stands, and with it what was said of it.
            for asset in (VALIDATED_EVENTS.name, QUARANTINED_EVENTS.name):
                said = stored_checks(platform, asset, day)
                found[asset] |= {key: said} if said is not None else {}
    return found


def _is_refused(platform: Platform, day: dt.date) -> bool:
    return is_refused(read_state(platform, days=[day]), day)


def _heads(platform: Platform, days: Iterable[dt.date] | None) -> dict[str, dict[str, LogRecord]]:
    if days is None:
        return platform.store.log.heads_of([*TABLES])
    wanted = [(asset, day.isoformat()) for asset in TABLES for day in set(days)]
    heads: dict[str, dict[str, LogRecord]] = {asset: {} for asset in TABLES}
    for record in platform.store.objects.each(lambda one: platform.store.head(*one), wanted):
        if record is not None:
            heads[record.asset][record.day] = record
    return heads

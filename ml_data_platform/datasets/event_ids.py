"""Event ids are unique over all days of a version.

Belongs here: the query, in bounded memory. Does not belong here: uniqueness within a day, which validation proves.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from ml_data_platform.datasets.manifest import DatasetFacts
from ml_data_platform.errors import VersionError
from ml_data_platform.storage import duck

EXAMPLES = 5


def require_unique_events(folder: Path, dataset: DatasetFacts, *, memory_limit: str, threads: int) -> None:
    """Refuse a version in which an event occurs on several days: its producer gave one id to several instants.

    One data set is enough: all are built from the same features, and the blocking checks of each partition have proved
    that every mature row of them is in it exactly once.

    Raises:
        VersionError: Events occur more than once; some are named with their days.
    """
    paths = [str(folder / file.path) for file in dataset.files if file.rows]
    if not paths:
        return
    with (
        tempfile.TemporaryDirectory(dir=folder / ".dvc" / "tmp") as scratch,
        duck.connect(Path(scratch), folders=[folder], memory_limit=memory_limit, threads=threads) as connection,
    ):
        rows = duck.parquet(connection, paths)
        # A hash of eight bytes takes less memory than the ids; those that meet are looked at themselves.
        found = connection.execute(
            f"""WITH met AS (SELECT hash(event_id) AS h FROM {rows} GROUP BY ALL HAVING count(*) > 1)
            SELECT event_id, list(DISTINCT CAST(CAST(make_timestamp(epoch_us(event_timestamp)) AS DATE) AS VARCHAR)), count(*) OVER ()
            FROM {rows} WHERE hash(event_id) IN (SELECT h FROM met)
            GROUP BY event_id HAVING count(*) > 1 ORDER BY event_id LIMIT {EXAMPLES}"""
        ).fetchall()
    if found:
        raise VersionError(
            f"event ids that occur more than once: {found[0][2]}",
            remedy="Their producer gave one id to several instants: mend and land its files, or cut days apart with --from and --to.",
            dataset=dataset.name,
            examples="; ".join(f"{name} on {', '.join(sorted(days))}" for name, days, _ in found),
        )

"""What the platform makes of stored bytes, each kind by who reads it: a text that differs where something else was made.

Belongs here: one reader per kind, run as the platform runs it, in a root opened anew. Does not belong here: damage, judging.

Each returns a text of all that it made, or raises as the platform does.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa

from ml_data_platform.datasets.load_dataset import load_dataset
from ml_data_platform.datasets.run_manifest import MODEL_FILE, RunManifest
from ml_data_platform.events.planning import UPSTREAM, expected_days, plan
from ml_data_platform.landing.restoring import restore_fragments
from ml_data_platform.landing.terms import with_one_engine
from ml_data_platform.stages import flow
from ml_data_platform.stages.landed_files import kept_terms
from ml_data_platform.stages.quarantine import Wanted
from ml_data_platform.stages.quarantined_rows import show_quarantine
from ml_data_platform.stages.state import read_state
from ml_data_platform.storage.ledger_record import LedgerRecord
from ml_data_platform_tests.faults.flips.prepared import INSTANCE
from ml_data_platform_tests.pipeline_root import PipelineRoot

Consumer = Callable[[PipelineRoot, Path], str]
MANY_ROWS = 10_000


def opened(root: PipelineRoot) -> PipelineRoot:
    """Return the root opened anew: no object of another opening knows anything of it."""
    return root.at(root.now)


def of_object(root: PipelineRoot, path: Path) -> str:
    """Build all that reads a published file; where nothing is built on it, read the rows as trainings do."""
    asset, sha256 = path.parts[-4], path.stem
    for of, head in root.platform.store.heads(asset).items():
        if sha256 not in {file.sha256 for file in head.files}:
            continue
        readers = [
            (reader, dt.date.fromisoformat(of) - dt.timedelta(days=offset))
            for reader, reads in UPSTREAM.items()
            for upstream, offset in reads
            if upstream == asset
        ]
        built = [_built(root, reader, at) for reader, at in readers if root.platform.store.head(reader, at) is not None]
        if built:
            return "\n".join(built)
        paths = root.platform.store.ref(asset, [of]).paths()
        return "\n".join(hashlib.sha256(Path(each).read_bytes()).hexdigest() for each in paths)
    return of_version(root, path)


def of_fragment(root: PipelineRoot, path: Path) -> str:
    """Build the days of a landed file, or show the rows of it that are on none."""
    if path.parts[-4] == "landed_files":
        (record,) = (each for each in root.platform.ledger.records() if each.fragment == path.stem)
        days = [day for day in record.rows_per_day if root.platform.store.head("raw_events", day) is not None]
        return "\n".join(_built(root, "raw_events", dt.date.fromisoformat(day)) for day in days)
    rows = show_quarantine(root.platform, Wanted(reason="undated"), MANY_ROWS)
    return "\n".join(sorted(json.dumps(row.to_json(), sort_keys=True, default=str) for row in rows))


def of_raw(root: PipelineRoot, path: Path) -> str:
    """Lose the rows of a landed file, and make them again from its kept bytes."""
    (record, *_) = (each for each in root.platform.ledger.records() if each.bytes_sha256 == path.name)
    lost = [
        root.folder / "_store" / asset / "objects" / sha256[:2] / f"{sha256}.parquet"
        for asset, sha256 in (("landed_files", record.fragment), ("undated_rows", record.undated_fragment))
        if sha256 is not None
    ]
    kept = {each: each.with_suffix(".kept") for each in lost}
    for each, aside in kept.items():
        each.rename(aside)
    try:
        return _restored(root, record, lost)
    finally:
        for each, aside in kept.items():
            aside.replace(each)


def of_records(root: PipelineRoot, _path: Path) -> str:
    """Plan all days, name all files, and see what is decided of each."""
    found = read_state(root.platform)
    decisions = plan(found, expected_days(found))
    ledger = root.platform.ledger
    files = [
        (
            each.source,
            each.sha256,
            ledger.names(each.source, each.sha256),
            ledger.decisions.standing(each.source, each.sha256),
        )
        for each in ledger.records(root.platform.routing_hashes)
    ]
    return "\n".join(map(str, [*decisions, *files]))


def of_snapshot(root: PipelineRoot, _path: Path) -> str:
    """See what a collection would take away."""
    removed = root.platform.store.collect(keep_last=1, older_than=dt.timedelta(0), is_dry_run=True)
    return "\n".join(removed.keys)


def of_key(root: PipelineRoot, _path: Path) -> str:
    """Build the events of a day anew: their users' ids are made with the key."""
    first = next(iter(root.platform.store.heads("validated_events")))
    return _built(root, "validated_events", dt.date.fromisoformat(first))


def of_binding(root: PipelineRoot, path: Path) -> str:
    """Bind the root to the history that it is bound to, and plan."""
    if path.name == "instance.json":
        root.platform.bind_instance(INSTANCE)
    return of_records(root, path) + of_key(root, path)


def of_version(root: PipelineRoot, _path: Path) -> str:
    """Load the rows of the version."""
    rows: pa.Table = load_dataset("latest", root=root.folder).to_arrow()
    return hashlib.sha256(repr(rows.to_pydict()).encode()).hexdigest()


def of_model(root: PipelineRoot, path: Path) -> str:
    """Read the training run and its model."""
    manifest = RunManifest.read(path.parent)
    return manifest.to_text() + hashlib.sha256((path.parent / MODEL_FILE).read_bytes()).hexdigest()


CONSUMERS: Mapping[str, Consumer] = {
    "object": of_object,
    "fragment": of_fragment,
    "raw": of_raw,
    "ledger": of_records,
    "name": of_records,
    "decision": of_records,
    "log": of_records,
    "snapshot": of_snapshot,
    "key": of_key,
    "binding": of_binding,
    "git": of_version,
    "cached": of_version,
    "model": of_model,
}


def _built(root: PipelineRoot, asset: str, day: dt.date) -> str:
    store = root.platform.store
    reads = UPSTREAM[asset]
    refs = {
        upstream: store.ref(upstream, [day + dt.timedelta(days=offset) for name, offset in reads if name == upstream])
        for upstream, _ in reads
    }
    with store.scratch() as scratch:
        result = flow.build(root.platform, asset, day, refs, scratch)
        return "\n".join(f"{name} {table.sha256}" for name, table in sorted(result.tables.items()))


def _restored(root: PipelineRoot, record: LedgerRecord, lost: list[Path]) -> str:
    with with_one_engine(kept_terms(root.platform)) as terms:
        restore_fragments([record], root.platform.contracts, terms)
    return "\n".join(hashlib.sha256(each.read_bytes()).hexdigest() for each in lost)

"""The lane of damage: what was staged or stored is not what it says, and must be refused.

Belongs here: each way in which bytes can be wrong before they are published. Does not belong here: damage to what is
published already.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ml_data_platform.errors import PlatformError
from ml_data_platform.storage.table_store import StagedTable, TableStore
from ml_data_platform_tests.faults.lanes import mutants, numbered
from ml_data_platform_tests.faults.lanes.kills import remove
from ml_data_platform_tests.faults.lanes.lane import Figures, Plan
from ml_data_platform_tests.storage_tables import DAY, SINGLE, present

Damage = Callable[[Path, random.Random], None]
ONLY = SINGLE.files[0]


def refuse_damage(plan: Plan) -> Figures:
    """Damage a file before it is staged, or between staging and commit, or the object of its name; nothing is published."""
    figures, chooser = Figures(), plan.chooser
    kinds = [
        *(("written", each) for each in _WRITTEN),
        *(("staged", each) for each in _STAGED),
        *(("stored", each) for each in _STORED),
    ]
    with mutants.applied(plan.mutant):
        while not plan.is_done(figures):
            when, damage = kinds[figures.trials % len(kinds)]
            root = plan.folder / str(figures.trials)
            root.mkdir()
            numbered.commit_all(root, SINGLE, [1])
            with figures.noting(f"{when}: {damage.__name__.strip('_')}"):
                refused = _commit_damaged(root, when, damage, chooser)
                assert refused, "damage was published"
                assert numbered.numbers(root, SINGLE) == [1]
                numbered.assert_whole(root, SINGLE)
            remove(root)
            figures.trials += 1
    figures.points = len(kinds)
    return figures


def _commit_damaged(root: Path, when: str, damage: Damage, chooser: random.Random) -> bool:
    store = TableStore(root, present)
    with store.scratch() as scratch:
        files = numbered.write_numbered(scratch, SINGLE, 2)
        try:
            if when == "written":
                damage(files[ONLY], chooser)
            staged = store.stage(
                SINGLE, DAY, files, inputs={"number": "2", "why": ""}, code_version="1", expected_generation=1
            )
            if when == "staged":
                damage(files[ONLY], chooser)
            if when == "stored":
                _store_wrong_bytes(root, staged, damage, chooser)
            store.commit(staged, run_id="run")
        except PlatformError:
            return True
    return False


def _store_wrong_bytes(root: Path, staged: StagedTable, damage: Damage, chooser: random.Random) -> None:
    """Put another object under the hash that the staged file has."""
    path = numbered.object_path(root, SINGLE, staged.files[0].sha256)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(staged.files[0].path.read_bytes())
    damage(path, chooser)


def _shorten(path: Path, chooser: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: chooser.randrange(len(data))])


def _flip_a_bit(path: Path, chooser: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[chooser.randrange(len(data))] ^= 1 << chooser.randrange(8)
    path.write_bytes(data)


def _remove(path: Path, _: random.Random) -> None:
    path.unlink()


def _cut_footer(path: Path, _: random.Random) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.ParquetFile(path).read()), path)


def _rename_a_column(path: Path, _: random.Random) -> None:
    _rewrite(path, lambda rows: rows.rename_columns(["row", "another"]))


def _retype_a_column(path: Path, _: random.Random) -> None:
    _rewrite(path, lambda rows: rows.set_column(0, "row", rows["row"].cast(pa.int32())))


def _drop_a_column(path: Path, _: random.Random) -> None:
    _rewrite(path, lambda rows: rows.drop_columns(["row"]))


def _swap_columns(path: Path, _: random.Random) -> None:
    _rewrite(path, lambda rows: rows.select(["generation", "row"]))


def _lose_metadata(path: Path, _: random.Random) -> None:
    _rewrite(path, lambda rows: rows.replace_schema_metadata(None))


_WRITTEN: tuple[Damage, ...] = (
    _remove,
    _shorten,
    _cut_footer,
    _rename_a_column,
    _retype_a_column,
    _drop_a_column,
    _swap_columns,
    _lose_metadata,
)
_STAGED: tuple[Damage, ...] = (_remove, _shorten)
_STORED: tuple[Damage, ...] = (_shorten, _flip_a_bit)

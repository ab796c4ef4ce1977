"""Looking for values that do not parse, in rows that are not masked yet.

Belongs here: running the query over chunks in memory. Does not belong here: what parses (``events.unparsed_values``),
masking (``masking``).
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.masking_plan import masking_plan
from ml_data_platform.events.unparsed_values import unparsed_paths, unparsed_query
from ml_data_platform.landing.masking import Masker, MaskingKeys, Path
from ml_data_platform.storage.duck import connect_without_files

_CHUNK = "unmasked_rows"


def masker_of(contract: SourceContract, keys: MaskingKeys) -> Masker | None:
    """Return what masks the rows of a source; None where its contract has no ``pii`` section."""
    plan = masking_plan(contract)
    return None if plan is None else Masker(plan, keys, UnparsedValues(contract).find)


class UnparsedValues:
    """Finds the values of a source's rows that do not parse as the fields they stand in.

    Args:
        contract: The contract of the source.
    """

    def __init__(self, contract: SourceContract) -> None:
        self._paths = unparsed_paths(contract)
        self._query = unparsed_query(contract, _CHUNK)
        self._engine = connect_without_files()

    def find(self, chunk: pa.Table) -> Mapping[int, frozenset[Path]]:
        """Return the paths of such values, by position of the row in a chunk of schema ``CHUNK``; it stays in memory."""
        positions = pa.array(range(chunk.num_rows), pa.int64())
        rows = pa.table([positions, chunk["landed"]], names=["source_row", "landed"])
        self._engine.register(_CHUNK, rows.filter(pc.is_null(chunk["defect"])))
        try:
            found = self._engine.sql(self._query).fetchall()
        finally:
            self._engine.unregister(_CHUNK)
        return {position: frozenset(self._paths[number] for number in numbers) for position, numbers in found}

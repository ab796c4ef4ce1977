"""A landed file of a source with personal data: its rows kept masked, and read again.

Belongs here: from a producer's file to the kept one without an unmasked byte on any disk, and reading what was kept.
Does not belong here: masking a row (``masking``).

The kept file is Parquet of schema ``CHUNK``, whatever the producer's format: numbered rows as JSON text. Columns that
were there, and whether there was anything at all, stand in its metadata. Nothing else of the landed file is carried
over: no header of its own, no comment, no name that gzip wrote.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ml_data_platform.errors import LandingError, PlatformError, SettingsError
from ml_data_platform.events.alike_names import alike_names
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.events.expectations import judged_before_masking
from ml_data_platform.events.masking_plan import BROKEN_RULES_KEY, parsed_as, plan_facts
from ml_data_platform.events.path_columns import PathValues, content_hash_with
from ml_data_platform.landing.chunks import CHUNK
from ml_data_platform.landing.column_names import refuse_unknown_columns, require_columns
from ml_data_platform.landing.keeping import COPY_BYTES, Kept, open_unchanging, read_through
from ml_data_platform.landing.limits import LIMITS, Limits
from ml_data_platform.landing.lines import is_without_content
from ml_data_platform.landing.masking import MaskingKeys
from ml_data_platform.landing.readers import open_rows
from ml_data_platform.landing.unparsed_values import masker_of
from ml_data_platform.storage.duck import connect_without_files
from ml_data_platform.storage.durability import file_sha256
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.object_store import ObjectStore

BrokenRules = Callable[[pa.Table], Sequence[Sequence[str]]]
"""From a chunk of rows as they land to the names of the rules that each of them breaks."""
_FACTS_KEY = b"ml_data_platform.masked"
# Facts of an error that come from the contract or are counts; all others may quote the file.
_SAFE_FACTS = frozenset({"missing", "expected", "rows"})


def keep_masked(
    path: Path,
    contract: SourceContract,
    keys: MaskingKeys,
    objects: ObjectStore,
    *,
    judge: BrokenRules | None = None,
    limits: Limits = LIMITS,
    is_own: bool = False,
    below: Path | None = None,
    path_values: PathValues | None = None,
) -> Kept:
    """Mask a file's rows and keep them; no unmasked byte is written anywhere.

    Args:
        path: What a producer dropped; not necessarily a file.
        contract: A contract with a ``pii`` section.
        keys: The keys of the root.
        objects: Where the rows are kept.
        judge: Says which rules the rows break before they are masked; needed where the contract has such rules.
        limits: What the file may cost.
        is_own: The path was made here and leads to a passing copy that nobody else knows.
        below: Folder that the path lies in: none of the folders from there on may be a link.
        path_values: Values of columns that stand only in the path.

    Raises:
        LandingError: The file cannot be read as its contract says, or changed while it was read; nothing was kept,
            and the message quotes nothing of it.
        OSError: The rows could not be written.
    """
    with objects.scratch() as folder, open_unchanging(path, is_own=is_own, below=below) as handle:
        sha256 = landed_id(read_through(handle, path), contract, keys)
        target = folder / "masked.parquet"
        unparsed_rows = write_masked(path, contract, keys, target, judge=judge, limits=limits, path_values=path_values)
        opened, named = os.fstat(handle), path.stat(follow_symlinks=is_own)
        if (opened.st_dev, opened.st_ino) != (named.st_dev, named.st_ino):
            raise LandingError(
                "The file cannot be landed: another one took its place while it was read.",
                remedy="Rename files in once, under a name of their own.",
                file=str(path),
            )
        kept_sha256, size = file_sha256(target), target.stat().st_size
        is_new = objects.put_object(Layout.raw_key(kept_sha256), target, sha256=kept_sha256, size_bytes=size)
    values = path_values or {}
    own = content_hash_with(sha256, values)
    return Kept(own, size, is_new, kept_sha256, masking_facts(contract, keys, unparsed_rows), values)


def masking_facts(contract: SourceContract, keys: MaskingKeys, unparsed_rows: int) -> dict[str, Any]:
    """Return what the ledger records of how a contract's rows were masked, and in how many a value did not parse."""
    judged = judged_before_masking(contract)
    return {
        "key_id": keys.key_id,
        "plan": plan_facts(contract),
        "parsed_as": parsed_as(contract),
        "unparsed_rows": unparsed_rows,
        **({"judged_by": judged} if judged else {}),
    }


def landed_id(content: Iterator[bytes], contract: SourceContract, keys: MaskingKeys) -> str:
    """Return 64 hex digits that are the same for the same bytes of the same source.

    A plain hash would let anyone who guesses a short file confirm the guess, so this is HMAC-SHA256 with a key of its
    own, which stays when the key of the masks is changed.
    """
    digest = hmac.new(keys.file_secret, f"landed\0{contract.source}\0".encode(), "sha256")
    for data in content:
        digest.update(data)
    return digest.hexdigest()


def content_id(path: Path, contract: SourceContract, keys: MaskingKeys | None, path_values: PathValues) -> str:
    """Return 64 hex digits that name a file's content in the ledger, before it is landed.

    Raises:
        OSError: It cannot be read.
    """
    if contract.pii is None or keys is None:
        return content_hash_with(file_sha256(path), path_values)
    with path.open("rb") as file:
        sha256 = landed_id(iter(lambda: file.read(COPY_BYTES), b""), contract, keys)
    return content_hash_with(sha256, path_values)


def write_masked(
    path: Path,
    contract: SourceContract,
    keys: MaskingKeys,
    target: Path,
    *,
    judge: BrokenRules | None = None,
    limits: Limits = LIMITS,
    path_values: PathValues | None = None,
) -> int:
    """Write the masked rows of a file; returns in how many of them a value did not parse and was masked for that.

    Raises:
        LandingError: The file cannot be read as its contract says; the message quotes nothing of it.
    """
    try:
        return _write(path, contract, keys, target, judge=judge, limits=limits, path_values=path_values or {})
    except LandingError as error:
        refusal = without_quotes(error)
    except (PlatformError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - messages of libraries quote what they could not read
        refusal = LandingError(
            f"The file cannot be read: {type(error).__name__}.",
            remedy="Its source masks personal data, so no more is said here; look at the producer's own copy.",
        )
    # Not within the handler: an error that was being handled would travel along, with its message.
    raise refusal


def without_quotes(error: LandingError) -> LandingError:
    """Return the error without what it may quote of the file."""
    facts = {name: value for name, value in error.facts.items() if name in _SAFE_FACTS}
    return type(error)(error.what, remedy=error.remedy, **facts)


def _write(
    path: Path,
    contract: SourceContract,
    keys: MaskingKeys,
    target: Path,
    *,
    judge: BrokenRules | None,
    limits: Limits,
    path_values: PathValues,
) -> int:
    masker = masker_of(contract, keys)
    assert masker is not None
    if judge is None and judged_before_masking(contract):
        raise SettingsError(
            "Rows with rules on what is masked are masked without being judged.", source=contract.source
        )
    has_content = not is_without_content(path)
    names: list[str] | None = None
    with pq.ParquetWriter(target, CHUNK, compression="zstd") as writer:
        if has_content:
            # An engine that cannot spill: what it holds is not masked yet.
            with (
                connect_without_files() as engine,
                open_rows(
                    path,
                    contract,
                    connection=engine,
                    scratch=target.parent,
                    in_memory=True,
                    limits=limits,
                    path_values=path_values,
                ) as (found, chunks),
            ):
                if found is not None:
                    _require_handled_columns(found, contract)
                    names = masker.mask_names(found)
                for chunk in chunks:
                    broken = judge(chunk) if judge is not None else ()
                    writer.write_table(_with_broken_rules(masker.mask_chunk(chunk), broken))
        facts = {"columns": names, "has_content": has_content}
        writer.add_key_value_metadata({_FACTS_KEY: json.dumps(facts)})
    return masker.unparsed_rows


def _with_broken_rules(masked: pa.Table, broken: Sequence[Sequence[str]]) -> pa.Table:
    """Return masked rows that begin with the names of the rules that they broke, where they did."""
    if not any(broken):
        return masked
    rows = zip(masked["landed"].to_pylist(), masked["defect"].to_pylist(), broken, strict=True)
    texts = [_with_names(text, names) if names and defect is None else text for text, defect, names in rows]
    return masked.set_column(masked.column_names.index("landed"), CHUNK.field("landed"), pa.array(texts, pa.string()))


def _with_names(masked: str, names: Sequence[str]) -> str:
    separator = "," if len(masked) > len("{}") else ""
    return f'{{"{BROKEN_RULES_KEY}":{json.dumps(names, separators=(",", ":"))}{separator}{masked[1:]}'


def _require_handled_columns(names: list[str], contract: SourceContract) -> None:
    """Check that a column to mask or drop is there, where one under another name would be kept as it is."""
    said = contract.pii
    if said is None or said.unnamed != "keep":
        return
    handled = (column for column, action in said.columns.items() if action != "keep")
    absent = (column for column in handled if not set(contract.top_names(column)) & set(names))
    missing = list(dict.fromkeys(contract.path(column)[0] for column in absent))
    if missing:
        raise LandingError(
            "The file lacks columns that its contract masks or drops; under other names they would be kept as they are.",
            missing=", ".join(missing),
            alike="; ".join(alike_names(missing, names)) or None,
            remedy="Correct the names in `pii.columns`, or set `pii.unnamed` to `mask`.",
        )


def is_masked_without_content(path: Path) -> bool:
    """Return whether the file that was landed held no byte of content."""
    return not _facts(path)["has_content"]


def read_masked(path: Path, contract: SourceContract) -> Iterator[pa.Table]:
    """Read kept rows again.

    Args:
        path: A kept file that `keep_masked` wrote.
        contract: The contract of its source.

    Yields:
        Tables of schema ``CHUNK``, as the reader of the landed file cut them.

    Raises:
        LandingError: The file's columns are not those that the contract reads.
    """
    columns = _facts(path)["columns"]
    if columns is not None:
        require_columns(columns, contract)
        refuse_unknown_columns(columns, contract)
    with pq.ParquetFile(path) as kept:
        for group in range(kept.num_row_groups):
            yield kept.read_row_group(group).cast(CHUNK).combine_chunks()


def _facts(path: Path) -> dict[str, Any]:
    metadata = pq.read_metadata(path).metadata or {}
    facts: dict[str, Any] = json.loads(metadata[_FACTS_KEY])
    return facts

"""Reading every landed byte again: kept bytes, the ledger, fragments, and rows shown outside of tables.

Belongs here: comparing what was landed with its records, and finding files that are nobody's. Does not belong here:
tables (``scrub``), mending (``mending``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ml_data_platform.errors import PlatformError, RecordError, bounded
from ml_data_platform.storage.compared_files import names_its_bytes
from ml_data_platform.storage.decisions import lost_decisions
from ml_data_platform.storage.defects import Defect, Kind
from ml_data_platform.storage.layout import (
    COMPARED_FOLDER,
    DAMAGED_FOLDER,
    DECISIONS_FOLDER,
    INSTANCE_KEY,
    KEY_ID_KEY,
    KEY_IDS_FOLDER,
    LANDED_FILES,
    LEDGER_FOLDER,
    LOCKS_FOLDER,
    LOST_FOLDER,
    PROBE_KEY,
    RAW_FOLDER,
    ROOT_KEY,
    SNAPSHOTS_FOLDER,
    STORE,
    TEMP_FOLDER,
    TOO_LATE_ROWS,
    TWINS_FOLDER,
    UNDATED_ROWS,
    Layout,
)
from ml_data_platform.storage.ledger import Ledger, LedgerRecord
from ml_data_platform.storage.scrub import Content, Scrub
from ml_data_platform.storage.small_records import kind_of, read_small

OUTSIDE_OF_TABLES = (LANDED_FILES, UNDATED_ROWS, TOO_LATE_ROWS)
_OWN_FOLDERS = (
    TEMP_FOLDER,
    LOCKS_FOLDER,
    SNAPSHOTS_FOLDER,
    DAMAGED_FOLDER,
    COMPARED_FOLDER,
    LOST_FOLDER,
    KEY_IDS_FOLDER,
)
_OWN_FILES = frozenset({INSTANCE_KEY, KEY_ID_KEY, PROBE_KEY, ROOT_KEY})


def scrub_landed(scrub: Scrub, ledger: Ledger) -> tuple[list[LedgerRecord], list[Defect]]:
    """Compare kept bytes, ledger and fragments.

    Returns:
        The readable records of all routings, and what is wrong.
    """
    records, defects = _records(scrub, ledger)
    kept = scrub.read("kept bytes", scrub.objects.stored(RAW_FOLDER))
    for key, content in kept.items():
        name = key.rpartition("/")[2]
        if _is_foreign_kept(key):
            defects.append(Defect(Kind.FOREIGN_FILE, key))
        elif content.sha256 != name:
            defects.append(Defect(Kind.KEPT_BYTES_ALTERED, key, detail=f"its bytes hash to {content.sha256}"))
    for record in records:
        key = Layout.raw_key(record.bytes_sha256)
        if key not in kept and not scrub.objects.exists(key):
            defects.append(Defect(Kind.KEPT_BYTES_MISSING, key, detail=f"landed as {record.source}/{record.name}"))
    for asset in OUTSIDE_OF_TABLES:
        defects += _fragments(scrub, asset, records)
    return records, _once(defects)


def foreign_files(scrub: Scrub, assets: Mapping[str, object]) -> Iterator[Defect]:
    """Find files below ``_store/`` and ``data/`` that are nobody's; those in a table's view are found with the table.

    Args:
        scrub: The look.
        assets: Assets whose folders were looked at.
    """
    for key in scrub.objects.list(STORE):
        asset, _, rest = key.removeprefix(f"{STORE}/").partition("/")
        if key in _OWN_FILES or key.startswith(tuple(f"{folder}/" for folder in _OWN_FOLDERS)):
            continue
        if asset not in assets or not _is_own(asset, key, rest):
            yield Defect(Kind.FOREIGN_FILE, key, asset if asset in assets else "")
    for name in sorted(scrub.objects.names("data")):
        if name not in assets:
            below = scrub.objects.list(f"data/{name}") or [f"data/{name}"]
            yield from (Defect(Kind.FOREIGN_FILE, key) for key in below)


def _records(scrub: Scrub, ledger: Ledger) -> tuple[list[LedgerRecord], list[Defect]]:
    """Read every small record below the ledger as those do who build on it; also which decisions are lost."""
    records: list[LedgerRecord] = []
    defects: list[Defect] = []
    keys = scrub.objects.list(LEDGER_FOLDER)
    for key, data in zip(keys, scrub.objects.each(lambda key: _bytes_of(scrub, key), keys), strict=True):
        if kind_of(key) is None:
            defects.append(Defect(Kind.FOREIGN_FILE, key))
        elif data is not None:
            scrub.count("records_read")
            try:
                read = read_small(key, data, ledger.noted)
            except RecordError as error:
                defects.append(Defect(Kind.LEDGER_RECORD_DAMAGED, key, detail=bounded(error.what)))
                continue
            if isinstance(read, LedgerRecord):
                records.append(read)
    return records, [*defects, *_lost_decisions(scrub, keys)]


def _bytes_of(scrub: Scrub, key: str) -> bytes | None:
    """Return the bytes of a record; None where it vanished meanwhile, or cannot be read, which is noted."""
    try:
        return scrub.objects.read_bytes(key)
    except FileNotFoundError:
        return None
    except OSError as error:
        scrub.unreadable[key] = str(error.strerror or error)
        return None


def _lost_decisions(scrub: Scrub, keys: list[str]) -> Iterator[Defect]:
    names: dict[tuple[str, str], set[str]] = {}
    for key in keys:
        folder, _, name = key.rpartition("/")
        parent, _, source = folder.rpartition("/")
        names.setdefault((parent, source), set()).add(name)
    for source in sorted({source for _, source in names}):
        known, twins = names.get((DECISIONS_FOLDER, source), set()), names.get((TWINS_FOLDER, source), set())
        for name in lost_decisions(known, twins):
            key = f"{Layout.decisions_folder(source)}/{name}"
            if scrub.objects.exists(key):
                # It was taken while the folders were listed.
                continue
            detail = "its second copy is there" if name in twins else "a later one about the same file is there"
            yield Defect(Kind.DECISION_LOST, key, detail=detail)


def _fragments(scrub: Scrub, asset: str, records: list[LedgerRecord]) -> Iterator[Defect]:
    contents = scrub.read(f"objects of {asset}", scrub.objects.stored(Layout.objects_folder(asset)))
    for key, content in contents.items():
        if content.sha256 != key.rpartition("/")[2].partition(".")[0]:
            yield Defect(Kind.OBJECT_ALTERED, key, asset, detail=f"its bytes hash to {content.sha256}")
    for record in records:
        wanted = {LANDED_FILES: record.fragment, UNDATED_ROWS: record.undated_fragment}.get(asset)
        if wanted is None:
            continue
        key = Layout.object_key(asset, wanted)
        found = contents.get(key)
        if found is None and not scrub.objects.exists(key):
            yield Defect(Kind.OBJECT_MISSING, key, asset, detail=f"rows of {record.source}/{record.name}")
        elif found is not None and found.sha256 == wanted and found.rows != _rows(record, asset):
            detail = f"its fragment has {found.rows} rows, recorded are {_rows(record, asset)}"
            yield Defect(Kind.LEDGER_RECORD_DAMAGED, record.key, asset, detail=detail)
    yield from _shown_rows(scrub, asset, contents)


def _shown_rows(scrub: Scrub, asset: str, contents: Mapping[str, Content]) -> Iterator[Defect]:
    published = {content.sha256 for key, content in contents.items() if names_its_bytes(key, content.sha256)}
    for key, content in scrub.read(f"view of {asset}", scrub.objects.list(Layout.view_root(asset))).items():
        scrub.count("view_files_checked")
        if content.sha256 not in published:
            yield Defect(Kind.VIEW_ALTERED, key, asset, detail=f"its bytes hash to {content.sha256}")


def _rows(record: LedgerRecord, asset: str) -> int:
    if asset == UNDATED_ROWS:
        return sum(record.undated.values())
    return sum(record.rows_per_day.values()) + sum(record.too_late.values())


def _is_foreign_kept(key: str) -> bool:
    try:
        return key != Layout.raw_key(key.rpartition("/")[2])
    except PlatformError:
        return True


def _is_own(asset: str, key: str, rest: str) -> bool:
    """Tell whether a key is one that an asset's objects or log may have."""
    folder, _, name = rest.rpartition("/")
    try:
        if rest.startswith("objects/"):
            return key == Layout.object_key(asset, name.removesuffix(".parquet"))
        day, lost = folder.removeprefix("log/dt="), Layout.gap_in(name)
        if lost is not None:
            return key == Layout.gap_key(asset, day, lost)
        generation = Layout.generation(name)
        return generation is not None and key == Layout.log_key(asset, day, generation)
    except PlatformError:
        return False


def _once(defects: list[Defect]) -> list[Defect]:
    return list({(each.kind, each.key): each for each in reversed(defects)}.values())[::-1]

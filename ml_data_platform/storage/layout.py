"""Where everything lives: the one owner of every path under a root.

Belongs here: the key of each stored thing, as a relative POSIX path, and the check of every name that
becomes part of one. Does not belong here: reading or writing. Personal data lives under ``data/``, the
``objects/`` folders of ``_store/`` and ``raw/``; ``secrets/`` holds keys. Nowhere else.
"""

from __future__ import annotations

import hashlib
import re
from datetime import date, datetime

from ml_data_platform.errors import PartitionKeyError, StorageKeyError

STORE = "_store"
_TMP = "tmp"
TEMP_FOLDER = f"{STORE}/{_TMP}"
LOCKS_FOLDER = f"{STORE}/locks"
SNAPSHOTS_FOLDER = f"{STORE}/snapshots"
DAMAGED_FOLDER = f"{STORE}/damaged"
COMPARED_FOLDER = f"{STORE}/compared"
LOST_FOLDER = f"{STORE}/lost"
INSTANCE_KEY = f"{STORE}/instance.json"
ROOT_KEY = f"{STORE}/root.json"
KEY_ID_KEY = f"{STORE}/id_key.json"
KEY_IDS_FOLDER = f"{STORE}/key_ids"
PROBE_KEY = f"{STORE}/probe"
RAW_FOLDER = "raw"
LEDGER_FOLDER = "ledger"
FAILURES_FOLDER = f"{LEDGER_FOLDER}/_failures"
DECISIONS_FOLDER = f"{LEDGER_FOLDER}/_decisions"
PULLED_FOLDER = f"{LEDGER_FOLDER}/_pulled"
POLLED_FOLDER = f"{LEDGER_FOLDER}/_polled"
TWINS_FOLDER = f"{LEDGER_FOLDER}/_twins"
SEEN_FOLDER = f"{LEDGER_FOLDER}/_seen"
ADOPTED_KEY = f"{LEDGER_FOLDER}/_adopted.json"
LANDED_FILES = "landed_files"
UNDATED_ROWS = "undated_rows"
TOO_LATE_ROWS = "too_late_rows"

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ROUTING_HASH = re.compile(r"[0-9a-f]{12,64}")
_FILE_NAME = re.compile(r"(?:[a-z][a-z0-9_]{0,63}=[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}/){0,3}[a-z][a-z0-9_]{0,63}\.parquet")
_DECISION_FILE = re.compile(r"([0-9a-f]{64})\.([0-9]{8})\.json")
_SNAPSHOT = re.compile(r"[0-9a-f]{12,64}")
_LOG_FILE = re.compile(r"([0-9]{8})\.json")
_KEY_ID = re.compile(r"[0-9a-f]{8}")
_LOST_FILE = re.compile(r"([0-9]{8})\.lost\.json")
_RESERVED = frozenset({_TMP, "locks", "snapshots", "damaged", "compared", "lost", "key_ids"})


def parse_day(key: str) -> date:
    """Return the UTC day that a partition key names.

    Args:
        key: ``YYYY-MM-DD`` in ASCII digits, and nothing else.

    Raises:
        PartitionKeyError: The key has another form, or names no day of the calendar.
    """
    if _DAY.fullmatch(key):
        try:
            return date.fromisoformat(key)
        except ValueError:
            pass
    raise PartitionKeyError("The partition key is not a calendar day.", expected="YYYY-MM-DD", got=key)


def day_key(day: date | str) -> str:
    """Return the partition key of a UTC day, checked.

    Raises:
        PartitionKeyError: The text is no calendar day, or an instant was given for a day.
    """
    if isinstance(day, datetime):
        raise PartitionKeyError("An instant was given where a day is needed.", expected="a date", got=day)
    return day.isoformat() if isinstance(day, date) else parse_day(day).isoformat()


def check_name(name: str, what: str) -> str:
    """Return ``name`` if it can stand in a path as an asset or a source.

    Raises:
        StorageKeyError: It is not of the form ``[a-z][a-z0-9_]{0,63}``, or is reserved for storage itself.
    """
    if _NAME.fullmatch(name) is None or name in _RESERVED:
        raise StorageKeyError(f"The {what} is not a plain name.", expected=_NAME.pattern, got=name)
    return name


def check_sha256(text: str) -> str:
    """Return ``text`` if it is a SHA-256 in lower-case hex.

    Raises:
        StorageKeyError: It is not.
    """
    if _SHA256.fullmatch(text) is None:
        raise StorageKeyError("The content hash is not a SHA-256.", expected="64 lower-case hex digits", got=text)
    return text


class Layout:
    """The keys of everything stored: relative POSIX paths, each name in them checked.

    Every function raises `StorageKeyError` for a name, a hash or a file name that is not of its form, and
    `PartitionKeyError` for a day that is none, so that no text from outside can leave its folder.
    """

    @staticmethod
    def view_root(asset: str) -> str:
        """Folder of all of an asset's partitions as plain readers see them."""
        return f"data/{check_name(asset, 'asset')}"

    @staticmethod
    def view_folder(asset: str, day: date | str) -> str:
        """Folder of one partition as plain readers see it."""
        return f"{Layout.view_root(asset)}/dt={day_key(day)}"

    @staticmethod
    def view_key(asset: str, day: date | str, file_name: str) -> str:
        """One file of a partition as plain readers see it, e.g. ``data/…/label=positive/data.parquet``."""
        return f"{Layout.view_folder(asset, day)}/{Layout.file_name(file_name)}"

    @staticmethod
    def undated_view_key(source: str, sha256: str) -> str:
        """The rows of one landed file that belong to no day, as plain readers see them."""
        return f"data/{UNDATED_ROWS}/source={check_name(source, 'source')}/{check_sha256(sha256)}.parquet"

    @staticmethod
    def too_late_view_key(source: str, sha256: str) -> str:
        """The rows of one landed file that came too late for their days, as plain readers see them."""
        return f"data/{TOO_LATE_ROWS}/source={check_name(source, 'source')}/{check_sha256(sha256)}.parquet"

    @staticmethod
    def file_name(name: str) -> str:
        """Return ``name`` if it is a file of a partition: up to three Hive folders and a Parquet file."""
        if _FILE_NAME.fullmatch(name) is None:
            raise StorageKeyError("The file of a partition has no plain name.", expected=_FILE_NAME.pattern, got=name)
        return name

    @staticmethod
    def objects_folder(asset: str) -> str:
        """Folder of an asset's immutable objects."""
        return f"{STORE}/{check_name(asset, 'asset')}/objects"

    @staticmethod
    def object_key(asset: str, sha256: str) -> str:
        """An immutable Parquet file, named by its content."""
        return f"{Layout.objects_folder(asset)}/{check_sha256(sha256)[:2]}/{sha256}.parquet"

    @staticmethod
    def log_root(asset: str) -> str:
        """Folder of an asset's commit log; one folder per day below it."""
        return f"{STORE}/{check_name(asset, 'asset')}/log"

    @staticmethod
    def log_folder(asset: str, day: date | str) -> str:
        """Folder of one partition's commit log."""
        return f"{Layout.log_root(asset)}/dt={day_key(day)}"

    @staticmethod
    def log_key(asset: str, day: date | str, generation: int) -> str:
        """The record of one generation, 1 … 99999999, of a partition."""
        if not 1 <= generation <= 99_999_999:
            raise StorageKeyError("The generation is out of range.", expected="1 … 99999999", got=generation)
        return f"{Layout.log_folder(asset, day)}/{generation:08d}.json"

    @staticmethod
    def generation(file_name: str) -> int | None:
        """Return the generation that a file of a log folder records; None for a foreign file."""
        match = _LOG_FILE.fullmatch(file_name)
        return (int(match[1]) or None) if match else None

    @staticmethod
    def key_ids_folder(name: str) -> str:
        """Folder of the ids that a key of the root has had, the newest of which holds."""
        return f"{KEY_IDS_FOLDER}/{check_name(name, 'key')}"

    @staticmethod
    def key_id_key(name: str, number: int) -> str:
        """The ``number``-th id, 1 … 99999999, of a key."""
        return f"{Layout.key_ids_folder(name)}/{number:08d}.json"

    @staticmethod
    def key_id_place(file_name: str) -> int | str | None:
        """Return the number that a file of such a folder is of, or the id that its name is; None for a foreign file."""
        return Layout.generation(file_name) or (file_name if _KEY_ID.fullmatch(file_name) else None)

    @staticmethod
    def gap_key(asset: str, day: date | str, generation: int) -> str:
        """The note that the record of a generation is lost."""
        return f"{Layout.log_key(asset, day, generation).removesuffix('.json')}.lost.json"

    @staticmethod
    def gap_in(file_name: str) -> int | None:
        """Return the generation that a file of a log folder notes as lost; None for any other file."""
        match = _LOST_FILE.fullmatch(file_name)
        return (int(match[1]) or None) if match else None

    @staticmethod
    def lock_key(asset: str, day: date | str) -> str:
        """The lock under which a partition's view is projected."""
        return f"{LOCKS_FOLDER}/{check_name(asset, 'asset')}/dt={day_key(day)}.lock"

    @staticmethod
    def objects_lock_key(asset: str) -> str:
        """The lock that keeps the collector away from objects whose log record is still to be written."""
        return f"{LOCKS_FOLDER}/{check_name(asset, 'asset')}/objects.lock"

    @staticmethod
    def snapshots_folder() -> str:
        """Folder of the snapshots, which pin the bytes of versions."""
        return SNAPSHOTS_FOLDER

    @staticmethod
    def snapshot_key(name: str) -> str:
        """The snapshot of a version, named by a hash of what it says."""
        if _SNAPSHOT.fullmatch(name) is None:
            raise StorageKeyError("The snapshot has no plain name.", expected=_SNAPSHOT.pattern, got=name)
        return f"{SNAPSHOTS_FOLDER}/{name}.json"

    @staticmethod
    def raw_key(sha256: str) -> str:
        """The landed bytes of one file, as they came."""
        return f"raw/{check_sha256(sha256)}"

    @staticmethod
    def ledger_folder(source: str) -> str:
        """Folder of one source's ledger records."""
        return f"{LEDGER_FOLDER}/{check_name(source, 'source')}"

    @staticmethod
    def ledger_key(source: str, sha256: str, routing_hash: str) -> str:
        """The record of one landed content under one routing."""
        if _ROUTING_HASH.fullmatch(routing_hash) is None:
            raise StorageKeyError(
                "The routing hash has another form.", expected=_ROUTING_HASH.pattern, got=routing_hash
            )
        return f"{Layout.ledger_folder(source)}/{check_sha256(sha256)}.{routing_hash[:12]}.json"

    @staticmethod
    def decisions_folder(source: str) -> str:
        """Folder of the decisions about one source's landed contents."""
        return f"{DECISIONS_FOLDER}/{check_name(source, 'source')}"

    @staticmethod
    def decision_key(source: str, sha256: str, number: int) -> str:
        """The ``number``-th decision, 1 … 99999999, about one landed content."""
        if not 1 <= number <= 99_999_999:
            raise StorageKeyError("The number of a decision is out of range.", expected="1 … 99999999", got=number)
        return f"{Layout.decisions_folder(source)}/{check_sha256(sha256)}.{number:08d}.json"

    @staticmethod
    def twins_folder(source: str) -> str:
        """Folder of the second copies of the decisions about one source's landed contents."""
        return f"{TWINS_FOLDER}/{check_name(source, 'source')}"

    @staticmethod
    def twin_key(source: str, sha256: str, number: int) -> str:
        """The second copy of a decision, which nothing else could bear witness to."""
        name = Layout.decision_key(source, sha256, number).rpartition("/")[2]
        return f"{Layout.twins_folder(source)}/{name}"

    @staticmethod
    def decision_place(file_name: str) -> tuple[str, int] | None:
        """Return the content and the number that a file of a folder of decisions is of; None for a foreign file."""
        match = _DECISION_FILE.fullmatch(file_name)
        return (match[1], int(match[2])) if match and int(match[2]) else None

    @staticmethod
    def names_folder(source: str, sha256: str) -> str:
        """Folder of the names under which one landed content was seen."""
        return f"{Layout.ledger_folder(source)}/{check_sha256(sha256)}.names"

    @staticmethod
    def name_key(source: str, sha256: str, name: str) -> str:
        """The record of one name of one landed content; the name is free text, so its hash is used."""
        return f"{Layout.names_folder(source, sha256)}/{text_hash(name)}.json"

    @staticmethod
    def failures_folder(source: str) -> str:
        """Folder of a source's files that could not be landed."""
        return f"{FAILURES_FOLDER}/{check_name(source, 'source')}"

    @staticmethod
    def failure_key(source: str, path: str, reason: str) -> str:
        """The record of one file that could not be landed, once per reason."""
        return f"{Layout.failures_folder(source)}/{text_hash(path + chr(0) + reason)}.json"

    @staticmethod
    def pulled_folder(source: str, day: date | str) -> str:
        """Folder of the versions of a day's remote files that were fetched."""
        return f"{PULLED_FOLDER}/{check_name(source, 'source')}/{day_key(day)}"

    @staticmethod
    def pulled_key(source: str, day: date | str, location: str, version: str, number: int, *, is_done: bool) -> str:
        """The record of one fetched version of one remote file; addresses are free text, so their hashes are used."""
        name = f"{text_hash(location)}.{number:06d}.{text_hash(version)}.{'done' if is_done else 'begun'}.json"
        return f"{Layout.pulled_folder(source, day)}/{name}"

    @staticmethod
    def polled_folder(source: str) -> str:
        """Folder with a name for each day that need not be polled again."""
        return f"{POLLED_FOLDER}/{check_name(source, 'source')}"

    @staticmethod
    def polled_key(source: str, day: date | str) -> str:
        """The mark of one day that need not be polled again."""
        return f"{Layout.polled_folder(source)}/{day_key(day)}"

    @staticmethod
    def lost_key(asset: str, day: date | str, sha256: str) -> str:
        """The mark that a file of a partition is lost, and to be built again."""
        return f"{LOST_FOLDER}/{check_name(asset, 'asset')}/{day_key(day)}/{check_sha256(sha256)}"

    @staticmethod
    def damaged_key(key: str) -> str:
        """Where bytes are set aside that are not what their key says."""
        return f"{DAMAGED_FOLDER}/{key}"


def text_hash(text: str) -> str:
    """Return 32 hex digits that stand for a free text in a path."""
    # A POSIX file name is bytes: undecodable ones arrive as surrogates and must still have a hash.
    return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()

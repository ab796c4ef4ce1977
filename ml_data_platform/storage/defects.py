"""What can be wrong with stored bytes: its names, what each means and what to do.

Belongs here: the vocabulary of `verify`. Does not belong here: looking (``scrub_tables``, ``scrub_landed``), mending.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """A kind of defect."""

    OBJECT_MISSING = "object_missing"
    OBJECT_ALTERED = "object_altered"
    RECORD_DAMAGED = "record_damaged"
    RECORD_CONTRADICTS_OBJECT = "record_contradicts_object"
    LOG_GAP = "log_gap"
    SNAPSHOT_DAMAGED = "snapshot_damaged"
    SNAPSHOT_LOST = "snapshot_lost"
    VIEW_MISSING = "view_missing"
    VIEW_STALE = "view_stale"
    VIEW_ALTERED = "view_altered"
    KEPT_BYTES_MISSING = "kept_bytes_missing"
    KEPT_BYTES_ALTERED = "kept_bytes_altered"
    LEDGER_RECORD_DAMAGED = "ledger_record_damaged"
    LEDGER_RECORD_LOST = "ledger_record_lost"
    DECISION_LOST = "decision_lost"
    FILE_UNREADABLE = "file_unreadable"
    FOREIGN_FILE = "foreign_file"
    KEY_LOST = "key_lost"
    KEY_EXPOSED = "key_exposed"
    KEY_ID_DAMAGED = "key_id_damaged"
    HISTORY_UNBOUND = "history_unbound"
    HISTORY_DAMAGED = "history_damaged"
    VERSION_DAMAGED = "version_damaged"
    VERSION_BYTES_ALTERED = "version_bytes_altered"
    VERSION_BYTES_MISSING = "version_bytes_missing"
    VERSIONS_REMOTE_UNREACHABLE = "versions_remote_unreachable"
    MODEL_DAMAGED = "model_damaged"
    ROOT_MARK_DAMAGED = "root_mark_damaged"


_RUN_AGAIN = (
    "`ml-data-platform verify --repair` restores it from a copy, or sets it aside and marks its partition; then"
    " `ml-data-platform backfill` builds it again."
)
_LET_GO = (
    "`ml-data-platform verify --repair` sets it aside and notes it as lost; then `ml-data-platform backfill` builds the"
    " day again where that was its newest generation. A backup of the root that has the record loses no lineage."
)
_SNAPSHOT_AGAIN = (
    "`ml-data-platform verify --repair` writes it again from the version and the commit log; the version's remote has its"
    " bytes in any case."
)
MEANINGS: Mapping[Kind, tuple[str, str]] = {
    Kind.OBJECT_MISSING: ("A file that the log or a snapshot names is gone: what it holds cannot be read.", _RUN_AGAIN),
    Kind.OBJECT_ALTERED: (
        "A file does not have the bytes that its name says: it was changed or the disk failed.",
        _RUN_AGAIN,
    ),
    Kind.RECORD_DAMAGED: (
        "A record of the commit log cannot be read, or was changed after it was written.",
        _LET_GO,
    ),
    Kind.RECORD_CONTRADICTS_OBJECT: ("A record says another size or number of rows than its file has.", _LET_GO),
    Kind.LOG_GAP: ("A generation that was published has no record any more.", _LET_GO),
    Kind.SNAPSHOT_DAMAGED: (
        "The snapshot that pins the bytes of a version was changed: what it pins is not known, so nothing is collected.",
        _SNAPSHOT_AGAIN,
    ),
    Kind.SNAPSHOT_LOST: (
        "The snapshot that pins the bytes of a version is gone: they may be collected.",
        _SNAPSHOT_AGAIN,
    ),
    Kind.VIEW_MISSING: ("Plain readers do not find a file that is published.", "`verify --repair` shows it again."),
    Kind.VIEW_STALE: ("Plain readers see a file of an older generation.", "`verify --repair` shows the newest."),
    Kind.VIEW_ALTERED: (
        "Plain readers see bytes that were never published.",
        "`verify --repair` shows what is published.",
    ),
    Kind.KEPT_BYTES_MISSING: (
        "The landed bytes of a file are gone: its rows cannot be routed again.",
        "Land the same file again: its bytes are kept anew.",
    ),
    Kind.KEPT_BYTES_ALTERED: (
        "The landed bytes of a file have changed.",
        "Run `verify --repair`, which sets them aside, and land the same file again.",
    ),
    Kind.LEDGER_RECORD_DAMAGED: (
        "A small record below the ledger cannot be read, was changed after it was written, or contradicts itself.",
        (
            "`ml-data-platform verify --repair` sets it aside and makes it again from what bears witness to it; what failed"
            " over it is tried again by itself, within an hour; `ml-data-platform backfill` does so at once."
        ),
    ),
    Kind.LEDGER_RECORD_LOST: (
        "A file was landed, and its record in the ledger is gone: its rows would be dropped when its days are built.",
        (
            "`ml-data-platform verify --repair` makes it again from the kept bytes; where these are gone too, land the file"
            " again: `ml-data-platform land FILE --source NAME`, or give its rows up: `ml-data-platform retract SHA256 --source"
            " NAME --reason WORDS`."
        ),
    ),
    Kind.DECISION_LOST: (
        "A decision about a landed file is gone: what it admitted or took back would be undone.",
        "`ml-data-platform verify --repair` restores it from its second copy; where that is gone too, decide again.",
    ),
    Kind.FILE_UNREADABLE: (
        "A file cannot be read: its permissions forbid it, or the disk fails.",
        "Let the platform's user read it, or restore it from a backup of the root; then verify again.",
    ),
    Kind.FOREIGN_FILE: (
        "A file that the platform did not write; readers of the view may read it.",
        "Move it away yourself: the platform never deletes what is not its own.",
    ),
    Kind.KEY_LOST: (
        "A secret key is missing, no key any more, or another than what is stored was made with: nothing is built.",
        "Copy it from a backup or another machine; if it is lost for good, `ml-data-platform keys new NAME --yes`.",
    ),
    Kind.KEY_EXPOSED: (
        "A secret key can be read by others than its owner.",
        "`verify --repair` lets its owner alone read it.",
    ),
    Kind.KEY_ID_DAMAGED: (
        "What the root says of a key's id is gone, cannot be read, or was changed after it was written.",
        "`verify --repair` notes what stored days and files say; else `ml-data-platform keys accept NAME --yes`.",
    ),
    Kind.HISTORY_UNBOUND: (
        "What the root says of the Dagster history that it belongs to is gone, damaged, or names another one.",
        "`verify --repair` binds it to the one that recorded its runs; else `ml-data-platform history bind --yes`.",
    ),
    Kind.ROOT_MARK_DAMAGED: (
        "The mark that says which root the bucket holds is damaged or gone: nothing is written there.",
        "`verify --repair` puts it again, with the id that this machine remembers.",
    ),
    Kind.HISTORY_DAMAGED: (
        "A database of Dagster's history is damaged or gone; tables, versions and what is due do not depend on it.",
        "End `ml-data-platform dev` if it runs; `verify --repair` sets it aside and makes a usable one.",
    ),
    Kind.VERSION_DAMAGED: (
        "What git keeps of versions is damaged, or a version's manifest, tag and files in git contradict each other.",
        (
            "`ml-data-platform verify --repair` makes it again from the work tree and the commits, or fetches it, where"
            " `git remote add` named a copy of the repository. Else the version is lost: give its tag up in the folder of"
            " versions, `git tag -d TAG`; then `ml-data-platform verify --repair`, `ml-data-platform version cut`."
        ),
    ),
    Kind.VERSION_BYTES_ALTERED: (
        "A file of a version, in DVC's cache, its remote or the work tree, has other bytes than the version names.",
        "`ml-data-platform verify --repair` puts it back from the pinned object, the cache or the remote.",
    ),
    Kind.VERSION_BYTES_MISSING: (
        "A file of a version is gone from DVC's remote: the version cannot be restored elsewhere.",
        "`ml-data-platform verify --repair` puts it back from the pinned object or DVC's cache.",
    ),
    Kind.VERSIONS_REMOTE_UNREACHABLE: (
        "DVC's remote cannot be asked what it holds of the versions; nothing is known to be lost.",
        "Check that it can be reached, and the credentials; `ml-data-platform verify --repair` configures DVC anew.",
    ),
    Kind.MODEL_DAMAGED: (
        "A file of a training run is gone, cannot be read, or was changed after it was written.",
        "`ml-data-platform verify --repair` sets the run aside; train it again with the command that is named.",
    ),
}


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong.

    Attributes:
        kind: What is wrong.
        key: Where, relative to the root.
        asset: The asset that it belongs to; empty where to none.
        day: The partition, ``YYYY-MM-DD``, that reads or shows it; empty where none does.
        detail: What was expected and what was found.
        is_repaired: Whether it was mended.
    """

    kind: Kind
    key: str
    asset: str = ""
    day: str = ""
    detail: str = ""
    is_repaired: bool = False

    @property
    def meaning(self) -> str:
        """What the kind of defect means."""
        return MEANINGS[self.kind][0]

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return MEANINGS[self.kind][1]

    def to_json(self) -> dict[str, object]:
        """Return the defect as a JSON object."""
        return {
            "kind": self.kind.value,
            "key": self.key,
            "asset": self.asset or None,
            "day": self.day or None,
            "detail": self.detail,
            "meaning": self.meaning,
            "remedy": self.remedy,
            "is_repaired": self.is_repaired,
        }

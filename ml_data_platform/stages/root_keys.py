"""The secret keys of one root, and how a lost one is told from one that was never made.

Belongs here: which key a root needs, when one may be made, and that what is stored was made with the one at hand. Does
not belong here: a key's file (``storage.keys``), the record of its id (``storage.key_ids``).

Keys lie in a folder of the machine, ``<root>/secrets`` unless a setting names another, and are never uploaded: the root
holds their ids. A key is made only where nothing was ever made with one, and only by what lands or builds. Roots of
before the ids were noted have witnesses: published days say which key made their user ids, and the ledger which key
masked a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from ml_data_platform.errors import PlatformError, RecordError, SettingsError
from ml_data_platform.settings import Settings
from ml_data_platform.storage.key_ids import KeyIds, NotedId
from ml_data_platform.storage.keys import (
    FILE_ID,
    KEY_BYTES,
    NAMES,
    PII,
    USER_ID,
    key_path,
    load_or_create_key,
    read_key,
    replace_key,
)
from ml_data_platform.storage.ledger import Ledger
from ml_data_platform.storage.records_of_before import noted_digests
from ml_data_platform.storage.table_store import TableStore

MADE, FOUND, WITNESSED, TAKEN_OVER = "made on first use", "found on first use", "witnessed", "taken over"
MEANT = {
    USER_ID: "user ids are made",
    PII: "values are masked",
    FILE_ID: "files whose rows are masked are recognised",
}
CONSEQUENCES = {
    USER_ID: "Every user gets another id: all days are to be built again, and what was joined by user id elsewhere no"
    " longer fits.",
    PII: "Equal values have other masks before and after. Land the original files again to have one key.",
    FILE_ID: "Files that were landed masked are not recognised when they are landed again: their rows would count twice.",
}
_MANY = "several"


@dataclass(frozen=True)
class RootKeys:
    """The keys of one root, read anew at each call.

    Attributes:
        settings: Where they lie.
        store: What was published, and the records of their ids.
    """

    settings: Settings
    store: TableStore

    @property
    def ids(self) -> KeyIds:
        """The records of their ids."""
        return KeyIds(self.store.objects)

    def require(self, name: str) -> tuple[str, bytes]:
        """Return the id of a key and its secret; made where nothing was ever made with one, and its id noted.

        Raises:
            SettingsError: The key is lost, unusable, or another than what is stored was made with.
            RecordError: The record of its id was damaged.
        """
        noted = self._noted(name)
        if noted is not None:
            found = read_key(self.settings.secrets_folder, name)
            if found is None or found[0] != noted.key_id:
                self._refuse(name, noted.key_id, found)
            return found
        # Before the key: whoever made it meanwhile did so before anything was made with it.
        witnesses = self.witnesses(name)
        found = read_key(self.settings.secrets_folder, name)
        if witnesses and (found is None or not self._is_witnessed(found[0], witnesses)):
            self._refuse(name, " or ".join(witnesses), found)
        reason = WITNESSED if witnesses else FOUND
        if found is None:
            found, reason = load_or_create_key(self.settings.secrets_folder, name), MADE
        if not witnesses and len(found[1]) != KEY_BYTES:
            self._refuse(name, f"{2 * KEY_BYTES} hex digits", found)
        self._note(name, found, after=0, reason=reason)
        return found

    def known_id(self, name: str) -> str | None:
        """Return the id of a key as far as it can be known without the key; None where none was made yet.

        What only reads goes by it: of a key that is lost, the id that the root has noted.
        """
        try:
            noted = self._noted(name)
        except RecordError:
            noted = None
        if noted is not None:
            return noted.key_id
        try:
            found = read_key(self.settings.secrets_folder, name)
        except SettingsError:
            found = None
        if found is not None:
            return found[0]
        witnesses = self.witnesses(name)
        return witnesses[0] if len(witnesses) == 1 else _MANY if witnesses else None

    def witnesses(self, name: str) -> tuple[str, ...]:
        """Return the ids that a key must have one of, as what is stored says; none where nothing was made with it.

        Raises:
            RecordError: What is stored cannot be read.
        """
        before = self.ids.noted_before(name)
        if before:
            return tuple(sorted(before))
        if name == USER_ID:
            heads = self.store.heads("validated_events").values()
            published = {head.inputs["id_key"] for head in heads if "id_key" in head.inputs}
            landed = {record.key_id for record in self._ledger.records() if record.key_id} if not published else set()
            return tuple(sorted(published or landed))
        masked = {record.masked_with for record in self._ledger.records() if record.masked_with}
        # No record says by which key a file is recognised: that there are such files is all that is known.
        return tuple(sorted(masked)) if name == PII else (_MANY,) if masked else ()

    def faults(self) -> list[str]:
        """Return a line for each key that is lost, unusable or another; changes nothing."""
        lines = []
        for name in NAMES:
            try:
                self.check(name)
            except PlatformError as error:
                lines.append(str(error))
        return lines

    def check(self, name: str) -> None:
        """Refuse a key that is lost, unusable or another; none is made, and nothing is noted.

        Raises:
            SettingsError: It is.
            RecordError: The record of its id was damaged, or what bears witness.
        """
        noted = self._noted(name)
        wanted = (noted.key_id,) if noted is not None else self.witnesses(name)
        found = read_key(self.settings.secrets_folder, name)
        if wanted and (found is None or not self._is_witnessed(found[0], wanted)):
            self._refuse(name, " or ".join(wanted), found)

    def unnoted(self) -> list[str]:
        """Return the keys that are used and whose ids are not noted, as in a root of before."""
        return [name for name in NAMES if self._noted(name) is None and self.witnesses(name)]

    def make_new(self, name: str) -> str:
        """Make another key, set the one that is there aside, and note it as the root's; returns its id."""
        numbers = self.ids.numbers(name)
        found = replace_key(self.settings.secrets_folder, name)
        self._note(name, found, after=max(numbers, default=0), reason="made anew")
        return found[0]

    def accept(self, name: str) -> str:
        """Note the key that is there as the root's, whatever it was before; returns its id.

        Raises:
            SettingsError: There is none, or it is no key.
        """
        numbers = self.ids.numbers(name)
        found = read_key(self.settings.secrets_folder, name)
        if found is None or len(found[1]) != KEY_BYTES:
            self._refuse(name, f"{2 * KEY_BYTES} hex digits", found)
        self._note(name, found, after=max(numbers, default=0), reason="accepted")
        return found[0]

    def note_again(self, name: str, number: int) -> bool:
        """Note an id again whose record is gone, where key and witnesses agree; False where they do not."""
        found = read_key(self.settings.secrets_folder, name)
        if found is None or not self.is_witnessed(name):
            return False
        self._note(name, found, after=number - 1, reason=WITNESSED)
        return True

    def is_witnessed(self, name: str) -> bool:
        """Tell whether a key is there and what is stored was made with it."""
        found, witnesses = read_key(self.settings.secrets_folder, name), self.witnesses(name)
        return found is not None and self._is_witnessed(found[0], witnesses)

    def is_unnoted(self, name: str) -> bool:
        """Tell whether a key is used whose id was noted once, as it is not in a root of before, and is no longer."""
        return noted_digests(self.store.objects) is not None and bool(self.witnesses(name))

    @property
    def _ledger(self) -> Ledger:
        return Ledger(self.store.objects)

    def _noted(self, name: str) -> NotedId | None:
        try:
            return self.ids.noted(name)
        except RecordError as error:
            remedy = "Run `ml-data-platform verify --repair`: it notes the id again as what is stored says."
            raise RecordError(error.what, remedy=remedy, **error.facts) from error

    def _note(self, name: str, found: tuple[str, bytes], *, after: int, reason: str) -> None:
        at = self.store.clock().isoformat()
        noted = self.ids.note(name, found[0], after=after, reason=reason, at=at)
        if noted.key_id != found[0]:
            self._refuse(name, noted.key_id, found)

    def _is_witnessed(self, key_id: str, witnesses: Sequence[str]) -> bool:
        return key_id in witnesses or _MANY in witnesses

    def _refuse(self, name: str, expected: str, found: tuple[str, bytes] | None) -> NoReturn:
        path = key_path(self.settings.secrets_folder, name)
        what = "is lost" if found is None else "is another one than the root's"
        raise SettingsError(
            f"The key with which {MEANT[name]} {what}, so nothing is landed or built.",
            remedy=(
                f"Copy {path} from a backup, or from another machine that uses the root: it is never uploaded. Where it"
                f" is lost for good, `ml-data-platform keys new {name} --yes` makes another:"
                f" {CONSEQUENCES[name][0].lower()}{CONSEQUENCES[name][1:]}"
            ),
            root=str(self.settings.root),
            expected="a key" if expected == _MANY else f"key {expected}",
            got="none" if found is None else f"key {found[0]}",
        )

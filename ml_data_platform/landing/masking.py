"""Personal data taken out of landed rows, before anything of them is written anywhere.

Belongs here: keyed masks, and rewriting the JSON text of a row by its plan, so that every value that stays keeps its
exact text. Does not belong here: which path is masked (``events.masking_plan``), files (``masked_files``).

A mask is ``masked_`` and 32 hex digits of HMAC-SHA256(key, purpose, 0x00, domain, 0x00, text): equal texts have equal
masks within a domain, whatever their column; null and blank texts, which say nothing, stay, and so do texts in columns of
ids that stand for none. A number is masked by its digits, an integer id however it is written as the integer, an object or
array as a whole by its JSON text.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from json.decoder import scanstring  # type: ignore[attr-defined]
from types import MappingProxyType
from typing import Literal, TypeVar

import pyarrow as pa

from ml_data_platform.events.contract_parts import MaskingAction
from ml_data_platform.events.evolution import LARGEST_EXACT_INTEGER
from ml_data_platform.events.id_texts import id_text
from ml_data_platform.events.identity import POSITION_COLUMNS
from ml_data_platform.events.masking_plan import ROW_KEY, MaskingPlan, PathRule, with_masked
from ml_data_platform.landing.chunks import CHUNK, MALFORMED_ROW, WRONG_FIELD_COUNT
from ml_data_platform.landing.distinct_names import EXTRA_FIELDS_KEY, UNPARSED_KEY
from ml_data_platform.landing.json_text import after_blanks, end_of

Path = tuple[str, ...]
FindUnparsed = Callable[[pa.Table], Mapping[int, frozenset[Path]]]
"""From a chunk of rows as they land to the paths of the values that do not parse, by position of the row in the chunk."""

PREFIX = "masked_"
MASK_HEX_DIGITS = 32
MAX_REMEMBERED_CHARACTERS = 256
MAX_REMEMBERED = 65_536

# A member whose value is neither object nor array, with what follows it: most of most rows.
_SIMPLE = re.compile(
    r'[ \t\r\n]*("[^"\\]*(?:\\.[^"\\]*)*")[ \t\r\n]*:[ \t\r\n]*'
    r'("[^"\\]*(?:\\.[^"\\]*)*"|[^\s,\[\]{}":]+)[ \t\r\n]*([,}])',
    re.DOTALL,
)
_NOTHING = frozenset({"null", '""'})
# A position that is dropped tells no event from another, and one that is masked is known by its name.
_POSITIONS = frozenset(json.dumps(name) for name in POSITION_COLUMNS)
_KEPT = PathRule("keep")
_NO_PATHS: frozenset[Path] = frozenset()
_Action = MaskingAction | Literal["mask_id", "within"]
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class MaskingKeys:
    """The keys of a root that masks.

    Attributes:
        key_id: Names the key of the masks in records; not secret.
        secret: The key of the masks.
        file_secret: The key by which a file's bytes are recognised; it stays when the key of the masks is changed.
    """

    key_id: str
    secret: bytes = field(repr=False)
    file_secret: bytes = field(repr=False)

    @classmethod
    def throwaway(cls) -> MaskingKeys:
        """Return keys that nobody keeps, for rows that are only looked at."""
        return cls("throwaway", secrets.token_bytes(32), secrets.token_bytes(32))


class Masker:
    """Masks the rows of one source.

    Args:
        plan: What becomes of each value.
        keys: The keys of the root.
        find_unparsed: Finds the values that do not parse as the fields they stand in, which are masked too.

    Attributes:
        unparsed_rows: Rows so far with a value that did not parse.
    """

    def __init__(
        self, plan: MaskingPlan, keys: MaskingKeys, find_unparsed: FindUnparsed = lambda _chunk: MappingProxyType({})
    ) -> None:
        self.plan = plan
        self.unparsed_rows = 0
        self._find_unparsed = find_unparsed
        self._roots: dict[frozenset[Path], PathRule] = {frozenset(): plan.root}
        self._secret = keys.secret
        self._absent_ids = frozenset(plan.absent_ids)
        self._remembered: dict[str, str] = {}
        self._remembered_ids: dict[str, str] = {}
        self._dropped: list[str] = []
        self._members: dict[tuple[int, str], tuple[_Action, str]] = {}

    def mask_chunk(self, chunk: pa.Table) -> pa.Table:
        """Return a chunk's rows masked.

        Args:
            chunk: A table of schema ``CHUNK``.

        Returns:
            The same rows, of the same schema. Of a row with a defect, where personal data may stand anywhere, only its
            length and a mask of it are left. A row that is nested too deeply to be looked through becomes malformed.
        """
        unparsed = self._find_unparsed(chunk)
        self.unparsed_rows += len(unparsed)
        rows = zip(chunk["landed"].to_pylist(), chunk["defect"].to_pylist(), strict=True)
        masked = [self._row(text, defect, unparsed.get(at, _NO_PATHS)) for at, (text, defect) in enumerate(rows)]
        texts = pa.array([text for text, _ in masked], pa.string())
        found = pa.array([defect for _, defect in masked], pa.string())
        return pa.table([chunk["source_row"].combine_chunks(), texts, found], schema=CHUNK)

    def mask_names(self, names: Sequence[str]) -> list[str]:
        """Return the names of a file's columns as its masked rows have them."""
        kept = ((name, self._rule_of(self.plan.root, name)) for name in names)
        shown = (name if rule is not None else self._name(name) for name, rule in kept)
        return [name for name in shown if name is not None]

    def mask(self, text: str, purpose: str = "value") -> str:
        """Return the mask of a text; ``purpose`` keeps masks of different things apart."""
        message = b"\0".join((purpose.encode(), self.plan.domain.encode(), text.encode("utf-8", "surrogatepass")))
        return PREFIX + hmac.digest(self._secret, message, "sha256").hex()[:MASK_HEX_DIGITS]

    def _row(self, text: str, defect: str | None, unparsed: frozenset[Path]) -> tuple[str, str | None]:
        if defect is not None:
            return self._defective(text, defect), defect
        self._dropped.clear()
        try:
            masked, _ = self._object(text, after_blanks(text, 0), self._root(unparsed))
        except (RecursionError, ValueError, IndexError):
            return self._defective(text, MALFORMED_ROW), MALFORMED_ROW
        if self.plan.tells_rows_apart and self._dropped:
            separator = "," if len(masked) > len("{}") else ""
            # Only what was dropped, in an order of its own: how the rest is written tells nothing apart.
            dropped = "\n".join(sorted(self._dropped))
            masked = f'{masked[:-1]}{separator}"{ROW_KEY}":"{self.mask(dropped, "row")}"}}'
        return masked, None

    def _root(self, unparsed: frozenset[Path]) -> PathRule:
        """Return the rule of a row in which the values at some paths do not parse; it lives as long as the masker."""
        found = self._roots.get(unparsed)
        if found is None:
            found = self._roots[unparsed] = with_masked(self.plan.root, unparsed)
        return found

    def _defective(self, text: str, defect: str) -> str:
        facts: dict[str, object] = {UNPARSED_KEY: self.mask(text, "row")}
        if defect == WRONG_FIELD_COUNT:
            cells = json.loads(text)
            facts["fields"] = len(cells) - (EXTRA_FIELDS_KEY in cells) + len(cells.get(EXTRA_FIELDS_KEY, ()))
        else:
            facts["characters"] = len(text)
        return json.dumps(facts, separators=(",", ":"))

    def _object(self, text: str, at: int, rule: PathRule) -> tuple[str, int]:
        """Return the object that begins at ``at`` masked, and where it ends."""
        members: list[str] = []
        at += 1
        while True:
            simple = _SIMPLE.match(text, at)
            if simple is not None:
                written, value, closing = simple.groups()
                action, name = self._members.get((id(rule), written)) or self._member(rule, written)
                if action == "keep":
                    members.append(f"{name}:{value}")
                elif action == "mask":
                    members.append(f"{name}:{self._remembered.get(value) or self._masked(value)}")
                elif action == "mask_id":
                    members.append(f"{name}:{self._remembered_ids.get(value) or self._masked_id(value)}")
                else:
                    found = self._within(rule, written, value) if action == "within" else None
                    if found is not None:
                        members.append(f"{name}:{found}")
                    elif value not in _NOTHING and written not in _POSITIONS:
                        self._dropped.append(f"{written}:{value}")
                at = simple.end()
            else:
                at = after_blanks(text, at)
                if text[at] == '"':
                    member, at = self._nested_member(text, at, rule)
                    members += [member] if member is not None else []
                    at = after_blanks(text, at)
                closing = text[at]
                at += 1
            if closing == "}":
                return "{" + ",".join(members) + "}", at

    def _nested_member(self, text: str, at: int, rule: PathRule) -> tuple[str | None, int]:
        """Return a member whose value is an object or array, None where it is dropped, and where it ends."""
        start = at
        key, at = scanstring(text, at + 1, False)
        written = text[start:at]
        at = after_blanks(text, after_blanks(text, at) + 1)
        found = self._rule_of(rule, key)
        if found is None and rule.action != "keep":
            value, at = self._by(self.plan.unnamed, text, at)
            name = self._name(key)
            written = written if name == key else json.dumps(name)
        else:
            value, at = self._value(text, at, found or _KEPT)
        if value is None:
            self._dropped.append(text[start:at])
            return None, at
        return f"{written}:{value}", at

    def _array(self, text: str, at: int, rule: PathRule) -> tuple[str, int]:
        elements: list[str] = []
        at = after_blanks(text, at + 1)
        while text[at] != "]":
            value, at = self._value(text, at, rule)
            elements += [value] if value is not None else []
            at = after_blanks(text, at)
            at = after_blanks(text, at + 1) if text[at] == "," else at
        return "[" + ",".join(elements) + "]", at + 1

    def _value(self, text: str, at: int, rule: PathRule) -> tuple[str | None, int]:
        """Return the value at ``at`` by its rule, None where it is dropped, and where it ends."""
        if rule.action in ("mask", "drop") or (rule.action == "keep" and not rule.within):
            return self._by(rule.action, text, at)
        if text[at] == "{":
            return self._object(text, at, rule)
        if text[at] == "[":
            # A path leads into each element of an array; a plain field has none that is named.
            return self._array(text, at, rule) if rule.within else self._by(self.plan.unnamed, text, at)
        end = end_of(text, at)
        return self._plain(text[at:end], rule), end

    def _within(self, rule: PathRule, written_key: str, written: str) -> str | None:
        """Return a plain value under a key that has rules of what is within it, None where it is dropped."""
        return self._plain(written, self._rule_of(rule, scanstring(written_key, 1, False)[0]) or _KEPT)

    def _plain(self, written: str, rule: PathRule) -> str | None:
        """Return a value that is neither object nor array by its rule, None where it is dropped."""
        within = self._text_within(written, rule) if rule.within else None
        if within is not None:
            return within
        # A plain value where the contract expects an object may hold what should be within.
        action = "keep" if rule.action in ("field", "keep") else self.plan.unnamed if self.plan.is_flat else "mask"
        return None if action == "drop" else written if action == "keep" else self._masked(written)

    def _text_within(self, written: str, rule: PathRule) -> str | None:
        """Return a text that is JSON with what is within it masked; None where it is none."""
        content = scanstring(written, 1, False)[0] if written[0] == '"' else ""
        start = after_blanks(content, 0)
        if content[start : start + 1] not in ("{", "["):
            return None
        try:
            json.loads(content)
            masked, _ = self._value(content, start, rule)
        except (RecursionError, ValueError, IndexError):
            return None
        return None if masked is None else json.dumps(masked, ensure_ascii=False)

    def _by(self, action: MaskingAction, text: str, at: int) -> tuple[str | None, int]:
        end = end_of(text, at)
        if action == "drop":
            return None, end
        written = text[at:end]
        return (written if action == "keep" else self._masked(written)), end

    def _masked(self, written: str) -> str:
        """Return the JSON text of a value's mask; null and blanks stay."""
        content = scanstring(written, 1, False)[0] if written[0] == '"' else written
        found = written if written == "null" or not content.strip() else f'"{self.mask(content)}"'
        if len(written) <= MAX_REMEMBERED_CHARACTERS:
            _remember(self._remembered, written, found)
        return found

    def _masked_id(self, written: str) -> str:
        """Return the JSON text of an id's mask; what stands for no id stays."""
        content = scanstring(written, 1, False)[0] if written[0] == '"' else _plain_number(written)
        found = id_text(content, self._absent_ids) if written != "null" else None
        masked = written if found is None else f'"{self.mask(found)}"'
        if len(written) <= MAX_REMEMBERED_CHARACTERS:
            _remember(self._remembered_ids, written, masked)
        return masked

    def _member(self, rule: PathRule, written: str) -> tuple[_Action, str]:
        """Return what becomes of a plain value under a key, and how the key is written in the masked row."""
        key = scanstring(written, 1, False)[0]
        rule_of_key = self._rule_of(rule, key)
        found: tuple[_Action, str]
        if rule_of_key is None and rule.action != "keep":
            name = self._name(key)
            found = self.plan.unnamed, written if name is None or name == key else json.dumps(name)
        elif rule_of_key is None:
            found = "keep", written
        elif rule_of_key.within and rule_of_key.action not in ("mask", "drop"):
            found = "within", written
        else:
            found = "keep" if rule_of_key.action == "field" else rule_of_key.action or "mask", written
        if found[0] == "mask" and rule_of_key is not None and rule_of_key.is_id:
            found = "mask_id", written
        _remember(self._members, (id(rule), written), found)
        return found

    def _name(self, name: str) -> str | None:
        """Return the name that an unnamed column has in masked rows; None where it is dropped."""
        if self.plan.unnamed == "keep" or (self.plan.unnamed == "mask" and name in POSITION_COLUMNS):
            return name
        return self.mask(name, "name") if self.plan.unnamed == "mask" else None

    def _rule_of(self, rule: PathRule, key: str) -> PathRule | None:
        """Return the rule of a key; one that is written with dots stands for the path, as flattening producers do."""
        found = rule.within.get(key)
        if found is None and "." in key:
            found = rule
            for part in key.split("."):
                found = found.within.get(part)
                if found is None:
                    break
        return found


def _plain_number(written: str) -> str:
    """Return a JSON number that is an integer in full digits, as Parquet and CSV have it; anything else as it is."""
    if not any(mark in written for mark in ".eE") or written in ("true", "false"):
        return written
    value = float(written)
    return str(int(value)) if value.is_integer() and abs(value) <= LARGEST_EXACT_INTEGER else written


def _remember(memory: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    if len(memory) >= MAX_REMEMBERED:
        memory.clear()
    memory[key] = value

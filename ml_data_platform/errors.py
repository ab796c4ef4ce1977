"""Every error the platform raises on purpose.

Belongs here: exception classes whose message says what is wrong, where, what was expected, what was
found and what to do. Does not belong here: decisions about when to raise them.
"""

from __future__ import annotations

import errno
from typing import Any, ClassVar

MESSAGE_LIMIT = 2_000


def bounded(text: object, limit: int = 200) -> str:
    """Return ``text`` as one printable line of at most ``limit`` characters."""
    line = repr(text)[1:-1] if isinstance(text, str) else str(text)
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


class PlatformError(Exception):
    """The base of all errors raised by the platform.

    Facts are keyword-only and stay readable as attributes, so that a caller never parses a message.
    Instances survive pickling, because runs cross process borders.

    Args:
        what: One sentence: what is wrong.
        remedy: One sentence: what to do about it.
        facts: Where it happened and what was expected, e.g. ``asset``, ``partition``, ``file``, ``row``,
            ``expected``, ``got``.
    """

    default_remedy: ClassVar[str] = ""

    def __init__(self, what: str, *, remedy: str = "", **facts: Any) -> None:
        self.what = what
        self.remedy = remedy or self.default_remedy
        self.facts = facts
        where = ", ".join(f"{name}={bounded(value)}" for name, value in facts.items() if value is not None)
        parts = [what, f"[{where}]" if where else "", self.remedy]
        super().__init__(" ".join(part for part in parts if part)[:MESSAGE_LIMIT])

    def __getattr__(self, name: str) -> Any:
        facts = self.__dict__.get("facts", {})
        if name in facts:
            return facts[name]
        raise AttributeError(name)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.what, self.remedy, self.facts))


def _rebuild(kind: type[PlatformError], what: str, remedy: str, facts: dict[str, Any]) -> PlatformError:
    return kind(what, remedy=remedy, **facts)


class SettingsError(PlatformError):
    """A setting has a value that the platform cannot use."""


class YamlTextError(PlatformError):
    """YAML text cannot be read, is ambiguous, or grows without bound."""


class ContractError(PlatformError):
    """A source contract is malformed, or names something that does not exist."""


class DecisionError(PlatformError):
    """What is to be decided about a landed file makes no sense for it."""


class PartitionKeyError(PlatformError):
    """A partition key is not a calendar day in the form ``YYYY-MM-DD``."""


class LandingError(PlatformError):
    """A landed file cannot be read as its contract says."""


class FileTooLargeError(LandingError):
    """A landed file exceeds a limit of this deployment; under a higher one it is tried again."""


class RemoteFileError(PlatformError):
    """A file cannot be fetched, or its place cannot be looked at; trying again may help."""


class RemoteFileRefusedError(RemoteFileError):
    """A file is not fetched, however often it is tried."""


class SchemaMismatchError(PlatformError):
    """A table's bytes do not have the schema that was declared for it."""


class VerificationError(PlatformError):
    """Bytes read back differ from the bytes written."""


class DamagedObjectError(VerificationError):
    """A stored file that is named by its content is gone, or has other bytes: nothing is built upon it."""


class CommitConflictError(PlatformError):
    """Another writer published this partition from inputs that are required now; ours are stale."""

    default_remedy = "Run the partition again: it will read the current inputs."


class CommitStateUnknownError(PlatformError):
    """The commit point was reached, but whether the record was written could not be learned."""

    default_remedy = "Run the partition again: a finished commit is recognised and not repeated."


class CommitExpiredError(PlatformError):
    """A commit took so long that the objects which it refers to may have been collected meanwhile."""

    default_remedy = "Run the partition again."


class ConditionFailedError(PlatformError):
    """The condition of a request to a store did not hold; ``was_repeated``: its first attempt may be why."""


class StorageUnavailableError(PlatformError, OSError):
    """A remote store did not do what it was asked, after several attempts; also an `OSError` with its number."""

    default_remedy = "Look at the store and the way to it, then run again: what is published stays."

    def __init__(self, what: str, *, remedy: str = "", **facts: Any) -> None:
        super().__init__(what, remedy=remedy, **facts)
        # What is forbidden stays so; anything else may pass.
        self.errno = errno.EACCES if facts.get("status") in {401, 403} else errno.EIO


class SystemFaultError(PlatformError, OSError):
    """The machine refused something: a full disk, a forbidden file; also an `OSError` with the system's ``errno``."""

    def __init__(self, what: str, *, remedy: str = "", **facts: Any) -> None:
        super().__init__(what, remedy=remedy, **facts)
        # Not its file name too: an `OSError` with one no longer says its message.
        self.errno = facts.get("errno")


class EngineMemoryError(PlatformError):
    """A query needs more memory than the query engine may take."""


class HistoryError(PlatformError):
    """Dagster's history of a root cannot be used: it is damaged, held by another process, or cannot be written."""


class MissingPartitionError(PlatformError):
    """A partition that a stage needs was never published."""


class BlockedUpstreamError(PlatformError):
    """A day cannot be built because a day that it reads is blocked by its validation."""


class ValidationSetupError(PlatformError):
    """A rule could not be evaluated, e.g. because its column is missing."""


class InstanceMismatchError(PlatformError):
    """A root is used with a Dagster instance other than the one it is bound to."""


class RootMismatchError(PlatformError):
    """A place in a bucket does not hold the root that this machine used there."""


class StageFailedError(PlatformError):
    """A stage produced something that contradicts its own accounting."""


class QueryTextError(PlatformError):
    """A query's text names a primitive or a slot that it is not given."""


class StorageKeyError(PlatformError):
    """A name that becomes part of a storage path is not of the form that storage accepts."""


class RecordError(PlatformError):
    """A stored record (commit log, ledger, decision, note) cannot be read as what it should be, or is gone."""

    default_remedy = "Run `ml-data-platform verify --repair`: it makes the record again, or says what is lost."


class VersionError(PlatformError):
    """A version of the data sets cannot be cut, read or compared."""


class UnknownVersionError(PlatformError):
    """No version has this tag."""

    default_remedy = "`ml-data-platform version list` shows the tags."


class CorruptVersionError(PlatformError):
    """Bytes are not those that a version names."""


class VersionsBusyError(PlatformError):
    """Another process is cutting a version, and did not end in time."""


class SplitError(PlatformError):
    """A split, a sample or folds were asked for that would leak, or that the data cannot give."""


class LeakageError(PlatformError):
    """Rows that were to be learnt from know the future, the label or the test part."""


class UnpinnedDataError(PlatformError):
    """Data were to be used for training that no version pins, or that differ from the version."""

    default_remedy = "Cut a version first: ml-data-platform version cut."

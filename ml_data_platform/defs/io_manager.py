"""The IO manager: commits staged tables, hands out pinned references.

Belongs here: translating between Dagster's outputs and inputs and the commit protocol. Does not belong here:
the protocol (``storage.table_store``).
"""

import datetime as dt
import errno
from collections.abc import Mapping
from typing import NoReturn

import dagster as dg

from ml_data_platform.defs.attempts import DAMAGED_KEY
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.errors import CommitConflictError, CommitStateUnknownError, DamagedObjectError, PlatformError
from ml_data_platform.events.lateness import ONE_DAY
from ml_data_platform.events.planning import changed_inputs, required_inputs
from ml_data_platform.events.untrusted_text import plain
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.state import read_state
from ml_data_platform.storage.layout import Layout, parse_day
from ml_data_platform.storage.system_faults import explained
from ml_data_platform.storage.table_store import PartitionRef, StagedTable

TRANSIENT = frozenset(
    {errno.EIO, errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET}
)
MAX_RETRIES = 3
FIRST_DELAY_SECONDS = 1.0


def retry_if_transient(error: OSError, attempt: int) -> None:
    """Ask for a retry with growing delay when an I/O error may pass; return when it may not.

    A full disk, a missing permission and every failure of validation stay what they are: running again on the
    same inputs would change nothing.

    Raises:
        RetryRequested: The error is transient.
        SystemFaultError: It is not, and what to do about it is known.
    """
    if error.errno in TRANSIENT:
        retry(error, attempt)
    told = explained(error)
    if told is not error:
        raise told from error


def retry(error: Exception, attempt: int) -> NoReturn:
    """Ask for a retry with growing delay.

    Raises:
        RetryRequested: Always.
    """
    raise dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=FIRST_DELAY_SECONDS * 2**attempt) from error


def as_failure(error: PlatformError) -> dg.Failure:
    """Return an error as a failed step that shows its message alone, and is not tried again within the run."""
    named = {DAMAGED_KEY: error.key} if isinstance(error, DamagedObjectError) else {}
    metadata = {"error": type(error).__name__, **named}
    return dg.Failure(description=plain(str(error)), allow_retries=False, metadata=metadata)


def inputs_required_now(platform: Platform, asset: str, day: dt.date) -> dict[str, str]:
    """Return what a partition must be built from now; a quarantine is built from what its events are built from."""
    neighbours = [day + offset * ONE_DAY for offset in (-1, 0, 1)]
    stage = "validated_events" if asset == "quarantined_events" else asset
    return required_inputs(read_state(platform, days=neighbours), stage, day)


def refuse_stale(platform: Platform, staged: StagedTable, day: dt.date) -> None:
    """Refuse to replace what is built from current inputs by what is not.

    The store itself compares only when generations collide. A build that pinned its inputs before others published
    and looked at the head after them meets no such collision.

    Raises:
        CommitConflictError: The head's inputs are required now, and ours are others.
    """
    head = platform.store.head(staged.asset, day)
    if head is None or head.inputs == staged.inputs:
        return
    required = inputs_required_now(platform, staged.asset, day)
    if dict(head.inputs) == required != dict(staged.inputs):
        raise CommitConflictError(
            "what is published is built from the current inputs, and this is not",
            asset=staged.asset,
            partition=staged.day,
            expected="; ".join(changed_inputs(staged.inputs, required)),
            run_id=head.run_id,
        )


def publish(platform: Platform, staged: StagedTable, run_id: str) -> dict[str, dg.MetadataValue | int | str]:
    """Commit a staged table and return its generation, size and place as metadata.

    Raises:
        CommitConflictError: Others published meanwhile what is built from newer inputs.
        OSError: The storage failed; a commit that went through is recognised when it is tried again.
    """
    day = parse_day(staged.day)

    def inputs_are_current(inputs: Mapping[str, str]) -> bool:
        return dict(inputs) == inputs_required_now(platform, staged.asset, day)

    refuse_stale(platform, staged, day)
    commit = platform.store.commit(staged, run_id=run_id, inputs_are_current=inputs_are_current)
    return {
        "dagster/partition_row_count": commit.record.rows,
        # In a bucket too: the UI copies a path, and would make a link that no browser opens of a URL.
        "dagster/uri": dg.MetadataValue.path(platform.store.objects.uri(Layout.view_folder(staged.asset, day))),
        "bytes": sum(entry.size_bytes for entry in commit.record.files),
        "generation": commit.record.generation,
        "content": commit.record.content,
        "commit": commit.outcome,
    }


class CommittedTables(dg.ConfigurableIOManager):
    """Publishes a staged table as the next generation of its partition, whole or not at all.

    A stage's value is a :class:`StagedTable` that was verified already; an input is a :class:`PartitionRef` of
    immutable files, pinned when the run loads it.
    """

    platform: dg.ResourceDependency[PlatformResource]

    def handle_output(self, context: dg.OutputContext, obj: StagedTable) -> None:
        """Commit ``obj`` and report its generation, size and place.

        Raises:
            CommitConflictError: Others published meanwhile what is built from newer inputs.
            Failure: An object that is there already is damaged.
            RetryRequested: An I/O error may pass.
        """
        try:
            facts = publish(self.platform.open(), obj, context.run_id)
        except OSError as error:
            retry_if_transient(error, context.step_context.previous_attempt_count)
            raise
        except CommitStateUnknownError as error:
            # The next attempt recognises a commit that went through.
            retry(error, context.step_context.previous_attempt_count)
        except DamagedObjectError as error:
            raise as_failure(error) from error
        context.add_output_metadata(facts)

    def load_input(self, context: dg.InputContext) -> PartitionRef:
        """Pin the partitions of the upstream asset that the run reads; absent days stay visible."""
        asset = context.asset_key.path[-1]
        return self.platform.open().store.ref(asset, [parse_day(key) for key in context.asset_partition_keys])

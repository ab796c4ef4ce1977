"""One opened root: its store, ledger, contracts, key and clock.

Belongs here: putting the parts together and binding a root to one Dagster instance. Does not belong here:
anything that decides or computes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ml_data_platform.errors import InstanceMismatchError
from ml_data_platform.events.contracts import SHIPPED_SOURCES, Contracts, load_contracts
from ml_data_platform.events.ids import IdKey
from ml_data_platform.features.catalog import feature_columns
from ml_data_platform.landing.masking import MaskingKeys
from ml_data_platform.settings import Settings
from ml_data_platform.stages.result import EngineLimits
from ml_data_platform.stages.root_keys import RootKeys
from ml_data_platform.storage.history_binding import HistoryBinding
from ml_data_platform.storage.keys import FILE_ID, PII, USER_ID
from ml_data_platform.storage.ledger import Ledger
from ml_data_platform.storage.opening import open_objects
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform.training.leakage import require_acceptable
from ml_data_platform.validation.rules import with_tolerances
from ml_data_platform.validation.suites import ALL_RULES

if TYPE_CHECKING:
    from ml_data_platform.storage.s3_client import S3Connection

Clock = Callable[[], dt.datetime]
COMPARED_RUNS = 20


def utc_now() -> dt.datetime:
    """Return the time of the machine's clock, aware, in UTC."""
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True)
class Platform:
    """Everything that belongs to one root.

    Attributes:
        settings: The deployment's choices.
        store: Tables and their commit log.
        ledger: What was landed.
        contracts: Source to contract, shipped and the user's own, and those that are broken.
        keys: Its secret keys; opening a root neither makes nor needs one.
        clock: Returns the present instant, aware, in UTC.
        connection: How buckets are reached, where the settings do not say it.
    """

    settings: Settings
    store: TableStore
    ledger: Ledger
    contracts: Contracts
    keys: RootKeys
    clock: Clock
    connection: S3Connection | None = None

    @cached_property
    def id_key(self) -> IdKey:
        """Key of the pseudonymous user ids, made on first use.

        Raises:
            SettingsError: It is lost, or another than the root's.
        """
        return IdKey(*self.keys.require(USER_ID))

    @property
    def id_key_id(self) -> str:
        """Id of the key of the user ids, as far as it is known without the key; ``none`` before one was made."""
        return self._known_id(USER_ID)

    @cached_property
    def masking_keys(self) -> MaskingKeys | None:
        """Keys of the masks, made on first use; None where no contract has a ``pii`` section.

        Raises:
            SettingsError: One is lost, or another than the root's.
        """
        if not self.has_personal_data:
            return None
        return MaskingKeys(*self.keys.require(PII), self.keys.require(FILE_ID)[1])

    @property
    def masked_with(self) -> str | None:
        """Id of the key of the masks, likewise; None where nothing is masked."""
        return self._known_id(PII) if self.has_personal_data else None

    @property
    def has_personal_data(self) -> bool:
        """Whether a contract has a ``pii`` section."""
        return any(contract.pii is not None for contract in self.contracts.values())

    @property
    def routing_hashes(self) -> dict[str, str]:
        """Source to the routing hash of what is landed now."""
        masked_with, start_date = self.masked_with, self.settings.start_date
        if masked_with not in self._hashes:
            self._hashes[masked_with] = {
                source: contract.routing_hash(start_date, masked_with) for source, contract in self.contracts.items()
            }
        return self._hashes[masked_with]

    @cached_property
    def _hashes(self) -> dict[str | None, dict[str, str]]:
        return {}

    @cached_property
    def _key_ids(self) -> dict[str, str]:
        return {}

    def _known_id(self, name: str) -> str:
        """Return the id of a key; remembered once there is one, since the first landing makes it."""
        found = self._key_ids.get(name) or self.keys.known_id(name)
        if found is not None:
            self._key_ids[name] = found
        return found or "none"

    @property
    def engine(self) -> EngineLimits:
        """Bounds of the query engine."""
        return EngineLimits(self.settings.memory_limit, self.settings.threads)

    def bind_instance(self, instance_id: str, knows_run: Callable[[str], bool] | None = None) -> None:
        """Bind the root to one Dagster instance, or confirm that it is bound to this one.

        Args:
            instance_id: Identifier of the instance's run storage.
            knows_run: Tells whether a run is in the instance, which has runs already. A root that is bound to none, but
                was built by runs that are not there, belongs to another history, whose binding was lost.

        Raises:
            InstanceMismatchError: The root's history is in another instance.
            RecordError: The record of it was damaged.
        """
        binding = HistoryBinding(self.store.objects)
        bound = binding.bound()
        if bound is None:
            runs = newest_runs(self.store) if knows_run else ()
            if knows_run and runs and not any(map(knows_run, runs)):
                raise self._other_history("one whose binding was lost", instance_id)
            bound = binding.bind(instance_id)
        if bound != instance_id:
            raise self._other_history(bound, instance_id)

    def _other_history(self, expected: str, got: str) -> InstanceMismatchError:
        return InstanceMismatchError(
            "the history of runs in use is not the one that this root is bound to: they would be split over two",
            remedy=(
                f"Use the instance in {self.settings.dagster_home}, as `ml-data-platform dev` does. If that folder"
                " was deleted or replaced, restore it, or run `ml-data-platform history bind --yes`: the root then"
                " belongs to the new history; tables are not affected, only old runs and check results are gone."
            ),
            root=str(self.settings.root),
            expected=expected,
            got=got,
        )


def newest_runs(store: TableStore) -> tuple[str, ...]:
    """Return the runs that published the newest days of a root, which its history should have recorded."""
    newest = sorted(store.heads("raw_events").values(), key=lambda head: head.committed_at)[-COMPARED_RUNS:]
    return tuple(dict.fromkeys(head.run_id for head in newest))


def open_platform(settings: Settings, clock: Clock = utc_now, connection: S3Connection | None = None) -> Platform:
    """Open a root. Its keys are made when something is landed or built, not before.

    Args:
        settings: The deployment's choices.
        clock: Returns the present instant, aware, in UTC.
        connection: How its bucket is reached; by default as the settings say.

    Raises:
        ContractError: The contracts' folder does not exist; a broken contract is kept with the others.
        SettingsError: A tolerance is set for a rule that does not exist, or to a value that the
            rule cannot have; or a feature is accepted that does not exist, or without a reason.
        RootMismatchError: The place in the bucket no longer holds the root that this machine used there.
    """
    contracts = load_sources(settings)
    with_tolerances(ALL_RULES, settings.tolerances)
    require_acceptable(settings.accepted_features, feature_columns())
    store = TableStore(open_objects(settings, connection), clock)
    store.objects.confirm()
    return Platform(
        settings=settings,
        store=store,
        ledger=Ledger(store.objects),
        contracts=contracts,
        keys=RootKeys(settings, store),
        clock=clock,
        connection=connection,
    )


def load_sources(settings: Settings) -> Contracts:
    """Read the shipped contracts and the user's own.

    Raises:
        ContractError: The user's folder does not exist.
    """
    return load_contracts(SHIPPED_SOURCES, *([settings.sources] if settings.sources else []))

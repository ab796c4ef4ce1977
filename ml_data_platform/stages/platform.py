"""One opened root: its store, ledger, contracts, key and clock.

Belongs here: putting the parts together and binding a root to one Dagster instance. Does not belong here:
anything that decides or computes.
"""

from __future__ import annotations

import datetime as dt
import json
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
from ml_data_platform.stages.root_keys import load_id_key, load_masking_keys
from ml_data_platform.storage.layout import INSTANCE_KEY
from ml_data_platform.storage.ledger import Ledger
from ml_data_platform.storage.opening import open_objects
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform.training.leakage import require_acceptable
from ml_data_platform.validation.rules import with_tolerances
from ml_data_platform.validation.suites import ALL_RULES

if TYPE_CHECKING:
    from ml_data_platform.storage.s3_client import S3Connection

Clock = Callable[[], dt.datetime]


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
        id_key: Key of the pseudonymous user ids.
        masking_keys: Keys of the masks; None where no contract has a ``pii`` section.
        clock: Returns the present instant, aware, in UTC.
        connection: How buckets are reached, where the settings do not say it.
    """

    settings: Settings
    store: TableStore
    ledger: Ledger
    contracts: Contracts
    id_key: IdKey
    masking_keys: MaskingKeys | None
    clock: Clock
    connection: S3Connection | None = None

    @cached_property
    def routing_hashes(self) -> dict[str, str]:
        """Source to the routing hash of what is landed now."""
        masked_with = self.masking_keys.key_id if self.masking_keys is not None else None
        start_date = self.settings.start_date
        return {source: contract.routing_hash(start_date, masked_with) for source, contract in self.contracts.items()}

    @property
    def engine(self) -> EngineLimits:
        """Bounds of the query engine."""
        return EngineLimits(self.settings.memory_limit, self.settings.threads)

    def bind_instance(self, instance_id: str) -> None:
        """Bind the root to one Dagster instance, or confirm that it is bound to this one.

        Args:
            instance_id: Identifier of the instance's run storage.

        Raises:
            InstanceMismatchError: The root's history is in another instance.
        """
        objects = self.store.objects
        content = json.dumps({"instance_id": instance_id}, sort_keys=True).encode()
        if objects.put_if_absent(INSTANCE_KEY, content):
            return
        bound = json.loads(objects.read_bytes(INSTANCE_KEY))["instance_id"]
        if bound != instance_id:
            raise InstanceMismatchError(
                "the history of runs in use is not the one that this root is bound to: they would be split over two",
                remedy=(
                    f"Use the instance in {self.settings.dagster_home}, as `ml-data-platform dev` does. If that folder"
                    f" was deleted or replaced, restore it, or remove {objects.uri(INSTANCE_KEY)}: the root then binds"
                    " itself to the new history; tables are not affected, only old runs and check results are gone."
                ),
                root=str(self.settings.root),
                expected=bound,
                got=instance_id,
            )


def open_platform(settings: Settings, clock: Clock = utc_now, connection: S3Connection | None = None) -> Platform:
    """Open a root, making its folders and its key on first use.

    Args:
        settings: The deployment's choices.
        clock: Returns the present instant, aware, in UTC.
        connection: How its bucket is reached; by default as the settings say.

    Raises:
        ContractError: The contracts' folder does not exist; a broken contract is kept with the others.
        SettingsError: A key is unusable; or a tolerance is set for a rule that does not exist, or to a value that the
            rule cannot have; or a feature is accepted that does not exist, or without a reason.
    """
    contracts = load_sources(settings)
    with_tolerances(ALL_RULES, settings.tolerances)
    require_acceptable(settings.accepted_features, feature_columns())
    store = TableStore(open_objects(settings, connection), clock)
    has_personal_data = any(contract.pii is not None for contract in contracts.values())
    return Platform(
        settings=settings,
        store=store,
        ledger=Ledger(store.objects),
        contracts=contracts,
        id_key=load_id_key(settings, store.objects),
        masking_keys=load_masking_keys(settings, store.objects) if has_personal_data else None,
        clock=clock,
        connection=connection,
    )


def load_sources(settings: Settings) -> Contracts:
    """Read the shipped contracts and the user's own.

    Raises:
        ContractError: The user's folder does not exist.
    """
    return load_contracts(SHIPPED_SOURCES, *([settings.sources] if settings.sources else []))

"""One opened root: its store, ledger, contracts, key and clock.

Belongs here: putting the parts together and binding a root to one Dagster instance. Does not belong here:
anything that decides or computes.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ml_data_platform.errors import InstanceMismatchError, SettingsError
from ml_data_platform.events.contracts import SHIPPED_SOURCES, SourceContract, load_contracts
from ml_data_platform.events.ids import IdKey
from ml_data_platform.locations import S3Location
from ml_data_platform.settings import Settings
from ml_data_platform.stages.result import EngineLimits
from ml_data_platform.storage.keys import load_or_create_key
from ml_data_platform.storage.layout import Layout
from ml_data_platform.storage.ledger import Ledger
from ml_data_platform.storage.object_store import ObjectStore
from ml_data_platform.storage.opening import open_objects
from ml_data_platform.storage.records import canonical_json
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform.validation.rules import with_tolerances
from ml_data_platform.validation.suites import ALL_RULES

Clock = Callable[[], dt.datetime]
INSTANCE_KEY = "_store/instance.json"
KEY_ID_KEY = "_store/id_key.json"


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
        contracts: Source to contract, shipped and the user's own.
        id_key: Key of the pseudonymous user ids.
        clock: Returns the present instant, aware, in UTC.
    """

    settings: Settings
    store: TableStore
    ledger: Ledger
    contracts: Mapping[str, SourceContract]
    id_key: IdKey
    clock: Clock

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


def open_platform(settings: Settings, clock: Clock = utc_now) -> Platform:
    """Open a root, making its folders and its key on first use.

    Raises:
        ContractError: A source contract is malformed, or the contracts' folder does not exist.
        SettingsError: A tolerance is set for a rule that does not exist, or to a value that the rule cannot have.
    """
    contracts = load_sources(settings)
    with_tolerances(ALL_RULES, settings.tolerances)
    store = TableStore(open_objects(settings), clock)
    key_id, secret = _key_of(settings, store.objects)
    return Platform(
        settings=settings,
        store=store,
        ledger=Ledger(store.objects),
        contracts=contracts,
        id_key=IdKey(key_id=key_id, secret=secret),
        clock=clock,
    )


def _key_of(settings: Settings, objects: ObjectStore) -> tuple[str, bytes]:
    """Return the root's key; of a root in a bucket it lies on each machine that uses it, and the bucket holds its id.

    Raises:
        SettingsError: This machine has none, or another.
    """
    if not isinstance(settings.root, S3Location):
        return load_or_create_key(settings.root)
    path = settings.local_folder / Layout.secret_key("user_id")
    bound = _bound_key(objects)
    key_id, secret = load_or_create_key(settings.local_folder) if path.exists() or bound is None else ("none", b"")
    if bound is None:
        objects.put_if_absent(KEY_ID_KEY, canonical_json({"key_id": key_id}))
        bound = _bound_key(objects)
    if bound != key_id:
        raise SettingsError(
            "user ids of this root are hashed with a key that this machine does not have",
            remedy=f"Copy {path} from a machine that uses the root, readable by its owner only; it is never uploaded.",
            root=str(settings.root),
            expected=bound,
            got=key_id,
        )
    return key_id, secret


def _bound_key(objects: ObjectStore) -> str | None:
    try:
        return str(json.loads(objects.read_bytes(KEY_ID_KEY))["key_id"])
    except FileNotFoundError:
        return None


def load_sources(settings: Settings) -> dict[str, SourceContract]:
    """Read the shipped contracts and the user's own.

    Raises:
        ContractError: One is malformed, two describe the same source, or the user's folder does not exist.
    """
    return load_contracts(SHIPPED_SOURCES, *([settings.sources] if settings.sources else []))

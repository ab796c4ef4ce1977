"""A user adds a schema version in one file, and what does not fit is refused with every difference."""

from __future__ import annotations

import copy
import datetime as dt
import pickle

import pytest
import yaml

from ml_data_platform.errors import ContractError
from ml_data_platform.events.contracts import SHIPPED_SOURCES, load_contracts, parse_contract
from ml_data_platform.events.registry_file import SHIPPED_REGISTRY, load_registry
from ml_data_platform.events.schema_versions import Add, FieldType, Remove, Rename, Retype
from ml_data_platform_tests.schema_registries import ADDITIVE, BREAKING, registry_of

START = dt.date(2026, 1, 1)
JSONL = "source: shop\nformat: jsonl"


def changed(**version_3):
    """Return the breaking third version with some keys replaced; None takes a key away."""
    raw = copy.deepcopy(yaml.safe_load(BREAKING))
    third = {**raw["versions"][3], **version_3}
    raw["versions"][3] = {key: value for key, value in third.items() if value is not None}
    return yaml.safe_dump(raw)


def refused(text):
    """Return the error of a file of versions that must be refused."""
    with pytest.raises(ContractError) as found:
        registry_of(text)
    assert found.value.file == "schema_versions.yaml"
    return str(found.value)


def test_an_additive_version_needs_no_upcast():
    """New fields that are not required are all that the file says; the steps follow."""
    registry = registry_of(ADDITIVE)
    assert registry.current == 3
    assert registry.steps(2, 3) == (Add("country", FieldType.TEXT), Add("battery_percent", FieldType.INTEGER))
    change = registry.change(2, 3)
    assert change.kind == "additive"
    assert change.differences == ("country: added as nullable text", "battery_percent: added as nullable integer")


def test_a_breaking_version_has_its_upcast_in_the_same_place():
    """Renamed, retyped, removed and new fields become the steps, and version 1 is retired from its day on."""
    registry = registry_of(BREAKING)
    assert set(registry.steps(2, 3)) == {
        Remove("session_duration_seconds"),
        Rename("user_id", "actor_id"),
        Retype("event_timestamp", "occurred_at", FieldType.EPOCH_INSTANT, FieldType.ISO_INSTANT),
        Retype("sequence", "sequence", FieldType.INTEGER, FieldType.TEXT),
        Add("country", FieldType.TEXT),
    }
    assert registry.change(2, 3).kind == "breaking"
    assert registry.change(2, 3).differences == (
        "user_id: removed (was text)",
        "event_timestamp: removed (was epoch_instant)",
        "sequence: retyped from integer to text",
        "session_duration_seconds: removed (was number)",
        "actor_id: added as required text",
        "occurred_at: added as required iso_instant",
        "country: added as nullable text",
    )
    assert registry.versions[1].retired_on == dt.date(2026, 3, 1)
    assert registry.versions[1].fields == SHIPPED_REGISTRY.versions[1].fields


def test_markers_are_the_required_fields_of_a_new_name_or_else_all_new_ones():
    """Rows are told from older ones by what only the new version has."""
    assert registry_of(BREAKING).versions[3].markers == ("actor_id", "occurred_at")
    assert registry_of(ADDITIVE).versions[3].markers == ("country", "battery_percent")
    assert registry_of(changed(markers=["country"])).versions[3].markers == ("country",)
    assert registry_of(changed(markers=[])).versions[3].markers == ()


def test_fields_feed_the_column_that_they_descend_from():
    """Canonical columns are those of version 2, whatever later versions call what feeds them."""
    registry = registry_of(BREAKING)
    assert registry.canonical_types == SHIPPED_REGISTRY.canonical_types
    third = registry.canonical_columns(3)
    assert (third["actor_id"], third["occurred_at"], third["sequence"]) == ("user_id", "event_timestamp", "sequence")
    assert "country" not in third
    assert "session_duration_seconds" not in registry.canonical_columns(1)
    assert registry.canonical_columns(1)["session_id"] == "session_uuid"


MISFITS = {
    "no upcast": (
        {"upcast": None},
        ("user_id, which was removed", "sequence, which was retyped", "actor_id is required and new"),
    ),
    "a gap": ({"upcast": {"renamed": {"user_id": "actor_id"}}}, ("event_timestamp, which was removed",)),
    "a typo": (
        {"upcast": {"renamed": {"user_idd": "actor_id"}}},
        ("versions.3.upcast.renamed: is no field of version 2", "did you mean 'user_id'"),
    ),
    "a rename that retypes": (
        {"upcast": {"renamed": {"user_id": "actor_id", "event_timestamp": "occurred_at", "sequence": "sequence"}}},
        ("has another type: list it under `retyped`",),
    ),
    "no event time": ({"fields": {"actor_id": "text"}}, ("exactly one field must be the event time, got 'none'",)),
    "an unknown type": ({"fields": {"actor_id": "uuid"}}, ("versions.3.fields.actor_id.type", "'epoch_instant'")),
    "an unknown key": ({"retired": "2026-01-01"}, ("there is no such key", "retired")),
    "an old marker": ({"markers": ["session_uuid"]}, ("a version below has this field too",)),
    "a marker that is no field": ({"markers": ["country_code"]}, ("did you mean 'country'",)),
    "a day that is none": ({"retired_on": "soon"}, ("versions.3.retired_on",)),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_is_refused_by_name(name):
    """A change that is not covered by its steps, or a typo, is refused: file, key, difference and remedy are named."""
    changes, expected = MISFITS[name]
    message = refused(changed(**changes))
    for part in expected:
        assert part in message, message
    assert "schema_versions.yaml" in message


def test_a_known_version_is_not_changed():
    """Fields of a version that exists cannot be redefined, whoever defined them."""
    assert "can be retired, but not changed" in refused("versions: {1: {fields: {user_id: text}}}")


def test_versions_count_without_gaps():
    """A version whose predecessor is unknown is refused."""
    assert "without gaps" in refused(ADDITIVE.replace("  3:", "  4:"))


def test_a_field_that_events_need_is_not_removed():
    """Without its user or session an event is none."""
    raw = yaml.safe_load(BREAKING)
    del raw["versions"][3]["fields"]["session_uuid"]
    raw["versions"][3]["upcast"]["removed"].append("session_uuid")
    assert "removes a field that events cannot be without" in refused(yaml.safe_dump(raw))


def test_the_file_lies_beside_the_contracts(tmp_path):
    """A user's folder adds versions for all contracts, its own and the shipped ones; it is no contract itself."""
    (tmp_path / "schema_versions.yaml").write_text(ADDITIVE)
    (tmp_path / "shop.yaml").write_text(JSONL + "\nschema_version: 3")
    contracts = load_contracts(SHIPPED_SOURCES, tmp_path)
    assert set(contracts) == {"shop", *load_contracts(SHIPPED_SOURCES)}
    assert contracts["shop"].versions == (3,)
    assert contracts["demo_shop"].versions == (1, 2, 3)
    assert load_registry(tmp_path) == contracts["shop"].registry == registry_of(ADDITIVE)


def test_a_contract_names_only_registered_versions():
    """Version 3 is a typo until it is registered, and then it is not."""
    with pytest.raises(ContractError) as found:
        parse_contract(JSONL + "\nschema_version: 3", file="shop.yaml")
    assert found.value.allowed == ("1", "2", "infer", "{column: name}")
    parse_contract(JSONL + "\nschema_version: 3", file="shop.yaml", registry=registry_of(ADDITIVE))


def hashes(text, registry):
    """Return what changes when rows must be read, or mapped, again."""
    contract = parse_contract(text, file="shop.yaml", registry=registry)
    return contract.routing_hash(START), contract.content_hash


def test_only_contracts_that_a_new_version_concerns_are_read_again():
    """A contract of version 2 keeps its hashes beside an additive version 3; one that infers versions does not."""
    additive, breaking = registry_of(ADDITIVE), registry_of(BREAKING)
    second, inferred = JSONL + "\nschema_version: 2", JSONL + "\nschema_version: infer"
    first = JSONL + "\nschema_version: 1"
    assert hashes(second, additive) == hashes(second, SHIPPED_REGISTRY)
    assert all(
        new != old for new, old in zip(hashes(inferred, additive), hashes(inferred, SHIPPED_REGISTRY), strict=True)
    )
    routing, content = hashes(second, breaking)
    assert routing == hashes(second, SHIPPED_REGISTRY)[0]
    assert content != hashes(second, SHIPPED_REGISTRY)[1]
    assert hashes(first, breaking)[0] != hashes(first, SHIPPED_REGISTRY)[0]


def test_retirement_changes_the_routing_alone():
    """Retiring version 1 has its files read again, but no event is mapped otherwise."""
    retired = registry_of("versions: {1: {retired_on: 2026-03-01}}")
    first = JSONL + "\nschema_version: 1"
    assert hashes(first, retired)[0] != hashes(first, SHIPPED_REGISTRY)[0]
    assert hashes(first, retired)[1] == hashes(first, SHIPPED_REGISTRY)[1]


def test_contracts_with_their_own_versions_cross_process_borders():
    """A contract takes its registry along when it is pickled or copied."""
    contract = parse_contract(JSONL + "\nschema_version: 3", file="shop.yaml", registry=registry_of(ADDITIVE))
    for twin in (pickle.loads(pickle.dumps(contract)), copy.deepcopy(contract), contract.model_copy()):
        assert twin.registry == contract.registry
        assert twin.content_hash == contract.content_hash

"""Contracts say what they mean, and a wrong one says how to mend it."""

from __future__ import annotations

import copy
import datetime as dt
import os
import pickle

import pytest
import yaml

from ml_data_platform.errors import ContractError
from ml_data_platform.events.contract_parts import EventTimeReading
from ml_data_platform.events.contracts import (
    SHIPPED_SOURCES,
    SourceContract,
    load_contract,
    load_contracts,
    parse_contract,
)

START = dt.date(2026, 1, 1)
CSV = {
    "source": "shop",
    "format": "csv",
    "schema_version": 2,
    "columns": {"user_id": "cookie", "session_uuid": "visit", "event_timestamp": "at"},
    "event_type": {"mapping": {"VIEW": "page_view"}, "default": "other"},
}
JSONL = {"source": "shop", "format": "jsonl"}
VERSION_1 = {"schema_version": 1, "columns": {"user_id": "u", "session_id": "s", "timestamp": "at"}}


def contract(raw=CSV, **changes):
    """Return the contract of a mapping with some keys replaced."""
    return parse_contract(yaml.safe_dump({**copy.deepcopy(raw), **changes}), file="shop.yaml")


def file_timed(**changes):
    """Return a contract whose watermark follows the names of files, with some keys of that replaced."""
    said = {"pattern": "([0-9]{8})", "format": "%Y%m%d", **changes}
    return {**JSONL, "lateness": {"watermark": "file_time", "file_time": said}}


def refused(text_or_raw):
    """Return the error of a contract that must be refused."""
    text = text_or_raw if isinstance(text_or_raw, str) else yaml.safe_dump(text_or_raw)
    with pytest.raises(ContractError) as found:
        parse_contract(text, file="somewhere/shop.yaml")
    return found.value


def test_the_shipped_contracts_load():
    """Every shipped contract is a valid one, and the folder has the four that the platform comes with."""
    assert set(load_contracts(SHIPPED_SOURCES)) >= {"demo_shop", "deskdrop", "globo", "softshop"}


def test_globo_reads_the_columns_of_the_real_file():
    """The news portal's clicks are version 2 with milliseconds, no event ids and one event type."""
    globo = load_contracts(SHIPPED_SOURCES)["globo"]
    assert globo.fields(2) == {
        "user_id": "user_id",
        "session_uuid": "session_id",
        "event_timestamp": "click_timestamp",
    }
    assert (globo.versions, globo.event_time.epoch_unit, globo.identity) == ((2,), "ms", ())
    assert globo.event_type.default == "page_view"


def test_json_fields_land_under_their_own_names_unless_told():
    """JSON lines need no column mapping; null says that a field does not land."""
    plain = contract(JSONL, columns={"event_id": None, "user_id": "who.id"})
    assert "event_id" not in plain.fields(1)
    assert plain.fields(1)["user_id"] == "who.id"
    assert plain.fields(1)["timestamp"] == "timestamp"
    assert plain.path("who.id") == ("who", "id")


def test_the_time_of_day_may_have_a_column_of_its_own():
    """Where the event time is text, it may be of two columns, which a file must have and no attribute repeats."""
    two = contract(**VERSION_1, event_time={"time_column": "clock"})
    assert two.time_columns(1) == ("at", "clock")
    assert two.landed_columns(1) == ("u", "s", "at", "clock")
    assert two.known_columns >= {"at", "clock"}


def test_parquet_columns_need_be_there_only_where_something_says_so():
    """Under its own name a field is looked for; only required and named ones, identity and label must be there."""
    plain = {**JSONL, "format": "parquet", "schema_version": 2}
    needed = {"user_id", "session_uuid", "event_type", "event_timestamp"}
    assert set(contract(plain).required_columns(2)) == needed
    assert set(contract(plain, event_type={"default": "other"}).required_columns(2)) == needed - {"event_type"}
    said = contract(plain, columns={"sequence": "n", "event_id": None}, identity=["a.b"], label="bought")
    assert set(said.required_columns(2)) == needed | {"n", "a.b", "bought"}
    assert said.path("a.b") == ("a", "b")


def test_csv_columns_may_have_dots():
    """A dot in the name of a CSV column descends nowhere."""
    assert contract(columns={**CSV["columns"], "event_id": "event.id"}).path("event.id") == ("event.id",)


def test_labels_land_only_where_declared():
    """The label is read from the column that the contract names, and from none otherwise."""
    assert "label" not in contract(JSONL).fields(2)
    assert contract(JSONL, label="bought").fields(2)["label"] == "bought"


@pytest.mark.parametrize("said", ["file", "none"])
def test_what_orders_events_may_be_said_instead_of_a_column(said):
    """Then no column holds the sequence, also not one of its name, nor one that is named."""
    assert contract(JSONL).fields(2)["sequence"] == "sequence"
    found = contract(JSONL, sequence=said)
    assert found.fields(1).keys() == contract(JSONL).fields(1).keys() - {"sequence"}
    assert "sequence" not in found.known_columns
    assert contract(JSONL, columns={"sequence": None}, sequence=said).sequence == said
    assert found.content_hash != contract(JSONL).content_hash
    error = refused({**JSONL, "columns": {"sequence": "n"}, "sequence": said})
    (problem,) = error.problems
    assert (problem.key, problem.got) == ("sequence", said)
    assert "`columns.sequence`" in problem.says


@pytest.mark.parametrize(
    ("raw", "key", "meant"),
    [
        ({**CSV, "sequence": "fle"}, "sequence", "file"),
        ({**CSV, "formt": "csv"}, "formt", "format"),
        ({**CSV, "format": "cvs"}, "format", "csv"),
        ({**CSV, "event_time": {"epoch_unt": "s"}}, "event_time.epoch_unt", "epoch_unit"),
        ({**CSV, "event_time": {"zone": "Europe/Warszaw"}}, "event_time.zone", "Europe/Warsaw"),
        ({**CSV, "event_type": {"default": "pageview"}}, "event_type.default", "page_view"),
        ({**CSV, "event_type": {"mapping": {"V": "serach"}}}, "event_type.mapping.V", "search"),
        ({**CSV, "columns": {**CSV["columns"], "sequenze": "n"}}, "columns.sequenze", "sequence"),
        ({**CSV, "schema_version": "infe"}, "schema_version", "infer"),
        ({**CSV, "unknown_columns": "evolv"}, "unknown_columns", "evolve"),
        ({**CSV, "format": "parqet"}, "format", "parquet"),
        ({**CSV, "event_time": {"time_colum": "clock"}}, "event_time.time_colum", "time_column"),
        ({**CSV, "lateness": {"max_delay_hour": 3}}, "lateness.max_delay_hour", "max_delay_hours"),
        ({**CSV, "lateness": {"watermark": "eventtime"}}, "lateness.watermark", "event_time"),
        ({**CSV, "lateness": {"late_policy": "reopn"}}, "lateness.late_policy", "reopen"),
        (file_timed(patern="(x)"), "lateness.file_time.patern", "pattern"),
        (file_timed(zone="Europe/Berln"), "lateness.file_time.zone", "Europe/Berlin"),
        ({**CSV, "csv": {"delimeter": ";"}}, "csv.delimeter", "delimiter"),
    ],
)
def test_typos_are_named_with_what_was_meant(raw, key, meant):
    """The error names the file, the dotted key, the value and the word that was probably meant."""
    error = refused(raw)
    assert (error.file, error.key, error.meant) == ("somewhere/shop.yaml", key, meant)
    assert key in str(error)
    assert meant in error.allowed
    assert f"did you mean {meant!r}" in str(error)


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ({**CSV, "schema_version": 99}, "schema_version"),
        ({**CSV, "schema_version": True}, "schema_version"),
        ({**CSV, "schema_version": {"colum": "v"}}, "schema_version"),
        ({**CSV, "columns": {"user_id": "u", "session_uuid": "s"}}, "columns.event_timestamp"),
        ({**CSV, "columns": {**CSV["columns"], "label": "l"}}, "columns.label"),
        ({**CSV, "event_type": {}}, "columns.event_type"),
        ({**CSV, "event_time": {"zone": "localtime"}}, "event_time.zone"),
        ({**CSV, "csv": {"delimiter": '"'}}, "csv.quote"),
        ({**CSV, "csv": {"delimiter": ";;"}}, "csv.delimiter"),
        ({**CSV, "csv": {"thousands": "."}}, "csv.thousands"),
        ({**CSV, "csv": {"escape": '"'}}, "csv.escape"),
        ({**CSV, "csv": {"escape": ";", "delimiter": ";"}}, "csv.escape"),
        ({**CSV, "csv": {"escape": "n"}}, "csv.escape"),
        ({**CSV, "csv": {"escape": "\\\\"}}, "csv.escape"),
        ({**JSONL, "csv": {"escape": "\\"}}, "csv"),
        ({**JSONL, "csv": {"delimiter": ";"}}, "csv"),
        ({**CSV, "event_time": {"format": "%d.%m.%Y"}}, "event_time.format"),
        ({**CSV, "event_time": {"time_column": "clock"}}, "event_time.time_column"),
        ({**JSONL, "event_time": {"format": "%d.%m."}}, "event_time.format"),
        ({**JSONL, "event_time": {"format": ""}}, "event_time.format"),
        ({**JSONL, "event_time": {"format": []}}, "event_time.format"),
        ({**JSONL, "event_time": {"format": ["iso", 7]}}, "event_time.format"),
        ({**JSONL, "event_time": {"format": ["iso", "%d.%m."]}}, "event_time.format.1"),
        ({**JSONL, "event_time": {"format": ["iso", "epoch", "iso"]}}, "event_time.format.2"),
        ({**JSONL, "event_time": {"time_column": "a..b"}}, "event_time.time_column"),
        ({**JSONL, "columns": {"user_id": "a..b"}}, "columns.user_id"),
        ({**JSONL, "columns": {"user_id": None}}, "columns.user_id"),
        ({**JSONL, "source": "Shop"}, "source"),
        ({**JSONL, "source": "shop\n"}, "source"),
        ({**JSONL, "event_type": {"mapping": {1: "search"}}}, "event_type.mapping.1"),
        ({**JSONL, "lateness": {"max_delay_hours": -1}}, "lateness.max_delay_hours"),
        ({**JSONL, "lateness": {"quantile": 0}}, "lateness.quantile"),
        ({**JSONL, "lateness": {"idle_after_hours": 0}}, "lateness.idle_after_hours"),
        ({**JSONL, "lateness": {"watermark": "file_time"}}, "lateness.file_time"),
        ({**JSONL, "lateness": {**file_timed()["lateness"], "watermark": "clock"}}, "lateness.file_time"),
        (file_timed(pattern="(x"), "lateness.file_time.pattern"),
        (file_timed(pattern="(x)(y)"), "lateness.file_time.pattern"),
        (file_timed(format="%Q"), "lateness.file_time.format"),
        (file_timed(format=None), "lateness.file_time"),
        (file_timed(origin="2026-01-01T00:00:00Z"), "lateness.file_time"),
        (file_timed(format=None, origin="2026-01-01T00:00:00Z"), "lateness.file_time.period_hours"),
        (file_timed(format=None, origin="2026-01-01T00:00:00", period_hours=1), "lateness.file_time.origin"),
        ({"format": "jsonl"}, "source"),
    ],
)
def test_contradictions_are_refused_at_their_key(raw, key):
    """What cannot hold is refused when the contract is read, and the error points to the key."""
    assert refused(raw).key == key


def test_all_problems_are_listed_at_once():
    """An author mends a contract in one go."""
    error = refused({**CSV, "format": "cvs", "schema_version": "x", "extra": 1})
    assert {problem.key for problem in error.problems} == {"format", "schema_version", "extra"}


@pytest.mark.parametrize(
    "text",
    [
        "source: shop\nsource: shop\nformat: jsonl",
        "source: shop\nformat: jsonl\nevent_time: {zone: UTC, zone: UTC}",
        "source: &a shop\nformat: jsonl\ndescription: *a",
        "source: !!python/object:os.system shop",
        "- source",
        "",
        "source: [",
        "source: 2026-99-99",
        "a: " + "[" * 5_000,
        "description: " + "x" * 300_000,
        'description: "\\ud800"\nsource: shop\nformat: jsonl',
        "\0",
    ],
)
def test_what_is_no_plain_yaml_mapping_is_refused(text):
    """Repeated keys, aliases, tags of Python, broken or hostile YAML end in the one error, with bounded text."""
    error = refused(text)
    assert error.file == "somewhere/shop.yaml"
    assert len(str(error)) <= 2_000


def test_errors_survive_pickling():
    """The error crosses process borders with its facts."""
    error = pickle.loads(pickle.dumps(refused({**CSV, "format": "cvs"})))
    assert (error.key, error.got, error.meant) == ("format", "cvs", "csv")


def test_the_file_is_named_after_its_source(tmp_path):
    """A contract in a file of another name is refused, since the landing folder is found by it."""
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(CSV))
    with pytest.raises(ContractError, match="must equal the name of the file") as found:
        load_contract(path)
    assert found.value.file == str(path)


def test_the_same_source_twice_is_refused(tmp_path):
    """A later folder never silently replaces a contract: both files are named, and other sources go on."""
    for folder in ("shipped", "own"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "shop.yaml").write_text(yaml.safe_dump(CSV))
    (tmp_path / "own" / "mall.yaml").write_text(yaml.safe_dump({**CSV, "source": "mall"}))
    contracts = load_contracts(tmp_path / "shipped", tmp_path / "own")
    assert list(contracts) == ["mall"]
    with pytest.raises(ContractError) as found:
        contracts.of("shop")
    assert str(tmp_path / "shipped" / "shop.yaml") in str(found.value)
    assert str(tmp_path / "own" / "shop.yaml") in str(found.value)


@pytest.mark.parametrize(
    "content",
    [b"source: shop\nformat: csv\n", b"\0\5\26\7", b"source: [", b"\xff\xfe", b"", b"- a\n- b\n", b"&a [*a]", None],
)
def test_a_broken_contract_breaks_its_source_only(tmp_path, content):
    """Whatever is in one file, or if it leads nowhere, the others are read and this one is an error with its name."""
    (tmp_path / "mall.yaml").write_text(yaml.safe_dump({**CSV, "source": "mall"}))
    path = tmp_path / "shop.yaml"
    path.symlink_to("nowhere") if content is None else path.write_bytes(content)
    contracts = load_contracts(tmp_path)
    assert list(contracts) == ["mall"]
    assert list(contracts.broken) == ["shop"]
    with pytest.raises(ContractError) as found:
        contracts.of("shop")
    assert str(path) in str(found.value)
    with pytest.raises(ContractError, match="there is no contract of this source"):
        contracts.of("bazaar")


def test_hidden_files_are_no_contracts(tmp_path):
    """What editors and file systems leave beside a contract, links that lead nowhere among them, is not read."""
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(CSV))
    for name, content in (
        ("._shop.yaml", b"\0\5\26\7"),
        (".shop.yaml.swp", b"b0VIM"),
        ("shop.yaml~", b"x"),
        ("#shop.yaml#", b"x"),
    ):
        (tmp_path / name).write_bytes(content)
    (tmp_path / ".#shop.yaml").symlink_to("me@host.1:2")
    (tmp_path / "._schema_versions.yaml").write_bytes(b"\0\5")
    contracts = load_contracts(tmp_path)
    assert list(contracts) == ["shop"]
    assert not contracts.broken


@pytest.mark.parametrize("name", ["shop.yaml", "schema_versions.yaml"])
def test_a_fifo_among_the_contracts_is_not_waited_for(tmp_path, name):
    """It would hold up every command for ever; it is broken like any file that cannot be read."""
    (tmp_path / "mall.yaml").write_text(yaml.safe_dump({**CSV, "source": "mall"}))
    os.mkfifo(tmp_path / name)
    contracts = load_contracts(tmp_path)
    source = "shop" if name == "shop.yaml" else "mall"
    with pytest.raises(ContractError, match="cannot be read: it is no regular file"):
        contracts.of(source)
    assert ("mall" in contracts) == (source == "shop")


@pytest.mark.parametrize("link", [False, True])
def test_broken_schema_versions_break_every_contract(tmp_path, link):
    """What they say holds for all contracts: read without them, rows would mean another thing without a word."""
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(CSV))
    versions = tmp_path / "schema_versions.yaml"
    versions.symlink_to("nowhere") if link else versions.write_text("versions: [")
    contracts = load_contracts(SHIPPED_SOURCES, tmp_path)
    assert not contracts
    assert {"shop", "demo_shop"} <= contracts.broken.keys()
    assert all(str(versions) in str(error) for error in contracts.broken.values())


def test_missing_folders_and_files_are_errors(tmp_path):
    """A typo in a path does not end in a platform without sources."""
    with pytest.raises(ContractError, match="does not exist"):
        load_contracts(tmp_path / "nowhere")
    with pytest.raises(ContractError, match="cannot be read"):
        load_contract(tmp_path / "shop.yaml")


def test_content_hash_knows_meaning_not_wording():
    """Description, lateness, order of keys and defaults written out do not change the hash; anything else does.

    Lateness decides about arrivals, and that stands in the ledger: another grace period builds no day again.
    """
    original = contract()
    same = [
        contract(description="another"),
        contract(lateness={"watermark": "event_time", "grace_period_hours": 48, "late_policy": "quarantine"}),
        contract(dict(reversed(CSV.items()))),
        contract(event_time={"epoch_unit": "ms"}, unknown_columns="evolve"),
    ]
    different = [
        contract(event_time={"epoch_unit": "s"}),
        contract(label="l"),
        contract(identity=["cookie"]),
        contract(unknown_columns="discard"),
        contract(user_id_domain="all"),
        contract(source="shop2"),
    ]
    assert {found.content_hash for found in same} == {original.content_hash}
    assert len({original.content_hash, *(found.content_hash for found in different)}) == len(different) + 1


def test_routing_hash_knows_only_what_reads_a_file_and_dates_a_row():
    """What only concerns values does not have files read again; the time column and the columns of a header do."""
    original = contract().routing_hash(START)
    kept = [
        contract(description="x"),
        contract(event_type={"default": "search"}),
        contract(identity=["cookie"]),
        contract(lateness={"max_delay_hours": 3}),
        contract(lateness={"late_policy": "quarantine", "grace_period_hours": 0}),
        contract(lateness=file_timed()["lateness"]),
    ]
    changed = [
        contract(label="l"),
        contract(columns={**CSV["columns"], "sequence": "n"}),
        contract(columns={**CSV["columns"], "event_timestamp": "then"}),
        contract(event_time={"epoch_unit": "s"}),
        contract(csv={"delimiter": ";"}),
        contract(**VERSION_1),
        contract(**VERSION_1, event_time={"format": "%d.%m.%Y"}),
        contract(**VERSION_1, event_time={"time_column": "clock"}),
        contract(unknown_columns="freeze"),
        contract(unknown_columns="freeze", identity=["cookie", "page"]),
    ]
    assert {found.routing_hash(START) for found in kept} == {original}
    hashes = {original, *(found.routing_hash(START) for found in changed), contract().routing_hash(dt.date(2026, 1, 2))}
    assert len(hashes) == len(changed) + 2


def test_keys_added_to_the_model_later_change_no_hash():
    """A release that knows more keys does not have every file of every source read again."""

    class LaterTime(EventTimeReading):
        calendar: str = "gregorian"

    class LaterContract(SourceContract):
        event_time: LaterTime = LaterTime()
        archive: bool = False

    for text in (CSV, JSONL):
        raw = {**text, "event_time": {"zone": "Asia/Tokyo"}}
        now, later = SourceContract.model_validate(raw), LaterContract.model_validate(raw)
        assert (now.content_hash, now.routing_hash(START)) == (later.content_hash, later.routing_hash(START))


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"filled": {"price": 0}}, "filled.price"),
        ({"filled": {"price": 1.2}}, "filled.price"),
        ({"filled": {"price": "most"}}, "filled.price"),
        ({"columns": {"client_version": None}, "filled": {"client_version": 0.5}}, "filled.client_version"),
        ({"pii": {"columns": {"price": "drop"}, "unnamed": "keep"}, "filled": {"price": 0.5}}, "filled.price"),
        ({"pii": {"columns": {"cart": "drop"}, "unnamed": "keep"}, "filled": {"cart.price": 0.5}}, "filled.cart.price"),
        ({"pii": {"columns": {}}, "filled": {"price": 0.5}}, "filled.price"),
    ],
)
def test_a_declared_share_must_be_one_that_can_be_counted(more, key):
    """No share beyond 0 to 1, and none of what does not land, is dropped, or has its name masked."""
    with pytest.raises(ContractError) as found:
        parse_contract(
            yaml.safe_dump({"source": "shop", "format": "jsonl", "schema_version": 2, **more}), file="shop.yaml"
        )
    assert found.value.key == key


@pytest.mark.parametrize(
    "more",
    [
        {"filled": {"price": 0.95, "purchase_amount_usd": 1, "user_id": 1.0}},
        {"pii": {"columns": {"price": "mask"}}, "filled": {"price": 0.5, "purchase_amount_usd": 0.1}},
        {"pii": {"columns": {"mail": "drop"}, "unnamed": "keep"}, "filled": {"price": 0.5}},
    ],
)
def test_a_declared_share_of_what_is_kept_is_taken(more):
    """By field or by landed name; of a masked column too, whose values are counted as masks."""
    text = yaml.safe_dump({"source": "shop", "format": "jsonl", "schema_version": 2, **more})
    assert parse_contract(text, file="shop.yaml").filled == more["filled"]

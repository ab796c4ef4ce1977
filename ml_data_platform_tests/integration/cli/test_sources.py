"""The commands about sources, as somebody uses them who brings a log that nobody here knows."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.schema_registries import BREAKING

START = dt.datetime(2026, 6, 1, 6, tzinfo=dt.UTC)
ACTIONS = ["Seite", "Seite", "Suche", "Warenkorb", "Kauf"]


def shop_export(path: Path, count: int = 300) -> None:
    """Write a spreadsheet's export: semicolons, a byte order mark, local dates, decimal commas."""
    lines = ["Datum;Uhrzeit;Kunde;Sitzung;Aktion;Betrag;Artikel"]
    for number in range(count):
        at = START + dt.timedelta(seconds=61 * number)
        action = ACTIONS[number % 5]
        amount = f"{number},50" if action == "Kauf" else ""
        lines.append(
            f'{at:%d.%m.%Y};{at:%H:%M:%S};K{number % 40};S{number % 80};{action};{amount};"Größe {number}; rot"'
        )
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\r\n")


@pytest.mark.slow
def test_from_an_unknown_log_to_training_partitions(cli: CommandLine) -> None:
    """Drafted, looked at, tried, landed and built: no line of code, and no setting but the first day."""
    shop_export(cli.folder / "export.csv")
    drafted = cli.ok("sources", "infer", "export.csv", "--source", "shop", "--out", ".platform/sources")
    assert "sources check export.csv --source shop" in drafted.err
    contract = cli.folder / ".platform/sources/shop.yaml"
    contract.write_text(contract.read_text().replace("zone: UTC", "zone: Europe/Berlin"))

    before = cli.tree()
    checked = json.loads(cli.ok("sources", "check", "export.csv", "--source", "shop", "--json").out)
    assert (checked["rows"], checked["is_good"], checked["suggestions"]) == (300, True, [])
    assert checked["first"] == "2026-06-01T04:00:00+00:00"
    assert checked["fields"]["purchase_amount_usd"]["filled"] == 60
    assert cli.tree() == before

    cli.ok("land", "export.csv", "--source", "shop")
    cli.build()
    events = pq.read_table(cli.folder / ".platform/data/validated_events/dt=2026-06-01/data.parquet")
    assert events.num_rows == 300
    purchases = [row for row in events.to_pylist() if row["event_type"] == "purchase"]
    assert sorted(row["purchase_amount_usd"] for row in purchases) == [number + 0.5 for number in range(4, 300, 5)]
    assert json.loads(purchases[0]["attributes"]) == {"Artikel": "Größe 4; rot"}
    assert pq.read_table(cli.folder / ".platform/data/date_partitions/dt=2026-06-01/data.parquet").num_rows > 0


def test_a_draft_is_printed_and_the_advice_beside_it(cli: CommandLine) -> None:
    """Standard output is the contract alone, so that it can be sent to a file; nothing else is written."""
    shop_export(cli.folder / "Export_2026-06-01.csv")
    result = cli.ok("sources", "infer", "Export_2026-06-01.csv")
    (cli.folder / "export.yaml").write_text(result.out)
    assert "source: export\n" in result.out
    assert "marked CHECK" in result.err
    assert cli.tree() == ["Export_2026-06-01.csv", "export.yaml"]
    checked = cli.ok("sources", "check", "Export_2026-06-01.csv", "--contract", "export.yaml")
    assert "good: every day of the file would be published" in checked.text
    assert "Kauf → purchase 60" in checked.text


def test_a_draft_overwrites_nothing(cli: CommandLine) -> None:
    """Hours of edits are not lost to a second draft, and a contract keeps the name of its source."""
    shop_export(cli.folder / "export.csv")
    cli.ok("sources", "infer", "export.csv", "--out", "mine/shop.yaml")
    again = cli("sources", "infer", "export.csv", "--out", "mine/shop.yaml")
    assert (again.status, "there is a file already" in again.text) == (1, True)
    other = cli("sources", "infer", "export.csv", "--source", "store", "--out", "mine/shop2.yaml")
    assert (other.status, "a contract is named after its source: store.yaml" in other.text) == (2, True)


def test_a_draft_that_lacks_something_says_so(cli: CommandLine) -> None:
    """A file without users or times ends with a text to be completed, which no other command stumbles over."""
    (cli.folder / "colours.csv").write_text("colour,size\nred,7\nblue,8\n")
    result = cli("sources", "infer", "colours.csv")
    assert result.status == 1
    assert "# MISSING timestamp" in result.out
    assert "the draft is no contract yet" in result.err
    cli("sources", "infer", "colours.csv", "--out", ".platform/sources")
    assert (cli.folder / ".platform/sources/colours.draft").is_file()
    cli.ok("sources", "list")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The file is empty."),
        (b'["a", 1]\n', "no row that could be looked at"),
        (b"7,8\n9,10\n", "The first line looks like a row"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9], "the file is truncated"),
        (b"PAR1 and no more", "Parquet"),
    ],
)
def test_files_that_cannot_be_looked_at(cli: CommandLine, content: bytes, message: str) -> None:
    """One message says what is wrong, without a traceback; a check says it too."""
    (cli.folder / "file").write_bytes(content)
    result = cli("sources", "infer", "file")
    assert (result.status, message in result.text) == (1, True), result
    assert cli("sources", "check", "file", "--source", "demo_shop").status == 1
    assert cli.tree() == ["file"]


def test_a_check_lists_what_is_refused_and_what_to_do(cli: CommandLine) -> None:
    """A wrong delimiter is one line about the file and one about the mending."""
    shop_export(cli.folder / "export.csv")
    cli.ok("sources", "infer", "export.csv", "--out", "shop.yaml")
    text = (cli.folder / "shop.yaml").read_text()
    (cli.folder / "shop.yaml").write_text(text.replace("delimiter: ;", "delimiter: ','"))
    result = cli("sources", "check", "export.csv", "--contract", "shop.yaml")
    assert result.status == 1
    assert "refused The file lacks columns that its contract reads." in result.text
    assert """suggestion cells look parted by ';': csv: {delimiter: ";"} instead of ",\"""" in result.text


def test_names_of_sources_and_contracts_are_one_or_the_other(cli: CommandLine) -> None:
    """A check needs to know which contract; a name that is none is answered with those that are."""
    shop_export(cli.folder / "export.csv")
    assert cli("sources", "check", "export.csv").status == 2
    wrong = cli("sources", "check", "export.csv", "--source", "nobody")
    assert (wrong.status, "demo_shop" in wrong.text) == (1, True)
    assert cli("sources", "show", "nobody").status == 1


def test_sources_are_listed_and_shown(cli: CommandLine) -> None:
    """The list has the shipped sources and one's own; a contract is shown with its defaults and where fields land."""
    (cli.folder / "own").mkdir()
    (cli.folder / "own/shop.yaml").write_text(
        "source: shop\nformat: jsonl\ndescription: Ours.\ncolumns: {user_id: a.b}\n"
    )
    listed = json.loads(cli.ok("sources", "list", "--sources", "own", "--json").out)
    assert {"demo_shop", "globo", "shop"} <= {each["source"] for each in listed}
    assert "Ours." in cli.ok("sources", "list", "--sources", "own").text
    shown = json.loads(cli.ok("sources", "show", "shop", "--sources", "own", "--json").out)
    assert shown["fields"]["1"]["user_id"] == "a.b"
    assert shown["contract"]["unknown_columns"] == "evolve"
    text = cli.ok("sources", "show", "shop", "--sources", "own").text
    assert "event_time: {epoch_unit: ms, zone: UTC" in text
    assert cli.tree() == ["own", "own/shop.yaml"]


def test_versions_are_compared(cli: CommandLine) -> None:
    """Shipped and registered versions are classified, with their upcast; one that is not registered is an argument's error."""
    shipped = cli.ok("sources", "diff", "1", "2").text
    assert "breaking" in shipped
    assert "timestamp becomes event_timestamp as epoch_instant" in shipped
    (cli.folder / "own").mkdir()
    (cli.folder / "own/schema_versions.yaml").write_text(BREAKING)
    found = json.loads(cli.ok("sources", "diff", "v2", "v3", "--sources", "own", "--json").out)
    assert found["kind"] == "breaking"
    assert "sequence: retyped from integer to text" in found["differences"]
    assert "user_id becomes actor_id" in found["upcast"]
    assert cli("sources", "diff", "1", "3").status == 2


def test_a_file_is_compared_with_its_contract(cli: CommandLine) -> None:
    """One more column is additive, one less breaks."""
    (cli.folder / "shop.yaml").write_text(
        "source: shop\nformat: csv\nschema_version: 1\n"
        "columns: {user_id: who, session_id: visit, event_type: what, timestamp: at}\n"
    )
    row = "u,s,view,2026-06-01T10:00:00Z"
    (cli.folder / "more.csv").write_text(f"who,visit,what,at,page\n{row},/a\n")
    more = json.loads(cli.ok("sources", "diff", "more.csv", "--contract", "shop.yaml", "--json").out)
    assert more == {"kind": "additive", "differences": ["page: added as nullable text"], "version": 1}
    (cli.folder / "less.csv").write_text("who,visit,kind,at\nu,s,view,2026-06-01T10:00:00Z\n")
    less = cli.ok("sources", "diff", "less.csv", "--contract", "shop.yaml").text
    assert "breaking what: removed (was text) kind: added as nullable text" in less
    assert cli("sources", "diff", "none.csv", "--contract", "shop.yaml").status == 2


def test_registering_a_version_has_landed_files_read_again(cli: CommandLine) -> None:
    """Rows of a version that nobody knew have no day; one file beside the contract later they have, and late v1 rows do not."""
    folder = cli.folder / ".platform/sources"
    folder.mkdir(parents=True)
    common = {"event_id": "a", "event_type": "search"}
    (folder / "shop.yaml").write_text("source: shop\nformat: jsonl\nunusable_rows: {red: 0.5}\n")
    rows = [
        {**common, "user_id": "u", "session_id": "s", "timestamp": "2026-02-28T10:00:00Z"},
        {**common, "user_id": "u", "session_id": "s", "timestamp": "2026-03-01T10:00:00Z"},
        {**common, "actor_id": "u", "session_uuid": "s", "occurred_at": "2026-03-01T10:00:00Z"},
    ]
    (cli.folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    first = json.loads(cli.ok("land", "rows.jsonl", "--source", "shop", "--json").out)
    assert (first["landed_rows"], first["undated_rows"]) == (3, 1)
    (folder / "schema_versions.yaml").write_text(BREAKING)
    checked = json.loads(cli.ok("sources", "check", "rows.jsonl", "--source", "shop", "--json").out)
    assert checked["versions"] == {"1": 1, "3": 1}
    assert {reason: found["rows"] for reason, found in checked["undated"].items()} == {"schema_version_retired": 1}
    again = json.loads(cli.ok("land", "--json").out)
    assert (again["landed_rows"], again["undated_rows"], again["touched_days"]) == (3, 1, 2)
    assert json.loads(cli.ok("status", "--json").out)["landing"]["undated"] == {"schema_version_retired": 1}

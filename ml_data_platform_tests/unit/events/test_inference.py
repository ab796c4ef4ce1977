"""A draft names the columns that a reader of the file would name, says why, and is a contract."""

from __future__ import annotations

import datetime as dt

import pytest
import yaml

from ml_data_platform.errors import ContractError
from ml_data_platform.events.contracts import parse_contract
from ml_data_platform.events.drafting import source_name, write_draft
from ml_data_platform.events.inference import infer_contract
from ml_data_platform.events.profiles import profile_rows

LATEST = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
START = dt.datetime(2026, 6, 1, 6, tzinfo=dt.UTC)
CSV, JSONL = {"format": "csv"}, {"format": "jsonl"}


def at(number):
    """Return the time of the n-th of some rows."""
    return START + dt.timedelta(seconds=37 * number)


def draft_of(rows, form=CSV, **options):
    """Return the draft of some rows and its text."""
    draft = infer_contract(profile_rows(rows), source="shop", form=form, latest=LATEST, **options)
    return draft, write_draft(draft, origin="a test")


def contract_of(rows, form=CSV, **options):
    """Return the contract that is drafted from some rows, and the draft's text."""
    draft, text = draft_of(rows, form, **options)
    assert draft.missing == ()
    return parse_contract(text, file="shop.yaml"), text


def analytics_rows():
    """Rows as an analytics service exports them: microseconds, pseudonyms, sessions that look like epochs."""
    names = ["page_view", "scroll", "add_to_cart", "purchase", "view_search_results"]
    return [
        {
            "event_date": f"{at(n):%Y%m%d}",
            "event_timestamp": str(int(at(n).timestamp()) * 10**6),
            "event_name": names[n % 5],
            "user_pseudo_id": f"{1_000_000 + n % 20}.{1_600_000_000 + n % 20}",
            "ga_session_id": str(1_780_000_000 + n % 40),
            "event_value_in_usd": "12.5" if n % 5 == 3 else None,
            "geo_country": ["DE", "US"][n % 2],
        }
        for n in range(200)
    ]


def test_an_analytics_export():
    """Microseconds are recognised, and the session's number is not taken for the event time."""
    contract, text = contract_of(analytics_rows())
    assert contract.fields(2) == {
        "user_id": "user_pseudo_id",
        "session_uuid": "ga_session_id",
        "event_type": "event_name",
        "event_timestamp": "event_timestamp",
        "purchase_amount_usd": "event_value_in_usd",
    }
    assert contract.event_time.epoch_unit == "us"
    assert contract.event_type.mapping == {"view_search_results": "search", "scroll": "other"}
    assert "scroll: other  # CHECK 40 rows" in text
    assert "# CHECK amounts are taken as US dollars and are not converted" in text


def test_nested_objects_of_a_tracking_library():
    """Paths descend into objects, the anonymous id wins over the absent one, and rows without a type are named."""
    rows = [
        {
            "messageId": f"m{n}",
            "type": "track" if n % 2 else "page",
            "anonymousId": f"a{n % 25}",
            "userId": f"u{n % 25}" if n % 5 == 0 else None,
            "timestamp": at(n).isoformat().replace("+00:00", "Z"),
            "sentAt": at(n + 1).isoformat().replace("+00:00", "Z"),
            "context.sessionId": f"s{n % 50}",
            "context.ip": "10.0.0.1",
            "event": ["Product Added", "Order Completed", "Products Searched"][n % 3] if n % 2 else None,
            "properties.revenue": "9.9" if n % 6 == 1 else None,
        }
        for n in range(200)
    ]
    contract, text = contract_of(rows, JSONL)
    assert contract.fields(1) == {
        "event_id": "messageId",
        "user_id": "anonymousId",
        "session_id": "context.sessionId",
        "event_type": "event",
        "timestamp": "timestamp",
        "sequence": "sequence",
        "session_duration_seconds": "session_duration_seconds",
        "purchase_amount_usd": "properties.revenue",
    }
    mapping = {"Product Added": "add_to_cart", "Order Completed": "purchase", "Products Searched": "search"}
    assert (contract.event_type.mapping, contract.event_type.default) == (mapping, "other")
    assert "CHECK 100 rows have no type" in text
    assert "other columns that hold times: sentAt" in text
    assert "CHECK may be personal data: context.ip" in text


def test_a_shop_that_writes_dates_and_numbers_its_own_way():
    """Date and time in two columns, a format of its own, decimal commas, and a zone that must be asked for."""
    actions = ["Seite", "Suche", "Warenkorb", "Kauf"]
    rows = [
        {
            "Datum": f"{at(n):%d.%m.%Y}",
            "Uhrzeit": f"{at(n):%H:%M:%S}",
            "Kunde": f"K{n % 30}",
            "Sitzung": f"S{n % 60}",
            "Aktion": actions[n % 4],
            "Betrag": "12,50" if n % 4 == 3 else None,
        }
        for n in range(200)
    ]
    contract, text = contract_of(rows, {"format": "csv", "csv": {"delimiter": ";"}})
    assert (contract.csv.delimiter, contract.csv.decimal) == (";", ",")
    assert contract.time_columns(1) == ("Datum", "Uhrzeit")
    assert (contract.event_time.format, contract.event_time.zone) == ("%d.%m.%Y %H:%M:%S", "UTC")
    assert contract.event_type.mapping == {
        "Seite": "page_view",
        "Suche": "search",
        "Warenkorb": "add_to_cart",
        "Kauf": "purchase",
    }
    assert (contract.fields(1)["user_id"], contract.fields(1)["session_id"]) == ("Kunde", "Sitzung")
    assert "CHECK the texts do not say in which zone they are" in text
    assert "kept in `attributes`" not in text


def test_a_web_server_s_log():
    """An address stands for user and session, with a warning; the path tells what happened."""
    paths = ["/", "/p/1", "/cart/add", "/search?q=a, b"]
    rows = [
        {
            "remote_addr": f"10.0.0.{n % 40}",
            "time_local": f"{at(n):%d/%b/%Y:%H:%M:%S +0000}",
            "path": paths[n % 4],
            "status": "200",
        }
        for n in range(200)
    ]
    contract, text = contract_of(rows)
    assert contract.fields(1) == {
        "user_id": "remote_addr",
        "session_id": "remote_addr",
        "event_type": "path",
        "timestamp": "time_local",
    }
    assert contract.event_time.format == "%d/%b/%Y:%H:%M:%S %z"
    assert "CHECK a network address may stand for several people" in text
    assert "CHECK no column is named like a session" in text
    assert "zone" not in text


def test_rows_of_two_versions_under_their_own_names():
    """A file of versions 1 and 2 mixed has its versions inferred row by row, and nothing is renamed."""
    common = [{"event_id": f"e{n}", "user_id": f"u{n % 9}", "event_type": "search", "page": "/"} for n in range(60)]
    rows = [
        {**row, "session_id": "s", "timestamp": at(n).isoformat()}
        if n % 2
        else {**row, "session_uuid": "s", "event_timestamp": str(int(at(n).timestamp()))}
        for n, row in enumerate(common)
    ]
    contract, _ = contract_of(rows, JSONL)
    assert (contract.schema_version, contract.versions, contract.columns) == ("infer", (1, 2), {})
    assert contract.event_time.epoch_unit == "s"


def test_a_column_of_a_field_s_name_that_is_something_else_is_left_alone():
    """A sequence of words and a label of colours land in `attributes`: the draft says that these fields do not land."""
    rows = [
        {"user": f"u{n % 9}", "session": f"s{n % 9}", "event": "view", "ts": at(n).isoformat(), "sequence": "third"}
        for n in range(60)
    ]
    contract, _ = contract_of(rows, JSONL)
    assert contract.columns["sequence"] is None
    assert "sequence" not in contract.fields(1)


def test_a_file_without_what_events_need_is_no_contract_yet():
    """What is missing is named, there is a place to write it into, and the text is refused until it is."""
    draft, text = draft_of([{"colour": "red", "size": "7"}] * 30)
    assert [lack.split(":")[0] for lack in draft.missing] == ["timestamp", "user_id", "session_id"]
    assert yaml.safe_load(text)["columns"] == {"user_id": None, "session_id": None, "timestamp": None}
    with pytest.raises(ContractError, match="a required field needs a landed column"):
        parse_contract(text, file="shop.yaml")


def test_what_is_nearly_readable_is_named():
    """Amounts with a currency are not chosen, and the draft says why; seconds with a fraction are an event time."""
    draft, text = draft_of(
        [
            {"user": f"u{n % 9}", "t": f"{at(n).timestamp():.1f}", "amount": f"$ {n}.50", "event": "view"}
            for n in range(60)
        ]
    )
    assert not draft.missing
    assert draft.keys["columns"]["event_timestamp"] == "t"
    assert draft.keys["event_time"] == {"epoch_unit": "s"}
    assert "CHECK amount is named like an amount, but its values are no plain numbers" in text


def test_without_a_type_all_are_page_views_with_a_doubt():
    """A log of nothing but views has no column of types."""
    rows = [{"user": f"u{n % 9}", "session": f"s{n % 9}", "ts": str(int(at(n).timestamp()))} for n in range(60)]
    contract, text = contract_of(rows)
    assert contract.event_type.default == "page_view"
    assert "CHECK no column names the type of an event" in text


def test_many_types_are_cut_with_a_default():
    """Not every one of a hundred types is written down; the others fall under the default."""
    rows = [
        {"user": f"u{n % 9}", "session": "s", "action": f"view {n % 100:02d}", "ts": str(int(at(n).timestamp()))}
        for n in range(400)
    ]
    contract, text = contract_of(rows)
    assert len(contract.event_type.mapping) == 60
    assert contract.event_type.default == "other"
    assert "CHECK there are 100 types" in text


def test_reserved_words_and_odd_names_survive_the_yaml():
    """Names that YAML would take for something else are quoted."""
    names = ["yes", "null", "1", "#", "a: b", "it's", 'a "b"', "[x]", "line\nbreak"]
    rows = [
        {
            "yes": f"u{n % 9}",
            "session id: a": "s" + str(n % 9),
            "event": names[n % 9],
            "#ts": str(int(at(n).timestamp())),
        }
        for n in range(90)
    ]
    contract, _ = contract_of([{**row, "user": row["yes"]} for row in rows])
    assert contract.event_type.mapping == dict.fromkeys(names, "other")
    assert contract.fields(2)["event_timestamp"] == "#ts"
    assert contract.fields(2)["session_uuid"] in {"session id: a", "user"}


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Shop-Export 2026-06-01.csv.gz", "shop_export"),
        ("events_2026-06-01T00.jsonl", "events"),
        ("clicks_hour_000.csv.gz", "clicks_hour"),
        ("20260601.csv", "source"),
        ("9lives.csv", "lives"),
        ("ÄÖ.csv", "source"),
        ("a" * 90 + ".csv", "a" * 63),
    ],
)
def test_a_source_is_named_after_its_file_without_the_day(file, name):
    """What differs between files of one source is no part of the name, and every name is one that a contract takes."""
    assert source_name(file) == name
    parse_contract(f"source: {name}\nformat: jsonl", file="x")


def test_a_shop_that_parts_thousands_and_writes_months_in_letters():
    """Amounts with marks between the thousands, a 12-hour clock, a session by number, and types of one word."""
    actions = ["Browse", "Search", "Basket", "Paid"]
    rows = [
        {
            "When": f"{at(n):%d-%b-%Y %I:%M:%S %p}",
            "Member ID": f"M{n % 30}",
            "visit_no": str(n % 60),
            "What happened": actions[n % 4],
            "Amount (INR)": f"{1000 + n * 7919:,}.50" if n % 4 == 3 else None,
        }
        for n in range(200)
    ]
    contract, text = contract_of(rows, {"format": "csv", "csv": {"delimiter": "\t"}})
    assert contract.event_time.format == "%d-%b-%Y %I:%M:%S %p"
    assert (contract.csv.thousands, contract.csv.decimal) == (",", ".")
    assert contract.landed_column("purchase_amount_usd") == "Amount (INR)"
    assert contract.landed_column("session_id") == "visit_no"
    mapping = contract.event_type.mapping
    assert (mapping["Search"], mapping["Basket"], mapping["Paid"]) == ("search", "add_to_cart", "purchase")
    assert "a mark between the thousands" in text


def test_one_comma_before_three_digits_is_doubted():
    """``1,234`` alone may be one and a bit, or more than a thousand: the draft takes one and says the other."""
    rows = [
        {
            "time": f"{at(n):%Y-%m-%dT%H:%M:%SZ}",
            "user_id": f"M{n % 30}",
            "session_id": f"S{n % 60}",
            "event": "purchase",
            "amount": f"1,{100 + n}",
        }
        for n in range(200)
    ]
    contract, text = contract_of(rows, {"format": "csv"})
    assert contract.csv.decimal == ","
    assert "CHECK 1,234 is read as 1.234" in text


def test_the_event_s_own_time_wins_over_that_of_its_handling():
    """A tracker's export has five times; those of loading, sending and collecting are none of the event."""
    handled = ["etl_tstamp", "collector_tstamp", "dvce_sent_tstamp", "load_tstamp"]
    rows = [
        {
            **{name: f"{at(n + 60):%Y-%m-%d %H:%M:%S.000}" for name in handled},
            "event_id": f"e{n}",
            "domain_userid": f"u{n % 20}",
            "domain_sessionid": f"s{n % 40}",
            "event_name": ["page_ping", "link_click", "page_view", "transaction"][n % 4],
            "derived_tstamp": f"{at(n):%Y-%m-%d %H:%M:%S.000}",
        }
        for n in range(200)
    ]
    contract, _ = contract_of(rows)
    assert contract.fields(1)["timestamp"] == "derived_tstamp"
    # a sign of life and a link that leads away are no views
    assert contract.event_type.mapping == {"page_ping": "other", "link_click": "other", "transaction": "purchase"}


def test_steps_of_a_session_are_its_order():
    """A travel search numbers the steps of a session; that no type is a purchase is said."""
    actions = ["clickout item", "search for destination", "interaction item image"]
    rows = [
        {
            "userid": f"U{n % 25}",
            "sessionid": f"S{n % 50}",
            "timestamp": str(int(at(n).timestamp())),
            "step": str(1 + n // 50),
            "action_type": actions[n % 3],
        }
        for n in range(200)
    ]
    contract, text = contract_of(rows)
    fields = contract.fields(2)
    assert (fields["user_id"], fields["session_uuid"], fields["sequence"]) == ("userid", "sessionid", "step")
    assert contract.event_type.mapping == {
        "clickout item": "other",
        "search for destination": "search",
        "interaction item image": "other",
    }
    assert "CHECK no type is a purchase, so that no label is positive" in text


def retail_rows(written_as, *, lines=4):
    """Lines of invoices as a shop's till exports them: no type of event, no visit, negative prices for returns."""
    return [
        {
            "InvoiceNo": str(489_000 + n // lines),
            "StockCode": ["85048", "22041", "POST"][n % 3],
            "Quantity": str(1 + n % 5),
            "InvoiceDate": written_as(at(60 * (n // lines))),
            "UnitPrice": "-2.50" if n % 50 == 49 else f"{1 + n % 9}.95",
            "Customer ID": f"{13_000 + n // lines % 20}.0",
        }
        for n in range(200)
    ]


def test_lines_of_invoices_are_purchases():
    """Lines of an invoice are one session of purchases, at a price of one piece, and returns are named."""
    contract, text = contract_of(retail_rows("{:%d.%m.%Y %H:%M}".format))
    assert contract.fields(1) == {
        "user_id": "Customer ID",
        "session_id": "InvoiceNo",
        "timestamp": "InvoiceDate",
        "purchase_amount_usd": "UnitPrice",
    }
    assert contract.event_type.default == "purchase"
    assert "CHECK named like a purchase: its lines are taken as one session" in text
    assert "CHECK 4 amounts are negative (returns?): their rows are rejected" in text
    assert "it is not multiplied by a quantity" in text


def test_orders_of_one_line_are_no_sessions():
    """An order id that stands in one row each groups nothing, so that the customer stands for the session."""
    contract, _ = contract_of(retail_rows("{:%d.%m.%Y %H:%M}".format, lines=1))
    assert contract.fields(1)["session_id"] == "Customer ID"


def test_slashes_without_zeros_go_with_the_month_first():
    """Spreadsheets of one country write 6/1/2026 for the first of June; with zeros the day comes first, as before."""
    unpadded = contract_of(retail_rows(lambda time: f"{time.month}/{time.day}/{time:%Y %H:%M}"))[0]
    padded = contract_of(retail_rows("{:%d/%m/%Y %H:%M}".format))[0]
    assert unpadded.event_time.format == "%m/%d/%Y %H:%M"
    assert padded.event_time.format == "%d/%m/%Y %H:%M"

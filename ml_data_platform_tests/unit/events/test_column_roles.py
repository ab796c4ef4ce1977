"""Columns are recognised by their names and by what their values allow."""

from __future__ import annotations

import pytest

from ml_data_platform.events.column_roles import candidates, id_like, name_score, near_names, plain_name
from ml_data_platform.events.event_type_names import meaning_of
from ml_data_platform.events.profiles import NESTED, profile_rows

MEANINGS = {
    "Product Added": "add_to_cart",
    "addcart": "add_to_cart",
    "add_to_cart": "add_to_cart",
    "Order Completed": "purchase",
    "pay_res": "purchase",
    "checkoutComplete": "purchase",
    "Products Searched": "search",
    "view_search_results": "search",
    "VIEW": "page_view",
    "screen_view": "page_view",
    "Cart Viewed": "page_view",
    "begin_checkout": "other",
    "remove_from_cart": "other",
    "Order Refunded": "other",
    "checkout_failed": "other",
    "identify": None,
    "scroll": None,
    "": None,
}


@pytest.mark.parametrize("name", MEANINGS)
def test_names_of_events_mean_what_they_say(name):
    """Usual names are mapped, what undoes or prepares is other, and what is not known stays open."""
    assert meaning_of(name) == MEANINGS[name]


@pytest.mark.parametrize(
    ("column", "plain"),
    [("userId", "user_id"), ("User ID", "user_id"), ("SESSIONID", "sessionid"), ("HTTPStatus", "http_status")],
)
def test_names_are_compared_without_case_and_separators(column, plain):
    """Camel case, spaces and capitals are one way of writing."""
    assert plain_name(column) == plain


def test_a_better_known_name_wins_and_a_path_counts_by_its_leaf():
    """The whole name counts more than the end of a path, and that more than a name's tail."""
    assert name_score("user_id", "user") > name_score("visitorId", "user") > name_score("context.visitorId", "user")
    assert name_score("context.visitorId", "user") > name_score("shop_visitor_id", "user") > 0
    assert name_score("colour", "user") == 0


def profiles(**columns):
    """Return the profiles of columns given as lists of equal length."""
    return profile_rows([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])


def test_a_user_that_is_mostly_absent_yields_to_one_that_is_there():
    """The anonymous id stands for people who are not logged in."""
    found = candidates(profiles(userId=["u1", None, None, None] * 20, anonymousId=["a", "b", "c", "d"] * 20), "user")
    assert [each.column for each in found] == ["anonymousId", "userId"]


def test_event_ids_differ_in_every_row():
    """A column named id that repeats its values is none."""
    rows = [f"e{at}" for at in range(40)]
    assert [each.column for each in candidates(profiles(id=rows), "event_id")] == ["id"]
    assert candidates(profiles(id=["a", "b"] * 20), "event_id") == []


def test_types_are_few_and_no_numbers():
    """Codes and free texts are no event types, whatever they are named."""
    assert candidates(profiles(event_type=[str(at) for at in range(60)]), "event_type") == []
    assert candidates(profiles(action=["1", "2"] * 30), "event_type") == []
    assert [each.column for each in candidates(profiles(action=["view", "buy"] * 30), "event_type")] == ["action"]


def test_types_are_recognised_by_their_values_where_no_name_says_so():
    """Values that speak for themselves are enough, and are marked as such."""
    (found,) = candidates(profiles(was=["page", "search", "x"] * 20, colour=["red", "blue", "x"] * 20), "event_type")
    assert (found.column, found.is_named) == ("was", False)


def test_ids_without_a_name_are_shared_by_rows_and_no_quantities():
    """Words that repeat are rather users than amounts, and what is the same in all rows is neither."""
    rows = profiles(price=[str(at % 30) for at in range(90)], who=[f"p{at % 20}" for at in range(90)], all=["x"] * 90)
    assert [each.column for each in id_like(rows)] == ["who", "price"]


def test_a_binary_label_is_complete():
    """A label stands in every row and has both values."""
    assert [each.column for each in candidates(profiles(converted=["0", "1"] * 5), "label")] == ["converted"]
    assert candidates(profiles(converted=["0", "1", None]), "label") == []
    assert candidates(profiles(converted=["1", "1"]), "label") == []


@pytest.mark.parametrize(
    ("wanted", "columns", "near"),
    [
        ("user_id", ["UserID", "page"], ("UserID",)),
        ("event_timestamp", ["event_time_stamp", "x"], ("event_time_stamp",)),
        ("sessionid", ["session_ids", "page"], ("session_ids",)),
        ("user_id", ["page", "colour"], ()),
    ],
)
def test_near_names_are_what_was_probably_meant(wanted, columns, near):
    """Another way of writing and a typo are found; another word is not."""
    assert near_names(wanted, columns) == near


def test_objects_are_no_values():
    """Objects and arrays are counted apart, and blanks are nothing."""
    profile = profile_rows([{"a": NESTED}, {"a": "x"}, {"a": " "}, {"a": None}])["a"]
    assert (profile.rows, profile.filled, profile.nested, profile.filled_share) == (4, 1, 1, 0.25)

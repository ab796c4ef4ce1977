"""Names that look alike are told apart by what cannot be seen, and names that look different are not named."""

from __future__ import annotations

import pytest

from ml_data_platform.events.alike_names import MAX_SHOWN, alike_names

DIFFERENCES = {
    ("user_id", "user_id "): "U+0020 SPACE at 8",
    ("user_id", "\u00a0user_id"): "U+00A0 NO-BREAK SPACE at 1",
    ("user_id", "\ufeffuser_id"): "U+FEFF ZERO WIDTH NO-BREAK SPACE at 1",
    ("user_id", "user\u200b_id"): "U+200B ZERO WIDTH SPACE at 5",
    ("Gr\u00f6\u00dfe", "Gro\u0308\u00dfe"): "the same letters in another Unicode normal form, NFD",
    ("Gro\u0308\u00dfe", "Gr\u00f6\u00dfe"): "the same letters in another Unicode normal form, NFC",
    ("user_id", "User_ID"): "other capitals",
    ("user id", " user id"): "blanks before or behind it",
}


@pytest.mark.parametrize(("wanted", "found"), DIFFERENCES)
def test_what_cannot_be_seen_is_said(wanted, found):
    """The difference is named by code point, place, or kind, and the name is shown with nothing hidden."""
    (text,) = alike_names([wanted], ["other", found])
    assert DIFFERENCES[wanted, found] in text
    assert text.startswith(f"{wanted!r} stands there as {found!a}")


@pytest.mark.parametrize("found", ["user_id", "user", "userid", "user_ids", "us\u00e9r_id"])
def test_other_names_are_not_taken_for_alike(found):
    """The same name, and names that a reader tells apart, are not listed."""
    assert alike_names(["user_id"], [found]) == ()


def test_a_header_of_a_thousand_alike_names_stays_bounded():
    """Names are a producer's: no more than a few are shown."""
    assert len(alike_names(["id"], ["id" + "\u200b" * count for count in range(1, 1000)])) == MAX_SHOWN

"""When a field that is filled otherwise than before is worth a warning, and when it is not."""

from __future__ import annotations

import json
import random

import pytest

from ml_data_platform.events.field_presence import (
    EventTypes,
    FieldProfile,
    SourceProfile,
    unusual_fields,
    unusual_types,
)

AMOUNT = FieldProfile(50, "number", 50)


def profile(rows: int, **fields: FieldProfile) -> SourceProfile:
    """Return what a day of so many rows holds, an id in each of them."""
    return SourceProfile(rows, {"user_id": FieldProfile(rows, "text", rows), **fields})


def test_a_renamed_field_is_told_on_the_second_day_with_its_new_name() -> None:
    """One day before is enough; the new field that reads alike is named, one that does not is not."""
    today = profile(50, purchaseAmountUsd=AMOUNT, colour=FieldProfile(50, "text", 50))
    (line,) = unusual_fields("s", today, [profile(50, purchase_amount_usd=AMOUNT)])
    assert line == (
        "s: purchase_amount_usd is filled in 0 of 50 rows, before in 50 of 50; purchaseAmountUsd is new, in 50: was it"
        " renamed?"
    )
    (line,) = unusual_fields("s", profile(50), [profile(50, purchase_amount_usd=AMOUNT)])
    assert line == "s: purchase_amount_usd is filled in 0 of 50 rows, before in 50 of 50"


@pytest.mark.parametrize(
    ("now", "rows", "before", "is_told"),
    [
        (0, 50, [(50, 50)], True),
        (0, 6, [(6, 6)], True),
        (1, 1, [(50, 50)], False),
        (0, 1, [(50, 50)], False),
        (0, 50, [(0, 50)], False),
        (0, 50, [(1, 1)], False),
        (2, 50, [(50, 50)], True),
        (0, 50, [(4, 50)], False),
        (0, 1_000, [(80, 1_000)], True),
        (0, 1_000, [(80, 1_000)] * 3 + [(0, 1_000)], True),
        (0, 1_000, [(80, 1_000)] + [(0, 1_000)] * 3, False),
        (60, 100, [(100, 100)], True),
        (95, 100, [(100, 100)], False),
        (60, 100, [(90, 100), (60, 100), (75, 100)], False),
        (20, 100, [(90, 100), (85, 100), (95, 100)], True),
        (100, 100, [(40, 100), (10, 100), (55, 100)], False),
        (100, 100, [(2, 100), (1, 100), (3, 100)], True),
    ],
)
def test_a_share_is_told_where_chance_and_habit_do_not_explain_it(
    now: int, rows: int, before: list[tuple[int, int]], is_told: bool
) -> None:
    """Emptied, or far from what the days before had; not where rows are few, or the share has always moved."""
    days = [profile(of, note=FieldProfile(filled, "text", filled)) for filled, of in before]
    found = unusual_fields("s", profile(rows, note=FieldProfile(now, "text", now)), days)
    assert bool(found) is is_told, found
    if is_told:
        then = f"{sum(filled for filled, _ in before):,} of {sum(of for _, of in before):,}"
        assert found == (f"s: note is filled in {now:,} of {rows:,} rows, before in {then}",)


@pytest.mark.parametrize(
    ("now", "before", "is_told"),
    [
        (FieldProfile(50, "text", 48), [FieldProfile(50, "number", 50)], True),
        (FieldProfile(50, "number as text", 50), [FieldProfile(50, "number", 50)] * 3, True),
        (FieldProfile(50, "nested", 30), [FieldProfile(50, "text", 50)], True),
        (FieldProfile(50, "text", 24), [FieldProfile(50, "number", 50)], False),
        (FieldProfile(50, "text", 48), [FieldProfile(50, "number", 30)], False),
        (FieldProfile(50, "text", 50), [FieldProfile(50, "number", 50), FieldProfile(50, "text", 50)], False),
        (FieldProfile(50), [FieldProfile(50, "number", 50)], False),
        (FieldProfile(50, "text", 50), [FieldProfile(50)], False),
        (FieldProfile(5, "text", 5), [FieldProfile(5, "number", 5)], False),
    ],
)
def test_another_kind_of_values_is_told_where_the_kind_was_certain(
    now: FieldProfile, before: list[FieldProfile], is_told: bool
) -> None:
    """Numbers that become text, text that becomes an object; not a field that was always mixed, or of few values."""
    found = unusual_fields("s", profile(50, note=now), [profile(50, note=each) for each in before])
    kinds = [line for line in found if " values, before " in line]
    assert bool(kinds) is is_told
    if is_told:
        assert f"note is {now.kind} in {now.of_kind} of {now.filled} values, before {before[0].kind}" in kinds[0]


def test_nothing_is_compared_with_nothing() -> None:
    """The first day, an empty one, days without rows, and new fields by themselves are no news."""
    whole = profile(50, note=AMOUNT)
    assert unusual_fields("s", whole, []) == ()
    assert unusual_fields("s", SourceProfile(0), [whole]) == ()
    assert unusual_fields("s", whole, [SourceProfile(0)]) == ()
    assert unusual_fields("s", whole, [profile(50)]) == ()


def test_a_profile_survives_being_stored() -> None:
    """What is read is what was kept."""
    whole = profile(50, note=AMOUNT, gone=FieldProfile())
    assert SourceProfile.from_json(whole.to_json()) == whole
    typed = SourceProfile(9, {}, EventTypes({"purchase": 4}, 5, {"order": 5}))
    assert SourceProfile.from_json(json.loads(json.dumps(typed.to_json()))) == typed
    assert SourceProfile.from_json({"rows": 3, "fields": {}}).types is None


def events(rows: int, purchases: int, **texts: int) -> SourceProfile:
    """Return a day of so many rows, purchases and texts under the default; the rest are views."""
    other = sum(texts.values())
    return SourceProfile(
        rows, {}, EventTypes({"page_view": rows - purchases - other, "purchase": purchases}, other, texts)
    )


@pytest.mark.parametrize(
    ("today", "before", "is_told"),
    [
        (events(60, 0, order=6), [events(60, 6)], True),
        (events(60, 0, order=6), [events(60, 6, order=1)], False),
        (events(60, 0), [events(60, 6)], False),
        (events(60, 0), [events(60, 6)] * 3, True),
        (events(60, 1), [events(60, 6)] * 3, False),
        (events(60, 0), [events(60, 2), events(60, 12), events(60, 9)], False),
        (events(60, 0), [events(60, 2)] * 7, False),
        (events(20, 0), [events(60, 6)] * 7, False),
        (events(60, 0, order=3), [events(60, 3)] * 3, True),
        (events(60, 0, order=3), [events(60, 3)], False),
        (events(2_000, 0), [events(2_000, 100)], True),
        (events(60, 0, order=6), [SourceProfile(60)] * 3, False),
        (SourceProfile(60), [events(60, 6)] * 3, False),
        (events(60, 0, order=6), [events(60, 6, **{f"t{at}": 1 for at in range(20)})], False),
        (events(60, 6, order=50), [events(60, 6)] * 3, True),
        (events(60, 6, order=5), [events(60, 6)] * 3, False),
        (events(60, 6), [events(60, 6, order=50)] * 3, False),
    ],
)
def test_an_event_type_is_missed_where_it_was_usual(
    today: SourceProfile, before: list[SourceProfile], is_told: bool
) -> None:
    """By habit of some days, or by a new text in its place; not where it is rare, or days were few or uneven."""
    assert bool(unusual_types("s", today, before)) is is_told


def test_fields_that_follow_the_mix_of_events_are_no_alarm() -> None:
    """Over 1,000 days of sessions, each with its own mix, hardly a day is told; an emptied field is, nearly always."""
    rng = random.Random(5)

    def day() -> tuple[int, int]:
        sessions = [
            (size := rng.randint(1, 12), size if rng.random() < 0.15 else rng.randint(0, size // 2))
            for _ in range(rng.randint(15, 60))
        ]
        return sum(filled for _, filled in sessions), sum(size for size, _ in sessions)

    days = [day() for _ in range(1_007)]
    found = [SourceProfile(rows, {"note": FieldProfile(filled, "text", filled)}) for filled, rows in days]
    alarms = sum(bool(unusual_fields("s", found[at], found[at - 7 : at])) for at in range(7, 1_007))
    assert alarms <= 1
    emptied = sum(
        bool(unusual_fields("s", SourceProfile(found[at].rows), found[at - 7 : at])) for at in range(7, 1_007)
    )
    assert emptied >= 990

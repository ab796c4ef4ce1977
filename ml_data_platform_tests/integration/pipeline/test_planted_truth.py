"""Every planted row is found where it belongs, by the generator's own account of what it planted.

The only ways from a planted row to a stored one are the landed file's bytes (their SHA-256) and the line number.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq
import pytest

from ml_data_platform.generator.kinds import KINDS
from ml_data_platform_tests.pipeline_root import SHOP, PipelineRoot

Place = tuple[str, int]
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Truth:
    """What was planted, by file hash and line number."""

    rows: dict[Place, dict[str, Any]]
    hash_of: dict[str, str]

    @property
    def days(self) -> list[str]:
        """Days with dated rows."""
        return sorted({row["day"] for row in self.rows.values() if row["day"]})

    def winners(self) -> dict[str, Place]:
        """Return the place of the row that must be published, by event id: of the rows that break no rule."""
        groups = defaultdict(list)
        for place, row in self.rows.items():
            if row["day"] and not row["rules"]:
                groups[row["day"], row["event_id"]].append(place)
        return {
            event_id: min(places, key=lambda place: (-self.rows[place]["version"], *place))
            for (_, event_id), places in groups.items()
        }


@pytest.fixture(scope="module")
def truth(built_root: PipelineRoot) -> Truth:
    """The planted rows of the built root."""
    landing = built_root.settings.landing
    hash_of = {
        path.relative_to(landing).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (landing / SHOP).iterdir()
    }
    with (landing / "_planted" / "rows.jsonl").open() as file:
        said = [json.loads(line) for line in file]
    assert len(set(hash_of.values())) == len(hash_of)
    return Truth({(hash_of[row["file"]], row["row"]): row for row in said}, hash_of)


def by_place(rows: list[dict[str, Any]]) -> dict[Place, dict[str, Any]]:
    """Index stored rows by where they come from; no place occurs twice."""
    indexed = {(row["source_file"], row["source_row"]): row for row in rows}
    assert len(indexed) == len(rows)
    return indexed


def stored(root: PipelineRoot, asset: str, key: str, file: str = "data.parquet") -> dict[Place, dict[str, Any]]:
    """Read one file of the view, by place."""
    return by_place(root.rows(asset, dt.date.fromisoformat(key), file))


def test_every_kind_of_damage_was_planted(truth: Truth) -> None:
    """The built root holds rows of every kind, so that the tests below miss none."""
    assert {row["kind"] for row in truth.rows.values()} == set(KINDS)
    assert any(row["is_late"] for row in truth.rows.values())
    assert {row["version"] for row in truth.rows.values()} == {1, 2}


def test_one_row_of_each_event_is_published(built_root: PipelineRoot, truth: Truth) -> None:
    """Per event of a day one row is published: of the highest version, then the smallest hash, then line."""
    winners = truth.winners()
    for key in truth.days:
        published = stored(built_root, "validated_events", key)
        expected = {place for place in winners.values() if truth.rows[place]["day"] == key}
        assert set(published) == expected
        for place, row in published.items():
            said = truth.rows[place]
            assert row["event_id"] == f"{SHOP}:{said['event_id']}"
            assert row["event_timestamp"] == EPOCH + dt.timedelta(milliseconds=said["event_time_ms"])
            assert row["schema_version"] == said["version"]


def test_every_copy_is_quarantined_as_duplicate(built_root: PipelineRoot, truth: Truth) -> None:
    """All other valid rows of an event are among the duplicates of its day, and name the row that was kept."""
    winners = truth.winners()
    for key in truth.days:
        duplicates = stored(built_root, "quarantined_events", key, "disposition=duplicate/data.parquet")
        expected = {
            place: winners[row["event_id"]]
            for place, row in truth.rows.items()
            if row["day"] == key and not row["rules"] and winners[row["event_id"]] != place
        }
        found = {place: (row["kept_source_file"], row["kept_source_row"]) for place, row in duplicates.items()}
        assert found == expected
        assert all(row["rules"] == ["event_ids_are_unique"] for row in duplicates.values())
    kinds = Counter(row["kind"] for row in truth.rows.values())
    copies = sum(count for kind, count in kinds.items() if kind.startswith("duplicate_"))
    assert copies == sum(
        len(stored(built_root, "quarantined_events", key, "disposition=duplicate/data.parquet")) for key in truth.days
    )


def test_every_broken_row_is_rejected_for_its_rules(built_root: PipelineRoot, truth: Truth) -> None:
    """A row that breaks rules is among the rejected of its day under exactly these rules, its line as landed."""
    lines = {
        truth.hash_of[name]: (built_root.settings.landing / name).read_text().splitlines() for name in truth.hash_of
    }
    for key in truth.days:
        rejected = stored(built_root, "quarantined_events", key, "disposition=rejected/data.parquet")
        expected = {place: row["rules"] for place, row in truth.rows.items() if row["day"] == key and row["rules"]}
        assert {place: sorted(row["rules"]) for place, row in rejected.items()} == expected
        for (source_file, source_row), row in rejected.items():
            assert row["landed"] == lines[source_file][source_row - 1]


def test_every_row_without_a_day_is_kept_with_its_reason(built_root: PipelineRoot, truth: Truth) -> None:
    """A row without a usable day is in the undated rows of its file, for the planted reason."""
    folder = built_root.folder / "data" / "undated_rows" / f"source={SHOP}"
    undated = by_place([row for path in folder.iterdir() for row in pq.ParquetFile(path).read().to_pylist()])
    expected = {place: row["reason"] for place, row in truth.rows.items() if row["day"] is None}
    assert {place: row["reason"] for place, row in undated.items()} == expected


def test_landed_rows_are_accounted_for(built_root: PipelineRoot, truth: Truth) -> None:
    """Per file, lines = routed to days + undated; per day, raw = published + duplicates + rejected = planted."""
    ledger = built_root.platform.ledger
    records = {record.sha256: record for record in ledger.records()}
    for name, sha256 in truth.hash_of.items():
        of_file = [row for (file, _), row in truth.rows.items() if file == sha256]
        record = records.pop(sha256)
        assert ledger.names(SHOP, sha256) == (name.removeprefix(f"{SHOP}/"),)
        assert record.rows == len(of_file) == len((built_root.settings.landing / name).read_bytes().splitlines())
        assert record.rows_per_day == Counter(row["day"] for row in of_file if row["day"])
        assert record.undated == Counter(row["reason"] for row in of_file if row["reason"])
    assert not records
    for key in truth.days:
        raw = stored(built_root, "raw_events", key)
        assert set(raw) == {place for place, row in truth.rows.items() if row["day"] == key}
        parts = [
            stored(built_root, "validated_events", key),
            stored(built_root, "quarantined_events", key, "disposition=duplicate/data.parquet"),
            stored(built_root, "quarantined_events", key, "disposition=rejected/data.parquet"),
        ]
        assert sum(len(part) for part in parts) == len(raw)


def test_no_day_is_published_that_nothing_asked_for(built_root: PipelineRoot, truth: Truth) -> None:
    """Days with rows are published, and the empty day that was asked for; an empty day is not an absent one."""
    empty = dt.date(2026, 3, 6)
    for asset in ("raw_events", "validated_events", "quarantined_events", "session_features", "date_partitions"):
        days = {key.isoformat() for name, key in built_root.heads() if name == asset}
        assert days == {*truth.days, empty.isoformat()}
        assert built_root.heads()[asset, empty].rows == 0

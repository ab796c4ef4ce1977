"""What the generator says it planted is what its files hold."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict

from ml_data_platform.generator.kinds import BROKEN_KINDS, DUPLICATE_KINDS, KINDS, UNDATED_KINDS
from ml_data_platform.generator.truth import load_planted
from ml_data_platform_tests.planted_recount import Line, kind_counts
from ml_data_platform_tests.unit.generator.conftest import DAYS, EVENTS_PER_DAY, Sample


def test_days_equal_a_recount(sample: Sample) -> None:
    """Rows, clean rows, copies, late rows, purchases and broken rules per event day equal a reading by json."""
    counted = kind_counts(sample.lines)
    by_day: dict[str, list[Line]] = defaultdict(list)
    for line in sample.lines:
        if line.day is not None:
            by_day[line.day].append(line)
    assert sample.planted.days.keys() == by_day.keys()
    for day, lines in by_day.items():
        truth = sample.planted.days[day]
        assert truth.rows == len(lines)
        assert truth.kinds["clean"] == counted[day]["clean"]
        assert truth.duplicates == counted[day]["duplicate"]
        assert truth.rejected == sum(1 for line in lines if line.rules)
        assert truth.rules == Counter(rule for line in lines for rule in line.rules)
        assert truth.late == sum(line.is_late for line in lines)
        originals = {line.event_id: line for line in lines if not line.rules}
        assert truth.purchases == sum(line.body["event_type"] == "purchase" for line in originals.values())


def test_files_equal_a_recount(sample: Sample) -> None:
    """Rows, rows per event day, undated rows per reason, length and hash of each file equal a reading by json."""
    by_file: dict[str, list[Line]] = defaultdict(list)
    for line in sample.lines:
        by_file[line.file].append(line)
    assert list(sample.planted.files) == sorted(by_file)
    for name, lines in by_file.items():
        truth = sample.planted.files[name]
        data = (sample.out / name).read_bytes()
        assert truth.rows == len(lines)
        assert truth.days == Counter(line.day for line in lines if line.day)
        assert truth.undated == Counter(line.reason for line in lines if line.reason)
        assert (truth.size_bytes, truth.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_row_truth_equals_each_line(sample: Sample) -> None:
    """The list names every line once, in order, with the day, time, id, rules and reason found in its text."""
    with (sample.out / "_planted/rows.jsonl").open() as file:
        for line, text in zip(sample.lines, file, strict=True):
            said = json.loads(text)
            assert (said["file"], said["row"]) == (line.file, line.row)
            assert (said["day"], said["event_time_ms"]) == (line.day, line.time_ms)
            assert (said["event_id"], said["reason"]) == (line.event_id, line.reason)
            assert tuple(said["rules"]) == line.rules
            assert said["version"] == line.version or line.reason == "malformed_row"
            assert said["is_late"] == line.is_late or line.reason is not None


def test_copies_are_what_their_kind_says(sample: Sample) -> None:
    """A copy has its original's id, user, session, type and instant; file and row format agree with its kind."""
    with (sample.out / "_planted/rows.jsonl").open() as file:
        kinds = [json.loads(text)["kind"] for text in file]
    originals = {line.event_id: line for line, kind in zip(sample.lines, kinds, strict=True) if kind == "clean"}
    seen = set()
    for line, kind in zip(sample.lines, kinds, strict=True):
        if kind not in DUPLICATE_KINDS:
            continue
        seen.add(kind)
        original = originals[line.event_id]
        assert (line.time, line.session) == (original.time, original.session)
        for field in ("user_id", "event_type", "sequence", "purchase_amount_usd", "session_duration_seconds", "page"):
            assert line.body.get(field) == original.body.get(field)
        assert (line.file == original.file) == (kind == "duplicate_within_file")
        assert (line.version == original.version) == (kind != "duplicate_across_versions")
    assert seen == set(DUPLICATE_KINDS)


def test_every_kind_occurs(sample: Sample) -> None:
    """Two weeks of 2,000 events a day hold every kind of row."""
    assert list(sample.planted.kinds) == list(KINDS)


def test_shares_are_near_the_asked_ones(sample: Sample) -> None:
    """Without the copies there are exactly the asked events; default shares are met within four deviations."""
    kinds, events = sample.planted.kinds, DAYS * EVENTS_PER_DAY
    assert sample.planted.rows - sum(kinds[kind] for kind in DUPLICATE_KINDS) == events
    late = sum(line.is_late for line in {line.event_id: line for line in reversed(sample.lines)}.values())
    for share, found in (
        (0.01, sum(kinds[kind] for kind in DUPLICATE_KINDS)),
        (0.005, sum(kinds[kind] for kind in BROKEN_KINDS)),
        (0.002, sum(kinds[kind] for kind in UNDATED_KINDS)),
        (0.02, late),
    ):
        assert abs(found - share * events) < 4 * (share * events) ** 0.5


def test_truth_is_read_back_as_it_was_returned(sample: Sample) -> None:
    """``planted.json`` holds all that ``generate`` returned."""
    assert load_planted(sample.out) == sample.planted
    body = json.loads((sample.out / "_planted/planted.json").read_text())
    assert body["totals"] == {"rows": sample.planted.rows, "kinds": sample.planted.kinds}

"""What a producer expects of its values: judged by source, as they land, in every format, masked or not."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_data_platform.stages import flow
from ml_data_platform.stages.stored_checks import stored_checks
from ml_data_platform_tests.byte_scan import Needles, scan
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, settings_for

HOLD, WARN = "contract_expectations_hold", "contract_expectations_that_warn_hold"
CONTRACT = """
source: {source}
format: {format}
schema_version: 1
columns:
  event_id: id
  user_id: user
  session_id: visit
  event_type: kind
  timestamp: at
event_type: {{default: other}}
unknown_columns: evolve
{pii}
expect:
{rules}
"""
MASKED = "pii: {columns: {user: mask, mail: drop, code: mask, spent: mask}, unnamed: keep}"
RULES = """
  users_are_named_as_ours: {expectation: expect_column_values_to_match_regex, column: user, regex: '^usr_[a-f0-9]{16}$', tolerance: 1}
  kinds_are_ours: {expectation: ExpectColumnValuesToBeInSet, column: kind, value_set: [view, buy], tolerance: 1}
  amounts_are_in_range: {expectation: ExpectColumnValuesToBeBetween, column: spent, min_value: 0, max_value: 50000, tolerance: 1}
  mails_are_there: {expectation: ExpectColumnValuesToNotBeNull, column: mail, tolerance: 1}
  codes_are_short: {expectation: ExpectColumnValueLengthsToBeBetween, column: code, min_value: 2, max_value: 4, tolerance: 1}
  codes_are_not_tests: {expectation: ExpectColumnValuesToNotMatchRegexList, column: code, regex_list: ['^T', 'x$'], tolerance: 1}
"""
NAMES = ("id", "user", "visit", "kind", "at", "spent", "mail", "code")
GOOD = {"kind": "view", "spent": "12.5", "mail": "mail@canary.example", "code": "abc"}
SECRET = "secret-mail@canary.example"
SPOILT = [
    {"user": "usr_0123456789ABCDEF"},
    {"user": "xusr_0123456789abcdef"},
    {"user": "usr_0123456789abcdef\n"},
    {"kind": "View"},
    {"kind": "browse", "spent": "-0.01"},
    {"spent": "50000"},
    {"spent": "50000.01"},
    {"spent": "twelve"},
    {"spent": ""},
    {"spent": "1e3"},
    {"mail": ""},
    {"mail": "   "},
    {"mail": None},
    {"code": "é"},
    {"code": "T12"},
    {"code": "12345", "mail": None},
    {"code": ""},
    {"code": "abx"},
]


def rows_of(spoilt):
    """Return landed rows, one of them good between any two that are spoilt."""
    rows = []
    for number, change in enumerate(each for pair in spoilt for each in (pair, {})):
        row = {"id": f"e{number}", "user": f"usr_{number:016x}", "visit": f"v{number}"}
        rows.append({**row, "at": f"{day(1)}T10:{number // 60:02}:{number % 60:02}Z", **GOOD, **change})
    return rows


def broken_by(row):
    """Judge a row in plain Python."""
    there = {name: value for name, value in row.items() if value is not None and value.strip()}
    found = []
    if "mail" not in there:
        found.append("mails_are_there")
    if not re.search(r"\Ausr_[a-f0-9]{16}\Z", there["user"]):
        found.append("users_are_named_as_ours")
    if there["kind"] not in {"view", "buy"}:
        found.append("kinds_are_ours")
    if "spent" in there:
        try:
            found += [] if 0 <= float(there["spent"]) <= 50_000 else ["amounts_are_in_range"]
        except ValueError:
            found.append("amounts_are_in_range")
    if "code" in there:
        found += [] if 2 <= len(there["code"]) <= 4 else ["codes_are_short"]
        found += ["codes_are_not_tests"] if there["code"][0] == "T" or there["code"][-1] == "x" else []
    return sorted(found)


def write_rows(path, form, rows):
    """Write rows as a producer of that format does."""
    if form == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, NAMES)
            writer.writeheader()
            writer.writerows(rows)
    elif form == "jsonl":
        lines = [{name: value for name, value in row.items() if value is not None} for row in rows]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    else:
        pq.write_table(pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in NAMES}), path)


class Root:
    """A root with contracts that are written by the test."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "root" / "sources").mkdir(parents=True)

    @property
    def root(self):
        """The root, opened anew: contracts may have changed."""
        return PipelineRoot(settings_for(self.folder / "root", sources=self.folder / "root" / "sources"))

    def say(self, rules, source="s", form="jsonl", pii=""):
        """Write the contract of a source."""
        text = CONTRACT.format(source=source, format=form, pii=pii, rules=rules)
        (self.folder / "root" / "sources" / f"{source}.yaml").write_text(text)

    def land(self, rows, source="s", form="jsonl", name="rows"):
        """Land rows as one file."""
        path = self.folder / f"{source}.{name}.{form}"
        write_rows(path, form, rows)
        (landed,) = self.root.land(path, source=source)
        return landed

    def build(self):
        """Judge what is dirty."""
        report = self.root.judge([day(1)])
        assert not [failure for failure in report.failed if not failure.is_refused]
        return {failure.asset for failure in report.failed}

    def checks(self):
        """Return what the checks of the day find now, by name."""
        platform = self.root.platform
        raw = {"raw_events": platform.store.ref("raw_events", [day(1)])}
        with platform.store.scratch() as scratch:
            result = flow.build(platform, "validated_events", day(1), raw, scratch)
        return {check.name: check for check in result.checks if check.asset == "validated_events"}

    def said(self, name):
        """Return what a check said when the day was judged last."""
        return stored_checks(self.root.platform, "validated_events", day(1)).of(name)

    def rejected(self):
        """Return the rejected rows of the day: row number in its file to the names of rules."""
        rows = self.root.rows("quarantined_events", day(1), "disposition=rejected/data.parquet")
        return {(row["source"], row["source_row"]): row["rules"] for row in rows}

    def published(self, source="s"):
        """Return the event ids of a source on the day, as they were landed."""
        rows = self.root.rows("validated_events", day(1))
        return sorted(row["event_id"].split(":")[1] for row in rows if row["source"] == source)


@pytest.fixture
def place(tmp_path):
    """Give a root without contracts."""
    return Root(tmp_path)


ONE = "  users_are_named_as_ours: {{expectation: ExpectColumnValuesToMatchRegex, column: user, regex: '^usr_[a-f0-9]{{16}}$'{}}}"
BAD = {"user": "guest"}
UNIQUE = "  orders_are_unique: {expectation: ExpectColumnValuesToBeUnique, column: order, tolerance: 1}"
PAIRS = (
    "  pairs_are_unique: {expectation: expect_compound_columns_to_be_unique, column_list: [mail, code], tolerance: 1}"
)
ENDS = """
  ends: {expectation: ExpectColumnValuesToMatchRegex, column: code, regex: '^(a+)+$', tolerance: 1}
  ends_too: {expectation: ExpectColumnValuesToMatchRegex, column: code, regex: '^(\\w+\\s?)*\\Z', tolerance: 1}
"""
JUDGED = rows_of(SPOILT)
ORDERED = [
    {**{key: value for key, value in row.items() if key != "code"}, "order": order}
    for row, order in zip(rows_of([{}] * 4), ["a", "b", "a", "", None, "b", "a", "  "], strict=True)
]
FORMS = ("csv", "jsonl", "parquet")
ORDERS = {"kept": "", "masked": "pii: {columns: {order: mask}, unnamed: keep}"}


@pytest.fixture(scope="module")
def day_of_many(tmp_path_factory):
    """A root in which one day of sources with rules of their own was judged, and what its checks find; to be read only."""
    place, files = Root(tmp_path_factory.mktemp("many")), []
    for form in FORMS:
        for source, pii, mail in ((form, "", GOOD["mail"]), (f"{form}_masked", MASKED, SECRET)):
            place.say(RULES, source, form=form, pii=pii)
            rows = [{**row, "mail": mail if row["mail"] == GOOD["mail"] else row["mail"]} for row in JUDGED]
            files.append((source, form, rows))
    for kind, pii in ORDERS.items():
        for name, turn in (("forth", 1), ("back", -1)):
            place.say(UNIQUE, f"{name}_{kind}", pii=pii)
            for rows in (ORDERED[4:] + ORDERED[:1], ORDERED[:4])[::turn]:
                files.append((f"{name}_{kind}", "jsonl", rows))
    pairs = [("a", "1"), ("a", "2"), ("b", "1"), ("a", "2"), (None, "1"), (None, "1"), (None, None), (None, None)]
    for source, rules, rows in (
        ("pairs", PAIRS, [{**row, "mail": a, "code": b} for row, (a, b) in zip(rows_of([{}] * 4), pairs, strict=True)]),
        ("ends", ENDS, [{**row, "code": "a" * 40 + "!"} for row in rows_of([{}] * 500)]),
        ("ruled", ONE.format(", tolerance: 0.5"), rows_of([BAD] * 5)),
        ("free", "  {}", rows_of([BAD] * 5)),
        ("mistyped", ONE.format("").replace("column: user", "column: usr"), rows_of([{}] * 20)),
    ):
        place.say(rules, source)
        files.append((source, "jsonl", rows))
    root = place.root
    for number, (source, form, rows) in enumerate(files):
        path = place.folder / f"{source}.{number}.{form}"
        write_rows(path, form, rows)
        (landed,) = root.land(path, source=source)
        assert landed.outcome == "landed", landed.reason
    assert place.build() == set()
    return place, place.rejected(), place.checks()


@pytest.mark.parametrize("source", [f"{form}{masked}" for form in FORMS for masked in ("", "_masked")])
def test_rows_are_judged_as_they_landed(day_of_many, source):
    """Each row is rejected for exactly the rules that plain Python says, whatever the format, also before a mask."""
    place, rejected, _ = day_of_many
    broken = {at: broken_by(row) for at, row in enumerate(JUDGED, start=1) if broken_by(row)}
    assert {at: rules for (of, at), rules in rejected.items() if of == source} == broken
    assert place.published(source) == sorted(row["id"] for row in JUDGED if not broken_by(row))


def test_what_is_judged_before_a_mask_is_kept_nowhere(day_of_many):
    """Of the masked sources no value in clear is in any file of the root."""
    place, _, _ = day_of_many
    assert scan(place.folder / "root", Needles(["secret-mail"], [SECRET])) == {}


def test_the_rules_of_a_source_judge_its_own_rows(day_of_many):
    """Of two sources of one day the one without rules is published whole, and its rows are in no share of the other's."""
    place, rejected, checks = day_of_many
    assert {at for source, at in rejected if source == "ruled"} == {2 * at + 1 for at in range(5)}
    assert not any(source == "free" for source, _ in rejected)
    assert (len(place.published("ruled")), len(place.published("free"))) == (5, 10)
    (line,) = [line for line in checks[HOLD].table if line["source"] in {"ruled", "free"}]
    assert (line["source"], line["broken"], line["rows"]) == ("ruled", 5, 10)


@pytest.mark.parametrize("source", [f"{name}_{kind}" for kind in ORDERS for name in ("forth", "back")])
def test_the_first_event_keeps_a_value_that_is_unique(day_of_many, source):
    """Whichever file lands first, of rows with one order the first in time stays; repeats of an event are no clash.

    Masked or not, and what one source sends clashes with nothing of another.
    """
    place, _, checks = day_of_many
    found = place.root.rows("quarantined_events", day(1), "disposition=rejected/data.parquet")
    assert sorted((row["event_id"], row["rules"]) for row in found if row["source"] == source) == [
        (f"{source}:{event}", ["orders_are_unique"]) for event in ("e2", "e5", "e6")
    ]
    assert place.published(source) == ["e0", "e1", "e3", "e4", "e7"]
    (line,) = [line for line in checks[HOLD].table if line["source"] == source]
    assert (line["rows"], line["values"], line["broken"]) == (8, 5, 5)


def test_columns_are_unique_together(day_of_many):
    """A pair of values may come once; each of them alone may come often."""
    _, rejected, _ = day_of_many
    assert sorted(at for source, at in rejected if source == "pairs") == [4, 6]


def test_a_hostile_value_does_not_hold_a_pattern_up(day_of_many):
    r"""Patterns that would take years in Python's `re` end: `^(a+)+$` and `^(\w+\s?)*\Z` over 1,000 values."""
    _, rejected, _ = day_of_many
    found = [tuple(names) for (source, _), names in rejected.items() if source == "ends"]
    assert (set(found), len(found)) == ({("ends", "ends_too")}, 1_000)


@pytest.mark.parametrize(("bad", "refused"), [(3, False), (4, True)])
def test_a_blocking_rule_tolerates_its_share_to_the_row(place, bad, refused):
    """3 of 60 rows are 5 %, which is tolerated; of 4 the day is refused, and its rejected rows are kept with the name."""
    place.say(ONE.format(""))
    place.land(rows_of([BAD] * bad + [{}] * (30 - bad)))
    assert ("validated_events" in place.build()) == refused
    assert place.rejected() == {("s", 2 * at + 1): ["users_are_named_as_ours"] for at in range(bad)}
    check = place.checks()[HOLD]
    assert (check.passed, check.blocking, check.table[0]["broken"], check.table[0]["rows"]) == (
        not refused,
        True,
        bad,
        60,
    )
    assert check.table[0]["examples"].endswith("guest")


def test_a_rule_that_warns_publishes_what_breaks_it(place):
    """Rows that break the rule are published, and the check that warns fails unless that share is tolerated."""
    place.say(ONE.format(", severity: warn"))
    for bad, rows in ((1, rows_of([BAD, *[{}] * 9])), (3, [*rows_of([BAD] * 2), *rows_of([{}] * 10)[4:]])):
        place.land([{**row, "id": f"{bad}{row['id']}"} for row in rows], name=str(bad))
        assert not place.build()
        assert len(place.published()) == (20 if bad == 1 else 40)
        assert place.rejected() == {}
        check = place.said(WARN)
        assert (check.passed, check.blocking) == (False, False)
        assert f"{bad} of {20 if bad == 1 else 40} rows break it" in check.examples[0]
    for tolerance, passed in ((0.074, False), (0.075, True)):
        place.say(ONE.format(f", severity: warn, tolerance: {tolerance}"))
        assert place.checks()[WARN].passed is passed


def test_a_stated_tolerance_is_not_undone_by_bounds_on_all_rows(place):
    """70 of 100 rows break a rule: the day is refused by default, and published where the rule tolerates it."""
    place.say(ONE.format(""))
    place.land(
        rows_of([BAD] * 50)[:50] + [{**row, **BAD, "id": f"f{at}"} for at, row in enumerate(rows_of([BAD] * 45))][:50]
    )
    bounds = {"rejected_share_is_within_tolerance", "each_event_type_is_mostly_valid"}
    for stated, refused, expected in (
        ("", {"validated_events"}, {HOLD, *bounds}),
        (", tolerance: 0.8", set(), set()),
    ):
        place.say(ONE.format(stated))
        assert place.build() == refused
        assert {name for name, check in place.checks().items() if check.blocking and not check.passed} == expected


def test_a_rule_on_a_column_that_nobody_sends_says_so(day_of_many):
    """A mistyped column would make a rule that nothing can break: the check that warns says that it judged nothing.

    It says so of that source alone: the others have rules on columns that they send.
    """
    _, _, checks = day_of_many
    assert not checks[WARN].passed
    (told,) = checks[WARN].examples
    assert "no row has the column 'usr'" in told


def test_rows_come_back_when_their_rule_goes_and_masked_ones_wait_for_their_files(place):
    """A rule that is made looser, and then removed, leaves the rows that a contract without it would have published.

    Masked rows keep the old verdict and the check says so; landing the files again judges them by the new rule.
    """

    def say(rules):
        place.say(rules, "kept")
        place.say(rules, pii="pii: {columns: {user: mask}, unnamed: keep}")

    say(ONE.format(", tolerance: 1"))
    rows = rows_of([BAD, {"user": "usr_1"}])
    place.land(rows, "kept")
    first = place.land(rows)
    place.build()
    assert set(place.rejected()) == {(source, at) for source in ("kept", "s") for at in (1, 3)}
    assert place.said(WARN).passed
    say(ONE.format(", tolerance: 1").replace("[a-f0-9]{16}", "[a-f0-9]+"))
    place.build()
    assert set(place.rejected()) == {("kept", 1), ("s", 1), ("s", 3)}
    warned = place.said(WARN)
    assert (warned.passed, "land their files again" in warned.examples[0]) == (False, True)
    again = place.land(rows)
    assert (again.outcome, again.record.sha256) == ("landed", first.record.sha256)
    place.build()
    assert set(place.rejected()) == {("kept", 1), ("s", 1)}
    assert place.said(WARN).passed
    say("  {}")
    place.build()
    assert (place.rejected(), len(place.published("kept")), len(place.published())) == ({}, 4, 4)


def test_what_was_found_before_a_mask_changes_no_value(place):
    """Landed again under a rule on a masked column, rows of a log without event ids are those that they were."""
    pii = "pii: {columns: {user: mask, mail: drop}, unnamed: keep}"
    rows = [{name: value for name, value in row.items() if name != "id"} for row in rows_of([BAD, {}])]
    contract = place.folder / "root" / "sources" / "s.yaml"
    tables = []
    for rules in ("  {}", ONE.format(", tolerance: 1, severity: warn")):
        place.say(rules, pii=pii)
        contract.write_text(contract.read_text().replace("event_id: id", "event_id: null"))
        assert place.land(rows).outcome == "landed"
        place.build()
        tables.append(place.root.rows("validated_events", day(1)))
    assert len(tables[0]) == 4
    assert tables[0] == tables[1]
    kept = place.root.rows("raw_events", day(1))
    assert ["_broken_rules" in row["landed"] for row in kept] == [True, False, False, False]


def test_a_producers_own_member_does_not_speak_for_the_platform(place):
    """A member named like the platform's own verdict neither rejects a row nor keeps one from being rejected."""
    place.say(ONE.format(", tolerance: 1"), pii="pii: {columns: {user: mask}, unnamed: keep}")
    rows = [{"_broken_rules": ["users_are_named_as_ours"], **row} for row in rows_of([{}])]
    rows += [{"_broken_rules": [], **row, **BAD, "id": f"{row['id']}x"} for row in rows_of([{}])]
    path = place.folder / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    place.root.land(path, source="s")
    place.build()
    assert set(place.rejected()) == {("s", 3), ("s", 4)}


def test_the_usual_rules_of_a_shop_stand_in_the_readme(place):
    """The README's example, as it stands: each of its rules rejects the one row that breaks it, and good rows pass."""
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(expect:\n.*?)```", readme, flags=re.DOTALL)
    head = "source: s\nformat: jsonl\nschema_version: 1\nevent_type: {default: other}\n"
    (place.folder / "root" / "sources" / "s.yaml").write_text(head + example)
    good = {"user_id": "usr_0123456789abcdef", "session_id": "v", "event_type": "search"}
    spoilt = {
        "user_ids_have_our_form": {"user_id": "usr_0123456789ABCDEF"},
        "times_are_iso": {"timestamp": f"{day(1)} 10:00:00"},
        "types_are_known": {"event_type": "refund"},
        "durations_fit_a_day": {"session_duration_seconds": 86_401},
        "amounts_are_plausible": {"purchase_amount_usd": 50_000.01},
    }
    changes = [*spoilt.values(), {"session_duration_seconds": 86_400, "purchase_amount_usd": 50_000}, *[{}] * 120]
    rows = [
        {"event_id": f"e{at}", **good, "timestamp": f"{day(1)}T10:{at // 60:02}:{at % 60:02}.5+00:00", **change}
        for at, change in enumerate(changes)
    ]
    path = place.folder / "shop.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    place.root.land(path, source="s")
    place.build()
    ours = {at: set(names) & set(spoilt) for (_, at), names in place.rejected().items()}
    assert ours == {at: {name} for at, name in enumerate(spoilt, start=1)}
    assert len(place.published()) == len(rows) - len(spoilt)


def test_rejected_rows_are_found_by_the_name_of_their_rule(day_of_many):
    """The quarantine is asked for by a rule of a contract as by one of the platform; a mistyped name is corrected."""
    cli = CommandLine(day_of_many[0].folder)
    asked = ("quarantine", "list", "--root", "root", "--sources", "root/sources", "--source", "ruled", "--reason")
    (group,) = json.loads(cli.ok(*asked, "users_are_named_as_ours", "--json").out)
    assert (group["reason"], group["source"], group["rows"]) == ("users_are_named_as_ours", "ruled", 5)
    mistyped = cli(*asked, "users_are_named_as_our")
    assert mistyped.status == 1
    assert "users_are_named_as_ours" in mistyped.text


def test_a_file_is_judged_by_the_rules_before_it_lands(place):
    """`sources check` tells each rule that rows break with its rows and a value, and what would be published."""
    place.say(ONE.format(", tolerance: 0.5") + "\n" + UNIQUE.replace("column: order", "column: code"))
    write_rows(place.folder / "rows.jsonl", "jsonl", rows_of([BAD, {"code": "xyz"}]))
    cli = CommandLine(place.folder)
    answer = json.loads(cli("sources", "check", "rows.jsonl", "--contract", "root/sources/s.yaml", "--json").out)
    report = answer.get("report", answer)
    assert report["rules"]["users_are_named_as_ours"]["rows"] == 1
    assert report["rules"]["users_are_named_as_ours"]["examples"] == ["row 1: guest"]
    assert report["rules"]["orders_are_unique"]["rows"] == 2
    (found,) = report["days"].values()
    assert (found["landed"], found["rejected"], found["valid"]) == (4, 2, 2)

"""Three real logs and generated events, decades apart, in one root; ``make real-sources`` builds all their days."""

from __future__ import annotations

import datetime as dt

import duckdb
import pytest

from ml_data_platform.events.field_presence import SourceProfile
from ml_data_platform.events.ids import bind_id_key
from ml_data_platform.events.lateness import ONE_DAY
from ml_data_platform.events.parsing import mapping_query
from ml_data_platform.events.planning import UPSTREAM, Status, expected_days, plan
from ml_data_platform.generator.generate import generate
from ml_data_platform.stages.field_profiles import profile_fields, unusual_on
from ml_data_platform.stages.state import read_state
from ml_data_platform.storage.duck import connect
from ml_data_platform.storage.layout import Layout
from ml_data_platform.validation.runner import RowValidator
from ml_data_platform.validation.suites import rules_for
from ml_data_platform_tests.four_sources import (
    expected_with_followers,
    read_deskdrop,
    read_softshop,
    verify_accounts,
    verify_features,
    verify_landing,
    verify_source,
)
from ml_data_platform_tests.pipeline_root import NOW, SHOP, PipelineRoot, settings_for
from ml_data_platform_tests.real_logs import DESKDROP, GLOBO, SOFTSHOP, needs_real_logs

START = dt.date(1997, 1, 1)
GENERATED = dt.date(2026, 3, 2)
BUILT = {
    "softshop": [dt.date(1997, 11, 17), dt.date(1997, 11, 18)],
    # two repeats of a row, empty cells, and ids of both signs
    "deskdrop": [dt.date(2016, 8, 5)],
    "globo": [dt.date(2017, 10, 1)],
    SHOP: [GENERATED],
}
DAYS = sorted(day for days in BUILT.values() for day in days)
# Days whose day before has no rows or is built too, so that their features do not wait.
FEATURED = {"softshop": BUILT["softshop"], "deskdrop": [dt.date(2017, 2, 6), dt.date(2017, 2, 7)]}
pytestmark = [pytest.mark.real_data, needs_real_logs]


@pytest.fixture(scope="module")
def logs():
    """The two logs, as pandas reads them."""
    return {log.source: log for log in (read_softshop(), read_deskdrop())}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """All of both logs, two hours of clicks and a generated day landed, and a few days built."""
    folder = tmp_path_factory.mktemp("four") / "root"
    root = PipelineRoot(settings_for(folder, start_date=START))
    generate(root.settings.landing, start=GENERATED, days=1, events_per_day=200, seed=3)
    for source, path in (("deskdrop", DESKDROP), ("softshop", SOFTSHOP), (SHOP, root.settings.landing / SHOP)):
        root.land(path, source=source)
    root.land(GLOBO / "clicks_hour_000.csv.gz", GLOBO / "clicks_hour_100.csv.gz", source="globo")
    report = root.backfill(sorted({*DAYS, *FEATURED["deskdrop"]}))
    assert not report.failed, report
    # The one day that follows a day with rows which is not built: its events are there, its features wait.
    assert {(decision.asset, decision.day) for decision in report.blocked} == {
        (asset, BUILT["deskdrop"][0])
        for asset in UPSTREAM
        if asset not in {"raw_events", "validated_events", "session_summaries"}
    }
    return root


def test_every_row_of_every_file_is_accounted_for(root, logs):
    """Per file landed = routed + undated; both logs lie on the days that pandas gives them, all 428 and 342 of them."""
    verify_landing(logs.values(), root.platform.ledger.records())
    assert {name: (len(log.rows), len(log.rows_per_day)) for name, log in logs.items()} == {
        "softshop": (24_344, 428),  # 429 days of Berlin
        "deskdrop": (72_312, 342),
    }


def test_every_row_of_a_built_day_is_accounted_for(root):
    """Raw = published + duplicates + rejected on each day, whatever its source."""
    verify_accounts(root.folder, DAYS)


@pytest.mark.parametrize("source", ["softshop", "deskdrop"])
def test_types_sessions_and_repeats_are_those_of_the_log(root, logs, source):
    """Each built day has the event types, sessions and repeats that pandas counts, and those of no other source."""
    days = BUILT[source]
    verify_source(logs[source], root.folder, days)
    assert logs[source].repeats_on(days) == {"softshop": 0, "deskdrop": 2}[source]
    for day in days:
        sources = {row["source"] for row in root.rows("validated_events", day)}
        assert sources == ({source} if logs[source].rows_per_day.get(day) else set())


@pytest.mark.parametrize("source", ["softshop", "deskdrop"])
def test_features_are_those_of_the_definition_in_the_order_of_the_log(root, logs, source):
    """Of all sessions of some days in every column; ``make real-sources`` takes 1,000 of each log."""
    found = verify_features(logs[source], root.folder, FEATURED[source], root.platform.id_key.secret)
    assert found == {"softshop": (212, 9, 36), "deskdrop": (154, 83, 2)}[source]


def test_the_logs_hold_what_is_known_of_them(logs):
    """The oracle itself finds the counts published with the logs."""
    softshop, deskdrop = logs["softshop"], logs["deskdrop"]
    assert (softshop.rows["kind"].eq("add_to_cart").sum(), softshop.rows["kind"].eq("purchase").sum()) == (935, 607)
    buyers = softshop.rows[softshop.rows["kind"] == "purchase"]["session"].nunique()
    assert (buyers, softshop.rows["session"].nunique()) == (354, 1_240)
    assert (softshop.repeats_on(softshop.rows_per_day), deskdrop.repeats_on(deskdrop.rows_per_day)) == (0, 11)


@pytest.mark.parametrize("source", ["softshop", "deskdrop"])
def test_all_rows_are_valid_events_of_the_known_types(root, logs, source):
    """Of both whole logs no row breaks a rule; types, sessions with a purchase and repeats per day are pandas' own."""
    log = logs[source]
    platform = root.platform
    (fragment,) = (record.fragment for record in platform.ledger.records() if record.source == source)
    path = platform.store.objects.local_path(Layout.object_key("landed_files", fragment))
    raw = f"(SELECT '{source}' AS source, 'f' AS source_file, * FROM read_parquet('{path}'))"
    validator = RowValidator([rule for rule in rules_for("validated_events") if rule.scope == "row"])
    with connect(root.folder / "_store" / "tmp", folders=[root.folder]) as engine:
        bind_id_key(engine, platform.id_key)
        engine.execute(f"CREATE TABLE mapped AS {mapping_query({source: platform.contracts[source]}, raw)}")
        assert all(
            len(found) == 0
            for found in validator.validate(engine.table("mapped").to_arrow_table().to_pandas()).values()
        )
        kept = "(SELECT DISTINCT event_id, event_time::DATE AS day, event_type, session_uuid FROM mapped)"
        kinds = engine.execute(f"SELECT event_type, count(*) FROM {kept} GROUP BY 1").fetchall()
        days = engine.execute(f"SELECT day, count(*) FROM {kept} GROUP BY 1").fetchall()
        sessions = engine.execute(
            "SELECT count(DISTINCT session_uuid), count(DISTINCT session_uuid) FILTER (event_type = 'purchase') FROM mapped"
        ).fetchone()
    assert dict(kinds) == log.kept["kind"].value_counts().to_dict()
    assert dict(days) == {day: rows - log.repeats_on([day]) for day, rows in log.rows_per_day.items()}
    assert sessions == (log.rows["session"].nunique(), log.rows[log.rows["kind"] == "purchase"]["session"].nunique())


def test_nothing_is_planned_between_the_sources(root, logs):
    """Of 29 years only days with rows and those right after them are expected, and what is built stays clean."""
    landed = {dt.date.fromisoformat(day) for record in root.platform.ledger.records() for day in record.rows_per_day}
    state = read_state(root.platform)
    days = expected_days(state)
    assert set(days) == expected_with_followers(landed)
    assert len(days) < 1_300
    settled = [day for day in DAYS if day not in BUILT["deskdrop"]]
    assert {decision.status for decision in plan(state, settled)} == {Status.CLEAN}
    assert state.watermarks["globo"] < state.watermarks["softshop"] < state.watermarks[SHOP] == NOW


def test_labels_wait_for_the_next_day_and_for_nothing_else(root):
    """Labels are mature where the next day was built, decades before other sources; elsewhere they are not yet."""
    for source, (day, *following) in BUILT.items():
        if source == "deskdrop":
            continue
        rows = root.rows("session_features", day)
        assert rows, source
        assert {row["label_is_mature"] for row in rows} == {bool(following)}, source


def test_columns_of_no_field_are_kept(root):
    """Columns that no field takes are attributes, empty ones as null; ids of 19 digits are exact."""
    (day,) = BUILT["deskdrop"]
    rows = root.rows("validated_events", day)
    assert all(row["attributes"].startswith('{"contentId":') for row in rows)
    assert {'"userCountry":null' in row["attributes"] for row in rows} == {True, False}


@pytest.mark.parametrize("source", ["deskdrop", "softshop"])
def test_fields_of_real_logs_raise_no_alarm(root, source):
    """Over all days of both logs no field is told; where a day's field is blanked, it nearly always is."""
    (record,) = [each for each in root.platform.ledger.records() if each.source == source]
    fragment = root.folder / Layout.object_key("landed_files", record.fragment)
    contract, found = {source: root.platform.contracts[source]}, {}
    with duckdb.connect() as engine:
        engine.execute(
            f"""CREATE TABLE landed AS SELECT '{source}' AS source, landed, CAST(event_time AS DATE) AS day,
            NULL AS rules, file_row_number FROM read_parquet('{fragment}', file_row_number = true)"""
        )
        for (day,) in engine.execute("SELECT DISTINCT day FROM landed ORDER BY day").fetchall():
            engine.execute(f"CREATE OR REPLACE TEMP VIEW judged AS SELECT * FROM landed WHERE day = DATE '{day}'")
            found[day] = profile_fields(engine, contract)
    assert len(found) > 300
    assert {day: lines for day, today in found.items() if (lines := unusual_on(day, today, found))} == {}
    judged = [day for day in found if day - ONE_DAY in found and found[day][source].rows >= 20]
    blanked = {day: {source: SourceProfile(found[day][source].rows)} for day in judged}
    told = [day for day in judged if unusual_on(day, blanked[day], found)]
    assert len(told) == len(judged) > 100

"""What most tests build with, plain runs of the stages, builds and reports what Dagster's job does."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import dagster as dg

from ml_data_platform.defs.backfill import BackfillReport
from ml_data_platform_tests.pipeline_root import PipelineRoot, day, settings_for, shop_lines

EVENTS = 10


def facts(report: BackfillReport) -> dict[str, object]:
    """What a report says, without the ids of runs."""
    return {**vars(report), "failed": [replace(failure, run_id="") for failure in report.failed]}


def history(root: PipelineRoot) -> dict[tuple[str, dt.date], tuple[object, ...]]:
    """What is published of every partition, and what it was built from; without the ids of runs."""
    return {
        key: (head.generation, head.content, head.inputs, head.code_version, head.rows, head.files)
        for key, head in root.heads().items()
    }


def test_plain_runs_build_and_report_what_the_job_does(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """Good days, a refused one, one without rows and one to come; then a late file, and the days beside it again.

    A refused day stops what reads it within its run and after it, in both alike.
    """
    plain = PipelineRoot(settings_for(tmp_path / "plain"), now=dt.datetime(2026, 3, 5, 12, tzinfo=dt.UTC))
    plain.drop("first.jsonl", shop_lines(day(1), EVENTS, name="first"))
    jobs = plain.copied(tmp_path / "jobs")  # with its key, so that its users have the same ids
    days = [day(number) for number in range(1, 6)]
    drops = [
        {"a.jsonl": shop_lines(day(1), EVENTS), "b.jsonl": shop_lines(day(2), EVENTS, broken=3)},
        {"c.jsonl": shop_lines(day(1), EVENTS, name="c"), "d.jsonl": shop_lines(day(3), EVENTS)},
    ]
    seen = []
    for dropped in drops:
        for root in (plain, jobs):
            for name, lines in dropped.items():
                root.drop(name, lines)
        reports = (facts(plain.backfill(days)), facts(jobs.backfill(days, instance)))
        assert reports[0] == reports[1]
        assert history(plain) == history(jobs)
        assert plain.view().keys() == jobs.view().keys()
        seen.append(reports[0])
    refused = [(failure.asset, failure.day) for failure in seen[0]["failed"] if failure.is_refused]
    assert refused == [("validated_events", day(2))]
    # What was refused is not tried again from the same rows.
    assert seen[1]["failed"] == []
    for report in seen:
        assert report["blocked"]
        assert report["built"]
        assert report["not_complete"] == [day(4), day(5)]

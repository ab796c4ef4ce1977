"""All fault lanes.

Belongs here: their names, lengths and controls. Does not belong here: what any of them does.
"""

from __future__ import annotations

from functools import partial

from ml_data_platform_tests.faults.lanes import (
    bucket,
    damage,
    errors,
    kills,
    meetings,
    power_images,
    power_model,
    racing,
    reading,
)
from ml_data_platform_tests.faults.lanes.lane import Lane
from ml_data_platform_tests.faults.lanes.tracing import missing_strace
from ml_data_platform_tests.ministack_server import ministack, missing_ministack

LANES: dict[str, Lane] = {
    lane.name: lane
    for lane in (
        Lane(
            "readers",
            "Readers never rest while partitions are committed: whole files in the view, one generation through the log.",
            reading.read_during_commits,
            in_turn=meetings.read_in_turn,
            control="view_is_deleted_then_renamed",
            short=2_000,
            long=60_000,
        ),
        Lane(
            "kills",
            "SIGKILL before each system call of each scenario in turn.",
            kills.kill_at_calls,
            control="view_is_not_recovered",
            short=60,
            long=9_000,
            missing=missing_strace,
        ),
        Lane(
            "random",
            "SIGKILL at random moments of a commit.",
            kills.kill_at_random,
            in_turn=kills.kill_in_turn,
            control="log_before_objects, at random",
            short=60,
            long=2_000,
        ),
        Lane(
            "races",
            "SIGKILL of writers that race on one partition while another process recovers and collects.",
            racing.race_with_kills,
            in_turn=meetings.meet_in_turn,
            control="own_commit_is_unknown",
            short=50,
            long=1_000,
        ),
        Lane(
            "errors",
            "ENOSPC, EIO and EDQUOT of one system call; files that may not grow.",
            errors.inject_errors,
            control="failed_flush_is_forgiven",
            short=60,
            long=1_500,
            missing=missing_strace,
        ),
        Lane(
            "disk",
            "Commits on a small disk that is really full, of bytes or of inodes.",
            errors.fill_disk,
            in_turn=errors.fill_disk_in_turn,
            control="full_disk_is_forgiven",
            short=20,
            long=300,
            missing=errors.missing_small_disk,
        ),
        Lane(
            "power",
            "Power cuts on a modelled disk that keeps only what was flushed, and of the rest what it likes.",
            power_model.cut_power_on_a_model,
            in_turn=power_model.cut_power_in_turn,
            control="nothing_is_flushed",
            short=300,
            long=16_000,
        ),
        Lane(
            "images",
            "Power cuts of a loop-mounted ext4 at random writes, with and without loss of the disk's cache.",
            power_images.cut_power,
            in_turn=power_images.cut_power_in_turn,
            control="nothing_is_flushed, on ext4",
            short=12,
            long=600,
            missing=power_images.missing_disks,
        ),
        Lane(
            "damage",
            "Files damaged before or after staging, objects damaged under their names: refused.",
            damage.refuse_damage,
            control="existing_object_is_trusted",
            short=24,
            long=480,
        ),
        Lane(
            "bucket",
            "Commits to a bucket by one machine or two; requests and answers are lost, late, cut or refused at random.",
            bucket.commit_through_faults,
            in_turn=bucket.strike_in_turn,
            control="conditions_are_ignored",
            short=24,
            long=1_000,
        ),
        Lane(
            "ministack",
            "The same with another server behind the faults, in a process of its own.",
            partial(bucket.commit_through_faults, backend=ministack),
            in_turn=partial(bucket.strike_in_turn, backend=ministack),
            control="conditions_are_ignored, ministack",
            short=60,
            long=1_000,
            missing=missing_ministack,
        ),
    )
}

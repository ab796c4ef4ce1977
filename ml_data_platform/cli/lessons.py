"""What ``--help`` teaches below the options: examples and the meaning of the exit status.

Belongs here: examples, exit statuses and the keys of JSON documents, per command. Does not belong here: what a
command does (its docstring) and its options.
"""

from __future__ import annotations

from collections.abc import Mapping

_LANDED = "Exit status: 0 all taken in, 1 a file was refused, or is red, or an error is printed, 2 wrong arguments."
_DONE = "Exit status: 0 done, 1 an error is printed, 2 wrong arguments."

LESSONS: Mapping[str, tuple[str, ...]] = {
    "init": (
        "Example: ml-data-platform init --root shop --start-date 2026-01-01 --sources contracts",
        "Exit status: 0 done, 1 the root has settings already or a contract is wrong, 2 wrong arguments.",
    ),
    "generate": (
        "Example: ml-data-platform generate --out .platform/landing --start 2026-06-01 --days 3",
        "A day that is refused: … --poisoned-day 2026-06-02 --poisoned-share 0.4",
        "JSON keys: files, out, unchanged.",
        _DONE,
    ),
    "land": (
        "Example: ml-data-platform land",
        "Example: ml-data-platform land clicks_001.csv.gz more_clicks/ --source globo",
        "The log of past years: ml-data-platform land past_clicks/ --source globo --historical",
        "A corrected file: ml-data-platform land clicks_001.csv.gz --source globo --replaces 3f0c52a1",
        "Example: ml-data-platform land --source shop --from 2026-06-01 --to 2026-06-07 --dry-run",
        (
            "JSON keys: files, OUTCOME_files (landed, known, empty, header_only, rejected, unreadable), landed_rows,"
            " undated_rows, late_rows, too_late_rows, touched_days, refused, retracted, waiting, unknown_folders, masking_notices, contract_notices,"
            " replaced, unusable_rows (failed, warned, sources, files). Of a pull:"
            " also source, dry_run, empty_days, failed_days, days (day, address, is_empty, failure), pulled (day, name,"
            " location, size_bytes, outcome, reason, replaced, rows, sha256), and outcomes unchanged, unsettled, failed, new, changed;"
            " not waiting, unknown_folders and masking_notices."
        ),
        _LANDED,
    ),
    "adopt": (
        "Example: ml-data-platform adopt --dry-run",
        "Example: ml-data-platform adopt",
        "JSON keys: is_dry_run, and steps, each with what, count and problems.",
        "Exit status: 0 done or nothing to do, 1 something cannot be taken over and is named, 2 wrong arguments.",
    ),
    "verify": (
        "Example: ml-data-platform verify",
        "Example: ml-data-platform verify --repair --json",
        "JSON keys: is_whole, checked, defects (kind, key, asset, day, detail, meaning, remedy, is_repaired), advice.",
        "Exit status: 0 all is whole, or was mended; 1 a defect is left or an error is printed; 2 wrong arguments.",
    ),
    "gc": (
        "Example: ml-data-platform gc --dry-run",
        "Example: ml-data-platform gc --keep-last 1 --older-than 7d",
        (
            "JSON keys: dry_run, generations_expired, orphans_removed, uploads_removed, bytes_removed, objects_kept, keys."
            " In a bucket AGE is at least 24h: that protects commits of other machines."
        ),
        _DONE,
    ),
    "suites": (
        "Example: ml-data-platform suites --out suites",
        "Example: ml-data-platform suites --out suites --date 2026-06-02 --json",
        "JSON keys: folder, index, suites, run (suite to rule to rows that break it), failed, not_run (suite to why).",
        "Exit status: 0 written, whatever was found; 1 an error is printed; 2 wrong arguments.",
    ),
    "sources list": (
        "Example: ml-data-platform sources list --sources contracts",
        "JSON: a list of objects with source, description, format, schema_versions, fields, unknown_columns, content_hash.",
        _DONE,
    ),
    "sources show": (
        "Example: ml-data-platform sources show demo_shop",
        "JSON keys: those of `sources list`, and contract: the contract with all defaults.",
        _DONE,
    ),
    "sources check": (
        "Example: ml-data-platform sources check clicks.csv.gz --source globo",
        "Example: ml-data-platform sources check export.csv --contract .platform/sources/shop.yaml",
        (
            "JSON keys: source, file, status, refusal, rows, undated, is_red, days, first, last, versions, fields, event_types,"
            " rules, unknown_columns, sessions, shared_sessions, unordered, change, suggestions, is_good."
        ),
        "Exit status: 0 every day would be published, 1 the file would be refused or red, or a day refused, 2 wrong arguments.",
    ),
    "sources infer": (
        "Example: ml-data-platform sources infer export.csv --out .platform/sources/shop.yaml",
        "The contract goes to standard output, what to do next to standard error.",
        "Exit status: 0 the draft is a contract, 1 it lacks a column or the file cannot be read, 2 wrong arguments.",
    ),
    "sources diff": (
        "Example: ml-data-platform sources diff 1 2",
        "Example: ml-data-platform sources diff export.csv --source shop",
        "JSON keys: kind (additive, breaking), differences, and upcast or version.",
        _DONE,
    ),
    "train": (
        "Example: ml-data-platform train --version latest --cutoff 2026-06-10",
        "Example: ml-data-platform train --version training_data --models models",
        "A tenth of the work: … --negatives-per-positive 3; the probabilities are brought back by the recorded rate.",
        "Example: ml-data-platform train --cutoff 2026-06-10T12:00:00Z --dry-run",
        (
            "JSON keys: outcome (trained, unchanged, dry run), folder, and those of the run's manifest.json; of a dry run "
            "run_id, version, is_provisional, config, features, rows, positives, negative_sampling, firewall, is_trained."
        ),
        "Exit status: 0 there is a model, or could be, 1 its data are not pinned, leak, or cannot be split so, 2 wrong arguments.",
    ),
    "trace": (
        "Example: ml-data-platform trace latest",
        "Example: ml-data-platform trace date_partitions/2026-06-01",
        "Example: ml-data-platform trace demo_shop:eeb7c25fe6fb0cb6 --day 2026-06-03",
        "Example: ml-data-platform trace events_2026-06-01T01.jsonl:17",
        "JSON keys: made_from and contained_in; each node has kind, name, facts, children.",
        "Exit status: 0 shown, 1 nothing has this name, or several things have it, 2 wrong arguments.",
    ),
    "rebuild": (
        "Example: ml-data-platform rebuild --to /tmp/again --model latest",
        (
            "A partition that was not up to date in the original, or whose day was refused after its last good state, can"
            " differ; the table says so."
        ),
        "JSON keys: copied, same_partitions, differences, version, model, is_same.",
        "Exit status: 0 everything is the same, 1 something is not or an error is printed, 2 wrong arguments.",
    ),
    "version cut": (
        "Example: ml-data-platform version cut",
        "Example: ml-data-platform version cut --from 2026-06-01 --to 2026-06-14 --dataset date_partitions",
        "Example: ml-data-platform version cut --folds stratified_group:5",
        (
            "Folds of stratified_partitions are by a hash of the user, the same on every day. --folds also deals the version's"
            " users out by scikit-learn, STRATEGY:N or STRATEGY:N:SEED: stratified_group makes label rates as equal as whole"
            " users allow; stratified deals rows, and where users have several it wants --accept 'rows of one user may be in"
            " several folds'."
        ),
        (
            "A landed file that is red, see `status`, holds up the versions of its days; one without a usable row those of"
            " all days of its source. --accept-unusable 'the producer lost these rows' cuts them all the same."
        ),
        "JSON keys: outcome (cut, unchanged, dry run), copied, unbuilt_days, and those of `version list`.",
        "Exit status: 0 there is a version of what is published, 1 it was not cut and a message says why, 2 wrong arguments.",
    ),
    "version list": (
        "Example: ml-data-platform version list",
        "provisional = rows of a day were still expected; superseded = other data are published for some of its days now.",
        (
            "JSON: a list of objects with tag, created_at, first_day, last_day, days, rows, immature_rows, label_rate, left_out,"
            " is_provisional, restated_days, datasets, folds, spanned_files, snapshot_id."
        ),
        _DONE,
    ),
    "version show": (
        "Example: ml-data-platform version show latest --days",
        "JSON keys: those of `version list`, and manifest: what git holds as version.json.",
        _DONE,
    ),
    "version diff": (
        "Example: ml-data-platform version diff 20260601T060000Z latest",
        (
            "JSON keys: before, after, dataset, days_added, days_removed, days, columns_changed, schema, folds_before,"
            " folds_after, label_rate_before, label_rate_after, rows_added, rows_removed, rows_changed."
        ),
        _DONE,
    ),
    "version checkout": (
        "Example: ml-data-platform version checkout latest --to training_data",
        "Example: ml-data-platform version checkout latest --to data --repository shop.git --remote s3://shop/versions",
        "JSON keys: tag, folder, files, rows.",
        "Exit status: 0 every file is restored, 1 one is not and nothing is, 2 wrong arguments.",
    ),
    "version verify": (
        "Example: ml-data-platform version verify",
        "JSON: a list of objects with tag, objects, faults, is_good.",
        "Exit status: 0 the remote holds every byte, 1 it does not, 2 wrong arguments.",
    ),
    "backfill": (
        "Example: ml-data-platform backfill",
        "Example: ml-data-platform backfill --from 2026-06-01 --to 2026-06-14",
        "JSON keys: runs, built, failed, blocked, not_complete, contract_notices; with --dry-run the document of `plan`.",
        "Exit status: 0 every day is built, 1 a day failed or is blocked, 2 wrong arguments, 130 stopped by Ctrl-C.",
    ),
    "plan": (
        "Example: ml-data-platform plan --from 2026-06-01 --to 2026-06-14",
        (
            "Status: dirty = would be built now; waiting = once what it reads is built; blocked = a refused day stands"
            " before it, a source with rows on the day has no usable contract, or the record of a file of it is lost."
        ),
        (
            "Why: new, changed and gone inputs. landed_files/SOURCE/SHA = a landed file, gone when it was retracted;"
            " admitted/SOURCE/SHA = its rows came too late and were replayed; mature_through/SOURCE = labels became known."
        ),
        (
            "JSON: a list of objects with the keys asset, day, status, reasons, blocked_by, and of the day late_rows,"
            " too_late_rows, lateness_p50_seconds, lateness_p99_seconds, lateness_max_seconds, day_state, watermarks."
        ),
        "Exit status: 0 done, 1 the record of a landed file is lost that a day was built from, 2 wrong arguments.",
    ),
    "status": (
        "Example: ml-data-platform status --from 2026-06-01",
        (
            "Columns: mature = rows whose label is known; label = share of positive labels among them; checks = passed/expected;"
            " gen = how often validated_events of the day was published."
        ),
        (
            "late = rows that came after their day was complete; too late = after it was frozen, kept in data/too_late_rows;"
            " delay = from event to arrival, without historical loads; day = open, complete or frozen, by the watermark."
        ),
        (
            "JSON keys: root; landing (files, rows, undated, late_rows, too_late_rows, watermarks of strategy and watermark,"
            " unreadable_files, refused_files, retracted_files, masking_notices, contract_notices, key_faults, unusable_rows (failed, warned, sources, files)); days, each with day, status, landed_rows, late_rows, too_late_rows,"
            " lateness_p50_seconds, lateness_p99_seconds, lateness_max_seconds, day_state, watermarks, duplicate_rows, rejected_rows, label_rate, partitions (per table rows, generation), decisions"
            " (as in `plan`), checks (passed, failed, warned, found, missing: no result is known, expected), unusual_fields (emptied or of another kind than before)."
        ),
        (
            "Exit status: 0 shown, 1 a day shown is refused by a blocking check or blocked, a landed file is red, a source lacks"
            " its contract (see README), or an error is printed, 2 wrong arguments."
        ),
    ),
    "replay": (
        "Example: ml-data-platform replay --reason event_types_are_known --dry-run",
        "Example: ml-data-platform replay --reason too_late --source shop --from 2026-06-01 --to 2026-06-03",
        (
            "A rule, a tolerance or a contract comes first: correct it (contracts in ROOT/sources, `tolerances` in"
            " ROOT/platform.yaml), then replay the reason that it removes. In the UI: the job replay_quarantined."
        ),
        (
            "JSON keys: rows_before, files_of_an_older_contract, admissions, days_to_build, unchanged_days, nothing_to_do,"
            " is_dry_run; without --dry-run also files_read_again, rows_admitted, days, rows_after and backfill (as in"
            " `backfill`)."
        ),
        "Exit status: 0 done or nothing to do, 1 a day failed or is blocked, 2 wrong arguments, 130 stopped by Ctrl-C.",
    ),
    "quarantine list": (
        "Example: ml-data-platform quarantine list",
        "Example: ml-data-platform quarantine list --reason event_time_unreadable --source shop",
        "A row that broke several rules is counted for each. With --from or --to, rows without a day are left out.",
        (
            "JSON: a list of objects with the keys reason, kind (rejected, duplicate, undated, too_late, file, retracted),"
            " source, day, file, rows, where (below the root), detail."
        ),
        _DONE,
    ),
    "keys list": (
        "Example: ml-data-platform keys list",
        "JSON: a list of objects with the keys name, key_id, fault.",
        "Exit status: 0 none is lost, 1 one is lost, unusable or another than the root's, 2 wrong arguments.",
    ),
    "keys new": ("Example: ml-data-platform keys new pii --yes", _DONE),
    "keys accept": ("Example: ml-data-platform keys accept user_id --yes", _DONE),
    "history bind": ("Example: ml-data-platform history bind --yes", _DONE),
    "quarantine show": (
        "Example: ml-data-platform quarantine show --reason user_ids_are_present --limit 5",
        "Example: ml-data-platform quarantine show --from 2026-06-01 --to 2026-06-01 --json",
        "Values are shown as they are stored: of sources whose personal data is masked, masked.",
        (
            "JSON keys: is_cut, and rows, each with kind, reasons, source, day, event_time, file, source_file, source_row,"
            " event_id, kept (of a duplicate), landed, where."
        ),
        _DONE,
    ),
    "retract": (
        'Example: ml-data-platform retract bad.csv --source shop --reason "a test of theirs"',
        'Example: ml-data-platform retract 3f0c52a1 --source shop --reason "sent twice, with other ids" --dry-run',
        (
            "JSON keys: source, file, sha256, rows, days (day to rows that counted), undated_rows, is_new, is_retracted, reason,"
            " decided_at, replaced_by, is_dry_run."
        ),
        "Exit status: 0 done or done before, 1 no such file or several, 2 wrong arguments.",
    ),
    "reinstate": (
        'Example: ml-data-platform reinstate bad.csv --source shop --reason "it was right after all"',
        "JSON keys: those of `retract`.",
        "Exit status: 0 done or nothing to do, 1 no such file, several, or another one in its place, 2 wrong arguments.",
    ),
    "dev": (
        "Example: ml-data-platform dev --port 3001",
        (
            "Materialise days and backfill ranges there. Three sensors run from the start: landing_sensor takes in what is dropped"
            " into the landing folder, pull_sensor fetches what contracts name an address of, late_data_sensor builds the days"
            " that this touched."
        ),
        "Exit status: 0 ended by Ctrl-C, 1 the port is taken or a contract is wrong, 2 wrong arguments.",
    ),
    "demo": (
        "Example: ml-data-platform demo --start 2026-06-01 --end 2026-06-03 --root small",
        (
            "Exit status: 0 every day is built, 1 a day failed or an error is printed, 2 wrong arguments, 130 stopped by"
            " Ctrl-C."
        ),
    ),
}
"""Command to lines shown below its options."""


def lesson(command: str) -> str:
    """Return the text below the options of a command."""
    return "\n\n".join(LESSONS[command])

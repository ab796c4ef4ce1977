"""The check of ``landed_files`` that lists every file with too many rows that reach no day, kept true between its runs.

Belongs here: the check as Dagster shows it, and reporting it outside of a run. Does not belong here: the verdicts
(``stages.unusable_rows``).

Files are landed by the command line too, and verdicts change with contracts and retractions, so a later good file turns
nothing green and a run of the asset is not needed to turn it red.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import dagster as dg

from ml_data_platform.defs import shown_text
from ml_data_platform.defs.checks import report_outside_of_runs
from ml_data_platform.errors import bounded
from ml_data_platform.events.usable_rows import FileVerdict, Level
from ml_data_platform.stages.platform import Platform
from ml_data_platform.stages.unusable_rows import CHECK, LandedVerdicts, examples_of, judge_landed
from ml_data_platform.storage.ledger import LedgerRecord

ASSET = "landed_files"
JOB = "report_unusable_rows"
"""Name of the runs under which the check is reported; nothing runs in them."""
KEY = dg.AssetCheckKey(dg.AssetKey(ASSET), CHECK)
SHOWN_WARNED = 100
SHOWN_FILES = 5
SHOWN_LANDED = 200
STATE = "state"
"""Name of the metadata that tells which files were listed, and why."""


def unusable_rows_spec() -> dg.AssetCheckSpec:
    """Return the check."""
    return dg.AssetCheckSpec(
        CHECK,
        asset=ASSET,
        description=(
            "No landed file that counts now has more rows without a usable event day than its contract tolerates"
            " (`unusable_rows`; from 1 % on it is warned of, from 20 % on the file is red)."
        ),
    )


def check_landed_rows(platform: Platform, records: Sequence[LedgerRecord] | None = None) -> dg.AssetCheckResult:
    """Judge all landed files, whichever run or command brought them in.

    Args:
        platform: The opened root.
        records: Current ledger records, where they were read already.
    """
    return _result(platform, judge_landed(platform, records))


def report_unusable_rows(
    instance: dg.DagsterInstance, platform: Platform, records: Sequence[LedgerRecord] | None = None
) -> bool:
    """Report the check where what it said last is no longer so; returns whether it was reported.

    Compares states, so that it can be called at any time and any number of times.

    Args:
        instance: Where it is recorded.
        platform: The opened root.
        records: Current ledger records, where they were read already.
    """
    found = judge_landed(platform, records)
    if _state(found) == _said(instance):
        return False
    report_outside_of_runs(instance, {None: _result(platform, found)}, JOB)
    return True


def _said(instance: dg.DagsterInstance) -> str:
    """Return what the check said last; where it never did, what it says of a root without any such file."""
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([KEY]).get(KEY)
    if record is None:
        return _state(LandedVerdicts(()))
    said = record.evaluation.metadata.get(STATE) if isinstance(record.evaluation, dg.AssetCheckEvaluation) else None
    return str(said.value) if said is not None else ""


def _state(found: LandedVerdicts) -> str:
    listed = [(each.source, each.sha256, each.level, each.rows, each.reasons, each.refusal) for each in _listed(found)]
    return hashlib.sha256(json.dumps(sorted(map(str, listed))).encode()).hexdigest()[:16]


def _listed(found: LandedVerdicts) -> Sequence[FileVerdict]:
    return (*found.red, *found.warned)


def _result(platform: Platform, found: LandedVerdicts) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=ASSET,
        check_name=CHECK,
        passed=found.level is Level.OK,
        severity=dg.AssetCheckSeverity.ERROR if found.red else dg.AssetCheckSeverity.WARN,
        description=shown_text.described(_described(found)),
        metadata=shown_text.facts(
            {
                "files": len(found.files),
                "red_files": len(found.red),
                "warned_files": len(found.warned),
                "unusable_rows": sum(each.unusable_rows for each in found.files),
                STATE: _state(found),
                **_tables(found),
                "examples": _examples(platform, found),
            }
        ),
    )


def _described(found: LandedVerdicts) -> str:
    worst = _listed(found)
    if not worst:
        return "no file has more rows that reach no day than its contract tolerates"
    shown = "; ".join(bounded(str(each)) for each in worst[:SHOWN_FILES])
    more = f"; and {len(worst) - SHOWN_FILES} files more" if len(worst) > SHOWN_FILES else ""
    return f"{len(found.red)} files are red, {len(found.warned)} are warned of: {shown}{more}"


def _tables(found: LandedVerdicts) -> dict[str, Any]:
    """Return the red files, all of them, and the worst of those that are warned of; no table where there are none."""
    files = [*found.red, *found.warned[:SHOWN_WARNED]]
    return {"table": shown_text.table(map(_line, files))} if files else {"table": "none"}


def _line(verdict: FileVerdict) -> dict[str, Any]:
    return {
        "level": verdict.level.value,
        "source": verdict.source,
        "file": bounded(verdict.name),
        "rows": verdict.rows,
        "unusable_rows": verdict.unusable_rows,
        "unusable_share": round(verdict.share, 4),
        "reasons": verdict.reasons,
        "refusal": bounded(verdict.refusal or ""),
        "show_with": verdict.show_with,
        "sha256": verdict.sha256,
    }


def _examples(platform: Platform, found: LandedVerdicts) -> dg.MetadataValue[Any] | str:
    rows = examples_of(platform, [each for each in _listed(found) if each.unusable][:SHOWN_FILES])
    lines = [
        f"{row.source}/{bounded(row.file)} row {row.source_row}, {row.reasons[0]}: {bounded(row.landed, SHOWN_LANDED)}"
        for row in rows
    ]
    return shown_text.listed(lines)

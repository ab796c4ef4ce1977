"""The asset ``landed_files``."""

import dagster as dg

from ml_data_platform.defs.daily import OWNERS
from ml_data_platform.defs.io_manager import retry_if_transient
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.stages.landed_files import REFUSED, describe, land_inbox, summarise, waiting_files


def landed_files() -> dg.AssetsDefinition:
    """Define the asset."""

    @dg.asset(
        name="landed_files",
        group_name="landing",
        kinds={"file", "duckdb"},
        owners=OWNERS,
        check_specs=[
            dg.AssetCheckSpec(
                "files_are_readable",
                asset="landed_files",
                description="Every file of this run could be read as its contract says.",
            )
        ],
    )
    def landed_files(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        """One ledger record per landed file; its bytes are kept unchanged, its rows routed to their event days.

        Takes in what lies still in the folder of each source below the landing folder. The same bytes again change
        nothing. A file that cannot be read is recorded with the reason and holds up no other. Rows without a usable
        event day are kept in `data/undated_rows`, with the reason.
        """
        opened = platform.open()
        try:
            results = land_inbox(
                opened, progress=lambda done, total, result: context.log.info("%s/%s %s", done, total, describe(result))
            )
        except OSError as error:
            retry_if_transient(error, context.retry_number)
            raise
        refused = [result for result in results if result.outcome in REFUSED]
        left = waiting_files(opened)
        return dg.MaterializeResult(
            metadata={
                **summarise(results),
                "refused": dg.MetadataValue.md("\n".join(f"- {describe(result)}" for result in refused[:20]) or "none"),
                "folders_of_no_source": ", ".join(left.unknown_folders) or "none",
                "files_outside_of_folders": ", ".join(left.stray[:20]) or "none",
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name="files_are_readable",
                    passed=not refused,
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata={"files": len(results), "refused_files": len(refused)},
                )
            ],
        )

    return landed_files

"""What storage is doing when a fault strikes: all scenarios by name.

Belongs here: the table. Does not belong here: what any of them does (`committing`, `upkeep`, `successors`,
`promises`,
`linkless`).
"""

from __future__ import annotations

from ml_data_platform_tests.faults.lanes.committing import COMMITS
from ml_data_platform_tests.faults.lanes.linkless import LINKLESS
from ml_data_platform_tests.faults.lanes.promises import PROMISES
from ml_data_platform_tests.faults.lanes.scenario import Scenario
from ml_data_platform_tests.faults.lanes.successors import SUCCESSORS
from ml_data_platform_tests.faults.lanes.upkeep import Collecting, Landing, Recovering

SCENARIOS: dict[str, Scenario] = {
    each.name: each
    for each in (
        *COMMITS,
        Recovering("recovery"),
        Collecting("collection"),
        Landing("landing"),
        *SUCCESSORS,
        *PROMISES,
        *LINKLESS,
    )
}

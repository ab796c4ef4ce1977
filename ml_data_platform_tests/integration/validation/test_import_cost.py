"""What a process pays that validates."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import json, sys
import pandas as pd
from ml_data_platform.validation.runner import check_metrics, RowValidator
from ml_data_platform.validation.suites import rules_for

row_rules = [rule for rule in rules_for("session_features") if rule.scope == "row"]
columns = sorted({column for rule in row_rules for column in rule.columns})
RowValidator(row_rules).validate(pd.DataFrame({column: [1.0] for column in columns}))
check_metrics([rule for rule in rules_for("raw_events") if rule.scope == "table"],
    {"unaccounted_rows": 0, "row_count_ratio_to_previous_7_days": None, "too_late_rows": 0, "reopening_share": None})
before = "scipy.stats._stats_py" in sys.modules
from scipy import stats
mean = float(stats.norm(3, 1).mean())
print(json.dumps({"before": before, "after": "scipy.stats._stats_py" in sys.modules, "mean": mean}))
"""


def test_validation_does_not_execute_scipy_stats_and_leaves_it_usable() -> None:
    """Real rules are evaluated without the slowest import of Great Expectations; who uses it later gets all of it."""
    answer = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=600, check=False)

    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == {"before": False, "after": True, "mean": 3.0}

"""What a file of which nothing is known looks like, however it is written."""

from __future__ import annotations

import csv
import io
import json

import pytest

from ml_data_platform.events.contract_model import SourceContract
from ml_data_platform.landing.sampling import sample_file

ROWS = [
    {"user.id": f"u{n}", "at": f"2026-06-01T10:00:0{n} UTC", "payload": {"session": {"id": "s"}, "page": "/x"}}
    for n in range(5)
]
COLUMNS = ["user.id", "at", "payload.session.id", "payload.page"]


def as_csv(**form) -> str:
    """Return the rows as CSV, the objects as JSON text."""
    target = io.StringIO()
    writer = csv.writer(target, **form)
    writer.writerow(ROWS[0])
    writer.writerows([json.dumps(v) if isinstance(v, dict) else v for v in row.values()] for row in ROWS)
    return target.getvalue()


CONTENTS = {
    "array": json.dumps(ROWS, indent=2).encode(),
    "one behind the other": "".join(map(json.dumps, ROWS)).encode(),
    "JSON in UTF-16": json.dumps(ROWS).encode("utf-16"),
    "CSV": as_csv().encode(),
    "CSV in UTF-16 without a mark": as_csv(delimiter=";").encode("utf-16-le"),
    "CSV with escapes": as_csv(escapechar="\\", doublequote=False).encode(),
    "texts within JSON": "\n".join(json.dumps({**row, "payload": json.dumps(row["payload"])}) for row in ROWS).encode(),
}


@pytest.mark.parametrize("form", CONTENTS)
def test_columns_are_seen_in_every_form(tmp_path, form):
    """Flat names with dots, members of objects and of JSON text are columns, with the same values."""
    path = tmp_path / "file"
    path.write_bytes(CONTENTS[form])
    sample = sample_file(path)
    assert (sample.rows, sample.defects, sample.unaddressable) == (5, {}, ())
    assert list(sample.profiles) == COLUMNS
    assert sample.profiles["user.id"].counts == {f"u{n}": 1 for n in range(5)}
    assert sample.profiles["payload.session.id"].counts == {"s": 5}


def test_a_row_that_is_nested_too_deep_is_counted_and_the_others_are_looked_at(tmp_path):
    """It lands as the text that it is; looking at its columns would exhaust the stack."""
    path = tmp_path / "file"
    path.write_text("\n".join(json.dumps(row) for row in ROWS) + '\n{"user": ' + "[" * 100_000 + "]" * 100_000 + "}\n")
    sample = sample_file(path, contract=SourceContract(source="shop", format="jsonl", schema_version=1))
    assert (sample.rows, sample.defects) == (5, {"nested_too_deep": 1})

"""Text from outside reaches a query bound, or through one of two quoting functions: seen in the source code alone."""

from __future__ import annotations

import ast
from pathlib import Path

from ml_data_platform_tests.architecture.query_text import builders_of, open_slots, unseen_queries

REVIEWED = {
    ("training/leakage.py", "name"): "a column that its callers write down",
    ("events/parsing.py", "retired"): "numbers of schema versions and days",
    ("training/leakage.py", "', '.join(bounds or nothing)"): "numbers, and sources that are quoted",
    ("events/event_mapping.py", "name"): "names of canonical columns, which are constants",
}
PLANTED = """
def ask(connection, path: str, user: str, query: str, number: int, record):
    connection.execute(f"SELECT 1 FROM read_parquet('{path}')")
    connection.execute(f"SELECT 1 FROM t WHERE user_id = '{user}'")
    condition = f"user_id = {record.user}"
    rows = f"SELECT 1 FROM t WHERE {condition}"
    connection.execute("SELECT 1 FROM t WHERE u = '%s'" % user)
    connection.execute("SELECT 1 FROM t WHERE u = {}".format(user))
    connection.execute("SELECT 1 FROM t WHERE u = '" + user + "'")
    connection.execute(f"SELECT {number} FROM ({query}) WHERE u = {sql_literal(user)}")
    connection.execute("SELECT 1 FROM t WHERE u = $user", {"user": user})
"""


def _modules(checkout: Path) -> dict[str, ast.Module]:
    package = checkout / "ml_data_platform"
    return {
        path.relative_to(package).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(package.rglob("*.py"))
    }


def test_no_query_holds_text_from_outside_unquoted(checkout: Path) -> None:
    """Each slot of each query is a constant, a number, another query, or what a quoting function returned."""
    modules = _modules(checkout)
    builders = builders_of(modules)
    found = {(name, slot.text): slot.line for name, module in modules.items() for slot in open_slots(module, builders)}
    assert {place: line for place, line in found.items() if place not in REVIEWED} == {}
    assert REVIEWED.keys() <= found.keys(), "what is reviewed is there"


def test_no_query_is_put_together_where_it_is_run(checkout: Path) -> None:
    """No ``%``, ``+`` or ``format`` in the argument of a call that runs a query."""
    found = {
        (name, slot.line): slot.text for name, module in _modules(checkout).items() for slot in unseen_queries(module)
    }
    assert found == {}


def test_what_is_looked_for_is_found() -> None:
    """Of planted queries those that hold outside text are told, on their lines, and no other."""
    module = ast.parse(PLANTED)
    assert [slot.line for slot in open_slots(module, builders_of({"": module}))] == [3, 4, 6]
    assert [slot.line for slot in unseen_queries(module)] == [7, 8, 9]

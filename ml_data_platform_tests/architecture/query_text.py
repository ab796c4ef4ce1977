"""What stands between the constant parts of queries, told from the source code alone.

Belongs here: finding f-strings that are SQL, and which of their slots hold text that is not the project's own. Does not
belong here: judging queries that run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

RUNS_QUERIES = frozenset({"execute", "executemany", "sql", "query", "write_parquet", "read_counts", "write_table"})
QUOTING = frozenset({"sql_literal", "sql_identifier"})
"""Return text that means one value, or one name, whatever that consists of."""
OF_SQL_ONLY = frozenset(
    {
        "parquet",
        "sql_type",
        "copy_options",
        "render",
        "is_mature",
        "by_version",
        "keep_condition",
        "sql_list",
        "_quarantine_columns",
        "_ids",
    }
)
"""Functions that return SQL, and in whose source that cannot be seen."""
_SQL = re.compile(
    r"\b(SELECT|FROM|WHERE|JOIN|CASE WHEN|COPY|CAST|TRY|ORDER BY|GROUP BY|FILTER|SET VARIABLE|SET GLOBAL)\b"
    r"|\b(coalesce|nullif|concat|concat_ws|json_\w+|list_contains|read_parquet|regexp_\w+|getvariable|md5|sha\d+|left)\("
)
NUMBERS = frozenset({"int", "len", "micros", "hexdigest", "range", "log", "_micros"})
PASSING_ON = frozenset(
    [
        "join",
        "items",
        "keys",
        "values",
        "get",
        "sorted",
        "list",
        "tuple",
        "dict",
        "fromkeys",
        "zip",
        "enumerate",
        "reversed",
        "next",
        "str",
        "replace",
    ]
)
"""Return nothing but what they are given."""
OWN_ATTRIBUTES = frozenset({"order_by", "sql_type"})
"""Of declared tables and types."""
SQL_PARAMETERS = frozenset(
    [
        "query",
        "rows",
        "relation",
        "features",
        "events",
        "expression",
        "text",
        "value",
        "producer_id",
        "landed",
        "condition",
        "conditions",
        "files",
        "train",
        "test",
        "options",
        "columns",
        "instant",
        "beside",
        "of_day",
        "sampled",
        "order",
        "expected",
        "digest",
        "kind",
        "fold",
        "on_events",
        "late",
        "offences",
        "rest",
        "fraction",
        "micros",
        "rules",
        "kept_source_file",
        "kept_source_row",
        "again",
        "values",
        "expressions",
        "read",
        "seconds",
        "texts",
        "pointers",
    ]
)
"""Names of parameters that take SQL: who calls such a function gives it a query's text, which is looked at there."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Slot:
    """A slot of a query that holds what may come from outside: the line, and what stands in it."""

    line: int
    text: str


def open_slots(module: ast.Module, builders: frozenset[str]) -> Iterator[Slot]:
    """Yield the slots of a module's queries that hold neither a constant, a number nor text that a builder returns.

    A name counts as what its function binds it to, and a parameter as SQL where it is a number or where ``builders``
    names its function: the caller's argument is then the caller's query, which is looked at there.

    Args:
        module: The module.
        builders: Functions that take and return SQL.
    """
    for function, node in _strings(module):
        if not _is_query(node):
            continue
        for slot in node.values:
            if isinstance(slot, ast.FormattedValue) and not _Reader(function, builders).is_own(slot):
                yield Slot(slot.lineno, ast.unparse(slot.value))


def unseen_queries(module: ast.Module) -> Iterator[Slot]:
    """Yield arguments of calls that run a query which are put together by ``+``, ``%`` or ``format``."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in RUNS_QUERIES:
            for argument in node.args:
                is_method = isinstance(argument, ast.Call) and isinstance(argument.func, ast.Attribute)
                if isinstance(argument, ast.BinOp) or (is_method and argument.func.attr == "format"):
                    yield Slot(node.lineno, ast.unparse(argument))


def builders_of(modules: Mapping[str, ast.Module]) -> frozenset[str]:
    """Return the functions that return SQL: text of theirs is a query or a part of one, or they return what builders do."""
    found = {*QUOTING, *OF_SQL_ONLY}
    functions = [node for module in modules.values() for node in ast.walk(module) if isinstance(node, Function)]
    of_text = [each for each in functions if each.returns is not None and "str" in ast.unparse(each.returns)]
    for function in of_text:
        if any(map(_is_query, ast.walk(function))):
            found.add(function.name)
    before = 0
    while before < len(found):
        before = len(found)
        for function in of_text:
            returned = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
            calls = [node for each in returned if each for node in ast.walk(each) if isinstance(node, ast.Call)]
            uses = {_called(call) for call in calls}
            if uses & found and all(map(_Reader(function, frozenset(found)).is_own, returned)):
                found.add(function.name)
    return frozenset(found)


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _strings(module: ast.Module) -> Iterator[tuple[Function | None, ast.JoinedStr]]:
    def visit(node: ast.AST, function: Function | None) -> Iterator[tuple[Function | None, ast.JoinedStr]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.JoinedStr):
                yield function, child
            yield from visit(child, child if isinstance(child, Function) else function)

    yield from visit(module, None)


def _is_query(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and "\n\n" not in node.value and bool(_SQL.search(node.value))
    return isinstance(node, ast.JoinedStr) and any(
        _is_query(part) for part in node.values if isinstance(part, ast.Constant)
    )


@dataclass(frozen=True)
class _Reader:
    """Judges the slots of one function's queries."""

    function: Function | None
    builders: frozenset[str]
    followed: set[str] = field(default_factory=set)

    def is_own(self, node: ast.expr | None) -> bool:  # noqa: PLR0911 - a case for each form of an expression
        match node:
            case None | ast.Constant():
                return True
            case ast.Name(id=name):
                return name.lstrip("_").isupper() or self._is_own_name(name)
            case ast.Attribute(value=value, attr=attribute):
                is_declared = isinstance(value, ast.Name) and value.id.lstrip("_").isupper()
                return is_declared or attribute in OWN_ATTRIBUTES
            case ast.FormattedValue(value=value, format_spec=spec):
                return (spec is not None and ast.unparse(spec) == "f'd'") or self.is_own(value)
            case ast.GeneratorExp(elt=value) | ast.ListComp(elt=value) | ast.DictComp(value=value):
                return self.is_own(value)
            case ast.Subscript(value=value) | ast.Starred(value=value) | ast.keyword(value=value):
                return self.is_own(value)
            case ast.IfExp(body=body, orelse=other) | ast.BinOp(left=body, right=other):
                return self.is_own(body) and self.is_own(other)
            case (
                ast.BoolOp(values=parts)
                | ast.JoinedStr(values=parts)
                | ast.List(elts=parts)
                | ast.Tuple(elts=parts)
                | ast.Dict(values=parts)
            ):
                return all(map(self.is_own, parts))
            case ast.Call(func=ast.Name(id="map"), args=[ast.Name(id=name), *_]):
                return name in self.builders
            case ast.Call(func=ast.Attribute(value=value, attr=name), args=given) if name in PASSING_ON:
                return self.is_own(value) and all(map(self.is_own, given))
            case ast.Call(func=ast.Name(id=name), args=given) if name in PASSING_ON:
                return all(map(self.is_own, given))
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                return name in self.builders or name in NUMBERS
            case _:
                return False

    def _is_own_name(self, name: str) -> bool:
        if self.function is None or name in self.followed:
            return self.function is not None
        self.followed.add(name)
        of = self.function.args
        for each in [*of.posonlyargs, *of.args, *of.kwonlyargs]:
            if each.arg == name and each.annotation is not None:
                declared = ast.unparse(each.annotation)
                if not declared.endswith(("int", "float", ", int]")) and not (
                    name in SQL_PARAMETERS and "str" in declared
                ):
                    return False
        return all(map(self.is_own, _bound(self.function, name)))


def _bound(function: Function, name: str) -> Iterator[ast.expr]:
    """Yield what a function binds a name to; for a loop, what it loops over."""
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=owner))], value=value):
                if owner == name:
                    yield value
                continue
            case ast.Assign(targets=[target], value=value) | ast.AugAssign(target=target, value=value):
                pass
            case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
                pass
            case _:
                continue
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            goals = zip(target.elts, value.elts, strict=False)
            yield from (part for goal, part in goals if isinstance(goal, ast.Name) and goal.id == name)
        elif any(isinstance(each, ast.Name) and each.id == name for each in ast.walk(target)):
            yield value

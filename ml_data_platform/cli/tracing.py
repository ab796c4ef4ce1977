"""The command ``trace``.

Belongs here: its argument and its tree. Does not belong here: walking the records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.tree import Tree

from ml_data_platform.cli import screen
from ml_data_platform.cli.options import JsonOption, RootOption, root_and_days
from ml_data_platform.cli.versioning import repository_of

if TYPE_CHECKING:
    from ml_data_platform.datasets.lineage import Node

SHOWN = 8
_LONG = 24


def trace(
    what: Annotated[
        str,
        typer.Argument(metavar="WHAT", help="A model, tag, asset/YYYY-MM-DD, event id, user id or landed file."),
    ],
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what something was made from, down to the landed rows, and which versions and models contain it.

    From a model: its version, the generations of each day, the landed files. From an event, a user or a landed file: the
    row it came from, and the versions and models that learnt from it.
    """
    from ml_data_platform.datasets.lineage import Lineage
    from ml_data_platform.stages.platform import open_platform

    settings, _ = root_and_days(root, None, None, None)
    platform = open_platform(settings)
    found = Lineage(
        platform.store,
        platform.ledger,
        repository_of(settings),
        settings.models_folder,
        settings.memory_limit,
        settings.threads,
    ).trace(what)
    if as_json:
        screen.print_json(found.to_json())
        return
    screen.out.print(_tree(found.made_from), soft_wrap=True)
    for node in found.contained_in:
        screen.out.print(_tree(node, "contained in "), soft_wrap=True)
    if not found.contained_in and found.made_from.kind not in {"model", "version"}:
        screen.say("contained in no version")


def _tree(node: Node, prefix: str = "", parent: Tree | None = None) -> Tree:
    text = f"{prefix}{node.kind} {node.name}{_facts(node.facts)}"
    tree = parent.add(screen.printable(text)) if parent is not None else Tree(screen.printable(text))
    for child in node.children[:SHOWN]:
        _tree(child, parent=tree)
    if len(node.children) > SHOWN:
        tree.add(f"… and {len(node.children) - SHOWN} more; --json prints all")
    return tree


def _facts(facts: dict[str, Any] | Any) -> str:
    shown = [
        f"{name} {str(value)[:_LONG]}{'…' if len(str(value)) > _LONG else ''}"
        for name, value in facts.items()
        if value is not None and name not in {"config", "kept_bytes", "content", "run_id", "contract"}
    ]
    return f" ({', '.join(shown)})" if shown else ""

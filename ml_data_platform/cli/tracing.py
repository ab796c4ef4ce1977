"""The command ``trace``.

Belongs here: its argument and its tree. Does not belong here: walking the records.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml_data_platform.cli import screen
from ml_data_platform.cli.options import JsonOption, RootOption, day_argument, root_and_days
from ml_data_platform.cli.versioning import repository_of

if TYPE_CHECKING:
    from ml_data_platform.datasets.lineage import Node

SHOWN = 8
_SHORT = 12
_HASH = re.compile(r"[0-9a-f]{32,}")


def trace(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT", help="A model, tag, asset/YYYY-MM-DD, user id, landed file, FILE:ROW, or event id."
        ),
    ],
    day: Annotated[
        dt.date | None,
        typer.Option(
            "--day", metavar="DAY", parser=day_argument, help="UTC day of an event: only its files are searched."
        ),
    ] = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what something was made from, down to the landed rows, and which versions and models contain it.

    From a model: its version, the generations of each day, the landed files. From an event, a user or a landed file: the
    row it came from, and the versions and models that learnt from it. Of an event that came more than once, the row that
    was kept and those that were not; of one that is not published, why.
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
    ).trace(what, None if day is None else day.isoformat())
    if as_json:
        screen.print_json(found.to_json())
        return
    for line in _lines(found.made_from):
        screen.say(line)
    for node in found.contained_in:
        for line in _lines(node, "contained in "):
            screen.say(line)
    if not found.contained_in and found.made_from.kind not in {"model", "version"}:
        screen.say("contained in no version")


def _lines(node: Node, prefix: str = "") -> Iterator[str]:
    """Yield the lines of a tree, however long."""
    yield f"{prefix}{node.kind} {node.name}{_facts(node.facts)}"
    shown = [list(_lines(child)) for child in node.children[:SHOWN]]
    if len(node.children) > SHOWN:
        shown.append([f"… and {len(node.children) - SHOWN} more; --json prints all"])
    for number, lines in enumerate(shown):
        is_last = number == len(shown) - 1
        yield ("└── " if is_last else "├── ") + lines[0]
        for line in lines[1:]:
            yield ("    " if is_last else "│   ") + line


def _facts(facts: dict[str, Any] | Any) -> str:
    shown = [
        f"{name} {_HASH.sub(lambda found: found[0][:_SHORT] + '…', str(value))}"
        for name, value in facts.items()
        if value is not None and name not in {"config", "kept_bytes", "content", "run_id", "contract"}
    ]
    return f" ({', '.join(shown)})" if shown else ""

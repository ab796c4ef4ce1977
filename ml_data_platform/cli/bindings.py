"""Commands about what a root is bound to: ``keys list``, ``keys new``, ``keys accept`` and ``history bind``.

Belongs here: their arguments and output. Does not belong here: which key a root needs (``stages.root_keys``), or which
history it has (``defs.verified_history``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ml_data_platform.cli import screen
from ml_data_platform.cli.lessons import lesson
from ml_data_platform.cli.options import JsonOption, RootOption, require_root, settings_of
from ml_data_platform.errors import PlatformError

if TYPE_CHECKING:
    from ml_data_platform.stages.root_keys import RootKeys

keys = typer.Typer(
    name="keys",
    help="The secret keys of a root: which ids they have, and beginning to use another one knowingly.",
    no_args_is_help=True,
)
history = typer.Typer(
    name="history",
    help="The Dagster history that a root is bound to, so that two are not mixed up.",
    no_args_is_help=True,
)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="user_id, pii or file_id.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do it; without it, only what it means is said.")]


@keys.command(name="list", epilog=lesson("keys list"))
def list_(root: RootOption = None, as_json: JsonOption = False) -> None:
    """Say which keys there are, their public ids, and whether they are the root's; makes none and shows none."""
    from ml_data_platform.storage.keys import NAMES

    found = _keys(root)
    rows = [{"name": name, "key_id": found.known_id(name), "fault": _fault(found, name)} for name in NAMES]
    if as_json:
        screen.print_json(rows)
    else:
        for row in rows:
            said = row["fault"] or (f"key {row['key_id']}" if row["key_id"] else "not made yet")
            screen.say(f"{row['name']}: ", style="red" if row["fault"] else "green", tail=said)
    if any(row["fault"] for row in rows):
        raise typer.Exit(1)


@keys.command(epilog=lesson("keys new"))
def new(name: NameArgument, yes: YesOption = False, root: RootOption = None) -> None:
    """Make another key in place of the root's, which is lost or given away; the old file is set aside beside it."""
    found = _keys(root)
    _say_consequences(name)
    _require_yes(is_sure=yes)
    screen.say(f"{name} is key {found.make_new(name)} from now on")


@keys.command(epilog=lesson("keys accept"))
def accept(name: NameArgument, yes: YesOption = False, root: RootOption = None) -> None:
    """Use the key that lies in the folder of the keys from now on, although it is another one than the root's."""
    found = _keys(root)
    _say_consequences(name)
    _require_yes(is_sure=yes)
    screen.say(f"{name} is key {found.accept(name)} from now on")


@history.command(epilog=lesson("history bind"))
def bind(yes: YesOption = False, root: RootOption = None) -> None:
    """Bind the root to the history in its folder dagster, after the one that it had was deleted or replaced."""
    from ml_data_platform.defs.verified_history import bind_to_own_history
    from ml_data_platform.stages.platform import open_platform

    platform = open_platform(require_root(settings_of(root)))
    screen.note("Runs and check results of another history are not seen any more; tables are not affected.")
    _require_yes(is_sure=yes)
    screen.say(f"the root belongs to history {bind_to_own_history(platform)}")


def _keys(root: str | None) -> RootKeys:
    from ml_data_platform.stages.platform import open_platform

    return open_platform(require_root(settings_of(root))).keys


def _fault(found: RootKeys, name: str) -> str | None:
    try:
        found.check(name)
    except PlatformError as error:
        return str(error)
    return None


def _say_consequences(name: str) -> None:
    from ml_data_platform.stages.root_keys import CONSEQUENCES

    if name not in CONSEQUENCES:
        raise typer.BadParameter(f"there is no such key; {', '.join(CONSEQUENCES)} there are", param_hint="NAME")
    screen.note(CONSEQUENCES[name])


def _require_yes(*, is_sure: bool) -> None:
    if not is_sure:
        screen.fail("nothing was changed; --yes does it")
        raise typer.Exit(1)

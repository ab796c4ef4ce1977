"""Commands about source contracts: ``sources list|show|check|infer|diff``.

Belongs here: their arguments, and which answer goes where. Does not belong here: trying and drafting contracts, and
laying out the answers (``source_tables``).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_data_platform.cli import screen, source_tables
from ml_data_platform.cli.lessons import lesson
from ml_data_platform.cli.options import JsonOption, RootOption, SourcesOption, settings_of
from ml_data_platform.errors import SettingsError
from ml_data_platform.settings import Settings

if TYPE_CHECKING:
    from ml_data_platform.events.contracts import Contracts, SourceContract
    from ml_data_platform.events.registry import SchemaRegistry

app = typer.Typer(
    name="sources",
    help="Look at source contracts, try one on a file, or have one drafted from a file.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


def _regular(path: Path | None) -> Path | None:
    """Return what is a file: a FIFO that nobody writes to would be waited for."""
    if path is not None and not path.is_file():
        raise typer.BadParameter(f"{path} is no regular file")
    return path


FileArgument = Annotated[
    Path,
    typer.Argument(exists=True, dir_okay=False, callback=_regular, metavar="FILE", help="A file of the source."),
]
ContractOption = Annotated[
    Path | None,
    typer.Option(
        "--contract", exists=True, dir_okay=False, callback=_regular, help="Try this contract file, wherever it lies."
    ),
]


def list_sources(root: RootOption = None, sources: SourcesOption = None, as_json: JsonOption = False) -> None:
    """List the known sources: the shipped ones and your own. Exits 1 where a contract is broken."""
    contracts = _contracts(settings_of(root, sources))
    if as_json:
        screen.print_json([source_tables.contract_facts(contract) for contract in contracts.values()])
    else:
        source_tables.print_sources(list(contracts.values()))
    for error in contracts.broken.values():
        screen.fail(str(error))
    if contracts.broken:
        raise typer.Exit(1)


def show_source(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A source.")],
    root: RootOption = None,
    sources: SourcesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one contract with everything that it leaves to defaults, and where each field lands."""
    contract = _contracts(settings_of(root, sources)).of(name)
    if as_json:
        facts = source_tables.contract_facts(contract)
        screen.print_json({**facts, "contract": contract.model_dump(mode="json")})
    else:
        source_tables.print_contract(contract)


def check(
    file: FileArgument,
    source: Annotated[str | None, typer.Option("--source", metavar="NAME", help="Whose file it is.")] = None,
    contract: ContractOption = None,
    root: RootOption = None,
    sources: SourcesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what would become of a file's rows, and what to change: nothing is landed or written.

    Rows are routed, mapped and judged as `land` and `backfill` would. Duplicates are those within the file.
    """
    from ml_data_platform.events.advice import advise
    from ml_data_platform.events.suggestions import FileLook
    from ml_data_platform.stages.source_check import check_source

    settings, now = settings_of(root, sources), dt.datetime.now(dt.UTC)
    tried = _tried(settings, source, contract)
    with screen.progress("checking"):
        report, sample = check_source(file, tried, settings, now=now)
    look = FileLook(sample.form, sample.profiles) if sample else None
    latest = now + settings.max_future
    suggestions = advise(report, tried, look, start_date=settings.start_date, latest=latest)
    if as_json:
        found = [{"what": each.what, "change": each.change} for each in suggestions]
        screen.print_json({**report.to_json(), "suggestions": found})
    else:
        source_tables.print_check(report, suggestions)
    if not report.is_good:
        raise typer.Exit(1)


def infer(
    file: FileArgument,
    source: Annotated[
        str | None, typer.Option("--source", metavar="NAME", help="Name of the source. Default: after the file.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write it to this file, or into this folder, instead of printing it.")
    ] = None,
    root: RootOption = None,
    sources: SourcesOption = None,
) -> None:
    """Draft a contract from a file: YAML that says why each column was chosen and what to look at."""
    from ml_data_platform.events.drafting import source_name, write_draft
    from ml_data_platform.events.inference import infer_contract
    from ml_data_platform.landing.sampling import sample_file

    settings = settings_of(root, sources)
    name = source or (out.stem if out is not None and out.suffix in {".yaml", ".yml"} else source_name(file.name))
    target = out / f"{name}.yaml" if out is not None and out.suffix not in {".yaml", ".yml"} else out
    if target is not None and target.exists():
        raise SettingsError("there is a file already", remedy="Name another one with --out.", file=str(target))
    if target is not None and target.stem != name:
        raise typer.BadParameter(f"a contract is named after its source: {name}{target.suffix}", param_hint="--out")
    latest = dt.datetime.now(dt.UTC) + settings.max_future
    sample = sample_file(file, contract=_contracts(settings).get(name))
    draft = infer_contract(
        sample.profiles,
        source=name,
        form=sample.form.keys(),
        latest=latest,
        unaddressable=sample.unaddressable,
        registry=_registry(settings),
    )
    rows = f"all {sample.rows:,}" if sample.is_whole else f"the first {sample.rows:,}"
    text = write_draft(draft, origin=f"Drafted from {file.name}, {rows} rows")
    if target is not None and draft.missing:
        # A file that is no contract would make every command refuse the whole folder.
        target = target.with_suffix(source_tables.INCOMPLETE)
    if target is None:
        screen.print_document(text)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        screen.say(f"wrote {target}")
    source_tables.print_next_steps(draft, file, target, settings)
    if draft.missing:
        raise typer.Exit(1)


def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A schema version, or a file.")],
    new: Annotated[str | None, typer.Argument(metavar="[NEW]", help="A schema version; not with a file.")] = None,
    source: Annotated[str | None, typer.Option("--source", metavar="NAME", help="Whose file it is.")] = None,
    contract: ContractOption = None,
    root: RootOption = None,
    sources: SourcesOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what changes between two schema versions, or between a contract and a file, and whether it breaks.

    Additive changes are taken as they come; breaking ones need an upcast, or another contract.
    """
    settings = settings_of(root, sources)
    if new is None:
        _diff_file(settings, Path(old), source, contract, as_json=as_json)
        return
    registry = _registry(settings)
    numbers = _version(old, registry), _version(new, registry)
    change = registry.change(*numbers)
    steps = registry.steps(*numbers) if numbers[0] < numbers[1] else ()
    if as_json:
        facts = {"kind": change.kind, "differences": list(change.differences)}
        screen.print_json({**facts, "upcast": [source_tables.step_text(step) for step in steps]})
    else:
        source_tables.print_change(f"version {numbers[0]} to version {numbers[1]}", change, steps)


def _diff_file(settings: Settings, file: Path, source: str | None, contract: Path | None, *, as_json: bool) -> None:
    from ml_data_platform.events.file_changes import file_change, nearest_version
    from ml_data_platform.landing.sampling import sample_file

    if not file.is_file():
        raise typer.BadParameter(f"{file} is no file; two schema versions are compared by `diff 1 2`", param_hint="OLD")
    tried = _tried(settings, source, contract)
    profiles = sample_file(file, contract=tried).profiles
    version = nearest_version(tried, profiles)
    change = file_change(tried, version, profiles)
    if as_json:
        screen.print_json({"kind": change.kind, "differences": list(change.differences), "version": version})
    else:
        source_tables.print_change(f"contract {tried.source} (version {version}) to {file.name}", change, ())


def _contracts(settings: Settings) -> Contracts:
    from ml_data_platform.stages.platform import load_sources

    return load_sources(settings)


def _tried(settings: Settings, source: str | None, file: Path | None) -> SourceContract:
    """Return the contract that is named, or that a file holds."""
    from ml_data_platform.events.contracts import load_contract

    if (source is None) == (file is None):
        raise typer.BadParameter("name the source, or a contract file with --contract", param_hint="--source")
    if file is None:
        return _contracts(settings).of(str(source))
    return load_contract(file, _registry(settings, file.parent))


def _registry(settings: Settings, *folders: Path) -> SchemaRegistry:
    """Return the schema versions of a root, and of folders beside it."""
    from ml_data_platform.events.registry_file import load_registry

    own = [settings.sources] if settings.sources else []
    return load_registry(*own, *(folder for folder in folders if folder.resolve() not in own))


def _version(text: str, registry: SchemaRegistry) -> int:
    number = text.removeprefix("v")
    if not number.isascii() or not number.isdigit() or int(number) not in registry.versions:
        known = ", ".join(str(each) for each in registry.versions)
        raise typer.BadParameter(f"there is no schema version {text!r}; registered are {known}")
    return int(number)


for command, shown in ((list_sources, "list"), (show_source, "show"), (check, ""), (infer, ""), (diff, "")):
    title = shown or command.__name__
    app.command(title, epilog=lesson(f"sources {title}"))(command)

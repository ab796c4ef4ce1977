"""Commands about versions: ``version cut|list|show|diff|checkout|verify``.

Belongs here: their arguments, and which answer goes where. Does not belong here: what a version is (``datasets``), and
laying out the answers (``version_tables``).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_data_platform.cli import screen, version_tables
from ml_data_platform.cli.lessons import lesson
from ml_data_platform.cli.options import FromOption, JsonOption, RootOption, SourcesOption, ToOption, root_and_days
from ml_data_platform.errors import UnknownVersionError

if TYPE_CHECKING:
    from ml_data_platform.datasets.dataset_versions import Cut
    from ml_data_platform.datasets.repository import VersionsRepository
    from ml_data_platform.settings import Settings
    from ml_data_platform.storage.table_store import TableStore

app = typer.Typer(
    name="version",
    help="Cut versions of the training data, look at them, compare and restore them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

TagArgument = Annotated[
    str, typer.Argument(metavar="TAG", help="A version: its tag or a part of it that is its alone; or latest.")
]


def cut(
    first: FromOption = None,
    last: ToOption = None,
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", metavar="NAME", help="Only this data set; may be given again.")
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option(
            "--folds",
            metavar="STRATEGY:N",
            help="Deal folds and store them with the version: stratified_group:5 (users stay whole) or stratified:5.",
        ),
    ] = None,
    accept: Annotated[
        str,
        typer.Option("--accept", metavar="WORDS", help="What folds that tear users apart need to be told in words."),
    ] = "",
    accept_unusable: Annotated[
        str,
        typer.Option(
            "--accept-unusable",
            metavar="WHY",
            help="Why rows of red files may be missing, in your words; the version records them.",
        ),
    ] = "",
    root: RootOption = None,
    sources: SourcesOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what the version would hold.")] = False,
    wait: Annotated[float, typer.Option("--wait", metavar="S", min=0, help="Wait so long for another cut.")] = 600.0,
    as_json: JsonOption = False,
) -> None:
    """Cut a version of what is published now: an immutable set of days that training may use.

    Days whose blocking checks fail are left out. A day that still holds rows of a retracted file is to be built first. Where a landed file of its days is red (see `status`), there is no
    version unless --accept-unusable says why that may be. Only files that changed since the last version are copied and pushed.
    Where nothing changed, the last version is the answer. Stopped half-way there is no version: cut again.
    """
    from ml_data_platform.datasets.dataset_versions import cut_version, preview_version
    from ml_data_platform.datasets.selection import DATASETS, Request
    from ml_data_platform.stages.platform import open_platform
    from ml_data_platform.stages.retraction import retracted_inputs
    from ml_data_platform.stages.settled_days import unbuilt_days, unsettled_days
    from ml_data_platform.stages.unusable_rows import judge_landed
    from ml_data_platform.training.folds import parse_choice

    settings, days = root_and_days(root, sources, first, last)
    platform, repository = open_platform(settings), repository_of(settings)
    chosen = tuple(name for name in DATASETS if name in dataset) if dataset else DATASETS
    unknown = sorted(set(dataset or ()) - set(DATASETS))
    if unknown:
        raise typer.BadParameter(f"no such data set: {', '.join(unknown)}; there are {', '.join(DATASETS)}")
    chosen_folds, accepted = parse_choice(folds, accept), settings.accepted_features
    request = Request(chosen, days.first, days.last, chosen_folds, accept_unusable, accepted)
    started = dt.datetime.now(dt.UTC)
    now, unsettled, verdicts = platform.clock(), unsettled_days(platform), judge_landed(platform).files
    gone = retracted_inputs(platform)
    if dry_run:
        result = preview_version(
            repository, platform.store, request, now=now, unsettled=unsettled, verdicts=verdicts, retracted=gone
        )
    else:
        with screen.progress("cutting") as (bar, task):
            result = cut_version(
                repository,
                platform.store,
                request,
                now=now,
                unsettled=unsettled,
                verdicts=verdicts,
                retracted=gone,
                memory_limit=settings.memory_limit,
                threads=settings.threads,
                wait_seconds=wait,
                progress=lambda step, what, done, total: bar.update(
                    task, description=f"{step} {what}", completed=done, total=total or None
                ),
            )
    if result.outcome == "cut":
        _show_in_ui(settings, result, started)
    unbuilt = unbuilt_days(platform, [day.day for day in result.manifest.days])
    if as_json:
        screen.print_json(version_tables.cut_json(result, unbuilt))
    else:
        version_tables.print_cut(result, unbuilt)


def _show_in_ui(settings: Settings, result: Cut, started: dt.datetime) -> None:
    from ml_data_platform.defs.assets.dataset_versions import report_cut
    from ml_data_platform.defs.command_runs import history_of

    with history_of(settings) as instance:
        report_cut(instance, settings, result, command="version cut", started=started)


def list_versions(root: RootOption = None, as_json: JsonOption = False) -> None:
    """List the versions, oldest first, and say which of them were overtaken by later data."""
    from ml_data_platform.datasets.comparison import restated_days

    settings, repository, store = _opened(root)
    found = [(version, restated_days(version, store)) for version in repository.versions()]
    if as_json:
        screen.print_json([version_tables.version_json(version, restated) for version, restated in found])
    elif found:
        version_tables.print_versions(found)
    else:
        screen.say(f"no version was cut in {settings.root} yet: ml-data-platform version cut")


def show_version(
    tag: TagArgument,
    days: Annotated[bool, typer.Option("--days", help="Also a line for each day.")] = False,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a version holds: days, rows, label rate, checks, and what was restated since."""
    from ml_data_platform.datasets.comparison import restated_days

    _, repository, store = _opened(root)
    version = repository.version(tag)
    restated = restated_days(version, store)
    if as_json:
        facts = version_tables.version_json(version, restated)
        screen.print_json({**facts, "manifest": version.model_dump(mode="json")})
    else:
        version_tables.print_version(version, restated, with_days=days)


def diff(
    before: TagArgument,
    after: Annotated[str, typer.Argument(metavar="TAG", help="The version to compare it with.")] = "latest",
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two versions: days, rows added, removed and changed, columns, label rates."""
    from ml_data_platform.datasets.comparison import compare_versions

    settings, repository, store = _opened(root)
    difference = compare_versions(
        repository.version(before),
        repository.version(after),
        store,
        repository.dvc,
        memory_limit=settings.memory_limit,
        threads=settings.threads,
    )
    if as_json:
        screen.print_json(difference.to_json())
    else:
        version_tables.print_difference(difference)


def checkout(
    tag: TagArgument,
    target: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="A folder that does not exist yet.")],
    repository: Annotated[
        str | None, typer.Option("--repository", metavar="PATH|URL", help="Git repository; by default the root's own.")
    ] = None,
    remote: Annotated[
        str | None, typer.Option("--remote", metavar="PATH|URL", help="DVC remote, where it has moved.")
    ] = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restore a version, here or on another machine, and compare every file with what the version names.

    Needs nothing but the git repository and the DVC remote. In the folder, dvc and git work as ever.
    """
    from ml_data_platform.datasets.checkout import check_out, resolve_tag
    from ml_data_platform.datasets.dvc_files import Remote

    place = None
    if repository is None:
        settings, own, _ = _opened(root)
        if not own.exists:
            raise UnknownVersionError("no version was cut in this root yet", root=str(settings.root))
        repository, place = str(own.folder), own.remote
    if remote is not None:
        place = Remote(remote if "://" in remote else str(Path(remote).expanduser().resolve()))
    with screen.progress("restoring") as (bar, task):
        done = check_out(
            repository,
            resolve_tag(repository, tag),
            target.expanduser().resolve(),
            remote=place,
            progress=lambda what: bar.update(task, description=what),
        )
    if as_json:
        facts = {"tag": done.manifest.tag, "folder": str(done.folder), "files": done.files, "rows": done.manifest.rows}
        screen.print_json(facts)
    else:
        text = f"restored {done.manifest.tag} to {done.folder}"
        screen.say(text, style="green", tail=f": {screen.counted(done.files, 'file')}, each as the version names it")


def verify(
    tags: Annotated[
        list[str] | None, typer.Argument(metavar="[TAG]…", help="Versions; all of them where none is named.")
    ] = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read every byte of versions in the remote, and compare it with git."""
    from ml_data_platform.datasets.checkout import verify_versions

    _, repository, _ = _opened(root)
    with screen.progress("verifying") as (bar, task):
        chosen = [repository.full_tag(tag) for tag in tags] if tags else repository.tags()
        found = verify_versions(repository, chosen, lambda tag: bar.update(task, description=tag, advance=1))
    if as_json:
        screen.print_json([each.to_json() for each in found])
    else:
        version_tables.print_verifications(found)
    if any(each.faults for each in found):
        raise typer.Exit(1)


def repository_of(settings: Settings) -> VersionsRepository:
    """Return the repository of versions of a root."""
    from ml_data_platform.datasets.dvc_files import Remote
    from ml_data_platform.datasets.repository import VersionsRepository

    return VersionsRepository(
        settings.versions_folder, Remote(settings.versions_remote_url, settings.versions_remote_facts)
    )


def _opened(root: str | None) -> tuple[Settings, VersionsRepository, TableStore]:
    from ml_data_platform.stages.platform import open_platform

    settings, _ = root_and_days(root, None, None, None)
    return settings, repository_of(settings), open_platform(settings).store


for command, shown in (
    (cut, ""),
    (list_versions, "list"),
    (show_version, "show"),
    (diff, ""),
    (checkout, ""),
    (verify, ""),
):
    title = shown or command.__name__
    app.command(title, epilog=lesson(f"version {title}"))(command)

"""Bringing a repository of versions back without a copy of it: from its work tree, its branch and its tags.

Belongs here: what `verify --repair` does with damaged references and objects that git cannot fetch again. Does not
belong here: finding that git is damaged (``git``), the bytes of versions (``stored_versions``).

The work tree has the files of the newest version, a commit names the tag of its version, and the branch leads where the
newest tag does. What is lost all the same is let go as soon as no tag names it, so that older losses do not stop new cuts.
"""

from __future__ import annotations

from collections.abc import Iterator

from ml_data_platform.datasets.git import BRANCH, Git
from ml_data_platform.datasets.manifest import MANIFEST, Manifest
from ml_data_platform.datasets.repository import names_of_versions
from ml_data_platform.datasets.version_facts import commit_message
from ml_data_platform.errors import PlatformError


def mend(git: Git, *, with_all_tags: bool = False) -> None:
    """Make again what can be; cut off from history what is lost and named by no tag. Damaged files are set aside.

    Args:
        git: The repository of versions; the caller holds its lock.
        with_all_tags: Every whole version of the history gets its tag again, and not only those whose tags are damaged.
    """
    damaged = git.set_aside_references()
    git.set_aside_objects()
    git.write_work_tree()
    commits = list(_history(git))
    damaged += [tag for tag in git("tag").splitlines() if not git.succeeds("rev-parse", f"refs/tags/{tag}^{{}}")]
    for commit in commits:
        manifest = _manifest_of(git, commit)
        is_due = manifest is not None and (with_all_tags or manifest.tag in damaged)
        if manifest is not None and is_due and git.is_complete(commit):
            git.tag(manifest.tag, commit, message=commit_message(manifest), at=manifest.created_at)
    _let_go(git, commits)
    versions = names_of_versions(git("tag").splitlines())
    if git.tip() is None and versions and git.is_complete(f"refs/tags/{versions[-1]}"):
        git.move_branch(git("rev-parse", f"refs/tags/{versions[-1]}^{{commit}}"))


def _tips(git: Git) -> list[str]:
    """Return where history begins: the branch, and all tags whose objects are there."""
    refs = git("for-each-ref", "--format=%(refname)", f"refs/heads/{BRANCH}", "refs/tags").splitlines()
    return [git("rev-parse", f"{ref}^{{commit}}") for ref in refs if git.succeeds("rev-parse", f"{ref}^{{commit}}")]


def _history(git: Git) -> Iterator[str]:
    """Yield every commit that can be read from the branch and the tags."""
    todo, seen = _tips(git), set()
    while todo:
        commit = todo.pop()
        if commit not in seen and git.succeeds("cat-file", "-e", commit):
            seen.add(commit)
            yield commit
            todo += _parents(git, commit)


def _parents(git: Git, commit: str) -> list[str]:
    head = git("cat-file", "-p", commit).partition("\n\n")[0].splitlines()
    return [line.removeprefix("parent ") for line in head if line.startswith("parent ")]


def _manifest_of(git: Git, commit: str) -> Manifest | None:
    try:
        return Manifest.from_text(git("show", f"{commit}:{MANIFEST}"), where=commit)
    except PlatformError:
        return None


def _let_go(git: Git, commits: list[str]) -> None:
    tagged = set(git("for-each-ref", "--format=%(objectname) %(*objectname)", "refs/tags").split())
    lost = {parent for commit in commits for parent in _parents(git, commit)} | set(commits) | set(_branch(git))
    lost = {commit for commit in lost if commit not in tagged and not git.is_complete(commit)}
    shallow = [commit for commit in commits if commit not in lost and lost.intersection(_parents(git, commit))]
    if shallow:
        file = git.folder / ".git" / "shallow"
        before = file.read_text().split() if file.exists() else []
        file.write_text("".join(f"{commit}\n" for commit in sorted({*before, *shallow})))
    if lost.intersection(_branch(git)):
        git("update-ref", "-d", f"refs/heads/{BRANCH}")
    git("reflog", "expire", "--expire=now", "--all")


def _branch(git: Git) -> list[str]:
    """Return what the branch names, whether or not it is there; nothing where there is no branch."""
    file = git.folder / ".git" / "refs" / "heads" / BRANCH
    return [file.read_text().strip()] if file.is_file() else list(filter(None, [git.tip()]))

"""Where a setting comes from, and that nothing unknown or out of bounds is taken in silence."""

from __future__ import annotations

import datetime as dt
import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from ml_data_platform.errors import ContractError, SettingsError
from ml_data_platform.events.contracts import SHIPPED_SOURCES, load_contracts
from ml_data_platform.settings import Settings, load_settings
from ml_data_platform.settings_file import ENVIRONMENT_PREFIX

PREFIX = ENVIRONMENT_PREFIX


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty root."""
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def write(root: Path, text: str) -> None:
    """Write the settings file of a root."""
    (root / "platform.yaml").write_text(text, encoding="utf-8")


def test_the_nearest_word_counts(root: Path) -> None:
    """An argument beats the environment, which beats the file, which beats the default."""
    assert load_settings({}, root, root=root).fold_count == 5
    write(root, "fold_count: 6\nthreads: 3\nfold_salt: file\n")
    environment = {f"{PREFIX}FOLD_COUNT": "7", f"{PREFIX}THREADS": "4"}
    found = load_settings(environment, root, root=root, fold_count=8)
    assert (found.fold_count, found.threads, found.fold_salt) == (8, 4, "file")
    assert load_settings(environment, root, root=root).fold_count == 7
    assert load_settings({}, root, root=root).fold_count == 6


@pytest.mark.parametrize("name", ["root", "home"])
def test_the_settings_file_cannot_move_its_own_folder(root: Path, name: str) -> None:
    """It is looked for in the root: a root in it would be left out in silence, so it is refused."""
    write(root, f"{name}: elsewhere\n")
    with pytest.raises(SettingsError, match=f"`{name}` cannot be set in the settings file.*ROOT|HOME") as caught:
        load_settings({}, root, root=root)
    assert caught.value.file == str(root / "platform.yaml")


def test_what_is_not_given_does_not_count(root: Path) -> None:
    """None from the command line and an empty variable leave the next source its say; other variables are not ours."""
    write(root, "fold_count: 6\n")
    environment = {f"{PREFIX}FOLD_COUNT": "", "FOLD_COUNT": "9", "ML_PLATFORM_THREADS": "9"}
    assert load_settings(environment, root, root=root, fold_count=None).fold_count == 6


def test_defaults_are_those_of_the_documentation(tmp_path: Path) -> None:
    """Without any word: a hidden folder where one stands, with its landing folder in it."""
    found = load_settings({}, tmp_path)
    assert found.root == tmp_path / ".platform"
    assert found.landing == tmp_path / ".platform" / "landing"
    assert found.dagster_home == tmp_path / ".platform" / "dagster"
    assert found.sources is None
    assert found.start_date == dt.date(2026, 1, 1)
    assert found.max_future == dt.timedelta(hours=24)


def test_relative_paths_follow_who_wrote_them(root: Path, tmp_path: Path) -> None:
    """A path in the file is relative to the root, one from elsewhere to the working folder; all end absolute."""
    write(root, "landing: inbox\nsources: ../contracts\n")
    found = load_settings({}, tmp_path, root="root")
    assert (found.root, found.landing, found.sources) == (root, root / "inbox", tmp_path / "contracts")
    found = load_settings({f"{PREFIX}ROOT": "root", f"{PREFIX}LANDING": "drop"}, tmp_path, sources=Path("mine"))
    assert (found.root, found.landing, found.sources) == (root, tmp_path / "drop", tmp_path / "mine")
    found = load_settings({}, tmp_path, root=tmp_path / "x" / ".." / "root", landing=Path("~/drop"))
    assert (found.root, found.landing) == (root, Path.home() / "drop")


def test_values_from_text_have_their_types(root: Path) -> None:
    """The environment knows texts only."""
    environment = {
        f"{PREFIX}START_DATE": "2026-02-28",
        f"{PREFIX}MAX_FUTURE_HOURS": "1.5",
        f"{PREFIX}TOLERANCES": '{"rejected_share_is_within_tolerance": 0.2}',
    }
    found = load_settings(environment, root, root=root)
    assert found.start_date == dt.date(2026, 2, 28)
    assert found.max_future == dt.timedelta(minutes=90)
    assert found.tolerances == {"rejected_share_is_within_tolerance": 0.2}


@pytest.mark.parametrize(
    "text",
    ["folds: 5\n", "fold_counts: 5\n", "- fold_count\n", "fold_count: [\n", "5: 5\n", "just text\n", "\x00"],
)
def test_a_file_that_says_something_else_is_refused(root: Path, text: str) -> None:
    """Unknown names, other forms than a mapping, and no YAML: an error that names the file."""
    write(root, text)
    with pytest.raises(SettingsError) as caught:
        load_settings({}, root, root=root)
    assert str(root / "platform.yaml") in str(caught.value)


def test_bytes_that_are_no_text_are_refused(root: Path) -> None:
    """The same holds for a file that is not UTF-8."""
    (root / "platform.yaml").write_bytes(b"fold_salt: \xff\xfe")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings({}, root, root=root)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"threads: 2\nfold_salt: [a\nb: c\n", "line 3, column 2"),
        (b"threads: 2\n\tfold_count: 5\n", "line 2, column 1"),
        (b"threads: 2\nfold_salt: \xff\n", "line 2, column 12"),
        ("threads: 2\nfold_salt: ä\0\n".encode(), "line 2, column 13"),
        (b"threads: 2\nstart_date: 2026-13-01\n", "line 2, column 13"),
        (b"threads: 2\nthreads: 3\n", "threads: the key is given twice, again in line 2"),
        (b"fold_salt: &a [x]\ntolerances: [*a, *a]\n", "aliases are not taken"),
        (b"fold_salt: " + b"[" * 5_000, "nested deeper than"),
        (b"landing: {}\n", "`landing` cannot be used"),
        (b'sources: "a\\0b"\n', "`sources` cannot be used"),
        (b"threads: [2]\n", "`threads` cannot be used"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_place(root: Path, content: bytes, said: str) -> None:
    """Line and column of what is no YAML, and the name of what is given twice or has another type."""
    (root / "platform.yaml").write_bytes(content)
    with pytest.raises(SettingsError, match=re.escape(said)):
        load_settings({}, root, root=root)


@pytest.mark.parametrize("kind", ["folder", "link", "fifo"])
def test_a_settings_file_that_is_no_file_is_refused(root: Path, kind: str) -> None:
    """Settings are not taken as absent because a folder, a dangling link or a FIFO stands in their place."""
    path = root / "platform.yaml"
    {"folder": path.mkdir, "link": lambda: path.symlink_to("gone"), "fifo": lambda: os.mkfifo(path)}[kind]()
    with pytest.raises(SettingsError, match="cannot be read") as caught:
        load_settings({}, root, root=root)
    assert caught.value.file == str(path)


def test_a_mark_of_byte_order_is_no_fault(root: Path) -> None:
    """Editors of some systems write one."""
    (root / "platform.yaml").write_bytes(b"\xef\xbb\xbfthreads: 3\n")
    assert load_settings({}, root, root=root).threads == 3


def test_sources_that_are_no_folder_are_not_passed_over(root: Path) -> None:
    """Contracts would be gone without a word: what stands there is taken as their folder, which reading refuses."""
    (root / "sources").symlink_to("gone")
    settings = load_settings({}, root, root=root)
    assert settings.sources == root / "sources"
    with pytest.raises(ContractError, match="does not exist"):
        load_contracts(SHIPPED_SOURCES, settings.sources)


def test_an_empty_file_says_nothing(root: Path) -> None:
    """No word, or comments alone."""
    for text in ("", "# nothing\n"):
        write(root, text)
        assert load_settings({}, root, root=root) == load_settings({}, root, root=root, fold_count=5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fold_count", "1"),
        ("fold_count", "101"),
        ("fold_count", "2.5"),
        ("fold_salt", "x" * 101),
        ("threads", "0"),
        ("settle_seconds", "-1"),
        ("settle_seconds", "nan"),
        ("max_future_hours", "inf"),
        ("memory_limit", "1"),
        ("memory_limit", "1GB; DROP TABLE x"),
        ("memory_limit", "1GB\n"),
        ("memory_limit", "lots"),
        ("start_date", "2026-02-30"),
        ("start_date", "yesterday"),
        ("tolerances", '{"rejected_share_is_within_tolerance": -0.1}'),
        ("tolerances", '{"rejected_share_is_within_tolerance": NaN}'),
        ("tolerances", "0.5"),
        ("tolerances", "{"),
    ],
)
def test_values_out_of_bounds_are_refused(root: Path, name: str, value: str) -> None:
    """The error names the setting and where it came from."""
    with pytest.raises(SettingsError) as caught:
        load_settings({PREFIX + name.upper(): value}, root, root=root)
    assert PREFIX + name.upper() in str(caught.value)


def test_the_place_that_is_blamed_is_the_one_that_counts(root: Path) -> None:
    """A bad argument is not the fault of a file or a variable that it overrides."""
    write(root, "fold_count: 6\n")
    environment = {f"{PREFIX}FOLD_COUNT": "7"}
    with pytest.raises(SettingsError) as caught:
        load_settings(environment, root, root=root, fold_count=0)
    assert (caught.value.file, caught.value.environment) == (None, None)
    write(root, "tolerances: {a: -1}\n")
    with pytest.raises(SettingsError) as caught:
        load_settings({}, root, root=root)
    assert caught.value.file == str(root / "platform.yaml")


@pytest.mark.parametrize("where", ["argument", "file", "environment"])
def test_an_unknown_name_is_refused_wherever_it_stands(root: Path, where: str) -> None:
    """A name with a slip does nothing; the message offers the one that was meant."""
    if where == "file":
        write(root, "fold_cuont: 9\n")
    environment = {f"{PREFIX}FOLD_CUONT": "9"} if where == "environment" else {}
    given = {"fold_cuont": 9} if where == "argument" else {}
    with pytest.raises(SettingsError, match="fold_count"):
        load_settings(environment, root, root=root, **given)


def test_settings_cannot_be_changed(root: Path) -> None:
    """They are one value for the life of a process."""
    found = load_settings({}, root, root=root)
    with pytest.raises(ValidationError):
        found.fold_count = 9  # type: ignore[misc]


def test_settings_survive_their_way_through_a_resource(root: Path) -> None:
    """As plain JSON values and back they are the same."""
    found = load_settings({}, root, root=root, sources=root, tolerances={"a": 0.5}, start_date="2026-03-01")
    assert Settings.model_validate(found.model_dump(mode="json", exclude_none=True)) == found

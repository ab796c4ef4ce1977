"""`dagster.yaml` is written where there is none; a file of the user is used as it is."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.instance import InstanceRef
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._serdes import deserialize_value

from ml_data_platform.defs.instance import moved_ref, open_instance, prepare_home
from ml_data_platform.defs.instance_file import settle_file
from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.errors import InstanceMismatchError, SettingsError
from ml_data_platform.settings import load_settings
from ml_data_platform_tests.pipeline_root import settings_for

# What the platform wrote before it marked its files.
BEFORE = """\
telemetry:
  enabled: false
nux:
  enabled: false
storage:
  sqlite:
    base_dir: HOME/storage
local_artifact_storage:
  module: dagster._core.storage.root
  class: LocalArtifactStorage
  config:
    base_dir: HOME
compute_logs:
  module: dagster._core.storage.local_compute_log_manager
  class: LocalComputeLogManager
  config:
    base_dir: HOME/compute_logs
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  cancel_timeout_seconds: 60
run_retries:
  enabled: true
  max_retries: 0
  retry_on_asset_or_op_failure: false
concurrency:
  runs:
    max_concurrent_runs: 2
  pools:
    default_limit: 1
run_coordinator:
  module: dagster._core.run_coordinator
  class: QueuedRunCoordinator
  config:
    dequeue_interval_seconds: 1
    dequeue_use_threads: false
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty folder of an instance."""
    folder = tmp_path / "root" / "dagster"
    folder.mkdir(parents=True)
    return folder


def written(home: Path) -> dict:
    """What stands in the file."""
    return yaml.safe_load((home / "dagster.yaml").read_text(encoding="utf-8"))


def test_where_there_is_none_it_is_written_with_what_was_chosen(home: Path) -> None:
    """Key by key over the defaults; a storage and what has a class as a whole. Again, it is not touched."""
    coordinator = {"module": "dagster._core.run_coordinator", "class": "QueuedRunCoordinator"}
    chosen = {
        "concurrency": {"runs": {"max_concurrent_runs": 9}},
        "retention": {"sensor": {"purge_after_days": 5}},
        "storage": {"postgres": {"postgres_url": "postgresql+psycopg2://u:secret@h/d"}},
        "run_coordinator": coordinator,
        "schedules": {"use_threads": True},
    }
    assert settle_file(home, chosen) == []
    found = written(home)
    assert found["concurrency"] == {"runs": {"max_concurrent_runs": 9}, "pools": {"default_limit": 1}}
    assert found["retention"]["sensor"] == {"purge_after_days": 5}
    assert found["retention"]["schedule"]["purge_after_days"]["skipped"] == 2
    assert found["storage"] == chosen["storage"]
    assert found["run_coordinator"] == coordinator
    assert found["schedules"] == {"use_threads": True}
    assert (home / "dagster.yaml").stat().st_mode & 0o077 == 0, "it may hold a password"
    before = (home / "dagster.yaml").stat()
    assert settle_file(home, chosen) == []
    assert (home / "dagster.yaml").stat() == before


def test_the_own_file_follows_what_is_chosen(home: Path) -> None:
    """As long as nobody changed it, a change of platform.yaml comes into it, and goes again."""
    settle_file(home, {})
    first = (home / "dagster.yaml").read_text(encoding="utf-8")
    settle_file(home, {"concurrency": {"runs": {"max_concurrent_runs": 4}}})
    assert written(home)["concurrency"]["runs"] == {"max_concurrent_runs": 4}
    settle_file(home, {})
    assert (home / "dagster.yaml").read_text(encoding="utf-8") == first


@pytest.mark.parametrize("place", ["HOME", "/srv/older/place/dagster"])
def test_a_file_of_before_is_renewed(home: Path, place: str) -> None:
    """Written without a mark by the platform, here or where the root was before: it is the platform's own."""
    (home / "dagster.yaml").write_text(
        BEFORE.replace("HOME", place if place != "HOME" else str(home)), encoding="utf-8"
    )
    assert settle_file(home, {}) == []
    assert written(home)["storage"] == {"sqlite": {"base_dir": f"{home}/storage"}}
    assert "retention" in written(home)
    assert (home / "dagster.yaml").read_text(encoding="utf-8").startswith("# Written by ml-data-platform")


@pytest.mark.parametrize("kind", ["marked", "before"])
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("max_concurrent_runs: 2", "max_concurrent_runs: 7"),
        lambda text: text + "python_logs:\n  python_log_level: CRITICAL\n",
        lambda text: "# ours\n" + text,
        lambda text: text + "\n",
    ],
    ids=["value", "section", "comment", "blank"],
)
def test_one_changed_character_makes_it_the_users(home: Path, kind: str, change) -> None:
    """It is used as it is by every later opening, and what it has is not cried over."""
    path = home / "dagster.yaml"
    path.write_text(BEFORE.replace("HOME", str(home)), encoding="utf-8")
    if kind == "marked":
        settle_file(home, {})
    changed = change(path.read_text(encoding="utf-8"))
    path.write_text(changed, encoding="utf-8")
    assert settle_file(home, {}) == []
    assert path.read_text(encoding="utf-8") == changed


def test_it_is_said_what_a_file_of_the_user_lacks(home: Path) -> None:
    """Each thing that the platform needs, and why; a whole file says nothing."""
    own = {
        "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
    }
    (home / "dagster.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    said = settle_file(home, {"telemetry": {"enabled": True}})
    wanted = ("default_limit: 1", "run_monitoring", "DefaultRunCoordinator", "section `dagster`")
    assert len(said) == len(wanted)
    assert all(word in line and str(home) in line for word, line in zip(wanted, said, strict=True))
    whole = {"concurrency": {"pools": {"default_limit": 1}}, "run_monitoring": {"enabled": True}}
    (home / "dagster.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    assert settle_file(home, {}) == []
    assert written(home) == whole


def test_the_instance_is_opened_as_the_user_says(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Limits and place of the history are those of the file; the notices are warnings."""
    settings = settings_for(tmp_path / "root")
    home = settings.dagster_home
    home.mkdir(parents=True)
    own = {"concurrency": {"runs": {"max_concurrent_runs": 7}, "pools": {"default_limit": 1}}}
    own |= {"storage": {"sqlite": {"base_dir": str(home / "here")}}}
    (home / "dagster.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    (home / "workspace.yaml").write_text("load_from: []\n", encoding="utf-8")
    with caplog.at_level(logging.WARNING), open_instance(settings) as instance:
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 7
        storage = instance.event_log_storage
        assert isinstance(storage, SqliteEventLogStorage)
        assert Path(storage.path_for_shard("index")).is_relative_to(home / "here")
        PlatformResource.of(settings).bind(instance)
    assert [record.message for record in caplog.records if "run_monitoring" in record.message]
    assert written(home) == own
    assert (home / "workspace.yaml").read_text(encoding="utf-8") == "load_from: []\n"
    assert not (home / "storage").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("storage: [", "dagster.yaml"),
        ("- a\n", "no mapping"),
        ("no_such_key: 1\n", "no_such_key"),
        ("storage: {mysql: {mysql_url: 'mysql://h/d'}}\n", "dagster_mysql"),
    ],
)
def test_a_file_that_configures_nothing_ends_in_one_message(tmp_path: Path, text: str, said: str) -> None:
    """It names the file and the fault, and the file stays."""
    settings = settings_for(tmp_path / "root")
    settings.dagster_home.mkdir(parents=True)
    (settings.dagster_home / "dagster.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match="configuration of Dagster cannot be used") as caught:
        prepare_home(settings)
    assert said in str(caught.value)
    assert (settings.dagster_home / "dagster.yaml").read_text(encoding="utf-8") == text


def test_a_moved_root_keeps_its_history_whoever_the_file_belongs_to(tmp_path: Path, caplog) -> None:
    """The platform's own file follows; one of the user stays, and the places in it that nobody chose are read as here."""
    with open_instance(settings_for(tmp_path / "old")) as instance:
        run_id = instance.create_run_for_job(nothing).run_id
    shutil.copytree(tmp_path / "old", tmp_path / "edited")
    (tmp_path / "old").rename(tmp_path / "new")
    with open_instance(settings_for(tmp_path / "new")) as instance:
        assert instance.get_run_by_id(run_id) is not None
    assert caplog.records == []

    edited = settings_for(tmp_path / "edited")
    path = edited.dagster_home / "dagster.yaml"
    text = path.read_text(encoding="utf-8").replace("max_concurrent_runs: 2", "max_concurrent_runs: 6")
    path.write_text(text, encoding="utf-8")
    ref = deserialize_value(moved_ref(edited.dagster_home), InstanceRef)
    for opened in (open_instance(edited), dg.DagsterInstance.from_ref(ref)):
        with opened as instance:
            PlatformResource.of(edited).bind(instance)
            assert instance.get_run_by_id(run_id) is not None
            assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 6
    assert [record.message for record in caplog.records if "the place that the root had before" in record.message]
    assert path.read_text(encoding="utf-8") == text
    assert not (tmp_path / "old").exists()


def test_a_file_that_names_a_place_of_its_own_is_refused(tmp_path: Path) -> None:
    """The history would be that of another root; the error names both, and the file."""
    settings = settings_for(tmp_path / "root")
    home = settings.dagster_home
    prepare_home(settings)
    other = tmp_path / "other"
    artifacts = {"module": "dagster._core.storage.root", "class": "LocalArtifactStorage"}
    config = {**written(home), "local_artifact_storage": {**artifacts, "config": {"base_dir": str(other)}}}
    (home / "dagster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert moved_ref(home) == ""
    with open_instance(settings) as instance, pytest.raises(InstanceMismatchError) as caught:
        PlatformResource.of(settings).bind(instance)
    assert str(home / "dagster.yaml") in str(caught.value)
    assert str(other) in str(caught.value)


def test_the_section_is_read_from_the_settings_and_shown_nowhere(tmp_path: Path) -> None:
    """A password in it is not among the values of the resource, which the UI shows."""
    (tmp_path / "platform.yaml").write_text("dagster: {storage: {postgres: {postgres_url: 'a-secret'}}}\n")
    settings = load_settings({}, tmp_path, root=tmp_path)
    assert settings.dagster["storage"]["postgres"]["postgres_url"] == "a-secret"
    assert "a-secret" not in str(PlatformResource.of(settings).settings) + repr(settings)


@dg.job
def nothing() -> None:
    """A job without steps."""

"""The whole flow on a root in a bucket: the same commands, the same bytes, nothing but the root changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ml_data_platform.errors import SettingsError
from ml_data_platform.generator.generate import generate
from ml_data_platform.generator.options import GeneratorOptions
from ml_data_platform.settings import Settings, load_settings
from ml_data_platform.stages.landed_files import landing_terms
from ml_data_platform.stages.platform import open_platform
from ml_data_platform.stages.verification import verify
from ml_data_platform.storage.layout import LANDED_FILES, Layout
from ml_data_platform_tests.command_line import CommandLine
from ml_data_platform_tests.pipeline_root import SHOP, START, PipelineRoot, day, settings_for
from ml_data_platform_tests.s3_server import CREDENTIALS, S3Server

DAYS = [day(1)]


def settings_in(server: S3Server, bucket: str, home: Path, **choices: Any) -> Settings:
    """Return settings of a root in a bucket, for a machine whose folder is ``home``."""
    place = {"root": f"s3://{bucket}/team/root", "home": home, "s3_endpoint_url": server.endpoint_url}
    return load_settings({}, home, **{**place, "start_date": START, **choices})


@pytest.fixture(scope="module")
def folder_root(tmp_path_factory: pytest.TempPathFactory) -> PipelineRoot:
    """A small generated day in a folder, landed and built; to be read only."""
    root = PipelineRoot(settings_for(tmp_path_factory.mktemp("folder") / "root"))
    generate(root.settings.landing, start=START, days=1, events_per_day=80, seed=3, options=GeneratorOptions())
    return _filled(root, root)


@pytest.fixture(scope="module")
def bucket_root(folder_root: PipelineRoot, s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> PipelineRoot:
    """The same files, landed and built with a root in a bucket and with the same key; to be read only."""
    home = tmp_path_factory.mktemp("machine") / "home"
    shutil.copytree(folder_root.folder / "secrets", home / "secrets")
    return _filled(PipelineRoot(settings_in(s3, s3.new_bucket(), home)), folder_root)


def _filled(root: PipelineRoot, files_of: PipelineRoot) -> PipelineRoot:
    root.land(files_of.settings.landing / SHOP)
    report = root.backfill(DAYS)
    assert report.is_successful, report
    return root


def test_the_same_files_give_the_same_bytes_in_a_bucket(
    folder_root: PipelineRoot, bucket_root: PipelineRoot, s3: S3Server
) -> None:
    """Every content hash and every byte of the view, read by a plain client, is the one of the folder."""
    assert bucket_root.contents() == folder_root.contents()
    assert bucket_root.generations() == folder_root.generations()
    place = bucket_root.settings.root
    beginning = f"{place.prefix}/data/"
    pages = s3.client.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=beginning)
    keys = [each["Key"] for page in pages for each in page["Contents"]]
    shown = {
        key.removeprefix(beginning): s3.client.get_object(Bucket=place.bucket, Key=key)["Body"].read() for key in keys
    }
    assert shown == folder_root.view()


def test_a_built_bucket_is_clean_whole_and_needs_no_recovery(bucket_root: PipelineRoot) -> None:
    """A second backfill has nothing to do, every byte verifies, every view is at its head, nothing is litter."""
    assert bucket_root.backfill(DAYS).runs == 0
    assert verify(bucket_root.platform).defects == ()
    recovery = bucket_root.platform.store.recover()
    assert (recovery.views_repaired, recovery.broken) == (0, ())
    assert bucket_root.platform.store.collect().keys == ()


def test_another_machine_with_the_key_sees_the_same_and_one_without_it_is_refused(
    bucket_root: PipelineRoot, s3: S3Server, tmp_path: Path
) -> None:
    """The key is what machines must share beside the bucket; the message says which file to copy, not what is in it."""
    bucket = bucket_root.settings.root.bucket
    with pytest.raises(SettingsError, match=r"Copy .*user_id\.key") as caught:
        landing_terms(open_platform(settings_in(s3, bucket, tmp_path / "without")))
    assert not (tmp_path / "without" / "secrets").exists()
    secret = (bucket_root.settings.secrets_folder / "user_id.key").read_text().strip()
    assert secret not in str(caught.value)
    shutil.copytree(bucket_root.settings.secrets_folder, tmp_path / "with" / "secrets")
    settings = settings_in(s3, bucket, tmp_path / "with")
    other = PipelineRoot(settings, bucket_root.now)
    assert other.contents() == bucket_root.contents()
    assert other.backfill(DAYS).runs == 0


def test_no_secret_is_in_the_bucket_or_in_what_a_run_is_given(bucket_root: PipelineRoot, s3: S3Server) -> None:
    """Neither the keys of ids nor credentials are stored, logged or passed as configuration."""
    place = bucket_root.settings.root
    secrets = [path.read_text().strip() for path in bucket_root.settings.secrets_folder.glob("*.key")]
    secrets += [CREDENTIALS["AWS_SECRET_ACCESS_KEY"], CREDENTIALS["AWS_ACCESS_KEY_ID"]]
    stored = bucket_root.platform.store.objects
    texts = [stored.read_bytes(key) for key in stored.list("") if key.endswith(".json")]
    texts.append(bucket_root.settings.model_dump_json().encode())
    texts.append(repr(bucket_root.definitions.resources).encode())
    assert place.bucket
    assert len(texts) > 50
    assert not [secret for secret in secrets for text in texts if secret.encode() in text]


def test_the_commands_work_on_a_bucket_with_nothing_but_the_root_changed(
    bucket_root: PipelineRoot, folder_root: PipelineRoot, tmp_path: Path
) -> None:
    """Status and plan of the bucket are those of the folder; a place in the bucket that holds nothing is no root."""
    cli = CommandLine(tmp_path)
    home = {"ML_DATA_PLATFORM_HOME": str(bucket_root.settings.local_folder)}
    start = {"ML_DATA_PLATFORM_START_DATE": str(START)}
    days = ["--from", str(DAYS[0]), "--to", str(DAYS[-1])]
    there = cli("status", "--json", *days, "--root", bucket_root.settings.root, environment={**home, **start})
    here = cli("status", "--json", *days, "--root", folder_root.folder, environment=start)
    assert (there.status, here.status) == (0, 0), (there, here)
    in_bucket, in_folder = json.loads(there.out), json.loads(here.out)
    assert in_bucket.pop("root") == str(bucket_root.settings.root)
    assert in_folder.pop("root") == str(folder_root.folder)
    # The clock moves between two commands.
    for found in (in_bucket, in_folder):
        for part in (found["landing"], *found["days"]):
            del part["watermarks"]
    assert in_bucket == in_folder
    nowhere = f"s3://{bucket_root.settings.root.bucket}/elsewhere"
    refused = cli("status", "--root", nowhere, environment=home)
    assert refused.status == 1
    assert "this place in the bucket is empty, and it held a root that this machine used" in refused.text


def test_verify_names_and_mends_defects_in_a_bucket(bucket_root: PipelineRoot, tmp_path: Path) -> None:
    """Each of five defects is named at its key, with status 1; what bytes and log allow is mended, nothing is lost."""
    objects, cli = bucket_root.platform.store.objects, CommandLine(tmp_path)
    home = {
        "ML_DATA_PLATFORM_HOME": str(bucket_root.settings.local_folder),
        "ML_DATA_PLATFORM_START_DATE": str(START),
    }
    record = bucket_root.platform.ledger.records()[0]
    head = bucket_root.heads()["date_partitions", day(1)]
    raw, ledger = Layout.raw_key(record.bytes_sha256), record.key
    fragment = Layout.object_key(LANDED_FILES, str(record.fragment))
    view = Layout.view_key("date_partitions", day(1), head.files[0].name)
    before = {key: objects.read_bytes(key) for key in (raw, ledger, fragment, view)}
    for key in before:
        objects.delete(key)
    objects.put_if_absent(ledger, before[ledger].replace(b'"size_bytes":', b'"size_bytes":1'))
    objects.put_if_absent(view, b"")
    objects.put_if_absent("data/notes.txt", b"mine")

    def verified(*options: str) -> tuple[int, dict[str, tuple[str, bool]]]:
        ended = cli("verify", "--json", *options, "--root", bucket_root.settings.root, environment=home)
        defects = json.loads(ended.out)["defects"]
        return ended.status, {each["key"]: (each["kind"], each["is_repaired"]) for each in defects}

    damaged = {ledger: ("ledger_record_damaged", False), "data/notes.txt": ("foreign_file", False)}
    assert verified() == (1, {**damaged, view: ("view_altered", False)})
    assert verified("--repair") == (1, {**damaged, view: ("view_altered", True)})
    assert objects.read_bytes(view) == before[view]
    # With its record there again, the rest is seen: kept bytes come back by landing, and the fragment from them.
    objects.delete(ledger)
    objects.put_if_absent(ledger, before[ledger])
    objects.delete("data/notes.txt")
    assert verified() == (1, {raw: ("kept_bytes_missing", False), fragment: ("object_missing", False)})
    objects.put_if_absent(raw, before[raw])
    assert verified("--repair") == (0, {fragment: ("object_missing", True)})
    assert objects.read_bytes(fragment) == before[fragment]
    assert verified() == (0, {})

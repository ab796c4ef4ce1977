"""What a deployment may choose: the root, where its platform starts, tolerances and limits.

Belongs here: the settings, their defaults, and how they are found (arguments, then ``ML_DATA_PLATFORM_*``
in the environment, then ``<root>/platform.yaml``, then defaults). Does not belong here: what a producer
decides, which is its source contract.
"""

from __future__ import annotations

import datetime as dt
import difflib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    ValidationError,
    field_validator,
)

from ml_data_platform.errors import SettingsError
from ml_data_platform.locations import Location, S3Location, is_s3_url, parse_location
from ml_data_platform.settings_file import ENVIRONMENT_PREFIX, SETTINGS_FILE, read_settings_file

DEFAULT_ROOT = ".platform"
OWN_SOURCES = "sources"
LABEL_HORIZON = dt.timedelta(hours=24)
_BYTES = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}
HOMES_FOLDER = "~/.ml-data-platform"
LocationField = Annotated[
    InstanceOf[Path] | InstanceOf[S3Location], BeforeValidator(parse_location), PlainSerializer(str, return_type=str)
]
_OBJECTS = frozenset({"tolerances", "accepted_features", "versions_remote_options", "dagster"})


class Settings(BaseModel):
    """The settings of one root.

    Attributes:
        root: Folder that holds everything: data, ledger, kept files, Dagster's history. Absolute. Or a place in a
            bucket, ``s3://bucket/prefix``, that holds all but what belongs to this machine (see ``home``).
        home: For a root in a bucket, the folder of what belongs to this machine: Dagster's history, platform.yaml, own
            contracts, the secret key, a cache of read files, scratch. A root that is a folder is its own home.
        landing: Folder, or place in a bucket, with one folder per source, watched by the landing sensor. Absolute.
        sources: Folder with the user's own source contracts, beside the shipped ones; by default ``<root>/sources``
            where that exists; or none.
        versions: Folder of the git repository of versions; by default ``<root>/versions``.
        versions_remote: Where versions are pushed to: a folder, or what DVC knows, e.g. ``s3://bucket/prefix``; by default
            ``<root>/versions_remote``.
        versions_remote_options: Further options of that remote as DVC names them, e.g. ``endpointurl``. In the
            environment: a JSON object.
        dagster: Sections of ``dagster.yaml`` over the platform's defaults. In the environment: a JSON object.
        secrets: Folder of the keys of ids and masks; by default ``<root>/secrets``. A key that is not there is made.
        access: Who may read what is written under the root: its ``owner`` alone, or its ``group`` too, except for keys.
        start_date: First UTC day that has partitions; earlier rows are kept as undated.
        fold_count: Number of folds of ``stratified_partitions``.
        fold_salt: Salt of the hash that puts a user into a fold; another salt, other folds.
        tolerances: Check name to its tolerance, over the suites' own values; what it means is up to the rule, e.g. the
            share of a day's rows that may fail. In the environment: a JSON object.
        accepted_features: Feature to the reason why it may tell the label alone: the check of that accepts it, and versions
            record it. In the environment: a JSON object.
        settle_seconds: A file in the landing folder is read once its size and time have stood still so long.
        sensor_interval_seconds: Least time between two looks of the landing sensor; Dagster itself looks every 5 s.
        pull_interval_seconds: Least time between two looks of the sensor at the addresses of pull sources.
        max_future_hours: An event later than its landing by more than this has no usable day.
        memory_limit: Bound of DuckDB's memory, e.g. ``1GB``.
        threads: Threads of DuckDB.
        max_unzipped_size: What a landed file may decode to, e.g. ``4GiB``; 200 times the size of a gzip and 2,000 times
            that of a Parquet file is always allowed.
        max_decoded_size: Memory that decoded Parquet of a landed file may take at one time, e.g. ``1GiB``.
        max_file_rows: Rows that a landed file may have.
        max_file_columns: Columns that a landed CSV or Parquet file may have.
        s3_endpoint_url: Where S3 answers, for stores other than AWS; without it ``AWS_ENDPOINT_URL_S3`` and
            ``AWS_ENDPOINT_URL`` count. Credentials are found where every AWS tool finds them, never in a setting.
        s3_region_name: Region of the bucket; by default as AWS's own variables and files say.
        s3_profile_name: Profile of the AWS configuration that holds credentials; by default the usual chain.
        s3_addressing_style: Where a request names the bucket: ``path``, ``virtual`` (in the host's name) or ``auto``; by
            default in the path, except for AWS itself.
        s3_max_attempts: How often a request is sent at most.
        s3_cache_size: What the cache of read files may take, e.g. ``20GB``; files in use may exceed it for an hour.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: LocationField
    landing: LocationField
    home: Path | None = None
    sources: Path | None = None
    versions: Path | None = None
    versions_remote: str | None = None
    versions_remote_options: dict[str, str] = {}
    # Not among the values that are shown in the UI: a database's URL may hold a password.
    dagster: Annotated[dict[str, Any], Field(exclude=True, repr=False)] = {}
    secrets: Path | None = None
    access: Literal["owner", "group"] = "owner"
    start_date: dt.date = dt.date(2026, 1, 1)
    fold_count: Annotated[int, Field(ge=2, le=100)] = 5
    fold_salt: Annotated[str, Field(min_length=1, max_length=100)] = "fold-1"
    tolerances: dict[str, Annotated[float, Field(ge=0)]] = {}
    accepted_features: dict[str, str] = {}
    settle_seconds: Annotated[float, Field(ge=0, le=86_400)] = 5.0
    sensor_interval_seconds: Annotated[int, Field(ge=1, le=86_400)] = 30
    pull_interval_seconds: Annotated[int, Field(ge=1, le=86_400)] = 300
    max_future_hours: Annotated[float, Field(ge=0, le=24 * 365)] = 24.0
    memory_limit: str = "1GB"
    threads: Annotated[int, Field(ge=1, le=256)] = 2
    max_unzipped_size: str = "4GiB"
    max_decoded_size: str = "1GiB"
    max_file_rows: Annotated[int, Field(ge=1)] = 1_000_000_000
    max_file_columns: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    s3_endpoint_url: str | None = None
    s3_region_name: str | None = None
    s3_profile_name: str | None = None
    s3_addressing_style: Literal["path", "virtual", "auto"] | None = None
    s3_max_attempts: Annotated[int, Field(ge=1, le=100)] = 5
    s3_cache_size: str = "20GB"

    @field_validator("memory_limit", "s3_cache_size", "max_unzipped_size", "max_decoded_size")
    @classmethod
    def _has_unit(cls, value: str) -> str:
        if re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)? ?(MB|GB|MiB|GiB)", value) is None:
            raise ValueError("must be a number with MB, GB, MiB or GiB, e.g. 1GB")
        return value

    @field_validator("s3_endpoint_url")
    @classmethod
    def _holds_no_credentials(cls, value: str | None) -> str | None:
        if value is not None and re.fullmatch(r"https?://[^\s/@?#]+/?", value) is None:
            raise ValueError("must be http://HOST:PORT or https://HOST, without user and password")
        return value

    @property
    def local_folder(self) -> Path:
        """The folder of what belongs to this machine: the root itself where that is a folder."""
        if isinstance(self.root, S3Location):
            return self.home or default_home(self.root, self.s3_endpoint_url)
        return self.root

    @property
    def s3_cache_bytes(self) -> int:
        """What the cache of read files may take, in bytes."""
        return _in_bytes(self.s3_cache_size)

    @property
    def max_unzipped_bytes(self) -> int:
        """What a landed gzip may decode to, in bytes."""
        return _in_bytes(self.max_unzipped_size)

    @property
    def max_decoded_bytes(self) -> int:
        """``max_decoded_size`` in bytes."""
        return _in_bytes(self.max_decoded_size)

    @property
    def max_future(self) -> dt.timedelta:
        """How far beyond its landing an event may lie."""
        return dt.timedelta(hours=self.max_future_hours)

    @property
    def versions_folder(self) -> Path:
        """The git repository of versions, on this machine."""
        return self.versions or self.local_folder / "versions"

    @property
    def models_folder(self) -> Path:
        """The training runs, on this machine."""
        return self.local_folder / "models"

    @property
    def versions_remote_url(self) -> str:
        """Where versions are pushed to: an absolute folder, or a URL."""
        if self.versions_remote is None:
            return str(self.root / "versions_remote")
        if "://" in self.versions_remote:
            return self.versions_remote
        return str((self.local_folder / Path(self.versions_remote).expanduser()).resolve())

    @property
    def versions_remote_facts(self) -> dict[str, str]:
        """Options of that remote as DVC names them; of a bucket they follow the other settings of S3."""
        of_s3 = {"endpointurl": self.s3_endpoint_url, "region": self.s3_region_name, "profile": self.s3_profile_name}
        known = of_s3 if is_s3_url(self.versions_remote_url) else {}
        return {**{name: value for name, value in known.items() if value}, **self.versions_remote_options}

    @property
    def secrets_folder(self) -> Path:
        """The folder of the keys."""
        return self.secrets or self.local_folder / "secrets"

    @property
    def dagster_home(self) -> Path:
        """The folder of the Dagster instance that belongs to this root."""
        return self.local_folder / "dagster"


def _in_bytes(size: str) -> int:
    unit = size.lstrip("0123456789. ")
    return int(float(size.removesuffix(unit)) * _BYTES[unit])


def load_settings(environment: Mapping[str, str], working_folder: Path, **overrides: object) -> Settings:
    """Find the settings of a root.

    Args:
        environment: Usually ``os.environ``; only keys with the prefix ``ML_DATA_PLATFORM_`` are read.
        working_folder: Relative paths are taken from here.
        **overrides: Settings from the command line; ``None`` means not given.

    Returns:
        The settings, with absolute paths.

    Raises:
        SettingsError: A file cannot be read, a name is unknown, or a value is out of bounds.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    from_environment = _from_environment(environment)
    root, home = _find_root(given, from_environment, working_folder)
    from_file = read_settings_file(home / SETTINGS_FILE)
    for name in ("landing", "sources", "versions", "secrets"):
        if from_file.get(name) not in (None, ""):
            from_file[name] = _place(name, from_file[name], home)
        for values in (from_environment, given):
            if values.get(name):
                values[name] = _place(name, values[name], working_folder)
    place = {"root": root, "home": home if isinstance(root, S3Location) else None}
    merged = {"landing": home / "landing", **from_file, **from_environment, **given, **place}
    own = home / OWN_SOURCES
    # A file of that name, or a link that leads nowhere, is refused where contracts are read: not passed over.
    if not merged.get("sources") and os.path.lexists(own):
        merged["sources"] = own
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        setting = str(first["loc"][0]) if first["loc"] else ""
        in_environment = setting in from_environment and setting not in given
        in_file = setting in from_file and setting not in {**from_environment, **given}
        raise SettingsError(
            f"setting `{name}` cannot be used: {first['msg']}",
            remedy=_known_settings(name) if first["type"] == "extra_forbidden" else "Correct the value.",
            file=str(home / SETTINGS_FILE) if in_file else None,
            environment=ENVIRONMENT_PREFIX + setting.upper() if in_environment else None,
            # A setting that does not exist may be a secret in the wrong place, and a URL may hold one.
            got=None if first["type"] == "extra_forbidden" or name == "s3_endpoint_url" else first.get("input"),
        ) from None


def default_home(root: S3Location, endpoint_url: str | None) -> Path:
    """Return the folder of what belongs to this machine of a root in a bucket, where none is set."""
    name = re.sub(r"[^a-z0-9.-]+", "-", str(root).removeprefix("s3://").lower())[:80].strip("-.")
    same = hashlib.sha256(f"{endpoint_url or ''} {root}".encode()).hexdigest()[:8]
    return Path(HOMES_FOLDER).expanduser() / f"{name}-{same}"


def _find_root(given: Mapping[str, Any], environment: Mapping[str, Any], working_folder: Path) -> tuple[Location, Path]:
    """Return the root, and the folder of its settings file."""
    text = given.get("root") or environment.get("root") or DEFAULT_ROOT
    home = given.get("home") or environment.get("home")
    if not is_s3_url(text) and not isinstance(text, S3Location):
        folder = _absolute(text, working_folder)
        if home is not None and _absolute(home, working_folder) != folder:
            raise SettingsError(
                "the setting `home` is for a root in a bucket",
                remedy="Leave it out: a root that is a folder is its own home.",
                got=home,
            )
        return folder, folder
    root = parse_location(text)
    assert isinstance(root, S3Location)
    if home is not None:
        return root, _absolute(home, working_folder)
    return root, default_home(root, given.get("s3_endpoint_url") or environment.get("s3_endpoint_url"))


def _place(name: str, value: object, base: Path) -> Location:
    """Return an absolute path, or a place in a bucket; whether a setting may be one is for the setting to say."""
    if not isinstance(value, str | Path | S3Location) or "\0" in str(value):
        raise SettingsError(f"setting `{name}` cannot be used: it names no place", remedy="Name a folder.", got=value)
    return parse_location(value) if is_s3_url(value) or isinstance(value, S3Location) else _absolute(value, base)


def _absolute(path: object, base: Path) -> Path:
    expanded = Path(str(path)).expanduser()
    return (expanded if expanded.is_absolute() else base / expanded).resolve()


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in environment.items():
        if not key.startswith(ENVIRONMENT_PREFIX):
            continue
        name = key.removeprefix(ENVIRONMENT_PREFIX).lower()
        if name not in Settings.model_fields:
            raise SettingsError(
                f"the environment names a setting that does not exist: {key}",
                remedy=_known_settings(name),
                environment=key,
            )
        if value:
            values[name] = _from_json(key, value) if name in _OBJECTS else value
    return values


def _from_json(key: str, value: str) -> object:
    try:
        return json.loads(value)
    except ValueError as error:
        raise SettingsError(f"{key} is not JSON", remedy='Write an object: {"NAME": VALUE, …}.', got=value) from error


def _known_settings(name: str) -> str:
    close = difflib.get_close_matches(name, Settings.model_fields, n=1)
    meant = f"Did you mean {close[0]}? " if close else ""
    return f"{meant}Known settings: {', '.join(sorted(Settings.model_fields))}."

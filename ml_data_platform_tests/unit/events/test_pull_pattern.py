"""Addresses by date: what they stand for on a day, and which ones are refused."""

from __future__ import annotations

from datetime import date

import pytest

from ml_data_platform.errors import ContractError
from ml_data_platform.events.contracts import SourceContract, parse_contract
from ml_data_platform.events.pull_pattern import parse_pattern, segment_regex

DAY = date(2026, 6, 1)


@pytest.mark.parametrize(
    ("url", "base", "paths"),
    [
        ("s3://logs/clicks/dt={date}/*.parquet", "s3://logs/clicks", ["dt=2026-06-01/*.parquet"]),
        ("s3://logs/{date:%Y/%m/%d}.csv", "s3://logs/", ["2026/06/01.csv"]),
        ("https://h.org:8443/a/b-{date:%y%m%d}.gz", "https://h.org:8443/a", ["b-260601.gz"]),
        ("https://h.org/{date:%Y}/{date:%-m}-{date:%-d}.csv", "https://h.org/", ["2026/6-1.csv"]),
        ("https://h.org/{date:%Y-%j%%}.csv", "https://h.org/", ["2026-152%.csv"]),
        ("/exports/*/dt={date}/**/a?.csv", "/exports", ["*/dt=2026-06-01/**/a?.csv"]),
        ("file:" + "///exports/{date}.csv", "/exports", ["2026-06-01.csv"]),
        ("/{date}.csv", "/", ["2026-06-01.csv"]),
        ("exports/{date}.csv", "exports", ["2026-06-01.csv"]),
        ("../../exports/{date}.csv", "../../exports", ["2026-06-01.csv"]),
        ("../{date}.csv", "..", ["2026-06-01.csv"]),
        ("http://127.0.0.1:80/{date}.csv", "http://127.0.0.1:80/", ["2026-06-01.csv"]),
    ],
)
def test_a_pattern_stands_for_paths_below_a_fixed_folder(url: str, base: str, paths: list[str]) -> None:
    """The folder before the first thing that changes is fixed; the rest is the name that a file goes by."""
    pattern = parse_pattern(url)
    assert ["/".join(path) for path in pattern.paths(DAY)] == paths
    assert pattern.address() == base


@pytest.mark.parametrize(("hour", "first", "last"), [("{hour}", "00", "23"), ("{hour:d}", "0", "23")])
def test_hours_are_written_out(hour: str, first: str, last: str) -> None:
    """Where nothing can be listed, the 24 names of a day can be."""
    paths = parse_pattern(f"https://h.org/{{date}}-{hour}.gz").paths(DAY)
    assert len(paths) == 24
    assert (paths[0], paths[-1]) == ((f"2026-06-01-{first}.gz",), (f"2026-06-01-{last}.gz",))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://h.org/{dat}.csv", "unknown placeholder, got '{dat}'.*did you mean '{date}'"),
        ("https://h.org/dt={date}/*.csv", "wildcard, but HTTP has no listing"),
        ("https://h.org/{date:%Y-%m}.csv", "does not say the day,"),
        ("https://h.org/all.csv", "does not say the year, month, day,"),
        ("https://h.org/{date:%Y%m%dT%H}.csv", r"does not belong to a day; hours are {hour}, got '%H'"),
        ("https://h.org/{date:}.csv", "unknown placeholder"),
        ("https://{date}.org/a.csv", "placeholder in the name of the host"),
        ("http://h.org/{date}.csv", "not encrypted"),
        ("https://:80/{date}", "is no URL"),
        ("https://h.org:port/{date}", "is no URL"),
        ("gs://logs/{date}.csv", "no address that files can be pulled from"),
        ("s3://lo/{date}.csv", "name of a bucket"),
        ("s3://logs-{date}/a.csv", "name of a bucket"),
        ("s3://logs//{date}.csv", "empty, `.` or `..`"),
        ("/exports/../{date}.csv", "empty, `.` or `..`"),
        ("../exports/../{date}.csv", "empty, `.` or `..`"),
        ("s3://logs/../{date}.csv", "empty, `.` or `..`"),
        ("/exports/{date}/", "empty, `.` or `..`"),
        ("/exports/{date}/**", "must have "),
        ("/exports/{date}/a**/b", "must have "),
        ("/exports/{date}/a}.csv", "brace"),
        ("/exports/{{date}}/a.csv", "brace"),
        ("/exports/{date}\n.csv", "control characters"),
    ],
)
def test_a_pattern_that_cannot_work_is_refused_with_the_reason(url: str, says: str) -> None:
    """Before anything is fetched, as one problem of the contract's key."""
    with pytest.raises(ContractError, match=says) as caught:
        parse_pattern(url)
    assert caught.value.key == "pull.url"


@pytest.mark.parametrize(
    "url",
    [
        "https://me:hunter2@h.org/{date}",
        "https://hunter2@h.org/{date}",
        "https://h.org/{date}?sig=hunter2",
        "https://h.org/{date}#hunter2",
        "s3://me:hunter2@logs/{date}",
        "ftp://me:hunter2@h.org/{date}",
    ],
)
def test_credentials_are_refused_and_not_repeated(url: str) -> None:
    """An error goes to logs; a secret must not."""
    with pytest.raises(ContractError) as caught:
        SourceContract.model_validate({"source": "a", "format": "jsonl", "pull": {"url": url}})
    assert "hunter2" not in str(caught.value)


def test_a_section_with_a_typo_says_what_was_meant() -> None:
    """Keys of the section are suggested, and what the pattern lacks is reported with the file."""
    text = "source: a\nformat: jsonl\npull: {url: '/x/{date}', pol_days: 2}\n"
    with pytest.raises(ContractError, match=r"pull.pol_days: there is no such key.*did you mean 'poll_days'"):
        parse_contract(text, file="a.yaml")
    with pytest.raises(ContractError, match=r"a.yaml.*pull.url: does not say the year"):
        parse_contract("source: a\nformat: jsonl\npull: {url: /x/y}\n", file="a.yaml")
    with pytest.raises(ContractError, match=r"pull.poll_days"):
        parse_contract("source: a\nformat: jsonl\npull: {url: '/x/{date}', poll_days: 0}\n", file="a.yaml")


def test_where_files_come_from_changes_no_hash() -> None:
    """Moving the files to another place makes no day dirty and routes nothing again."""
    dropped = SourceContract(source="a", format="jsonl")
    pulled = SourceContract.model_validate({"source": "a", "format": "jsonl", "pull": {"url": "/x/{date}"}})
    assert pulled.content_hash == dropped.content_hash
    assert pulled.routing_hash(DAY) == dropped.routing_hash(DAY)


def test_a_wild_segment_matches_whole_names() -> None:
    """Other characters than the two wildcards stand for themselves."""
    assert segment_regex("a*[1].csv").fullmatch("ab[1].csv")
    assert not segment_regex("a?.csv").fullmatch("abc.csv")
    assert not segment_regex("*.csv").fullmatch("a_csv")

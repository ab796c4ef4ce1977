"""What is a row of a Parquet file, and which files are refused; read as landing reads them, under guard."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_data_platform.errors import FileTooLargeError, LandingError
from ml_data_platform.events.contracts import SourceContract
from ml_data_platform.landing import guarded, lines
from ml_data_platform.landing.limits import Limits
from ml_data_platform.landing.readers import read_chunks

PARQUET = SourceContract(source="shop", format="parquet", schema_version=2)
GOOD = {"user_id": [7, 8], "session_uuid": ["s", None], "event_type": ["search", "x"], "event_timestamp": [1, 2**62]}


def write(path: Path, columns: dict[str, object], **options: object) -> Path:
    """Write a Parquet file."""
    pq.write_table(pa.table(columns), path, **options)
    return path


def read(path: Path, contract: SourceContract = PARQUET) -> list[tuple[int, object, str | None]]:
    """Return the rows of a file, the landed text parsed by Python."""
    rows = []
    for chunk in read_chunks(path, contract):
        assert chunk.schema.names == ["source_row", "landed", "defect"]
        assert 0 < chunk.num_rows <= 131_072
        rows += [(row["source_row"], json.loads(row["landed"]), row["defect"]) for row in chunk.to_pylist()]
    return rows


def test_rows_are_objects_of_typed_values(tmp_path):
    """A row has all columns, in order, with null where there is no value."""
    expected = [
        (1, {"user_id": 7, "session_uuid": "s", "event_type": "search", "event_timestamp": 1}, None),
        (2, {"user_id": 8, "session_uuid": None, "event_type": "x", "event_timestamp": 2**62}, None),
    ]
    path = write(tmp_path / "a.parquet", GOOD)
    assert read(path) == expected
    (tmp_path / "a").write_bytes(gzip.compress(path.read_bytes()))
    assert read(tmp_path / "a") == expected


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "brotli", "lz4"])
def test_rows_keep_their_number_over_groups_and_batches(tmp_path, compression):
    """Numbers count on over row groups of any size and every codec."""
    count = 20_011
    columns = {name: [f"{name}-{n}" for n in range(1, count + 1)] for name in GOOD}
    path = write(tmp_path / "a.parquet", columns, row_group_size=7_001, compression=compression)
    assert [(row[0], row[1]["user_id"]) for row in read(path)] == [(n, f"user_id-{n}") for n in range(1, count + 1)]


def test_a_file_without_rows_has_none(tmp_path):
    """Columns alone are no rows."""
    assert read(write(tmp_path / "a.parquet", {name: pa.array([], pa.string()) for name in GOOD})) == []


def claimed_texts(values: list[bytes]) -> pa.Array:
    """A column of text that is not."""
    return pa.StringArray.from_buffers(len(values), *pa.array(values, pa.binary()).buffers()[1:])


def test_texts_that_are_not_utf8_cost_their_row(tmp_path):
    """A row whose text is other bytes, also further in, is malformed and legible; its neighbours are untouched."""
    nested = pa.StructArray.from_arrays(
        [claimed_texts([b"1", b"2", b"3", b"\xfe"]), pa.array([1, 2, 3, 4])], names=["text", "no"]
    )
    columns = {name: ["x"] * 4 for name in GOOD}
    columns |= {"user_id": claimed_texts([b"a", b"\xff\xfe", b"c", b"d"]), "page": nested}
    got = read(write(tmp_path / "a.parquet", columns))
    assert [(row[0], row[2]) for row in got] == [(1, None), (2, "malformed_row"), (3, None), (4, "malformed_row")]
    assert json.loads(got[1][1]["_unparsed"])["user_id"] == "\\xff\\xfe"
    assert json.loads(got[3][1]["_unparsed"])["page"] == "not UTF-8"
    assert [got[0][1]["page"], got[2][1]["page"]] == [{"text": "1", "no": 1}, {"text": "3", "no": 3}]


def test_rows_beyond_the_limit_are_malformed(tmp_path):
    """A row of 10 MB is one malformed row with bounded text, and not the end of the file."""
    half = lines.MAX_ROW_BYTES // 2 + 1
    columns = {
        **{name: ["x"] * 4 for name in GOOD},
        "page": ["p", "y" * 10_000_000, "q", "z" * half],
        "more": [["p"], ["q"], None, ["z" * half]],
    }
    got = read(write(tmp_path / "a.parquet", columns))
    assert [(row[0], row[2]) for row in got] == [(1, None), (2, "malformed_row"), (3, None), (4, "malformed_row")]
    assert [row[1]["page"] for row in got[::2]] == ["p", "q"]
    assert all(len(row[1]["_unparsed"]) == lines.UNPARSED_CHARACTERS for row in got[1::2])


def test_columns_that_old_writers_left_untyped_are_text(tmp_path):
    """Bytes without a text type, dictionaries and 96-bit times far away land as what they mean."""
    columns = {
        **GOOD,
        "user_id": [b"7", b"8"],
        "event_type": pa.array(["search", "x"]).dictionary_encode(),
        "seen": pa.array([0, 10**16], pa.timestamp("us")),
    }
    got = read(write(tmp_path / "a.parquet", columns, use_deprecated_int96_timestamps=True))
    assert [(row[1]["user_id"], row[1]["event_type"], row[1]["seen"]) for row in got] == [
        ("7", "search", "1970-01-01 00:00:00.000000"),
        ("8", "x", "2286-11-20 17:46:40.000000"),
    ]


@pytest.mark.parametrize(
    ("columns", "changes", "reason"),
    [
        ({"user_id": [1], "session_uuid": [1], "event_type": ["x"]}, {}, "missing=event_timestamp.*got=user_id, "),
        ({**GOOD, "page": [1, 2]}, {"unknown_columns": "freeze"}, "unknown=page"),
        ({**GOOD, " ": [1, 2]}, {"unknown_columns": "freeze"}, "unknown=_column_5"),
        (GOOD, {"columns": {"user_id": "who.id"}}, "missing=who"),
        (GOOD, {"label": "bought"}, "missing=bought"),
    ],
)
def test_files_with_other_columns_are_refused(tmp_path, columns, changes, reason):
    """The schema decides before any row is read, with found and expected."""
    contract = SourceContract.model_validate({**PARQUET.model_dump(exclude_defaults=True), **changes})
    with pytest.raises(LandingError, match=reason):
        read(write(tmp_path / "a.parquet", columns), contract)


TWINS = pa.StructArray.from_arrays([pa.array([1, 2]), pa.array(["a", "b"])], names=["x", "x"])
FAR = pa.array([300_000_000_000_000_000, 0], pa.int64())


@pytest.mark.parametrize(
    ("names", "columns", "repeated"),
    [
        (["user_id"], {}, "user_id"),
        (["_unparsed"], {"client_version": "_unparsed"}, "_unparsed"),
        (["ctx"], {"client_version": "ctx.x"}, "ctx.x"),
        (["ctx", "ctx"], {"client_version": "ctx.y"}, "ctx"),
    ],
)
def test_repeated_columns_are_refused_where_they_are_read(tmp_path, names, columns, repeated):
    """Of two columns or members of one name neither is the one that is meant, and the message names it."""
    values = [*(pa.array(column) for column in GOOD.values()), *[TWINS] * len(names)]
    pq.write_table(pa.Table.from_arrays(values, names=[*GOOD, *names]), tmp_path / "a.parquet")
    contract = SourceContract.model_validate({**PARQUET.model_dump(exclude_defaults=True), "columns": columns})
    with pytest.raises(LandingError, match=rf"repeated={repeated}"):
        read(tmp_path / "a.parquet", contract)


@pytest.mark.parametrize(
    ("columns", "landed"),
    [
        ([("note", ["p", "q"]), ("note", [1, 2])], {"note": "p", "note#2": 1}),
        ([("", ["p", "q"]), (" ", [1, 2])], {"_column_5": "p", "_column_6": 1}),
        ([("_unparsed", ["p", "q"])], {"_unparsed#2": "p"}),
        ([("a#2", [5, 6]), ("a", [1, 2]), ("a", [3, 4])], {"a#2": 5, "a": 1, "a#3": 3}),
        ([("ctx", TWINS)], {"ctx": {"x": 1, "x#2": "a"}}),
        ([("ctx", [[{"k": 1}], None]), ("ctx", TWINS)], {"ctx": [{"k": 1}], "ctx#2": {"x": 1, "x#2": "a"}}),
        ([("at", FAR.cast(pa.timestamp("us", "UTC")))], {"at": "11476-08-15 05:20:00.000000Z"}),
        (
            [("ctx", pa.StructArray.from_arrays([FAR.cast(pa.timestamp("us", "UTC")), FAR], names=["at", "n"]))],
            {"ctx": {"at": "11476-08-15 05:20:00.000000Z", "n": 300_000_000_000_000_000}},
        ),
        (
            [("ctx", pa.StructArray.from_arrays([FAR.cast(pa.timestamp("ms"))], names=["at"]))],
            {"ctx": {"at": "<value out of range: 300000000000000000>"}},
        ),
        (
            [("list", pa.ListArray.from_arrays([0, 1, 2], FAR.cast(pa.timestamp("us"))))],
            {"list": ["11476-08-15 05:20:00.000000"]},
        ),
        ([("for", FAR.cast(pa.duration("s")))], {"for": "300000000000000000"}),
        (
            [
                (
                    "ctx",
                    pa.StructArray.from_arrays(
                        [pa.array([1, 2]).cast(pa.timestamp("us", "Mars/Olympus"))], names=["at"]
                    ),
                )
            ],
            {"ctx": {"at": "1970-01-01 00:00:00.000001Z"}},
        ),
        ([("day", pa.array([43_200_000, 0], pa.int64()).view(pa.date64()))], {"day": "1970-01-01"}),
    ],
)
def test_a_column_that_nobody_reads_refuses_no_file(tmp_path, columns, landed):
    """Names that are blank, repeated or reserved, and values that Python cannot hold: each lands under a name, as text."""
    values = [*(pa.array(column) for column in GOOD.values()), *(pa.array(values) for _, values in columns)]
    pq.write_table(pa.Table.from_arrays(values, names=[*GOOD, *(name for name, _ in columns)]), tmp_path / "a.parquet")
    first, second = read(tmp_path / "a.parquet")
    assert first == (1, {**{name: values[0] for name, values in GOOD.items()}, **landed}, None)
    assert (second[0], second[1]["user_id"], second[2]) == (2, 8, None)


def test_a_time_beyond_python_in_a_column_that_is_read_costs_its_row_only(tmp_path):
    """The other row is as in a file without it, to the byte."""
    times = pa.array([300_000_000_000_000_000, 1_780_300_000_000_000], pa.int64()).cast(pa.timestamp("us", "UTC"))
    columns = {name: values for name, values in GOOD.items() if name != "event_timestamp"}
    contract = SourceContract(
        source="shop", format="parquet", schema_version=1, columns={"session_id": "session_uuid", "timestamp": "ctx.at"}
    )
    whole = pa.table({**columns, "ctx": pa.StructArray.from_arrays([times], names=["at"])})
    pq.write_table(whole, tmp_path / "a.parquet")
    pq.write_table(whole.slice(1), tmp_path / "b.parquet")
    first, second = read(tmp_path / "a.parquet", contract)
    assert first[1]["ctx"] == {"at": "11476-08-15 05:20:00.000000Z"}
    assert [second[1]] == [row[1] for row in read(tmp_path / "b.parquet", contract)]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda whole: whole[: len(whole) // 2], "truncated"),
        (lambda whole: whole[:-1], "truncated"),
        (lambda whole: b"PAR1", "truncated"),
        (lambda whole: whole[:100] + bytes(byte ^ 0x5A for byte in whole[100:400]) + whole[400:], "damaged"),
        (lambda whole: whole[:-30] + b"\xff" * 20 + whole[-10:], "damaged"),
        (lambda whole: whole[:-8] + b"\xff\xff\xff\x7f" + whole[-4:], "damaged"),
        (lambda whole: b"user_id,session_uuid\n1,2\n", "not Parquet.*got=user_id"),
        (lambda whole: b"PK\x03\x04" + whole, "not Parquet.*zip archive"),
        (lambda whole: gzip.compress(whole)[:-9], "gzip data ends"),
        (lambda whole: gzip.compress(b"x"), "not Parquet"),
    ],
)
def test_damaged_and_foreign_files_are_refused_as_a_whole(tmp_path, damage, reason):
    """However much of a file could be read, it is refused with the cause."""
    columns = {name: [f"{name}{n * n}" for n in range(3_000)] for name in GOOD}
    whole = write(tmp_path / "whole", columns, compression="zstd", write_page_checksum=True).read_bytes()
    (tmp_path / "a.parquet").write_bytes(damage(whole))
    with pytest.raises(LandingError, match=reason):
        read(tmp_path / "a.parquet")


def test_a_dictionary_that_stands_for_terabytes_is_refused(tmp_path):
    """Two million rows of the same 900 kB in a file of 100 kB, of which the footer says little, end in bounded time."""
    same = pa.DictionaryArray.from_arrays(pa.array([0] * 2_000_000, pa.int32()), pa.array(["x" * 900_000]))
    path = write(tmp_path / "a.parquet", dict.fromkeys(GOOD, same))
    footer = pq.read_metadata(path)
    assert sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups)) < 10_000_000
    assert path.stat().st_size < 1_000_000
    with pytest.raises(LandingError, match="decode to more than the memory"):
        read(path)


@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_BYTE_ARRAY"])
def test_pages_that_are_larger_than_memory_are_refused(tmp_path, encoding):
    """Neither the size that a page declares nor shared prefixes take more memory than a file may have."""
    values = ["y" * 100_000_000] if encoding == "PLAIN" else ["y" * 900_000] * 200
    path = write(
        tmp_path / "a.parquet", {"a": values}, use_dictionary=False, column_encoding=encoding, compression="zstd"
    )
    assert path.stat().st_size < 1_000_000
    with (
        pytest.raises(LandingError, match=r"decode to more than the memory.*at most 67,108,864 bytes"),
        guarded.read_parquet(path, tmp_path, limits=Limits(decoded_bytes=64 * 1024 * 1024)) as (_, _, tables),
    ):
        list(tables)


def test_more_text_than_a_file_of_its_size_holds_is_refused(tmp_path):
    """Rows that cost their producer nothing are cut off before they fill a disk."""
    same = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["x" * 5_000]))
    path = write(tmp_path / "a.parquet", dict.fromkeys(GOOD, same))
    assert path.stat().st_size < 100_000
    with (
        pytest.raises(FileTooLargeError, match=r"far more than a file of its size.*`max_unzipped_size`"),
        guarded.read_parquet(path, tmp_path, limits=Limits(unzipped_bytes=64 * 1024 * 1024)) as (_, _, tables),
    ):
        list(tables)


def test_a_decoder_that_crashes_is_the_files_fault(tmp_path, monkeypatch):
    """A process that dies in the middle refuses the file; rows that it had sent are not taken for all."""
    path = write(tmp_path / "a.parquet", GOOD)
    real = subprocess.Popen
    crash = (
        "import os, runpy, signal, sys; import ml_data_platform.landing.parquet as p; real = p.read_rows\n"
        "def dying(*a):\n    yield from real(*a)\n    sys.stdout.flush(); os.kill(os.getpid(), signal.SIGSEGV)\n"
        "p.read_rows = dying\nfrom ml_data_platform.landing.guarded import main\nsys.exit(main(sys.argv[1:]))"
    )
    monkeypatch.setattr(
        guarded.subprocess,
        "Popen",
        lambda command, **options: real([sys.executable, "-c", crash, *command[3:]], **options),
    )
    with pytest.raises(LandingError, match="SIGSEGV"):
        read(path)


def test_the_guarded_process_ends_with_its_reader(tmp_path):
    """Whoever stops reading leaves no process behind."""
    path = write(tmp_path / "a.parquet", {name: list(range(300_000)) for name in GOOD})
    with guarded.read_parquet(path, tmp_path) as (names, _, tables):
        assert names == list(GOOD)
        assert next(tables).num_rows > 0
    with pytest.raises(subprocess.SubprocessError):
        subprocess.run(["pgrep", "-f", str(path)], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Limits(rows=1), r"at most 1 rows.*got=2.*`max_file_rows`"),
        (Limits(columns=1), r"at most 1 columns.*`max_file_columns`"),
    ],
)
def test_what_a_footer_says_is_compared_with_the_limits_before_reading(tmp_path, limits, says):
    """Too many rows or columns refuse the file by its footer, whatever its pages hold."""
    path = write(tmp_path / "a.parquet", {"a": [1, 2], "b": [3, 4]})
    with (
        pytest.raises(FileTooLargeError, match=says),
        guarded.read_parquet(path, tmp_path, limits=limits) as (_, _, tables),
    ):
        list(tables)

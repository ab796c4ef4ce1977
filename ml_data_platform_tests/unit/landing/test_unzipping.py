"""A gzip may not decode to far more than a file of its size holds."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ml_data_platform.errors import LandingError
from ml_data_platform.events.contracts import parse_contract
from ml_data_platform.landing.guarded import read_parquet
from ml_data_platform.landing.limits import Limits
from ml_data_platform.landing.lines import MAX_UNZIPPED_PER_BYTE, open_landed
from ml_data_platform.landing.readers import read_chunks

MEGABYTE = 1_000_000


def bomb(path: Path, line: bytes) -> Path:
    """Write a gzip of 20 MB of equal lines."""
    path.write_bytes(gzip.compress(line * (20 * MEGABYTE // len(line)), mtime=0))
    assert path.stat().st_size * MAX_UNZIPPED_PER_BYTE < 20 * MEGABYTE
    return path


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_bomb_is_refused_with_the_bound(tmp_path, form):
    """Reading ends at the bound, and the message names it and the setting."""
    line = b"u,s,search,1\n" if form == "csv" else json.dumps({"user_id": "u"}).encode() + b"\n"
    path = bomb(tmp_path / "bomb.gz", b"user_id,session_uuid,event_type,event_timestamp\n" + line * 1000)
    columns = "columns: {user_id: user_id, session_uuid: session_uuid, event_type: event_type, event_timestamp: event_timestamp}"
    contract = parse_contract(f"source: a\nformat: {form}\nschema_version: 2\n{columns}\n", file="a.yaml")
    with pytest.raises(LandingError) as caught:
        for _ in read_chunks(path, contract, scratch=tmp_path, limits=Limits(unzipped_bytes=9 * MEGABYTE)):
            pass
    allowed = max(9 * MEGABYTE, MAX_UNZIPPED_PER_BYTE * path.stat().st_size)
    assert f"at most {allowed:,} bytes" in str(caught.value)
    assert "max_unzipped_size" in str(caught.value)


def test_a_bomb_around_parquet_is_refused_before_the_disk_is_full(tmp_path):
    """The guarded process stops at the bound too."""
    path = bomb(tmp_path / "bomb.gz", b"PAR1" * 250)
    with (
        pytest.raises(LandingError, match="decodes to far more"),
        read_parquet(path, tmp_path, limits=Limits(unzipped_bytes=9 * MEGABYTE)),
    ):
        pass
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 12 * MEGABYTE


def test_within_the_bound_or_of_a_usual_ratio_all_is_read(tmp_path):
    """Neither a small file of any ratio nor a large one that shrinks as logs do is refused."""
    small = bomb(tmp_path / "small.gz", b"x\n")
    with open_landed(small, limits=Limits(unzipped_bytes=20 * MEGABYTE)) as stream:
        assert len(stream.read()) == 20 * MEGABYTE
    usual = tmp_path / "usual.gz"
    usual.write_bytes(gzip.compress(b"".join(b"%d\n" % number for number in range(10_000)), mtime=0))
    with open_landed(usual, limits=Limits(unzipped_bytes=1)) as stream:
        assert len(stream.read()) == 48_890

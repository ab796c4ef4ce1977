"""A real PostgreSQL server on 127.0.0.1, for the tests of a history that is kept in one.

Belongs here: making, starting and ending a cluster of its own. Does not belong here: what is kept in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from ml_data_platform_tests.e2e.dagster_process import free_port

USER = "postgres"
SECONDS = "300"
DEBIAN = "/usr/lib/postgresql/*/bin/pg_ctl"


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run a server while the block runs; yields the URL of its database.

    Where PostgreSQL is not installed, the test is skipped and says how to get it.
    """
    found = shutil.which("pg_ctl") or next(map(str, sorted(Path("/").glob(DEBIAN.lstrip("/")))), None)
    if found is None:
        pytest.skip("PostgreSQL is not installed; `make postgres` installs it")
    program, port = Path(found).resolve(), free_port()
    # Not below pytest's own folder, which only the user of the tests may enter.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        data = Path(folder, "cluster")
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        run(program.with_name("initdb"), "-D", data, "-U", USER, "-A", "trust", "--no-sync")
        options = f"-p {port} -h 127.0.0.1 -k '' -c fsync=off"
        run(program, "start", "-w", "-t", SECONDS, "-D", data, "-o", options, "-l", data / "log")
        try:
            yield f"postgresql+psycopg2://{USER}@127.0.0.1:{port}/postgres"
        finally:
            run(program, "stop", "-w", "-t", SECONDS, "-D", data, "-m", "fast")


def run(*command: object) -> None:
    """Run a program of PostgreSQL, as its own user where this one is root, which it refuses."""
    as_user: Sequence[str] = ("runuser", "-u", USER, "--") if os.geteuid() == 0 else ()
    # Not a pipe: the server would hold it open.
    with tempfile.TemporaryFile() as out:
        done = subprocess.run(
            [*as_user, *map(str, command)], cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False
        )
        out.seek(0)
        assert done.returncode == 0, out.read().decode(errors="replace")[-2000:]

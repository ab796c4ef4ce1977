"""A pull that is killed goes on where it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from ml_data_platform_tests.file_server import Handler, serving
from ml_data_platform_tests.pipeline_root import day
from ml_data_platform_tests.pull_root import SOURCE, landed_rows, offer, outcomes, pull, root_pulling

FILES = 12
PATIENCE_SECONDS = 300


def test_a_killed_pull_goes_on_where_it_was(tmp_path: Path) -> None:
    """After SIGKILL in the middle of a download the next pull fetches what is missing, and every row is there once."""
    killed = threading.Event()
    with serving() as server:
        root = root_pulling(tmp_path, f"{server.url}/{{date}}.jsonl")
        for number in range(1, FILES + 1):
            server.files[f"/{day(number)}.jsonl"] = offer(day(number), number, "a").content

        def stuck(handler: Handler) -> bool:
            handler.start(200, server.files[handler.path])
            handler.wfile.write(server.files[handler.path][:50])
            handler.wfile.flush()
            killed.wait(PATIENCE_SECONDS)
            return True

        server.fail(f"/{day(8)}.jsonl", stuck)
        command = [sys.executable, "-c", "from ml_data_platform.cli import main; main()", "land", "--source", SOURCE]
        days = ["--from", str(day(1)), "--to", str(day(FILES))]
        places = ["--root", str(root.folder), "--sources", str(root.settings.sources)]
        environment = {**os.environ, "ML_DATA_PLATFORM_START_DATE": str(day(1))}
        process = subprocess.Popen([*command, *days, *places], env=environment, stdout=subprocess.DEVNULL)
        ledger = root.folder / "ledger" / "_pulled" / SOURCE
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and len(list(ledger.glob("*/*.json"))) < 7:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed.set()
        noted = {path.parent.name for path in ledger.glob("*/*.json")}
        assert len(noted) >= 7
        assert str(day(8)) not in noted
        server.requests.clear()
        report = pull(root, 1, FILES)
        fetched = {path.removeprefix("/").removesuffix(".jsonl") for path in server.asked("GET")}
        assert fetched == {str(day(number)) for number in range(1, FILES + 1)} - noted
        assert report.refused == []
        assert landed_rows(root) == {str(day(number)): number for number in range(1, FILES + 1)}
        root.platform.store.recover()
        assert list((root.folder / "_store" / "tmp").iterdir()) == []
        assert set(outcomes(pull(root, 1, FILES)).values()) == {"unchanged"}

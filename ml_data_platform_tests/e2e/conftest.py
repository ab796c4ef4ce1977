"""What both files of this folder share: what the UI shows at one moment, and a page of a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from ml_data_platform.stages.state import TABLES
from ml_data_platform_tests.e2e.user_interface import UserInterface

TEST_SECONDS = 1_800
"""Bound of one test, in which a machine that does other things too starts processes."""
PAGE_SECONDS = 300
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass(frozen=True)
class Seen:
    """What the UI shows: runs by id with their end, partitions by asset, checks by asset."""

    runs: Mapping[str, str]
    partitions: Mapping[str, Mapping[str, str]]
    checks: Mapping[str, Mapping[str, Mapping[str, str]]]

    @classmethod
    def by(cls, ui: UserInterface) -> Seen:
        """Look at everything."""
        return cls(
            {run.run_id: run.status for run in ui.runs()},
            {asset: ui.partitions(asset) for asset in TABLES},
            {asset: ui.checks(asset) for asset in TABLES},
        )

    def of(self, runs: Iterable[str], assets: Iterable[str], day: str) -> Seen:
        """Return no more of it than some runs, some assets and one day."""

        def on_day(days: Mapping[str, str]) -> dict[str, str]:
            return {of: status for of, status in days.items() if of == day}

        kept = list(assets)
        return Seen(
            {run: self.runs[run] for run in runs},
            {asset: on_day(self.partitions[asset]) for asset in kept},
            {asset: {check: on_day(days) for check, days in self.checks[asset].items()} for asset in kept},
        )


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of a headless browser; where there is none, the tests are skipped and say how to get one."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed; `make browser` installs one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        opened = browser.new_page(viewport={"width": 1400, "height": 1300})
        opened.set_default_timeout(PAGE_SECONDS * 1000)
        expect.set_options(timeout=PAGE_SECONDS * 1000)
        yield opened
        browser.close()

"""What a user reads on the asset's page, in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from ml_data_platform_tests.e2e.conftest import GOOD_DAYS, POISONED, TEST_SECONDS, FirstLife, SecondLife

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(TEST_SECONDS)]
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
PAGE_SECONDS = 300
REFUSING_CHECK = "rejected_share_is_within_tolerance"


@pytest.fixture(scope="module")
def page(second_life: SecondLife, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of a headless browser; where there is none, the tests are skipped and say how to get one."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed; `make browser` installs one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        opened = browser.new_page(base_url=second_life.ui.dagster.url, viewport={"width": 1400, "height": 1300})
        opened.set_default_timeout(PAGE_SECONDS * 1000)
        expect.set_options(timeout=PAGE_SECONDS * 1000)
        yield opened
        browser.close()


def test_the_overview_describes_the_asset(page: Page, tmp_path: Path) -> None:
    """Description, columns with their meaning, owner and jobs are on the first page, under no dialog."""
    page.goto("/assets/validated_events")

    expect(page.get_by_text("One row per valid event of the day")).to_be_visible()
    expect(page.get_by_text("Keyed hash of the producer's user id")).to_be_visible()
    expect(page.get_by_text("timestamp[us, tz=UTC]")).to_be_visible()
    expect(page.get_by_text("refresh_day")).to_be_visible()
    assert page.get_by_role("dialog").count() == 0
    assert page.screenshot(path=tmp_path / "overview.png").startswith(b"\x89PNG")


def test_the_partitions_are_green_and_the_refused_one_is_red(page: Page, first_life: FirstLife) -> None:
    """The page of a built day shows when and by which job it was materialised; the refused day shows that it failed."""
    page.goto(f"/assets/validated_events?view=partitions&partition={GOOD_DAYS[0]}")

    expect(page.get_by_text("Failed (1)")).to_be_visible()
    expect(page.get_by_text("Materialized", exact=True)).to_be_visible()
    expect(page.get_by_text("published_rows")).to_be_visible()
    page.goto(f"/assets/validated_events?view=partitions&partition={POISONED}")
    expect(page.get_by_text("failed, and did not materialize this asset")).to_be_visible()


def test_the_checks_are_named_after_what_holds(page: Page, first_life: FirstLife) -> None:
    """Every check is listed; the one that refused a day says that it blocks, what its rule is and what it found."""
    page.goto(f"/assets/validated_events?view=checks&checkDetail={REFUSING_CHECK}")

    expect(page.get_by_text(f"Checks ({len(first_life.seen.checks['validated_events'])})")).to_be_visible()
    expect(page.get_by_text("event_ids_are_unique").first).to_be_visible()
    expect(
        page.get_by_text("Of no source do over 5 % of the day's raw rows, and 3 or more, fail a row rule").first
    ).to_be_visible()
    expect(page.get_by_text("blocking", exact=True).first).to_be_visible()
    expect(page.get_by_text("observed_value").first).to_be_visible()

"""Debian's Chromium on the dashboard; a page that is watched for what it must never do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.browser.seeding import Seed
from tests.integration.api.conftest import serving
from tests.integration.conftest import SAMPLE, System, make_remote, running

#: Debian's Chromium without its windows: a page costs a quarter of the processor's time.
CHROMIUM = "/usr/bin/chromium-headless-shell"
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: A loaded machine takes its time; what comes at all comes at once.
WITHIN_MS = 30_000
ROOT = Path(__file__).parents[2]
#: `docs/dashboard.md` shows these pictures; all others are for those who look at the page.
SHOWN = ("list-light", "panel-light", "phone-light")
#: Runs before the page's own scripts, and outside of its policy.
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation",
  (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


@dataclass
class Dashboard:
    """The page as its reader meets it."""

    page: Page
    url: str
    faults: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def open(self, hash_: str = "") -> Dashboard:
        """Load the page anew, and wait until it is live and has read all agents."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/{hash_}")
        self.page.get_by_text("Live", exact=True).wait_for()
        self.page.locator('#list[aria-busy="false"]').wait_for()
        return self

    def row(self, agent_id: str) -> Locator:
        """The row of an agent."""
        return self.page.locator(f'[data-id="{agent_id}"]')

    def shown(self) -> list[str]:
        """The tasks in sight, from the top."""
        return self.page.locator(".row.agent .task").all_text_contents()

    def check(self) -> None:
        """No error, no dialog of a script, no breach of the policy has happened."""
        assert self.faults == []
        assert self.page.evaluate("window.violations") == []

    def shot(self, name: str) -> None:
        """Keep what is seen, in light and dark; what a page shows in the documentation's folder."""
        if not os.environ.get("SCREENSHOTS"):
            return
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            self.page.wait_for_timeout(200)
            is_shown = f"{name}-{scheme}" in SHOWN
            folder = ROOT / ("docs/img" if is_shown else "build/screenshots")
            self.page.screenshot(path=folder / f"dashboard-{name}-{scheme}.png")
        self.page.emulate_media(color_scheme="light")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a module: its event loop runs as long, in the way of other tests' own."""
    expect.set_options(timeout=WITHIN_MS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@contextmanager
def browsing(browser: Browser, url: str) -> Iterator[Dashboard]:
    """Give a watched page of its own, without transitions, which is checked in the end."""
    context = browser.new_context(
        viewport={"width": 1440, "height": 860}, color_scheme="light", reduced_motion="reduce"
    )
    context.add_init_script(WATCH)
    page = context.new_page()
    page.set_default_timeout(WITHIN_MS)
    board = Dashboard(page, url.rstrip("/"))
    page.on("pageerror", lambda error: board.faults.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (board.faults.append("a dialog"), dialog.dismiss()))
    page.on("request", lambda request: board.asked.append(request.url.removeprefix(board.url)))
    try:
        yield board
        board.check()
    finally:
        context.close()


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A whole system of scripted agents."""
    home = tmp_path_factory.mktemp("home")
    with running(home, ORCHESTRATOR_AGENT="scripted", MAX_CONCURRENT_AGENTS="4") as started:
        yield started


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A bare remote with a small Python project."""
    return make_remote(tmp_path, SAMPLE)


@pytest.fixture
def board(browser: Browser, system: System) -> Iterator[Dashboard]:
    """The dashboard of the whole system."""
    with browsing(browser, system.api) as opened:
        yield opened


@pytest.fixture
def server(valkey_url: str) -> Iterator[httpx.Client]:
    """The API alone, on a Valkey that is empty: it may remember events of another one."""
    with serving(valkey_url) as (client, _):
        yield client


@pytest.fixture
def seeded(browser: Browser, server: httpx.Client, store) -> Iterator[tuple[Dashboard, Seed]]:
    """The dashboard of a server without workers, and what fills its Valkey."""
    with browsing(browser, str(server.base_url)) as opened:
        yield opened, Seed(store)

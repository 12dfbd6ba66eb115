"""The golden screens of `orch top`; `python -m tests.unit.cli.test_top_screens` writes them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from rich.cells import cell_len

from orchestrator.cli.top.app import TopApp
from orchestrator.models import Usage
from tests.unit.cli.test_top import running, screen
from tests.unit.queries.test_recap import NOW

GOLDEN = Path(__file__).parents[2] / "fixtures" / "top"
WIDTHS = (80, 120)
HEIGHT = 24
WIDE = "修正" * 30
FACTS = screen(
    running("abcdef01-0000", usage=Usage(total_tokens=123), task_id="checkout"),
    running("wide0000-0000", task_id=WIDE, rounds=2),
    *(running(f"{number:08}-rest", task_id=f"task-{number}") for number in range(20)),
)
#: Name → the keys that lead to the screen.
SCREENS = {
    "list": (),
    "kill": ("down", "k"),
    "halt": ("H", *"night"),
    "keys": ("question_mark",),
    "filter": ("slash", *"task-1", "enter"),
}


def lines(app: TopApp) -> list[str]:
    """Return what a terminal shows."""
    return [strip.text for strip in app.screen._compositor.render_strips()]


def shown(name: str, width: int) -> str:
    async def read() -> list[str]:
        app = TopApp(None, lambda: FACTS, every_s=3600, limit_s=5)
        async with app.run_test(size=(width, HEIGHT)) as pilot:
            for key in SCREENS[name]:
                await pilot.press(key)
                await pilot.pause()
            return lines(app)

    # The clock of the head is that of the terminal's time zone.
    text = "\n".join(line.rstrip() for line in asyncio.run(read()))
    return text.replace(f"{NOW.astimezone():%H:%M:%S}", "12:34:56") + "\n"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_the_screen_is_the_golden_one(name, width):
    assert shown(name, width) == (GOLDEN / f"{name}-{width}.txt").read_text("utf-8")


@pytest.mark.parametrize("size", [(80, 24), (20, 5), (200, 60)])
def test_no_line_is_wider_than_the_terminal_also_after_a_resize(size):
    async def read():
        app = TopApp(None, lambda: FACTS, every_s=3600, limit_s=5)
        async with app.run_test(size=(120, 30)) as pilot:
            await pilot.resize_terminal(*size)
            await pilot.pause()
            return lines(app)

    found = asyncio.run(read())
    assert len(found) == size[1]
    assert max(map(cell_len, found)) <= size[0]
    assert any("abcdef01" in line for line in found) or size[1] < 10


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name in SCREENS:
        for width in WIDTHS:
            (GOLDEN / f"{name}-{width}.txt").write_text(shown(name, width), "utf-8")

"""Draws figures as bars in SVG: a bar for each median, and a line for its range."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from tests.bench.results import Figure

_WIDTH = 760
_LABELS = 250
_VALUES = 90
_ROW = 22
_TOP = 44
_COLOURS = ("#2f6f4f", "#8a8f98")


@dataclass(frozen=True)
class Bar:
    """One bar; what is ours has a colour of its own."""

    label: str
    figure: Figure
    is_ours: bool


def draw(title: str, bars: Sequence[Bar], *, is_logarithmic: bool = False) -> str:
    """Return the SVG of bars that share one unit; a logarithmic axis begins at a tenth."""
    most = max(bar.figure.high for bar in bars)

    def x(value: float) -> float:
        share = value / most
        if is_logarithmic:
            least = 0.1
            share = math.log(max(value, least) / least) / math.log(max(most, 1.0) / least)
        return round(_LABELS + share * (_WIDTH - _LABELS - _VALUES), 1)

    height = _TOP + _ROW * len(bars) + 12
    unit = bars[0].figure.unit
    scale = ", logarithmic" if is_logarithmic else ""
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
            f' width="{_WIDTH}" role="img" font-family="sans-serif" font-size="12">'
        ),
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        (
            f'<text x="12" y="24" font-size="14" fill="#1c2128">{escape(title)}'
            f" ({escape(unit)}{scale})</text>"
        ),
    ]
    for row, bar in enumerate(bars):
        y = _TOP + row * _ROW
        one = bar.figure
        end, low, high = x(one.median), x(one.low), x(one.high)
        middle = y + 8
        lines += [
            (
                f'<text x="{_LABELS - 8}" y="{y + 12}" text-anchor="end" fill="#1c2128">'
                f"{escape(bar.label)}</text>"
            ),
            (
                f'<rect x="{_LABELS}" y="{y}" width="{max(end - _LABELS, 1):.1f}" height="16"'
                f' fill="{_COLOURS[not bar.is_ours]}"/>'
            ),
            f'<path d="M{low} {middle}H{high}" stroke="#1c2128"/>',
            (
                f'<text x="{max(end, high) + 6:.1f}" y="{y + 12}" fill="#1c2128">'
                f"{shown(one.median)}</text>"
            ),
        ]
    return "\n".join([*lines, "</svg>", ""])


def shown(value: float) -> str:
    """Return a number with three digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"

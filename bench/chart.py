"""A picture of what was measured: bars in an SVG, for light and dark screens and for screen readers.

Usage: chart.py RESULTS.json PICTURE.svg [TITLE ...]
RESULTS.json is what the option --json has kept. Panels are drawn whose titles begin with one of the
TITLEs (all).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmark import Table
from peer import RAW

WIDTH = 880  # of the picture; the rest follows from it, in pixels
MARGIN = 24
GAP = 40  # between two columns of panels
LINE = 22  # a bar
BAR = 14
HEAD = 44  # of a panel: its two lines of text
FOOT = 22
LABELS = 84  # room for names left of the bars
VALUES = 84  # and for figures right of them

STYLE = """
  svg { font-family: system-ui, -apple-system, "Segoe UI", "Liberation Sans", Arial, sans-serif; }
  .paper { fill: #ffffff; } text { fill: #1f2328; } .quiet { fill: #59636e; }
  .bar { fill: #9aa4af; } .wspy { fill: #0969da; } .raw { fill: #d8dde2; } .strong { font-weight: 600; }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117; } text { fill: #e6edf3; } .quiet { fill: #9198a1; }
    .bar { fill: #6e7681; } .wspy { fill: #4493f8; } .raw { fill: #484f58; }
  }
"""


class Panel(NamedTuple):
    """One workload: a bar for each server."""

    title: str
    figure: str  # what the bars measure
    less_is_better: bool
    bars: Sequence[tuple[str, float]]

    @property
    def height(self) -> int:
        return HEAD + LINE * len(self.bars) + FOOT

    @property
    def words(self) -> str:
        """The panel as a sentence."""
        bars = ", ".join(f"{name} {value:,.0f}" for name, value in self.bars)
        return f"{self.title}, {self.caption}: {bars}."

    @property
    def caption(self) -> str:
        return self.figure + (" (less is better)" if self.less_is_better else "")


def panel_of(table: Table) -> Panel:
    key = table.benchmark.key
    return Panel(
        table.title,
        table.benchmark.figure,
        table.benchmark.less_is_better,
        [
            (peer.name, median(result[peer.name][key] for result in table.results))
            for peer in table.peers
        ],
    )


def kind_of(name: str) -> str:
    """The class of a bar in the style."""
    return "wspy" if name.startswith("wspy") else "raw" if name == RAW.name else "bar"


def text(x: float, y: float, size: int, words: str, kind: str = "", anchor: str = "start") -> str:
    kinds = f' class="{kind}"' if kind else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}"{kinds} text-anchor="{anchor}">'
        f"{escape(words)}</text>"
    )


def rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    place = f'x="{x:g}" y="{y:g}" width="{width:.1f}" height="{height:g}"'
    return f'<rect class="{kind}" {place} rx="2"/>'


def draw_panel(panel: Panel, left: float, top: float, width: float) -> list[str]:
    """The longest bar has the whole room; each panel has a scale of its own, which begins at 0."""
    most = max(value for _, value in panel.bars)
    room = width - LABELS - VALUES
    lines = [
        text(left, top + 14, 14, panel.title, "strong"),
        text(left, top + 32, 12, panel.caption, "quiet"),
    ]
    for number, (name, value) in enumerate(panel.bars):
        x, y = left + LABELS, top + HEAD + number * LINE
        length = max(1.0, room * value / most)
        kind = kind_of(name)
        strong = "strong" if kind == "wspy" else ""
        lines += [
            text(x - 8, y + 12, 12, name, strong, "end"),
            rect(x, y, length, BAR, kind),
            text(x + length + 6, y + 12, 12, f"{value:,.0f}", strong),
        ]
    return lines


def chart(panels: Sequence[Panel], setting: Sequence[str]) -> str:
    """The picture as SVG: panels in two columns, and below how it was measured."""
    columns = min(2, max(1, len(panels)))
    width = (WIDTH - 2 * MARGIN - (columns - 1) * GAP) / columns
    body, top = [], MARGIN
    for first in range(0, len(panels), columns):
        row = panels[first : first + columns]
        for place, panel in enumerate(row):
            body += draw_panel(panel, MARGIN + place * (width + GAP), top, width)
        top += max(panel.height for panel in row)
    lines = list(setting)
    if any(name == RAW.name for panel in panels for name, _ in panel.bars):
        lines.append("raw is a bare loop in C: no server, but a mark of what the kernel allows")
    for number, line in enumerate(lines):
        body.append(text(MARGIN, top + 12 + 16 * number, 11, line, "quiet"))
    height = top + 16 * len(lines) + MARGIN - 8
    words = " ".join(panel.words for panel in panels)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title desc">'
    )
    parts = [
        head,
        '<title id="title">WebSocket servers side by side</title>',
        f'<desc id="desc">{escape(words)}</desc>',
        f"<style>{STYLE}</style>",
        rect(0, 0, WIDTH, height, "paper"),
        *body,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main(source: Path, target: Path, titles: Sequence[str]) -> int:
    data = json.loads(source.read_text(encoding="utf-8"))
    panels = [Panel(**panel) for panel in data["panels"]]
    if titles:
        panels = [panel for panel in panels if panel.title.startswith(tuple(titles))]
    if not panels:
        print("no panel has such a title", file=sys.stderr)
        return 1
    target.write_text(chart(panels, data["setting"]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))

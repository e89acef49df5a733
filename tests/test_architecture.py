"""The table of rooms in docs/architecture.md: all are there, and each includes only what it may."""

from __future__ import annotations

import re

from support import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CORE = ROOT / "csrc" / "core"
HEADERS = {"ws"}  # of no room: the faces of several
# "Two calls go down the table."
DOWN = {("dispatch", "call"), ("dispatch", "guest")}


def lines_of_rooms() -> dict[str, int]:
    """Each room, and its line in the table."""
    table = PAGE.partition("Two calls go down the table")[0]
    cells = re.findall(r"^\| (`[^|]*`) \|", table, re.MULTILINE)
    return {room: line for line, cell in enumerate(cells) for room in re.findall(r"`(\w+)`", cell)}


def test_every_file_of_the_core_has_a_room() -> None:
    assert {path.stem for path in CORE.glob("*.[ch]")} - HEADERS == lines_of_rooms().keys()


def test_a_room_knows_none_below_its_line() -> None:
    lines = lines_of_rooms()
    down = {
        (path.stem, room)
        for path in CORE.glob("*.[ch]")
        for room in re.findall(r'^#include "(\w+)\.h"', path.read_text(), re.MULTILINE)
        if path.stem in lines and room in lines and lines[room] > lines[path.stem]
    }
    assert down == DOWN

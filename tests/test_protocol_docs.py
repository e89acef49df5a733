"""docs/protocol.md, every listing of it."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
from typing import Any

from support import ROOT

import wspy
import wspy.events

PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


def test_the_page() -> None:
    """Its listings run in one program; where a block of output follows, they print it."""
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```(python)?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert [kind for kind, _ in blocks].count("python") == 6
    said = ""
    for kind, block in blocks:
        if not kind:
            assert said.replace("\r\n", "\n").strip() == block.strip()
            continue
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(block, "docs/protocol.md", "exec"), names)  # noqa: S102
        said = out.getvalue()


def test_the_page_names_all_that_there_is() -> None:
    public = [name for name in dir(wspy.Protocol) if not name.startswith("_")]
    arguments = list(inspect.signature(wspy.Protocol).parameters)
    for name in [*public, *arguments, *wspy.events.__all__]:
        if name not in ("role", "state", "is_open", "opened"):  # their docstrings say it all
            assert re.search(rf"\b{name}\b", PAGE), name

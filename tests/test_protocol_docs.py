"""docs/protocol.md, every listing of it, and the examples in the docstrings of Protocol."""

from __future__ import annotations

import contextlib
import doctest
import inspect
import io
import re
from types import ModuleType
from typing import Any

import pytest
from support import ROOT

import wspy
import wspy.events
import wspy.protocol
from wspy import _core

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


def examples(module: ModuleType) -> list[doctest.DocTest]:
    return [test for test in doctest.DocTestFinder().find(module) if test.examples]


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (wspy.events, {"wspy.events"}),
        (wspy.protocol, {"wspy.protocol.Protocol", "wspy.protocol.Protocol.accept"}),
    ],
    ids=["events", "protocol"],
)
def test_the_examples_of_a_module(module: ModuleType, names: set[str]) -> None:
    found = {test.name: test for test in examples(module)}
    assert set(found) == names
    for test in found.values():
        check(test)


@pytest.mark.parametrize(
    "name", ["receive", "receive_eof", "send", "ping", "close", "data_to_send"]
)
def test_the_example_of_a_method(name: str) -> None:
    text = inspect.getdoc(getattr(_core.Protocol, name))
    assert text
    test = doctest.DocTestParser().get_doctest(text, {"wspy": wspy}, name, None, None)
    assert test.examples
    check(test)


def check(test: doctest.DocTest) -> None:
    said: list[str] = []
    runner = doctest.DocTestRunner()
    test.globs["wspy"] = wspy
    runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)

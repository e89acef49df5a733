"""The examples in the docstrings: of wspy's modules, and of what the extension has for them."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import pytest

import wspy


def modules() -> Iterator[ModuleType]:
    yield wspy
    for found in pkgutil.walk_packages(wspy.__path__, "wspy."):
        if found.name.rpartition(".")[2] != "__main__":
            yield importlib.import_module(found.name)


def examples() -> Iterator[doctest.DocTest]:
    """Those of each module, also of what it shows of the extension. They have ``wspy`` imported."""
    finder = doctest.DocTestFinder()
    seen = set()
    for module in modules():
        for test in finder.find(module, extraglobs={"wspy": wspy}):
            if test.examples and test.name not in seen:
                seen.add(test.name)
                yield test


EXAMPLES = {test.name: test for test in examples()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str) -> None:
    said: list[str] = []
    runner = doctest.DocTestRunner()
    runner.run(EXAMPLES[name], out=said.append)
    assert runner.failures == 0, "".join(said)
    assert runner.tries == len(EXAMPLES[name].examples)


def test_where_examples_have_to_be() -> None:
    """They are found in both layers, however they are found."""
    needed = {
        "wspy.sha1",
        "wspy.frames",
        "wspy.frames.calcsize",
        "wspy.frames.pack",
        "wspy.frames.pack_into",
        "wspy.frames.unpack",
        "wspy.frames.unpack_from",
        "wspy.frame.Frame",
        "wspy.frame.Opcode",
        "wspy.handshake.Request.answer",
        "wspy.handshake.accept_key",
        "wspy.handshake.make_key",
        "wspy.handshake.parse_request",
        "wspy.errors.HandshakeError",
    }
    assert needed <= EXAMPLES.keys()

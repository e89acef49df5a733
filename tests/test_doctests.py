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
        "wspy.Poller",
        "wspy.Poller.close",
        "wspy.Poller.fileno",
        "wspy.Poller.modify",
        "wspy.Poller.poll",
        "wspy.Poller.register",
        "wspy.Poller.unregister",
        "wspy._core.Protocol.close",
        "wspy._core.Protocol.data_to_send",
        "wspy._core.Protocol.ping",
        "wspy._core.Protocol.receive",
        "wspy._core.Protocol.receive_eof",
        "wspy._core.Protocol.send",
        "wspy._core.Server.publish_packed",
        "wspy._core.Server.register",
        "wspy._core.Struct",
        "wspy._core.Struct.iter_unpack",
        "wspy._core.Struct.pack",
        "wspy._core.Struct.pack_into",
        "wspy._core.Struct.unpack",
        "wspy._core.Struct.unpack_from",
        "wspy._core.calcsize",
        "wspy._core.iter_unpack",
        "wspy._core.pack",
        "wspy._core.pack_into",
        "wspy._core.unpack",
        "wspy._core.unpack_from",
        "wspy.errors.HandshakeError",
        "wspy.events",
        "wspy.frame.Frame",
        "wspy.frame.Opcode",
        "wspy.frames",
        "wspy.frames.calcsize",
        "wspy.frames.pack",
        "wspy.frames.pack_into",
        "wspy.frames.unpack",
        "wspy.frames.unpack_from",
        "wspy.handshake.Request.answer",
        "wspy.handshake.accept_key",
        "wspy.handshake.make_key",
        "wspy.handshake.parse_request",
        "wspy.protocol.Protocol",
        "wspy.protocol.Protocol.accept",
        "wspy.protocol.Protocol.reject",
        "wspy.sha1",
        "wspy.sha1.copy",
        "wspy.sha1.digest",
        "wspy.sha1.hexdigest",
        "wspy.sha1.update",
    }
    assert needed <= EXAMPLES.keys()

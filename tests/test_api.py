"""What the package shows: names, signatures, docstrings."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest
from support import ROOT

import wspy
from wspy import _core

SERVER = ["broadcast", "call_later", "call_soon", "connections", "every", "fileno", "get",
          "modify", "on_close", "on_drain", "on_error", "on_json", "on_message", "on_open",
          "on_ping", "on_pong", "page", "port", "publish", "publish_json", "publish_packed",
          "register", "run", "serve", "start_in_thread", "start_serving", "stats", "step",
          "stop", "strategy", "subscribers", "topics", "unregister", "url", "wait_closed"]  # fmt: skip
CONNECTION = ["backlog", "close", "close_code", "close_kind", "close_reason", "compression",
              "drain", "dropped", "headers", "id", "is_open", "latency", "pack", "path", "ping", "publish", "query", "remote_address",
              "send", "send_json", "sent_close", "server", "stream", "subprotocol", "subscribe",
              "topics", "unsubscribe", "wait_closed"]  # fmt: skip
PROTOCOL = ["accept", "close", "close_code", "close_kind", "close_reason", "data_to_send", "is_open",
            "opened", "ping", "receive", "receive_eof", "reject", "role", "send", "sent_close",
            "should_close", "state", "subprotocol"]  # fmt: skip


def test_names_of_the_package() -> None:
    assert set(wspy.__all__) == {
        "Compression",
        "Connection",
        "ConnectionClosed",
        "Headers",
        "Protocol",
        "POLLERR",
        "POLLHUP",
        "POLLIN",
        "POLLNVAL",
        "POLLOUT",
        "POLLPRI",
        "Poller",
        "Server",
        "ServerThread",
        "Stream",
        "Struct",
        "StructError",
        "Timer",
        "__version__",
        "calcsize",
        "frames",
        "handshake",
        "iter_unpack",
        "pack",
        "pack_into",
        "sha1",
        "unpack",
        "unpack_from",
    }
    assert re.fullmatch(r"\d+\.\d+\.\d+", wspy.__version__)


# A run without async handlers, which ends with what is no Exception.
WITHOUT_ASYNCIO = """
import sys
import wspy

server = wspy.Server(port=0)

class Cancelled(BaseException):
    pass

@server.on_message(thread=True)
def on_message(conn, message):
    pass

def stop():
    raise Cancelled

server.call_soon(stop)
try:
    server.run()
except Cancelled:
    pass
else:
    raise AssertionError("it was not raised")
assert "aio" in dir(wspy)
assert "asyncio" not in sys.modules
assert wspy.aio.serve is sys.modules["wspy.aio"].serve
assert "asyncio" in sys.modules
try:
    wspy.nothing
except AttributeError as exc:
    assert "'wspy'" in str(exc) and "'nothing'" in str(exc), exc
"""


def test_asyncio_is_imported_by_those_who_run_in_it() -> None:
    """It takes as long to import as all of wspy."""
    subprocess.run([sys.executable, "-c", WITHOUT_ASYNCIO], check=True, timeout=60)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (wspy.Server, SERVER),
        (wspy.Connection, CONNECTION),
        (wspy.Stream, ["write"]),
        (wspy.Timer, ["active", "cancel"]),
        (wspy.Protocol, PROTOCOL),
        (
            wspy.Poller,
            ["close", "closed", "fileno", "modify", "poll", "register", "strategy", "unregister"],
        ),
    ],
)
def test_names_of_a_type(kind: type, names: list[str]) -> None:
    assert [name for name in dir(kind) if not name.startswith("_")] == names


@pytest.mark.parametrize(
    "kind",
    [
        wspy.Server,
        wspy.Connection,
        wspy.Stream,
        wspy.Timer,
        wspy.Poller,
        wspy.ConnectionClosed,
        wspy.Headers,
        wspy.Protocol,
        _core.Protocol,
    ],
)
def test_everything_public_has_a_docstring(kind: type) -> None:
    assert kind.__doc__
    for name, member in vars(kind).items():
        if not name.startswith("_"):
            assert inspect.getdoc(member), name


@pytest.mark.parametrize("kind", [_core.Server, wspy.Connection, wspy.Stream, wspy.Timer])
def test_the_kind_of_every_call_is_told(kind: type) -> None:
    for name, member in vars(kind).items():
        if not name.startswith("__"):
            assert re.search(r"Direct|Mailbox|Snapshot", inspect.getdoc(member) or ""), name


@pytest.mark.parametrize(
    ("function", "signature"),
    [
        (wspy.Connection.send, "($self, data, /, *, key=None, compress=None)"),
        (wspy.Connection.send_json, "($self, obj, /, *, key=None, compress=None)"),
        (wspy.Connection.subscribe, "($self, topic, /, *, pattern=False)"),
        (wspy.Connection.unsubscribe, "($self, topic, /, *, pattern=False)"),
        (wspy.Connection.publish, "($self, topic, data, /, *, key=None, compress=None)"),
        (wspy.Connection.close, "($self, /, code=1000, reason='')"),
        (wspy.Connection.ping, "($self, data=None, /)"),
        (wspy.Connection.stream, "($self, /, *, text=False, compress=None)"),
        (wspy.Stream.write, "($self, part, /)"),
        (_core.Server.stop, "($self, /)"),
        (_core.Server.get, "($self, conn_id, /)"),
        (_core.Server.stats, "($self, /)"),
        (_core.Server.publish, "($self, topic, data, /, *, key=None, exclude=None, compress=None)"),
        (
            _core.Server.publish_json,
            "($self, topic, obj, /, *, key=None, exclude=None, compress=None)",
        ),
        (
            _core.Server.publish_packed,
            "($self, topic, format, /, *values, key=None, exclude=None, compress=None)",
        ),
        (wspy.Connection.pack, "($self, format, /, *values, key=None, compress=None)"),
        (wspy.Struct.pack, "($self, /, *values)"),
        (wspy.Struct.unpack_from, "($self, /, buffer, offset=0)"),
        (wspy.unpack_from, "($module, format, /, buffer, offset=0)"),
        (_core.Server.broadcast, "($self, data, /, *, key=None, exclude=None, compress=None)"),
        (_core.Server.subscribers, "($self, topic, /)"),
        (_core.Server.topics, "($self, /)"),
        (_core.Server.call_soon, "($self, function, /, *args)"),
        (_core.Server.call_later, "($self, seconds, function, /, *args)"),
        (_core.Server.every, "($self, seconds, function, /, *args)"),
        (_core.Server.register, "($self, fd, mask, callback, /)"),
        (_core.Server.modify, "($self, fd, mask, /)"),
        (_core.Server.unregister, "($self, fd, /)"),
        (wspy.Timer.cancel, "($self, /)"),
        (_core.Protocol.receive, "($self, data, /)"),
        (_core.Protocol.receive_eof, "($self, /)"),
        (_core.Protocol.send, "($self, data, /, *, fin=True)"),
        (_core.Protocol.ping, "($self, data=b'', /)"),
        (_core.Protocol.close, "($self, /, code=1000, reason='')"),
        (_core.Protocol.data_to_send, "($self, /)"),
        (wspy.Poller.register, "($self, fd, mask, /)"),
        (wspy.Poller.modify, "($self, fd, mask, /)"),
        (wspy.Poller.unregister, "($self, fd, /)"),
        (wspy.Poller.poll, "($self, /, timeout=None)"),
        (wspy.Poller.fileno, "($self, /)"),
        (wspy.Poller.close, "($self, /)"),
    ],
)
def test_signatures(function: object, signature: str) -> None:
    assert function.__text_signature__ == signature  # type: ignore[attr-defined]
    inspect.signature(function)  # type: ignore[arg-type]


def test_stats() -> None:
    assert wspy.Server(port=0).stats() == {
        "accepted": 0, "shed": 0, "refused": 0, "opened": 0, "closed": 0, "received": 0,
        "sent": 0, "dropped_received": 0, "dropped_sent": 0, "replaced": 0,
        "received_compressed": 0, "sent_compressed": 0, "compressions": 0, "suppressed_lines": 0,
    }  # fmt: skip


def test_the_readme_names_what_there_is() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in SERVER + CONNECTION:
        assert re.search(rf"\b{name}\b", readme), name


def test_a_server_is_true() -> None:
    server = wspy.Server(port=0)
    assert len(server) == 0
    assert server


def test_equality_is_identity() -> None:
    first, second = wspy.Server(port=0), wspy.Server(port=0)
    assert first != second
    assert len({first, second}) == 2


def test_a_subclass() -> None:
    class Chat(wspy.Server):
        def __init__(self) -> None:
            super().__init__(port=0)
            self.room = "lobby"

    chat = Chat()
    assert chat.room == "lobby"
    assert chat.strategy == "auto"
    assert chat.get(1) is None

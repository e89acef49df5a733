"""A server with connections that a test talks to from both ends."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any, TypeVar

from support import Client, Connect, Recorder, get, wait_until

import wspy

T = TypeVar("T")

SMALL = 4096  # a receive buffer that fills at once
PLUG = 4_000_000  # bytes of a message that no kernel takes whole


class Audience:
    """A server that runs, and connections with their clients."""

    def __init__(self, server: wspy.Server, connect: Connect) -> None:
        self.server = server
        self.connect = connect
        self.recorder = Recorder(server)

    def enter(self, *topics: str, **options: Any) -> tuple[Client, wspy.Connection]:
        client: Client = self.connect(self.server, **options)
        conn = get(self.recorder.opened)
        for topic in topics:
            assert conn.subscribe(topic) is True
        return client, conn

    def on_loop(self, function: Callable[[], T]) -> T:
        """The result of a function that the loop's thread has called."""
        results: queue.Queue[T] = queue.Queue()
        self.server.call_soon(lambda: results.put(function()))
        return get(results)

    def plug(self, conn: wspy.Connection) -> None:
        """Sends what the peer, which does not read, cannot take: what is sent next has to wait."""
        conn.send(bytes(PLUG))
        wait_until(lambda: 0 < conn.backlog < PLUG)

    def unplug(self, client: Client) -> None:
        """The peer reads again: that comes first."""
        assert client.receive() == bytes(PLUG)


MakeAudience = Callable[..., Audience]


def expect(client: Client, *messages: str | bytes) -> None:
    assert [client.receive() for _ in messages] == list(messages)


def end(*clients: Client) -> None:
    """Closes: nothing has come that was not expected."""
    for client in clients:
        assert client.close() == (1000, "")

"""Servers of wspy.aio.serve for the tests, and clients of them on the same loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import loops
from websockets.asyncio.client import connect

from wspy.aio import AsyncServer, Handler, serve


@asynccontextmanager
async def serving(handler: Handler, **options: Any) -> AsyncIterator[Server]:
    """A server that runs, on a free port."""
    options.setdefault("ping_interval", None)
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        yield Server(server)
    assert server.connections == set()
    assert server._tasks == set()
    assert server._connections == {}
    assert server._asked == {}


class Server:
    """An AsyncServer, and clients of it."""

    def __init__(self, server: AsyncServer) -> None:
        self.server = server
        self.url = server.server.url

    def connect(self, path: str = "/", **options: Any) -> connect:
        return loops.connect(self.server.server, path, **options)

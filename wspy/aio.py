"""What programs in asyncio import: serve(), a coroutine for each connection, and what goes with it.

And a Server inside an asyncio loop: its descriptor is watched there, and each time it is ready the
server takes a step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Literal

from .auth import basic_auth
from .coroutine import ServerConnection, State, broadcast
from .errors import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from .request import Request, Response
from .serve import AsyncServer, Handler, serve, unix_serve
from .tasks import no_current_task

if TYPE_CHECKING:
    from .server import Server

__all__ = [
    "AsyncServer",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "Handler",
    "Request",
    "Response",
    "ServerConnection",
    "State",
    "basic_auth",
    "broadcast",
    "serve",
    "unix_serve",
]

LoopName = Literal["asyncio", "uvloop"]

# What a cut takes at most: an end for each connection, and what waited before it.
_LAST_STEPS = 1000


class Serving:
    """A run inside the running loop, from now on."""

    def __init__(self, server: Server) -> None:
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self.runner = server._runner
        self.server: Server | None = server  # until it has ended
        self.n_waiting = 0
        self.fd = server._begin_steps()
        try:
            self.loop.add_reader(self.fd, server._step, self._end)
        except BaseException:
            server.stop()
            server._end()
            raise
        self.runner.begin(self.loop)

    def cut(self) -> None:
        """Ends it now, whoever is still connected. Not in a handler."""
        if self.server is None:
            return
        self.server._cut()
        with no_current_task(self.loop):
            for _ in range(_LAST_STEPS):
                self.server._step(self._end)
                if self.server is None:
                    return

    def _end(self) -> None:
        """The run is over. The descriptor leaves the loop before it is closed."""
        server, self.server = self.server, None
        self.loop.remove_reader(self.fd)
        try:
            if server is not None:
                server._end()
        except BaseException as exc:  # a handler's KeyboardInterrupt, say
            if not self.n_waiting:  # the loop's caller gets it
                self.ended.set_result(None)
                raise
            self.ended.set_exception(exc)
        else:
            self.ended.set_result(None)

    async def wait(self) -> None:
        """Until it has ended, and the handlers that went on have too."""
        self.n_waiting += 1
        try:
            await asyncio.shield(self.ended)
        finally:
            self.n_waiting -= 1
        await self.runner.wait()


def run(main: Coroutine[Any, Any, None], name: LoopName | None) -> None:
    """asyncio.run, on uvloop if it is installed, or as named."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        main.close()
        raise RuntimeError("run() in a loop that runs already: await serve() there")
    if name == "asyncio":
        asyncio.run(main)
        return
    try:
        import uvloop
    except ImportError:
        if name == "uvloop":
            main.close()
            raise
        asyncio.run(main)
    else:
        uvloop.run(main)

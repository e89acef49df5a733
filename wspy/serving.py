"""A run inside asyncio: the server's descriptor is watched there, and each time it is ready the server
takes a step.

Importing asyncio takes as long as all of wspy: only who runs in it imports this.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Literal

from .tasks import FIRST_STEP, no_current_task

if TYPE_CHECKING:
    from .server import Server

logger = logging.getLogger("wspy")

LoopName = Literal["asyncio", "uvloop"]

# What a cut takes at most: an end for each connection, and what waited before it.
_LAST_STEPS = 1000

# Seconds that cancelled handlers have once shutdown_timeout has passed.
GRACE = 1


class Serving:
    """A run inside the running loop, from now on."""

    def __init__(self, server: Server) -> None:
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                "no running event loop: call this in a coroutine, or run()"
            ) from None
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
        self.runner.begin(self.loop, FIRST_STEP)

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
        except BaseException as exc:
            if isinstance(exc, KeyboardInterrupt | SystemExit) and not self.n_waiting:
                self.ended.set_result(None)  # the loop's caller gets it
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
        await self._wait_handlers()

    async def leave(self, kind: type[BaseException] | None) -> None:
        """Stops the server and waits for its end. ``kind``: what is raised meanwhile."""
        is_cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
        if is_cancelled and self.runner.is_stopping:
            self.cut()  # somebody loses patience
        if self.server is not None:
            self.server.stop()
        try:
            await self.wait()
        except asyncio.CancelledError:
            self.cut()
            raise

    async def _wait_handlers(self) -> None:
        """For those that are left when the run is over: they had shutdown_timeout."""
        tasks, refusing = self.runner.tasks, self.runner.refusing
        left = tasks.keys() - refusing
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=GRACE)
        for task in left & (tasks.keys() - refusing):  # another may have waited too
            refusing.add(task)
            conn, name, _ = tasks[task]
            coroutine: Any = task.get_coro()
            logger.warning(
                "on_%s of connection %d goes on behind the end of the server: %s was cancelled, and "
                "did not end",
                name,
                conn.id,
                getattr(coroutine, "__qualname__", coroutine),
            )


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

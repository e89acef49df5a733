"""A server that runs in a thread of its own."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .server import Server
    from .serving import LoopName

logger = logging.getLogger("wspy")

_running: weakref.WeakSet[ServerThread] = weakref.WeakSet()


class ServerThread:
    """A server in a daemon thread, made by ``Server.start_in_thread()``.

    As a context manager it gives the address, and stops the server at the end::

        with server.start_in_thread() as url:
            ...

    The interpreter stops and joins what still runs when it exits.
    """

    def __init__(self, server: Server, loop: LoopName | None = None) -> None:
        self.server = server
        self._loop = loop
        self._error: BaseException | None = None
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"wspy {server.url}", daemon=True)
        _running.add(self)
        self._thread.start()
        self._begun.wait()
        if self._error is not None:
            self._join()  # no stop(): the server may be running elsewhere

    def _run(self) -> None:
        try:
            self.server._run_here(begun=self._begun.set, loop=self._loop)
        except BaseException as exc:  # noqa: BLE001 (stop() raises it)
            self._error = exc
        finally:
            self._begun.set()  # also if it never began: nobody shall wait for it

    @property
    def url(self) -> str:
        """The address for a client on this machine."""
        return self.server.url

    def stop(self) -> None:
        """Stops the server and waits for its thread; raises what had ended the thread, once.

        From a handler, on whichever thread, it only stops: it cannot wait for itself.
        """
        self.server.stop()
        here = threading.current_thread()
        if here is not self._thread and not self.server._runner.pool.owns(here):
            self._join()

    def _join(self) -> None:
        self._thread.join()
        _running.discard(self)
        error, self._error = self._error, None
        if error is not None:
            raise error

    def __enter__(self) -> str:
        return self.url

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        except BaseException:
            if exc is None:  # else what the body raised is what people need to see
                raise

    def __repr__(self) -> str:
        state = "running" if self._thread.is_alive() else "ended"
        return f"<wspy.ServerThread {self.url} {state}>"


def _stop_all() -> None:
    threads = list(_running)
    for thread in threads:
        thread.server.stop()  # all at once: their time-outs run side by side
    for thread in threads:
        try:
            thread.stop()
        except BaseException:  # the others are to be joined too
            logger.exception("%r ended by an exception", thread)


# The threads are daemons, so that the interpreter does not wait for them before it comes here.
atexit.register(_stop_all)
os.register_at_fork(after_in_child=_running.clear)

"""Handlers that block, for the tests, and the threads that they are on."""

from __future__ import annotations

import queue
import threading

from support import TIMEOUT

import wspy


class Held:
    """A handler that begins, and waits to be let go: once for each message."""

    def __init__(self) -> None:
        self.begun: queue.Queue[str | bytes] = queue.Queue()
        self.ended: queue.Queue[str | bytes] = queue.Queue()
        self.turns = threading.Semaphore(0)

    def __call__(self, conn: wspy.Connection, message: str | bytes) -> None:
        self.begun.put(message)
        assert self.turns.acquire(timeout=TIMEOUT)
        self.ended.put(message)


def pool_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("wspy handler")]


def is_pool_thread() -> bool:
    return threading.current_thread() in pool_threads()

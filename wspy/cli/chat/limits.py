"""How much of everything the chat takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Lengths are in characters if not said otherwise. docs/chat.md tells them to clients."""

    frame: int = 32_768  # bytes of one WebSocket message: a text that is all \\u escapes fits
    text: int = 2000
    name: int = 32
    room: int = 32
    rooms: int = 200
    people: int = 200  # in one room
    history: int = 50  # messages of one room
    history_bytes: int = 131_072  # of JSON: what the history of one room may hold
    remembered: int = 1000  # ids of one room by which a message sent twice is known
    burst: int = 20  # what one connection may send at once,
    rate: float = 5.0  # and a second in the long run,
    patience: int = 100  # and how many more are answered "slow" before it is closed


class Bucket:
    """A token bucket: refilled with ``rate`` a second up to ``burst``, and it may go into debt."""

    def __init__(
        self, burst: float, rate: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._rate = rate
        self._clock = clock
        self._level = burst
        self._at = clock()

    def take(self) -> float:
        """Takes one token and returns what is left: below zero is over the limit."""
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate) - 1
        self._at = now
        return self._level

    def wait(self) -> float:
        """The seconds until a token may be taken: whole milliseconds, and not one too few."""
        return max(0, math.ceil((1 - self._level) / self._rate * 1000)) / 1000

"""Ctrl-C and SIGTERM while a server runs in the main thread."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType


@contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[int]:
    """Lets SIGINT and SIGTERM call ``stop``, and a second SIGINT raise KeyboardInterrupt.

    A handler that the program has set stays. Gives a descriptor that becomes readable when any
    signal has come, so that a loop that waits in C returns to Python, which runs the handler.
    """
    interrupted = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if number == signal.SIGINT:
            if interrupted:
                raise KeyboardInterrupt
            interrupted = True
        stop()

    def restore(number: int, handler: object) -> None:
        if signal.getsignal(number) is on_signal:
            signal.signal(number, handler)  # type: ignore[arg-type]

    with ExitStack() as stack:
        # A socketpair: an eventfd refuses the one-byte writes of the interpreter.
        reader, writer = socket.socketpair()
        stack.callback(reader.close)
        stack.callback(writer.close)
        reader.setblocking(False)
        writer.setblocking(False)
        old_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        stack.callback(signal.set_wakeup_fd, old_fd)
        for number in (signal.SIGINT, signal.SIGTERM):
            old_handler = signal.getsignal(number)
            if old_handler in (signal.SIG_DFL, signal.default_int_handler):
                stack.callback(restore, number, old_handler)
                signal.signal(number, on_signal)
        yield reader.fileno()

"""What wspy raises, and how it tells of what a handler raised."""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ._core import Connection, Timer

logger = logging.getLogger("wspy")

# RFC 6455 section 7.4.1 and the IANA registry of close codes.
CLOSE_CODES = {
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1005: "no code received",
    1006: "connection lost",
    1007: "invalid data",
    1008: "policy violation",
    1009: "message too big",
    1010: "extension required",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
}


class ConnectionClosed(Exception):
    """Raised by ``conn.send()`` and its like once the connection is closing or closed, and where
    something of it is awaited that will not come any more.

    ``code`` and ``reason`` are those of ``on_close``; before it was called, those that this side
    closed with.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        name = CLOSE_CODES.get(self.code)
        text = f"the connection is closed: {self.code}"
        if name:
            text += f" ({name})"
        if self.reason:
            text += f" {self.reason}"
        return text


class Close(NamedTuple):
    """What a close frame said (RFC 6455 section 5.5.1)."""

    code: int
    reason: str


class _Ended(ConnectionClosed):
    """``rcvd`` is the peer's close frame and ``sent`` this side's, as ``(code, reason)``; None:
    there was none. ``code`` and ``reason`` are the peer's, 1006 if there was none.
    """

    def __init__(self, code: int, reason: str = "", sent: Close | None = None) -> None:
        super().__init__(code, reason)
        self.rcvd = Close(code, reason) if code != 1006 else None
        self.sent = sent


class ConnectionClosedOK(_Ended):
    """The connection of a coroutine of ``wspy.aio.serve`` has ended as it should: both sides sent a
    close frame, with 1000, 1001 or no code.
    """


class ConnectionClosedError(_Ended):
    """The connection of a coroutine of ``wspy.aio.serve`` was lost, or was closed with a code that
    tells of an error.
    """


class StructError(struct.error):
    """Raised for a format, values or a buffer that do not fit one another: see ``Struct``."""


class HandshakeError(ValueError):
    """A request that is refused: ``status`` of HTTP and, in ``detail``, one sentence for a person.

    ``wspy.handshake`` raises it; one of your own refuses for your own reasons. ``head_only``: it
    was a HEAD request, whose answer has no body. The status is one from 400 to 599.

    >>> error = HandshakeError(403, "log in first")
    >>> str(error)
    '403: log in first'
    >>> error.answer().splitlines()[0]
    b'HTTP/1.1 403 Forbidden'
    """

    def __init__(self, status: int, detail: str = "", head_only: bool = False) -> None:
        if not isinstance(status, int):
            raise TypeError(f"status must be an int from 400 to 599, not {type(status).__name__}")
        if not 400 <= status <= 599:
            raise ValueError(f"status must be an int from 400 to 599, not {status!r}")
        if not isinstance(detail, str):
            raise TypeError(f"detail must be a str, not {type(detail).__name__}")
        if "\0" in detail:
            raise ValueError("detail must have no NUL")
        super().__init__(status, detail, head_only)
        self.status = status
        self.detail = detail
        self.head_only = head_only

    def __str__(self) -> str:
        return f"{self.status}: {self.detail}" if self.detail else str(self.status)

    def answer(self) -> bytes:
        """The answer of HTTP, behind which the connection is to be closed. Its body is the detail,
        of which it has 256 bytes at most."""
        from ._core import handshake_error  # late: the extension imports this module

        return handshake_error(self.status, self.detail or None, self.head_only)


class FrameError(ValueError):
    """What ``wspy.frames`` was given is no frame (RFC 6455 section 5.2), or has no room for one."""


class IncompleteFrame(FrameError):
    """It may become a frame: at least ``needed`` more bytes are missing, and never fewer."""

    def __init__(self, text: str, needed: int) -> None:
        super().__init__(text, needed)
        self.needed = needed

    def __str__(self) -> str:
        return str(self.args[0])


def log_call_error(timer: Timer, exc: BaseException) -> None:
    """Logs what a function of call_soon, call_later or every raised. Called by the extension."""
    logger.error("a call of %r failed", timer, exc_info=exc)


def log_guest_error(fd: int, callback: object, exc: BaseException) -> None:
    """Logs what a callback of ``server.register()`` raised. Called by the extension."""
    logger.error("the callback %r of descriptor %d failed", callback, fd, exc_info=exc)


def log_handler_error(event: str, conn: Connection, exc: BaseException, may_wait: bool) -> bool:
    """Logs what a handler raised, when no ``on_error`` took it. Returns whether the handler has
    failed: then its connection is closed with 1011.

    Called by the extension; ``event`` is "open", "message", "json" and so on. One that may wait,
    an async handler or one on a thread, has not failed if it only met the connection's end.
    """
    if may_wait and isinstance(exc, ConnectionClosed) and not conn.is_open:
        logger.info("on_%s of %r: %s", event, conn, exc)
        return False
    logger.error("on_%s failed for %r", event, conn, exc_info=exc)
    return True

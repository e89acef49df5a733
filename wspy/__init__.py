"""A WebSocket server whose core is C.

A program makes a ``Server``, gives it handlers and runs it::

    server = wspy.Server(port=8000)

    @server.on_message
    def echo(conn, message):  # str for text, bytes for binary
        conn.send(message)

    server.run()  # until Ctrl-C
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from . import frames, handshake
from ._core import (
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLNVAL,
    POLLOUT,
    POLLPRI,
    Connection,
    Poller,
    Stream,
    Struct,
    Timer,
    calcsize,
    iter_unpack,
    pack,
    pack_into,
    sha1,
    unpack,
    unpack_from,
)
from .errors import ConnectionClosed, StructError
from .headers import Headers
from .options import Compression
from .protocol import Protocol
from .server import Server
from .thread import ServerThread

if TYPE_CHECKING:
    from types import ModuleType

    from . import aio as aio

__all__ = [
    "POLLERR",
    "POLLHUP",
    "POLLIN",
    "POLLNVAL",
    "POLLOUT",
    "POLLPRI",
    "Compression",
    "Connection",
    "ConnectionClosed",
    "Headers",
    "Poller",
    "Protocol",
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
]

__version__ = "0.1.0"


def __getattr__(name: str) -> ModuleType:
    if name == "aio":  # imported where it is asked for: asyncio takes as long as all the rest
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "aio"})

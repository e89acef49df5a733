"""A WebSocket server whose core is C.

A program makes a ``Server``, gives it handlers and runs it::

    server = wspy.Server(port=8000)

    @server.on_message
    def echo(conn, message):  # str for text, bytes for binary
        conn.send(message)

    server.run()  # until Ctrl-C
"""

from ._core import Connection, Stream, Timer
from .errors import ConnectionClosed
from .headers import Headers
from .server import Server
from .thread import ServerThread

__all__ = [
    "Connection",
    "ConnectionClosed",
    "Headers",
    "Server",
    "ServerThread",
    "Stream",
    "Timer",
    "__version__",
]

__version__ = "0.1.0"

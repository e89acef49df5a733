"""What programs in asyncio import: serve(), a coroutine for each connection, and what goes with it."""

from .auth import basic_auth
from .coroutine import ServerConnection, State, broadcast
from .errors import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from .request import Request, Response
from .serve import AsyncServer, Handler, serve, unix_serve

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

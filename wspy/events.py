"""What ``wspy.Protocol`` tells: each event is of one of these classes, to be matched by its fields.

The last event of a connection is ``Rejected``, if it was never open, or ``Close``.

>>> from wspy.events import Close, Message
>>> def show(event):
...     match event:
...         case Message(str(text)):
...             return f"text {text}"
...         case Close(code, reason):
...             return f"closed with {code} {reason}"
>>> show(Message("hello")), show(Close(1000, "bye", "peer"))
('text hello', 'closed with 1000 bye')
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from .headers import Headers

__all__ = ["Close", "Event", "Message", "Open", "Ping", "Pong", "Rejected", "Request"]

# The core sets the fields by __match_args__, in the order in which they stand here.


@dataclass(frozen=True, slots=True)
class Request:
    """A client asks to be let in: the answer is ``accept()`` or ``reject()``.

    Only from ``Protocol("server", auto_accept=False)``, and only for a request that could be let
    in; others are answered with an error, which is ``Rejected``.

    ``path`` and ``query`` are those of the request target, percent-encoding as it came; ``headers``
    its fields.
    """

    path: str
    query: str
    headers: Headers

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """Those that the client offers, in its order (RFC 6455 section 11.3.4)."""
        field = self.headers.get("Sec-WebSocket-Protocol", "")
        return tuple(name for item in field.split(",") if (name := item.strip(" \t")))


@dataclass(frozen=True, slots=True)
class Open:
    """The opening handshake is done: messages may be sent, and may come.

    ``path`` and ``query`` are those of the request target; ``headers`` the fields of the peer's
    head: of the request in a server, of the response in a client; ``subprotocol`` the one agreed
    on, or None.
    """

    path: str
    query: str
    headers: Headers
    subprotocol: str | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The opening handshake failed. The last event.

    ``status`` is that of the answer, which a server has written and a client has got; None if what
    a client got was no HTTP. ``detail`` says in a sentence why. ``headers`` are those of the
    response in a client, whose body is not read; empty in a server.
    """

    status: int | None
    detail: str
    headers: Headers


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message: ``data`` is str for text, bytes for binary."""

    data: str | bytes


@dataclass(frozen=True, slots=True)
class Ping:
    """A ping came (RFC 6455 section 5.5.2); its pong is written."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """A pong came (RFC 6455 section 5.5.3), asked for or not."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """The connection has ended. The last event.

    ``code`` and ``reason`` are those of the peer's close frame; 1005 if it was empty, 1006 if there
    was none (RFC 6455 section 7.1.5). ``kind`` is why it ended: "peer" (it closed first), "local"
    (``close()`` came first), "eof" (the stream ended), "protocol" (the peer broke a rule), "limit"
    (or a limit), "error" (no memory). What was sent to the peer is ``Protocol.sent_close``.
    """

    code: int
    reason: str
    kind: str


Event = Union[Request, Open, Rejected, Message, Ping, Pong, Close]  # noqa: UP007 (at run time too)

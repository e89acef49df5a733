"""WebSocket without a socket: the Protocol for programs that have sockets of their own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from . import _core
from .events import Event
from .options import ENDPOINT_CHECKS, flag, integer, wrong_type, wrong_value
from .pages import make_fields

# RFC 6455 section 3. The core looks at host and target more closely, and refuses "#".
URL = re.compile(
    r"(?P<scheme>wss?)://(?P<host>\[[^]/?#]*\]|[^:/?#@[\]]+)(:(?P<port>[0-9]{0,5}))?"
    r"(?P<path>/[^?#]*)?(\?(?P<query>[^#]*))?",
    re.IGNORECASE,
)

_WRITTEN = "the protocol writes it itself"
# Fields of the heads that are written here; Content-Type is that of the words of reject().
RESERVED = {
    "connection": _WRITTEN,
    "content-length": _WRITTEN,
    "content-type": _WRITTEN,
    "host": "it is that of url",
    "sec-websocket-accept": _WRITTEN,
    "sec-websocket-extensions": "there is none",
    "sec-websocket-key": _WRITTEN,
    "sec-websocket-protocol": "it is the argument subprotocols",
    "sec-websocket-version": _WRITTEN,
    "transfer-encoding": "there is no body to frame",
    "upgrade": _WRITTEN,
}

Role = Literal["server", "client"]


class Protocol(_core.Protocol):
    """One end of a WebSocket connection (RFC 6455) that reads and writes no socket.

    Feed what was read to ``receive()``, act on the events that it gives, and write what
    ``data_to_send()`` gives to the socket; close that once ``should_close`` is true. The protocol
    does the rest: opening handshake, masks, fragments, UTF-8, pongs, closing handshake. It reads no
    clock: time-outs are the caller's.

    ``role``: "server" or "client". A client has a ``url``, such as "ws://example.com/chat", and may
    have further ``headers`` for its request. A server lets in by the rules of ``wspy.Server``:
    ``origins``, ``hosts`` ("*", or a list of names) and ``subprotocols``; ``auto_accept=False``
    tells ``Request`` instead and waits for ``accept()`` or ``reject()``. A client offers its
    ``subprotocols``. The limits have the defaults of ``wspy.Server``, in bytes: a longer message, or
    one of more fragments, closes with 1009; a longer head is answered with 431 or 414. The request
    of a client may be of any length.

    Wrong arguments are ValueError or TypeError, which name the argument. Not for several threads at
    once: nothing breaks, but their events come to whoever asks first.

    >>> server = wspy.Protocol("server")
    >>> client = wspy.Protocol("client", url="ws://localhost/chat")
    >>> server.receive(client.data_to_send())[0].path
    '/chat'
    >>> client.receive(server.data_to_send())[0].subprotocol is None
    True
    >>> client.send("hello")
    >>> server.receive(client.data_to_send())
    [Message(data='hello')]
    """

    def __init__(
        self,
        role: Role,
        *,
        url: str | None = None,
        headers: Mapping[str, str] | None = None,
        auto_accept: bool = True,
        origins: str | Iterable[str] = "same-origin",
        hosts: str | Iterable[str] = "*",
        subprotocols: Iterable[str] = (),
        max_message_size: int = 1_048_576,
        max_fragments: int | None = 131_072,
        max_header_size: int = 8192,
        max_headers: int = 64,
    ) -> None:
        given = locals()
        options = {name: check(name, given[name]) for name, check in ENDPOINT_CHECKS.items()}
        flag("auto_accept", auto_accept)
        if not isinstance(role, str):
            raise wrong_type("role", '"server" or "client"', role)
        if role == "client":
            for name, default in (
                ("auto_accept", True),
                ("origins", "same-origin"),
                ("hosts", "*"),
            ):
                if given[name] != default:
                    raise ValueError(f"{name} is for the server: a client lets nobody in")
            fields = make_fields(headers or {}, RESERVED)
            super().__init__(role, options, True, *_split(url), fields)
        elif role == "server":
            for name in ("url", "headers"):
                if given[name] is not None:
                    raise ValueError(f"{name} is for the client: a server makes no request")
            super().__init__(role, options, auto_accept, "", "", "", "")
        else:
            raise wrong_value("role", '"server" or "client"', role)

    def accept(self, headers: Mapping[str, str] | None = None) -> list[Event]:
        """Lets the client of a ``Request`` in, with further header fields in the answer.

        Gives the list of events: ``Open``, and what has come behind the request. RuntimeError if
        there is no request to answer.

        >>> server = wspy.Protocol("server", auto_accept=False)
        >>> client = wspy.Protocol("client", url="ws://localhost/", headers={"X-Token": "abc"})
        >>> (request,) = server.receive(client.data_to_send())
        >>> if request.headers["x-token"] == "abc":
        ...     events = server.accept({"X-Hello": "you"})
        >>> client.receive(server.data_to_send())[0].headers["x-hello"]
        'you'
        """
        return self._accept(make_fields(headers or {}, RESERVED))

    def reject(
        self, status: int = 403, detail: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answers a ``Request`` with an error of HTTP, after which ``should_close`` is true.

        ``status`` is from 300 to 599; ``detail``, a sentence for a person of at most 256 bytes of
        UTF-8 (the phrase of the status if None), is the body. No event follows. RuntimeError if
        there is no request to answer.

        >>> server = wspy.Protocol("server", auto_accept=False)
        >>> client = wspy.Protocol("client", url="ws://localhost/")
        >>> (request,) = server.receive(client.data_to_send())
        >>> server.reject(401, "Who are you?", {"WWW-Authenticate": "Basic"})
        >>> (rejected,) = client.receive(server.data_to_send())
        >>> rejected.status, server.should_close
        (401, True)
        """
        integer(300, 599)("status", status)
        if detail is not None:
            if not isinstance(detail, str):
                raise wrong_type("detail", "a str or None", detail)
            if "\0" in detail or len(detail.encode(errors="replace")) > 256:
                raise ValueError("detail must have at most 256 bytes of UTF-8, and no NUL")
        self._reject(int(status), detail, make_fields(headers or {}, RESERVED))


def _split(url: object) -> tuple[str, str, str]:
    """What the Host field says, the path, and the query of a URL (RFC 6455 section 3)."""
    wanted = 'like "ws://example.com/chat?room=1", percent-encoded, without user and fragment'
    if not isinstance(url, str):
        raise wrong_type("url", "a str " + wanted, url)
    match = URL.fullmatch(url)
    if not match or not url.isascii() or not url.isprintable():
        raise wrong_value("url", wanted, url)
    host, port = match["host"], match["port"]
    if port and not 0 < int(port) <= 65535:
        raise ValueError(f"url must have a port from 1 to 65535, not {port}")
    # RFC 6455 section 4.1 item 4: a port only if it is not the default one.
    if port and int(port) != (443 if match["scheme"].lower() == "wss" else 80):
        host += f":{port}"
    return host, match["path"] or "/", match["query"] or ""

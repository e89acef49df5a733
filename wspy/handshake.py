"""The opening handshake (RFC 6455 section 4) for those who have the socket themselves.

A server reads until there is a whole request, and answers it::

    data = bytearray()
    try:
        while (request := handshake.parse_request(data)) is None:
            data += sock.recv(4096)  # b"" at the end: see below
        sock.sendall(request.answer())
        del data[: request.size]  # what follows it are frames
    except handshake.HandshakeError as error:
        sock.sendall(error.answer())
        sock.close()

It is ``wspy.Server``'s own parser. What that does besides is for the caller: a peer that sends
nothing (408 after a while) or that has gone.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from . import options
from ._core import accept_key, handshake_answer, handshake_parse
from .errors import HandshakeError
from .headers import Headers

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["HandshakeError", "Request", "accept_key", "make_key", "parse_request"]


@dataclass(frozen=True)
class Request:
    """A request that may be answered: a valid opening handshake, or a plain GET or HEAD."""

    method: str
    target: str  # as it was sent
    path: str  # of the target: before "?", without scheme and authority
    query: str  # behind "?", "" if there is none
    headers: Headers
    size: int  # bytes of the request; what follows it are frames
    is_upgrade: bool  # False: a plain request, for a page; no frames follow
    accept: str | None  # what Sec-WebSocket-Accept has to be, None for a plain request
    subprotocol: str | None  # of the argument subprotocols, the first that the client offers

    @property
    def key(self) -> str | None:
        """Sec-WebSocket-Key, None for a plain request."""
        return self.headers["Sec-WebSocket-Key"] if self.is_upgrade else None

    @property
    def origin(self) -> str | None:
        """Which page it comes from (RFC 6454), such as "https://example.com"; None: no browser."""
        return self.headers.get("Origin")

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """Those that the client offers, the one it likes best first (RFC 6455 section 1.9)."""
        values = ",".join(self.headers.get_all("Sec-WebSocket-Protocol"))
        return tuple(name for item in values.split(",") if (name := item.strip(" \t")))

    def answer(self, subprotocol: str | None = None) -> bytes:
        """The answer 101, behind which both sides send frames.

        ``subprotocol`` is one of those that the client offers; None: what ``parse_request`` found,
        if anything. ValueError for another one. A plain request gets no such answer:
        HandshakeError with the status 426.

        >>> from wspy import handshake
        >>> key = "dGhlIHNhbXBsZSBub25jZQ=="
        >>> request = handshake.parse_request(
        ...     b"GET / HTTP/1.1\\r\\nHost: localhost\\r\\nUpgrade: websocket\\r\\n"
        ...     b"Connection: Upgrade\\r\\nSec-WebSocket-Version: 13\\r\\n"
        ...     b"Sec-WebSocket-Key: " + key.encode() + b"\\r\\n\\r\\n"
        ... )
        >>> print(request.answer().decode().rstrip())
        HTTP/1.1 101 Switching Protocols\r
        Upgrade: websocket\r
        Connection: Upgrade\r
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
        """
        if self.accept is None:
            detail = "a WebSocket handshake is needed here"
            raise HandshakeError(426, detail, self.method == "HEAD")
        if subprotocol is None:
            return handshake_answer(self.accept, self.subprotocol or "")
        # RFC 6455 4.2.2: "The value chosen MUST be derived from the client's handshake".
        if subprotocol not in self.subprotocols:
            wanted = f"one that the client offers ({', '.join(self.subprotocols) or 'none'})"
            raise options.wrong_value("subprotocol", wanted, subprotocol)
        if len(subprotocol) > options.SUBPROTOCOL_MAX:
            wanted = f"a name of at most {options.SUBPROTOCOL_MAX} bytes"
            raise options.wrong_value("subprotocol", wanted, subprotocol)
        return handshake_answer(self.accept, subprotocol)


def make_key() -> str:
    """A new Sec-WebSocket-Key: 16 bytes of the system's secure source, in base64 (RFC 6455 4.1).

    >>> len(make_key())
    24
    """
    return base64.b64encode(secrets.token_bytes(16)).decode()


def parse_request(
    data: Buffer,
    *,
    max_header_size: int = 8192,
    max_headers: int = 64,
    origins: str | Iterable[str] = "same-origin",
    hosts: str | Iterable[str] = "*",
    subprotocols: Iterable[str] = (),
) -> Request | None:
    """The request that data begins with; None: it has not ended yet, call again with more.

    Read as ``wspy.Server`` does (RFC 9112, RFC 6455 section 4.2.1), and with the limits of its
    options of the same names; as the address is not known here, ``hosts`` is any by default.
    HandshakeError, with the status to answer, for a request that the server refuses, which may be
    told before its end. ValueError and TypeError name the argument that is wrong.

    >>> parse_request(b"GET /chat HTTP/1.1\\r\\nHost: local") is None
    True
    >>> try:
    ...     parse_request(b"GET /chat HTTP/1.1\\r\\n\\r\\n")
    ... except HandshakeError as error:
    ...     print(error.status, error.detail)
    400 The Host field is missing.
    """
    check = options.ENDPOINT_CHECKS
    found = handshake_parse(
        data,
        cast(int, check["max_header_size"]("max_header_size", max_header_size)),
        cast(int, check["max_headers"]("max_headers", max_headers)),
        check["origins"]("origins", origins),
        check["hosts"]("hosts", hosts),
        check["subprotocols"]("subprotocols", subprotocols),
    )
    return None if found is None else Request(*found)

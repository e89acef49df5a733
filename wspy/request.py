"""The request that opened a connection, and what may be answered in place of a handshake."""

from __future__ import annotations

import http
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from .headers import Headers
from .pages import VALUE, make_field

# How the answer is framed, which may be given, and is told by what the server knows.
_OWN = ("connection", "content-length")
_RESERVED = {
    "transfer-encoding": "the body is sent as it is",
    "trailer": "an answer has none",
    "upgrade": "an answer is no upgrade",
}


@dataclass(frozen=True)
class Request:
    """The opening handshake's request (RFC 6455 section 4.1): ``path`` with its query, and
    ``headers``."""

    path: str
    headers: Headers


@dataclass
class Response:
    """What ``process_request`` answers with instead of the handshake (RFC 9110 section 15).

    ``status_code`` is one from 200 to 599, ``headers`` are further fields: those of the body's
    length and of the connection's end come by themselves.

    >>> Response(401, "Unauthorized", {"WWW-Authenticate": "Basic"}, b"log in first").status_code
    401
    """

    status_code: int
    reason_phrase: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def __post_init__(self) -> None:
        if not 200 <= self.status_code <= 599:
            raise ValueError(f"status_code must be from 200 to 599, not {self.status_code!r}")
        if not self.reason_phrase:
            self.reason_phrase = _phrase(self.status_code)

    def head(self) -> bytes:
        """The head of HTTP/1.1 (RFC 9112 section 2.1), behind whose body the connection ends."""
        if not VALUE.fullmatch(self.reason_phrase):
            raise ValueError(f"reason_phrase must be printable, not {self.reason_phrase!r}")
        fields = "".join(make_field(*pair, _RESERVED) for pair in _pairs(self.headers))
        return (
            f"HTTP/1.1 {self.status_code} {self.reason_phrase}\r\n"
            f"Connection: close\r\nContent-Length: {len(self.body)}\r\n{fields}\r\n"
        ).encode("latin-1")


def _pairs(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in headers:
        if name.lower() in _OWN:
            continue
        for value in headers.get_all(name) if isinstance(headers, Headers) else [headers[name]]:
            yield name, value


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def text_response(status: int, text: str) -> Response:
    """An answer for people to read."""
    body = text.encode()
    return Response(int(status), "", {"Content-Type": "text/plain; charset=utf-8"}, body)

"""What ``Server.page()`` is given, checked and made ready for the core."""

from __future__ import annotations

import re
from collections.abc import Mapping

# RFC 9110 section 5.6.2.
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Visible characters but "?" and "#".
PATH = re.compile(r"/[!-~]*")
# RFC 9110 section 5.5: field-content, without obs-text.
VALUE = re.compile(r"[\t -~]*")

# Those that say how the answer is framed, which the core does, and the content type.
RESERVED = {
    "connection": "the server sends it itself",
    "content-length": "the server sends it itself",
    "content-type": "it is the argument content_type",
    "keep-alive": "the server sends one answer to a connection",
    "trailer": "a page has none",
    "transfer-encoding": "the server sends Content-Length",
    "upgrade": "a page is no upgrade",
}


def check_path(path: str) -> str:
    if not isinstance(path, str):
        raise TypeError(f"path must be a str, not {type(path).__name__}")
    if not PATH.fullmatch(path) or "?" in path or "#" in path:
        raise ValueError(
            'path must start with "/" and have no "?", "#", space or unescaped character, '
            f"not {path!r}"
        )
    return path


def make_body(body: str | bytes, content_type: str | None) -> tuple[bytes, str]:
    """The body as bytes, and its content type."""
    if isinstance(body, str):
        data, default = body.encode(), "text/html; charset=utf-8"
    elif isinstance(body, bytes | bytearray | memoryview):
        data, default = bytes(body), "application/octet-stream"
    else:
        raise TypeError(f"body must be str or bytes, not {type(body).__name__}")
    if content_type is None:
        return data, default
    if not isinstance(content_type, str):
        raise TypeError(f"content_type must be a str, not {type(content_type).__name__}")
    if not content_type.strip() or not VALUE.fullmatch(content_type):
        raise ValueError(f'content_type must be like "text/plain", not {content_type!r}')
    return data, content_type


def make_fields(headers: Mapping[str, str], reserved: Mapping[str, str] = RESERVED) -> str:
    """The header lines, each with its CRLF. ``reserved``: names that may not stand there, and why."""
    if not isinstance(headers, Mapping):
        raise TypeError(f"headers must be a mapping, not {type(headers).__name__}")
    return "".join(make_field(name, value, reserved) for name, value in headers.items())


def make_field(name: str, value: str, reserved: Mapping[str, str]) -> str:
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"headers must have str names and values, not {name!r}: {value!r}")
    if not TOKEN.fullmatch(name):
        raise ValueError(f"headers has a name that is no token: {name!r}")
    if name.lower() in reserved:
        raise ValueError(f"headers must not have {name}: {reserved[name.lower()]}")
    if not VALUE.fullmatch(value):
        raise ValueError(f"headers has a value with a character that may not stand there: {name}")
    return f"{name}: {value}\r\n"

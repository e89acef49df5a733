"""basic_auth(): a name and a password before the handshake is answered."""

from __future__ import annotations

import base64
import binascii
import hmac
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .handlers import check_calls
from .request import Request, Response

if TYPE_CHECKING:
    from .coroutine import ServerConnection

Credentials = tuple[str, str]
_BASIC = re.compile(r"basic +([A-Za-z0-9+/=._~-]+)", re.IGNORECASE)


def basic_auth(
    realm: str = "",
    credentials: Credentials | Iterable[Credentials] | None = None,
    check_credentials: Callable[[str, str], bool | Awaitable[bool]] | None = None,
) -> Callable[[ServerConnection, Request], Awaitable[Response | None]]:
    """A ``process_request`` that asks for a name and a password (RFC 7617), and answers 401 without.

    Either ``credentials``: a pair of them, or several; or ``check_credentials(name, password)``,
    which may be async. The coroutine finds the name in ``ws.username``. TypeError for both or none.
    """
    if (credentials is None) == (check_credentials is None):
        raise TypeError("basic_auth() takes either credentials or check_credentials")
    if check_credentials is not None:
        check_calls("check_credentials", check_credentials, ("name", "password"))
    known = _read_credentials(credentials)
    challenge = {"WWW-Authenticate": f'Basic realm="{_quoted(realm)}", charset="UTF-8"'}

    async def check(name: str, password: str) -> bool:
        if check_credentials is None:
            wanted = known.get(name)
            return hmac.compare_digest((wanted or "").encode(), password.encode()) and (
                wanted is not None
            )
        result = check_credentials(name, password)
        return await result if inspect.isawaitable(result) else result

    async def process_request(ws: ServerConnection, request: Request) -> Response | None:
        pair = _read_authorization(request.headers.get("Authorization", ""))
        if pair is not None and await check(*pair):
            ws.username = pair[0]
            return None
        return Response(401, "", challenge, b"credentials are needed\n")

    return process_request


def _read_credentials(credentials: object) -> dict[str, str]:
    if credentials is None:
        return {}
    several: Any = [credentials] if _is_pair(credentials) else credentials
    pairs = list(several) if isinstance(several, Iterable) else []
    if not pairs or not all(_is_pair(pair) for pair in pairs):
        raise TypeError(f"credentials must be (name, password), or several, not {credentials!r}")
    return dict(pairs)


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) == 2
        and all(isinstance(part, str) for part in value)
    )


def _quoted(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"realm must be a str, not {type(text).__name__}")
    if any(ord(char) < 32 or ord(char) > 126 for char in text):
        raise ValueError(f"realm must be printable ASCII, not {text!r}")
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _read_authorization(value: str) -> Credentials | None:
    match = _BASIC.fullmatch(value)
    if match is None:
        return None
    try:
        name, colon, password = base64.b64decode(match[1], validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, password) if colon else None

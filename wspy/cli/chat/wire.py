"""The JSON between a client and the chat: docs/chat.md."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

Event = dict[str, Any]

KEY = re.compile(r"[A-Za-z0-9_-]{8,64}")


class BadEvent(Exception):
    """A client sent what is no event; the text, short and without what it sent, says why."""


def write(event: Event) -> str:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def read(message: str) -> Event:
    """Parses what a client sent; the members other than "type" are as they came."""
    try:
        event = json.loads(message)
    except (ValueError, RecursionError):
        raise BadEvent("not JSON") from None
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise BadEvent('not an object with a "type"')
    return event


def get_str(event: Event, member: str, default: str | None = None) -> str:
    value = event.get(member, default)
    if not isinstance(value, str):
        raise BadEvent(f'"{member}" must be a string')
    return value


def get_key(event: Event) -> str:
    key = get_str(event, "key")
    if not KEY.fullmatch(key):
        raise BadEvent('"key" must be 8 to 64 of A-Z a-z 0-9 _ -')
    return key


def message_id(key: str) -> str:
    """The public name of a message.

    The same key gives the same id also after a restart of the server, so that who sees a message
    twice knows it. Others see the id only: they cannot make the key that somebody uses next.
    """
    return base64.urlsafe_b64encode(hashlib.blake2b(key.encode(), digest_size=12).digest()).decode()

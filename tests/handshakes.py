"""Requests of the opening handshake (RFC 6455 section 4.1), from a good one to whatever a test wants.

"{host}" in a request stands for the server's address.
"""

from __future__ import annotations

from support import upgrade_request

REQUEST = upgrade_request("{host}")


def edited(old: bytes, new: bytes) -> bytes:
    assert REQUEST.count(old) == 1, old
    return REQUEST.replace(old, new)


def start(line: bytes) -> bytes:
    """With another request line, whose end is a part of it."""
    return edited(b"GET / HTTP/1.1\r\n", line)


def target_is(target: bytes) -> bytes:
    return start(b"GET " + target + b" HTTP/1.1\r\n")


def version_is(version: bytes) -> bytes:
    return start(b"GET / " + version + b"\r\n")


def without(name: bytes) -> bytes:
    lines = [s for s in REQUEST.split(b"\r\n") if not s.startswith(name + b":")]
    assert len(lines) == REQUEST.count(b"\r\n")
    return b"\r\n".join(lines)


def also(*lines: bytes) -> bytes:
    """With further lines, each as it stands there."""
    return REQUEST[:-2] + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def field_is(name: bytes, *values: bytes) -> bytes:
    """With another value of a field that is there; two values are two fields."""
    lines = b"".join(name + b": " + value + b"\r\n" for value in values)
    return without(name)[:-2] + lines + b"\r\n"

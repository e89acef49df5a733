"""The options of a Server: what may stand there, and how the core wants it.

One row of OPTIONS for each option. The defaults stand in the signature of Server, where help()
and editors show them; what they mean is in README.md.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import operator
import re
import reprlib
import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal, NamedTuple, SupportsIndex, get_args

UINT32_MAX = 2**32 - 1
INT_MAX = 2**31 - 1
SIZE_LIMIT = 2**40
SECONDS_MAX = 1_000_000

# RFC 3986 sections 3.1 and 3.2.2, of which a name has what DNS has. IPv6 addresses are looked at
# more closely below.
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
AUTHORITY = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?")

# RFC 9110 section 5.6.2.
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
SUBPROTOCOL_MAX = 128
SUBPROTOCOLS_MAX = 1000

Strategy = Literal["auto", "select", "poll", "epoll"]
BacklogPolicy = Literal["close", "drop-newest", "drop-oldest"]

Check = Callable[[str, object], object]


class Option(NamedTuple):
    """A row: the name in the core's options (None: it does not go there), and the check."""

    key: str | None
    check: Check


def show(value: object) -> str:
    """A value for an error message: short, whatever it is."""
    if isinstance(value, int) and value.bit_length() > 64:
        return "a larger number" if value > 0 else "a smaller number"
    return reprlib.repr(value)


def wrong_type(name: str, wanted: str, value: object) -> TypeError:
    return TypeError(f"{name} must be {wanted}, not {type(value).__name__}")


def wrong_value(name: str, wanted: str, value: object) -> ValueError:
    return ValueError(f"{name} must be {wanted}, not {show(value)}")


def integer(low: int, high: int, *, none: int | None = None, meaning: str = "") -> Check:
    """An int of a range. ``none``: what None stands for in the core, ``meaning``: for people."""
    wanted = f"an int from {low} to {high}"
    if none is not None:
        wanted += f", or None ({meaning})"

    def check(name: str, value: object) -> object:
        if value is None and none is not None:
            return none
        if isinstance(value, bool) or not isinstance(value, SupportsIndex):
            raise wrong_type(name, wanted, value)
        number = operator.index(value)
        if not low <= number <= high:
            raise wrong_value(name, wanted, number)
        return number

    return check


def seconds(name: str, value: object) -> object:
    """A time-out in seconds, or None; in milliseconds, 0 for None."""
    wanted = f"a number of seconds above 0 and up to {SECONDS_MAX}, or None (no time-out)"
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(name, wanted, value)
    if not 0 < value <= SECONDS_MAX:  # NaN is not either
        raise wrong_value(name, wanted, value)
    return math.ceil(value * 1000)


def flag(name: str, value: object) -> object:
    if not isinstance(value, bool):
        raise wrong_type(name, "a bool", value)
    return int(value)


def choice(*words: str) -> Check:
    wanted = " or ".join(f'"{word}"' for word in words)

    def check(name: str, value: object) -> object:
        if not isinstance(value, str):
            raise wrong_type(name, wanted, value)
        if value not in words:
            raise wrong_value(name, wanted, value)
        return value

    return check


def allow_list(default: str, what: str, check_item: Callable[[str, str], None]) -> Check:
    """The default rule by its name (None in the core), ``"*"`` for any, or a list."""
    words = ", ".join(f'"{word}"' for word in dict.fromkeys((default, "*")))
    wanted = f"{words} or a list of {what}"

    def check(name: str, value: object) -> object:
        if isinstance(value, str):
            if value not in (default, "*"):
                raise wrong_value(name, wanted, value)
            return "*" if value == "*" else None
        if not isinstance(value, Iterable) or isinstance(value, bytes | bytearray | Mapping):
            raise wrong_type(name, wanted, value)
        items = list(value)
        for item in items:
            if not isinstance(item, str):
                raise wrong_type(f"each of {name}", "a str", item)
            if item == "*":
                raise ValueError(f'{name} must not have "*" in its list: {name}="*" lets any in')
            check_item(name, item)
        return items

    return check


def is_authority(text: str) -> bool:
    match = AUTHORITY.fullmatch(text)
    if not match:
        return False
    host, port = match["host"], match["port"]
    if host.startswith("["):
        try:
            socket.inet_pton(socket.AF_INET6, host[1:-1])
        except OSError:
            return False
    return port is None or 0 < int(port) <= 65535


def check_origin(name: str, item: str) -> None:
    scheme, separator, authority = item.partition("://")
    if not (separator and SCHEME.fullmatch(scheme) and is_authority(authority)):
        raise wrong_value(f"each of {name}", 'an origin like "https://example.com:8443"', item)


def check_host(name: str, item: str) -> None:
    if not is_authority(item):
        raise wrong_value(f"each of {name}", 'a host like "example.com" or "[::1]:8000"', item)


def subprotocols(name: str, value: object) -> object:
    """Names of subprotocols, as Sec-WebSocket-Protocol may list them (RFC 6455 section 4.1)."""
    wanted = 'a list of names like "chat.example.com"'
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | bytearray | Mapping):
        raise wrong_type(name, wanted, value)
    items = list(value)
    for item in items:
        if not isinstance(item, str):
            raise wrong_type(f"each of {name}", "a str", item)
        if not TOKEN.fullmatch(item) or len(item) > SUBPROTOCOL_MAX:
            raise wrong_value(
                f"each of {name}",
                f"a token (letters, digits and !#$%&'*+-.^_`|~) of at most {SUBPROTOCOL_MAX} bytes",
                item,
            )
    if len(set(items)) < len(items):
        raise ValueError(f"{name} must not name a subprotocol twice: {show(items)}")
    if len(items) > SUBPROTOCOLS_MAX:
        raise ValueError(f"{name} must not have more than {SUBPROTOCOLS_MAX} names")
    return items


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Compression:
    """How messages are compressed: permessage-deflate (RFC 7692), for ``Server(compression=)``.

    ``level``: 1 (fast) to 9 (small). ``window_bits``: 9 to 15, how far back a message may refer:
    2**window_bits bytes, at most; a client may ask for less. ``server_no_context_takeover``,
    ``client_no_context_takeover``: each message is compressed by itself (section 7.1.1), and
    connections share what that takes; without it messages that resemble each other get smaller
    (not those that are published: they are compressed once for all), and a connection that speaks has up to 2**(window_bits + 2) + 2**(memory_level + 9) bytes for
    what it is sent, until it was idle for 10 s, and 2**window_bits for what it sends (32 KiB if it
    did not offer client_max_window_bits), with some KiB of zlib's own for each.
    ``threshold``: shorter messages go plain, bytes. ``memory_level``: 1 to 9, zlib's memLevel.

    Raises ValueError or TypeError, which name the field.

    >>> Compression(level=9).threshold
    256
    """

    level: int = 6
    window_bits: int = 12
    server_no_context_takeover: bool = True
    client_no_context_takeover: bool = True
    threshold: int = 256
    memory_level: int = 5

    def __post_init__(self) -> None:
        for name, check in COMPRESSION_FIELDS.items():
            check(name, getattr(self, name))


COMPRESSION_FIELDS: dict[str, Check] = {
    "level": integer(1, 9),
    "window_bits": integer(9, 15),
    "server_no_context_takeover": flag,
    "client_no_context_takeover": flag,
    "threshold": integer(0, SIZE_LIMIT),
    "memory_level": integer(1, 9),
}


def compression(name: str, value: object) -> object:
    """False, True or a Compression, as the options of the core."""
    chosen = Compression() if isinstance(value, bool) else value
    if not isinstance(chosen, Compression):
        raise wrong_type(name, "a bool or a wspy.Compression", value)
    return {
        "deflate": int(value is not False),
        "deflate_server_no_takeover": int(chosen.server_no_context_takeover),
        "deflate_client_no_takeover": int(chosen.client_no_context_takeover),
        "deflate_window_bits": operator.index(chosen.window_bits),
        "deflate_level": operator.index(chosen.level),
        "deflate_memory_level": operator.index(chosen.memory_level),
        "deflate_threshold": operator.index(chosen.threshold),
    }


OPTIONS: dict[str, Option] = {
    "strategy": Option("strategy", choice(*get_args(Strategy))),
    "max_message_size": Option("max_message_size", integer(1, SIZE_LIMIT)),
    "max_fragments": Option("max_fragments", integer(1, UINT32_MAX, none=0, meaning="no bound")),
    "message_timeout": Option("message_timeout_ms", seconds),
    "max_header_size": Option("max_header_size", integer(1, 2**24)),
    "max_headers": Option("max_headers", integer(1, 2**16)),
    "handshake_timeout": Option("handshake_timeout_ms", seconds),
    "close_timeout": Option("close_timeout_ms", seconds),
    "shutdown_timeout": Option("shutdown_timeout_ms", seconds),
    "ping_interval": Option("ping_interval_ms", seconds),
    "ping_timeout": Option("ping_timeout_ms", seconds),
    "idle_timeout": Option("idle_timeout_ms", seconds),
    "stall_timeout": Option("stall_timeout_ms", seconds),
    "control_rate": Option("control_rate", integer(1, UINT32_MAX, none=0, meaning="any")),
    "message_rate": Option("message_rate", integer(1, UINT32_MAX, none=0, meaning="any")),
    "byte_rate": Option("byte_rate", integer(1, SIZE_LIMIT, none=0, meaning="any")),
    "rate_policy": Option("rate_pauses", choice("close", "pause")),
    "origins": Option("origins", allow_list("same-origin", "origins", check_origin)),
    "hosts": Option("hosts", allow_list("auto", "host names", check_host)),
    "subprotocols": Option("subprotocols", subprotocols),
    "compression": Option("compression", compression),
    "keep_headers": Option("drop_headers", flag),
    "high_water": Option("high_water", integer(1, SIZE_LIMIT)),
    "max_backlog": Option("max_backlog", integer(1, SIZE_LIMIT, none=0, meaning="no bound")),
    "backlog_policy": Option("backlog_policy", choice(*get_args(BacklogPolicy))),
    "max_queue": Option("max_queue", integer(1, UINT32_MAX)),
    "handler_threads": Option(None, integer(1, 1024)),
    "slow_handler": Option(None, seconds),
    "max_topics": Option("max_topics", integer(1, UINT32_MAX, none=0, meaning="no bound")),
    "max_connections": Option(
        "max_connections", integer(1, UINT32_MAX, none=0, meaning="what the system allows")
    ),
    "listen_backlog": Option("listen_backlog", integer(1, INT_MAX)),
}

# Those of one end without a server (Protocol, handshake.parse_request), by which no address is
# known: hosts is any unless it is said.
ENDPOINT_CHECKS: dict[str, Check] = {
    "max_message_size": OPTIONS["max_message_size"].check,
    "max_fragments": OPTIONS["max_fragments"].check,
    "max_header_size": OPTIONS["max_header_size"].check,
    "max_headers": OPTIONS["max_headers"].check,
    "origins": OPTIONS["origins"].check,
    "hosts": allow_list("*", "host names", check_host),
    "subprotocols": OPTIONS["subprotocols"].check,
}


def validate(given: Mapping[str, object]) -> dict[str, object]:
    """Checks the value of every option and returns the dict that the core takes.

    Raises ValueError for a wrong value and TypeError for a wrong type; both name the option.
    """
    core: dict[str, object] = {}
    for name, (key, check) in OPTIONS.items():
        value = check(name, given[name])
        if key is not None:
            core[key] = value
    # What is one option here and several there.
    several = core.pop("compression")
    assert isinstance(several, dict)
    core |= several
    # What the core calls the other way round.
    core["rate_pauses"] = int(core["rate_pauses"] == "pause")
    core["drop_headers"] = int(not core["drop_headers"])
    return core


def json_function(
    name: str, given: Callable[..., object] | None, default: Callable[..., object]
) -> Callable[..., object]:
    """The function of that option, or the default. Raises TypeError for what is none."""
    if given is None:
        return default
    if not callable(given):
        raise wrong_type(name, "a function or None", given)
    return given


def refuse_unknown(function: str, given: Iterable[str], known: Collection[str]) -> None:
    """Raises TypeError for the first unknown keyword and suggests the nearest known one."""
    for name in given:
        if name in known:
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise TypeError(f"{function}() has no option {name!r}{hint}")

"""Every option of Server: what is taken, what is refused and in which words."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import wspy
from wspy.handlers import HANDLERS
from wspy.options import OPTIONS, validate

PARAMETERS = inspect.signature(wspy.Server).parameters
DEFAULTS = {name: PARAMETERS[name].default for name in OPTIONS}

INF, NAN = float("inf"), float("nan")
HUGE = 10**5000  # its repr() is an error


class Index:
    """An integer of another library."""

    def __index__(self) -> int:
        return 4096


# option, value, key in the core, value there
GOOD: list[tuple[str, Any, str, Any]] = [
    ("strategy", "auto", "strategy", "auto"),
    ("strategy", "select", "strategy", "select"),
    ("strategy", "poll", "strategy", "poll"),
    ("strategy", "epoll", "strategy", "epoll"),
    ("max_message_size", 1, "max_message_size", 1),
    ("max_message_size", 2**40, "max_message_size", 2**40),
    ("max_message_size", Index(), "max_message_size", 4096),
    ("max_header_size", 2**24, "max_header_size", 2**24),
    ("max_headers", 65536, "max_headers", 65536),
    ("handshake_timeout", None, "handshake_timeout_ms", 0),
    ("handshake_timeout", 5, "handshake_timeout_ms", 5000),
    ("close_timeout", 0.25, "close_timeout_ms", 250),
    ("close_timeout", 1e-9, "close_timeout_ms", 1),
    ("shutdown_timeout", 1_000_000, "shutdown_timeout_ms", 1_000_000_000),
    ("origins", "same-origin", "origins", None),
    ("origins", "*", "origins", "*"),
    ("origins", [], "origins", []),
    ("origins", ["https://example.com"], "origins", ["https://example.com"]),
    ("origins", ("http://[::1]:8000",), "origins", ["http://[::1]:8000"]),
    ("origins", iter(["app+x://a.b:65535"]), "origins", ["app+x://a.b:65535"]),
    ("hosts", "auto", "hosts", None),
    ("hosts", "*", "hosts", "*"),
    ("hosts", {"example.com"}, "hosts", ["example.com"]),
    ("hosts", ["a.example:8000", "[::1]", "127.0.0.1"], "hosts",
     ["a.example:8000", "[::1]", "127.0.0.1"]),
    ("compression", False, "deflate", 0),
    ("compression", True, "deflate", 1),
    ("compression", wspy.Compression(), "deflate", 1),
    ("compression", wspy.Compression(level=1), "deflate_level", 1),
    ("compression", wspy.Compression(window_bits=15), "deflate_window_bits", 15),
    ("compression", wspy.Compression(memory_level=9), "deflate_memory_level", 9),
    ("compression", wspy.Compression(threshold=0), "deflate_threshold", 0),
    ("compression", wspy.Compression(threshold=Index()), "deflate_threshold", 4096),  # type: ignore[arg-type]
    ("compression", wspy.Compression(server_no_context_takeover=False),
     "deflate_server_no_takeover", 0),
    ("compression", wspy.Compression(client_no_context_takeover=False),
     "deflate_client_no_takeover", 0),
    ("high_water", 1, "high_water", 1),
    ("max_backlog", None, "max_backlog", 0),
    ("max_backlog", 1, "max_backlog", 1),
    ("max_connections", None, "max_connections", 0),
    ("max_connections", 2**32 - 1, "max_connections", 2**32 - 1),
    ("listen_backlog", 2**31 - 1, "listen_backlog", 2**31 - 1),
    ("max_fragments", None, "max_fragments", 0),
    ("message_timeout", 0.5, "message_timeout_ms", 500),
    ("ping_interval", None, "ping_interval_ms", 0),
    ("ping_timeout", None, "ping_timeout_ms", 0),
    ("idle_timeout", 120, "idle_timeout_ms", 120_000),
    ("stall_timeout", None, "stall_timeout_ms", 0),
    ("control_rate", None, "control_rate", 0),
    ("message_rate", 1, "message_rate", 1),
    ("byte_rate", 2**40, "byte_rate", 2**40),
    ("backlog_policy", "drop-newest", "backlog_policy", "drop-newest"),
    ("backlog_policy", "drop-oldest", "backlog_policy", "drop-oldest"),
    ("max_topics", 1, "max_topics", 1),
    ("max_topics", None, "max_topics", 0),
    ("rate_policy", "pause", "rate_pauses", 1),
    ("rate_policy", "close", "rate_pauses", 0),
    ("keep_headers", False, "drop_headers", 1),
    ("subprotocols", [], "subprotocols", []),
    ("subprotocols", ("chat.v2", "chat"), "subprotocols", ["chat.v2", "chat"]),
    ("subprotocols", ["x" * 128], "subprotocols", ["x" * 128]),
]  # fmt: skip

INTEGERS = [
    "max_message_size",
    "max_header_size",
    "max_headers",
    "high_water",
    "max_backlog",
    "max_topics",
    "max_connections",
    "listen_backlog",
    "max_fragments",
    "control_rate",
    "message_rate",
    "byte_rate",
]
SECONDS = ["handshake_timeout", "close_timeout", "shutdown_timeout", "message_timeout",
           "ping_interval", "ping_timeout", "idle_timeout", "stall_timeout"]  # fmt: skip
LISTS = ["origins", "hosts"]
LISTS_OF_NO_STR: list[Any] = [[1], [None], [b"a"]]
CHOICES = ["strategy", "backlog_policy", "rate_policy"]
NO_COMPRESSIONS: tuple[object, ...] = (None, 0, 1, "on", {}, wspy.Compression)
BAD_TOKENS = ["", "a b", "a,b", "ä", "a\n", "a/b", "x" * 129]

BAD: list[tuple[str, Any, type[Exception]]] = [
    *((name, value, ValueError) for name in INTEGERS for value in (0, -1, HUGE, -HUGE)),
    *((name, value, TypeError) for name in INTEGERS for value in (True, 1.0, NAN, "1", b"1", [1])),
    *((name, value, ValueError) for name in SECONDS for value in (0, -1, -0.5, NAN, INF, HUGE)),
    *((name, value, TypeError) for name in SECONDS for value in (False, "5", b"5", [5], 1j)),
    *((name, value, ValueError) for name in CHOICES for value in ("", "AUTO", "kqueue", "drop")),
    *((name, value, TypeError) for name in CHOICES for value in (None, 0, b"auto", ["auto"])),
    *((name, value, ValueError) for name in LISTS for value in ("", "https://example.com", "any")),
    *((name, value, TypeError) for name in LISTS for value in (None, 1, True, b"*", {"a": "b"})),
    *((name, value, TypeError) for name in LISTS for value in LISTS_OF_NO_STR),
    *((name, value, ValueError) for name in LISTS for value in (["*"], [""], ["a b"], ["ä"])),
    *(("subprotocols", [name], ValueError) for name in BAD_TOKENS),
    *(("subprotocols", value, TypeError) for value in ("chat", b"chat", None, 1, {"a": "b"}, [1])),
    ("subprotocols", ["chat", "chat"], ValueError),
    ("subprotocols", [f"p{i}" for i in range(1001)], ValueError),
    *(("compression", value, TypeError) for value in NO_COMPRESSIONS),
    *(("keep_headers", value, TypeError) for value in (None, 0, 1, "no")),
    ("byte_rate", 2**40 + 1, ValueError),
    ("max_message_size", None, TypeError),
    ("max_message_size", 2**40 + 1, ValueError),
    ("max_header_size", 2**24 + 1, ValueError),
    ("max_headers", 2**16 + 1, ValueError),
    ("listen_backlog", 2**31, ValueError),
    ("max_connections", 2**32, ValueError),
    ("shutdown_timeout", 1_000_001, ValueError),
    ("origins", ["example.com"], ValueError),
    ("origins", ["null"], ValueError),
    ("origins", ["https://example.com/"], ValueError),
    ("origins", ["https://*.example.com"], ValueError),
    ("origins", ["https://user@example.com"], ValueError),
    ("origins", ["https://example.com:0"], ValueError),
    ("origins", ["https://example.com:65536"], ValueError),
    ("origins", ["https://example.com:"], ValueError),
    ("origins", ["https://::1"], ValueError),
    ("origins", ["https://[::1"], ValueError),
    ("origins", ["https://[::g]"], ValueError),
    ("origins", ["https://a.example\n"], ValueError),
    ("origins", ["https://a.example\0"], ValueError),
    ("hosts", ["https://example.com"], ValueError),
    ("hosts", ["::1"], ValueError),
    ("hosts", ["example.com:99999"], ValueError),
    ("hosts", ["example.com/"], ValueError),
]


def test_the_table_covers_the_signature() -> None:
    others = {"host", "port", "unix", "json_dumps", "json_loads", "unknown"}
    handlers = {f"on_{name}" for name in HANDLERS}
    assert set(PARAMETERS) == set(OPTIONS) | others | handlers


def test_the_defaults() -> None:
    assert validate(DEFAULTS) == {
        "strategy": "auto",
        "max_message_size": 1_048_576,
        "max_fragments": 131_072,
        "max_header_size": 8192,
        "max_headers": 64,
        "handshake_timeout_ms": 5000,
        "close_timeout_ms": 5000,
        "shutdown_timeout_ms": 10_000,
        "message_timeout_ms": 60_000,
        "ping_interval_ms": 20_000,
        "ping_timeout_ms": 20_000,
        "idle_timeout_ms": 0,
        "stall_timeout_ms": 60_000,
        "control_rate": 100,
        "message_rate": 0,
        "byte_rate": 0,
        "rate_pauses": 0,
        "drop_headers": 0,
        "subprotocols": [],
        "origins": None,
        "hosts": None,
        "high_water": 262_144,
        "max_backlog": 1_048_576,
        "backlog_policy": "close",
        "max_queue": 16,
        "max_topics": 128,
        "max_connections": 0,
        "listen_backlog": 4096,
        "deflate": 0,
        "deflate_server_no_takeover": 1,
        "deflate_client_no_takeover": 1,
        "deflate_window_bits": 12,
        "deflate_level": 6,
        "deflate_memory_level": 5,
        "deflate_threshold": 256,
    }


def test_the_table_in_the_readme() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", readme, re.MULTILINE))
    # eval: the table shows the values as Python writes them
    assert {name: eval(text) for name, text in rows.items()} == DEFAULTS


@pytest.mark.parametrize(("name", "value", "key", "expected"), GOOD)
def test_good(name: str, value: Any, key: str, expected: Any) -> None:
    assert validate({**DEFAULTS, name: value})[key] == expected


@pytest.mark.parametrize(
    ("name", "value"), [(n, v) for n, v, _, _ in GOOD if not hasattr(v, "__next__")]
)
def test_good_ones_make_a_server(name: str, value: Any) -> None:
    assert wspy.Server(port=0, **{name: value}).port > 0


@pytest.mark.parametrize(("name", "value", "error"), BAD, ids=range(len(BAD)))
def test_bad(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"^(each of )?{name} must ") as info:
        wspy.Server(port=0, **{name: value})
    assert len(str(info.value)) < 200


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("max_headers", -3, "max_headers must be an int from 1 to 65536, not -3"),
        ("max_headers", True, "max_headers must be an int from 1 to 65536, not bool"),
        ("max_headers", 10**100, "max_headers must be an int from 1 to 65536, not a larger number"),
        (
            "close_timeout",
            NAN,
            (
                "close_timeout must be a number of seconds above 0 and up to 1000000, "
                "or None (no time-out), not nan"
            ),
        ),
        (
            "max_backlog",
            "1 MiB",
            "max_backlog must be an int from 1 to 1099511627776, or None (no bound), not str",
        ),
        (
            "strategy",
            "kqueue",
            'strategy must be "auto" or "select" or "poll" or "epoll", not \'kqueue\'',
        ),
        (
            "origins",
            "https://example.com",
            'origins must be "same-origin", "*" or a list of origins, not \'https://example.com\'',
        ),
        (
            "origins",
            ["example.com"],
            (
                'each of origins must be an origin like "https://example.com:8443", '
                "not 'example.com'"
            ),
        ),
        ("hosts", ["*"], 'hosts must not have "*" in its list: hosts="*" lets any in'),
    ],
)  # fmt: skip
def test_the_words(name: str, value: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as info:
        wspy.Server(port=0, **{name: value})
    assert str(info.value) == message


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        *((name, value, ValueError) for name in ("level", "memory_level") for value in (0, 10, -1)),
        *(("window_bits", value, ValueError) for value in (8, 16, 0, -15)),
        *(("threshold", value, ValueError) for value in (-1, 2**40 + 1)),
        *((name, value, TypeError)
          for name in ("level", "memory_level", "window_bits", "threshold")
          for value in (None, True, 9.0, "9")),
        *((name, value, TypeError)
          for name in ("server_no_context_takeover", "client_no_context_takeover")
          for value in (None, 0, 1, "no")),
    ],
)  # fmt: skip
def test_a_bad_compression(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"^{name} must be ") as info:
        wspy.Compression(**{name: value})
    assert len(str(info.value)) < 200


def test_a_compression_does_not_change() -> None:
    some = wspy.Compression(level=3)
    assert some == wspy.Compression(level=3) != wspy.Compression()
    with pytest.raises(AttributeError):
        some.level = 4  # type: ignore[misc]
    with pytest.raises(TypeError):
        wspy.Compression(3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"^window_bits must be .* 9 to 15, not 8$"):
        wspy.Compression(window_bits=8)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("max_mesage_size", "no option 'max_mesage_size'; did you mean 'max_message_size'?"),
        ("origin", "no option 'origin'; did you mean 'origins'?"),
        ("onmessage", "no option 'onmessage'; did you mean 'on_message'?"),
        ("unknown", "no option 'unknown'"),
        ("self", "multiple values for argument 'self'"),
        ("xyzzy", "no option 'xyzzy'"),
    ],
)
def test_an_unknown_option(name: str, message: str) -> None:
    arguments: dict[str, Any] = {name: 1}
    with pytest.raises(TypeError, match=re.escape(message) + "$"):
        wspy.Server(port=0, **arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"port": -1}, ValueError, "port must be an int from 0 to 65535, not -1"),
        ({"port": 65536}, ValueError, "port must be an int from 0 to 65535, not 65536"),
        ({"port": True}, TypeError, "port must be an int from 0 to 65535, not bool"),
        ({"port": "8000"}, TypeError, "port must be an int from 0 to 65535, not str"),
        ({"host": None}, TypeError, "host must be a str, not NoneType"),
        ({"host": "a\0b"}, ValueError, "host must be a name or an IP address, not 'a\\x00b'"),
        ({"unix": ""}, ValueError, "unix must be the path of a socket, not ''"),
        ({"unix": "a\0b"}, ValueError, "unix must be the path of a socket, not 'a\\x00b'"),
        ({"unix": "/tmp/x", "port": 1}, ValueError, "unix stands in place of host and port"),
        ({"unix": "/tmp/x", "host": "::1"}, ValueError, "unix stands in place of host and port"),
    ],
)
def test_a_bad_address(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match="^" + re.escape(message)):
        wspy.Server(**arguments)


async def asynchronous(*args: object) -> None:
    pass


class AsyncCall:
    async def __call__(self, *args: object) -> None:
        pass


@pytest.mark.parametrize("event", ["open", "message", "json", "close", "drain", "error"])
class TestHandlers:
    @pytest.mark.parametrize("handler", [asynchronous, AsyncCall()])
    def test_async_needs_epoll(self, event: str, handler: Any) -> None:
        if event == "error":
            error: type[Exception] = TypeError
            message = "^on_error: an async handler may fail itself, use a plain def$"
        else:
            error, message = ValueError, f"^on_{event}: async handlers need epoll"
        with pytest.raises(error, match=message):
            wspy.Server(port=0, strategy="poll", **{f"on_{event}": handler})
        with pytest.raises(error, match=message):
            getattr(wspy.Server(port=0, strategy="select"), f"on_{event}")(handler)

    def test_what_cannot_be_called_is_refused(self, event: str) -> None:
        with pytest.raises(TypeError, match=f"^on_{event} must be callable, not int$"):
            wspy.Server(port=0, **{f"on_{event}": 5})  # type: ignore[arg-type]

    def test_keyword_call_and_decorator(self, event: str) -> None:
        def first(*args: object) -> None:
            pass

        def second(*args: object) -> None:
            pass

        server = wspy.Server(port=0, **{f"on_{event}": first})  # type: ignore[arg-type]
        assert server._get_handler(event) is first
        assert getattr(server, f"on_{event}")(second) is second
        assert server._get_handler(event) is second


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("x", ""), ValueError, 'path must start with "/"'),
        (("/a?b", ""), ValueError, 'path must start with "/"'),
        (("/a#b", ""), ValueError, 'path must start with "/"'),
        (("/a b", ""), ValueError, 'path must start with "/"'),
        (("/ä", ""), ValueError, 'path must start with "/"'),
        (("/a\r\n", ""), ValueError, 'path must start with "/"'),
        ((b"/", ""), TypeError, "path must be a str, not bytes"),
        (("/", 5), TypeError, "body must be str or bytes, not int"),
        (("/", "", 5), TypeError, "content_type must be a str, not int"),
        (("/", "", ""), ValueError, "content_type must be like"),
        (("/", "", "a\r\nb: c"), ValueError, "content_type must be like"),
        (("/", "", None, []), TypeError, "headers must be a mapping, not list"),
        (("/", "", None, {"a b": "c"}), ValueError, "headers has a name that is no token: 'a b'"),
        (("/", "", None, {"": "c"}), ValueError, "headers has a name that is no token: ''"),
        (("/", "", None, {"a": "b\r\nc: d"}), ValueError, "headers has a value"),
        (("/", "", None, {"a": "b\n"}), ValueError, "headers has a value"),
        (("/", "", None, {"a": "\0"}), ValueError, "headers has a value"),
        (("/", "", None, {"a": 5}), TypeError, "headers must have str names and values"),
        (("/", "", None, {"Content-Length": "5"}), ValueError, "headers must not have Content-L"),
        (("/", "", None, {"content-type": "a/b"}), ValueError, "headers must not have content-t"),
        (("/", "", None, {"Connection": "close"}), ValueError, "headers must not have Connection"),
    ],
)
def test_a_bad_page(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match="^" + re.escape(message)):
        wspy.Server(port=0).page(*arguments)

"""The inputs that the fuzzers begin with, made by hand: one file for each, by its name.

usage: python tests/fuzz/seeds.py FOLDER

They are in tests/fuzz/corpus as seed-*; the other files there were found by libFuzzer.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

Seed = tuple[str, bytes]  # name, input

# How an input is cut: fuzz_cut in fuzz.h.
WHOLE = b"\xff\xff\xff\xff"
BYTEWISE = b"\x01\x01\x01\x01"
PIECES = b"\x03\x00\x11\x01"
CUTS = {"whole": WHOLE, "bytewise": BYTEWISE, "pieces": PIECES}

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN = 0x80
KEY = b"\x11\x22\x33\x44"


def header(first: int, size: int, key: bytes = b"", *, length_bytes: int | None = None) -> bytes:
    """A frame's header; length_bytes 0, 2 or 8 writes the length in as many, needed or not."""
    if length_bytes is None:
        length_bytes = 0 if size < 126 else 2 if size < 65536 else 8
    mask = 0x80 if key else 0
    if length_bytes == 0:
        return bytes([first, mask | size]) + key
    code, layout = (126, "!H") if length_bytes == 2 else (127, "!Q")
    return bytes([first, mask | code]) + struct.pack(layout, size) + key


def frame(first: int, payload: bytes = b"", key: bytes = KEY) -> bytes:
    masked = payload
    if key:
        masked = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
    return header(first, len(payload), key) + masked


# -- fuzz_frame --

LENGTHS = {
    "0": 0,
    "125": 125,
    "126": 126,
    "65535": 65535,
    "65536": 65536,
    "2p31": 2**31,
    "2p32": 2**32,
    "2p63-1": 2**63 - 1,
    "2p63": 2**63,
    "2p64-1": 2**64 - 1,
}


def frame_seeds() -> Iterator[Seed]:
    for opcode in range(16):
        yield f"opcode-{opcode}", header(FIN | opcode, 5, KEY)
    for rsv in range(1, 8):
        yield f"rsv-{rsv}", header(rsv << 4 | TEXT, 5)
    for name, size in LENGTHS.items():
        yield f"length-{name}", header(FIN | BINARY, size)
        yield f"length-{name}-masked", header(FIN | BINARY, size, KEY)
    for size in 0, 125, 126:
        yield f"length-{size}-in-2", header(FIN | TEXT, size, KEY, length_bytes=2)
    for size in 0, 125, 65535:
        yield f"length-{size}-in-8", header(FIN | TEXT, size, KEY, length_bytes=8)
    yield "cut-in-length", header(FIN | TEXT, 2**40)[:6]
    yield "cut-in-key", header(FIN | TEXT, 300, KEY)[:6]


# -- fuzz_utf8 --

TEXTS = {
    "ascii": b"The quick brown fox jumps over the lazy dog. " * 4,
    "mixed": ("gr\u00fc\u00df dich, \u4e16\u754c \U0001f600! " * 5).encode(),
    "edges": "\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff".encode(),
    "late": b"a" * 127 + "\u00e9".encode() + b"b" * 40,
    "cut-2": b"abc\xc3",
    "cut-3": b"abc\xe4\xb8",
    "cut-4": b"abc\xf0\x9f\x98",
    "nul": b"\0" * 40,
    "tail-alone": b"abc\x80def",
    "overlong-2": b"\xc0\xaf",
    "overlong-3": b"\xe0\x9f\xbf",
    "overlong-4": b"\xf0\x8f\xbf\xbf",
    "surrogate-first": b"\xed\xa0\x80",
    "surrogate-last": b"\xed\xbf\xbf",
    "above-10ffff": b"\xf4\x90\x80\x80",
    "lead-f5": b"x" * 33 + b"\xf5\x80\x80\x80",
    "lead-ff": b"x" * 130 + b"\xff",
    "no-tail": b"\xe4\xb8x",
}


def utf8_seeds() -> Iterator[Seed]:
    for name, text in TEXTS.items():
        yield name, PIECES + text
    yield "mixed-bytewise", BYTEWISE + TEXTS["mixed"]
    yield "mixed-whole", WHOLE + TEXTS["mixed"]


# -- fuzz_http --

MAX_SIZES = (8192, 4096, 512, 100, 40, 17, 1, 0)
MAX_HEADERS = (64, 8, 3, 0)
DEFAULT, ANY, LIST = 0, 1, 2

UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)
ANSWER = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
)
HOST = "Host: example.com"


def head(*lines: str) -> bytes:
    return "".join(line + "\r\n" for line in (*lines, "")).encode("latin-1")


def http_setting(
    response: bool = False,
    *,
    cut: bytes = PIECES,
    max_size: int = 8192,
    max_headers: int = 64,
    origins: int = DEFAULT,
    hosts: int = DEFAULT,
) -> bytes:
    sizes = MAX_SIZES.index(max_size) << 1 | MAX_HEADERS.index(max_headers) << 4
    return cut + bytes([response | sizes, origins + 3 * hosts])


GET = "GET /chat?room=1 HTTP/1.1"
REQUESTS = {
    "upgrade": head(GET, HOST, *UPGRADE),
    "upgrade-and-frame": head(GET, HOST, *UPGRADE) + frame(FIN | TEXT, b"early"),
    "upgrade-lists": head(
        GET, HOST, "upgrade: h2c, WebSocket", "connection: keep-alive , upgrade", *UPGRADE[2:]
    ),
    "upgrade-twice": head(GET, HOST, *UPGRADE, UPGRADE[2]),
    "upgrade-post": head("POST / HTTP/1.1", HOST, *UPGRADE),
    "upgrade-asterisk": head("GET * HTTP/1.1", HOST, *UPGRADE),
    "upgrade-no-connection": head(GET, HOST, UPGRADE[0], *UPGRADE[2:]),
    "upgrade-version": head(GET, HOST, *UPGRADE[:3], "Sec-WebSocket-Version: 8"),
    "upgrade-key-bits": head(
        GET, HOST, *UPGRADE[:2], "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==", UPGRADE[3]
    ),
    "upgrade-short-key": head(GET, HOST, *UPGRADE[:2], "Sec-WebSocket-Key: QUJD", UPGRADE[3]),
    "upgrade-long-key": head(
        GET, HOST, *UPGRADE[:2], f"Sec-WebSocket-Key: {'QUJD' * 12}", UPGRADE[3]
    ),
    "upgrade-length-0": head(GET, HOST, *UPGRADE, "Content-Length: 0"),
    "upgrade-length": head(GET, HOST, *UPGRADE, "Content-Length: 10") + b"0123456789",
    "upgrade-chunked": head(GET, HOST, *UPGRADE, "Transfer-Encoding: chunked"),
    "upgrade-port": head(GET, "Host: example.com:80", *UPGRADE),
    "upgrade-ipv6": head(GET, "Host: [::1]:8000", *UPGRADE, "Origin: http://[::1]:8000"),
    "upgrade-absolute": head("GET ws://a:8000/x?y HTTP/1.1", "Host: b", *UPGRADE),
    "upgrade-absolute-bare": head("GET http://a:8000 HTTP/1.1", "Host: b", *UPGRADE),
    "upgrade-percent": head(GET, "Host: ex%41mple.com", *UPGRADE),
    "origin-same": head(GET, HOST, *UPGRADE, "Origin: http://example.com"),
    "origin-https": head(GET, HOST, *UPGRADE, "Origin: https://EXAMPLE.com:443"),
    "origin-other": head(GET, HOST, *UPGRADE, "Origin: http://example.net"),
    "origin-null": head(GET, HOST, *UPGRADE, "Origin: null"),
    "origin-user": head(GET, HOST, *UPGRADE, "Origin: http://example.com@example.net"),
    "origin-two": head(GET, HOST, *UPGRADE, "Origin: http://a", "Origin: http://a"),
    "protocol": head(GET, HOST, *UPGRADE, "Sec-WebSocket-Protocol: x, chat,, chat.v2"),
    "protocol-two": head(
        GET, HOST, *UPGRADE, "Sec-WebSocket-Protocol: x", "sec-websocket-protocol: chat"
    ),
    "protocol-none": head(GET, HOST, *UPGRADE, "Sec-WebSocket-Protocol: CHAT"),
    "protocol-bad": head(GET, HOST, *UPGRADE, "Sec-WebSocket-Protocol: chat v2"),
    "get": head(GET, HOST, "User-Agent: x", "Accept: */*"),
    "head": head("HEAD / HTTP/1.1", HOST),
    "delete": head("DELETE /a HTTP/1.1", HOST),
    "options": head("OPTIONS * HTTP/1.1", HOST),
    "post": head("POST / HTTP/1.1", HOST, "Content-Length: 3") + b"a=b",
    "host-none": head(GET),
    "host-two": head(GET, HOST, HOST),
    "host-empty": head(GET, "Host:"),
    "host-bad": head(GET, "Host: a b"),
    "host-port": head(GET, "Host: a:65536"),
    "host-long-ipv6": head(GET, f"Host: [{'0' * 46}]"),
    "host-zone": head(GET, "Host: [fe80::1%25eth0]"),
    "target-scheme": head("GET ftp://a/ HTTP/1.1", HOST),
    "target-authority": head("CONNECT a:443 HTTP/1.1", HOST),
    "target-no-host": head("GET http:///x HTTP/1.1", HOST),
    "target-fragment": head("GET /a#b HTTP/1.1", HOST),
    "version-10": head("GET / HTTP/1.0", HOST),
    "version-12": head("GET / HTTP/1.2", HOST),
    "version-110": head("GET / HTTP/1.10", HOST),
    "version-20": head("GET / HTTP/2.0", HOST),
    "version-none": b"GET /\r\n\r\n",
    "empty-line": b"\r\n" + head(GET, HOST),
    "bare-lf": head(GET, HOST).replace(b"\r", b""),
    "bare-cr": head(GET, HOST, "X: a\rb"),
    "nul": head(GET, HOST, "X: a\0b"),
    "obs-fold": head(GET, HOST, "X: a", " b"),
    "space-colon": head(GET, "Host : example.com"),
    "no-name": head(GET, HOST, ": x"),
    "obs-text": head(GET, HOST, "X: gr\xfc\xdf"),
    "spaces": head(GET, HOST, "X: \t a b \t", "Y:", "Z: \t "),
    "cut": head(GET, HOST, *UPGRADE)[:-3],
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}
STATUS = "HTTP/1.1 101 Switching Protocols"
RESPONSES = {
    "answer": head(STATUS, *ANSWER),
    "answer-and-frame": head(STATUS, *ANSWER) + frame(FIN | TEXT, b"early", b""),
    "answer-no-reason": head("HTTP/1.1 101 ", *ANSWER),
    "answer-wrong": head(STATUS, *ANSWER[:2], "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    "answer-two": head(STATUS, *ANSWER, ANSWER[2]),
    "answer-200": head("HTTP/1.1 200 OK", *ANSWER),
    "answer-no-upgrade": head(STATUS, *ANSWER[1:]),
    "answer-no-connection": head(STATUS, ANSWER[0], ANSWER[2]),
    "answer-no-accept": head(STATUS, *ANSWER[:2]),
    "answer-extension": head(STATUS, *ANSWER, "Sec-WebSocket-Extensions: permessage-deflate"),
    "answer-protocol": head(STATUS, *ANSWER, "Sec-WebSocket-Protocol: chat"),
    "answer-503": head("HTTP/1.1 503 Service Unavailable", "Content-Length: 5") + b"busy\n",
    "answer-no-space": head("HTTP/1.1 101", *ANSWER),
    "answer-version": head("HTTP/1.0 101 Switching Protocols", *ANSWER),
}


def http_seeds() -> Iterator[Seed]:
    upgrade, answer = REQUESTS["upgrade"], RESPONSES["answer"]
    for name, data in REQUESTS.items():
        yield name, http_setting() + data
    for name, data in RESPONSES.items():
        yield name, http_setting(True) + data
    for name, cut in CUTS.items():
        yield f"upgrade-{name}", http_setting(cut=cut) + upgrade
        yield f"answer-{name}", http_setting(True, cut=cut) + answer
    for size in MAX_SIZES[2:]:
        yield f"max-size-{size}", http_setting(max_size=size) + upgrade
    yield "max-size-answer", http_setting(True, max_size=100) + answer
    for n in MAX_HEADERS[1:]:
        yield f"max-headers-{n}", http_setting(max_headers=n) + upgrade
    for mode in ANY, LIST:
        name = "any" if mode == ANY else "list"
        setting = http_setting(origins=mode, hosts=mode)
        for request in "origin-same", "origin-https", "origin-other", "upgrade-ipv6", "get":
            yield f"{request}-{name}", setting + REQUESTS[request]
        yield f"upgrade-absolute-{name}", setting + REQUESTS["upgrade-absolute"]


# -- fuzz_proto --

SIZES = (None, 70000, 16385, 16384, 1000, 126, 10, 0)
FRAGMENTS = (1000, 8, 3, 2, 1, 0, 5, None)
DIRECT, ROOM, SKIP, GIVE_UP = range(4)


def coded_stretches(stretches: tuple[tuple[int, int], ...]) -> bytes:
    """Where in the stream four bytes are repeated, and the code for how often."""
    return b"".join(struct.pack("!HB", *pair) for pair in (*stretches, (0, 0), (0, 0))[:2])


def proto_setting(
    client: bool = False,
    *,
    cut: bytes = PIECES,
    late: bool = False,
    idle: bool = True,
    simd: tuple[int, int] = (0, 2),
    size: int | None = None,
    fragments: int | None = 1000,
    answers: tuple[int, int, int, int] = (DIRECT, ROOM, SKIP, GIVE_UP),
    stretches: tuple[tuple[int, int], ...] = (),
) -> bytes:
    first = client | late << 1 | simd[0] << 2 | simd[1] << 5
    limits = SIZES.index(size) | FRAGMENTS.index(fragments) << 3 | idle << 6
    coded = sum(answer << 2 * i for i, answer in enumerate(answers))
    return cut + bytes([first, limits, coded]) + coded_stretches(stretches)


def streams(key: bytes) -> Iterator[Seed]:
    """Streams to a server (with a key), or to a client."""

    def f(first: int, payload: bytes = b"") -> bytes:
        return frame(first, payload, key)

    for opcode in range(16):
        yield f"opcode-{opcode}", f(FIN | opcode, b"hi") + f(FIN | TEXT, b"after")
    for rsv in 1, 2, 4:
        yield f"rsv-{rsv}", f(FIN | rsv << 4 | TEXT, b"hi")
    yield "messages", f(FIN | TEXT, b"hello") + f(FIN | BINARY, b"\xff\xfe") + f(FIN | TEXT)
    yield "length-125", f(FIN | BINARY, bytes(125)) + f(FIN | PING, bytes(125))
    yield "length-126", f(FIN | BINARY, bytes(126)) + f(FIN | PING, bytes(126))
    for name, size in LENGTHS.items():
        yield f"announced-{name}", header(FIN | BINARY, size, key) + b"abcd"
    yield "length-not-minimal", header(FIN | TEXT, 5, key, length_bytes=2) + b"abcde"
    yield "fragments", f(TEXT, b"a\xf0\x9f") + f(CONTINUATION, b"\x98") + f(FIN, b"\x80z")
    yield "fragments-empty", f(BINARY) + f(CONTINUATION) + f(FIN) + f(TEXT, b"x") + f(FIN)
    yield "fragments-many", f(BINARY, b"1") + f(CONTINUATION, b"2") * 12 + f(FIN, b"3")
    yield "fragments-control", f(TEXT, b"a\xc3") + f(FIN | PING, b"\xff") + f(FIN, b"\xa9c")
    yield "fragments-close", f(TEXT, b"never ends") + f(FIN | CLOSE, b"\x03\xe8")
    yield "continue-nothing", f(FIN, b"x")
    yield "not-finished", f(TEXT, b"x") + f(FIN | TEXT, b"y")
    yield "control-fragmented", f(PING, b"x")
    yield "pings", f(FIN | PING) + f(FIN | PING, b"1") + f(FIN | PONG, b"22") + f(FIN | TEXT, b"3")
    yield "close-empty", f(FIN | CLOSE) + f(FIN | TEXT, b"late")
    yield "close-short", f(FIN | CLOSE, b"\x03")
    yield "close-reason", f(FIN | CLOSE, b"\x0f\xa0" + "gr\u00fc\u00df".encode())
    yield "close-bad-reason", f(FIN | CLOSE, b"\x03\xe8\xc3")
    for code in 999, 1004, 1005, 1006, 1011, 1015, 2999, 3000, 4999, 5000:
        yield f"close-{code}", f(FIN | CLOSE, struct.pack("!H", code))
    for name in "mixed", "cut-3", "surrogate-first", "overlong-4", "above-10ffff":
        yield f"text-{name}", f(FIN | TEXT, TEXTS[name]) + f(FIN | TEXT, b"after")


def repeats(code: int) -> int:
    """As in fuzz_proto.c."""
    if code < 128:
        return code
    return 4096 + (code - 128) * 8 if code < 255 else 16384


def large(key: bytes, first: int, codes: tuple[int, ...], tail: bytes = b"") -> tuple[bytes, int]:
    """A frame whose first four payload bytes are to be repeated, and where these are."""
    size = 4 + 4 * sum(map(repeats, codes)) + len(tail)
    payload = frame(first, b"abcd" + tail, key)[len(header(first, 0, key)) :]
    start = header(first, size, key)
    return start + payload, len(start)


def large_seeds(client: bool, role: str, key: bytes) -> Iterator[Seed]:
    """Messages above the 16384 bytes from which memory is asked for."""
    cut = b"\xa0\x40\xa0\x01"
    code = 200
    after = frame(FIN | TEXT, b"after", key)
    for name, answer in ("direct", DIRECT), ("room", ROOM), ("skip", SKIP), ("give-up", GIVE_UP):
        for kind, first, tail in (
            ("text", TEXT, b"end"),
            ("binary", BINARY, b""),
            ("bad", TEXT, b"\xc3"),
        ):
            stream, at = large(key, FIN | first, (code,), tail)
            setting = proto_setting(
                client,
                cut=cut,
                late=kind == "text",
                idle=kind == "text",
                answers=(answer,) * 4,
                stretches=((at, code),),
            )
            yield f"{role}-large-{name}-{kind}", setting + stream + after
    stream, at = large(key, FIN | BINARY, (code,), b"1")
    for answers in (SKIP, DIRECT, DIRECT, DIRECT), (GIVE_UP, SKIP, ROOM, ROOM):
        two = ((at, code), (at + len(stream), code))
        setting = proto_setting(client, cut=cut, answers=answers, stretches=two)
        yield f"{role}-large-two-{answers[0]}", setting + stream + stream + after
    for size in 70000, 16385, 16384:
        setting = proto_setting(client, cut=cut, size=size, stretches=((at, code),))
        yield f"{role}-large-max-size-{size}", setting + stream + after
    yield f"{role}-large-cut", proto_setting(client, cut=cut, stretches=((at, 150),)) + stream
    stream, at = large(key, FIN | BINARY, (255, code), b"end")
    setting = proto_setting(client, cut=cut, stretches=((at, 255), (at, code)))
    yield f"{role}-large-length-64", setting + stream + after
    # In fragments no memory is asked for.
    stream, at = large(key, BINARY, (code,), b"1")
    stream += frame(FIN, b"2", key) + after
    yield (
        f"{role}-large-fragments",
        proto_setting(client, cut=cut, stretches=((at, code),)) + stream,
    )


def proto_seeds() -> Iterator[Seed]:
    for client in False, True:
        role, key = ("client", b"") if client else ("server", KEY)
        named = dict(streams(key))
        for name, stream in named.items():
            yield f"{role}-{name}", proto_setting(client) + stream
        for name, cut in CUTS.items():
            yield f"{role}-{name}", proto_setting(client, cut=cut) + named["fragments-control"]
        yield f"{role}-wrong-mask", proto_setting(not client) + frame(FIN | TEXT, b"x", key)
        for size in SIZES[4:]:
            stream = frame(BINARY, b"x" * 9, key) + frame(FIN, b"x" * 2, key)
            yield f"{role}-max-size-{size}", proto_setting(client, size=size) + stream
        for n in FRAGMENTS[1:6]:
            setting = proto_setting(client, fragments=n)
            yield f"{role}-max-fragments-{n}", setting + named["fragments-many"]
        yield from large_seeds(client, role, key)


# -- fuzz_conn --

NO_CLOSE, CLOSE_FIRST, CLOSE_SECOND, CLOSE_OPEN = range(4)


def conn_setting(
    *,
    upgraded: bool = True,
    cut: bytes = PIECES,
    strategy: int = 0,
    answers: int = 1,
    large: bool = False,
    by_object: bool = False,
    close: int = NO_CLOSE,
    open_sends: bool = False,
    no_memory: bool = False,
    deaf: bool = False,
    abrupt: bool = False,
    in_parts: bool = False,
    pings: bool = False,
    topics: bool = False,
    stretches: tuple[tuple[int, int], ...] = (),
) -> bytes:
    """Upgraded: the handshake goes before the stream."""
    server = answers | large << 2 | by_object << 3 | close << 4 | open_sends << 6 | no_memory << 7
    client = (
        upgraded
        | strategy << 1
        | deaf << 3
        | abrupt << 4
        | in_parts << 5
        | pings << 6
        | topics << 7
    )
    return cut + bytes([server, client]) + coded_stretches(stretches)


def conn_seeds() -> Iterator[Seed]:
    pages = {f"page-{method}": head(f"{method} /page HTTP/1.1", HOST) for method in ("GET", "HEAD")}
    for i, (name, data) in enumerate({**REQUESTS, **pages}.items()):
        yield f"head-{name}", conn_setting(upgraded=False, strategy=i % 3) + data
    for i, (name, stream) in enumerate(streams(KEY)):
        yield name, conn_setting(strategy=i % 3) + stream

    messages = b"".join(frame(FIN | TEXT, b"message %d" % i) for i in range(4))
    stream = frame(FIN | PING, b"p") + messages
    ended = stream + frame(FIN | CLOSE, b"\x03\xe8")
    for name, cut in CUTS.items():
        yield f"answers-3-{name}", conn_setting(answers=3, cut=cut) + ended
        yield f"object-{name}", conn_setting(by_object=True, cut=cut) + ended
        yield f"close-1-{name}", conn_setting(close=CLOSE_FIRST, cut=cut) + ended
        yield f"close-2-{name}", conn_setting(close=CLOSE_SECOND, cut=cut, strategy=1) + ended
        yield f"close-open-{name}", conn_setting(close=CLOSE_OPEN, cut=cut, strategy=2) + ended
        yield f"open-sends-{name}", conn_setting(open_sends=True, cut=cut) + ended
        yield f"parts-{name}", conn_setting(in_parts=True, cut=cut) + ended
        setting = conn_setting(in_parts=True, by_object=True, close=CLOSE_SECOND, cut=cut)
        yield f"parts-close-{name}", setting + ended
        yield f"pings-{name}", conn_setting(pings=True, open_sends=True, cut=cut) + ended
        yield f"eof-{name}", conn_setting(cut=cut) + stream
        yield f"abrupt-{name}", conn_setting(abrupt=True, cut=cut) + ended
        for strategy in range(3):
            setting = conn_setting(answers=3, large=True, deaf=True, cut=cut, strategy=strategy)
            yield f"deaf-{name}-{strategy}", setting + ended
        setting = conn_setting(large=True, deaf=True, abrupt=True, by_object=True, cut=cut)
        yield f"deaf-abrupt-{name}", setting + ended * 4

    names = "a/b", "a/+", "#", "a/#", "a/b", "+/b", "a//b", "a/b#", "$x/y", "a/b/c/d", "x" * 250
    kinds = TEXT, BINARY
    stream = b"".join(frame(FIN | kind, name.encode()) for name in names for kind in kinds)
    yield "topics", conn_setting(topics=True, answers=0) + stream
    yield (
        "topics-limit",
        conn_setting(topics=True, answers=0)
        + b"".join(frame(FIN | TEXT, b"topic %d" % i) for i in range(20)),
    )

    code = 200
    big, at = large(KEY, FIN | BINARY, (code,), b"end")
    cut = b"\xa0\x40\xa0\x01"
    stream = frame(FIN | PING, b"p") + messages
    stretches = ((at, code),)
    yield "big", conn_setting(cut=cut, stretches=stretches) + big + ended
    yield "big-object", conn_setting(by_object=True, cut=cut, stretches=stretches) + big + ended
    yield "big-close", conn_setting(close=CLOSE_OPEN, cut=cut, stretches=stretches) + big + ended
    late = ((len(stream) + at, code),)
    yield "big-close-1", conn_setting(close=CLOSE_FIRST, cut=cut, stretches=late) + stream + big
    yield "big-no-memory", conn_setting(no_memory=True, cut=cut, stretches=stretches) + big + ended
    yield "big-cut", conn_setting(cut=cut, stretches=((at, 150),)) + big
    both = REQUESTS["upgrade"] + big + ended
    stretches = ((len(REQUESTS["upgrade"]) + at, code),)
    yield "big-early", conn_setting(upgraded=False, stretches=stretches) + both


# -- fuzz_extension --

DEFLATE = "permessage-deflate"
OFFERS = (
    "", ",", DEFLATE, f"{DEFLATE}; server_no_context_takeover", f"{DEFLATE};client_max_window_bits",
    f"{DEFLATE}; client_no_context_takeover; server_max_window_bits=10",
    f'{DEFLATE}; server_max_window_bits="1\\2"; client_max_window_bits="8"',
    f"{DEFLATE}; server_max_window_bits=8, {DEFLATE}", f"{DEFLATE}; server_max_window_bits=08",
    f"{DEFLATE}; server_max_window_bits", f"{DEFLATE}; client_max_window_bits=16",
    f"{DEFLATE}; server_no_context_takeover=1", f"{DEFLATE}; unknown, foo; a=b; c=\"d\"",
    f"{DEFLATE}; client_max_window_bits; client_max_window_bits", f"foo\nbar, {DEFLATE}\n{DEFLATE}",
    f'{DEFLATE}; server_max_window_bits="', f"{DEFLATE};", "=", f"{DEFLATE} {DEFLATE}", '"foo"',
    'foo; a="b,c"', f"{DEFLATE} ; \tserver_max_window_bits = 9 , ,",
)  # fmt: skip


def extension_seeds() -> Iterator[Seed]:
    for i, offer in enumerate(OFFERS):
        for setting in 0, 3, 0x1B:
            yield f"{i}-{setting}", bytes([setting]) + offer.encode()


# -- fuzz_deflate --

RSV1 = 0x40


def stored(data: bytes) -> bytes:
    """The payload of a message that is not compressed (RFC 7692 section 7.2.3.3)."""
    size = len(data)
    return b"\x00" + struct.pack("<HH", size, size ^ 0xFFFF) + data + b"\x00"


# 70,000 zeros, by zlib.
BOMB = bytes.fromhex(
    "ecc13101000000c2a0f54f6d094fa00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000080b701"
)


def deflate_seeds() -> Iterator[Seed]:
    hello, again = b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\xf2\x00\x11\x00\x00"
    final = b"\xf3\x48\xcd\xc9\xc9\x07\x00"
    text, binary = RSV1 | TEXT, RSV1 | BINARY
    streams: dict[str, list[tuple[int, bytes]]] = {
        "hello": [(FIN | text, hello), (FIN | text, again), (FIN | TEXT, b"plain")],
        "empty": [(FIN | text, b""), (FIN | text, b"\x00"), (FIN | binary, b"\x02\x00")],
        "fragments": [(text, hello[:3]), (FIN | PING, b"p"), (0, b""), (FIN, hello[3:])],
        "final": [(FIN | text, final + b"\x00"), (FIN | text, final), (FIN | text, again)],
        "finals": [(FIN | binary, final * 3 + b"\x03\x00" * 5 + b"\x00")],
        "stored": [(FIN | binary, stored(b"stored"))],
        "noise": [(FIN | binary, stored(bytes(range(256)) * 2))],
        "bomb": [(FIN | binary, BOMB)],
        "utf8": [(FIN | text, stored("gr\u00fc\u00df".encode())), (FIN | text, stored(b"\xff"))],
        "cut": [(FIN | binary, stored(b"cut short" * 20)[:-2])],
        "type-3": [(FIN | binary, b"\x07")],
        "rsv": [(FIN | text, hello), (text, hello), (FIN | RSV1, hello)],
        "rsv-ping": [(FIN | RSV1 | PING, b"")],
        "rsv-2": [(FIN | 0x20 | TEXT, b"")],
        "rsv-3": [(FIN | 0x50 | TEXT, b"")],
    }
    for name, frames in streams.items():
        for masked in 0, 1:
            stream = b"".join(frame(first, data, KEY if masked else b"") for first, data in frames)
            for alone in 0, 1:
                setting = PIECES + bytes([0x30 | alone, masked]) + bytes(6)
                yield f"{name}-{masked}-{alone}", setting + stream
    # Stored blocks of no bytes, long enough that a decompressor is borrowed, and a small limit.
    blocks = b"\x00\x00\x00\xff\xff" * 4
    long = header(FIN | binary, 70_000) + blocks
    yield "long", PIECES + bytes([0x39, 0]) + struct.pack("<HBHB", len(long) - 4, 255, 0, 0) + long


SEEDS = {
    "conn": conn_seeds,
    "deflate": deflate_seeds,
    "extension": extension_seeds,
    "frame": frame_seeds,
    "http": http_seeds,
    "proto": proto_seeds,
    "utf8": utf8_seeds,
}


def write_seeds(folder: Path) -> None:
    for target, seeds in SEEDS.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for name, data in seeds():
            path = folder / target / f"seed-{name}"
            assert len(data) < 4096, path
            path.write_bytes(data)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write_seeds(Path(sys.argv[1]))

"""Random heads of requests: valid ones, and ones with mistakes of every kind."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Sequence

TOKEN = "!#$%&'*+-.^_`|~0123456789abcxyzABCXYZ"
VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
TARGET = VISIBLE.replace("#", "")
VALUE = VISIBLE + " \t" * 8 + "\x80\xa0\xc3\xbc\xff"
HOSTS = (
    "localhost",
    "localhost:8000",
    "127.0.0.1:80",
    "[::1]:8000",
    "[2001:db8::1]",
    "example.com",
    "xn--bcher-kva.example:",
    "a%20b",
    "a_b!$&'()*+,;=~.c",
)
WRONG_HOSTS = (
    "",
    "a b",
    "a/b",
    "user@host",
    "[::1",
    "::1",
    "[::zz]",
    "a:b",
    "a:99999",
    "a%2",
    "\xe4",
)
Fields = list[tuple[str, str]]


class Maker:
    """Makes heads. The same seed makes the same heads."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.method = "GET"
        self.target = "/"
        self.version = "HTTP/1.1"
        self.fields: Fields = []

    def head(self) -> bytes:
        """Valid half of the time, with or without an upgrade. It ends with an empty line, behind
        which there may be more."""
        rng = self.rng
        self.fill()
        right = rng.random() < 0.4
        if not right and rng.random() < 0.8:
            rng.choice(self.mistakes)(self)
        head = self.join()
        if not right and rng.random() < 0.4:
            head = self.mutate(head)
        if rng.random() < 0.2:
            head += rng.randbytes(rng.randint(1, 20))
        return head if b"\r\n\r\n" in head else head + b"\r\n\r\n"

    def pieces(self, head: bytes) -> list[bytes]:
        """The head cut at random places."""
        rng, size = self.rng, len(head)
        if rng.random() < 0.3:
            return [head]
        if rng.random() < 0.1:
            return [head[i : i + 1] for i in range(size)]
        cuts = sorted(rng.sample(range(1, size), min(size - 1, rng.randint(1, 5))))
        return [head[a:b] for a, b in zip([0, *cuts], [*cuts, size], strict=True)]

    # what is right

    def fill(self) -> None:
        rng = self.rng
        fields = [("Host", rng.choice(HOSTS))]
        if rng.random() < 0.6:
            key = base64.b64encode(rng.randbytes(16)).decode()
            fields += [
                ("Upgrade", rng.choice(("websocket", "WebSocket", "websocket"))),
                (
                    "Connection",
                    rng.choice(("Upgrade", "upgrade", "keep-alive, Upgrade", ",UPGRADE")),
                ),
                ("Sec-WebSocket-Key", key),
                ("Sec-WebSocket-Version", "13"),
            ]
            if rng.random() < 0.2:
                fields.append(("Origin", "https://example.com"))
            if rng.random() < 0.2:
                offer = rng.choice(("chat, x", "x,chat,superchat", "x", "CHAT", " ,, chat ,"))
                fields.append(("Sec-WebSocket-Protocol", offer))
        elif rng.random() < 0.3:
            self.method = "HEAD"
        for _ in range(rng.choice((0, 0, 1, 2, 5))):
            fields.append((self.word(TOKEN, 1, 12), self.word(VALUE, 0, 30)))
        if rng.random() < 0.5:
            rng.shuffle(fields)
        if rng.random() < 0.3:
            fields = [(rng.choice((name.lower(), name.upper())), value) for name, value in fields]
        self.fields = fields
        self.target = "/" + self.word(TARGET, 0, 30)
        if rng.random() < 0.15:
            scheme = rng.choice(("http", "https", "ws", "wss", "HTTP"))
            path = rng.choice(("", "/", "/a?b", "?c"))
            self.target = f"{scheme}://{rng.choice(HOSTS)}{path}"

    def word(self, characters: str, least: int, most: int) -> str:
        return "".join(self.rng.choices(characters, k=self.rng.randint(least, most)))

    def join(self) -> bytes:
        rng = self.rng
        lines = [f"{self.method} {self.target} {self.version}"]
        for name, value in self.fields:
            before, behind = rng.choice(("", " ", " ", " \t")), rng.choice(("", "", "", " ", "\t"))
            lines.append(f"{name}:{before}{value}{behind}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    # what is wrong, or may be

    def change(self, name: str, *values: str) -> None:
        """Another value for a field; it is added if there is none."""
        self.drop(name)
        self.fields.append((name, self.rng.choice(values)))

    def drop(self, name: str) -> None:
        self.fields = [field for field in self.fields if field[0].lower() != name.lower()]

    def add(self, name: str, *values: str) -> None:
        at = self.rng.randint(0, len(self.fields))
        self.fields.insert(at, (name, self.rng.choice(values)))

    def spoil(self, *what: str) -> None:
        """Puts something into a value."""
        rng = self.rng
        i = rng.randrange(len(self.fields))
        name, value = self.fields[i]
        at = rng.randint(0, len(value))
        self.fields[i] = (name, value[:at] + rng.choice(what) + value[at:])

    def spoil_name(self, *names: str) -> None:
        self.fields.append((self.rng.choice(names), "x"))

    def set(self, **what: str) -> None:
        for name, value in what.items():
            setattr(self, name, value)

    def drop_some(self) -> None:
        self.drop(self.rng.choice(("Host", "Upgrade", "Connection", "Sec-WebSocket-Key")))

    def double(self) -> None:
        self.fields.insert(self.rng.randint(0, len(self.fields)), self.rng.choice(self.fields))

    mistakes: Sequence[Callable[[Maker], None]] = (
        drop_some,
        double,
        lambda m: m.drop("Sec-WebSocket-Version"),
        lambda m: m.add("Host", "localhost", "a"),
        lambda m: m.change("Host", *WRONG_HOSTS),
        lambda m: m.change("Upgrade", "websocket, h2c", "h2c", "websocket/13", "", ",websocket,"),
        lambda m: m.add("Upgrade", "h2c", "websocket"),
        lambda m: m.change("Connection", "close", "keep-alive", "upgrad", "Upgrade x", ""),
        lambda m: m.add("Connection", "close", "upgrade"),
        lambda m: m.change("Sec-WebSocket-Version", "12", "8", "13, 8", "013", "", "+13"),
        lambda m: m.add("Sec-WebSocket-Version", "13", "8"),
        lambda m: m.change(
            "Sec-WebSocket-Key", "", "x", "AAAA", "=" * 24, "A" * 24, "A" * 22 + "=="
        ),
        lambda m: m.add("Sec-WebSocket-Key", "A" * 22 + "=="),
        lambda m: m.add("Origin", "http://a", "null"),
        lambda m: m.add("Sec-WebSocket-Protocol", "superchat", "a/b", "chat x", '"chat"', "\xe4"),
        lambda m: m.add("Content-Length", "0", "1", "00", "-1", "+0", "0, 0", "0, 1", "", "9" * 21),
        lambda m: m.add("Transfer-Encoding", "chunked", "gzip", "gzip, chunked", "", "Chunked"),
        lambda m: m.set(
            method=m.rng.choice(("POST", "get", "OPTIONS", "CONNECT", "G@T", "", "G\tT"))
        ),
        lambda m: m.set(
            version=m.rng.choice(("HTTP/1.0", "HTTP/2.0", "HTTP/1.2", "http/1.1", "HTTP/1"))
        ),
        lambda m: m.set(
            version=m.rng.choice(("HTTP/1.11", "HTTP/11", "HTTPS/1.1", "", "HTTP/1.1 "))
        ),
        lambda m: m.set(
            target=m.rng.choice(("*", "", "a", "localhost:80", "http:///x", "ftp://a/"))
        ),
        lambda m: m.set(
            target=m.rng.choice(("/a#b", "/a b", "/a\tb", "/\x7f", "/\xe4", "//a", "/%"))
        ),
        lambda m: m.set(target="http://" + m.rng.choice(WRONG_HOSTS[1:]) + "/"),
        lambda m: m.spoil("\0", "\r", "\n", "\x01", "\x0b", "\x0c", "\x1b", "\x7f"),
        lambda m: m.spoil("\r\n ", "\r\n\t", "\n", "\n ", "\r\r\n", "\r\n"),
        lambda m: m.spoil_name("a ", "", " a", "a\tb", "a\0", "\xe4", "a(b)", "a\nb", "\ta"),
    )

    def mutate(self, head: bytes) -> bytes:
        rng, size = self.rng, len(head)
        at = rng.randrange(size)
        to = min(size, at + rng.randint(1, 3))
        way = rng.randrange(4)
        if way == 0:
            return head[:at] + bytes([head[at] ^ 1 << rng.randrange(8)]) + head[at + 1 :]
        if way == 1:
            return head[:at] + head[to:]
        if way == 2:
            return head[:at] + bytes(rng.choices(b"\r\n\t :/,\0\x7f\x80az", k=to - at)) + head[at:]
        return head[:to] + head[at:]

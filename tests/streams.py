"""Random streams of frames: valid ones, and ones with mistakes of every kind."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

from core import Role
from support import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame

CHARACTERS = "abc xyz 0189 ÄÖß\x00\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff世界€🎉\U00010000\U0010ffff"
SIZES = (0, 0, 1, 2, 3, 7, 20, 60, 124, 125, 126, 127, 128, 300)
LARGE = (16383, 16384, 16385, 20000, 65535, 65536, 65537, 70000)
CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999)
WRONG_CODES = (0, 1, 999, 1004, 1005, 1006, 1014, 1015, 1016, 1100, 2000, 2999, 5000, 9999, 65535)
WRONG_TEXTS = (
    b"\x80",  # a continuation byte alone
    b"\xbf\x80",
    b"\xc0\x80",  # overlong
    b"\xc1\xbf",
    b"\xe0\x9f\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xed\xa0\x80",  # surrogates
    b"\xed\xbf\xbf",
    b"\xf4\x90\x80\x80",  # above U+10FFFF
    b"\xf5\x80\x80\x80",
    b"\xfe",
    b"\xff",
    b"\xc3",  # cut short
    b"\xe2\x82",
    b"\xf0\x9f\x98",
    b"\xc3a",
    b"\xe2\x82a",
    b"\xf0\x9f\x98a",
    b"\xf0\x9fa",
)


def make_payload(rng: random.Random, opcode: int) -> bytes:
    """A payload that may stand in a frame of that kind."""
    if opcode >= CLOSE:
        return rng.randbytes(rng.choice((0, 1, 4, 124, 125)))
    size = rng.choice(LARGE) if rng.random() < 0.02 else rng.choice(SIZES)
    if opcode == BINARY:
        return rng.randbytes(size)
    if size < LARGE[0]:
        return "".join(rng.choices(CHARACTERS, k=size)).encode()
    most = (CHARACTERS * (size // len(CHARACTERS))).encode()[:size].decode(errors="ignore").encode()
    return most + b"x" * (size - len(most))


class Maker:
    """Makes streams for a peer of a role. The same seed makes the same streams."""

    def __init__(self, role: Role, seed: int) -> None:
        self.rng = random.Random(f"{role.name} {seed}")
        self.masked = role is Role.SERVER

    def stream(self) -> bytes:
        """Right or wrong, about as often."""
        rng = self.rng
        frames = self.frames()
        if rng.random() < 0.35:
            return b"".join(frames)
        if rng.random() < 0.6:
            make = rng.choice(self.mistakes)
            frames.insert(rng.randint(0, len(frames)), make(self))
        stream = b"".join(frames)
        if rng.random() < 0.5:
            for _ in range(rng.randint(1, 3)):
                stream = self.mutate(stream) or stream
        return stream

    def pieces(self, stream: bytes) -> list[bytes]:
        """The stream cut at random places."""
        rng, size = self.rng, len(stream)
        way = rng.random()
        if way < 0.2 or size < 2:
            return [stream]
        if way < 0.3 and size < 500:
            return [stream[i : i + 1] for i in range(size)]
        cuts = sorted(rng.sample(range(1, size), min(size - 1, rng.randint(1, 8))))
        return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, size], strict=True)]

    # what is right

    def frame(self, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
        mask = self.rng.randbytes(4) if self.masked else None
        return frame(opcode, payload, fin=fin, rsv=rsv, mask=mask)

    def frames(self) -> list[bytes]:
        frames: list[bytes] = []
        for _ in range(self.rng.randint(1, 6)):
            frames += self.message()
        if self.rng.random() < 0.3:
            frames.append(self.close())
            if self.rng.random() < 0.3:  # nobody reads that
                frames += self.message()
        return frames

    def message(self) -> list[bytes]:
        rng = self.rng
        opcode = rng.choice((TEXT, BINARY))
        payload = make_payload(rng, opcode)
        n = rng.choice((1, 1, 1, 2, 3, 5))
        cuts = sorted(rng.choices(range(len(payload) + 1), k=n - 1))
        frames = []
        for i, (a, b) in enumerate(zip([0, *cuts], [*cuts, len(payload)], strict=True)):
            frames += [self.control() for _ in range(rng.choice((0, 0, 0, 0, 1, 2)))]
            first = opcode if i == 0 else CONTINUATION
            frames.append(self.frame(first, payload[a:b], fin=i == n - 1))
        return frames

    def control(self) -> bytes:
        rng = self.rng
        opcode = rng.choice((PING, PONG))
        return self.frame(opcode, make_payload(rng, opcode))

    def close(self) -> bytes:
        rng = self.rng
        if rng.random() < 0.2:
            return self.frame(CLOSE)
        reason = "".join(rng.choices(CHARACTERS, k=rng.choice((0, 1, 10, 30)))).encode()
        return self.frame(CLOSE, struct.pack("!H", rng.choice(CODES)) + reason)

    # what is wrong

    def reserved_bit(self) -> bytes:
        opcode = self.rng.choice((CONTINUATION, TEXT, BINARY, PING, CLOSE))
        return self.frame(opcode, b"", rsv=self.rng.randint(1, 7))

    def reserved_opcode(self) -> bytes:
        opcode = self.rng.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15))
        return self.frame(opcode, b"x" * self.rng.choice((0, 1, 125, 126)), fin=bool(opcode % 3))

    def wrong_mask(self) -> bytes:
        opcode = self.rng.choice((CONTINUATION, TEXT, BINARY, PING, CLOSE))
        mask = None if self.masked else self.rng.randbytes(4)
        return frame(opcode, self.rng.choice((b"", b"abcdefgh", bytes(200))), mask=mask)

    def fragmented_control(self) -> bytes:
        return self.frame(self.rng.choice((PING, PONG, CLOSE)), b"", fin=False)

    def long_control(self) -> bytes:
        size = self.rng.choice((126, 127, 65535, 65536))
        return self.frame(self.rng.choice((PING, PONG, CLOSE)), bytes(size))

    def any_data(self) -> bytes:
        """Right or wrong, as the place has it."""
        opcode = self.rng.choice((CONTINUATION, TEXT, BINARY))
        return self.frame(opcode, b"any" * self.rng.randint(0, 1), fin=self.rng.random() < 0.5)

    def wrong_length(self) -> bytes:
        bit = 0x80 if self.masked else 0
        large = self.rng.choice((0, 125, 126, 65535, 65536, 1 << 32, (1 << 63) - 1, 1 << 63))
        head = self.rng.choice(
            (
                struct.pack("!BBH", 0x80 | BINARY, bit | 126, self.rng.choice((0, 1, 125, 126))),
                struct.pack("!BBQ", 0x80 | BINARY, bit | 127, large),
            )
        )
        return head + self.rng.randbytes(4 if self.masked else 0)

    def wrong_text(self) -> bytes:
        wrong = self.rng.choice(WRONG_TEXTS)
        before, behind = self.rng.choice((b"", b"abc", bytes(40))), self.rng.choice((b"", b"xyz"))
        return self.frame(TEXT, before + wrong + behind, fin=self.rng.random() < 0.7)

    def wrong_close(self) -> bytes:
        rng = self.rng
        code, wrong_code = rng.choice(CODES), rng.choice(WRONG_CODES)
        reason = rng.choice((b"", b"why"))
        return self.frame(
            CLOSE,
            rng.choice(
                (
                    b"\x03",
                    struct.pack("!H", wrong_code) + reason,
                    struct.pack("!H", code) + reason + rng.choice(WRONG_TEXTS),
                )
            ),
        )

    mistakes: Sequence[Callable[[Maker], bytes]] = (
        reserved_bit,
        reserved_opcode,
        wrong_mask,
        fragmented_control,
        long_control,
        any_data,
        any_data,
        wrong_length,
        wrong_text,
        wrong_text,
        wrong_close,
        wrong_close,
    )

    def mutate(self, stream: bytes) -> bytes:
        """Changes some bytes, most often near the start, where headers are."""
        rng, size = self.rng, len(stream)
        at = rng.randrange(min(size, rng.choice((4, 20, 200, size))))
        to = min(size, at + rng.randint(1, 6))
        way = rng.randrange(6)
        if way <= 1:
            return stream[:at] + bytes([stream[at] ^ 1 << rng.randrange(8)]) + stream[at + 1 :]
        if way == 2:
            return stream[:at] + stream[to:]
        if way == 3:
            return stream[:at] + rng.randbytes(to - at) + stream[at:]
        if way == 4:
            return stream[:to] + stream[at:]
        return stream[: at + 1]

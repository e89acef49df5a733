"""A client of raw bytes that speaks permessage-deflate (RFC 7692), with Python's zlib."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

from support import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    TEXT,
    Client,
    accept_of,
    frame,
)

import wspy

TAIL = b"\x00\x00\xff\xff"
RSV1 = 4
OFFER = "permessage-deflate"
# Such a message is worth to be compressed.
LONG = "Grüße an alle, die das lesen. " * 40


def compress(data: bytes, *, bits: int = 15, level: int = 6) -> bytes:
    """The payload of a message that stands by itself (section 7.2.1)."""
    codec = zlib.compressobj(level, wbits=-bits)
    payload = codec.compress(data) + codec.flush(zlib.Z_SYNC_FLUSH)
    assert payload.endswith(TAIL)
    return payload[:-4]


def inflate(payload: bytes, *, bits: int = 15) -> bytes:
    codec = zlib.decompressobj(wbits=-bits)
    data = codec.decompress(payload + TAIL)
    assert not codec.unconsumed_tail
    assert not codec.unused_data
    return data


class Message:
    """What came: ``frames`` holds the payload of each, as it came."""

    def __init__(self, opcode: int, frames: list[bytes], data: bytes, compressed: bool) -> None:
        self.opcode = opcode
        self.frames = frames
        self.data = data
        self.compressed = compressed

    @property
    def value(self) -> str | bytes:
        return self.data.decode() if self.opcode == TEXT else self.data


class DeflateClient(Client):
    """A client that offers the extension. ``agreed``: the answer's parameters, None if it has none."""

    def __init__(
        self, target: wspy.Server | str, offer: str | None = OFFER, **options: Any
    ) -> None:
        self.agreed: dict[str, str | None] | None = None
        headers = [] if offer is None else [("Sec-WebSocket-Extensions", offer)]
        super().__init__(target, headers=headers, **options)

    def check_upgrade(self, key: str = KEY) -> None:
        status, _, headers = self.read_head()
        if status != 101:
            raise AssertionError(f"{status}: {self.read_all()!r}")
        assert headers["Sec-WebSocket-Accept"] == accept_of(key)
        self.answer = headers.get("Sec-WebSocket-Extensions")
        if self.answer is not None:
            self.agree(self.answer)

    def agree(self, answer: str) -> None:
        name, *parameters = answer.split("; ")
        assert name == OFFER
        pairs = [parameter.partition("=") for parameter in parameters]
        self.agreed = {key: value or None for key, _, value in pairs}
        assert len(self.agreed) == len(pairs), answer
        self.in_bits = int(self.agreed.get("server_max_window_bits") or 15)
        self.out_bits = int(self.agreed.get("client_max_window_bits") or 15)
        self.renew_in()
        self.renew_out()

    def renew_in(self) -> None:
        self.inflater = zlib.decompressobj(wbits=-self.in_bits)

    def renew_out(self) -> None:
        self.deflater = zlib.compressobj(wbits=-max(self.out_bits, 9))

    # sending

    def pack(self, data: bytes) -> bytes:
        """The payload of the next message."""
        assert self.agreed is not None
        payload = self.deflater.compress(data) + self.deflater.flush(zlib.Z_SYNC_FLUSH)
        if "client_no_context_takeover" in self.agreed:
            self.renew_out()
        return payload[:-4] if payload.endswith(TAIL) else b"\0"

    def make_packed(
        self, message: str | bytes, sizes: Sequence[int] = (), between: bytes = b""
    ) -> bytes:
        """The frames of a message: fragments of those sizes, and the rest."""
        data = message.encode() if isinstance(message, str) else message
        payload = self.pack(data)
        opcode, rsv, frames = (TEXT if isinstance(message, str) else BINARY), RSV1, []
        for size in sizes:
            frames.append(frame(opcode, payload[:size], fin=False, rsv=rsv) + between)
            payload, opcode, rsv = payload[size:], CONTINUATION, 0
        return b"".join(frames) + frame(opcode, payload, rsv=rsv)

    def send_packed(self, message: str | bytes, sizes: Sequence[int] = ()) -> None:
        self.send_raw(self.make_packed(message, sizes))

    # receiving

    def read_any_frame(self) -> tuple[int, int, bool, bytes]:
        """Opcode, reserved bits, fin, payload."""
        first, second = self.read(2)
        assert not second & 0x80, "a server's frame is masked"
        size = second
        if size == 126:
            (size,) = struct.unpack("!H", self.read(2))
            assert size >= 126, "the length is not minimal"
        elif size == 127:
            (size,) = struct.unpack("!Q", self.read(8))
            assert size >= 65536, "the length is not minimal"
        return first & 0x0F, first >> 4 & 7, bool(first & 0x80), self.read(size)

    def receive_message(self) -> Message:
        """The next message, decompressed as it was agreed on."""
        opcode, rsv, fin, payload = self.read_any_frame()
        assert opcode in (TEXT, BINARY), f"opcode {opcode} with {payload[:80]!r}"
        assert rsv in (0, RSV1)
        frames = [payload]
        while not fin:
            following, more, fin, payload = self.read_any_frame()
            assert (following, more) == (CONTINUATION, 0)
            frames.append(payload)
        data = b"".join(frames)
        if rsv:
            assert self.agreed is not None
            data = self.inflater.decompress(data + TAIL)
            assert not self.inflater.unused_data
            if "server_no_context_takeover" in self.agreed:
                self.renew_in()
        return Message(opcode, frames, data, rsv == RSV1)

    def receive(self) -> str | bytes:
        return self.receive_message().value

    def expect_close(self) -> tuple[int | None, str]:
        opcode, rsv, fin, payload = self.read_any_frame()
        assert (opcode, rsv, fin) == (CLOSE, 0, True), f"{opcode} {rsv} {payload[:80]!r}"
        if not payload:
            return None, ""
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    def peek(self) -> int:
        """The opcode of the next frame, which stays unread."""
        first = self.read(1)
        self.buffer[:0] = first
        return first[0] & 0x0F

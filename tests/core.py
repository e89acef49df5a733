"""The parsers and writers of the core as Python functions, by way of tests/c/driver.c.

Whatever breaks a contract of the core's headers is an AssertionError.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import (
    byref,
    c_bool,
    c_char,
    c_char_p,
    c_int,
    c_size_t,
    c_uint,
    c_uint8,
    c_uint32,
    c_uint64,
    c_void_p,
    string_at,
)
from enum import IntEnum
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from building import CC, CORE, INCLUDE, LIBRARIES, ROOT, STANDARD, WARNINGS, compile_core, must

# What the driver calls, and what that calls.
PARSERS = (
    *("base64", "buf", "deflate", "extension", "frame", "handshake", "http", "mask", "proto"),
    *("sha1", "simd", "utf8"),
)


class Role(IntEnum):
    SERVER = 0
    CLIENT = 1

    @property
    def peer(self) -> Role:
        return Role.CLIENT if self is Role.SERVER else Role.SERVER


class Event(NamedTuple):
    """What a peer was told: "text", "binary", "ping", "pong", "close" with the code, or "fail"."""

    kind: str
    data: bytes = b""
    code: int = 0


class Header(NamedTuple):
    """Of a frame. ``key`` is what masks, None if nothing does."""

    fin: bool
    rsv: int
    opcode: int
    key: bytes | None
    size: int


class Head(NamedTuple):
    """A request's head, and what the handshake says to it."""

    size: int = 0  # 0: it is refused by its grammar, or has not ended
    status: int = 0  # to refuse it with
    detail: str = ""
    upgrade: bool = False
    accept: bytes = b""
    subprotocol: bytes = b""
    pos: int = 0  # how far the reader came; after a grammar error: the refused byte
    method: bytes = b""
    target: bytes = b""
    fields: tuple[tuple[bytes, bytes], ...] = ()


class _Input(ctypes.Structure):
    _fields_ = (("data", c_char_p), ("ends", ctypes.POINTER(c_size_t)), ("n", c_size_t))


class _Frame(ctypes.Structure):
    """struct ws_frame."""

    _fields_ = (
        ("fin", c_bool),
        ("masked", c_bool),
        ("rsv", c_uint8),
        ("opcode", c_uint8),
        ("key", c_uint8 * 4),
        ("len", c_uint64),
    )


class _Verdict(ctypes.Structure):
    _fields_ = (
        ("size", c_int),
        ("status", c_int),
        ("upgrade", c_int),
        ("pos", c_size_t),
        ("detail", c_char_p),
        ("subprotocol", c_void_p),
        ("subprotocol_len", c_size_t),
        ("accept", c_char * 29),
    )


_EVENT = ctypes.CFUNCTYPE(None, c_int, c_int, c_int, c_uint, c_void_p, c_size_t)
_PAIR = ctypes.CFUNCTYPE(None, c_void_p, c_size_t, c_void_p, c_size_t)
# enum ws_proto_kind, without what the driver keeps to itself.
_KINDS = {1: "message", 2: "ping", 3: "pong", 4: "close", 6: "fail"}


def _input(pieces: Sequence[bytes]) -> _Input:
    ends = (c_size_t * len(pieces))(*accumulate(map(len, pieces)))
    return _Input(b"".join(pieces), ends, len(pieces))


class Core:
    """The core, compiled and loaded."""

    def __init__(self, folder: Path) -> None:
        library = folder / "core.so"
        flags = ["-g", "-O1", "-fPIC"]
        objects = compile_core(folder, flags, [CORE / f"{name}.c" for name in PARSERS])
        driver = ROOT / "tests" / "c" / "driver.c"
        options = [*STANDARD, *flags, *WARNINGS, INCLUDE, "-shared", "-Wl,-z,defs"]
        must([*CC, *options, driver, *objects, *LIBRARIES, "-o", library])
        self._lib: Any = ctypes.CDLL(str(library))
        for name in ("driver_write", "ws_frame_write", "ws_frame_header_size"):
            self._lib[name].restype = c_size_t
        self._lib.ws_proto_close_payload.restype = c_size_t
        self._lib.ws_proto_code_is_valid.restype = c_bool
        self.simd_levels = [level for level in range(3) if self._lib.ws_simd_has(level)]

    def feed(
        self, role: Role, pieces: Sequence[bytes], *, simd: int = 0, room: bool = False
    ) -> list[Event]:
        """What a peer of that role is told that gets these pieces of a stream. ``room``: large
        messages are read straight into their memory."""
        told: list[tuple[int, int, int, int, bytes]] = []

        def tell(kind: int, text: int, ascii: int, code: int, data: int, size: int) -> None:
            told.append((kind, text, ascii, code, string_at(data, size) if size else b""))

        result = self._lib.driver_feed(role, simd, room, byref(_input(pieces)), _EVENT(tell))
        assert result == 0, result
        events = []
        for number, text, ascii, code, data in told:
            kind = _KINDS[number]
            if kind == "message":
                kind = "text" if text else "binary"
                assert ascii == (text and data.isascii()), data
            events.append(Event(kind, b"" if kind == "fail" else data, code))
        return events

    def write(
        self,
        role: Role,
        opcode: int,
        payload: bytes,
        key: bytes = bytes(4),
        *,
        fin: bool = True,
        simd: int = 0,
    ) -> bytes:
        """A frame of such a peer."""
        mask = c_uint32.from_buffer_copy(key)
        arguments = (role, simd, opcode, fin, payload, c_size_t(len(payload)), mask)
        size = self._lib.driver_write(*arguments, None)
        out = ctypes.create_string_buffer(b"\xee" * (size + 1))
        assert self._lib.driver_write(*arguments, out) == size
        assert out.raw[size:] == b"\xee\0"  # nothing behind the frame
        return out.raw[:size]

    def close_payload(self, code: int, reason: bytes) -> bytes:
        out = ctypes.create_string_buffer(125)
        size = self._lib.ws_proto_close_payload(out, code, reason, c_size_t(len(reason)))
        return out.raw[:size]

    def is_close_code(self, code: int) -> bool:
        return bool(self._lib.ws_proto_code_is_valid(code))

    def parse_header(self, data: bytes) -> tuple[int, Header | None]:
        """The result of ws_frame_parse, and the header if it is above 0."""
        frame = _Frame()
        size: int = self._lib.ws_frame_parse(byref(frame), data, c_size_t(len(data)))
        if size <= 0:
            return size, None
        key = bytes(frame.key)
        assert frame.masked or key == bytes(4)
        masked = key if frame.masked else None
        return size, Header(frame.fin, frame.rsv, frame.opcode, masked, frame.len)

    def write_header(self, header: Header) -> bytes:
        key = (c_uint8 * 4)(*(header.key or ()))
        masked = header.key is not None
        frame = _Frame(header.fin, masked, header.rsv, header.opcode, key, header.size)
        out = ctypes.create_string_buffer(14)
        size = self._lib.ws_frame_write(out, byref(frame))
        assert self._lib.ws_frame_header_size(c_uint64(header.size), c_bool(masked)) == size
        return out.raw[:size]

    def head(self, pieces: Sequence[bytes]) -> Head:
        """A request's head that comes in pieces; any origin and any host are let in."""
        pairs: list[tuple[bytes, bytes]] = []

        def tell(a: int, a_size: int, b: int, b_size: int) -> None:
            pairs.append((string_at(a, a_size), string_at(b, b_size)))

        v = _Verdict()
        assert self._lib.driver_head(byref(_input(pieces)), byref(v), _PAIR(tell)) == 0
        (method, target), *fields = pairs or [(b"", b"")]
        detail = (v.detail or b"").decode()
        return Head(
            v.size,
            v.status,
            detail,
            bool(v.upgrade),
            v.accept,
            string_at(v.subprotocol, v.subprotocol_len) if v.subprotocol_len else b"",
            v.pos,
            method,
            target,
            tuple(fields),
        )

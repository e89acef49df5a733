"""One frame: what it is called and what it has. ``wspy.frames`` makes them and reads them."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Opcode(IntEnum):
    """What a frame is (RFC 6455 section 5.2). The other numbers are reserved.

    >>> Opcode(9)
    <Opcode.PING: 9>
    """

    CONT = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


# By number, for the extension.
OPCODES = tuple(Opcode(i) if i in Opcode._value2member_map_ else None for i in range(16))


class Frame(NamedTuple):
    """What ``unpack()`` and ``unpack_from()`` of ``wspy.frames`` give.

    >>> from wspy import frames
    >>> frame = frames.unpack(bytes.fromhex("c1 83 01020304 494b22"), rsv=4)
    >>> frame.opcode, frame.payload, frame.fin, frame.rsv, frame.mask, frame.size
    (<Opcode.TEXT: 1>, b'HI!', True, 4, b'\\x01\\x02\\x03\\x04', 9)
    """

    opcode: Opcode
    payload: bytes  # not masked any more
    fin: bool  # False: fragments follow
    rsv: int  # 4 for RSV1, 2 for RSV2, 1 for RSV3
    mask: bytes | None  # the 4 bytes that masked it, None if nothing did
    size: int  # bytes of the whole frame, the header included

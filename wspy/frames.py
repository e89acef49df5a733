"""WebSocket frames in the manner of ``struct``: values in, bytes out, and back.

For those who have the socket themselves, and for tests and tools. A frame is read as strictly as
RFC 6455 section 5.2 wants it. Fragments, UTF-8, close codes and who has to mask are for whoever
knows the frames before and the role: ``wspy.Server`` does all of it.

>>> from wspy import frames
>>> data = frames.pack(frames.TEXT, "Hi", mask=b"\\x01\\x02\\x03\\x04")
>>> frame = frames.unpack(data)
>>> frame.opcode, frame.payload, frame.mask
(<Opcode.TEXT: 1>, b'Hi', b'\\x01\\x02\\x03\\x04')
"""

from ._core import frame_calcsize as calcsize
from ._core import frame_pack as pack
from ._core import frame_pack_into as pack_into
from ._core import frame_unpack as unpack
from ._core import frame_unpack_from as unpack_from
from .errors import FrameError, IncompleteFrame
from .frame import Frame, Opcode

CONT = Opcode.CONT
TEXT = Opcode.TEXT
BINARY = Opcode.BINARY
CLOSE = Opcode.CLOSE
PING = Opcode.PING
PONG = Opcode.PONG

__all__ = [
    "BINARY",
    "CLOSE",
    "CONT",
    "PING",
    "PONG",
    "TEXT",
    "Frame",
    "FrameError",
    "IncompleteFrame",
    "Opcode",
    "calcsize",
    "pack",
    "pack_into",
    "unpack",
    "unpack_from",
]

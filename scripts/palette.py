"""Makes a PNG small: the 256 colours that it has most of, and the best compression of zlib.

Good for pictures of pages, which have few colours, and for the opaque 8-bit images that
browsers write; nothing else is read.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {2: 3, 6: 4}  # RGB, RGBA


def chunks(png: bytes) -> dict[bytes, bytes]:
    """The data of each kind of chunk, joined."""
    assert png.startswith(SIGNATURE)
    found: dict[bytes, bytes] = {}
    at = len(SIGNATURE)
    while at < len(png):
        size, kind = struct.unpack_from(">I4s", png, at)
        found[kind] = found.get(kind, b"") + png[at + 8 : at + 8 + size]
        at += size + 12
    return found


def paeth(left: int, up: int, corner: int) -> int:
    estimate = left + up - corner
    distances = abs(estimate - left), abs(estimate - up), abs(estimate - corner)
    return (left, up, corner)[distances.index(min(distances))]


def unfilter(kind: int, line: bytearray, above: bytes, step: int) -> None:
    """PNG specification, section 9.2: each byte was stored as the distance from its neighbours."""
    for i in range(len(line) if kind else 0):
        left = line[i - step] if i >= step else 0
        corner = above[i - step] if i >= step else 0
        guess = (0, left, above[i], (left + above[i]) // 2, paeth(left, above[i], corner))[kind]
        line[i] = (line[i] + guess) & 0xFF


def pixels(png: bytes) -> tuple[int, int, list[bytes]]:
    """The width, the height, and three bytes for each pixel."""
    parts = chunks(png)
    width, height, depth, colours, *_ = struct.unpack(">IIBBBBB", parts[b"IHDR"])
    assert depth == 8
    step = CHANNELS[colours]
    data = zlib.decompress(parts[b"IDAT"])
    size = width * step
    above, found = bytes(size), []
    for start in range(0, height * (size + 1), size + 1):
        line = bytearray(data[start + 1 : start + 1 + size])
        unfilter(data[start], line, above, step)
        found += [bytes(line[i : i + 3]) for i in range(0, size, step)]
        above = bytes(line)
    return width, height, found


def shrink(png: bytes) -> bytes:
    width, height, found = pixels(png)
    palette = [colour for colour, _ in Counter(found).most_common(256)]

    def nearest(colour: bytes) -> int:
        far = [sum((a - b) ** 2 for a, b in zip(colour, p, strict=True)) for p in palette]
        return far.index(min(far))

    index = {colour: number for number, colour in enumerate(palette)}
    index |= {colour: nearest(colour) for colour in set(found) - index.keys()}
    line = bytes(index[colour] for colour in found)
    rows = b"".join(b"\0" + line[at : at + width] for at in range(0, width * height, width))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    return (
        SIGNATURE
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + chunk(b"PLTE", b"".join(palette))
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )

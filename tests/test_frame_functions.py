"""wspy.frames: as written here, beside websockets and wsproto, and with all that is wrong."""

from __future__ import annotations

import array
import gc
import inspect
import mmap
import pickle
import struct
import sys
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support import EFFORT, frame, make_binary, resident_kib
from websockets.exceptions import ProtocolError
from websockets.frames import Frame as TheirFrame
from websockets.frames import Opcode as TheirOpcode
from websockets.streams import StreamReader
from wsproto.frame_protocol import FrameProtocol

from wspy import frames
from wspy.frames import Frame, FrameError, IncompleteFrame, Opcode

# The same cases in every run, however slow the machine is.
fixed = settings(
    max_examples=100 * EFFORT,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
OPCODES = (0, 1, 2, 8, 9, 10)
RESERVED = (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
CONTROL = (8, 9, 10)
LONG = 2**63 - 1

keys = st.binary(min_size=4, max_size=4)
# Most that hypothesis makes is short: here is one on each side of every border.
payloads = st.binary() | st.builds(
    make_binary, st.sampled_from((125, 126, 127, 255, 256, 65535, 65536, 70_000))
)
# opcode, payload, fin, rsv, mask
data_frames = st.tuples(
    st.sampled_from((0, 1, 2)), payloads, st.booleans(), st.integers(0, 7), st.none() | keys
)
control_frames = st.tuples(
    st.sampled_from(CONTROL), st.binary(max_size=125), st.just(True), st.integers(0, 7),
    st.none() | keys,
)  # fmt: skip
parts = data_frames | control_frames
Parts = tuple[int, bytes, bool, int, bytes | None]


def pack(p: Parts) -> bytes:
    opcode, payload, fin, rsv, mask = p
    return frames.pack(opcode, payload, fin=fin, rsv=rsv, mask=mask)


def expected(p: Parts) -> bytes:
    """As the tests' own client writes it, with struct."""
    opcode, payload, fin, rsv, mask = p
    return frame(opcode, payload, fin=fin, rsv=rsv, mask=mask)


def as_frame(p: Parts) -> Frame:
    opcode, payload, fin, rsv, mask = p
    return Frame(Opcode(opcode), payload, fin, rsv, mask, len(expected(p)))


# -- what is right --


@fixed
@given(parts)
@example((1, b"", True, 0, None))
@example((2, bytes(65535), False, 7, b"\xff\xff\xff\xff"))
@example((0, bytes(65536), True, 0, bytes(4)))
def test_written_and_read_back(p: Parts) -> None:
    data = pack(p)
    assert data == expected(p)
    found = frames.unpack(data, rsv=7)
    assert found == as_frame(p)
    assert [type(value) for value in found[:4]] == [Opcode, bytes, bool, int]
    assert frames.unpack(bytearray(data), rsv=p[3]) == found
    assert frames.calcsize(len(p[1]), p[4] is not None) == len(data) == found.size
    again = frames.pack(found.opcode, found.payload, fin=found.fin, rsv=found.rsv, mask=found.mask)
    assert again == data


def test_the_examples_of_the_rfc() -> None:
    """RFC 6455 section 5.7."""
    key = bytes.fromhex("37fa213d")
    hello = bytes.fromhex("81 05 48 65 6c 6c 6f")
    masked = bytes.fromhex("81 85 37 fa 21 3d 7f 9f 4d 51 58")
    assert frames.pack(frames.TEXT, "Hello") == hello
    assert frames.pack(frames.TEXT, "Hello", mask=key) == masked
    assert frames.unpack(hello) == (frames.TEXT, b"Hello", True, 0, None, 7)
    assert frames.unpack(masked) == (frames.TEXT, b"Hello", True, 0, key, 11)
    assert frames.pack(frames.TEXT, "Hel", fin=False) == bytes.fromhex("01 03 48 65 6c")
    assert frames.pack(frames.CONT, "lo") == bytes.fromhex("80 02 6c 6f")
    assert frames.pack(frames.PING, "Hello") == bytes.fromhex("89 05 48 65 6c 6c 6f")
    pong = frames.pack(frames.PONG, "Hello", mask=key)
    assert pong == bytes.fromhex("8a 85 37 fa 21 3d 7f 9f 4d 51 58")
    assert frames.pack(frames.BINARY, bytes(256))[:4] == bytes.fromhex("82 7e 0100")
    assert frames.pack(frames.BINARY, bytes(65536))[:10] == bytes.fromhex("82 7f 0000000000010000")


def test_opcodes() -> None:
    names = {"CONT": 0, "TEXT": 1, "BINARY": 2, "CLOSE": 8, "PING": 9, "PONG": 10}
    assert {opcode.name: opcode.value for opcode in Opcode} == names
    assert {name: getattr(frames, name) for name in names} == names
    for opcode in Opcode:
        data = frames.pack(opcode, b"x")
        assert data == frames.pack(int(opcode), b"x")
        assert frames.unpack(data).opcode is opcode


@fixed
@given(st.text())
def test_text_is_utf8(text: str) -> None:
    assert frames.pack(frames.TEXT, text) == frame(1, text, mask=None)
    assert frames.unpack(frames.pack(frames.TEXT, text)).payload.decode() == text


def test_payloads_of_every_kind() -> None:
    data = b"\x01\x02\x03\x04\x05\x06\x07\x08"
    plain = frame(2, data, mask=None)
    for payload in (
        data, bytearray(data), memoryview(data), memoryview(b"x" + data)[1:],
        memoryview(bytes(x for byte in data for x in (byte, 0)))[::2],
        array.array("H", data), memoryview(data).cast("B", (2, 4)),
    ):  # fmt: skip
        assert frames.pack(2, payload) == plain
        out = bytearray(10)
        assert frames.pack_into(out, 0, 2, payload) == 10
        assert out == plain


def test_by_keyword() -> None:
    assert frames.pack(opcode=1, payload="a") == frames.pack(1, "a") == frames.pack(1, payload="a")
    out = bytearray(4)
    assert frames.pack_into(buffer=out, offset=1, opcode=1, payload="a", mask=None) == 3
    assert out == b"\0\x81\x01a"
    assert frames.unpack(data=b"\x81\x01a").size == 3
    assert frames.unpack_from(buffer=out, offset=1).size == 3
    assert frames.calcsize(payload_length=1, masked=True) == 7
    assert frames.calcsize(1, True) == 7


def test_the_signatures() -> None:
    values = "*, fin=True, rsv=0, mask=None"
    assert str(inspect.signature(frames.pack)) == f"(opcode, payload, {values})"
    into = inspect.signature(frames.pack_into)
    assert str(into) == f"(buffer, offset, opcode, payload, {values})"
    assert str(inspect.signature(frames.unpack)) == "(data, *, rsv=0)"
    assert str(inspect.signature(frames.unpack_from)) == "(buffer, offset=0, *, rsv=0)"
    assert str(inspect.signature(frames.calcsize)) == "(payload_length, masked=False)"
    for name in ("pack", "pack_into", "unpack", "unpack_from", "calcsize"):
        function = getattr(frames, name)
        assert (function.__module__, function.__name__) == ("wspy.frames", name)
        assert pickle.loads(pickle.dumps(function)) is function


def test_a_frame_is_a_tuple_of_its_own() -> None:
    found = frames.unpack(b"\x81\x02Hi")
    assert type(found) is Frame
    opcode, payload, fin, rsv, mask, size = found
    assert (opcode, payload, fin, rsv, mask, size) == (1, b"Hi", True, 0, None, 4)
    assert pickle.loads(pickle.dumps(found)) == found
    assert repr(found) == (
        "Frame(opcode=<Opcode.TEXT: 1>, payload=b'Hi', fin=True, rsv=0, mask=None, size=4)"
    )


# -- pack_into --


@fixed
@given(p=parts, before=st.integers(0, 20), behind=st.integers(0, 20))
def test_into_a_buffer(p: Parts, before: int, behind: int) -> None:
    opcode, payload, fin, rsv, mask = p
    data = expected(p)
    for offset in (before, -(len(data) + behind)):
        out = bytearray(b"\xa5") * (before + len(data) + behind)
        size = frames.pack_into(out, offset, opcode, payload, fin=fin, rsv=rsv, mask=mask)
        assert size == len(data)
        assert out == b"\xa5" * before + data + b"\xa5" * behind
        found = frames.unpack_from(out, offset, rsv=7)
        assert found == as_frame(p)


@fixed
@given(
    mask=st.none() | keys,
    start=st.integers(0, 200),
    size=st.integers(0, 200),
    offset=st.integers(0, 200),
)
def test_a_payload_out_of_the_same_buffer(
    mask: bytes | None, start: int, size: int, offset: int
) -> None:
    out = bytearray(make_binary(420))
    payload = bytes(out[start : start + size])
    data = expected((2, payload, True, 0, mask))
    whole = out[:offset] + data + out[offset + len(data) :]
    source = memoryview(out)[start : start + size]
    assert frames.pack_into(out, offset, 2, source, mask=mask) == len(data)
    assert out == whole


def test_every_kind_of_writable_buffer() -> None:
    data = frame(1, "Hello", mask=None)
    with mmap.mmap(-1, 7) as mapped:
        frames.pack_into(mapped, 0, 1, "Hello")
        assert mapped[:] == data
    numbers = array.array("B", bytes(7))
    frames.pack_into(numbers, 0, 1, "Hello")
    assert numbers.tobytes() == data
    out = bytearray(9)
    frames.pack_into(memoryview(out)[1:8], 0, 1, "Hello")
    assert out == b"\0" + data + b"\0"
    for wrong in (b"1234567", memoryview(bytes(7)), "text", None, memoryview(out)[::2]):
        with pytest.raises(TypeError, match="'buffer' must be read-write bytes-like object"):
            frames.pack_into(wrong, 0, 1, "Hello")  # type: ignore[arg-type]


# The text of struct for a format of 7 bytes, or "" where it has none that fits.
OUTSIDE = {
    (6, 0): "pack_into requires a buffer of at least 7 bytes for packing 7 bytes at offset 0 "
    "(actual buffer size is 6)",
    (8, 2): "pack_into requires a buffer of at least 9 bytes for packing 7 bytes at offset 2 "
    "(actual buffer size is 8)",
    (8, 8): "pack_into requires a buffer of at least 15 bytes for packing 7 bytes at offset 8 "
    "(actual buffer size is 8)",
    (8, -9): "offset -9 out of range for 8-byte buffer",
}


@pytest.mark.parametrize(("size", "offset"), OUTSIDE)
def test_outside_of_the_buffer(size: int, offset: int) -> None:
    """Nothing is written, and the words are those of struct."""
    out = bytearray(b"\xa5") * size
    with pytest.raises(struct.error) as theirs:
        struct.pack_into("7s", out, offset, b"Hello")
    with pytest.raises(FrameError) as ours:
        frames.pack_into(out, offset, 1, "Hello")
    assert str(ours.value) == str(theirs.value) == OUTSIDE[size, offset]
    assert out == b"\xa5" * size


def test_other_offsets() -> None:
    out = bytearray(8)
    with pytest.raises(FrameError, match="offset 9 out of range for 8-byte buffer"):
        frames.pack_into(out, 9, 1, "")
    with pytest.raises(FrameError, match="at offset 7"):
        frames.pack_into(out, -1, 1, "")
    with pytest.raises(FrameError, match="out of range for 8-byte buffer"):
        frames.pack_into(out, 2**100, 1, "")
    with pytest.raises(FrameError, match="out of range for 8-byte buffer"):
        frames.unpack_from(out, -(2**100))
    for function in (
        lambda wrong: frames.pack_into(out, wrong, 1, ""),
        lambda wrong: frames.unpack_from(out, wrong),
    ):
        for wrong in (None, "1", 1.0):
            with pytest.raises(TypeError):
                function(wrong)
    assert out == bytes(8)
    assert frames.pack_into(out, True, 1, "") == 2  # as struct: what has __index__
    for offset in (-9, 9, -sys.maxsize - 1, sys.maxsize):
        with pytest.raises(FrameError, match=f"offset {offset} out of range for 8-byte buffer"):
            frames.unpack_from(out, offset)


# -- arguments --


WRONG: dict[str, tuple[type[Exception], Callable[[], object]]] = {
    "opcode must not be 3, which is reserved": (ValueError, lambda: frames.pack(3, b"")),
    "opcode must be from 0 to 15, not 16": (ValueError, lambda: frames.pack(16, b"")),
    "opcode must be from 0 to 15, not -1": (ValueError, lambda: frames.pack(-1, b"")),
    f"opcode must be from 0 to 15, not {2**70}": (ValueError, lambda: frames.pack(2**70, b"")),
    "opcode must be an int, not str": (TypeError, lambda: frames.pack("1", b"")),  # type: ignore[arg-type]
    "opcode must be an int, not float": (TypeError, lambda: frames.pack(1.0, b"")),  # type: ignore[arg-type]
    "pack() takes str or a bytes-like object, not int": (
        TypeError,
        lambda: frames.pack(1, 5),  # type: ignore[arg-type]
    ),
    "pack_into() takes str or a bytes-like object, not None": (
        TypeError,
        lambda: frames.pack_into(bytearray(9), 0, 1, None),  # type: ignore[arg-type]
    ),
    "rsv must be from 0 to 7, not 8": (ValueError, lambda: frames.pack(1, b"", rsv=8)),
    "rsv must be from 0 to 7, not -1": (ValueError, lambda: frames.unpack(b"", rsv=-1)),
    "rsv must be an int, not NoneType": (
        TypeError,
        lambda: frames.unpack_from(b"", rsv=None),  # type: ignore[arg-type]
    ),
    "mask must have 4 bytes, not 3": (ValueError, lambda: frames.pack(1, b"", mask=b"123")),
    "mask must have 4 bytes, not 0": (ValueError, lambda: frames.pack(1, b"", mask=b"")),
    "mask must be a bytes-like object of 4 bytes or None, not str": (
        TypeError,
        lambda: frames.pack(1, b"", mask="1234"),  # type: ignore[arg-type]
    ),
    "mask must be a bytes-like object of 4 bytes or None, not bool": (
        TypeError,
        lambda: frames.pack(1, b"", mask=True),  # type: ignore[arg-type]
    ),
    "payload must have at most 125 bytes in a control frame, not 126": (
        ValueError,
        lambda: frames.pack(frames.PING, bytes(126)),
    ),
    "fin must be True for a control frame": (
        ValueError,
        lambda: frames.pack(frames.CLOSE, b"", fin=False),
    ),
    "payload_length must be from 0 to 2**63 - 1, not -1": (
        ValueError,
        lambda: frames.calcsize(-1),
    ),
    f"payload_length must be from 0 to 2**63 - 1, not {2**63}": (
        ValueError,
        lambda: frames.calcsize(2**63),
    ),
    "payload_length must be an int, not float": (
        TypeError,
        lambda: frames.calcsize(1.0),  # type: ignore[arg-type]
    ),
    "pack() missing argument 'opcode'": (TypeError, lambda: frames.pack()),  # type: ignore[call-arg]
    "pack() missing argument 'payload'": (TypeError, lambda: frames.pack(1)),  # type: ignore[call-arg]
    "pack() takes at most 2 positional arguments (3 given)": (
        TypeError,
        lambda: frames.pack(1, b"", True),  # type: ignore[call-arg]
    ),
    "pack() got an unexpected keyword argument 'final'": (
        TypeError,
        lambda: frames.pack(1, b"", final=True),  # type: ignore[call-arg]
    ),
    "pack() got multiple values for argument 'opcode'": (
        TypeError,
        lambda: frames.pack(1, b"", opcode=1),  # type: ignore[misc]
    ),
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_arguments(text: str) -> None:
    kind, call = WRONG[text]
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    assert str(caught.value).replace("NoneType", "None") == text.replace("NoneType", "None")


def test_other_wrong_arguments() -> None:
    with pytest.raises(UnicodeEncodeError):
        frames.pack(1, "\ud800")
    with pytest.raises(TypeError, match="bytes-like object is required"):
        frames.unpack("text")  # type: ignore[arg-type]
    with pytest.raises(BufferError):
        frames.unpack(memoryview(b"\x81\0\0\0")[::2])

    class Odd:
        def __bool__(self) -> bool:
            raise ZeroDivisionError

        def __index__(self) -> int:
            raise ZeroDivisionError

    odd: int = Odd()  # type: ignore[assignment]
    for call in (
        lambda: frames.pack(1, b"", fin=odd),  # type: ignore[arg-type]
        lambda: frames.pack(odd, b""),
        lambda: frames.pack(1, b"", rsv=odd),
        lambda: frames.calcsize(1, odd),  # type: ignore[arg-type]
        lambda: frames.calcsize(odd),
        lambda: frames.unpack_from(b"\x81\0", odd),
    ):
        with pytest.raises(ZeroDivisionError):
            call()


@pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536, LONG])
def test_calcsize(length: int) -> None:
    header = 2 if length < 126 else 4 if length < 65536 else 10
    assert frames.calcsize(length) == header + length
    assert frames.calcsize(length, masked=False) == header + length
    assert frames.calcsize(length, masked=True) == header + 4 + length


# -- what has not ended yet --


def read_exactly(data: bytes, rsv: int) -> tuple[Frame, list[int]]:
    """Reads as from a socket, only what is known to be missing."""
    have = b""
    needs: list[int] = []
    while True:
        try:
            return frames.unpack(have, rsv=rsv), needs
        except IncompleteFrame as error:
            needs.append(error.needed)
            have = data[: len(have) + error.needed]


@fixed
@given(parts, st.binary(max_size=20))
def test_what_is_needed_is_never_too_much(p: Parts, behind: bytes) -> None:
    """Who reads what is needed gets the frame, and no byte of the next one."""
    data = expected(p)
    found, needs = read_exactly(data + behind, p[3])
    assert found == as_frame(p)
    assert sum(needs) == len(data)
    assert min(needs) > 0
    assert len(needs) <= 3


@fixed
@given(parts, st.integers(0, 10))
def test_every_truncation(p: Parts, before: int) -> None:
    data = expected(p)
    header = len(data) - len(p[1])
    ends = {*range(header + 3), len(data) - 1, len(data) // 2}
    for end in sorted(end for end in ends if end < len(data)):
        short = data[:end]
        least = 2 if end < 2 else header if end < header else len(data)
        with pytest.raises(IncompleteFrame) as caught:
            frames.unpack(short, rsv=7)
        assert caught.value.needed == least - end
        text = f"requires a buffer of at least {least} bytes for the frame at offset 0 "
        assert str(caught.value) == f"unpack {text}(actual buffer size is {end})"
        with pytest.raises(IncompleteFrame) as caught:
            frames.unpack_from(bytes(before) + short, before, rsv=7)
        assert caught.value.needed == least - end
        assert f"at least {least + before} bytes for the frame at offset {before} " in str(
            caught.value
        )
        if end:
            with pytest.raises(IncompleteFrame) as caught:
                frames.unpack_from(bytes(before) + short, -end, rsv=7)
            assert caught.value.needed == least - end


def test_it_is_an_error_of_frames() -> None:
    with pytest.raises(FrameError) as caught:
        frames.unpack(b"")
    assert isinstance(caught.value, IncompleteFrame)
    assert isinstance(caught.value, ValueError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.needed) == (str(caught.value), 2)


def test_what_a_peer_may_announce() -> None:
    head = b"\x82\xff" + LONG.to_bytes(8, "big")
    with pytest.raises(IncompleteFrame) as caught:
        frames.unpack(head + b"1234")
    assert caught.value.needed == LONG
    with pytest.raises(IncompleteFrame) as caught:
        frames.unpack_from(b"\0" * 1000 + head + b"12345678", 1000)
    assert caught.value.needed == LONG - 4


@fixed
@given(st.lists(parts, max_size=5), st.binary(max_size=1))
def test_frames_one_after_the_other(several: list[Parts], rest: bytes) -> None:
    data = b"".join(map(pack, several)) + rest
    offset, found = 0, []
    with pytest.raises(IncompleteFrame) as caught:
        while True:
            found.append(frames.unpack_from(data, offset, rsv=7))
            offset += found[-1].size
    assert found == list(map(as_frame, several))
    assert caught.value.needed == 2 - len(rest)


@fixed
@given(parts, st.binary(min_size=1, max_size=20))
def test_something_behind_it(p: Parts, behind: bytes) -> None:
    data = expected(p)
    with pytest.raises(FrameError) as caught:
        frames.unpack(data + behind, rsv=7)
    assert type(caught.value) is FrameError
    text = f"unpack requires a buffer of {len(data)} bytes, one frame, not of "
    assert str(caught.value) == text + str(len(data) + len(behind))
    assert frames.unpack_from(data + behind, rsv=7) == as_frame(p)


# -- what is broken --

MINIMAL = "the length is not minimal or out of range"
BROKEN = {
    **{bytes([0x80 | opcode, 0]): "the opcode is reserved" for opcode in RESERVED},
    **{bytes([opcode, 0]): "a control frame is fragmented" for opcode in CONTROL},
    **{
        bytes([0x80 | opcode, size]): "a control frame is longer than 125 bytes"
        for opcode in CONTROL
        for size in (126, 127)
    },
    **{b"\x82\x7e" + size.to_bytes(2, "big"): MINIMAL for size in (0, 1, 125)},
    **{b"\x82\xfe" + size.to_bytes(2, "big"): MINIMAL for size in (0, 125)},
    **{b"\x82\x7f" + size.to_bytes(8, "big"): MINIMAL for size in (0, 125, 126, 65535)},
    **{b"\x82\x7f" + size.to_bytes(8, "big"): MINIMAL for size in (2**63, 2**64 - 1)},
    **{
        bytes([0x80 | rsv << 4 | 2, 0]): "a reserved bit is set that the argument rsv does not have"
        for rsv in range(1, 8)
    },
}


@pytest.mark.parametrize("data", BROKEN, ids=lambda data: data.hex())
def test_broken(data: bytes) -> None:
    """Told as soon as the bytes show it, and not taken for what has not ended."""
    for more in (b"", b"\0" * 4, b"\xff" * 300):
        with pytest.raises(FrameError) as caught:
            frames.unpack(data + more)
        assert type(caught.value) is FrameError
        assert str(caught.value) == BROKEN[data]
        with pytest.raises(FrameError, match=BROKEN[data]):
            frames.unpack_from(b"\x81\0" + data + more, 2)


@pytest.mark.parametrize("rsv", range(8))
@pytest.mark.parametrize("allowed", range(8))
def test_reserved_bits(rsv: int, allowed: int) -> None:
    data = frames.pack(2, b"x", rsv=rsv)
    if rsv & ~allowed:
        with pytest.raises(FrameError, match="a reserved bit is set"):
            frames.unpack(data, rsv=allowed)
    else:
        assert frames.unpack(data, rsv=allowed).rsv == rsv


# -- beside websockets and wsproto --


def read_websockets(data: bytes, masked: bool) -> tuple[int, bytes, bool] | str:
    """opcode, payload and fin, "incomplete" or "broken"."""
    reader = StreamReader()
    reader.feed_data(data)
    parsing = TheirFrame.parse(reader.read_exact, mask=masked, max_size=None)
    try:
        next(parsing)
    except StopIteration as done:
        found: TheirFrame = done.value
        return int(found.opcode), bytes(found.data), found.fin
    except ProtocolError:
        return "broken"
    return "incomplete"


def read_ours(data: bytes) -> tuple[int, bytes, bool] | str:
    try:
        found = frames.unpack_from(data)
    except IncompleteFrame:
        return "incomplete"
    except FrameError:
        return "broken"
    return int(found.opcode), found.payload, found.fin


def check_beside_websockets(data: bytes) -> str:
    """websockets looks at opcodes and lengths once the payload is there; it takes lengths that are
    not minimal, which section 5.2 forbids."""
    masked = len(data) > 1 and data[1] >= 128
    ours, theirs = read_ours(data), read_websockets(data, masked)
    if ours == theirs:
        return ours if isinstance(ours, str) else "frame"
    assert ours == "broken"
    if theirs == "incomplete":
        return "broken early"
    with pytest.raises(FrameError, match=f"{MINIMAL}|longer than 125 bytes"):
        frames.unpack_from(data)
    return "not minimal"


@fixed
@given(parts)
def test_websockets_reads_what_is_written(p: Parts) -> None:
    opcode, payload, fin, _, mask = p
    data = frames.pack(opcode, payload, fin=fin, mask=mask)
    assert read_websockets(data, mask is not None) == (opcode, payload, fin)


@fixed
@given(parts)
def test_what_websockets_writes_is_read(p: Parts) -> None:
    opcode, payload, fin, _, mask = p
    data = TheirFrame(TheirOpcode(opcode), payload, fin).serialize(mask=mask is not None)
    found = frames.unpack(data)
    assert found[:4] == (opcode, payload, fin, 0)
    assert (found.mask is None) == (mask is None)
    assert found.size == len(data)


def test_all_first_bytes_beside_websockets() -> None:
    verdicts = set()
    for first in range(256):
        for second in (0, 1, 125, 126, 127, 128, 129, 253, 254, 255):
            for rest in (
                b"",
                bytes(16),
                b"\0\x7e" + bytes(140),
                bytes(5) + b"\1\0\0" + bytes(65550),
            ):
                verdicts.add(check_beside_websockets(bytes([first, second]) + rest))
    assert verdicts == {"frame", "broken", "incomplete", "broken early", "not minimal"}


@fixed
@given(st.binary(max_size=40))
def test_any_bytes_beside_websockets(data: bytes) -> None:
    check_beside_websockets(data)


@fixed
@given(st.lists(control_frames | st.tuples(
    st.sampled_from((1, 2)), st.text().map(str.encode), st.just(True), st.just(0), keys,
)), st.booleans())  # fmt: skip
def test_wsproto_reads_what_is_written(several: list[Parts], client: bool) -> None:
    protocol = FrameProtocol(client=client, extensions=[])
    sent = [(opcode, payload) for opcode, payload, *_ in several if opcode != 8]
    for opcode, payload in sent:
        protocol.receive_bytes(frames.pack(opcode, payload, mask=None if client else b"\1\2\3\4"))
    found = list(protocol.received_frames())
    assert all(f.frame_finished and f.message_finished for f in found)
    payloads = [f.payload.encode() if isinstance(f.payload, str) else f.payload for f in found]
    assert list(zip([int(f.opcode) for f in found], payloads, strict=True)) == sent


# -- what is taken is given back --


def test_leaks() -> None:
    payload, out = make_binary(1000), bytearray(2000)
    key = b"\1\2\3\4"
    data = frames.pack(2, payload, mask=key)

    def rounds(n: int) -> None:
        for _ in range(n):
            frames.unpack(frames.pack(2, payload, mask=key))
            frames.pack_into(out, 3, 1, memoryview(payload)[::2])
            frames.unpack_from(out, 3)
            for call in (
                lambda: frames.unpack(data[:-1]),
                lambda: frames.unpack(data + b"x"),
                lambda: frames.pack(9, payload),
                lambda: frames.pack(2, payload, mask=payload),
                lambda: frames.pack_into(out, 1999, 2, payload),
                lambda: frames.pack_into(payload, 0, 2, memoryview(payload)[::2]),
                lambda: frames.unpack_from(out, 3000),
            ):
                with pytest.raises((FrameError, ValueError, TypeError)):
                    call()
        gc.collect()

    counted = (payload, out, key, frames.TEXT, frames.BINARY, Frame)
    rounds(200)
    memory = resident_kib()
    references = [sys.getrefcount(thing) for thing in counted]
    rounds(2000)
    assert resident_kib() - memory < 1024
    assert [sys.getrefcount(thing) for thing in counted] == references
    out.append(0)  # no buffer is held any more

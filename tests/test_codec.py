"""Properties of the frame codec: what is written is read back, wherever the stream is cut."""

from __future__ import annotations

from collections.abc import Sequence

from core import Core, Event, Header, Role
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support import BINARY, CLOSE, EFFORT, PING, PONG, TEXT, frame

# The same cases in every run, however slow the machine is.
fixed = settings(
    max_examples=100 * EFFORT,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
roles = st.sampled_from(Role)
keys = st.binary(min_size=4, max_size=4)
opcodes = {"text": TEXT, "binary": BINARY, "ping": PING, "pong": PONG}
# Close codes that may be sent: RFC 6455 7.4.1 and 7.4.2, and the registry of 11.7.
codes = st.sampled_from([1000, 1001, 1002, 1003, *range(1007, 1015)]) | st.integers(3000, 4999)
# Most payloads that hypothesis makes are short: here is one on each side of every border.
long_payloads = st.builds(
    lambda size, byte: bytes([byte]) * size,
    st.sampled_from((125, 126, 127, 16383, 16384, 16385, 65535, 65536, 65537)),
    st.integers(0, 127),
)
events = st.one_of(
    st.tuples(st.just("text"), st.text().map(str.encode) | long_payloads),
    st.tuples(st.just("binary"), st.binary() | long_payloads),
    st.tuples(st.sampled_from(("ping", "pong")), st.binary(max_size=125)),
).map(lambda pair: Event(*pair))


def is_text(data: bytes) -> bool:
    try:
        return isinstance(data.decode(), str)
    except UnicodeDecodeError:
        return False


@st.composite
def cut(draw: st.DrawFn, stream: bytes) -> Sequence[bytes]:
    """The stream in pieces, some of them empty."""
    ends = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    return [stream[a:b] for a, b in zip([0, *ends], [*ends, len(stream)], strict=True)]


# -- headers --


@fixed
@given(
    fin=st.booleans(),
    rsv=st.integers(0, 7),
    opcode=st.integers(0, 15),
    key=st.none() | keys,
    size=st.integers(0, 300) | st.integers(0, 70000) | st.integers(0, (1 << 63) - 1),
)
@example(True, 0, 1, None, 125)
@example(True, 0, 1, None, 126)
@example(True, 0, 1, None, 65535)
@example(True, 0, 1, None, 65536)
@example(False, 7, 15, b"\xff\xff\xff\xff", (1 << 63) - 1)
def test_a_header_is_read_as_written(
    core: Core, fin: bool, rsv: int, opcode: int, key: bytes | None, size: int
) -> None:
    header = Header(fin, rsv, opcode, key, size)
    data = core.write_header(header)
    assert data == frame(opcode, b"", fin=fin, rsv=rsv, mask=key, announce=size)
    assert core.parse_header(data) == (len(data), header)
    assert core.parse_header(data + b"\xff" * 20) == (len(data), header)
    for end in range(len(data)):
        assert core.parse_header(data[:end]) == (0, None)


@fixed
@given(st.binary(min_size=14, max_size=14))
def test_a_header_has_one_spelling(core: Core, data: bytes) -> None:
    """RFC 6455 5.2: "the minimal number of bytes MUST be used to encode the length"."""
    size, header = core.parse_header(data)
    length = data[1] & 0x7F
    wide = int.from_bytes(data[2 : 4 if length == 126 else 10], "big")
    least = {126: 126, 127: 65536}.get(length, 0)
    if header is None:
        assert size < 0
        assert length >= 126
        assert wide < least or wide >> 63
    else:
        assert core.write_header(header) == data[:size]


# -- frames --


@fixed
@given(data=st.data(), role=roles, told=st.lists(events, max_size=6), room=st.booleans())
def test_frames_are_read_as_written(
    core: Core, data: st.DataObject, role: Role, told: list[Event], room: bool
) -> None:
    frames = [core.write(role, opcodes[e.kind], e.data, data.draw(keys)) for e in told]
    pieces = data.draw(cut(b"".join(frames)))
    for simd in core.simd_levels:
        assert core.feed(role.peer, pieces, simd=simd, room=room) == told


@fixed
@given(data=st.data(), role=roles, message=st.text() | st.binary())
def test_fragments_are_one_message(
    core: Core, data: st.DataObject, role: Role, message: str | bytes
) -> None:
    """Cut anywhere, also inside a character, with pings in between."""
    opcode, kind = (TEXT, "text") if isinstance(message, str) else (BINARY, "binary")
    payload = message.encode() if isinstance(message, str) else message
    parts = data.draw(cut(payload))
    key = data.draw(keys)
    frames, told = [], []
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        frames.append(core.write(role, 0 if i else opcode, part, key, fin=last))
        if not last and data.draw(st.booleans()):
            frames.append(core.write(role, PING, part[:125], key))
            told.append(Event("ping", part[:125]))
    stream = b"".join(frames)
    assert core.feed(role.peer, data.draw(cut(stream))) == [*told, Event(kind, payload)]


@fixed
@given(data=st.data(), role=roles, payload=st.binary(max_size=200))
def test_text_is_what_python_decodes(
    core: Core, data: st.DataObject, role: Role, payload: bytes
) -> None:
    expected = Event("text", payload) if is_text(payload) else Event("fail", code=1007)
    pieces = data.draw(cut(core.write(role, TEXT, payload, data.draw(keys))))
    for simd in core.simd_levels:
        assert core.feed(role.peer, pieces, simd=simd) == [expected]


# -- closing --


@fixed
@given(data=st.data(), role=roles, code=codes, reason=st.text(max_size=30))
def test_a_close_is_read_as_written(
    core: Core, data: st.DataObject, role: Role, code: int, reason: str
) -> None:
    payload = core.close_payload(code, reason.encode())
    assert payload == code.to_bytes(2, "big") + reason.encode()
    stream = core.write(role, CLOSE, payload, data.draw(keys)) + data.draw(st.binary(max_size=9))
    pieces = data.draw(cut(stream))
    assert core.feed(role.peer, pieces) == [Event("close", reason.encode(), code)]


@fixed
@given(
    data=st.data(),
    role=roles,
    code=codes | st.integers(0, 65535),
    reason=st.text(max_size=30).map(str.encode) | st.binary(max_size=123),
)
def test_any_close(core: Core, data: st.DataObject, role: Role, code: int, reason: bytes) -> None:
    """A code and a reason of any bytes: the code is judged first."""
    stream = core.write(role, CLOSE, code.to_bytes(2, "big") + reason, data.draw(keys))
    expected = Event("close", reason, code)
    if not core.is_close_code(code):
        expected = Event("fail", code=1002)
    elif not is_text(reason):
        expected = Event("fail", code=1007)
    assert core.feed(role.peer, data.draw(cut(stream))) == [expected]


def test_the_shortest_closes(core: Core) -> None:
    """RFC 6455 7.1.5: no code is 1005; 5.5.1: "the body MUST be a 2-byte unsigned integer"."""
    assert core.close_payload(1005, b"never sent") == b""
    for role in Role:
        assert core.feed(role.peer, [core.write(role, CLOSE, b"")]) == [Event("close", code=1005)]
        for byte in range(256):
            stream = core.write(role, CLOSE, bytes([byte]))
            assert core.feed(role.peer, [stream]) == [Event("fail", code=1002)]


def test_every_close_code(core: Core) -> None:
    """Whether a code may be sent, for all that two bytes hold."""
    right = {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}
    assert {code for code in range(1 << 16) if core.is_close_code(code)} == right
    for code in (*range(5100), 65535):
        stream = core.write(Role.SERVER, CLOSE, code.to_bytes(2, "big"))
        expected = Event("close", code=code) if code in right else Event("fail", code=1002)
        assert core.feed(Role.CLIENT, [stream]) == [expected], code

"""Heads of requests as the core reads them, beside h11, and the handshake, beside wsproto."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import h11
import pytest
from core import Core, Head
from heads import Maker
from support import EFFORT, KEY, upgrade_request
from wsproto.connection import ConnectionType
from wsproto.events import AcceptConnection, Request
from wsproto.handshake import H11Handshake
from wsproto.utilities import RemoteProtocolError

HEADS = 2500 * EFFORT
SUBPROTOCOLS = ("superchat", "chat")  # as in tests/c/driver.c
FRAMING = (b"content-length", b"transfer-encoding")


class Case(NamedTuple):
    """A head, and what the core, h11 and wsproto made of it."""

    data: bytes
    ours: Head
    request: h11.Request | None  # None: h11 refuses
    accept: bytes  # wsproto's Sec-WebSocket-Accept, b"" if it refuses
    subprotocol: bytes
    why: str  # one of them refuses

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """As h11 sees them."""
        assert self.request is not None
        return self.request.headers.raw_items()

    def values(self, name: str) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name.encode()]

    def value(self, name: str) -> bytes:
        """Of the first, b"" if there is none."""
        return next(iter(self.values(name)), b"")

    def refused_byte(self) -> tuple[bytes, bytes]:
        """Where the core found the grammar broken, and the byte before."""
        pos = self.ours.pos
        return self.data[pos - 1 : pos], self.data[pos : pos + 1]

    def is_in_value(self) -> bool:
        line = self.data[: self.ours.pos].rpartition(b"\n")
        return bool(line[1]) and b":" in line[2]


def read_h11(pieces: Sequence[bytes]) -> tuple[h11.Request | None, bytes, str]:
    """The request, or why there is none, and what stands behind it."""
    # h11 bounds what it keeps; the core's bounds have tests of their own.
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    behind = list(pieces)
    try:
        while behind:
            connection.receive_data(behind.pop(0))
            event = connection.next_event()
            if isinstance(event, h11.Request):
                return event, connection.trailing_data[0] + b"".join(behind), ""
    except h11.RemoteProtocolError as error:
        return None, b"", str(error)
    raise AssertionError("h11 waits for more")


def read_wsproto(head: bytes) -> tuple[bytes, bytes, str]:
    """Its Sec-WebSocket-Accept and the subprotocol, or why it refuses."""
    handshake = H11Handshake(ConnectionType.SERVER)
    try:
        handshake.receive_data(head)
        request = next(iter(handshake.events()))
        assert isinstance(request, Request)
        agreed = next((name for name in SUBPROTOCOLS if name in request.subprotocols), None)
        answer = handshake.send(AcceptConnection(subprotocol=agreed))
    except (RemoteProtocolError, UnicodeError) as error:
        return b"", b"", f"{type(error).__name__}: {error}"
    found = re.search(rb"^Sec-WebSocket-Accept: (.+)\r$", answer, re.MULTILINE)
    assert found
    return found[1], (agreed or "").encode(), ""


# -- what they do not agree about --


class Difference(NamedTuple):
    name: str
    law: str  # what decides
    explains: Callable[[Case], bool]
    example: bytes


def is_authority(text: bytes) -> bool:
    """RFC 3986 3.2.2 and 3.2.3, with a port that TCP has."""
    found = re.fullmatch(rb"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::([0-9]*))?", text)
    if not found or int(found[2] or 0) > 65535:
        return False
    host = found[1]
    if host.startswith(b"["):
        try:
            ipaddress.IPv6Address(host[1:-1].decode())
        except ValueError:
            return False
        return True
    return re.fullmatch(rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9a-fA-F]{2})+", host) is not None


def target_authority(target: bytes) -> bytes:
    """Of the absolute form, else empty."""
    found = re.match(rb"(?:https?|wss?)://([^/?]+)", target, re.IGNORECASE)
    return found[1] if found else b""


def head(line: str = "GET / HTTP/1.1", *fields: str, host: str = "Host: a") -> bytes:
    return "\r\n".join([line, host, *fields, "", ""]).encode("latin-1")


def upgrade(*fields: tuple[str, str], key: str = KEY) -> bytes:
    return upgrade_request("a", "/", fields, key)


def refuses(status: int, detail: str = "") -> Callable[[Case], bool]:
    return lambda case: (case.ours.status, case.ours.detail) == (status, detail)


def is_bare_lf(case: Case) -> bool:
    before, byte = case.refused_byte()
    return case.ours.status == 400 and byte == b"\n" and before != b"\r"


def is_fold(case: Case) -> bool:
    before, byte = case.refused_byte()
    return case.ours.status == 400 and before == b"\n" and byte in (b" ", b"\t")


def is_control(case: Case) -> bool:
    _, byte = case.refused_byte()
    return case.ours.status == 400 and case.is_in_value() and (byte < b" " or byte == b"\x7f")


def is_fragment(case: Case) -> bool:
    return case.refused_byte()[1] == b"#" and b"\n" not in case.data[: case.ours.pos]


def is_other_version(case: Case) -> bool:
    assert case.request is not None
    return case.ours.status == 505 and re.match(rb"1\.[1-9]", case.request.http_version) is None


def is_other_target(case: Case) -> bool:
    assert case.request is not None
    target = case.request.target
    right = target.startswith(b"/") or target == b"*" or target_authority(target)
    return case.ours.status == 400 and case.ours.size > 0 and not right


def is_wrong_host(case: Case) -> bool:
    wrong = not is_authority(case.value("host"))
    return wrong and refuses(400, "The Host field is malformed.")(case)


def is_missing_host(case: Case) -> bool:
    """h11 wants one in 1.1 only."""
    assert case.request is not None
    later = case.request.http_version > b"1.1"
    return later and refuses(400, "The Host field is missing.")(case)


def is_wrong_target_host(case: Case) -> bool:
    wrong = not is_authority(target_authority(case.ours.target))
    return wrong and refuses(400, "The host of the request target is malformed.")(case)


def is_body(case: Case) -> bool:
    framing = [value for name, value in case.ours.fields if name.lower() in FRAMING]
    return framing not in ([], [b"0"]) and case.ours.detail.startswith("A request body is not ")


def is_repeated(name: str, detail: str) -> Callable[[Case], bool]:
    """wsproto takes the last of several fields."""
    return lambda case: len(case.values(name)) > 1 and case.ours.detail == detail


def is_wrong_key(case: Case) -> bool:
    try:
        size = len(base64.b64decode(case.value("sec-websocket-key"), validate=True))
    except ValueError:
        size = 0
    return size != 16 and refuses(400, "The Sec-WebSocket-Key is not 16 bytes in base64.")(case)


def is_wrong_subprotocol(case: Case) -> bool:
    offered = b",".join(case.values("sec-websocket-protocol")).split(b",")
    wrong = any(not re.fullmatch(rb"[\w!#$%&'*+.^`|~-]*", name.strip(b" \t")) for name in offered)
    return wrong and refuses(400, "Sec-WebSocket-Protocol is not a list of tokens.")(case)


def is_spread(name: str, token: bytes) -> Callable[[Case], bool]:
    """The token is one of several of a list that wsproto does not look through."""

    def explains(case: Case) -> bool:
        items = b",".join(case.values(name)).lower().split(b",")
        return (
            case.ours.upgrade
            and token in [item.strip(b" \t") for item in items]
            and len(items) > 1
            and case.why.startswith("RemoteProtocolError: Missing header, '" + name.title())
        )

    return explains


def is_obs_text(case: Case) -> bool:
    """wsproto decodes fields that the core does not look at, or looks at as bytes."""
    names = ("connection", "sec-websocket-protocol", "sec-websocket-extensions")
    values = b"".join(value for name in names for value in case.values(name))
    return case.ours.upgrade and case.why.startswith("UnicodeDecodeError") and not values.isascii()


def is_odd_host(case: Case) -> bool:
    host = case.value("host")
    try:
        host.decode("idna")
    except UnicodeError:
        return case.ours.upgrade and case.why.startswith("Unicode") and is_authority(host)
    return False


# That h11 takes and the core does not; then that the core takes and wsproto does not, or the other
# way round.
DIFFERENCES = (
    Difference(
        "a line ends with LF alone",
        'RFC 9112 2.2: "a recipient MAY recognize a single LF as a line terminator".',
        is_bare_lf,
        head("GET / HTTP/1.1", "A: b\nC: d"),
    ),
    Difference(
        "a field goes on in the next line",
        'RFC 9112 5.2: "A server that receives an obs-fold in a request message [...] MUST either '
        'reject the message by sending a 400 (Bad Request) [...] or replace each received obs-fold".',
        is_fold,
        head("GET / HTTP/1.1", "A: b\r\n c"),
    ),
    Difference(
        "a control character in a value",
        'RFC 9110 5.5: "Field values containing other CTL characters are also invalid; however, '
        'recipients MAY retain such characters".',
        is_control,
        head("GET / HTTP/1.1", "A: b\x01c"),
    ),
    Difference(
        "a fragment in the target",
        'RFC 9112 3.2.1: "origin-form = absolute-path [ "?" query ]"; 3.2: "Recipients of an invalid '
        'request-line SHOULD respond with either a 400 (Bad Request) error [...]".',
        is_fragment,
        head("GET /a#b HTTP/1.1"),
    ),
    Difference(
        "another version than 1.1 and its successors",
        'RFC 6455 4.2.1: "An HTTP/1.1 or higher GET request"; RFC 9110 2.5: "A server can send a 505 '
        '(HTTP Version Not Supported) response if it wishes, for any reason".',
        is_other_version,
        head("GET / HTTP/1.0"),
    ),
    Difference(
        "a target of no form",
        'RFC 9112 3.2: "request-target = origin-form / absolute-form / authority-form / '
        'asterisk-form"; 3.2.3: "The "authority-form" of request-target is only used for CONNECT '
        'requests"; RFC 9110 4.2.1: "A recipient that processes such a URI reference [with an empty '
        'host identifier] MUST reject it as invalid."',
        is_other_target,
        head("GET a HTTP/1.1"),
    ),
    Difference(
        "the Host is none",
        'RFC 9112 3.2: "A server MUST respond with a 400 (Bad Request) status code to any [...] Host '
        'header field with an invalid field value"; 3.3: "If the target URI\'s authority component '
        "is empty and its URI scheme requires a non-empty authority [...], the server can reject the "
        'request".',
        is_wrong_host,
        head(host="Host: a b"),
    ),
    Difference(
        "a version above 1.1 without a Host",
        'RFC 9110 2.5: "SHOULD process the message as if it were in the highest minor version within '
        'that major version to which the recipient is conformant": RFC 9112 3.2 as above.',
        is_missing_host,
        head("GET / HTTP/1.2").replace(b"Host", b"Hose"),
    ),
    Difference(
        "the target's host is none",
        'RFC 9112 3.2.2: "the origin server MUST ignore the received Host header field (if any) and '
        'instead use the host information of the request-target"; RFC 9110 4.2.4: "a recipient '
        'SHOULD parse for userinfo and treat its presence as an error".',
        is_wrong_target_host,
        head("GET http://user@a/ HTTP/1.1"),
    ),
    Difference(
        "a body is announced",
        'RFC 9110 9.3.1: "content received in a GET request has no generally defined semantics [...] '
        "and might lead some implementations to reject the request and close the connection because "
        'of its potential as a request smuggling attack".',
        is_body,
        head("GET / HTTP/1.1", "Content-Length: 1"),
    ),
    Difference(
        "two versions of WebSocket",
        'RFC 6455 11.3.5: "The |Sec-WebSocket-Version| header field MUST NOT appear more than once '
        'in an HTTP request."',
        is_repeated("sec-websocket-version", "Only WebSocket version 13 is spoken here."),
        upgrade(("Sec-WebSocket-Version", "13")),
    ),
    Difference(
        "two keys",
        'RFC 6455 11.3.1: "The |Sec-WebSocket-Key| header field MUST NOT appear more than once in an '
        'HTTP request."',
        is_repeated("sec-websocket-key", "There is not exactly one Sec-WebSocket-Key field."),
        upgrade(("Sec-WebSocket-Key", KEY)),
    ),
    Difference(
        "the key is not 16 bytes",
        'RFC 6455 4.2.1: "A |Sec-WebSocket-Key| header field with a base64-encoded (see Section 4 of '
        '[RFC4648]) value that, when decoded, is 16 bytes in length."',
        is_wrong_key,
        upgrade(key="AAAA"),
    ),
    Difference(
        "a handshake with *",
        'RFC 9112 3.2.4: "The "asterisk-form" of request-target is only used for a server-wide '
        'OPTIONS request".',
        lambda case: case.ours.target == b"*" and refuses(400, 'The request target is "*".')(case),
        upgrade().replace(b"GET /", b"GET *"),
    ),
    Difference(
        "a subprotocol that is no token",
        'RFC 6455 4.1: "The elements that comprise this value MUST be non-empty strings with '
        "characters in the range U+0021 to U+007E not including separator characters as defined in "
        '[RFC2616]".',
        is_wrong_subprotocol,
        upgrade(("Sec-WebSocket-Protocol", "chat, a/b")),
    ),
    Difference(
        "two origins",
        'RFC 6454 7.3: "The user agent MUST NOT include more than one Origin header field in any '
        'HTTP request."',
        is_repeated("origin", "There is more than one Origin field."),
        upgrade(("Origin", "http://a"), ("Origin", "http://b")),
    ),
    Difference(
        "websocket is one of several protocols",
        'RFC 9110 7.8: "Upgrade = #protocol"; 5.3: "A recipient MAY combine multiple field lines '
        "within a field section that have the same field name into one field line, without changing "
        'the semantics of the message".',
        is_spread("upgrade", b"websocket"),
        upgrade(("Upgrade", "h2c")),
    ),
    Difference(
        "several fields Connection",
        'RFC 9110 7.6.1: "Connection = #connection-option"; 5.3 as above.',
        is_spread("connection", b"upgrade"),
        upgrade(("Connection", "x")),
    ),
    Difference(
        "bytes that are not ASCII",
        'RFC 9110 5.5: "A recipient SHOULD treat other allowed octets in field content (i.e., '
        'obs-text) as opaque data."',
        is_obs_text,
        upgrade(("Sec-WebSocket-Extensions", "\xe4")),
    ),
    Difference(
        "a host that is no name of IDNA",
        'RFC 3986 3.2.2: "reg-name = *( unreserved / pct-encoded / sub-delims )"; wsproto decodes it.',
        is_odd_host,
        upgrade_request("xn--a-b"),
    ),
)

# Refusals for which wsproto's handshake has to refuse too: the head itself is right.
NO_HANDSHAKE = (
    "A WebSocket handshake is a GET request.",
    "Only GET and HEAD are served here.",
    'The request target is "*".',
    'The Connection field does not say "Upgrade".',
    "Only WebSocket version 13 is spoken here.",
    "There is not exactly one Sec-WebSocket-Key field.",
    "The Sec-WebSocket-Key is not 16 bytes in base64.",
    "There is more than one Origin field.",
)


def verdict(case: Case) -> str:
    """What both say: "upgrade", "plain", "no handshake" or "refused"; "" if they do not agree."""
    ours, request = case.ours, case.request
    if request is None:
        return "refused" if ours.status else ""
    if ours.upgrade:
        same = (case.accept, case.subprotocol) == (ours.accept, ours.subprotocol)
        return "upgrade" if same else ""
    if case.accept or (ours.status and ours.detail not in NO_HANDSHAKE):
        return ""
    return "no handshake" if ours.status else "plain"


def without_framing(fields: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """h11 tidies up the fields of a body."""
    return [field for field in fields if field[0].lower() not in FRAMING]


def compare(core: Core, data: bytes, pieces: Sequence[bytes]) -> tuple[str, str]:
    """The verdict, and the difference, if there is one."""
    ours = core.head(pieces)
    assert core.head([data]) == ours
    assert ours.size or ours.status  # the head has an end
    request, behind, why = read_h11(pieces)
    accept, subprotocol, why = read_wsproto(data) if request else (b"", b"", why)
    case = Case(data, ours, request, accept, subprotocol, why)
    if request and ours.method:
        assert (ours.method, ours.target) == (request.method, request.target)
        assert without_framing(ours.fields) == without_framing(case.fields)
        assert data[ours.size :] == behind
    agreed = verdict(case)
    if agreed:
        return agreed, ""
    for difference in DIFFERENCES:
        if request and difference.explains(case):
            return "", difference.name
    raise AssertionError(f"the core: {ours}\nh11: {request}\nwsproto: {accept!r} {why}")


def judge(core: Core, data: bytes, pieces: Sequence[bytes]) -> tuple[str, str]:
    try:
        return compare(core, data, pieces)
    except Exception as error:
        sizes = [len(piece) for piece in pieces]
        raise AssertionError(f"{data.hex()}\n{data!r}\nin pieces of {sizes}\n{error}") from error


def test_heads(core: Core) -> None:
    """Random heads, right and wrong, in random pieces. The counts see to it that the three agree on
    enough of each kind."""
    agreed: Counter[str] = Counter()
    for seed in range(HEADS):
        maker = Maker(seed)
        data = maker.head()
        agreed[judge(core, data, maker.pieces(data))[0]] += 1
    assert agreed["upgrade"] > HEADS * 0.25
    assert agreed["plain"] > HEADS * 0.2
    assert agreed["refused"] > HEADS * 0.15
    assert agreed["no handshake"] > HEADS * 0.04
    assert agreed[""] < HEADS * 0.16


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name)
def test_known_differences(core: Core, difference: Difference) -> None:
    """Each is there, or it would have to go."""
    assert judge(core, difference.example, [difference.example]) == ("", difference.name)

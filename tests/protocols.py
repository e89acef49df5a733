"""Two ends without sockets, and what they say to each other: what the tests of Protocol share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from support import KEY, accept_of, upgrade_request

import wspy
from wspy.events import Event, Open

URL = "ws://localhost:8000/chat?room=1"
OWN_HOSTS = ("localhost", "127.0.0.1", "[::1]")  # of a server on 127.0.0.1 by itself


def client_of(**options: Any) -> wspy.Protocol:
    return wspy.Protocol("client", url=URL, **options)


def feed(protocol: wspy.Protocol, pieces: Sequence[bytes]) -> list[Event]:
    return [event for piece in pieces for event in protocol.receive(piece)]


def each_byte(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def cut_at(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The pieces between sorted places, some of which may be outside."""
    places = [0, *(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


def in_pieces(data: bytes) -> Iterator[list[bytes]]:
    """Whole, and byte by byte, and in two at every byte if that is not too much."""
    yield [data]
    if len(data) < 2000:
        yield each_byte(data)
    if len(data) < 300:
        yield from (cut_at(data, [cut]) for cut in range(1, len(data)))


def opened_server(**options: Any) -> wspy.Protocol:
    """A server that has let a client in."""
    server = wspy.Protocol("server", **options)
    (event,) = server.receive(upgrade_request("localhost"))
    assert isinstance(event, Open)
    assert f"Sec-WebSocket-Accept: {accept_of(KEY)}".encode() in server.data_to_send()
    return server


def opened_pair(**options: Any) -> tuple[wspy.Protocol, wspy.Protocol]:
    """A client and a server that are open; the options are those of both."""
    client, server = client_of(**options), wspy.Protocol("server", **options)
    (asked,) = server.receive(client.data_to_send())
    (answered,) = client.receive(server.data_to_send())
    assert isinstance(asked, Open)
    assert isinstance(answered, Open)
    return client, server


def opened_client(**options: Any) -> wspy.Protocol:
    return opened_pair(**options)[0]


def exchange(one: wspy.Protocol, other: wspy.Protocol) -> tuple[list[Event], list[Event]]:
    """Carries what both have to send until there is nothing left; what each was told."""
    told: tuple[list[Event], list[Event]] = ([], [])
    while True:
        there, back = one.data_to_send(), other.data_to_send()
        if not there and not back:
            return told
        told[1].extend(other.receive(there))
        told[0].extend(one.receive(back))

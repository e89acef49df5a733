"""docs/article.md: its listings are run in order, and its two servers have real clients."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support import ROOT, wait_until
from websockets.sync.client import connect

ARTICLE = ROOT / "docs" / "article.md"


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the listings define. Each has asserts of its own."""
    listings = re.findall(r"^```python\n(.*?)^```$", ARTICLE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(listings) == 9
    names: dict[str, Any] = {}
    for listing in listings:
        exec(compile(listing, str(ARTICLE), "exec"), names)  # noqa: S102 (our own)
    return names


def check_room(url: str) -> None:
    """All get what one says, text and binary, long and short; a close is answered."""
    with connect(url) as one, connect(url) as two:
        for message in ("hello", "é" * 100, b"\0\xff" * 40_000, ""):
            one.send(message)
            assert one.recv(timeout=10) == message
            assert two.recv(timeout=10) == message
        two.ping("are you there?").wait(10)
        one.close(3000)
        assert one.close_code == 3000
        two.send("alone")
        assert two.recv(timeout=10) == "alone"


def test_the_server_of_parts(names: dict[str, Any]) -> None:
    room = names["Room"](socket.create_server(("127.0.0.1", 0)))
    port = room.listener.getsockname()[1]
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            room.step()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        check_room(f"ws://127.0.0.1:{port}/")
        with socket.create_connection(("127.0.0.1", port)) as stranger:
            stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert stranger.recv(4096).startswith(b"HTTP/1.1 505 ")
        wait_until(lambda: not room.clients)
    finally:
        stop.set()
        socket.create_connection(("127.0.0.1", port)).close()
        thread.join()
        for client in list(room.clients.values()):
            room.leave(client)
        room.listener.close()
        room.poller.close()


def test_serve_goes_on_for_ever(names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Until something is raised, here by the third step."""
    steps: list[int] = []

    class End(Exception):
        pass

    class Room:
        def __init__(self, listener: socket.socket) -> None:
            listener.close()

        def step(self) -> None:
            steps.append(1)
            if len(steps) == 3:
                raise End

    monkeypatch.setitem(names, "Room", Room)
    with pytest.raises(End):
        names["serve"](0)
    assert len(steps) == 3


def test_the_server_of_wspy(names: dict[str, Any]) -> None:
    make_server: Callable[[int], Any] = names["make_server"]
    with make_server(0).start_in_thread() as url:
        check_room(url.replace("http", "ws", 1))

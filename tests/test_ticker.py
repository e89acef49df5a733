"""examples/ticker.py with a viewer who does not keep up."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path

import pytest
from conftest import Servers
from support import ROOT, Connect, wait
from ticker import Ticker


def test_a_viewer_who_stops_reading_gets_the_last_prices(
    servers: Servers, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # For a Unix socket the kernel keeps the least.
    ticker = Ticker(servers, monkeypatch, unix=tmp_path / "socket")
    server = ticker.server
    full = threading.Event()

    def trade() -> None:
        ticker.trade()
        if server.stats()["replaced"] < 1000:
            server.call_soon(trade)
        else:
            full.set()

    client = connect(server)
    first = [json.loads(client.receive()) for _ in ticker.prices]
    assert {event["name"]: event["price"] for event in first} == ticker.prices
    (conn,) = server.connections
    server.call_soon(trade)
    wait(full)  # the client reads nothing, and the kernel takes no more for it
    assert conn.is_open
    assert conn.dropped == server.stats()["replaced"] >= 1000
    # One of each waits, and what is left of one that has begun; none has 50 bytes.
    assert 0 < conn.backlog < 21 * 50
    conn.send("the end")
    seen: dict[str, float] = {}
    while (message := client.receive()) != "the end":
        event = json.loads(message)
        seen[event["name"]] = event["price"]
    assert seen == ticker.prices


def test_the_page_loads_nothing_from_elsewhere() -> None:
    page = (ROOT / "examples" / "ticker.html").read_text(encoding="utf-8")
    assert not re.search(r"<link(?! rel=\"icon\" href=\"data:)|\ssrc=|@import|url\(|import\(", page)
    assert "innerHTML" not in page
    # But the name of a namespace, in the icon.
    assert re.findall(r"https?://[^'\"]+", page) == ["http://www.w3.org/2000/svg"]

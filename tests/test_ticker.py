"""examples/ticker.py with a viewer who does not keep up, and its page in a browser."""

from __future__ import annotations

import json
import os
import re
import runpy
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import find_chromium, launch
from conftest import Servers
from playwright.sync_api import expect
from support import ROOT, Client, wait

import wspy

REQUIRED = os.environ.get("WSPY_REQUIRE_BROWSER") == "1"
PAGE = ROOT / "examples" / "ticker.html"

Connect = Callable[..., Client]


class Ticker:
    """The example's server, at another address; it runs, and nothing is traded yet."""

    def __init__(
        self, servers: Servers, monkeypatch: pytest.MonkeyPatch, **address: object
    ) -> None:
        real = wspy.Server

        def make(**options: Any) -> wspy.Server:
            assert options.pop("port") == 8000
            return real(**{"strategy": servers.strategy, **options, **address})

        with monkeypatch.context() as patch:
            patch.setattr(wspy, "Server", make)
            names = runpy.run_path(str(ROOT / "examples" / "ticker.py"), run_name="ticker")
        self.server: wspy.Server = names["server"]
        self.trade: Callable[[], None] = names["trade"]
        self.prices: dict[str, float] = names["prices"]
        servers.start(self.server)

    def trade_now(self) -> None:
        done = threading.Event()
        self.server.call_soon(self.trade)
        self.server.call_soon(done.set)
        wait(done)

    def texts(self) -> list[str]:
        """The prices as the page writes them."""
        return [f"{price:.2f}" for price in self.prices.values()]


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
    page = PAGE.read_text(encoding="utf-8")
    assert not re.search(r"<link(?! rel=\"icon\" href=\"data:)|\ssrc=|@import|url\(|import\(", page)
    assert "innerHTML" not in page
    # But the name of a namespace, in the icon.
    assert re.findall(r"https?://[^'\"]+", page) == ["http://www.w3.org/2000/svg"]


# -- in headless Chromium --


PICTURE = "document.querySelector('canvas').toDataURL()"
BLANK = """(() => {
    const { width, height } = document.querySelector("canvas");
    return Object.assign(document.createElement("canvas"), { width, height }).toDataURL();
})()"""


@pytest.mark.skipif(
    find_chromium() is None and not REQUIRED,
    reason="there is no Chromium here: install the package chromium",
)
@pytest.mark.parametrize("strategy", ["epoll"])
def test_the_page(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows each price as text and paints its line, in light and in dark, and comes back."""
    ticker = Ticker(servers, monkeypatch, port=0)
    errors: list[str] = []
    with launch() as browser:
        page = browser.new_page(color_scheme="light", viewport={"width": 700, "height": 500})
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text))
        page.goto(ticker.server.url.replace("ws", "http"))
        state, prices = page.locator("#state"), page.locator("li .price")
        expect(state).to_have_text("live")
        expect(page.locator("li h2")).to_have_text(list(ticker.prices))
        expect(prices).to_have_text(ticker.texts())
        page.wait_for_function(f"{PICTURE} !== {BLANK}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

        for scheme, background in (("dark", "rgb(20, 24, 22)"), ("light", "rgb(245, 246, 244)")):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            picture, before = page.evaluate(PICTURE), ticker.texts()
            ticker.trade_now()
            assert ticker.texts() != before
            expect(prices).to_have_text(ticker.texts())
            page.wait_for_function(f"picture => {PICTURE} !== picture", arg=picture)
            for change in page.locator("li .change").all_text_contents():
                assert re.fullmatch(r"[▲▼] \d\.\d\d %", change), change
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == background

        (conn,) = ticker.server.connections
        conn.close(1012)
        expect(state).to_have_text("connecting again…")
        expect(state).to_have_text("live")
        expect(prices).to_have_text(ticker.texts())
    assert errors == []

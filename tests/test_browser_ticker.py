"""The page of examples/ticker.py in headless Chromium."""

from __future__ import annotations

import re

import pytest
from browser import find_chromium, launch
from conftest import Servers
from machine import skip_unless
from playwright.sync_api import expect
from ticker import Ticker

PICTURE = "document.querySelector('canvas').toDataURL()"
BLANK = """(() => {
    const { width, height } = document.querySelector("canvas");
    return Object.assign(document.createElement("canvas"), { width, height }).toDataURL();
})()"""
WATCH_STATE = """() => {
    const state = document.querySelector("#state");
    window.states = [];
    new MutationObserver(() => states.push(state.textContent)).observe(state, { childList: true });
}"""

expect.set_options(timeout=20_000)


@pytest.mark.parametrize("server_kind", ["epoll"])
def test_the_page(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows each price as text and paints its line, in light and in dark, and comes back."""
    skip_unless(find_chromium() is not None, "there is no Chromium: install the package chromium")
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
        page.evaluate(WATCH_STATE)
        conn.close(1012)
        page.wait_for_function("states.length === 2")
        assert page.evaluate("states") == ["connecting again…", "live"]
        expect(prices).to_have_text(ticker.texts())
    assert errors == []

"""examples/ticker.py in this process, for the tests of it and of its page."""

from __future__ import annotations

import runpy
import threading
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Servers
from support import ROOT, wait

import wspy


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

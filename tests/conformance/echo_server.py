"""The server that is tested: echo_server.py STRATEGY prints its address and ends with its input."""

from __future__ import annotations

import contextlib
import sys
from typing import cast

import wspy
from wspy.options import Strategy

strategy = cast(Strategy, sys.argv[1])
# What the client offers decides; every message is compressed.
compression = wspy.Compression(
    window_bits=15, server_no_context_takeover=False, client_no_context_takeover=False, threshold=0
)
server = wspy.Server(
    port=0, strategy=strategy, max_message_size=16 * 1024 * 1024, compression=compression
)


@server.on_message
def echo(conn: wspy.Connection, message: str | bytes) -> None:
    conn.send(message)


with contextlib.suppress(KeyboardInterrupt), server.start_in_thread() as url:
    assert server.strategy == strategy
    print(url, flush=True)
    sys.stdin.read()

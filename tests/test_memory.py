"""What thousands of peers that finish nothing cost: server and clients in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from machine import skip_without_descriptors
from server_process import ServerProcess, serve
from support import (
    BINARY,
    CONTINUATION,
    ROOT,
    finish,
    frame,
    read_line,
    write_line,
)

from wspy.options import Strategy

MAX_FRAGMENTS = 131_072


@contextmanager
def swarm(habit: str, server: ServerProcess, n: int) -> Iterator[subprocess.Popen[str]]:
    """``tests/swarm.py``; all of its clients have begun."""
    skip_without_descriptors(n * 10 // 9 + 100)  # max_connections is 90 % of them
    with subprocess.Popen(
        [sys.executable, ROOT / "tests" / "swarm.py", habit, server.url, str(n)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert read_line(process) == "ready"
            yield process
        finally:
            process.kill()


def most(strategy: Strategy, n: int) -> int:
    """With select all that it takes, but some for the honest."""
    return 980 if strategy == "select" else n


def test_ten_thousand_announced_frames(strategy: Strategy) -> None:
    """Each of one MiB, of which one byte has come: 10 KiB each, all together, is much."""
    n = most(strategy, 10_000)
    with serve(strategy, handshake_timeout=None) as server:
        with server.grows_less_than(10 * n), swarm("announce", server, n) as clients:
            server.check_honest()
            assert server.stats()["opened"] - server.stats()["closed"] == n + 1  # the witness
            assert finish(clients) == (0, "", "")
        server.check_honest()


def test_half_handshakes_keep_nobody_waiting(strategy: Strategy) -> None:
    """They get 408 however steadily they go on; meanwhile an honest client is served each time."""
    n = most(strategy, 2000)
    with serve(strategy, handshake_timeout=1) as server:
        with swarm("dribble", server, n) as clients:
            counts = [n]
            while counts[-1] > 0:
                server.check_honest()
                write_line(clients, "one byte more")
                counts.append(int(read_line(clients)))
            assert counts[1] > 0
            assert sorted(counts, reverse=True) == counts
            status, out, err = finish(clients)
            assert (status, json.loads(out), err) == (0, {"408": n}, "")
        assert server.stats()["refused"] == n


# -- one message in very many fragments --


def start_of(payload: bytes) -> bytes:
    return frame(BINARY, payload, fin=False)


def test_a_million_fragments(strategy: Strategy) -> None:
    """The one after the last that may be ends it, and what follows costs nothing."""
    with serve(strategy) as server, server.open() as client, server.grows_less_than(2048):
        client.send_raw(start_of(b"x"), frame(CONTINUATION, "x", fin=False) * 999_999)
        assert client.expect_close() == (1009, "the message has too many fragments")
        client.expect_end()


def test_a_million_fragments_that_may_be(strategy: Strategy) -> None:
    n = 1_000_000
    with (
        serve(strategy, max_fragments=None) as server,
        server.open() as client,
        server.grows_less_than(3 * n // 1024 + 1024),
    ):
        client.send_raw(start_of(b"x"), frame(CONTINUATION, "x", fin=False) * (n - 2))
        client.send_raw(frame(CONTINUATION, "x"))
        assert client.receive() == b"x" * n


def test_the_most_fragments(strategy: Strategy) -> None:
    """Memory is that of the message, three times: collected, echoed, and grown by doubling."""
    with serve(strategy) as server, server.open() as client:
        for size in (0, 1, 8):
            part = b"x" * size
            message = part * MAX_FRAGMENTS
            with server.grows_less_than(3 * len(message) // 1024 + 1024):
                client.send_raw(start_of(part))
                client.send_raw(frame(CONTINUATION, part, fin=False) * (MAX_FRAGMENTS - 2))
                server.check_honest()
                client.send_raw(frame(CONTINUATION, part))
                assert client.receive() == message
        client.send_raw(start_of(b""), frame(CONTINUATION, fin=False) * (MAX_FRAGMENTS - 1))
        client.send_raw(frame(CONTINUATION))
        assert client.expect_close() == (1009, "the message has too many fragments")
        client.expect_end()

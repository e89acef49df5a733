"""What large messages cost, in counts: page faults of the server."""

from __future__ import annotations

import platform
from collections.abc import Callable

import pytest
from server_process import ServerProcess, serve
from support import MIB, Client, binary, text

# Keeps eight large messages, and gives all of their memory back at once.
HOARD = """
kept = []

@server.on_message
def hoard(conn, message):
    if len(message) < 1024:
        conn.send(message)
        return
    kept.append(message)
    if len(kept) == 8:
        kept.clear()
        conn.send("cleared")
"""


def send_eight(client: Client, message: bytes) -> None:
    client.send_raw(message * 8)
    assert client.receive() == "cleared"


def count_faults(server: ServerProcess) -> int:
    """Page faults of the process so far that read nothing from a disk: proc(5), minflt."""
    with open(f"/proc/{server.process.pid}/stat", encoding="ascii") as file:
        return int(file.read().rpartition(")")[2].split()[7])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have other rules")
@pytest.mark.parametrize("make", [lambda n: binary(bytes(n)), lambda n: text("x" * n)])
def test_memory_of_large_messages_comes_again(make: Callable[[int], bytes]) -> None:
    """It does not go back to the system in between: that were 257 page faults for each."""
    message = make(MIB)
    with serve("epoll", setup=HOARD) as server, server.open() as client:
        for _ in range(3):
            send_eight(client, message)
        before = count_faults(server)
        for _ in range(10):
            send_eight(client, message)
        assert count_faults(server) - before < 80  # one for a message

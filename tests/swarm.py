"""A swarm of clients in a process of its own: ``python tests/swarm.py HABIT URL NUMBER``.

It says "ready" when all have begun, and its habit says what a line on stdin does. At the end of stdin
all of them go, with a reset, so that no port stays in use.
"""

from __future__ import annotations

import contextlib
import json
import resource
import select
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from support import BINARY, MIB, PING, Client, frame

PATH = "/" + "x" * 5000  # too long to come to its end
PAUSE_MS = 200


@contextmanager
def swarm(url: str, n: int) -> Iterator[list[Client]]:
    """Clients that have connected and sent nothing."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    clients = [Client(url, handshake=False) for _ in range(n)]
    try:
        yield clients
    finally:
        for client in clients:
            client.reset()


def announce(url: str, n: int) -> None:
    """Each announces a frame of one MiB and sends one byte of it, which the server has read."""
    with swarm(url, n) as clients:
        request = clients[0].request()
        for client in clients:
            client.send_raw(request)
        answer = clients[0].read_until(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ")
        for client in clients[1:]:
            assert client.read(len(answer)) == answer
        # One segment: the pong says that all of it has been read.
        data = frame(PING, "x") + frame(BINARY, "x", announce=MIB)
        for client in clients:
            client.send_raw(data)
        for client in clients:
            assert client.read(3) == b"\x8a\x01x"
        print("ready", flush=True)
        sys.stdin.read()


def dribble(url: str, n: int) -> None:
    """Each sends one byte of its request for a line, which is answered with how many still wait.

    In the end a line counts the answers.
    """
    statuses: Counter[int] = Counter()
    with swarm(url, n) as clients:
        request = clients[0].request(PATH)
        waiting = {client.socket.fileno(): client for client in clients}
        poll = select.poll()
        for fd in waiting:
            poll.register(fd, select.POLLIN)
        print("ready", flush=True)
        for sent, _ in enumerate(sys.stdin):
            for client in waiting.values():
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    client.send_raw(request[sent : sent + 1])
            for fd, _ in poll.poll(PAUSE_MS):
                statuses[waiting.pop(fd).response().status] += 1
                poll.unregister(fd)
            print(len(waiting), flush=True)
        print(json.dumps(statuses))


if __name__ == "__main__":
    {"announce": announce, "dribble": dribble}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))

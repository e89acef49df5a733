"""fork() under a running server: the child lets go, and the parent does not notice."""

from __future__ import annotations

import pytest
from support import STRATEGIES, Client, connect_when_up, finish, read_line, script, write_line

from wspy.options import Strategy

pytestmark = pytest.mark.parametrize("strategy", STRATEGIES)

SERVER = """
import gc, os, sys
import wspy

server = wspy.Server(port=0, strategy=sys.argv[1])
parent = os.getpid()

def use(conn):
    '''What a child may do: nothing of it reaches a peer.'''
    assert not conn.is_open
    for other in server.connections:
        other.close(4000)
    try:
        conn.send("from the child")
    except wspy.ConnectionClosed:
        pass
    conn.close(4000)
    server.stop()
    repr(conn), conn.headers, conn.path
    gc.collect()

@server.on_message
def message(conn, message):
    if message == "stop":
        server.stop()
        return
    if message.startswith("fork"):
        pid = os.fork()
        if pid == 0:
            if message == "fork and exit":
                os._exit(7)
            if message == "fork and use":
                try:
                    use(conn)
                except BaseException as exc:
                    print("child:", repr(exc), file=sys.stderr, flush=True)
                    os._exit(1)
                os._exit(7)
            if message == "fork and raise":
                raise SystemExit(7)
            return  # "fork and return": run() returns in the child
        message += f" {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}"
    conn.send(message)

@server.on_close
def closed(conn, code, reason):
    if os.getpid() != parent:
        print("on_close in the child", file=sys.stderr, flush=True)

print(server.url, flush=True)
server.run()
if os.getpid() != parent:
    gc.collect()
    os._exit(7)
print("returned", flush=True)
"""


@pytest.mark.parametrize(
    "what", ["fork and exit", "fork and use", "fork and raise", "fork and return"]
)
def test_a_fork_in_a_handler(strategy: Strategy, what: str) -> None:
    with script(SERVER, strategy) as process:
        url = read_line(process)
        with connect_when_up(url) as first, Client(url) as second:
            second.echo("hello")
            for _ in range(3):
                first.send(what)
                assert first.receive() == f"{what} 7"
            # Neither connection was closed, shut down or forgotten by the poller.
            first.echo("still there")
            second.echo("still there")
            with Client(url) as third:
                third.echo("accepted")
                third.close()
            second.close()
            first.send("stop")
            assert first.answer_close() == (1001, "")
        assert finish(process) == (0, "returned\n", "")


BEFORE = """
import os, sys, wspy

server = wspy.Server(port=0, strategy=sys.argv[1])
if os.fork() == 0:
    try:
        server.run()
    except RuntimeError as exc:
        os._exit(7)
    os._exit(1)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_a_server_of_the_parent_does_not_run_in_the_child(strategy: Strategy) -> None:
    with script(BEFORE, strategy) as process:
        assert finish(process) == (0, "7\n", "")


THREADED = """
import os, sys, wspy

server = wspy.Server(port=0, strategy=sys.argv[1], on_message=lambda conn, m: conn.send(m))
with server.start_in_thread() as url:
    print(url, flush=True)
    for line in sys.stdin:
        if line.strip() == "stop":
            break
        pid = os.fork()
        if pid == 0:
            server.stop()
            for conn in server.connections:
                conn.close()
            if line.strip() == "fork and serve":
                other = wspy.Server(port=0, strategy=sys.argv[1])
                with other.start_in_thread():
                    pass
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
print("returned", flush=True)
"""


@pytest.mark.parametrize("what", ["fork", "fork and serve"])
def test_a_fork_beside_the_loops_thread(strategy: Strategy, what: str) -> None:
    with script(THREADED, strategy) as process:
        url = read_line(process)
        with Client(url) as client:
            client.echo("hello")
            for _ in range(3):
                write_line(process, what)
                assert read_line(process) == "7"
                client.echo("still there")
            with Client(url) as other:
                other.echo("accepted")
                other.close()
            write_line(process, "stop")
            assert client.answer_close() == (1001, "")
        assert finish(process) == (0, "returned\n", "")


EXITS = """
import os, sys, wspy

server = wspy.Server(port=0, strategy=sys.argv[1], on_message=lambda conn, m: conn.send(m))
thread = server.start_in_thread()
print(server.url, flush=True)
sys.stdin.readline()
if os.fork() == 0:
    sys.exit(0)  # with atexit and all
os.wait()
print("forked", flush=True)
sys.stdin.readline()
"""


def test_a_child_that_exits_as_usual(strategy: Strategy) -> None:
    with script(EXITS, strategy) as process:
        url = read_line(process)
        with Client(url) as client:
            client.echo("hello")
            write_line(process, "fork")
            assert read_line(process) == "forked"
            client.echo("still there")
            write_line(process, "exit")
            assert client.answer_close() == (1001, "")
        assert finish(process)[0] == 0

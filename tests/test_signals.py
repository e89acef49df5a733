"""Ctrl-C and SIGTERM, in processes of their own."""

from __future__ import annotations

import signal

import pytest
from support import (
    CLOSE,
    STRATEGIES,
    Client,
    close_frame,
    connect_when_up,
    finish,
    read_line,
    script,
    write_line,
)
from websockets.exceptions import ConnectionClosed as PeerClosed
from websockets.sync.client import connect as connect_sync

from wspy.options import Strategy

pytestmark = pytest.mark.parametrize("strategy", STRATEGIES)

RUN = """
import signal, sys, threading
import wspy

server = wspy.Server(port=0, strategy=sys.argv[1], close_timeout=None, shutdown_timeout=None,
                     on_message=lambda conn, message: conn.send(message))
{before}
print(server.url, flush=True)
try:
    server.run()
    print("returned", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
{after}
"""


def run(before: str = "", after: str = "") -> str:
    return RUN.format(before=before, after=after)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_with_1001(strategy: Strategy, number: signal.Signals) -> None:
    with script(run(), strategy) as process:
        url = read_line(process)
        with connect_when_up(url) as first, connect_sync(url) as real:
            first.echo("hello")
            process.send_signal(number)
            with pytest.raises(PeerClosed) as raised:
                real.recv(timeout=10)
            assert raised.value.rcvd is not None
            assert raised.value.rcvd.code == 1001
            assert first.answer_close() == (1001, "")
        assert finish(process) == (0, "returned\n", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_without_connections(strategy: Strategy, number: signal.Signals) -> None:
    with script(run(), strategy) as process:
        with connect_when_up(read_line(process)) as client:
            client.close()
        process.send_signal(number)
        assert finish(process) == (0, "returned\n", "")


def test_a_second_ctrl_c_does_not_wait(strategy: Strategy) -> None:
    with script(run(), strategy) as process, connect_when_up(read_line(process)) as client:
        process.send_signal(signal.SIGINT)
        assert client.expect_close() == (1001, "")
        # We do not answer, and the server has no time-outs.
        process.send_signal(signal.SIGINT)
        assert finish(process) == (0, "interrupted\n", "")
        client.expect_end()


def test_a_stop_before_the_run(strategy: Strategy) -> None:
    before = (
        "signal.signal(signal.SIGTERM, lambda *a: server.stop())\n"
        "signal.raise_signal(signal.SIGTERM)\n"
    )
    with script(run(before), strategy) as process:
        read_line(process)
        assert finish(process) == (0, "returned\n", "")


def test_ctrl_c_before_the_run_is_not_ours(strategy: Strategy) -> None:
    before = (
        "try:\n    signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt:\n    print('mine', flush=True)\n"
        "server.stop()\n"
    )
    with script(run(before), strategy) as process:
        assert read_line(process) == "mine"
        read_line(process)
        assert finish(process) == (0, "returned\n", "")


def test_handlers_of_the_programs_own_stay(strategy: Strategy) -> None:
    before = """
def own(number, frame):
    print("own", number, flush=True)
    if number == signal.SIGTERM:
        server.stop()
signal.signal(signal.SIGTERM, own)
signal.signal(signal.SIGUSR1, own)
"""
    after = "assert signal.getsignal(signal.SIGTERM) is own\nprint('same', flush=True)"
    with script(run(before, after), strategy) as process:
        with connect_when_up(read_line(process)) as client:
            for _ in range(3):  # the loop waits in C: the handler is called all the same
                process.send_signal(signal.SIGUSR1)
                assert read_line(process) == f"own {signal.SIGUSR1:d}"
            client.echo("still there")
            process.send_signal(signal.SIGTERM)
            assert read_line(process) == f"own {signal.SIGTERM:d}"
            assert client.answer_close() == (1001, "")
        assert finish(process) == (0, "returned\nsame\n", "")


def test_a_handler_of_the_programs_own_that_raises(strategy: Strategy) -> None:
    before = """
def own(number, frame):
    raise KeyboardInterrupt
signal.signal(signal.SIGTERM, own)
"""
    with script(run(before), strategy) as process:
        with connect_when_up(read_line(process)) as client:
            process.send_signal(signal.SIGTERM)
            assert client.answer_close() == (1001, "")
        assert finish(process) == (0, "interrupted\n", "")


def test_what_was_there_is_restored(strategy: Strategy) -> None:
    before = (
        "import socket\n"
        "a, b = socket.socketpair()\n"
        "a.setblocking(False)\n"
        "signal.set_wakeup_fd(a.fileno())\n"
        "was = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]\n"
    )
    after = (
        "assert was == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]\n"
        "assert signal.set_wakeup_fd(-1) == a.fileno()\n"
        "print('restored', flush=True)\n"
    )
    with script(run(before, after), strategy) as process:
        with connect_when_up(read_line(process)) as client:
            process.send_signal(signal.SIGINT)
            assert client.answer_close() == (1001, "")
        code, out, err = finish(process)
        assert (code, out, err) == (0, "returned\nrestored\n", "")


def test_ctrl_c_while_a_handler_runs(strategy: Strategy) -> None:
    before = """
def slow(conn, message):
    print("in", flush=True)
    sys.stdin.readline()
    conn.send("done")
server.on_message(slow)
"""
    with script(run(before), strategy) as process:
        with connect_when_up(read_line(process)) as client:
            client.send("go")
            assert read_line(process) == "in"
            process.send_signal(signal.SIGINT)
            write_line(process, "go on")
            assert client.receive() == "done"
            assert client.answer_close() == (1001, "")
        assert finish(process) == (0, "returned\n", "")


def test_a_thread_server_is_stopped_at_exit(strategy: Strategy) -> None:
    code = (
        "import sys, wspy\n"
        "server = wspy.Server(port=0, strategy=sys.argv[1])\n"
        "thread = server.start_in_thread()\n"
        "print(server.url, flush=True)\n"
        "sys.stdin.readline()\n"
    )
    with script(code, strategy) as process:
        with Client(read_line(process)) as client:
            write_line(process, "go on")
            assert client.answer_close() == (1001, "")
        assert finish(process) == (0, "", "")


def test_a_signal_reaches_a_program_with_a_server_in_a_thread(strategy: Strategy) -> None:
    code = (
        "import sys, signal, wspy\n"
        "server = wspy.Server(port=0, strategy=sys.argv[1])\n"
        "try:\n"
        "    with server.start_in_thread() as url:\n"
        "        print(url, flush=True)\n"
        "        signal.pause()\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
    )
    with script(code, strategy) as process:
        with Client(read_line(process)) as client:
            process.send_signal(signal.SIGINT)
            assert client.read_frame().opcode == CLOSE
            client.send_raw(close_frame(1001))
            client.expect_end()
        assert finish(process) == (0, "interrupted\n", "")

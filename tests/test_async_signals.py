"""Ctrl-C and SIGTERM for run() inside asyncio, in processes of their own."""

from __future__ import annotations

import signal

import pytest
from support import connect_when_up, finish, read_line, script

from wspy.serving import LoopName

RUN = """
import asyncio, signal, sys
import wspy

trace = []

async def on_message(conn, message):
    if message == "wait":
        print("in", flush=True)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            print("cancelled", flush=True)
            raise
    conn.send(message)

server = wspy.Server(port=0, close_timeout=None, shutdown_timeout=None, on_message=on_message)
was = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
print(server.url, flush=True)
try:
    server.run(loop=sys.argv[1])
    print("returned", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
assert was == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
assert signal.set_wakeup_fd(-1) == -1
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_with_1001(loop: LoopName, number: signal.Signals) -> None:
    with script(RUN, loop) as process:
        with connect_when_up(read_line(process)) as client:
            client.echo("hello")
            process.send_signal(number)
            assert client.answer_close() == (1001, "")
        assert finish(process) == (0, "returned\n", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_handlers(loop: LoopName, number: signal.Signals) -> None:
    with script(RUN, loop) as process:
        with connect_when_up(read_line(process)) as client:
            client.send("wait")
            assert read_line(process) == "in"
            process.send_signal(number)
            assert read_line(process) == "cancelled"
            assert client.answer_close() == (1001, "")
        assert finish(process) == (0, "returned\n", "")


def test_a_second_ctrl_c_does_not_wait(loop: LoopName) -> None:
    with script(RUN, loop) as process, connect_when_up(read_line(process)) as client:
        process.send_signal(signal.SIGINT)
        assert client.expect_close() == (1001, "")
        process.send_signal(signal.SIGINT)  # we do not answer, and the server has no time-outs
        assert finish(process) == (0, "interrupted\n", "")
        client.expect_end()

"""A server in a process of its own: what hostile clients do to it is seen from outside.

Memory and descriptors are read from /proc, its log from a file, its counters by a line on stdin.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO
from urllib.parse import urlsplit

from loops import Kind
from support import ROOT, TIMEOUT, Client, connect_when_up, read_line, wait_until, write_line

PROGRAM = """
import json, logging, os, sys, threading
import wspy

logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(message)s")
logging.getLogger("asyncio").setLevel(logging.INFO)  # which names its selector
kind = sys.argv[1]
loop = kind if kind in ("asyncio", "uvloop") else None
server = wspy.Server(port=0, strategy="epoll" if loop else kind, **json.loads(sys.argv[2]))

@server.on_message
def on_message(conn, message):
    if message == "close yourself":
        conn.close(4000, "asked to")
    else:
        conn.send(message)

{setup}

def answer_commands():
    while os.read(0, 1000):
        print(json.dumps(server.stats()), flush=True)

threading.Thread(target=answer_commands, daemon=True).start()
print(server.url, flush=True)
server.run(loop=loop)
print("returned", flush=True)
"""

# The levels and the form of all lines that a hostile client may cause.
LINE = re.compile(r"(INFO|WARNING) [ -~]*")


class ServerProcess:
    """An echo server that runs, seen from outside. It closes with 4000 who sends "close yourself".

    Made by ``serve()``. ``log_file`` gets its stderr: a pipe that nobody reads would hold it up.
    """

    def __init__(self, process: subprocess.Popen[str], log_file: IO[str]) -> None:
        self.process = process
        self.log_file = log_file
        self.has_ended = False
        self.url = read_line(process)
        self.host = urlsplit(self.url).netloc
        self.port = int(self.host.rpartition(":")[2])
        self.witness = connect_when_up(self.url)
        self.witness.echo("hello")  # the loop runs, with all that it opens for itself
        self.first_descriptors = self.descriptors()

    # clients

    def client(self) -> Client:
        """A client that has not sent anything yet."""
        return Client(self.url, handshake=False)

    def open(self, path: str = "/") -> Client:
        """A client behind its handshake."""
        return Client(self.url, path)

    def check_honest(self) -> None:
        """A new client is served, and so is one that has been there from the start."""
        with self.open() as client:
            client.echo("Grüße")
            assert client.close() == (1000, "")
        self.witness.echo("still there")

    # the process

    def memory(self, name: str) -> int:
        """A row of /proc/PID/status in KiB: VmRSS is what it has now, VmHWM the peak."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(name + ":"))

    @contextmanager
    def grows_less_than(self, kib: int) -> Iterator[None]:
        """The most memory that it has meanwhile is less than that above what it has now."""
        with open(f"/proc/{self.process.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")  # forgets the peak: proc(5)
        before = self.memory("VmRSS")
        yield
        grown = self.memory("VmHWM") - before
        assert grown < kib, f"{grown} KiB"

    def descriptors(self) -> dict[str, str]:
        """What each descriptor of the process is."""
        folder = f"/proc/{self.process.pid}/fd"
        found = {}
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):  # closed since
                found[name] = os.readlink(f"{folder}/{name}")
        return found

    def stats(self) -> dict[str, int]:
        write_line(self.process, "stats")
        stats: dict[str, int] = json.loads(read_line(self.process))
        return stats

    def processor_ns(self) -> int:
        """The time that its main thread, which is the loop's, has had a processor."""
        with open(f"/proc/{self.process.pid}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[0])

    def take_log(self) -> list[str]:
        """The lines of the log since the last call, which the end does not look at any more."""
        self.log_file.seek(0)
        lines = self.log_file.read().splitlines()
        self.log_file.truncate(0)
        return lines

    # the end

    def wait_for_the_descriptors_of_the_start(self) -> None:
        """All clients but the witness are gone: so are their sockets, and nothing else was opened."""
        wait_until(lambda: self.descriptors() == self.first_descriptors)

    def check_log(self) -> None:
        """No error, no traceback, no line that a client made up."""
        assert [line for line in self.take_log() if not LINE.fullmatch(line)] == []

    def stop(self) -> None:
        """SIGTERM: it says goodbye with 1001 and ends without an error."""
        self.process.send_signal(signal.SIGTERM)
        self.expect_end()

    def expect_end(self) -> None:
        """Whatever has stopped it."""
        assert self.witness.answer_close() == (1001, "")
        self.witness.socket.close()  # else it waits for our FIN
        assert read_line(self.process) == "returned"
        assert self.process.wait(TIMEOUT) == 0
        self.has_ended = True


@contextmanager
def serve(kind: Kind, setup: str = "", **options: object) -> Iterator[ServerProcess]:
    """A server in a process of its own. ``setup``: lines of Python, with ``server``, before it runs.

    The end looks at the descriptors and the log, and stops it with SIGTERM; it is killed if
    the test has failed before.
    """
    # Clients that look at every byte expect no pings among them, however slow the machine.
    arguments = [kind, json.dumps({"ping_interval": None, **options})]
    # Opened to append: where this process reads is not where that one writes.
    with (
        tempfile.NamedTemporaryFile() as place,
        open(place.name, "a+", encoding="utf-8") as log_file,
    ):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(setup=setup), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        with process:
            try:
                server = ServerProcess(process, log_file)
                with server.witness:
                    yield server
                    if not server.has_ended:
                        server.wait_for_the_descriptors_of_the_start()
                        server.stop()
                server.check_log()
            finally:
                process.kill()
                log_file.seek(0)
                print(log_file.read())  # for a test that has failed: else nothing is left

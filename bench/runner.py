"""Runs servers and the load generator in turns: the part that all benchmarks share.

Each server runs alone in its own process on one CPU and bench/load*.c on another. bench/README.md
tells the method.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

from benchmark import Benchmark, Round, Run, Settings, Table
from peer import Peer
from program import BenchError
from workload import Workload

START_TIMEOUT = 10.0


# ---- processes ----


@contextlib.contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """What is started inside inherits the CPU from its first instruction on, threads included."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def allow_files() -> None:
    """A descriptor for each connection: as many as the system lets servers have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    if process.returncode is not None:
        raise BenchError(f"the server ended with status {process.returncode} before it listened")
    raise BenchError(f"the server did not listen within {START_TIMEOUT:.0f} s")


@contextlib.contextmanager
def serving(peer: Peer, benchmark: Benchmark, settings: Settings) -> Iterator[tuple[int, int]]:
    """Runs the peer's server; gives (port, pid). A failure carries the end of its log."""
    port = free_port()
    with tempfile.TemporaryFile() as log:
        with pinned(settings.server_cpu):
            process = subprocess.Popen(
                peer.command(benchmark.kind, port, benchmark.words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=peer.environment(),
            )
        try:
            wait_until_ready(process, port)
            yield port, process.pid
        except BenchError as error:
            log.seek(0)
            tail = log.read().decode(errors="replace").strip().splitlines()[-5:]
            raise BenchError("\n    ".join([str(error), *tail])) from None
        finally:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


# ---- measuring ----


def measure(peer: Peer, benchmark: Benchmark, options: Sequence[str], settings: Settings) -> Run:
    """One turn: a fresh server, one run of the load generator."""
    with serving(peer, benchmark, settings) as (port, pid):
        command = [
            *(str(settings.load), "--json", "--port", str(port), "--pid", str(pid)),
            *("--seconds", str(settings.seconds), *options),
        ]
        with pinned(settings.load_cpu):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(timeout=settings.seconds + 120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise BenchError("the load generator did not end") from None
        if process.returncode != 0:
            said = err.decode(errors="replace").strip()
            raise BenchError(said or f"the load generator ended with {process.returncode}")
        run: Run = json.loads(out)
        if run.get(benchmark.key, 0) <= 0:
            raise BenchError("too little was measured: more --seconds, or more connections")
        return run


def tell(where: str) -> None:
    """On the last line of a terminal, until the next."""
    if sys.stderr.isatty():
        print(f"  {where:60}", end="\r", file=sys.stderr, flush=True)


def turns(peers: Sequence[Peer], number: int) -> list[Peer]:
    """The order of a round. Each begins with another peer: in as many rounds as there are peers,
    every peer has every place once."""
    first = number % len(peers)
    return [*peers[first:], *peers[:first]]


def without_failures(
    peers: list[Peer], benchmark: Benchmark, options: Sequence[str], settings: Settings, where: str
) -> Round:
    """A turn of each. One that fails is told, and taken from the peers."""
    result: Round = {}
    for peer in list(peers):
        tell(f"{where} {peer.name}")
        try:
            result[peer.name] = measure(peer, benchmark, options, settings)
        except BenchError as error:
            tell("")
            peers.remove(peer)
            print(f"{peer.name} failed: {error}", file=sys.stderr)
    tell("")
    return result


def measure_workload(
    peers: Sequence[Peer], benchmark: Benchmark, workload: Workload, settings: Settings
) -> Table:
    """All rounds. A peer that failed once is left out of the remaining ones and of the table."""
    good = list(peers)
    plan = benchmark.plan(good, workload, settings)
    results: list[Round] = []
    rounds = min(settings.rounds, benchmark.most_rounds or settings.rounds)
    for number in range(rounds):
        if not good:
            break
        order = turns(good, number)
        where = f"{benchmark.name} {workload}, round {number + 1}/{rounds}"
        results.append(without_failures(order, benchmark, plan.options, settings, where))
        good = [peer for peer in good if peer in order]
    names = {peer.name for peer in good}
    results = [{name: run for name, run in r.items() if name in names} for r in results]
    return Table(benchmark, workload, plan.title, good, results)

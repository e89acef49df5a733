"""Runs servers and the load generator in turns: the part that all benchmarks share.

Each server runs alone in its own process on one CPU and bench/load*.c on another. bench/README.md
tells the method.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from peer import Peer, installed_peers
from program import BenchError, build_load
from report import Round, Run, Unit, print_setting, print_table

START_TIMEOUT = 10.0


class Workload(NamedTuple):
    connections: int
    size: str
    depth: int

    @classmethod
    def parse(cls, text: str) -> Workload:
        try:
            connections, size, depth = text.split("x")
            return cls(int(connections), size, int(depth))
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not CONNECTIONSxSIZExDEPTH, such as 32x20x1"
            ) from None


@dataclass(frozen=True)
class Benchmark:
    """What is measured; main() does it."""

    description: str
    kind: str  # of the server programs, see Peer
    peers: tuple[str, ...]
    workloads: tuple[Workload, ...]
    in_flight: str  # where the messages of a workload's depth are
    unit: Unit
    load_options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """What is the same for every run."""

    benchmark: Benchmark
    load: Path
    rounds: int
    seconds: float
    text: bool
    server_cpu: int
    load_cpu: int


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
def serving(peer: Peer, settings: Settings) -> Iterator[tuple[int, int]]:
    """Runs the peer's server; gives (port, pid). A failure carries the end of its log."""
    port = free_port()
    with tempfile.TemporaryFile() as log:
        with pinned(settings.server_cpu):
            process = subprocess.Popen(
                [*peer.command(settings.benchmark.kind), str(port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
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


def measure(peer: Peer, workload: Workload, settings: Settings) -> Run:
    """One turn: a fresh server, one run of the load generator."""
    with serving(peer, settings) as (port, pid):
        command = [
            *(str(settings.load), "--json", "--port", str(port), "--pid", str(pid)),
            *("--connections", str(workload.connections), "--size", workload.size),
            *("--depth", str(workload.depth), "--text" if settings.text else "--binary"),
            *("--seconds", str(settings.seconds), *settings.benchmark.load_options),
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
        if run["sent"] == 0 or "messages_per_cpu_second" not in run:
            raise BenchError("too little was measured: raise --seconds")
        return run


def turns(peers: list[Peer], number: int) -> list[Peer]:
    """The order of a round. Each begins with another peer: in as many rounds as there are peers,
    every peer has every place once."""
    first = number % len(peers)
    return peers[first:] + peers[:first]


def measure_rounds(
    peers: list[Peer], workload: Workload, settings: Settings
) -> tuple[list[Round], bool]:
    """All rounds of one workload; a peer that failed once is left out of the remaining ones."""
    results: list[Round] = []
    failed: set[str] = set()
    for number in range(settings.rounds):
        results.append({})
        for peer in turns(peers, number):
            if peer.name in failed:
                continue
            where = f"round {number + 1}/{settings.rounds}"
            print(f"  {where} {peer.name:12}", end="\r", file=sys.stderr)
            try:
                results[-1][peer.name] = measure(peer, workload, settings)
            except BenchError as error:
                failed.add(peer.name)
                print(f"\n{peer.name} failed: {error}", file=sys.stderr)
    print(" " * 40, end="\r", file=sys.stderr)
    for result in results:
        for name in failed:
            result.pop(name, None)
    return results, not failed


def measure_all(peers: list[Peer], workloads: list[Workload], settings: Settings) -> bool:
    """Measures and reports; True if every run was good."""
    good = True
    print_setting(
        peers,
        f"{settings.rounds} rounds of {settings.seconds:g} s, medians, "
        f"{'text' if settings.text else 'binary'} messages; "
        f"server on CPU {settings.server_cpu}, load generator on CPU {settings.load_cpu}",
    )
    for workload in workloads:
        results, all_good = measure_rounds(peers, workload, settings)
        good = good and all_good
        where = settings.benchmark.in_flight
        print(f"{workload.connections} connections, {workload.size} B, {workload.depth} {where}:\n")
        print_table(results, peers, settings.benchmark.unit)
    return good


# ---- command line ----


def arguments(benchmark: Benchmark) -> argparse.Namespace:
    first = benchmark.workloads[0]
    defaults = ",".join(f"{w.connections}x{w.size}x{w.depth}" for w in benchmark.workloads)
    parser = argparse.ArgumentParser(description=benchmark.description)
    add = parser.add_argument
    add("--rounds", type=int, default=5, help="turns of each server (5)")
    add("--seconds", type=float, default=2.0, help="measured time of a turn (2)")
    add("--peers", default=",".join(benchmark.peers), help="servers to measure (%(default)s)")
    add(
        "--workloads",
        default=defaults,
        help="CONNECTIONSxSIZExDEPTH,…; SIZE may be a range such as 20-2000 (%(default)s)",
    )
    own = "one workload of your own instead: connections"
    add("--connections", type=int, help=f"{own} ({first.connections})")
    add("--size", help=f"… its message size or range of sizes ({first.size})")
    add("--depth", type=int, help=f"… its messages {benchmark.in_flight} ({first.depth})")
    add("--text", action="store_true", help="text messages instead of binary ones")
    found = parser.parse_args()
    if found.rounds < 1 or found.seconds <= 0:
        parser.error("--rounds and --seconds have to be positive")
    unknown = [name for name in found.peers.split(",") if name not in benchmark.peers]
    if unknown:
        parser.error(f"no such peer: {', '.join(unknown)}; there are {', '.join(benchmark.peers)}")
    try:
        found.workloads = [Workload.parse(text) for text in found.workloads.split(",")]
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    if found.connections or found.size or found.depth:
        connections, depth = found.connections or first.connections, found.depth or first.depth
        found.workloads = [Workload(connections, found.size or first.size, depth)]
    return found


def main(benchmark: Benchmark) -> int:
    """The exit status: 0 if every run was good, else 1."""
    options = arguments(benchmark)
    peers = installed_peers(options.peers.split(","))
    if not peers:
        print("no server to measure", file=sys.stderr)
        return 1
    try:
        load = build_load()
    except BenchError as error:
        print(f"the load generator cannot be built: {error}", file=sys.stderr)
        return 1
    allow_files()
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) == 1:
        print("only one CPU: server and load generator share it", file=sys.stderr)
    settings = Settings(
        *(benchmark, load, options.rounds, options.seconds, options.text),
        *(cpus[0], cpus[1 % len(cpus)]),
    )
    return 0 if measure_all(peers, options.workloads, settings) else 1

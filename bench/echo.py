"""Echo servers side by side: messages for each second of the server's CPU.

Each server runs alone in its own process on one CPU and bench/load*.c on another, in turns over
several rounds. bench/README.md tells the method. Exit status: 0 if every run was good, else 1.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
BUILD = ROOT / "build"
BASELINE = "picows"
START_TIMEOUT = 10.0


class BenchError(Exception):
    """A server or the load generator did not do its work; the text says what was seen."""


@dataclass(frozen=True)
class Peer:
    """One server program and the distributions it runs on: bench/servers/NAME_server.py, or
    bench/servers/NAME.c with the libraries it is linked with."""

    name: str
    distributions: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()

    @property
    def is_c(self) -> bool:
        return bool(self.libraries)

    def command(self) -> list[str]:
        """What starts it; the port is to be added."""
        if self.is_c:
            return [str(BUILD / self.name)]
        return [sys.executable, str(BENCH / "servers" / f"{self.name}_server.py")]


PEERS = {
    peer.name: peer
    for peer in (
        Peer("wspy", ("wspy",)),
        Peer("raw", libraries=("crypto",)),
        Peer("picows", ("picows", "aiofastnet", "uvloop")),
        Peer("websockets", ("websockets", "uvloop")),
        Peer("socketify", ("socketify",)),
    )
}


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

    def __str__(self) -> str:
        return f"{self.connections} connections, {self.size} B, {self.depth} in flight on each"


@dataclass(frozen=True)
class Settings:
    """What is the same for every run."""

    load: Path
    seconds: float
    text: bool
    server_cpu: int
    load_cpu: int


Run = dict[str, Any]  # the load generator's JSON line
Round = dict[str, Run]  # peer name -> its run


# ---- building ----


def build(name: str, sources: Sequence[Path], libraries: Sequence[str] = ()) -> Path:
    """Compiles a C program into build/, unless that was done since its sources last changed."""
    program = BUILD / name
    headers = {header for source in sources for header in source.parent.glob("*.h")}
    changed = max(path.stat().st_mtime for path in (*sources, *headers))
    if program.exists() and program.stat().st_mtime >= changed:
        return program
    BUILD.mkdir(exist_ok=True)
    command = [
        *(os.environ.get("CC", "cc"), "-O2", "-std=c11", "-D_GNU_SOURCE", "-o", str(program)),
        *map(str, sources),
        *(f"-l{library}" for library in libraries),
    ]
    try:
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        raise BenchError(f"{command[0]} cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"{command[0]} ended with {done.returncode}"]
        raise BenchError(next((line for line in said if "error" in line), said[-1]))
    return program


def build_load() -> Path:
    return build("load", sorted(BENCH.glob("load*.c")))


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


def why_missing(peer: Peer) -> str | None:
    """What compiling or importing the peer says, its decisive line; None if it is there."""
    if peer.is_c:
        try:
            build(peer.name, [BENCH / "servers" / f"{peer.name}.c"], peer.libraries)
        except BenchError as error:
            return str(error)
        return None
    probe = subprocess.run(
        [sys.executable, "-c", f"import {peer.name}"],
        capture_output=True,
        text=True,
        cwd=BENCH / "servers",
        check=False,
    )
    if probe.returncode == 0:
        return None
    return (probe.stderr.strip().splitlines() or ["no reason given"])[-1]


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
def serving(peer: Peer, cpu: int) -> Iterator[tuple[int, int]]:
    """Runs the peer's server; gives (port, pid). A failure carries the end of its log."""
    port = free_port()
    with tempfile.TemporaryFile() as log:
        with pinned(cpu):
            process = subprocess.Popen(
                [*peer.command(), str(port)],
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
    with serving(peer, settings.server_cpu) as (port, pid):
        command = [
            *(str(settings.load), "--json", "--port", str(port), "--pid", str(pid)),
            *("--connections", str(workload.connections), "--size", workload.size),
            *("--depth", str(workload.depth), "--text" if settings.text else "--binary"),
            *("--seconds", str(settings.seconds)),
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
        if run["messages"] == 0 or "messages_per_cpu_second" not in run:
            raise BenchError("too little was measured: raise --seconds")
        return run


def turns(peers: list[Peer], number: int) -> list[Peer]:
    """The order of a round. Each begins with another peer: in as many rounds as there are peers,
    every peer has every place once."""
    first = number % len(peers)
    return peers[first:] + peers[:first]


def measure_rounds(
    peers: list[Peer], workload: Workload, rounds: int, settings: Settings
) -> tuple[list[Round], bool]:
    """All rounds of one workload; a peer that failed once is left out of the remaining ones."""
    results: list[Round] = []
    failed: set[str] = set()
    for number in range(rounds):
        results.append({})
        for peer in turns(peers, number):
            if peer.name in failed:
                continue
            print(f"  round {number + 1}/{rounds} {peer.name:12}", end="\r", file=sys.stderr)
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


# ---- reporting ----


def ratio_cell(results: list[Round], name: str) -> str:
    """The median of the per-round ratios to the baseline, and their range."""
    ratios = [
        result[name]["messages_per_cpu_second"] / result[BASELINE]["messages_per_cpu_second"]
        for result in results
        if BASELINE in result
    ]
    if not ratios:
        return "none"
    if name == BASELINE or len(ratios) == 1:
        return f"{median(ratios):.2f}"
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def row(results: list[Round], name: str) -> list[str]:
    def values(key: str) -> list[float]:
        return [result[name][key] for result in results]

    per_cpu = values("messages_per_cpu_second")
    spread = (max(per_cpu) - min(per_cpu)) / median(per_cpu)
    return [
        name,
        f"{median(values('messages_per_second')):,.0f}",
        f"{median(per_cpu):,.0f}",
        ratio_cell(results, name),
        f"{spread:.0%}",
        f"{median(values('server_user_us_per_message')):.2f}",
        f"{median(values('server_system_us_per_message')):.2f}",
        f"{median(values('p50_us')):,.0f}",
        f"{median(values('p99_us')):,.0f}",
        f"{median(values('load_cpu')):.0%}",
    ]


def print_table(results: list[Round], peers: list[Peer]) -> None:
    head = [
        *("server", "messages/s", "messages per server-CPU-second", f"ratio to {BASELINE}"),
        *("spread", "user µs/message", "system µs/message"),
        *("p50 µs", "p99 µs", "load generator's CPU"),
    ]
    print("| " + " | ".join(head) + " |")
    print("|---" + "|---:" * (len(head) - 1) + "|")
    for peer in peers:
        if all(peer.name in result for result in results):
            print("| " + " | ".join(row(results, peer.name)) + " |")
    print()


def cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def version(distribution: str) -> str | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return f"{distribution} {importlib.metadata.version(distribution)}"
    return None


def print_setting(peers: list[Peer], settings: Settings, rounds: int) -> None:
    names = dict.fromkeys(name for peer in peers for name in peer.distributions)
    versions = [text for text in map(version, names) if text]
    if any(peer.name == "wspy" for peer in peers) and not version("wspy"):
        versions.insert(0, "wspy of this tree")
    print(f"- {', '.join([f'Python {platform.python_version()}', *versions])}")
    print(f"- Linux {platform.release()}, {cpu_model()}, {os.cpu_count()} CPUs")
    print(
        f"- {rounds} rounds of {settings.seconds:g} s, medians, "
        f"{'text' if settings.text else 'binary'} messages; "
        f"server on CPU {settings.server_cpu}, load generator on CPU {settings.load_cpu}"
    )
    print()


# ---- command line ----


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--rounds", type=int, default=5, help="turns of each server (5)")
    add("--seconds", type=float, default=2.0, help="measured time of a turn (2)")
    add("--peers", default=",".join(PEERS), help="servers to measure (%(default)s)")
    add(
        "--workloads",
        default="32x20x1,32x20x16",
        help="CONNECTIONSxSIZExDEPTH,…; SIZE may be a range such as 20-2000 (%(default)s)",
    )
    add("--connections", type=int, help="one workload of your own instead: connections (32)")
    add("--size", help="… its message size or range of sizes (20)")
    add("--depth", type=int, help="… its messages in flight on each connection (1)")
    add("--text", action="store_true", help="text messages instead of binary ones")
    found = parser.parse_args()
    if found.rounds < 1 or found.seconds <= 0:
        parser.error("--rounds and --seconds have to be positive")
    unknown = [name for name in found.peers.split(",") if name not in PEERS]
    if unknown:
        parser.error(f"no such peer: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    try:
        found.workloads = [Workload.parse(text) for text in found.workloads.split(",")]
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    if found.connections or found.size or found.depth:
        own = Workload(found.connections or 32, found.size or "20", found.depth or 1)
        found.workloads = [own]
    return found


def how_to_get(peer: Peer) -> str:
    if peer.is_c:
        return "it needs a C compiler and OpenSSL's headers (Debian: gcc, libssl-dev)"
    what = "-e ." if peer.name == "wspy" else "-r bench/requirements.txt"
    return f"to install it: {sys.executable} -m pip install {what}"


def installed_peers(names: list[str]) -> list[Peer]:
    """The peers that can be imported or compiled; for the others it is said how to get them."""
    peers = []
    for name in names:
        reason = why_missing(PEERS[name])
        if reason is None:
            peers.append(PEERS[name])
            continue
        print(f"{name} is skipped: {reason}", file=sys.stderr)
        print(f"  {how_to_get(PEERS[name])}", file=sys.stderr)
    return peers


def main() -> int:
    options = arguments()
    peers = installed_peers(options.peers.split(","))
    if not peers:
        print("no server to measure", file=sys.stderr)
        return 1
    try:
        load = build_load()
    except BenchError as error:
        print(f"the load generator cannot be built: {error}", file=sys.stderr)
        return 1
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) == 1:
        print("only one CPU: server and load generator share it", file=sys.stderr)
    settings = Settings(load, options.seconds, options.text, cpus[0], cpus[1 % len(cpus)])
    print_setting(peers, settings, options.rounds)
    good = True
    for workload in options.workloads:
        results, all_good = measure_rounds(peers, workload, options.rounds, settings)
        good = good and all_good
        print(f"{workload}:\n")
        print_table(results, peers)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

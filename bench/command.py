"""The command line of the benchmarks: what is measured, how often, and where it goes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmark import Benchmark, Settings, Table
from chart import chart, panel_of
from peer import PEERS, Peer, installed_peers
from program import BenchError, build_load
from report import print_setting, print_table, setting
from runner import allow_files, measure_workload
from workload import Workload


def arguments(benchmarks: Sequence[Benchmark]) -> argparse.Namespace:
    """With several benchmarks some may be chosen by name."""
    first, several = benchmarks[0], len(benchmarks) > 1
    parser = argparse.ArgumentParser(
        description="Servers side by side; bench/README.md tells the method."
        if several
        else first.description
    )
    add = parser.add_argument
    if several:
        add("names", nargs="*", help=f"of {', '.join(b.name for b in benchmarks)} (all)")
    add("--rounds", type=int, default=5, help="turns of each server (5)")
    add("--seconds", type=float, default=1.0, help="measured time of a turn (1)")
    add("--peers", help=f"servers to measure, of {', '.join(PEERS)} (all)")
    usual = f" ({','.join(map(str, first.workloads))})"
    add("--workloads", help=f"CONNECTIONSxSIZExDEPTH,… or CONNECTIONS,…{'' if several else usual}")
    add("--text", action="store_true", help="text messages instead of binary ones")
    add("--rate", type=float, help="of the latencies: messages a second, the same for all")
    add("--svg", type=Path, help="draw it, too")
    add("--json", type=Path, help="keep every round, too; bench/chart.py draws that")
    found = parser.parse_args()
    check(parser, found, benchmarks)
    return found


def check(
    parser: argparse.ArgumentParser, found: argparse.Namespace, benchmarks: Sequence[Benchmark]
) -> None:
    """Refuses what cannot be; found.benchmarks, found.peers and found.workloads are lists then."""
    names = getattr(found, "names", [])
    unknown = set(names) - {benchmark.name for benchmark in benchmarks}
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    found.benchmarks = [b for b in benchmarks if not names or b.name in names]
    if found.rounds < 1 or found.seconds <= 0:
        parser.error("--rounds and --seconds have to be positive")
    if found.rate is not None and found.rate <= 0:
        parser.error("--rate has to be positive")
    offered = dict.fromkeys(name for b in found.benchmarks for name in b.peers)
    found.peers = found.peers.split(",") if found.peers else list(offered)
    unknown = set(found.peers) - set(offered)
    if unknown:
        parser.error(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(offered)}")
    if found.workloads and len(found.benchmarks) > 1:
        parser.error("--workloads is for one benchmark: name it")
    try:
        found.workloads = [
            Workload.parse(word) for word in (found.workloads or "").split(",") if word
        ]
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    sized = bool(found.benchmarks[0].workloads[0].size)
    if any(bool(workload.size) != sized for workload in found.workloads):
        parser.error(f"the workloads are like {found.benchmarks[0].workloads[0]}")


def make_settings(rounds: int, seconds: float, rate: float | None = None) -> Settings:
    """Builds the load generator and takes the first two CPUs; raises BenchError."""
    load = build_load()
    allow_files()
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) == 1:
        print("only one CPU: server and load generator share it", file=sys.stderr)
    return Settings(load, rounds, seconds, rate, cpus[0], cpus[1 % len(cpus)])


def how(settings: Settings) -> str:
    rounds = f"{settings.rounds} round{'s' if settings.rounds > 1 else ''}"
    return (
        f"{rounds} of {settings.seconds:g} s, medians; server on CPU "
        f"{settings.server_cpu}, load generator on CPU {settings.load_cpu}"
    )


def measure_benchmark(
    benchmark: Benchmark, peers: Sequence[Peer], workloads: Sequence[Workload], settings: Settings
) -> list[Table]:
    """Prints each table when it is there. A peer that failed is missing in its table."""
    tables = []
    for workload in workloads:
        tables.append(measure_workload(peers, benchmark, workload, settings))
        print_table(tables[-1])
    return tables


def save(tables: Sequence[Table], lines: Sequence[str], options: argparse.Namespace) -> None:
    panels = [panel_of(table) for table in tables if table.peers]
    if options.json:
        data = {"setting": lines, "panels": [panel._asdict() for panel in panels]}
        data["rounds"] = [
            {"panel": panel.title, "results": table.results}
            for panel, table in zip(panels, (t for t in tables if t.peers), strict=True)
        ]
        options.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    if options.svg:
        options.svg.write_text(chart(panels, lines), encoding="utf-8")


def main(benchmarks: Sequence[Benchmark]) -> int:
    """The exit status: 0 if every run was good, else 1."""
    options = arguments(benchmarks)
    peers = installed_peers(options.peers)
    if not peers:
        print("no server to measure", file=sys.stderr)
        return 1
    try:
        settings = make_settings(options.rounds, options.seconds, options.rate)
    except BenchError as error:
        print(f"the load generator cannot be built: {error}", file=sys.stderr)
        return 1
    lines = setting(peers, how(settings))
    print_setting(lines)
    tables, good = [], True
    for benchmark in options.benchmarks:
        mine = [PEERS[name] for name in benchmark.peers if PEERS[name] in peers]
        workloads = options.workloads or benchmark.workloads
        if options.text:
            workloads = [w._replace(text=bool(w.size)) for w in workloads]
        for table in measure_benchmark(benchmark, mine, workloads, settings) if mine else []:
            tables.append(table)
            good = good and len(table.peers) == len(mine)
    save(tables, lines, options)
    return 0 if good and tables else 1

"""Latencies of echo servers side by side, at one rate for all.

The rate is half of the peak of the slowest, which is measured first. bench/README.md tells the
method. Exit status: 0 if every run was good, else 1.
"""

from __future__ import annotations

import sys

from benchmark import Benchmark, Plan, Settings
from command import main
from echo import ECHO
from peer import Peer
from report import best_column, median_column, spread_column
from runner import without_failures
from workload import Workload


def plan(peers: list[Peer], workload: Workload, settings: Settings) -> Plan:
    """The workload's depth is that of the peak; at a fixed rate there is none."""
    rate = settings.rate
    if rate is None:
        where = f"latency {workload}, peak"
        runs = without_failures(peers, ECHO, workload.options(), settings, where)
        rate = float(min((run["messages_per_second"] for run in runs.values()), default=2.0)) / 2
    rate = float(f"{rate:.2g}")
    words = workload._replace(depth=0).options()
    return Plan(
        ["--rate", str(rate), *words], f"Latency: {workload.words()}, {rate:,.0f} messages/s"
    )


LATENCY = Benchmark(
    name="latency",
    description=(__doc__ or "").partition("\n")[0],
    kind="server",
    peers=ECHO.peers,
    workloads=(Workload(32, "20", 16),),
    key="p99_us",
    figure="p99 µs",
    columns=(
        median_column("messages/s", "messages_per_second"),
        median_column("p50 µs", "p50_us"),
        median_column("p99 µs", "p99_us"),
        best_column("p99_us", "p99 to the best server's"),
        spread_column("p99_us"),
        median_column("p99.9 µs", "p999_us"),
        median_column("server's CPU", "server_cpu", ".0%"),
        median_column("p99 µs sent late", "late_p99_us"),
    ),
    plan=plan,
    less_is_better=True,
)

if __name__ == "__main__":
    sys.exit(main([LATENCY]))

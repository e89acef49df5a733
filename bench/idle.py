"""Idle connections of servers side by side: the server's memory for each.

bench/README.md tells the method. Exit status: 0 if every run was good, else 1.
"""

from __future__ import annotations

import sys

from benchmark import Benchmark, Plan, Settings
from command import main
from peer import Peer
from report import median_column, ratio_column, spread_column
from workload import Workload


def plan(_peers: list[Peer], workload: Workload, _settings: Settings) -> Plan:
    return Plan(["--idle", *workload.options()], f"Memory: {workload.words()}, idle")


IDLE = Benchmark(
    name="idle",
    description=(__doc__ or "").partition("\n")[0],
    kind="server",
    peers=("wspy", "wspy-lean", "raw", "picows", "websockets", "aiohttp", "socketify"),
    workloads=(Workload(10_000),),
    key="private_bytes",
    figure="bytes per connection",
    columns=(
        median_column("private bytes per connection", "private_bytes"),
        ratio_column("private_bytes"),
        spread_column("private_bytes"),
        median_column("anonymous bytes per connection", "anonymous_bytes"),
    ),
    plan=plan,
    less_is_better=True,
    most_rounds=3,  # memory is nearly the same each time
)

if __name__ == "__main__":
    sys.exit(main([IDLE]))

"""Broadcast servers side by side: deliveries for each second of the server's CPU.

Every connection is in one room, and one of them sends: each message goes to all.
bench/README.md tells the method. Exit status: 0 if every run was good, else 1.
"""

from __future__ import annotations

import sys

from benchmark import Benchmark, Plan, Settings
from command import main
from peer import Peer
from report import traffic_columns
from workload import Workload


def plan(_peers: list[Peer], workload: Workload, _settings: Settings) -> Plan:
    title = f"Broadcast: {workload.words()}, {workload.depth} in flight"
    return Plan(["--broadcast", *workload.options()], title)


BROADCAST = Benchmark(
    name="broadcast",
    description=(__doc__ or "").partition("\n")[0],
    kind="broadcast",
    peers=("wspy", "picows", "websockets", "aiohttp", "socketify"),
    workloads=(Workload(1000, "64", 1), Workload(1000, "64", 8)),
    key="messages_per_cpu_second",
    figure="deliveries per server-CPU-second",
    columns=traffic_columns("delivery", "deliveries"),
    plan=plan,
)

if __name__ == "__main__":
    sys.exit(main([BROADCAST]))

"""Handshakes of servers side by side: how many for each second of the server's CPU.

Clients connect, get the 101, hang up and begin again, so many at once that the server has always
something to do. bench/README.md tells the method. Exit status: 0 if every run was good, else 1.
"""

from __future__ import annotations

import sys

from benchmark import Benchmark, Plan, Settings
from command import main
from peer import Peer
from report import traffic_columns
from workload import Workload


def plan(_peers: list[Peer], workload: Workload, _settings: Settings) -> Plan:
    title = f"Handshakes: {workload.connections:,} clients at once"
    return Plan(["--handshakes", *workload.options()], title)


HANDSHAKE = Benchmark(
    name="handshake",
    description=(__doc__ or "").partition("\n")[0],
    kind="server",
    peers=("wspy", "raw", "picows", "websockets", "aiohttp", "socketify"),
    workloads=(Workload(64),),
    key="messages_per_cpu_second",
    figure="handshakes per server-CPU-second",
    columns=traffic_columns("handshake", "handshakes"),
    plan=plan,
)

if __name__ == "__main__":
    sys.exit(main([HANDSHAKE]))

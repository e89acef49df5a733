"""Echo servers side by side: messages for each second of the server's CPU.

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
    title = f"Echo: {workload.words()}, {workload.depth} in flight each"
    return Plan(workload.options(), title)


ECHO = Benchmark(
    name="echo",
    description=(__doc__ or "").partition("\n")[0],
    kind="server",
    peers=("wspy", "raw", "picows", "websockets", "aiohttp", "socketify"),
    workloads=(
        *(Workload(32, "20", 1), Workload(32, "20", 16), Workload(32, "20", 64)),
        *(Workload(500, "1024", 1), Workload(8, "65536", 1)),
        *(Workload(8, "1048576", 1), Workload(8, "1048576", 1, text=True)),
    ),
    key="messages_per_cpu_second",
    figure="messages per server-CPU-second",
    columns=traffic_columns("message", "messages"),
    plan=plan,
)

if __name__ == "__main__":
    sys.exit(main([ECHO]))

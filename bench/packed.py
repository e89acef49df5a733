"""Ticks side by side: binary records, unpacked to values and packed again.

wspy has a handler with a format and conn.pack(); wspy-struct, picows and websockets have the standard
library's struct. bench/README.md tells the method. Exit status: 0 if every run was good, else 1.
"""

from __future__ import annotations

import sys

from benchmark import Benchmark, Plan, Settings
from command import main
from peer import Peer
from report import ratio_column, traffic_columns
from workload import Workload


def plan(_peers: list[Peer], workload: Workload, _settings: Settings) -> Plan:
    title = f"Ticks: {workload.words()}, {workload.depth} in flight each"
    return Plan(workload.options(), title)


PACKED = Benchmark(
    name="packed",
    description=(__doc__ or "").partition("\n")[0],
    kind="packed",
    peers=("wspy", "wspy-struct", "picows", "websockets"),
    workloads=(Workload(32, "14", 16),),
    key="messages_per_cpu_second",
    figure="messages per server-CPU-second",
    columns=(
        *traffic_columns("message", "messages"),
        ratio_column("messages_per_cpu_second", "wspy-struct"),
        ratio_column("messages_per_cpu_second", "websockets"),
    ),
    plan=plan,
)

if __name__ == "__main__":
    sys.exit(main([PACKED]))

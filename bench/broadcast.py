"""Broadcast servers side by side: deliveries for each second of the server's CPU.

Every connection is in one room, and one of them sends: each message goes to all.
bench/README.md tells the method. Exit status: 0 if every run was good, else 1.
"""

from __future__ import annotations

import sys

from report import Unit
from runner import Benchmark, Workload, main

BROADCAST = Benchmark(
    description=(__doc__ or "").partition("\n")[0],
    kind="broadcast",
    peers=("wspy", "picows", "websockets", "socketify"),
    workloads=(Workload(1000, "64", 1), Workload(1000, "64", 8)),
    in_flight="in flight",
    unit=Unit("delivery", "deliveries"),
    load_options=("--broadcast",),
)

if __name__ == "__main__":
    sys.exit(main(BROADCAST))

"""Echo servers side by side: messages for each second of the server's CPU.

bench/README.md tells the method. Exit status: 0 if every run was good, else 1.
"""

from __future__ import annotations

import sys

from report import Unit
from runner import Benchmark, Workload, main

ECHO = Benchmark(
    description=(__doc__ or "").partition("\n")[0],
    kind="server",
    peers=("wspy", "raw", "picows", "websockets", "socketify"),
    workloads=(Workload(32, "20", 1), Workload(32, "20", 16)),
    in_flight="in flight on each",
    unit=Unit("message", "messages"),
)

if __name__ == "__main__":
    sys.exit(main(ECHO))

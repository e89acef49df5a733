"""Echo servers of asyncio side by side, each on uvloop: messages for each second of the server's CPU.

wspy has async handlers, wspy-serve a coroutine for each connection, wspy-inside plain handlers inside
uvloop, and wspy-run the same plain handlers with run(). async_wait: the handlers wait, for a turn of the
event loop, before they answer. bench/README.md tells the method.
Usage: async_echo.py [NAME ...] [options]. Exit status: 0 if every run was good, else 1.
"""

from __future__ import annotations

import sys

from benchmark import Benchmark, Plan, Settings
from command import main
from peer import Peer
from report import ratio_column, traffic_columns
from workload import Workload

KEY = "messages_per_cpu_second"


def plan(_peers: list[Peer], workload: Workload, _settings: Settings) -> Plan:
    title = f"Async echo: {workload.words()}, {workload.depth} in flight each"
    return Plan(workload.options(), title)


def plan_wait(_peers: list[Peer], workload: Workload, _settings: Settings) -> Plan:
    title = f"Async echo, the handler waits: {workload.words()}, {workload.depth} in flight each"
    return Plan(workload.options(), title)


ASYNC_ECHO = Benchmark(
    name="async_echo",
    description=(__doc__ or "").partition("\n")[0],
    kind="async",
    peers=(
        *("wspy", "wspy-serve", "wspy-inside", "wspy-run"),
        *("websockets", "aiohttp", "uvicorn", "picows"),
    ),
    workloads=(Workload(32, "20", 1), Workload(32, "20", 16)),
    key=KEY,
    figure="messages per server-CPU-second",
    columns=(
        *traffic_columns("message", "messages", "websockets"),
        ratio_column(KEY, "aiohttp"),
        ratio_column(KEY, "uvicorn"),
        ratio_column(KEY, "wspy-run"),
    ),
    plan=plan,
)

ASYNC_WAIT = Benchmark(
    name="async_wait",
    description="Echo servers whose handlers wait, side by side.",
    kind="async",
    words=("wait",),
    peers=("wspy", "wspy-serve", "websockets", "aiohttp", "uvicorn"),
    workloads=(Workload(32, "20", 1), Workload(32, "20", 16)),
    key=KEY,
    figure="messages per server-CPU-second",
    columns=(
        *traffic_columns("message", "messages", "websockets"),
        ratio_column(KEY, "aiohttp"),
    ),
    plan=plan_wait,
)

ASYNC = (ASYNC_ECHO, ASYNC_WAIT)

if __name__ == "__main__":
    sys.exit(main(ASYNC))

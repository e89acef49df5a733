"""Compressed messages: echo, broadcast and idle connections of servers side by side.

JSON-like text and permessage-deflate, without context takeover. bench/README.md tells the method.
Usage: compression.py [NAME ...] [options]. Exit status: 0 if every run was good, else 1.
"""

from __future__ import annotations

import sys

from benchmark import Benchmark, Column, Plan, Settings
from command import main
from peer import Peer
from report import median_column, ratio_column, spread_column, traffic_columns
from workload import Workload

PEERS = ("wspy", "websockets", "aiohttp", "socketify")
LEVELS = ("wspy-level-3", "wspy-level-1")  # beside wspy's default
BASELINE = "websockets"


def plan_echo(_peers: list[Peer], workload: Workload, _settings: Settings) -> Plan:
    title = f"Compressed echo: {workload.words()}, {workload.depth} in flight each"
    return Plan(["--deflate", *workload.options()], title)


def plan_broadcast(_peers: list[Peer], workload: Workload, _settings: Settings) -> Plan:
    title = f"Compressed broadcast: {workload.words()}, {workload.depth} in flight"
    return Plan(["--deflate", "--broadcast", *workload.options()], title)


def plan_idle(_peers: list[Peer], workload: Workload, _settings: Settings) -> Plan:
    return Plan(
        ["--deflate", "--idle", *workload.options()],
        f"Memory with compression: {workload.words()}, idle",
    )


def columns(one: str, many: str) -> tuple[Column, ...]:
    return (
        *traffic_columns(one, many, BASELINE),
        median_column(f"bytes/{one}", "payload_bytes"),
    )


ECHO = Benchmark(
    name="compressed-echo",
    description="Compressed echo servers side by side.",
    kind="server",
    words=("deflate",),
    peers=(*PEERS, *LEVELS),
    workloads=(
        *(Workload(32, "1024", 1, text=True), Workload(32, "1024", 16, text=True)),
        Workload(8, "65536", 1, text=True),
    ),
    key="messages_per_cpu_second",
    figure="messages per server-CPU-second",
    columns=columns("message", "messages"),
    plan=plan_echo,
)

BROADCAST = Benchmark(
    name="compressed-broadcast",
    description="Compressed broadcast servers side by side.",
    kind="broadcast",
    words=("deflate",),
    peers=PEERS,
    workloads=(Workload(1000, "1024", 1, text=True), Workload(1000, "1024", 8, text=True)),
    key="messages_per_cpu_second",
    figure="deliveries per server-CPU-second",
    columns=columns("delivery", "deliveries"),
    plan=plan_broadcast,
)

IDLE = Benchmark(
    name="compressed-idle",
    description="Idle connections that may compress, side by side.",
    kind="server",
    words=("deflate",),
    peers=PEERS,
    workloads=(Workload(10_000),),
    key="private_bytes",
    figure="bytes per connection",
    columns=(
        median_column("private bytes per connection", "private_bytes"),
        ratio_column("private_bytes", BASELINE),
        spread_column("private_bytes"),
        median_column("anonymous bytes per connection", "anonymous_bytes"),
    ),
    plan=plan_idle,
    less_is_better=True,
    most_rounds=3,  # memory is nearly the same each time
)

COMPRESSION = (ECHO, BROADCAST, IDLE)

if __name__ == "__main__":
    sys.exit(main(COMPRESSION))

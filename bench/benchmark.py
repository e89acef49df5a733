"""What a benchmark is: whom it measures, with what, and which figures it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from peer import Peer
from workload import Workload

Run = dict[str, Any]  # the load generator's JSON line
Round = dict[str, Run]  # peer name -> its run


@dataclass(frozen=True)
class Column:
    """Of a table: its head, and a cell from all rounds and the name of the server."""

    head: str
    cell: Callable[[Sequence[Round], str], str]


@dataclass(frozen=True)
class Settings:
    """What is the same for every run."""

    load: Path
    rounds: int
    seconds: float
    rate: float | None
    server_cpu: int
    load_cpu: int


class Plan(NamedTuple):
    """How the load generator is called for a workload, and what the reader has to know of it."""

    options: Sequence[str]
    title: str


@dataclass(frozen=True)
class Benchmark:
    name: str
    description: str
    kind: str  # of the server programs, see Peer
    peers: tuple[str, ...]
    workloads: tuple[Workload, ...]
    key: str  # the figure of a run that is compared
    figure: str  # … and in words
    columns: tuple[Column, ...]
    # May measure first, to find out; the peers that fail there are taken from the list.
    plan: Callable[[list[Peer], Workload, Settings], Plan]
    less_is_better: bool = False
    most_rounds: int | None = None
    words: tuple[str, ...] = ()  # to the server programs, behind the port


class Table(NamedTuple):
    """What was measured of a workload."""

    benchmark: Benchmark
    workload: Workload
    title: str
    peers: Sequence[Peer]  # those without a failure
    results: Sequence[Round]

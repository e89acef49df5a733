"""What was measured as Markdown: the setting, and a table for each workload."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from peer import BASELINE, Peer

Run = dict[str, Any]  # the load generator's JSON line
Round = dict[str, Run]  # peer name -> its run


class Unit(NamedTuple):
    """What is counted, in words."""

    one: str
    many: str


def ratio_cell(results: list[Round], name: str) -> str:
    """The median of the per-round ratios to the baseline, and their range."""
    ratios = [
        result[name]["messages_per_cpu_second"] / result[BASELINE]["messages_per_cpu_second"]
        for result in results
        if BASELINE in result
    ]
    if not ratios:
        return "none"
    if name == BASELINE or len(ratios) == 1:
        return f"{median(ratios):.2f}"
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def row(results: list[Round], name: str) -> list[str]:
    def values(key: str) -> list[float]:
        return [result[name][key] for result in results]

    per_cpu = values("messages_per_cpu_second")
    spread = (max(per_cpu) - min(per_cpu)) / median(per_cpu)
    return [
        name,
        f"{median(values('messages_per_second')):,.0f}",
        f"{median(per_cpu):,.0f}",
        ratio_cell(results, name),
        f"{spread:.0%}",
        f"{median(values('server_user_us_per_message')):.2f}",
        f"{median(values('server_system_us_per_message')):.2f}",
        f"{median(values('p50_us')):,.0f}",
        f"{median(values('p99_us')):,.0f}",
        f"{median(values('load_cpu')):.0%}",
    ]


def print_table(results: list[Round], peers: list[Peer], unit: Unit) -> None:
    head = [
        *("server", f"{unit.many}/s", f"{unit.many} per server-CPU-second"),
        *(f"ratio to {BASELINE}", "spread", f"user µs/{unit.one}", f"system µs/{unit.one}"),
        *("p50 µs", "p99 µs", "load generator's CPU"),
    ]
    print("| " + " | ".join(head) + " |")
    print("|---" + "|---:" * (len(head) - 1) + "|")
    for peer in peers:
        if all(peer.name in result for result in results):
            print("| " + " | ".join(row(results, peer.name)) + " |")
    print()


def cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def version(distribution: str) -> str | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return f"{distribution} {importlib.metadata.version(distribution)}"
    return None


def print_setting(peers: list[Peer], how: str) -> None:
    names = dict.fromkeys(name for peer in peers for name in peer.distributions)
    versions = [text for text in map(version, names) if text]
    if any(peer.name == "wspy" for peer in peers) and not version("wspy"):
        versions.insert(0, "wspy of this tree")
    print(f"- {', '.join([f'Python {platform.python_version()}', *versions])}")
    print(f"- Linux {platform.release()}, {cpu_model()}, {os.cpu_count()} CPUs")
    print(f"- {how}")
    print()

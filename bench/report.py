"""What was measured as Markdown: the setting, and a table for each workload."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmark import Column, Round, Table
from peer import RAW, Peer

BASELINE = "picows"  # the ratios are to this one


def values(results: Sequence[Round], name: str, key: str) -> list[float]:
    return [result[name][key] for result in results]


def ratios(results: Sequence[Round], name: str, key: str, baseline: str) -> list[float]:
    """To the baseline in the same round; empty if that was not measured."""
    return [result[name][key] / result[baseline][key] for result in results if baseline in result]


def best_ratios(results: Sequence[Round], name: str, key: str) -> list[float]:
    """To the least of the same round. raw is no server and does not count."""
    return [
        result[name][key] / min(run[key] for peer, run in result.items() if peer != RAW.name)
        for result in results
        if result.keys() - {RAW.name}
    ]


def bracket(found: Sequence[float]) -> str:
    """The median, and the range of the rounds."""
    if not found:
        return "none"
    if min(found) == max(found):
        return f"{median(found):.2f}"
    return f"{median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


# ---- columns ----


def median_column(head: str, key: str, form: str = ",.0f") -> Column:
    return Column(head, lambda results, name: format(median(values(results, name, key)), form))


def ratio_column(key: str, baseline: str = BASELINE) -> Column:
    return Column(
        f"ratio to {baseline}",
        lambda results, name: bracket(ratios(results, name, key, baseline)),
    )


def best_column(key: str, head: str) -> Column:
    return Column(head, lambda results, name: bracket(best_ratios(results, name, key)))


def spread_column(key: str) -> Column:
    def cell(results: Sequence[Round], name: str) -> str:
        found = values(results, name, key)
        return f"{(max(found) - min(found)) / median(found):.0%}"

    return Column("spread", cell)


def traffic_columns(one: str, many: str, baseline: str = BASELINE) -> tuple[Column, ...]:
    """Of what is counted for each second of the server's CPU."""
    key = "messages_per_cpu_second"
    return (
        median_column(f"{many}/s", "messages_per_second"),
        median_column(f"{many} per server-CPU-second", key),
        ratio_column(key, baseline),
        spread_column(key),
        median_column(f"user µs/{one}", "server_user_us_per_message", ".2f"),
        median_column(f"system µs/{one}", "server_system_us_per_message", ".2f"),
        median_column("p50 µs", "p50_us"),
        median_column("p99 µs", "p99_us"),
        median_column("load generator's CPU", "load_cpu", ".0%"),
    )


# ---- tables ----


def print_table(table: Table) -> None:
    columns = table.benchmark.columns
    print(f"{table.title}:\n")
    print("| server | " + " | ".join(column.head for column in columns) + " |")
    print("|---" + "|---:" * len(columns) + "|")
    for peer in table.peers:
        cells = [column.cell(table.results, peer.name) for column in columns]
        print("| " + " | ".join([peer.name, *cells]) + " |")
    print(flush=True)


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


def setting(peers: Sequence[Peer], how: str) -> list[str]:
    """The versions, the machine, and how it was measured: a line each."""
    names = dict.fromkeys(name for peer in peers for name in peer.distributions)
    versions = [text for text in map(version, names) if text]
    if "wspy" in names and not version("wspy"):
        versions.insert(0, "wspy of this tree")
    return [
        ", ".join([f"Python {platform.python_version()}", *versions]),
        f"Linux {platform.release()}, {cpu_model()}, {os.cpu_count()} CPUs",
        how,
    ]


def print_setting(lines: Sequence[str]) -> None:
    print("\n".join(f"- {line}" for line in lines) + "\n", flush=True)

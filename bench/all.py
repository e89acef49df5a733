"""All benchmarks, or those that are named: what `make bench` runs.

Usage: all.py [NAME ...] [options], such as: all.py echo --workloads 32x20x16 --peers wspy,picows
Exit status: 0 if every run was good, else 1.
"""

from __future__ import annotations

import sys

from async_echo import ASYNC
from broadcast import BROADCAST
from command import main
from compression import COMPRESSION
from echo import ECHO
from handshake import HANDSHAKE
from idle import IDLE
from latency import LATENCY
from packed import PACKED

if __name__ == "__main__":
    sys.exit(main([ECHO, BROADCAST, HANDSHAKE, LATENCY, IDLE, PACKED, *ASYNC, *COMPRESSION]))

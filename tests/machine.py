"""What the machine that runs the tests may lack."""

from __future__ import annotations

import os
import resource

import pytest


def skip_unless(able: bool, reason: str) -> None:
    """Skips the test. With WSPY_REQUIRE_ALL=1 it fails instead: there nothing goes untested."""
    if not able and os.environ.get("WSPY_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    if not able:
        pytest.skip(reason)


def skip_without_descriptors(n: int) -> None:
    """Skips the test if a process may not have so many descriptors, whatever it asks for."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    enough = hard == resource.RLIM_INFINITY or hard >= n
    skip_unless(enough, f"{n} descriptors are more than the hard RLIMIT_NOFILE, {hard}")

"""Real services for tests: each starts on demand, on this machine alone, and is stopped after."""

import os

import pytest


def missing(service: str, install: str) -> None:
    """Skip the test with its reason; with CI=true nothing may be skipped, so fail instead."""
    reason = f"{service} is not installed; on Debian as root: apt-get install {install}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)

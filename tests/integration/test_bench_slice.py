"""The benchmarks (`make bench`, `make bench-reading`) on a few messages: that they run."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench.py"


@pytest.mark.dovecot
@pytest.mark.slow
def test_every_stage_and_a_whole_run_can_be_measured(installed_dovecot: None) -> None:  # noqa: ARG001
    done = subprocess.run(
        [sys.executable, BENCH, "--messages", "20"],
        capture_output=True, text=True, check=False, timeout=280, cwd=BENCH.parents[1],
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "fetched 20 = " in done.stdout
    for stage in ("fetch", "mail-parser alone", "parse", "understand", "decide and store",
                  "end to end", "run that finds nothing new"):  # fmt: skip
        assert stage in done.stdout


@pytest.mark.slow
def test_reading_alone_can_be_measured_on_one_core_and_on_all() -> None:
    done = subprocess.run(
        [sys.executable, BENCH.with_name("bench_reading.py"), "--messages", "12", "--fast"],
        capture_output=True, text=True, check=False, timeout=120, cwd=BENCH.parents[1],
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "12 messages for each process" in done.stdout
    assert "messages/s" in done.stdout

"""The benchmark of the review page (`make bench-review`) on few cases: that it runs."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench_review.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def test_every_page_can_be_measured(
    database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if database == "postgres":
        request.getfixturevalue("postgres")  # so that it is skipped where there is none

    done = subprocess.run(
        [sys.executable, BENCH, "--size", "300", "--open", "150", "--times", "1",
         "--database", database, "--folder", tmp_path if database == "sqlite" else "/tmp"],
        capture_output=True, text=True, check=False, timeout=280, cwd=BENCH.parents[1],
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    for page in ("queue, first page", "filter due=24", "search, rare word", "search, session",
                 "case, closed", "save, dismiss", "health"):  # fmt: skip
        assert f"| {page} | " in done.stdout

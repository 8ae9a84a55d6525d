"""A slice of the campaign that kills exports (`make faults ONLY=exports`), and what it finds."""

import shutil
from pathlib import Path

import pytest
from faults.exports import export, judged
from store_samples import NOW, email, outcome, raw_message

from review.export_files import MANIFEST
from store import open_store

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/mail.sqlite3"
    with open_store(url) as store, store.batch(now=NOW) as memory:
        raw = raw_message(1)
        memory.add(raw.key, raw.digest, email(1), [outcome()], reader_version="rules-1")
    return url


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize("at", ["write:when=3", "fsync:when=5", "rename:when=1"])
def test_a_killed_export_is_not_there_and_the_next_one_is_whole(
    url: str, out: Path, at: str
) -> None:
    call, _, when = at.partition(":")

    status = export(url, out, "csv", inject=f"{call}:signal=SIGKILL:{when}")

    assert status == -9
    assert judged(url, out) == []
    assert [path for path in out.iterdir() if not path.name.startswith(".")] == []
    assert export(url, out, "csv") == 0
    assert judged(url, out) == []
    assert len([*out.iterdir()]) == 1


def test_it_finds_exports_that_are_half_there_or_on_no_record(url: str, out: Path) -> None:
    assert export(url, out, "csv") == 0
    [whole] = out.iterdir()
    half, other = (out / f"fit-triage-export-{n}" for n in "78")
    for copy in (half, other):
        shutil.copytree(whole, copy)
    (half / MANIFEST).unlink()
    with (other / MANIFEST).open("a") as manifest:
        manifest.write(" ")
    (whole / "cases.csv").chmod(0o644)

    found = judged(url, out)

    assert "I3 an export without its manifest is under its name" in found
    assert "I7 an export is there of which no record tells" in found
    assert "an export is readable for others" in found

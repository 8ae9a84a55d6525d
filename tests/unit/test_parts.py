"""An archive cut into parts: wherever it is cut, every message is in one of them."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import pytest

from ingest.parts import Part, messages_of, parts_of, parts_of_store
from ingest.sources import Access, Loss, SourceError, SourceSpecError

LINE = b"From x@y Thu Jan  1 00:00:00 2026\n"
BODIES = [
    b"Subject: one\n\nFrom the beginning she knew.\n",
    b"Subject: two\n\n>From a line that was escaped\n",
    b"Subject: three\r\n\r\nwith CRLF\r\n\r\n",
    b"Subject: four\n\n\nFrom here on it is no date\n",
    b"\n\n\n",
    b"Subject: last\n\nno line at the end",
]


@pytest.fixture
def mbox(tmp_path: Path) -> Path:
    path = tmp_path / "archive.mbox"
    path.write_bytes(b"".join(LINE + body + b"\n\n" for body in BODIES))
    return path


def digests(*parts: Part) -> list[str]:
    pieces = [piece for part in parts for piece in messages_of(part, Access())]
    return [piece.digest for piece in pieces if not isinstance(piece, Loss)]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 20, 34, 35, 36, 50, 64, 100, 333])
def test_an_mbox_may_be_cut_at_any_byte(mbox: Path, step: int) -> None:
    [whole] = parts_of(f"mbox:{mbox}", Access())
    size = mbox.stat().st_size
    parts = [
        Part(whole.archive, (str(at), str(min(at + step, size)), str(size)))
        for at in range(0, size, step)
    ]

    assert digests(*parts) == digests(whole)
    assert len(digests(whole)) == len(BODIES)


def test_a_part_in_pieces_holds_what_it_held(mbox: Path) -> None:
    [whole] = parts_of(f"mbox:{mbox}", Access())

    pieces = whole.pieces(len(BODIES))
    smaller = [one for piece in pieces for one in piece.pieces(1)]

    assert digests(*pieces) == digests(*smaller) == digests(whole)
    assert len({part.key for part in (whole, *pieces)}) == 1 + len(pieces)


def test_a_part_is_the_same_after_it_was_written_down(mbox: Path) -> None:
    [whole] = parts_of(f"mbox:{mbox}", Access())

    again = Part.of(asdict(whole))

    assert (again, again.key) == (whole, whole.key)


def test_an_mbox_that_grows_is_read_as_it_was_when_it_was_cut(mbox: Path) -> None:
    [whole] = parts_of(f"mbox:{mbox}", Access())
    before = digests(whole)

    with mbox.open("ab") as stream:
        stream.write(LINE + b"Subject: new\n\nLater.\n\n")

    assert digests(whole) == before


def test_a_mail_that_a_program_moved_meanwhile_is_found(tmp_path: Path) -> None:
    for part in ("new", "cur", "tmp"):
        (tmp_path / part).mkdir()
    new = tmp_path / "new" / "1790000000.1.host"
    new.write_bytes(b"Subject: moved\n\nHello\n")
    (tmp_path / "new" / "1790000001.2.host").write_bytes(b"Subject: gone\n\nHello\n")
    [part] = parts_of(f"maildir:{tmp_path}", Access())
    before = digests(part)

    new.rename(tmp_path / "cur" / f"{new.name}:2,S")
    (tmp_path / "new" / "1790000001.2.host").unlink()
    pieces = list(messages_of(part, Access()))

    assert digests(part) == before[:1]
    assert [piece.cause for piece in pieces if isinstance(piece, Loss)] == ["vanished"]


def test_what_the_store_has_is_shared_out_without_a_gap() -> None:
    parts = list(parts_of_store(2_500))

    assert len(parts) == 3
    assert parts[0].stretch[0] == "0" * 12
    assert all(a.stretch[1] == b.stretch[0] for a, b in pairwise(parts))
    assert parts[-1].stretch[1] > "f" * 64


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceSpecError, match="an archive is"):
        list(parts_of(f"livechat:{tmp_path}", Access()))
    with pytest.raises(SourceError, match="No such file"):
        list(parts_of(f"mbox:{tmp_path}/none", Access()))

import random

import pytest

from ingest import mbox

DATED = b"From a@example.org Thu Nov 19 12:00:01 2026\n"
PIECES = [
    *[DATED, DATED.replace(b"\n", b"\r\n"), b"From here on\n", b">From there\n", b"\n", b"\r\n"],
    *[b"Subject: x\n", b"text", b"x" * 40, b"\n\n", b"From ", b"\n>>From a Nov 19 1:00 2026\n"],
]


def by_lines(content):
    """The messages of an mbox, found the slow and simple way."""
    messages, blank = [], True
    for line in content.splitlines(keepends=True) if content else []:
        if blank and line.startswith(b"From ") and mbox._DATE.search(line):
            messages.append([])
        else:
            messages[-1].append(line)
        blank = line in {b"\n", b"\r\n"}
    found = []
    for lines in messages:
        if lines and lines[-1] in {b"\n", b"\r\n"}:
            lines.pop()
        found.append(b"".join(mbox._ESCAPED.sub(b"", line) for line in lines))
    return found


@pytest.mark.parametrize("block", [1, 2, 3, 7, 40, 1_000_000])
def test_messages_begin_in_the_same_places_however_the_file_is_cut_into_blocks(
    tmp_path, monkeypatch, block
):
    monkeypatch.setattr(mbox, "_BLOCK", block)
    chance = random.Random(7)
    for _ in range(150):
        content = DATED + b"".join(chance.choices(PIECES, k=chance.randint(0, 25)))
        (tmp_path / "m").write_bytes(content)

        with (tmp_path / "m").open("rb") as stream:
            found = [m.content for m in mbox.messages_in(stream, len(content), 10_000)]

        assert found == by_lines(content)


def test_a_file_shortened_while_it_is_read_gives_no_torn_message(tmp_path):
    (tmp_path / "m").write_bytes(DATED + b"Subject: x\n\nbody\n\n")

    with (tmp_path / "m").open("rb") as stream:
        size = mbox.settled_size(stream)
        (tmp_path / "m").write_bytes(DATED)

        with pytest.raises(mbox.NotAnMboxError, match="try again"):
            list(mbox.messages_in(stream, size, 1000))


def test_what_is_appended_while_the_file_is_read_waits_for_the_next_run(tmp_path):
    (tmp_path / "m").write_bytes(DATED + b"Subject: x\n\nbody\n\n")

    with (tmp_path / "m").open("rb") as stream:
        size = mbox.settled_size(stream)
        with (tmp_path / "m").open("ab") as more:
            more.write(DATED + b"Subject: half a mess")
        (found,) = mbox.messages_in(stream, size, 1000)

    assert found.content == b"Subject: x\n\nbody\n"

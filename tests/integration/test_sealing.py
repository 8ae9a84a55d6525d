"""Texts sealed at rest, on both databases: what is read, what is hidden, and what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from store_samples import NOW, email, key, outcome, raw_message

from review.delivery import deliver
from review.outcomes import Arrived, Fate, NotNow
from store import KeyPlace, KeysError, OutboxRow, Store, StoreError, Wanted, open_store, resealing
from store.backups import back_up, restore
from store.resealing import damaged, rotate, rows_by_key
from triage.records import Draft
from triage.verdicts import Outgoing, Verdict

CANARIES = ("xylophonist", "quincunx", "zugzwang", "ombrophobe", "widdershins", "Yggdrasil")


@pytest.fixture
def place(tmp_path: Path) -> KeyPlace:
    made = KeyPlace(tmp_path / "keys")
    made.add()
    return made


def fill(store: Store, first: int = 1, count: int = 3) -> None:
    """Cases with mails, raw bytes, a verdict and a letter, all of them with words of their own."""
    for number in range(first, first + count):
        raw = raw_message(number, text=f"{CANARIES[0]} {number}")
        store.keep_raw([raw])
        mail = replace(
            email(number),
            subject=f"About {CANARIES[1]} {number}",
            new_text=f"Please cancel, {CANARIES[2]} said so.",
            quoted_text=f"> {CANARIES[3]}",
        )
        made = outcome()
        draft = Draft("ana@practice.example", "Re", f"Dear {CANARIES[4]}", "", (), "ask")
        made = made._replace(decision=replace(made.decision, draft=draft))
        with store.batch(now=NOW) as batch:
            [case_id] = batch.add(raw.key, raw.digest, mail, [made])
        letter = Outgoing("mail", "send_back", f"letter {number}", {"body": CANARIES[4]}, NOW)
        store.act(
            Verdict(case_id, "send_back", "anna", NOW, reason=f"for {CANARIES[5]}"),
            version=1, state=None, request=None, decision=None, outgoing=[letter], now=NOW,
        )  # fmt: skip


def told(store: Store) -> list[object]:
    """All that people can see of what is stored, for comparison."""
    rows = store.queue(include_closed=True)
    stories = [store.case(row.case_id) for row in rows]
    raws = [store.raw(one.digest) for story in stories if story for one in story.messages]
    return [rows, stories, store.verdicts(), [row.payload for row in store.outbox()], raws]


def files_of(url: str) -> bytes:
    """Every byte of an SQLite database; of PostgreSQL every row as text."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        return b"".join(one.read_bytes() for one in path.parent.glob(f"{path.name}*"))
    engine = create_engine(url)
    with engine.connect() as connection:
        names = connection.execute(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ).scalars()
        rows = [
            str(row) for name in names for row in connection.execute(text(f"SELECT * FROM {name}"))
        ]
    engine.dispose()
    return "\n".join(rows).encode()


def seen_in(content: bytes) -> set[str]:
    lower = content.lower()
    return {word for word in CANARIES if word.lower().encode() in lower}


def change(url: str, statement: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_a_sealed_database_shows_the_same_and_holds_no_word(
    store_url: str, second_store_url: str, place: KeyPlace
) -> None:
    with open_store(store_url) as plain, open_store(second_store_url, keys=place) as sealed:
        fill(plain)
        fill(sealed)

        shown = told(sealed)

        assert repr(shown).count(CANARIES[2]) == repr(told(plain)).count(CANARIES[2]) > 0
        assert [row.request for row in sealed.queue()] == [row.request for row in plain.queue()]
    assert not seen_in(files_of(second_store_url))
    assert seen_in(files_of(store_url)) == set(CANARIES[1:])  # raw bytes are packed


def test_whole_words_of_sealed_mail_are_found_and_beginnings_are_not(
    store_url: str, place: KeyPlace
) -> None:
    with open_store(store_url, keys=place) as store:
        fill(store)

        found = {
            typed: len(store.page(Wanted(words=typed, include_closed=True)).rows)
            for typed in ("zugzwang", "ZUGZWANG said", "zugz", '"said zugzwang"', "practice", "no")
        }

    # Words that stand in plain columns, an address here, are found by their beginning still.
    assert found == {
        "zugzwang": 3, "ZUGZWANG said": 3, "zugz": 0, '"said zugzwang"': 3, "practice": 3, "no": 0,
    }  # fmt: skip


def test_a_database_whose_mail_is_not_indexed_is_searched_by_numbers_and_names(
    store_url: str, place: KeyPlace
) -> None:
    with open_store(store_url, keys=replace(place, searches=False)) as store:
        fill(store)

        assert not store.page(Wanted(words="zugzwang")).rows
        assert store.page(Wanted(words="practice", include_closed=True)).rows


def test_without_its_key_a_sealed_database_is_not_opened(store_url: str, place: KeyPlace) -> None:
    open_store(store_url, keys=place).close()
    [only] = place.read()

    with pytest.raises(KeysError, match=f"sealed with key {only.id}: set key_file or keyring"):
        open_store(store_url)


def test_another_key_is_noticed_at_once_and_seals_nothing(
    store_url: str, place: KeyPlace, tmp_path: Path
) -> None:
    with open_store(store_url, keys=place) as store:
        fill(store)
    other = KeyPlace(tmp_path / "others")
    other.add()

    with pytest.raises(KeysError, match=r"is sealed with key \w{12}, and key file .* holds \w{12}"):
        open_store(store_url, keys=other)

    with open_store(store_url, keys=place) as store:
        assert CANARIES[2] in repr(told(store))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_file_that_others_may_read_is_refused(place: KeyPlace, mode: int) -> None:
    assert place.file
    place.file.chmod(mode)

    with pytest.raises(KeysError, match=r"allowed are 0400 and 0600"):
        place.read()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "holds no key"),
        ("hunter2\n", "line 1: no key"),
        ("# old\nfit-triage-key-1:c2hvcnQ=\n", "line 2: no key"),
        ("fit-triage-key-1:ä\n", "is no key file"),
    ],
)
def test_what_is_no_key_file_is_named(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "keys"
    path.write_text(content)
    path.chmod(0o600)

    with pytest.raises(KeysError, match=why):
        KeyPlace(path).read()


def test_a_new_key_keeps_the_old_ones_and_lies_open_to_nobody(place: KeyPlace) -> None:
    before = place.read()

    new = place.add()

    assert place.read() == (*before, new)
    assert place.file
    assert place.file.stat().st_mode & 0o777 == 0o600
    assert new.secret.hex() not in repr(new)


def test_an_old_database_is_sealed_and_no_old_word_stays_in_its_files(
    store_url: str, place: KeyPlace
) -> None:
    # With fewer, SQLite merges the index by itself and leaves no old word in it.
    count = 30 if store_url.startswith("sqlite") else 5
    with open_store(store_url) as store:
        fill(store, count=count)
        before = told(store)

    done = rotate(store_url, place)

    assert done.rows["messages"] == done.rows["raws"] == count
    assert not seen_in(files_of(store_url))
    with open_store(store_url, keys=place) as store:
        assert told(store) == before
        assert (
            len(store.page(Wanted(words="zugzwang", include_closed=True), size=100).rows) == count
        )
    assert set(rows_by_key(store_url, place)) == {done.key_id}


def test_a_rotation_leaves_no_row_under_the_old_key(store_url: str, place: KeyPlace) -> None:
    with open_store(store_url, keys=place) as store:
        fill(store)
        before = told(store)
    [old] = place.read()
    new = place.add()

    done = rotate(store_url, place)

    assert (done.key_id, done.given_up) == (new.id, (old.id,))
    assert set(rows_by_key(store_url, place)) == {new.id}
    assert old.id.encode() not in files_of(store_url)
    with open_store(store_url, keys=place) as store:
        assert told(store) == before


def test_a_program_that_runs_on_seals_with_the_new_key_and_reads_both(
    store_url: str, place: KeyPlace
) -> None:
    with open_store(store_url, keys=place) as running:
        fill(running, 1)
        new = place.add()
        rotate(store_url, place)

        fill(running, 10)

        assert len(running.queue(include_closed=True)) == 6
        assert CANARIES[2] in repr(told(running))
    assert set(rows_by_key(store_url, place)) == {new.id}


def test_encryption_is_turned_off_again(store_url: str, place: KeyPlace) -> None:
    with open_store(store_url, keys=place) as store:
        fill(store)
        before = told(store)

    rotate(store_url, place, to_plain=True)

    with open_store(store_url) as store:
        assert told(store) == before
        assert store.page(Wanted(words="zugz", include_closed=True)).rows
    with open_store(store_url, keys=place) as store:  # the settings name the key still
        fill(store, 10)
    assert seen_in(files_of(store_url)) == set(CANARIES[1:])
    rotate(store_url, place)
    assert not seen_in(files_of(store_url))


def test_a_changed_byte_is_told_and_takes_nothing_else_down(
    store_url: str, place: KeyPlace
) -> None:
    with open_store(store_url, keys=place) as store:
        fill(store)
    last = "substr(request, 1, length(request) - 6) || 'AAAAAA'"
    change(store_url, f"UPDATE decisions SET request = {last} WHERE case_id = 2")
    change(store_url, "UPDATE messages SET new_text = substr(new_text, 1, 60) WHERE id = 3")

    with open_store(store_url, keys=place) as store:
        rows = {row.case_id: row for row in store.page(Wanted(include_closed=True)).rows}
        stories = {number: store.case(number) for number in rows}
        fill(store, 10, 1)  # mail goes on coming in

    assert set(rows) == {1, 2, 3}
    assert (rows[2].decision.state, rows[2].decision.draft) == ("check", None)
    assert "damaged" in rows[2].decision.reasons[0]
    assert stories[3]
    assert "cannot be opened" in stories[3].messages[0].email.new_text
    assert stories[1]
    assert CANARIES[2] in stories[1].messages[0].email.new_text
    _, found = damaged(store_url, place)
    assert {(one.table, one.row) for one in found} >= {("messages", "3")}
    assert {one.table for one in found} == {"messages", "decisions"}


@pytest.mark.parametrize(
    ("table", "column", "row"),
    [("messages", "new_text", "id"), ("decisions", "facts", "id"), ("raws", "content", "digest")],
)
def test_a_value_moved_to_another_row_does_not_open(
    store_url: str, place: KeyPlace, table: str, column: str, row: str
) -> None:
    with open_store(store_url, keys=place) as store:
        fill(store, count=2)
    other = f"SELECT {column} FROM {table} ORDER BY {row} DESC LIMIT 1"
    lowest = f"SELECT min({row}) FROM {table}"
    change(store_url, f"UPDATE {table} SET {column} = ({other}) WHERE {row} = ({lowest})")

    _, found = damaged(store_url, place)

    assert [(one.table, one.why) for one in found] == [
        (table, "it was changed, or belongs elsewhere")
    ]


class Post:
    """A way out that takes everything."""

    domain, most = "", 1

    def __init__(self) -> None:
        self.taken: list[str] = []

    def carry(self, rows: Sequence[OutboxRow], _note: Callable[[str], None]) -> Fate:
        self.taken += [str(row.payload["body"]) for row in rows]
        return Arrived("taken")

    def interrupted(self, _rows: Sequence[OutboxRow]) -> Fate:
        return NotNow("")

    def check(self) -> None:
        return


def test_a_letter_that_is_damaged_goes_nowhere_and_holds_up_no_other(
    store_url: str, place: KeyPlace
) -> None:
    with open_store(store_url, keys=place) as store:
        fill(store)
    change(store_url, "UPDATE outbox SET payload = substr(payload, 1, 60) WHERE id = 1")
    post = Post()

    with open_store(store_url, keys=place) as store:
        [report] = deliver(store, {"mail": post}, lambda: NOW)
        states = {row.id: (row.state, row.note) for row in store.outbox()}

    assert (report.sent, report.dead) == (2, 1)
    assert states[1] == ("dead", "refused: damaged in the store")
    assert post.taken == [CANARIES[4]] * 2


def test_plain_text_put_into_a_sealed_database_is_not_believed(
    store_url: str, place: KeyPlace
) -> None:
    with open_store(store_url, keys=place) as store:
        fill(store)
    change(store_url, "UPDATE messages SET new_text = 'Please cancel all.' WHERE id = 1")

    with open_store(store_url, keys=place) as store:
        story = store.case(1)

    assert story
    assert "cannot be opened" in story.messages[0].email.new_text


def test_damage_is_no_reason_to_give_a_key_up(store_url: str, place: KeyPlace) -> None:
    with open_store(store_url, keys=place) as store:
        fill(store)
    place.add()
    change(store_url, "UPDATE messages SET subject = substr(subject, 1, 70) WHERE id = 1")

    done = rotate(store_url, place)

    assert not done.given_up
    assert [(one.table, one.row) for one in done.damaged] == [("messages", "1")]
    assert len(rows_by_key(store_url, place)) == 2


def test_what_looks_sealed_in_a_mail_is_only_a_text(store_url: str, place: KeyPlace) -> None:
    said = "$sealed$1$0123456789ab$AAAA"
    with open_store(store_url) as store, store.batch(now=NOW) as batch:
        batch.add(key(1), "digest", replace(email(1), subject=said), [outcome()])

    rotate(store_url, place)

    with open_store(store_url, keys=place) as store:
        found = store.message(1)
    assert found
    assert found.email.subject == "\N{REPLACEMENT CHARACTER}" + said[1:]


_ROTATING = """
import sys
from pathlib import Path
from store import KeyPlace
from store import resealing
resealing.AT_ONCE = 3
def told(table, rows):
    print(table, rows, flush=True)
resealing.rotate(sys.argv[1], KeyPlace(Path(sys.argv[2])), progress=told)
"""


def test_a_rotation_that_was_killed_goes_on_where_it_was(store_url: str, place: KeyPlace) -> None:
    with open_store(store_url) as store:
        fill(store, count=8)
        before = told(store)
    arguments = [sys.executable, "-c", _ROTATING, store_url, str(place.file)]

    for batches in (2, 5):
        program = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        assert program.stdout
        for _ in range(batches):
            assert program.stdout.readline()
        os.kill(program.pid, signal.SIGKILL)
        program.wait()
        program.stdout.close()
        with open_store(store_url, keys=place) as store:
            assert told(store) == before

    rotate(store_url, place)
    assert not seen_in(files_of(store_url))
    with open_store(store_url, keys=place) as store:
        assert told(store) == before


def test_mail_goes_on_coming_in_and_pages_are_shown_while_keys_are_rotated(
    store_url: str, place: KeyPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resealing, "AT_ONCE", 2)
    with open_store(store_url, keys=place) as running:
        fill(running, count=6)
        new = place.add()
        shown: list[int] = []

        def meanwhile(_table: str, _rows: int) -> None:
            if len(shown) < 4:
                fill(running, 100 + len(shown), 1)
                shown.append(len(running.page(Wanted(include_closed=True)).rows))

        done = rotate(store_url, place, progress=meanwhile)

        assert shown == [7, 8, 9, 10]
        assert set(rows_by_key(store_url, place)) == {new.id} == {done.key_id}
        assert repr(told(running)).count("cannot be opened") == 0


@pytest.fixture
def second_store_url(
    request: pytest.FixtureRequest, store_url: str, tmp_path: Path
) -> Iterator[str]:
    if store_url.startswith("sqlite"):
        yield f"sqlite:///{tmp_path / 'second.sqlite3'}"
    else:
        yield request.getfixturevalue("postgres").database()


def test_a_text_too_long_for_a_line_is_sealed_whole(store_url: str, place: KeyPlace) -> None:
    said = "Grüße, 世界 😀 " * 20_000
    with open_store(store_url, keys=place) as store:
        with store.batch(now=NOW) as batch:
            batch.add(key(1), "digest", email(1, new_text=said), [outcome()])

        found = store.message(1)

    assert found
    assert found.email.new_text == said


def test_no_database_is_made_with_a_key_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no key"):
        open_store(f"sqlite:///{tmp_path / 'new.sqlite3'}", keys=KeyPlace(tmp_path / "none"))


def test_a_backup_stays_sealed_and_says_which_key_it_needs(
    store_url: str, second_store_url: str, place: KeyPlace, tmp_path: Path
) -> None:
    with open_store(store_url, keys=place) as store:
        fill(store)
        before = told(store)

    path, manifest = back_up(store_url, tmp_path, NOW)

    assert manifest.keys == tuple(key.id for key in place.read())
    assert not seen_in(path.read_bytes())
    there = second_store_url
    if there.startswith("postgres"):
        change(there, "DROP SCHEMA public CASCADE")
        change(there, "CREATE SCHEMA public")
    with pytest.raises(KeysError, match=f"backup .* is sealed with key {manifest.keys[0]}"):
        restore(path, there, "ops", NOW)
    restore(path, there, "ops", NOW, keys=place)
    with open_store(there, keys=place) as store:
        assert repr(told(store)).count(CANARIES[2]) == repr(before).count(CANARIES[2])
        assert store.raw(raw_message(1, text=f"{CANARIES[0]} 1").digest)

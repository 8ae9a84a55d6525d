"""A whole run on real files and a real database: what is queued, set aside, known, rehearsed."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

import pipeline
from pipeline import Reading, Unreadable, understand
from settings import Settings, SourceSettings
from store import Store, open_store
from triage.records import MessageKey, RawMessage

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
GOOD = (
    b"From: Marian <marian@oldroyd.example>\r\nSubject: HT-218834\r\nMessage-ID: <%d@oldroyd>\r\n"
    b"Date: Mon, 2 Mar 2026 09:00:00 +0000\r\n\r\n"
    b"Please cancel HT-218834, she needs ERP for her OCD, which I do not offer. We talked it "
    b"through yesterday and she agrees.\r\n"
)
UNREADABLE = b"\r\n\r\n"


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    folder = tmp_path / "Maildir"
    for part in ("new", "cur", "tmp"):
        (folder / part).mkdir(parents=True)
    return folder


@pytest.fixture
def store(store_url: str) -> Store:
    with open_store(store_url) as opened:
        yield opened


def delivered(maildir: Path, *contents: bytes) -> None:
    number = len(list((maildir / "new").iterdir()))
    for content in contents:
        number += 1
        (maildir / "new" / f"{1_790_000_000 + number}.{number}.host").write_bytes(content)


def run(maildir: Path, store: Store, **options):
    specs = [SourceSettings(url=f"maildir:{maildir}")]
    [report] = pipeline.run_sources(Settings(workers=1), specs, store, NOW, **options)
    return report.tally


def test_one_unreadable_message_does_not_hold_up_the_rest(maildir: Path, store: Store) -> None:
    delivered(maildir, GOOD % 1, UNREADABLE, GOOD % 2)

    tally = run(maildir, store)

    assert (tally.fetched, tally.queued, tally.quarantined) == (3, 2, 1)
    [aside] = store.quarantined()
    assert store.raw(aside.digest) == UNREADABLE


def test_a_second_run_finds_nothing_new(maildir: Path, store: Store) -> None:
    delivered(maildir, GOOD % 1)
    run(maildir, store)

    tally = run(maildir, store)

    assert tally.fetched == 0
    assert store.counts().messages == 1


def test_the_same_mail_delivered_twice_is_queued_once(maildir: Path, store: Store) -> None:
    delivered(maildir, GOOD % 1, GOOD % 1)

    tally = run(maildir, store)

    assert (tally.queued, tally.already_known) == (1, 1)
    assert len(store.queue()) == 1


def test_a_dry_run_keeps_nothing_and_the_next_run_finds_it_all(maildir: Path, store: Store) -> None:
    delivered(maildir, GOOD % 1, UNREADABLE)

    rehearsed = run(maildir, store, dry_run=True)
    assert store.counts().messages == 0
    assert store.quarantined() == []
    assert store.runs() == []

    assert rehearsed == run(maildir, store)


def test_from_now_on_leaves_the_history_alone(maildir: Path, store: Store) -> None:
    delivered(maildir, GOOD % 1)

    before = run(maildir, store, start=lambda _: "now")
    delivered(maildir, GOOD % 2)
    after = run(maildir, store)

    assert before.fetched == 0
    assert after.fetched == 1


def test_each_run_leaves_a_record_that_adds_up(maildir: Path, store: Store) -> None:
    delivered(maildir, GOOD % 1, UNREADABLE)
    run(maildir, store)

    [recorded] = store.runs()

    assert recorded.status == "done"
    assert recorded.tally.adds_up
    assert recorded.tally.fetched == 2


def test_a_retry_of_what_still_cannot_be_read_counts_one_more_attempt(
    maildir: Path, store: Store
) -> None:
    delivered(maildir, UNREADABLE)
    run(maildir, store)

    tally = pipeline.retry_quarantined(Settings(workers=1), store, store.quarantined(), NOW)

    assert tally.quarantined == 1
    [aside] = store.quarantined()
    assert aside.attempts == 2


def test_a_message_that_a_fix_made_readable_leaves_quarantine(store: Store) -> None:
    content = GOOD % 1
    raw = raw_message(content)
    store.keep_raw([raw])
    with store.batch(now=NOW) as memory:
        memory.quarantine(raw.key, raw.digest, "parser_failed")

    tally = pipeline.retry_quarantined(Settings(workers=1), store, store.quarantined(), NOW)

    assert tally.queued == 1
    assert store.quarantined() == []
    assert len(store.queue()) == 1


def raw_message(content: bytes) -> RawMessage:
    import hashlib

    digest = hashlib.sha256(content).hexdigest()
    return RawMessage(MessageKey("maildir:x", "", 0, 1), NOW, digest, content)


def test_a_bug_in_reading_one_message_sets_that_one_aside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ingest import parsing

    parse = parsing.parse

    def buggy(raw: RawMessage, **options: object):
        if b"<13@" in raw.content:
            raise ZeroDivisionError
        return parse(raw, **options)

    monkeypatch.setattr(parsing, "parse", buggy)

    found = understand(Reading(), [raw_message(GOOD % n) for n in (12, 13, 14)])

    assert [isinstance(read, Unreadable) for read in found] == [False, True, False]
    assert found[1] == Unreadable("bug:ZeroDivisionError")

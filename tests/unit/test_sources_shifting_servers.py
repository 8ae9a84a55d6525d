"""Servers that take numbers back, renumber in mid-session, cut mail short, or drip for ever."""

import time
from dataclasses import replace

import pytest
from services.scripted_imap import DEFAULTS, DRIP, folder_answers, given_out, scripted_imap

from ingest.sources import Access, Loss, SourceError, open_source
from triage.records import Cursor, MessageKey

ACCESS = Access(password="hunter2", allow_plaintext=True, backoff_s=0.001, timeout_s=2)
MAIL = {uid: b"Subject: %d\r\n\r\nHello.\r\n" % uid for uid in range(1, 6)}


def read(script, cursor=None, access=ACCESS):
    with scripted_imap(script) as server, open_source(server.spec, access) as source:
        return list(source.batches(cursor, lambda _: set()))


def fetched(script, *uids, uidvalidity=7, access=ACCESS):
    with scripted_imap(script) as server, open_source(server.spec, access) as source:
        keys = [MessageKey(source.name, "INBOX", uidvalidity, uid) for uid in uids]
        return list(source.fetch(keys))


def in_turn(*answers):
    """Give one answer after the other, and the last one for ever."""
    left = list(answers)

    def answer(command):
        chosen = left.pop(0) if len(left) > 1 else left[0]
        return chosen(command) if callable(chosen) else chosen

    return answer


def test_numbers_taken_back_move_the_cursor_back_with_them():
    batches = read(folder_answers({1: MAIL[1], 2: MAIL[2]}), Cursor("s", "INBOX", 7, 90))

    assert [batch.goes_back for batch in batches] == [True]
    assert batches[0].cursor.uid == 2


def test_a_folder_emptied_with_its_numbers_moves_the_cursor_to_the_start():
    (batch,) = read(folder_answers({}, uidnext=1), Cursor("s", "INBOX", 7, 90))

    assert (batch.messages, batch.cursor.uid, batch.goes_back) == ((), 0, True)


def test_ordinary_news_do_not_go_back():
    (batch,) = read(folder_answers(MAIL), Cursor("s", "INBOX", 7, 3))

    assert ([m.key.uid for m in batch.messages], batch.goes_back) == ([4, 5], False)


def test_the_highest_number_there_can_be_is_read_once():
    mail = {4294967294: MAIL[1], 4294967295: MAIL[2]}

    (batch,) = read(folder_answers(mail, uidnext=4294967295), Cursor("s", "INBOX", 7, 3))

    assert batch.cursor.uid == 4294967295
    assert read(folder_answers(mail, uidnext=4294967295), batch.cursor) == []


@pytest.mark.parametrize("said", ["in passing", "when asked"])
def test_nothing_is_handed_over_from_a_folder_renumbered_in_mid_session(said):
    sound = folder_answers(MAIL)
    other = folder_answers(MAIL, uidvalidity=8)
    script = {**DEFAULTS, **sound}
    if said == "in passing":
        script["UID FETCH"] = lambda command: (
            sound["UID FETCH"](command)
            + (b"* OK [UIDVALIDITY 8] new\r\n" if "BODY" in command else b"")
        )
    else:
        script["EXAMINE"] = in_turn(sound["EXAMINE"], other["EXAMINE"])

    with pytest.raises(SourceError, match="renumbered the folder"):
        read(script)


def test_mail_cut_short_by_the_server_is_asked_for_again():
    short = b"".join(given_out(uid, MAIL[uid][:-4] if uid == 2 else MAIL[uid]) for uid in MAIL)
    script = folder_answers(MAIL)
    script["UID FETCH 1,2,3,4,5 (BODY"] = short

    (batch,) = read(script)

    assert [m.content for m in batch.messages] == list(MAIL.values())


def test_a_server_that_miscounts_sizes_is_believed_after_a_while():
    asked = []

    def miscounted(command):
        asked.append(command)
        answer = folder_answers(MAIL)["UID FETCH"](command)
        return answer.replace(b"RFC822.SIZE 2", b"RFC822.SIZE 3") if "SIZE" in command else answer

    (batch,) = read({**folder_answers(MAIL), "UID FETCH": miscounted})

    assert [m.content for m in batch.messages] == list(MAIL.values())
    assert len([command for command in asked if "BODY" in command]) == 6


def test_mail_that_a_lagging_search_leaves_out_is_read_all_the_same():
    script = {**folder_answers(MAIL), "UID SEARCH UID 3:*": b"* SEARCH 3 5\r\n"}

    (batch,) = read(script, Cursor("s", "INBOX", 7, 2))

    assert [m.key.uid for m in batch.messages] == [3, 4, 5]


def test_mail_that_a_lagging_search_does_not_know_yet_is_left_to_the_next_run():
    script = {**folder_answers(MAIL), "UID SEARCH UID 3:*": b"* SEARCH 3\r\n"}

    (batch,) = read(script, Cursor("s", "INBOX", 7, 2))

    assert batch.cursor.uid == 3
    assert [m.key.uid for m in read(folder_answers(MAIL), batch.cursor)[0].messages] == [4, 5]


@pytest.mark.parametrize("date", [b"17-Nov-0000 10:00:00 +9999", b"17-Nov-9999 23:59:59 -9999"])
def test_dates_that_no_calendar_holds_stop_nothing(date):
    script = folder_answers(MAIL)
    script["UID FETCH 1:5 (RFC"] = b'* 1 FETCH (UID 1 RFC822.SIZE 5 INTERNALDATE "%s")\r\n' % date

    batches = read(script)

    assert [m.key.uid for batch in batches for m in batch.messages] == [1, 2, 3, 4, 5]


def test_mail_is_fetched_again_by_its_keys():
    assert [m.content for m in fetched(folder_answers(MAIL), 4, 2)] == [MAIL[2], MAIL[4]]


def test_what_is_gone_or_renumbered_is_vanished_when_fetched_again():
    gone = fetched(folder_answers(MAIL), *range(40, 60))
    renumbered = fetched(folder_answers(MAIL), 1, 2, uidvalidity=6)

    assert {loss.cause for loss in gone + renumbered} == {"vanished"}
    assert len(gone) == 20
    assert len(renumbered) == 2


def test_mail_once_too_large_is_had_with_a_higher_limit():
    large = {1: b"x" * 1000}
    low = replace(ACCESS, max_message_bytes=100)

    [loss] = fetched(folder_answers(large), 1, access=low)
    [message] = fetched(folder_answers(large), 1)

    assert isinstance(loss, Loss)
    assert loss.cause == "oversize"
    assert message.content == large[1]


@pytest.mark.parametrize("command", ["GREETING", "LOGIN", "EXAMINE", "UID SEARCH", "UID FETCH"])
def test_a_server_that_drips_for_ever_is_given_up_after_the_time_of_one_command(command):
    script = {**DEFAULTS, **folder_answers(MAIL)}
    script[command] = DRIP + b"* OK " + b"still here, " * 1000
    started = time.monotonic()

    with pytest.raises(SourceError, match="no answer in time"):
        read(script, access=replace(ACCESS, timeout_s=0.5))

    assert time.monotonic() - started < 6  # at most five lines in a run


def test_a_slow_line_is_given_the_time_that_its_mail_needs():
    mail = {1: b"x" * 20}
    script = {**folder_answers(mail), "UID FETCH 1 (BODY": DRIP + given_out(1, mail[1])}
    script["UID FETCH 1:1 (RFC"] = (
        b'* 1 FETCH (UID 1 RFC822.SIZE 0 INTERNALDATE "17-Nov-2026 10:00:00 +0100")\r\n'
    )

    (batch,) = read(script, access=replace(ACCESS, timeout_s=0.3))

    assert [m.content for m in batch.messages] == [mail[1]]


def test_a_literal_larger_than_any_mail_is_not_waited_for():
    def flood(command):
        if "BODY" not in command:
            return folder_answers(MAIL)["UID FETCH"](command)
        if "UID FETCH 2 " in command or "," in command:
            return b"* 2 FETCH (UID 2 BODY[] {8589934592}\r\nx"
        return folder_answers(MAIL)["UID FETCH"](command)

    (batch,) = read({**folder_answers(MAIL), "UID FETCH": flood}, access=ACCESS)

    assert [m.key.uid for m in batch.messages] == [1, 3, 4, 5]
    assert [(loss.key.uid, loss.cause) for loss in batch.losses] == [(2, "unfetchable")]

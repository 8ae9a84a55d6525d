"""What servers do that no real one can be brought to do on demand."""

import random

import pytest
from services.scripted_imap import CUT, DEFAULTS, STALL, scripted_imap

from ingest.sources import Access, LoginRefusedError, SourceError, SourceSpecError, open_source
from triage.records import Cursor

ACCESS = Access(password="hunter2", allow_plaintext=True, backoff_s=0.001, timeout_s=2)


def look(uid):
    date = b"17-Nov-2026 10:00:%02d +0100" % uid
    return b'* %d FETCH (UID %d RFC822.SIZE 5 INTERNALDATE "%s")\r\n' % (uid, uid, date)


LOOK = look(1) + look(2) + look(3)


def body(uid):
    return b"* %d FETCH (UID %d BODY[] {5}\r\nmail%d)\r\n" % (uid, uid, uid)


SEARCH, FETCH = "UID SEARCH UID 1:*", "UID FETCH"
SIZES, BODIES = "UID FETCH 1:3 (RFC", "UID FETCH 1,2,3 (BODY"
HEALTHY = {
    SEARCH: b"* SEARCH 1 2 3\r\n",
    SIZES: LOOK,
    BODIES: body(1) + body(2) + body(3),
}


def run(script, cursor=None, access=ACCESS):
    """One run against a server that follows *script*: batches, and the lines it was sent."""
    with scripted_imap({**HEALTHY, **script}) as server:
        with open_source(server.spec, access) as source:
            batches = list(source.batches(cursor, lambda _: set()))
        return batches, server.lines


def refusal(script, access=ACCESS):
    with pytest.raises(SourceError) as caught:
        run(script, access=access)
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    return caught.value


def test_a_healthy_server_is_read():
    (batch,), _ = run({})

    assert [m.content for m in batch.messages] == [b"mail1", b"mail2", b"mail3"]
    assert batch.messages[0].received_at.isoformat() == "2026-11-17T09:00:01+00:00"
    assert (batch.cursor.uidvalidity, batch.cursor.uid) == (7, 3)


def test_a_run_without_news_only_opens_the_folder():
    batches, lines = run({}, Cursor("s", "INBOX", 7, 3))

    assert batches == []
    commands = [line.split()[1] for line in lines]
    assert commands == ["CAPABILITY", "LOGIN", "EXAMINE", "LOGOUT"]


@pytest.mark.parametrize(
    "answer",
    [
        CUT,
        b"TAG NO [UNAVAILABLE] later\r\n",
        b"TAG NO [ALERT] Too many simultaneous connections. (Failure)\r\n",
        b"TAG BAD syntax\r\n",
        b"* BYE overloaded\r\n" + b"TAG OK",
        b"TAG N",
    ],
)
def test_a_login_that_was_not_refused_is_not_called_refused(answer):
    script = {"LOGIN": answer if b"\r\n" in answer or answer == CUT else lambda _: answer}

    error = refusal(
        script, Access(password="hunter2", allow_plaintext=True, backoff_s=0.001, timeout_s=0.5)
    )

    assert not isinstance(error, LoginRefusedError)


@pytest.mark.parametrize("said", [b"[AUTHENTICATIONFAILED] hunter2 is wrong", b"bad password"])
def test_a_refused_password_is_called_so_without_the_servers_words(said):
    error = refusal({"LOGIN": b"TAG NO " + said + b"\r\n"})

    assert isinstance(error, LoginRefusedError)
    assert "bad password" not in str(error)


def test_no_password_is_sent_where_the_server_takes_none_without_tls():
    script = {**HEALTHY, "CAPABILITY": b"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\n"}
    with (
        scripted_imap(script) as server,
        pytest.raises(SourceError, match="imaps://"),
        open_source(server.spec, ACCESS),
    ):
        pass

    assert not any("hunter2" in line for line in server.lines)


def test_a_password_with_a_line_break_cannot_smuggle_in_a_command():
    access = Access(password="a\r\nx DELETE INBOX", allow_plaintext=True)
    with (
        scripted_imap(HEALTHY) as server,
        pytest.raises(SourceSpecError, match="line breaks"),
        open_source(server.spec, access),
    ):
        pass

    assert not any("DELETE" in line for line in server.lines)


def test_nothing_is_logged_of_user_password_or_mail(caplog):
    caplog.set_level("DEBUG")

    run({BODIES: body(1) + body(3), "UID FETCH 2 (": b"", "UID SEARCH UID 2": b"* SEARCH 2\r\n"})

    assert "not given out" in caplog.text
    assert not {word for word in ("support", "hunter2", "mail1") if word in caplog.text}


def test_a_server_without_uidvalidity_is_refused():
    assert "UIDVALIDITY" in str(refusal({"EXAMINE": b"* 3 EXISTS\r\n"}))


def test_a_stall_ends_with_the_timeout():
    impatient = Access(password="hunter2", allow_plaintext=True, backoff_s=0.001, timeout_s=0.3)

    assert "no answer in time" in str(refusal({SEARCH: STALL}, impatient))


@pytest.mark.parametrize(
    "script",
    [
        {"GREETING": b"* BYE full\r\n"},
        {"GREETING": b"* PREAUTH in already\r\n"},
        {"GREETING": b"HTTP/1.1 400 Bad Request\r\n\r\n"},
        {"EXAMINE": b"TAG NO [INUSE] later\r\n"},
        {"EXAMINE": b"TAG BAD User is authenticated but not connected.\r\n"},
        {SEARCH: b"* SEARCH 1 two\r\n"},
        {SEARCH: CUT},
        {SIZES: b"* 1 FETCH (UID 1\r\n"},
        {FETCH: b"* 1 FETCH (UID 1 BODY[] {1125899906842624}\r\nx", BODIES: CUT},
        {FETCH: b"* 1 FETCH (UID 1 BODY[] {8}\r\nmail", BODIES: CUT},
        {FETCH: CUT, BODIES: CUT},
    ],
)
def test_every_failure_of_a_server_is_a_source_error(script):
    refusal(
        script, Access(password="hunter2", allow_plaintext=True, backoff_s=0.001, timeout_s=0.5)
    )


def test_one_message_that_the_server_does_not_give_out_does_not_hold_up_the_rest():
    script = {
        BODIES: b"TAG NO [SERVERBUG] broken\r\n",
        "UID FETCH 1 (": body(1),
        "UID FETCH 2 (": b"TAG NO [SERVERBUG] broken\r\n",
        "UID FETCH 3 (": body(3),
        "UID SEARCH UID 2": b"* SEARCH 2\r\n",
    }

    (batch,), _ = run(script)

    assert [m.key.uid for m in batch.messages] == [1, 3]
    assert [(loss.key.uid, loss.cause) for loss in batch.losses] == [(2, "unfetchable")]
    assert batch.cursor.uid == 3


@pytest.mark.parametrize("killer", [CUT, b"* BYE crashed\r\n", b"* 2 FETCH (UID 2 BODY[] {9}\r\n"])
def test_one_message_that_breaks_the_connection_does_not_hold_up_the_rest(killer):
    script = {
        BODIES: killer,
        "UID FETCH 1 (": body(1),
        "UID FETCH 2 (": killer,
        "UID FETCH 3 (": body(3),
        "UID SEARCH UID 2": b"* SEARCH 2\r\n",
    }
    access = Access(password="x", allow_plaintext=True, backoff_s=0.001, timeout_s=0.3)

    (batch,), lines = run(script, access=access)

    assert [m.content for m in batch.messages] == [b"mail1", b"mail3"]
    assert [(loss.key.uid, loss.cause) for loss in batch.losses] == [(2, "unfetchable")]
    assert sum("LOGIN" in line for line in lines) <= 5


def test_a_line_that_keeps_breaking_ends_the_run_after_few_logins():
    with scripted_imap({**HEALTHY, FETCH: CUT, BODIES: CUT}) as server:
        with pytest.raises(SourceError), open_source(server.spec, ACCESS) as source:
            list(source.batches(None, lambda _: set()))

        assert sum("LOGIN" in line for line in server.lines) == 5


def test_a_folder_renumbered_while_the_line_was_broken_ends_the_run():
    opened = iter([7, 8])
    script = {
        "EXAMINE": lambda _: b"* 3 EXISTS\r\n* OK [UIDVALIDITY %d] valid\r\n" % next(opened),
        BODIES: CUT,
    }

    assert "renumbered" in str(refusal(script))


def test_an_answer_without_the_message_is_asked_for_again_and_then_recorded():
    script = {
        BODIES: body(1) + body(3) + body(9),
        "UID FETCH 2 (": b"",
        "UID SEARCH UID 2": b"* SEARCH 2\r\n",
    }

    (batch,), lines = run(script)

    assert [m.key.uid for m in batch.messages] == [1, 3]
    assert [(loss.key.uid, loss.cause) for loss in batch.losses] == [(2, "unfetchable")]
    assert sum("FETCH 2 (BODY" in line for line in lines) == 2


def test_an_empty_body_is_not_stored_as_an_empty_mail():
    empty = b'* 2 FETCH (UID 2 BODY[] "")\r\n'
    script = {
        BODIES: body(1) + body(3) + empty,
        "UID FETCH 2 (": empty,
        "UID SEARCH UID 2": b"* SEARCH 2\r\n",
    }

    (batch,), _ = run(script)

    assert [(loss.key.uid, loss.cause) for loss in batch.losses] == [(2, "unfetchable")]


def test_a_message_gone_meanwhile_is_recorded_as_vanished():
    script = {
        BODIES: body(1) + body(3) + b"* 2 FETCH (UID 2 BODY[] NIL)\r\n",
        "UID FETCH 2 (": b"* 2 FETCH (UID 2 BODY[] NIL)\r\n",
        "UID SEARCH UID 2": b"* SEARCH\r\n",
    }

    (batch,), _ = run(script)

    assert [(loss.key.uid, loss.cause) for loss in batch.losses] == [(2, "vanished")]


@pytest.mark.parametrize(
    ("sizes_known", "complaint"), [(0, "describes none"), (1, "refuses every message")]
)
def test_a_server_that_gives_out_nothing_is_not_taken_for_bad_mail(sizes_known, complaint):
    uids = list(range(1, 13))
    asked = ",".join(map(str, uids))
    script = {
        SEARCH: b"* SEARCH " + asked.replace(",", " ").encode() + b"\r\n",
        "UID FETCH 1:12 (RFC": b"".join(map(look, uids)) * sizes_known,
        "UID FETCH": b"TAG NO no\r\n",
    }

    assert complaint in str(refusal(script))


def test_a_literal_larger_than_announced_is_refused_all_the_same():
    small = Access(password="hunter2", allow_plaintext=True, backoff_s=0.001, max_message_bytes=10)
    big = b"* 2 FETCH (UID 2 BODY[] {11}\r\nelevenbytes)\r\n"

    (batch,), _ = run({BODIES: body(1) + big + body(3)}, access=small)

    assert [m.key.uid for m in batch.messages] == [1, 3]
    assert [(loss.key.uid, loss.cause, loss.size) for loss in batch.losses] == [(2, "oversize", 11)]


def test_uidnext_going_back_reads_the_folder_again():
    ahead = Cursor("s", "INBOX", 7, 90)

    (batch,), _ = run({}, ahead)

    assert [m.key.uid for m in batch.messages] == [1, 2, 3]
    assert batch.cursor.uid == 3


def test_an_unreadable_date_does_not_stop_a_message():
    garbled = LOOK.replace(b"17-Nov-2026 10:00:02 +0100", b"99-Foo-0000 99:99")

    (batch,), _ = run({SIZES: garbled})

    assert len(batch.messages) == 3
    assert batch.messages[1].received_at.tzinfo is not None


def test_a_missing_folder_is_answered_with_those_there_are_even_if_one_name_is_malformed():
    listing = b'* LIST () "/" INBOX\r\n* LIST () "/" "S&AOk-ances"\r\n* LIST () "/" "&bad"\r\n'
    script = {"EXAMINE": b"TAG NO [NONEXISTENT] what?\r\n", "LIST": listing}
    script["LIST"] += b'* LIST () "/" 2026\r\n'

    with scripted_imap(script) as server:
        spec = server.spec.replace("INBOX", "Nowhere")
        with (
            pytest.raises(SourceError, match=r"'Nowhere'; there are: &bad, 2026, INBOX, Séances"),
            open_source(spec, ACCESS),
        ):
            pass


def test_a_folder_that_keeps_no_keywords_says_so():
    opened = DEFAULTS["EXAMINE"] + b"* OK [PERMANENTFLAGS (\\Seen \\Deleted)] limited\r\n"
    with (
        scripted_imap({**HEALTHY, "SELECT": opened}) as server,
        open_source(server.spec, ACCESS) as source,
    ):
        (batch,) = source.batches(None, lambda _: set())

        with pytest.raises(SourceError, match="keeps no keyword FitTriage"):
            source.tag([batch.messages[0].key], "FitTriage")

    assert not any("STORE" in line for line in server.lines)


def test_a_keyword_cannot_smuggle_in_a_command():
    with (
        scripted_imap(HEALTHY) as server,
        open_source(server.spec, ACCESS) as source,
    ):
        (batch,) = source.batches(None, lambda _: set())

        with pytest.raises(SourceSpecError):
            source.tag([batch.messages[0].key], "a) \\Seen\r\nx DELETE INBOX")


def test_no_mutation_of_an_answer_raises_anything_but_a_source_error():
    chance = random.Random(20261122)
    impatient = Access(password="hunter2", allow_plaintext=True, backoff_s=0.001, timeout_s=0.05)
    healthy = {**DEFAULTS, **HEALTHY}
    outcomes = {True: 0, False: 0}
    for _ in range(80):
        key = chance.choice(list(healthy))
        answer = bytearray(healthy[key])
        for _ in range(chance.randint(1, 3)):
            where = chance.randrange(len(answer) + 1)
            answer[where : where + chance.randint(0, 2)] = bytes(
                chance.choice(b'()[]{}" \r\n0159AZ*\\\x00\xff') for _ in range(chance.randint(0, 2))
            )
        try:
            run({key: bytes(answer)}, access=impatient)
            outcomes[True] += 1
        except SourceError:
            outcomes[False] += 1

    assert min(outcomes.values()) > 5  # some mutations harm, some do not

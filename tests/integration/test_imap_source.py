"""The IMAP source on a real Dovecot."""

import dataclasses
import hashlib
import os
import signal
import socket
import time

import pytest
from services.dovecot import ODD_PASSWORD, ODD_USER

from ingest.sources import Access, LoginRefusedError, SourceError, open_source

pytestmark = pytest.mark.dovecot


def nothing_known(_keys):
    return set()


def mail(number, body=b"Hello.\r\n"):
    return b"From: t%d@example.org\r\nSubject: mail %d\r\n\r\n" % (number, number) + body


def access(box, **changes):
    return dataclasses.replace(
        Access(password=box.password, ca_file=box.server.ca_file, timeout_s=20), **changes
    )


def read(box, cursor=None, folder="INBOX", known=nothing_known, **options):
    """All batches of one run."""
    with open_source(box.spec(folder), access(box)) as source:
        return list(source.batches(cursor, known, **options))


def contents(batches):
    return [message.content for batch in batches for message in batch.messages]


def refused(spec, access):
    with pytest.raises(SourceError) as caught, open_source(spec, access):
        pass
    assert not access.password or access.password not in str(caught.value)
    return caught.value


def test_mail_is_read_oldest_first_in_batches(dovecot):
    sent = [mail(n) for n in range(25)]
    box = dovecot.mailbox(sent)

    batches = read(box, size=10)

    assert [len(batch.messages) for batch in batches] == [10, 10, 5]
    assert contents(batches) == sent
    assert [batch.cursor.uid for batch in batches] == [10, 20, 25]


def test_a_message_says_where_and_when_it_came_and_what_it_is(dovecot):
    box = dovecot.mailbox()
    box.fill([mail(1)], start=1_780_000_000)

    ((message,),) = [batch.messages for batch in read(box)]

    assert message.key.source == box.spec()
    assert (message.key.folder, message.key.uid) == ("INBOX", 1)
    assert message.key.uidvalidity > 0
    assert message.digest == hashlib.sha256(mail(1)).hexdigest()
    assert message.received_at.timestamp() == 1_780_000_001
    assert message.received_at.utcoffset().total_seconds() == 0


def test_the_mailbox_is_left_as_it_was_found(dovecot):
    box = dovecot.mailbox([mail(n) for n in range(5)])
    for number in (6, 7):
        box.append(mail(number))  # these are \Recent until a mail program opens the folder
    with box.session() as client:
        client.uid("STORE", "2", "+FLAGS", r"(\Seen \Flagged)")
    box.append(mail(8))
    before = box.snapshot()

    batches = read(box)

    assert len(contents(batches)) == 8
    assert box.snapshot() == before
    assert b"\\Recent" in before[-1]
    assert sum(b"\\Seen" in line for line in before) == 1


def test_a_run_goes_on_from_the_last_cursor(dovecot):
    box = dovecot.mailbox([mail(n) for n in range(10)])
    first = read(box, size=4, limit=7)
    box.append(mail(10))

    second = read(box, first[-1].cursor)

    assert contents(first) == [mail(n) for n in range(7)]
    assert contents(second) == [mail(n) for n in range(7, 11)]
    assert read(box, second[-1].cursor) == []


def test_starting_from_now_on_leaves_everything_present_behind(dovecot):
    box = dovecot.mailbox([mail(n) for n in range(3)])
    with open_source(box.spec(), access(box)) as source:
        cursor = source.latest()
        assert source.count() == 3
    box.append(mail(4))

    assert contents(read(box, cursor)) == [mail(4)]


def test_the_start_from_now_on_is_given_to_be_stored_though_no_mail_comes(dovecot):
    box = dovecot.mailbox([mail(1)])

    with open_source(box.spec(), access(box)) as source:
        cursor = source.latest()
        batches = list(source.batches(cursor, nothing_known))

    assert [(batch.messages, batch.losses, batch.cursor) for batch in batches] == [((), (), cursor)]


@pytest.mark.parametrize("history", [0, 1])
def test_starting_from_now_on_works_in_a_folder_without_mail(dovecot, history):
    box = dovecot.mailbox([mail(n) for n in range(history)])
    box.expunge(range(1, history + 1)) if history else None
    with open_source(box.spec(), access(box)) as source:
        cursor = source.latest()
        assert source.count() == 0
    box.append(mail(4))

    assert contents(read(box, cursor)) == [mail(4)]


def test_known_mail_is_passed_over_when_a_folder_is_read_from_the_start(dovecot):
    box = dovecot.mailbox([mail(n) for n in range(4)])

    batches = read(box, known=lambda keys: {key for key in keys if key.uid in {1, 3}})

    assert contents(batches) == [mail(1), mail(3)]


def test_a_renumbered_folder_is_read_again_under_its_new_numbering(dovecot):
    box = dovecot.mailbox([mail(n) for n in range(5)])
    (first,) = read(box)
    box.forget_uids()
    box.append(mail(5))

    again = read(box, first.cursor)

    assert sorted(contents(again)) == sorted(mail(n) for n in range(6))
    assert again[-1].cursor.uidvalidity != first.cursor.uidvalidity
    digests = {message.digest for batch in again for message in batch.messages}
    assert {message.digest for message in first.messages} < digests
    assert read(box, again[-1].cursor) == []


def test_a_renumbered_folder_read_from_now_on_does_not_bring_its_history_back(dovecot):
    box = dovecot.mailbox([mail(n) for n in range(5)])
    with open_source(box.spec(), access(box)) as source:
        cursor = source.latest()
    box.append(mail(5))
    box.forget_uids()

    again = read(box, cursor)

    assert contents(again) == [mail(5)]
    assert again[-1].cursor.since == cursor.since


def test_mail_expunged_between_search_and_fetch_is_recorded_as_vanished(dovecot):
    box = dovecot.mailbox([mail(n) for n in range(4)])
    batches = []

    with open_source(box.spec(), access(box)) as source:
        for batch in source.batches(None, nothing_known, size=1):
            if not batches:
                box.expunge([2, 3])
            batches.append(batch)

    assert contents(batches) == [mail(0), mail(3)]
    lost = [(loss.key.uid, loss.cause) for batch in batches for loss in batch.losses]
    assert lost == [(2, "vanished"), (3, "vanished")]
    assert batches[-1].cursor.uid == 4


def test_numbers_without_mail_are_no_losses(dovecot):
    box = dovecot.mailbox([mail(n) for n in range(6)])
    box.expunge([1, 3, 6])

    batches = read(box)

    assert contents(batches) == [mail(1), mail(3), mail(4)]
    assert not any(batch.losses for batch in batches)


def test_a_folder_too_large_for_one_search_is_read_whole_across_its_gaps(dovecot, monkeypatch):
    monkeypatch.setattr("ingest.imap._UIDS_PER_SEARCH", 7)
    monkeypatch.setattr("ingest.imap._UIDS_PER_LOOK", 3)
    box = dovecot.mailbox([mail(n) for n in range(60)])
    box.expunge([*range(1, 12), 20, *range(25, 45), 60])

    batches = read(box, size=2)

    left = [12, *range(13, 20), *range(21, 25), *range(45, 60)]
    assert [message.key.uid for batch in batches for message in batch.messages] == left
    assert read(box, batches[-1].cursor) == []
    assert contents(read(box, batches[3].cursor)) == contents(batches[4:])


def test_the_last_message_is_not_news_for_ever(dovecot):
    box = dovecot.mailbox([mail(n) for n in range(5)])
    (batch,) = read(box)
    box.expunge([5])  # now the server's `6:*` means the message before it

    assert read(box, batch.cursor) == []


def test_a_wrong_password_is_refused_by_name(dovecot):
    box = dovecot.mailbox()

    error = refused(box.spec(), access(box, password="nonsense"))

    assert isinstance(error, LoginRefusedError)
    assert "AUTHENTICATIONFAILED" in str(error)
    assert box.user in str(error)


def test_a_password_may_hold_any_sign(dovecot):
    spec = f"imaps://{ODD_USER}@127.0.0.1:{dovecot.port}/INBOX"

    with open_source(spec, Access(password=ODD_PASSWORD, ca_file=dovecot.ca_file)) as source:
        assert source.count() == 0


def test_the_login_may_differ_from_the_address_of_a_shared_mailbox(dovecot):
    box = dovecot.mailbox([mail(1)])
    spec = box.spec().replace(box.user, "support@example.org")

    with open_source(spec, access(box, user=box.user)) as source:
        (batch,) = source.batches(None, nothing_known)

    assert batch.messages[0].key.source == spec


def test_an_unreachable_server_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        port = taken.getsockname()[1]

        error = refused(f"imaps://a@127.0.0.1:{port}/INBOX", Access(timeout_s=5))

    assert f"127.0.0.1:{port}" in str(error)
    assert "nothing listens" in str(error)


def test_an_untrusted_certificate_stops_before_the_password(dovecot):
    box = dovecot.mailbox()

    error = refused(box.spec(), access(box, ca_file=""))

    assert "certificate is not trusted" in str(error)


def test_a_certificate_for_another_host_is_not_accepted(dovecot):
    box = dovecot.mailbox()

    error = refused(box.spec().replace("127.0.0.1", "127.0.0.2"), access(box))

    assert "127.0.0.2" in str(error)


def test_a_missing_certificate_file_is_named(dovecot, tmp_path):
    box = dovecot.mailbox()

    error = refused(box.spec(), access(box, ca_file=str(tmp_path / "no.pem")))

    assert "no.pem" in str(error)


def test_tls_is_not_spoken_to_a_plaintext_port(dovecot):
    box = dovecot.mailbox()

    error = refused(box.plain_spec().replace("imap:", "imaps:"), access(box))

    assert "no TLS connection" in str(error)


def test_plaintext_is_read_only_where_it_is_allowed(dovecot):
    box = dovecot.mailbox([mail(1)])

    refused(box.plain_spec(), access(box))
    with open_source(box.plain_spec(), access(box, allow_plaintext=True)) as source:
        assert contents(source.batches(None, nothing_known)) == [mail(1)]


def test_a_folder_may_have_any_name(dovecot):
    box = dovecot.mailbox()
    with box.session() as client:
        client.create('"S&AOk-ances &- &U,BTFw-"')
        client.append('"S&AOk-ances &- &U,BTFw-"', "", "", mail(1))

    batches = read(box, folder="Séances & 台北")

    assert contents(batches) == [mail(1)]
    assert batches[0].cursor.folder == "Séances & 台北"


def test_a_missing_folder_is_answered_with_the_folders_there_are(dovecot):
    box = dovecot.mailbox()
    with box.session() as client:
        client.create("S&AOk-ances")

    error = refused(box.spec("Seances"), access(box))

    assert "'Seances'" in str(error)
    assert "INBOX, Séances" in str(error)


def test_large_and_8_bit_mail_comes_byte_for_byte(dovecot):
    every_byte = bytes(b for b in range(1, 256) if b not in b"\r\n") + b"\r\n"
    sent = [
        mail(1, every_byte * 4),
        mail(2, every_byte * 40_000),
        mail(3, b"x" * 300_000 + b"\r\n"),
    ]
    box = dovecot.mailbox(sent)

    batches = read(box)

    assert contents(batches) == sent
    assert len(sent[1]) > 8 * 1024 * 1024


def test_a_batch_is_bounded_in_bytes_whatever_its_size(dovecot):
    box = dovecot.mailbox(mail(n, b"line\r\n" * 250_000) for n in range(12))

    batches = read(box, size=200)

    weights = [sum(len(m.content) for m in batch.messages) for batch in batches]
    assert max(weights) <= 8 * 1024 * 1024
    assert len(contents(batches)) == 12


def test_oversize_mail_is_recorded_unread_and_does_not_hold_up_the_rest(dovecot):
    box = dovecot.mailbox([mail(1), mail(2, b"line\r\n" * 50_000), mail(3)])

    with open_source(box.spec(), access(box, max_message_bytes=100_000)) as source:
        (batch,) = source.batches(None, nothing_known)

    assert contents([batch]) == [mail(1), mail(3)]
    assert [(loss.key.uid, loss.cause) for loss in batch.losses] == [(2, "oversize")]
    assert batch.losses[0].size > 300_000
    assert batch.cursor.uid == 3


def test_losses_count_towards_the_limit(dovecot):
    box = dovecot.mailbox([mail(1, b"line\r\n" * 50_000), mail(2), mail(3)])

    with open_source(box.spec(), access(box, max_message_bytes=100_000)) as source:
        (batch,) = source.batches(None, nothing_known, limit=2)

    assert len(batch.messages) == len(batch.losses) == 1
    assert batch.cursor.uid == 2


def test_stored_mail_is_tagged_and_nothing_else_changes(dovecot):
    box = dovecot.mailbox([mail(n) for n in range(6)])

    with open_source(box.spec(), access(box)) as source:
        for batch in source.batches(None, nothing_known, size=2):
            if batch.cursor.uid != 4:
                source.tag([m.key for m in batch.messages], "FitTriage")

    flags = box.snapshot()
    assert [b"FitTriage" in line for line in flags] == [True, True, False, False, True, True]
    assert not any(b"\\Seen" in line for line in flags)


def test_mail_gone_or_renumbered_is_passed_over_by_tagging(dovecot):
    box = dovecot.mailbox([mail(n) for n in range(2)])
    with open_source(box.spec(), access(box)) as source:
        (batch,) = source.batches(None, nothing_known)
        box.expunge([1])
        other = dataclasses.replace(batch.messages[1].key, uidvalidity=1)

        source.tag([batch.messages[0].key, other], "FitTriage")

    assert not any(b"FitTriage" in line for line in box.snapshot())


def test_a_connection_lost_while_mail_is_read_is_taken_up_again(dovecot):
    sent = [mail(n) for n in range(3)]
    box = dovecot.mailbox(sent)

    with open_source(box.spec(), access(box, backoff_s=0.01)) as source:
        batches = source.batches(None, nothing_known, size=1)
        found = [next(batches)]
        source._client.socket().shutdown(socket.SHUT_RDWR)
        found += batches

    assert contents(found) == sent


def test_a_server_process_killed_while_mail_is_read_costs_nothing(dovecot):
    sent = [mail(n) for n in range(6)]
    box = dovecot.mailbox(sent)
    found = []

    with open_source(box.spec(), access(box, backoff_s=0.01)) as source:
        for batch in source.batches(None, nothing_known, size=2):
            found.append(batch)
            if batch.cursor.uid in {2, 4}:
                for process in dovecot.imap_processes():
                    os.kill(process, signal.SIGKILL)

    assert contents(found) == sent
    assert source._taken_up == 2


def test_waiting_for_news_may_take_longer_than_a_command(dovecot):
    box = dovecot.mailbox([mail(1)])

    with open_source(box.spec(), access(box, timeout_s=0.5)) as source:
        source._client.idle()
        time.sleep(0.7)
        box.append(mail(2))
        said = source._client.idle_check(timeout=10)
        source._client.idle_done()
        found = contents(source.batches(None, nothing_known))

    assert (2, b"EXISTS") in said
    assert mail(1) in found

"""Letters: sent at most once whatever breaks, and put among the drafts once."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from outgoing_samples import a_letter, approve, states
from services.cutting_proxy import cutting_proxy
from services.dovecot import Dovecot, Mailbox
from services.smtp_server import SmtpServer, smtp_server
from store_samples import NOW

from ingest.imap_drafts import Letterbox
from ingest.sources import Access, SourceError
from review.delivery import deliver
from review.letters import Drafts, letter, sender_address
from review.smtp import Post, Server, ServerSpecError, parse_server
from store import LeaseLostError, Store, open_store
from triage.records import OUTGOING_HEADERS

SENDER = sender_address("Fit support <support@platform.example>")
LATER = NOW + timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'fit-triage.sqlite3'}") as opened:
        yield opened


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with smtp_server() as running:
        yield running


def post(port: int, **changes: object) -> Post:
    plain = Server("127.0.0.1", port, tls=False, allow_plaintext=True, timeout_s=30)
    has_sent = changes.pop("has_sent", None)
    return Post(replace(plain, **changes), SENDER, has_sent)


def send(store: Store, way: Post, now=NOW):
    [report] = deliver(store, {"mail": way}, lambda: now) or [None]
    return report


def plain_text(message: EmailMessage) -> str:
    return message.get_content().replace("\r\n", "\n")


def test_a_letter_arrives_whole_threaded_and_known_as_a_program_s(
    store: Store, server: SmtpServer
) -> None:
    out = a_letter()
    approve(store, out)

    report = send(store, post(server.port))

    [message] = server.messages
    assert (report.sent, server.tos) == (1, ["ana@practice.example"])
    assert message["From"] == "Fit support <support@platform.example>"
    assert message["To"] == "Ana Reid <ana@practice.example>"
    assert message["Subject"] == out.payload["subject"]
    assert plain_text(message) == out.payload["body"]
    assert message["In-Reply-To"] == "<1@mail.example>"
    assert message["References"] == "<first@mail.example> <1@mail.example>"
    assert parsedate_to_datetime(message["Date"]) == NOW
    assert message["Message-ID"].endswith("@platform.example>")
    assert {name: message[name] for name in OUTGOING_HEADERS} == OUTGOING_HEADERS


@pytest.mark.parametrize(
    ("field", "value", "note"),
    [
        ("to", "", "refused: to is missing"),
        ("to", "two@x.example, three@x.example", "refused: to is no address"),
        ("to", "mä@x.example", "refused: to is no address"),
        ("subject", "Hello\r\nBcc: all@x.example", "refused: a header cannot be written"),
        ("in_reply_to", "<1@x>\nBcc: all@x.example", "refused: a header cannot be written"),
        ("body", "", "refused: body is missing"),
    ],
)
def test_a_letter_that_cannot_be_written_is_dead_and_says_why_without_its_words(
    field: str, value: str, note: str, store: Store, server: SmtpServer
) -> None:
    out = a_letter()
    approve(store, replace(out, payload={**out.payload, field: value}))

    send(store, post(server.port))

    [row] = store.outbox()
    assert row.state == "dead"
    assert row.note.startswith(note)
    assert server.letters == []


@pytest.mark.parametrize(
    ("phase", "answer", "state"),
    [("MAIL", "451 not now", "waiting"), ("MAIL", "552 no", "dead"),
     ("RCPT", "450 grey", "waiting"), ("RCPT", "550 5.1.1 nobody here", "dead"),
     ("DATA", "452 full", "waiting"), ("DATA", "554 spam", "dead"),
     ("end", "451 not now", "waiting"), ("end", "554 spam", "dead")],
)  # fmt: skip
def test_what_the_mail_server_s_answer_means(
    phase: str, answer: str, state: str, store: Store, server: SmtpServer
) -> None:
    approve(store, a_letter())
    server.answers[phase] = answer

    send(store, post(server.port))
    server.answers.clear()
    send(store, post(server.port), LATER)

    assert states(store) == ["sent" if state == "waiting" else "dead"]
    assert len(server.letters) == (state == "waiting")
    assert answer[4:] not in store.outbox()[0].note


@pytest.mark.parametrize("phase", ["MAIL", "RCPT", "DATA"])
def test_a_line_that_breaks_before_the_letter_is_handed_over_is_tried_again(
    phase: str, store: Store, server: SmtpServer
) -> None:
    approve(store, a_letter())
    server.answers[phase] = ""

    first = send(store, post(server.port))
    server.answers.clear()
    again = send(store, post(server.port), LATER)

    assert (first.later, again.sent) == (1, 1)
    assert len(server.letters) == 1


@pytest.mark.parametrize("drops", [False, True])
def test_an_answer_lost_after_the_letter_was_handed_over_is_for_a_person(
    drops: bool,  # noqa: FBT001 - what the server does, unknown to the sender
    store: Store,
    server: SmtpServer,
) -> None:
    approve(store, a_letter())
    server.answers["end"], server.drops = "", drops

    report = send(store, post(server.port))
    server.answers.clear()
    again = send(store, post(server.port), LATER)

    assert (report.uncertain, again, states(store)) == (1, None, ["uncertain"])
    assert len(server.letters) == (not drops)


def test_the_sent_folder_settles_the_doubt(store: Store, server: SmtpServer) -> None:
    approve(store, a_letter())
    server.answers["end"] = ""
    asked = []

    def has_sent(message_id: str) -> bool:
        asked.append(message_id)
        return True

    send(store, post(server.port, has_sent=has_sent))

    [row] = store.outbox()
    assert (row.state, row.note) == ("sent", "found among the sent mail")
    assert asked == [row.message_id] == [server.messages[0]["Message-ID"]]


def test_a_deliverer_that_lost_its_lease_does_not_hand_the_letter_over(
    store: Store, server: SmtpServer
) -> None:
    approve(store, a_letter())
    way = post(server.port)
    with store.sending("mail", "slow", timedelta(0)) as slow:
        [row] = slow.take(NOW, domain=way.domain)
        with (
            store.sending("mail", "quick", timedelta(minutes=1)),
            pytest.raises(LeaseLostError),
        ):
            way.carry([row], lambda note: slow.note(row, note))

    assert server.letters == []
    assert send(store, way).sent == 1
    assert len(server.letters) == 1


def session_length(port: int, tmp_path: Path) -> int:
    """How many bytes an undisturbed session sends."""
    with (
        cutting_proxy(port) as proxy,
        open_store(f"sqlite:///{tmp_path / 'plain.sqlite3'}") as store,
    ):
        approve(store, a_letter())
        assert send(store, post(proxy.port)).sent == 1
        return proxy.passed["up"]


def test_cut_anywhere_no_letter_is_lost_and_none_is_sent_twice(
    store: Store, server: SmtpServer, tmp_path: Path
) -> None:
    length = session_length(server.port, tmp_path)
    server.letters.clear()
    ends = range(length - 14, length + 1)  # the last line of the letter, and QUIT
    doubts = 0
    with cutting_proxy(server.port) as proxy:
        for number, at in enumerate([*range(0, length - 14, 37), *ends]):
            sent_before = len(server.letters)
            approve(store, a_letter(number))

            proxy.strike("cut", "up", at)
            send(store, post(proxy.port))
            proxy.strike(None)
            send(store, post(proxy.port), LATER)

            [row] = store.outbox()[-1:]
            arrived = len(server.letters) - sent_before
            assert (row.state, arrived) in {("sent", 1), ("uncertain", 0), ("uncertain", 1)}, at
            doubts += row.state == "uncertain"
    assert doubts, "none of the cuts fell where nobody can know"
    names = [message["Message-ID"] for message in server.messages]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("fault", ["cut", "stall"])
def test_answers_that_break_off_send_nothing_twice(
    fault: str, store: Store, server: SmtpServer
) -> None:
    with cutting_proxy(server.port) as proxy:
        for number, at in enumerate(range(0, 400, 13 if fault == "cut" else 80)):
            approve(store, a_letter(number))
            proxy.strike(fault, "down", at)  # type: ignore[arg-type]
            send(store, post(proxy.port, timeout_s=0.2))
            proxy.strike(None)
            send(store, post(proxy.port), LATER)

    names = [message["Message-ID"] for message in server.messages]
    assert len(names) == len(set(names))
    assert set(states(store)) <= {"sent", "uncertain"}
    assert states(store).count("sent") <= len(names)


def test_a_password_is_sent_over_tls_alone(store: Store, dovecot: Dovecot) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(dovecot.home / "server.pem", dovecot.home / "server.key")
    secured = {"allow_plaintext": False, "ca_file": dovecot.ca_file}
    approve(store, a_letter())

    with smtp_server(tls=context, login=True) as server:
        login = {"user": "support", "password": server.password, **secured}
        wrong = send(store, post(server.port, **{**login, "password": "guess"}))
        untrusted = send(store, post(server.port, **{**login, "ca_file": ""}), LATER)
        right = send(store, post(server.port, **login), LATER + timedelta(days=1))
    with smtp_server() as bare:
        approve(store, a_letter(2))
        stripped = send(store, post(bare.port, **login))

    assert (wrong.problem, untrusted.problem) == ("login refused", "certificate not trusted")
    assert (right.sent, len(server.letters)) == (1, 1)
    assert stripped.problem == "the server offers no TLS, or no login"
    assert bare.logins == []


class Tokens:
    """Access tokens of which the first has been revoked."""

    def current(self) -> str:
        return "old-token"

    def renewed(self, refused: str) -> str | None:
        return "good-token" if refused == "old-token" else None


def test_the_mailbox_s_access_token_opens_smtp_as_well(store: Store, dovecot: Dovecot) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(dovecot.home / "server.pem", dovecot.home / "server.key")
    approve(store, a_letter())

    with smtp_server(tls=context, login=True) as server:
        way = post(
            server.port,
            user="support@platform.example",
            tokens=Tokens(),
            allow_plaintext=False,
            ca_file=dovecot.ca_file,
        )
        report = send(store, way)

    assert (report.sent, [mechanism for mechanism, _ in server.logins]) == (1, ["XOAUTH2"] * 2)


def test_a_server_is_named_as_a_mailbox_is() -> None:
    assert parse_server("smtps://a%40b.example@mail.example") == (
        "a@b.example", "mail.example", 465, True,
    )  # fmt: skip
    assert parse_server("smtp://127.0.0.1:2525") == ("", "127.0.0.1", 2525, False)
    for wrong in ("mail.example", "smtp://u:secret@mail.example", "http://x", "smtp://x:99999"):
        with pytest.raises(ServerSpecError, match="no password in it"):
            parse_server(wrong)


# --- drafts ---------------------------------------------------------------------------------------


def draft(number: int = 1):
    return replace(a_letter(number), channel="drafts")


def letterbox(box: Mailbox, port: int = 0, **folders: str) -> Letterbox:
    access = Access(password=box.password, ca_file=box.server.ca_file, timeout_s=30)
    spec = box.spec().replace(str(box.server.port), str(port or box.server.port))
    return Letterbox(spec, access, **folders)


def put(store: Store, box: Mailbox, now=NOW, port: int = 0, **folders: str):
    way = Drafts(lambda: letterbox(box, port, **folders), SENDER)
    [report] = deliver(store, {"drafts": way}, lambda: now) or [None]
    return report


@pytest.fixture
def box(dovecot: Dovecot) -> Mailbox:
    made = dovecot.mailbox()
    with made.session(None) as client:
        client.create("Drafts")
    return made


@pytest.mark.dovecot
def test_a_draft_is_among_the_drafts_as_it_would_be_sent(store: Store, box: Mailbox) -> None:
    approve(store, draft())

    report = put(store, box, drafts="Drafts")

    with box.session("Drafts", readonly=True) as client:
        _, found = client.fetch("1:*", "(FLAGS RFC822)")
    [row] = store.outbox()
    assert (report.sent, row.note) == (1, "put among the drafts")
    assert b"\\Draft" in found[0][0]
    assert found[0][1] == letter(row, SENDER).as_bytes()


@pytest.mark.dovecot
def test_a_server_that_names_no_drafts_folder_is_told_of(box: Mailbox) -> None:
    with letterbox(box, drafts="") as opened, pytest.raises(SourceError, match=r"set mail\.drafts"):
        opened.folder(b"\\Drafts")


@pytest.mark.dovecot
def test_a_draft_that_was_put_there_just_before_a_crash_is_not_put_there_again(
    store: Store, box: Mailbox
) -> None:
    approve(store, draft())
    way = Drafts(lambda: letterbox(box, drafts="Drafts"), SENDER)
    with store.sending("drafts", "killed", timedelta(minutes=1)) as sending:
        rows = sending.take(NOW, domain=way.domain)
        way.carry(rows, lambda _: None)

    put(store, box, drafts="Drafts")

    assert len(box.uids("Drafts")) == 1
    assert store.outbox()[0].note == "was among the drafts"


@pytest.mark.dovecot
def test_cut_anywhere_a_draft_is_there_once(store: Store, box: Mailbox, dovecot: Dovecot) -> None:
    with cutting_proxy(dovecot.port) as proxy:
        approve(store, draft(0))
        put(store, box, port=proxy.port, drafts="Drafts")
        lengths = dict(proxy.passed)
        number = 0
        for way in ("up", "down"):
            for at in range(0, lengths[way], lengths[way] // 12):
                number += 1
                approve(store, draft(number))
                proxy.strike("cut", way, at)  # type: ignore[arg-type]
                put(store, box, port=proxy.port, drafts="Drafts")
                proxy.strike(None)
                put(store, box, LATER, port=proxy.port, drafts="Drafts")

    assert len(box.uids("Drafts")) == number + 1
    assert set(states(store)) == {"sent"}


@pytest.mark.dovecot
def test_what_is_among_the_sent_mail_is_found_by_its_message_id(box: Mailbox) -> None:
    with box.session(None) as client:
        client.create("Gesendet")
    box.append(b"Message-ID: <there@platform.example>\r\n\r\nx\r\n", "Gesendet")

    with letterbox(box, sent="Gesendet") as opened:
        assert opened.has_sent("<there@platform.example>")
        assert not opened.has_sent("<gone@platform.example>")

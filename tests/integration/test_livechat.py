"""Live chat as a second source: against a server that answers as the API's description has it."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from services.intercom import (
    ADMIN,
    MORNING,
    THERAPIST,
    TOKEN,
    Workspace,
    a_conversation,
    a_part,
    workspace,
)

import pipeline
from ingest.parsing import ParseOptions, parse
from ingest.sources import Access, LoginRefusedError, SourceError, open_source
from settings import LivechatSettings, Settings, SourceSettings
from store import Store, open_store

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
ACCESS = Access(password=TOKEN, allow_plaintext=True, timeout_s=5, backoff_s=0.01)
ASK = (
    "<p>Please cancel HT-218834, she needs ERP for her OCD, which I do not offer. We talked it "
    "through yesterday and she agrees.</p>"
)
BELIEVED = ParseOptions(chat_identity_verified=True)


@pytest.fixture
def chat():
    with workspace() as served:
        yield served


def nothing_known(_keys):
    return set()


def read(served: Workspace, cursor=None, known=nothing_known, access=ACCESS, **how):
    """Every batch of one run."""
    with open_source(served.url, access) as source:
        return list(source.batches(cursor, known, **how))


def read_until_it_fails(served: Workspace):
    batches = []
    with open_source(served.url, ACCESS) as source:
        try:
            for batch in source.batches(None, nothing_known):
                batches.append(batch)  # noqa: PERF402 - what came before the error counts
        except SourceError as error:
            return batches, error
    raise AssertionError("it did not fail")


def texts(batches) -> list[str]:
    return [parse(raw).new_text for batch in batches for raw in batch.messages]


def test_what_the_therapist_wrote_comes_in_and_what_the_team_wrote_is_quoted(chat) -> None:
    answer = a_part("2", "<p>Does she know?</p>", author=ADMIN, at=MORNING + 60)
    chat.put(
        a_conversation("501", ASK, answer, a_part("3", "<p>Yes she does.</p>", at=MORNING + 90))
    )

    [first, second] = [parse(raw, BELIEVED) for raw in read(chat)[0].messages]

    assert first.new_text.startswith("Please cancel HT-218834")
    assert (first.channel, first.quoted_text) == ("chat", "")
    assert second.new_text == "Yes she does."
    assert "Priya:\n> Does she know?" in second.quoted_text
    assert first.message_id in second.references
    assert second.sender.email == "marian@oldroyd.example"
    assert second.authentication.passed


def test_a_long_list_of_conversations_is_read_page_by_page(chat) -> None:
    chat.per_page = 3
    chat.put(*(a_conversation(str(n), f"<p>Ask {n}</p>", at=MORNING + n) for n in range(1, 11)))

    batches = read(chat, size=4)

    assert texts(batches) == [f"Ask {n}" for n in range(1, 11)]
    assert chat.asked("/conversations/search") == 4
    assert max(len(batch.messages) for batch in batches) == 4
    assert batches[-1].cursor.uid == MORNING + 10


def test_a_conversation_that_changes_while_pages_are_read_hides_no_other(chat) -> None:
    chat.per_page = 2
    chat.put(*(a_conversation(str(n), f"<p>Ask {n}</p>", at=MORNING + n) for n in range(1, 5)))

    def change() -> None:  # the first moves behind the last, and the third onto the page before
        chat.on_search = lambda: None
        first = chat.conversations.pop("1")
        chat.put({**first, "updated_at": MORNING + 3_600})

    chat.on_search = change

    assert sorted(texts(read(chat))) == [f"Ask {n}" for n in range(1, 5)]


def test_what_is_written_between_search_and_reading_comes_in_and_comes_once(chat) -> None:
    chat.put(a_conversation("501", ASK))
    chat.on_search = lambda: chat.put(
        a_conversation("501", ASK, a_part("3", "<p>Any news?</p>", at=MORNING + 90))
    )

    [first] = read(chat)
    again = read(chat, first.cursor, lambda keys: {raw.key for raw in first.messages} & set(keys))

    assert [text[:8] for text in texts([first])] == ["Please c", "Any news"]
    assert texts(again) == []


def test_a_time_far_ahead_does_not_hide_what_comes_after(chat) -> None:
    chat.put({**a_conversation("1", "<p>One</p>"), "updated_at": 4_000_000_000})
    [first] = read(chat)
    now = int(time.time())
    chat.put(a_conversation("2", "<p>Two</p>", at=now))

    later = read(chat, first.cursor, lambda keys: {raw.key for raw in first.messages} & set(keys))

    assert texts(later) == ["Two"]


def test_a_second_look_finds_nothing_and_a_third_only_what_is_new(chat) -> None:
    chat.put(a_conversation("501", ASK))
    [first] = read(chat)
    seen = {raw.key for raw in first.messages}

    assert read(chat, first.cursor, lambda keys: seen & set(keys)) == []

    chat.put(a_conversation("501", ASK, a_part("3", "<p>Any news?</p>", at=MORNING + 90)))
    later = read(chat, first.cursor, lambda keys: seen & set(keys))
    assert texts(later) == ["Any news?"]


def test_a_part_that_the_search_shows_late_is_not_missed(chat) -> None:
    chat.put(a_conversation("1", "<p>One</p>"), a_conversation("2", "<p>Two</p>", at=MORNING + 60))
    chat.unlisted = {"1"}
    [first] = read(chat)

    chat.unlisted = set()

    assert texts(read(chat, first.cursor, lambda k: {raw.key for raw in first.messages} & set(k))) \
        == ["One"]  # fmt: skip


def test_a_server_that_is_busy_is_asked_again_when_it_says_so(chat) -> None:
    chat.put(a_conversation("501", ASK))
    chat.answers = [0, 429]
    began = time.time()

    batches = read(chat)

    assert len(texts(batches)) == 1
    assert int(time.time()) >= int(began) + chat.reset_after_s
    assert len(chat.requests) == 4


def test_a_server_that_wants_us_away_for_long_ends_the_run_and_nothing_is_lost(chat) -> None:
    chat.reset_after_s = 600
    chat.answers = [429]

    with pytest.raises(SourceError, match="no requests for another"):
        read(chat)


@pytest.mark.parametrize("trouble", [500, 502, 503, "hang_up", "cut", "garbage"])
def test_failures_that_pass_cost_nothing(chat, trouble) -> None:
    chat.put(a_conversation("501", ASK))
    chat.answers = [trouble, trouble, 0, trouble, 0, trouble]

    assert len(texts(read(chat))) == 1


def test_a_conversation_that_cannot_be_had_holds_up_no_other_and_is_tried_again(chat) -> None:
    chat.put(*(a_conversation(str(n), f"<p>Ask {n}</p>", at=MORNING + n) for n in (1, 2, 3)))
    chat.broken = {"2"}

    batches, error = read_until_it_fails(chat)

    assert "HTTP 500" in str(error)
    assert texts(batches) == ["Ask 1", "Ask 3"]
    seen = {raw.key for batch in batches for raw in batch.messages}

    chat.broken = set()

    again = read(chat, batches[-1].cursor, lambda keys: seen & set(keys))
    assert texts(again) == ["Ask 2"]


def test_a_conversation_deleted_between_search_and_reading_is_a_loss_with_its_cause(chat) -> None:
    chat.put(a_conversation("501", ASK))
    chat.answers = [0, 0, 404]

    [batch] = read(chat)

    assert [(loss.cause, loss.key.uidvalidity) for loss in batch.losses] == [("vanished", 501)]


def test_a_wrong_token_is_refused_at_once_and_never_shown(chat) -> None:
    with pytest.raises(LoginRefusedError) as refusal:
        read(chat, access=replace(ACCESS, password="tok_wrong"))

    assert len(chat.requests) == 1
    assert "tok_wrong" not in str(refusal.value)


def test_deleted_parts_and_notes_of_the_team_are_nobodys_message(chat) -> None:
    chat.put(
        a_conversation(
            "501",
            ASK,
            a_part("2", None, redacted=True, at=MORNING + 10),
            a_part("3", "<p>She cries wolf</p>", part_type="note", author=ADMIN, at=MORNING + 20),
            a_part("4", None, part_type="close", author=ADMIN, at=MORNING + 30),
            a_part("5", "<p>Thanks</p>", at=MORNING + 40),
        )
    )

    [first, second] = [parse(raw) for raw in read(chat)[0].messages]

    assert second.new_text == "Thanks"
    assert "wolf" not in second.quoted_text
    assert "Please cancel" in second.quoted_text
    assert first.quoted_text == ""


def test_attachments_are_listed_without_the_addresses_that_open_them(chat) -> None:
    file = {
        "type": "upload", "name": "questionnaire.pdf", "content_type": "application/pdf",
        "filesize": 48_211, "url": "https://files.example/secret-key",
    }  # fmt: skip
    chat.put(a_conversation("501", "", source={"attachments": [file]}))

    [raw] = read(chat)[0].messages

    [listed] = parse(raw).attachments
    assert (listed.name, listed.content_type, listed.size) == (
        "questionnaire.pdf", "application/pdf", 48_211,
    )  # fmt: skip
    assert b"secret-key" not in raw.content


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"author": {**THERAPIST, "type": "lead"}}, "not signed in"),
        ({"type": "email"}, "messenger"),
        ({"author": {k: v for k, v in THERAPIST.items() if k != "email"}}, "no address"),
    ],
)
def test_a_writer_whom_the_channel_does_not_prove_is_not_believed(chat, change, why) -> None:
    chat.put(a_conversation("501", ASK, source=change))

    [raw] = read(chat)[0].messages

    verdict = parse(raw, BELIEVED).authentication
    assert not verdict.passed
    assert why in verdict.reason


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"email_message_metadata": {"subject": "Re", "message_id": "<a@b.example>"}}, "by mail"),
        ({"app_package_code": "somebody-elses-app"}, "by a program"),
    ],
)
def test_a_part_that_came_another_way_is_not_believed(chat, change, why) -> None:
    chat.put(a_conversation("501", ASK, a_part("2", "<p>And HT-1</p>", at=MORNING + 9, **change)))

    [first, second] = [parse(raw, BELIEVED) for raw in read(chat)[0].messages]

    assert first.authentication.passed
    assert why in second.authentication.reason
    assert not second.authentication.passed


def test_nobody_is_believed_where_settings_or_workspace_do_not_verify_identities(chat) -> None:
    chat.put(a_conversation("501", ASK))
    [raw] = read(chat)[0].messages
    chat.identity_verification = False
    [doubted] = read(chat)[0].messages

    assert not parse(raw).authentication.passed
    assert not parse(doubted, BELIEVED).authentication.passed


# --- whole runs -----------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Store:
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite3'}") as opened:
        yield opened


def test_chat_and_mail_of_one_therapist_about_one_session_are_one_case(
    chat, store: Store, tmp_path: Path
) -> None:
    for part in ("new", "cur", "tmp"):
        (tmp_path / "Maildir" / part).mkdir(parents=True)
    (tmp_path / "Maildir" / "new" / "1772440000.1.host").write_bytes(
        b"Authentication-Results: mx.support.example; dmarc=pass header.from=oldroyd.example\r\n"
        b"From: Marian Oldroyd <marian@oldroyd.example>\r\nSubject: HT-218834\r\n"
        b"Message-ID: <1@oldroyd.example>\r\nDate: Mon, 2 Mar 2026 08:00:00 +0000\r\n\r\n"
        b"Please cancel HT-218834, she needs ERP for her OCD, which I do not offer.\r\n"
    )
    chat.put(
        a_conversation(
            "501",
            "<p>About HT-218834: I have now talked it through with her and she agrees to the "
            "cancellation.</p>",
        )
    )
    sources = [
        SourceSettings(url=f"maildir:{tmp_path / 'Maildir'}"),
        SourceSettings(url=chat.url, allow_plaintext=True),
    ]
    settings = Settings(
        workers=1,
        fast=True,
        authserv_id="mx.support.example",
        livechat=LivechatSettings(token=TOKEN, identity_verified=True),
    )

    reports = pipeline.run_sources(settings, sources, store, NOW)

    assert [(report.failed, report.tally.queued) for report in reports] == [(False, 1), (False, 1)]
    [item] = store.queue()
    assert len(item.message_ids) == 2
    assert item.channels == ("email", "chat")

"""Conversations from export files, and what becomes of what is no conversation."""

import json
from pathlib import Path

import pytest
from services.intercom import ADMIN, MORNING, a_conversation, a_part

from ingest.livechat import messages_in
from ingest.parsing import UnreadableEmailError, parse
from ingest.paths import messages_at
from ingest.sources import Access, SourceError, SourceSpecError, open_source

FIRST = a_conversation("501", "<p>Please cancel HT-218834.</p>", at=MORNING)
SECOND = a_conversation("502", "<p>Hello</p>", a_part("7", "<p>Anybody?</p>", at=MORNING + 99))


def read(path: Path, cursor=None, known=lambda _: set(), access=None):
    with open_source(f"livechat:{path}", access or Access()) as source:
        batches = list(source.batches(cursor, known))
    return [raw for batch in batches for raw in batch.messages]


def texts(path: Path) -> list[str]:
    return [parse(raw).new_text for raw in read(path)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", f"{json.dumps(FIRST)}\n\n{json.dumps(SECOND)}"),
        ("a.json", f"{json.dumps(FIRST)}\n{json.dumps(SECOND)}\n"),
        ("a.json", json.dumps([FIRST, SECOND])),
        ("a.json", json.dumps([FIRST, SECOND], indent=2)),
        ("a.json", json.dumps({"type": "conversation.list", "conversations": [FIRST, SECOND]})),
    ],
)
def test_an_export_is_read_in_each_of_its_forms(tmp_path: Path, name, content) -> None:
    (tmp_path / name).write_text(content)

    assert texts(tmp_path / name) == ["Please cancel HT-218834.", "Hello", "Anybody?"]


def test_one_conversation_in_a_file_of_its_own_and_a_folder_of_them(tmp_path: Path) -> None:
    (tmp_path / "501.json").write_text(json.dumps(FIRST, indent=2))
    (tmp_path / "502.json").write_text(json.dumps(SECOND))
    (tmp_path / "readme.txt").write_text("no export")

    assert texts(tmp_path / "501.json") == ["Please cancel HT-218834."]
    assert texts(tmp_path) == ["Please cancel HT-218834.", "Hello", "Anybody?"]


def test_the_same_export_read_again_gives_the_same_bytes_and_nothing_known_twice(tmp_path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(FIRST) + "\n" + json.dumps(SECOND) + "\n")
    first = read(tmp_path / "a.jsonl")
    later = {**SECOND, "read": True, "updated_at": MORNING + 5_000, "state": "closed"}
    (tmp_path / "a.jsonl").write_text(json.dumps(FIRST) + "\n" + json.dumps(later) + "\n")

    again = read(tmp_path / "a.jsonl")

    assert [(raw.key, raw.digest) for raw in again] == [(raw.key, raw.digest) for raw in first]
    assert read(tmp_path / "a.jsonl", known=set) == []


def test_from_now_on_leaves_older_parts_of_a_conversation_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(FIRST) + "\n")
    with open_source(f"livechat:{path}", Access()) as source:
        cursor = source.latest()
        [begun] = source.batches(cursor, lambda _: set())
    path.write_text(json.dumps(FIRST) + "\n" + json.dumps(SECOND) + "\n")

    assert begun.messages == ()
    assert [parse(raw).new_text for raw in read(path, cursor)] == ["Anybody?"]


def test_a_line_that_is_no_conversation_is_set_aside_and_the_others_are_read(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{json.dumps(FIRST)}\n{{"id": \n[1]\n{"[" * 90_000}\n{json.dumps(SECOND)}\n')

    found = read(path)

    readable, causes = 0, []
    for raw in found:
        try:
            readable += bool(parse(raw))
        except UnreadableEmailError as error:
            causes.append(error.cause)
    assert readable == 3
    assert causes == ["not_a_conversation"] * 3
    with open_source(f"livechat:{path}", Access()) as source:
        assert [raw.digest for raw in source.fetch([found[1].key])] == [found[1].digest]


def test_a_line_that_is_still_being_written_waits_for_its_end(tmp_path: Path) -> None:
    whole = json.dumps(SECOND)
    (tmp_path / "a.jsonl").write_text(json.dumps(FIRST) + "\n" + whole[:200])

    assert texts(tmp_path / "a.jsonl") == ["Please cancel HT-218834."]


def test_a_damaged_file_is_named_and_nothing_of_it_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([FIRST, SECOND], indent=1)[:900])

    with pytest.raises(SourceError, match=r"a\.json is no JSON"):
        read(tmp_path / "a.json")


def test_a_conversation_larger_than_allowed_is_a_loss(tmp_path: Path) -> None:
    huge = a_conversation("503", "x" * 5_000)
    (tmp_path / "a.jsonl").write_text(json.dumps(huge) + "\n" + json.dumps(FIRST) + "\n")
    with open_source(f"livechat:{tmp_path / 'a.jsonl'}", Access(max_message_bytes=4_000)) as source:
        [batch] = source.batches(None, lambda _: set())

    assert [loss.cause for loss in batch.losses] == ["oversize"]
    assert len(batch.messages) == 1


def test_an_export_is_explained_like_any_file_of_messages(tmp_path: Path) -> None:
    (tmp_path / "exports").mkdir()
    path = tmp_path / "exports" / "a.jsonl"
    path.write_text(json.dumps(FIRST) + "\n[1]\n" + json.dumps(SECOND) + "\n")

    alone, below = (list(messages_at([one])) for one in (path, path.parent))

    assert [raw.digest for raw in alone] == [raw.digest for raw in below]
    assert [raw.key.source for raw in alone] == [f"livechat:{path}"] * 4
    assert [parse(alone[n]).new_text for n in (0, 2, 3)] == [
        "Please cancel HT-218834.", "Hello", "Anybody?",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "part",
    [
        None, 7, "words", [], {}, {"body": 7, "author": {"type": "user"}},
        {"body": {"a": 1}}, {"id": "\ud800", "body": "\ud800\0hi", "author": {"type": "user"}},
        {"body": "hi", "created_at": "yesterday", "author": 5},
        {"body": "hi", "created_at": 10**30, "attachments": [None, {"filesize": "big"}]},
    ],
)  # fmt: skip
def test_a_part_of_any_shape_is_read_or_set_aside_and_its_neighbours_are_read(part) -> None:
    whole = {**SECOND}
    parts = [part, *SECOND["conversation_parts"]["conversation_parts"]]
    whole["conversation_parts"] = {"conversation_parts": parts}

    found = []
    for raw in messages_in(whole, "livechat:x"):
        try:
            found.append(parse(raw).new_text)
        except UnreadableEmailError as error:
            assert error.cause in {"not_a_conversation", "nothing_to_read"}  # noqa: PT017

    assert {"Hello", "Anybody?"} <= set(found)
    assert not any("\ud800" in text or "\0" in text for text in found)


def test_what_a_bot_wrote_is_not_the_therapists_word() -> None:
    bot = {"type": "bot", "id": "1", "name": "Fin", "email": "fin@platform.example"}
    agent = {**ADMIN, "type": "user", "from_ai_agent": True}
    conversation = a_conversation(
        "501",
        "<p>Hello</p>",
        a_part("2", "<p>You can cancel HT-1.</p>", author=bot),
        a_part("3", "<p>Shall I?</p>", author=agent),
    )

    [only] = messages_in(conversation, "livechat:x")

    assert parse(only).new_text == "Hello"


def test_a_conversation_whose_beginning_the_api_no_longer_gives_says_so() -> None:
    cut = a_conversation("501", "<p>Hello</p>")
    cut["conversation_parts"]["total_count"] = 700

    [raw] = messages_in(cut, "livechat:x")

    assert "conversation_cut" in parse(raw).defects


@pytest.mark.parametrize(
    "spec",
    ["livechat+http://127.0.0.1", "livechat+https://a:tok_b@host", "livechat+https://h/x?y=tok_b"],
)
def test_a_workspace_named_wrongly_is_refused_and_no_secret_repeated(spec) -> None:
    with pytest.raises(SourceSpecError) as refusal:
        open_source(spec, Access())

    assert "tok_b" not in str(refusal.value)

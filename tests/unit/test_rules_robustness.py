"""What mail programs and keyboards do to a text must not change what it says."""

import json
import random
import re

import pytest
from reading_mail import ROOT, groups, noticed

_random = random.Random(20260310)


def _with_invisible_letters(text):
    return re.sub(r"(?<=\w)(?=\w)", lambda _: "\u200b" * (_random.random() < 0.1), text)


DISGUISES = {
    "curly quotes": lambda text: text.replace("'", "’"),
    "no-break spaces": lambda text: text.replace(" ", "\u00a0"),
    "carriage returns": lambda text: text.replace("\n", "\r\n"),
    "invisible letters": _with_invisible_letters,
}


def messages():
    for name in ("t1", "t6", "t9"):
        lines = (ROOT / f"models/corpus/{name}.jsonl").read_text(encoding="utf-8").splitlines()
        yield from (json.loads(line) for line in lines[::4])


def said(record, disguise):
    parts = {"subject": disguise(record["subject"]), "sent": record["sent"]}
    text = disguise(record["new_text"])
    mentions = {(m.label, m.value) for m in noticed(text, **parts) if m.counts}
    mentions = {m for m in mentions if m[0] != "client_ref"}  # names are kept as written
    return mentions, len(groups(text, **parts))


@pytest.mark.parametrize("name", DISGUISES)
def test_a_disguise_changes_nothing_that_is_read(name):
    for record in messages():
        assert said(record, DISGUISES[name]) == said(record, str), record["id"]


def test_capitals_hide_neither_sessions_nor_danger():
    for record in messages():
        plain, _ = said(record, str)
        shouted, _ = said(record, str.upper)

        kept = {m for m in plain if m[0] == "session_ids" or m == ("risk", "urgent")}
        assert kept <= shouted, record["id"]

"""Fifty canaries through the whole program: none in logs, metrics, error pages or exports.

Names, addresses, numbers and words of a therapy stand in every place where mail, chat and registry
can hold them. What is printed *for* somebody who asked to see a case shows them, which proves that
they were there to be found; nothing else may.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from services.intercom import MORNING, a_conversation, a_part
from sqlalchemy import text
from starlette.testclient import TestClient
from store_samples import NOW
from typer.testing import CliRunner

from review.access.door import Door, form_token, hashed, new_secret
from review.commands import app
from review.desk import Desk
from review.serving import review_page
from settings import Settings
from store import Store, Tally, open_store
from store.accounts import Session

FIT_TRIAGE = Path(sys.executable).parent / "fit-triage"
#: By the place where each stands.
CANARIES = {
    "from name": "Zephyrine", "from surname": "Quillbrook",
    "from address": "zq.canary1@quill.example",
    "reply-to name": "Oswaldina", "reply-to address": "canary2@reply.example",
    "cc name": "Thessalyne", "cc address": "canary3@copied.example",
    "subject name": "Mirabeth", "subject words": "sobbing in the airing cupboard",
    "subject id": "HT-918273", "body client": "Corisande", "body surname": "Featherhaugh",
    "body partner": "Lysander", "body mother": "Philomenia", "body phone": "07700 900417",
    "body phone abroad": "+48 601 772 913", "body address": "17 Marrowbone Lane",
    "body postcode": "QX4 7ZP", "body mail": "corisande.f@private.example",
    "body link": "https://corisande.blog.example/diary", "body NHS number": "943 476 5919",
    "body birth": "14/08/1983", "body words": "burned her wedding veil in the bath",
    "body more words": "hears her dead twin humming", "body risk": "counted forty-one tablets",
    "body id": "HT-564738", "body small name": "fenwicka", "quoted name": "Bartholomina",
    "quoted words": "never told a soul about the lighthouse", "signature name": "Quillbrooke-Vane",
    "signature phone": "0161 496 0733", "attachment name": "saq-of-peregrina.pdf",
    "attachment words": "peregrina's father drank paraffin", "header": "canary-header-77431",
    "html words": "the swing set is cursed", "mixed name": "Ottilivia",
    "broken subject": "Hieronymus wants out", "broken body": "the goldfish was her confessor",
    "broken from": "canary4@broken.example", "large body": "nine years of unsent letters",
    "deep body": "sleeps beneath the piano", "chat name": "Guinevra",
    "chat words": "bites the radiator",
    "chat address": "canary5@chat.example", "chat answer": "collects her own hair",
    "broken chat": "the moth told her to", "registry therapist": "Ermintrude Vosk",
    "registry client": "Desdemonia", "registry surname": "Crowhurst-Ib",
    "registry address": "canary6@registry.example", "bad registry row": "Ludovikus",
}  # fmt: skip
#: Whose logs are those of the test's own browser.
VISITORS = {"httpx", "httpx2", "httpcore"}
#: Told on purpose where text is exported redacted: what it is about, in no one's name.
WORDS = {what for what in CANARIES if "words" in what or "risk" in what or "answer" in what}


def found(sink: str) -> list[str]:
    """The places whose canaries are in *sink*, in any form that one might be written in."""
    lower = " ".join(sink.lower().split())
    return [what for what, canary in CANARIES.items() if any(f in lower for f in forms(canary))]


def forms(canary: str) -> set[str]:
    plain = canary.lower()
    told = {
        plain,
        quote(plain),
        html.escape(plain),
        json.dumps(plain)[1:-1],
        plain.replace(" ", ""),
    }
    for shift in ("", "x", "xx"):  # base64 looks otherwise by where it begins
        coded = base64.b64encode((shift + canary).encode()).decode().lower()
        told.add(coded[4 if shift else 0 : -4])
    return {form.lower() for form in told}


@dataclass
class Sinks:
    """Everything that somebody might read who was not meant to see anybody's words."""

    texts: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, *texts: str) -> None:
        self.texts[name] = self.texts.get(name, "") + "\n".join(texts)

    def leaks(self) -> list[str]:
        return [f"{name}: {what}" for name, sink in self.texts.items() for what in found(sink)]


def write_world(folder: Path) -> None:
    box = folder / "Maildir"
    for part in ("new", "cur", "tmp"):
        (box / part).mkdir(parents=True)
    for number, content in enumerate(mails()):
        (box / "new" / f"{number}.mail").write_bytes(content)
    chats = folder / "chats"
    chats.mkdir()
    c = CANARIES
    author = {"type": "user", "id": "u1", "name": c["chat name"], "email": c["chat address"]}
    answer = a_part("2", f"<p>{c['chat answer']}</p>", author=author, at=MORNING + 60)
    talk = a_conversation("501", f"<p>Please cancel, she {c['chat words']}.</p>", answer)
    talk["source"]["author"] = author
    (chats / "talk.json").write_text(json.dumps(talk))
    (chats / "broken.json").write_text(json.dumps(talk | {"id": c["broken chat"], "source": 7}))
    (chats / "worse.jsonl").write_text(f'{{"id": "{c["broken chat"]}", ')
    (folder / "therapists.csv").write_text(
        "therapist_id,name,emails,delegates,approaches,issues,experience,languages,places,"
        "open_to_new\n"
        f"T9,{c['registry therapist']},{c['from address']},,cbt,ocd,,,,yes\n"
        f"T8,{c['bad registry row']},x,,cbt,ocd,,,,{c['bad registry row']}\n"
    )
    (folder / "clients.csv").write_text(
        "client_id,first_name,last_name,email\n"
        f"C9,{c['registry client']},{c['registry surname']},{c['registry address']}\n"
        f",{c['bad registry row']},,{c['bad registry row']}\n"
    )
    (folder / "sessions.csv").write_text(
        "session_id,therapist_id,client_id,starts_at,stage,status\n"
        f"{c['body id']},T9,C9,2026-12-01T18:00,initial,unconfirmed\n"
        f"S8,T9,C9,{c['bad registry row']},initial,unconfirmed\n"
    )


def mails() -> Iterator[bytes]:
    c = CANARIES
    whole = EmailMessage()
    whole["From"] = f"{c['from name']} {c['from surname']} <{c['from address']}>"
    whole["Reply-To"] = f"{c['reply-to name']} <{c['reply-to address']}>"
    whole["Cc"] = f"{c['cc name']} <{c['cc address']}>"
    whole["Subject"] = f"{c['subject id']} {c['subject name']}, {c['subject words']}"
    whole["X-Canary"] = c["header"]
    whole["Message-ID"] = "<whole@mail.example>"
    whole["Date"] = "Sun, 22 Nov 2026 09:00:00 +0000"
    body = [
        f"Please cancel {c['body id']} with {c['body client']} {c['body surname']}. She",
        f"{c['body words']} and {c['body more words']}; she {c['body risk']}.",
        f"{c['body partner']} and {c['body mother']} know. Ring {c['body phone']}",
        f"or {c['body phone abroad']}. She lives",
        f"at {c['body address']}, {c['body postcode']}; {c['body mail']}, {c['body link']}.",
        f"NHS {c['body NHS number']}, born {c['body birth']}. my other client",
        f"{c['body small name']} is fine. {c['mixed name']} knows.",
        "I am not trained in ERP; she needs ERP for OCD.",
        "", f"{c['from name']}", "-- ", f"{c['signature name']}, Tel {c['signature phone']}",
        "", f"On Sat, 21 Nov 2026, {c['quoted name']} wrote:", f"> {c['quoted words']}",
    ]  # fmt: skip
    whole.set_content("\n".join(body))
    whole.add_attachment(
        c["attachment words"].encode(), maintype="application", subtype="pdf",
        filename=c["attachment name"],
    )  # fmt: skip
    yield whole.as_bytes()
    rich = EmailMessage()
    rich["From"], rich["Subject"] = c["from address"], "html"
    rich.set_content(f"<p>{c['html words']}<img src=x onerror=y>", subtype="html")
    yield rich.as_bytes()
    head = f"From: {c['broken from']}\r\nSubject: {c['broken subject']}\r\n"
    yield (head + "X-A: 1\r\n" * 3_000 + f"\r\n{c['broken body']}").encode()
    yield (head + f"\r\n{c['large body']}\r\n" + "x" * 60_000).encode()
    parts = "".join(
        f"Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n" for n in range(120)
    )
    yield (head + parts + f"\r\n\r\n{c['deep body']}").encode()


@dataclass
class World:
    folder: Path
    url: str
    sinks: Sinks = field(default_factory=Sinks)
    shown: str = ""

    def run(self, *words: str, **changed: str) -> str:
        """A command as a scheduler starts it; what it says is looked through."""
        environment = {
            **os.environ, "FIT_TRIAGE_DATABASE_URL": self.url, "FIT_TRIAGE_FAST": "true",
            "FIT_TRIAGE_WORKERS": "1", "FIT_TRIAGE_MAX_MESSAGE_BYTES": "50000", **changed,
        }  # fmt: skip
        done = subprocess.run(
            [FIT_TRIAGE, *words], cwd=self.folder, env=environment, capture_output=True,
            text=True, check=False, timeout=120,
        )  # fmt: skip
        self.sinks.add(f"fit-triage {' '.join(words)[:60]}", done.stdout, done.stderr)
        return done.stdout

    def ask(self, *words: str) -> str:
        """The same within this process, which is quicker."""
        done = CliRunner().invoke(app, words, obj=Desk(None), env={"FIT_TRIAGE_FAST": "true"})
        return done.output + repr(done.exception)


@pytest.fixture
def world(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", store_url)
    write_world(tmp_path)
    return World(tmp_path, store_url)


def test_no_canary_leaves_but_where_a_person_asked_to_see_a_case(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    read_everything(world)
    operate(world)
    export(world)
    visit(world)
    for record in caplog.records:
        if record.name.partition(".")[0] not in VISITORS:
            world.sinks.add(f"log of {record.name}", record.getMessage())

    assert world.sinks.leaks() == []
    # They were there to be found: whoever asks for the case sees them.
    shown = set(found(world.shown))
    assert shown >= {what for what in CANARIES if what.startswith(("body", "subject", "from"))}


def read_everything(world: World) -> None:
    files = ("sessions", "therapists", "clients")
    registry = [word for file in files for word in (f"--{file}", f"{file}.csv")]
    world.sinks.add("registry import", world.ask("registry", "import", *registry))
    sources = ("--source", "maildir:Maildir", "--source", "livechat:chats")
    world.run("--log", "json", "run", *sources)
    with open_store(world.url) as store:
        assert store.counts().messages >= 3
        assert store.counts().quarantined >= 2


def operate(world: World) -> None:
    asked = [
        ("quarantine", "list"), ("quarantine", "list", "--json"), ("health",), ("metrics",),
        ("outbox", "list", "--json"), ("audit", "verify"), ("check",), ("show", "999"),
        ("case", "approve", "999"), ("attachment", "1", "9"), ("users", "list"),
        ("registry", "import", "--sessions", "Maildir/new/0.mail"),
        ("registry", "import", "--clients", "chats/talk.json"),
        ("case", "approve", "1", "--override", "nonsense"),
    ]  # fmt: skip
    for words in asked:
        world.sinks.add(" ".join(words), world.ask(*words))
    world.run("quarantine", "retry", "--all")
    broken = world.folder / "fit-triage.toml"
    broken.write_text('batch_size = "many"\n')
    world.sinks.add("bad settings", world.ask("run"))
    broken.unlink()
    world.shown = "".join(world.ask("show", str(n)) for n in range(1, 6))


def export(world: World) -> None:
    (world.folder / "out").mkdir()
    text = ("--with-text", "--reason", "labelling")
    for form in ("csv", "jsonl", "parquet"):
        words = ("export", "--to", "out", "--for", "research", "--format", form)
        world.sinks.add(f"export {form}", world.ask(*words), exported(world.folder / "out"))
    names = {what for what in CANARIES if what not in WORDS}
    world.sinks.add("export with text", world.ask(*words[:-1], "jsonl", *text))
    with_text = next(p for p in (world.folder / "out").glob("*000004*/messages.jsonl"))
    assert names & set(found(with_text.read_text())) == set()
    assert "[NAME1]" in with_text.read_text()
    world.sinks.add("export list", world.ask("export", "list"))


def exported(folder: Path) -> str:
    from pyarrow import parquet

    told = []
    for file in folder.rglob("*.*"):
        if file.suffix == ".parquet":
            told.append(str(parquet.read_table(file).to_pylist()))
        elif file.is_file():
            told.append(file.read_text("utf-8"))
    return "".join(told)


def visit(world: World) -> None:
    """Error pages: what is refused, not there, wrong, or fails because the database does."""
    settings = Settings(database_url=world.url)
    with open_store(world.url) as store:
        door = Door(store, clock=lambda: NOW)
        engine = SimpleNamespace(retry=lambda *_: Tally())
        page = review_page(Desk(engine), settings, door, ["testserver"])
        client = TestClient(page, follow_redirects=False, raise_server_exceptions=False)
        for role in ("staff", "data", "admin"):
            store.accounts.add(role, role, "", by="root", now=NOW)
        with client:
            refusals(world, client, store, door)
            breakdown(world, client, store, door)


def signed_in(client: TestClient, store: Store, door: Door, role: str) -> str:
    secret, user = new_secret(), store.accounts.named(role)
    session = Session(user.id, role, role, NOW.replace(hour=20))
    store.accounts.start_session(hashed(secret), session, NOW)
    client.cookies.clear()
    client.cookies.set(door.cookie, secret)
    return secret


def refusals(world: World, client: TestClient, store: Store, door: Door) -> None:
    c, add = CANARIES, world.sinks.add
    add("sign in", client.post("/sign-in", data={"name": c["from address"], "password": "x"}).text)
    for role in ("data", "admin"):
        signed_in(client, store, door, role)
        add(f"refused {role}", *(client.get(f"/{p}").text for p in ("cases/1", "queues", "search")))
    secret = signed_in(client, store, door, "staff")
    missing = ("cases/999", f"cases/{c['body client']}", f"{c['body client']}", "cases/1/x")
    add("not there", *(client.get(f"/{path}").text for path in missing))
    add("no token", client.post("/search", data={"q": c["body words"]}).text)
    token = form_token(secret)
    form = {"csrf": token, "action": "approve", "version": "1", "reason": c["body words"]}
    add("wrong form", client.post("/cases/1/act/nonsense", data=form).text)
    add("health", client.get("/health").text, client.get("/health.json").text)
    add("quarantine", client.get("/quarantine").text)
    world.shown += client.get("/cases/1").text


def breakdown(world: World, client: TestClient, store: Store, door: Door) -> None:
    signed_in(client, store, door, "staff")
    with store._database.writing() as connection:
        connection.execute(text("ALTER TABLE decisions RENAME TO lost"))
    answers = [client.get(path) for path in ("/cases/1", "/queues", "/search")]
    world.sinks.add("database fails", *(answer.text for answer in answers))
    world.sinks.add("command fails", world.ask("show", "1"), world.ask("queue"))
    assert max(answer.status_code for answer in answers) >= 500


def test_the_scanner_finds_what_is_there_in_whatever_form() -> None:
    for what, canary in CANARIES.items():
        told = [
            f"error: {canary}", canary.upper(), quote(canary), html.escape(canary),
            json.dumps({"x": canary}), base64.b64encode(f"read {canary} today".encode()).decode(),
        ]  # fmt: skip
        assert [what in found(sink) for sink in told] == [True] * len(told), what
    assert len(CANARIES) >= 50
    assert found("nothing of anybody") == []

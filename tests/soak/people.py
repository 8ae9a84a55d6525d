"""Who keeps the system busy: therapists who write, and a team that decides on the page."""

from __future__ import annotations

import imaplib
import random
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from corpus_mail import compose, corpus_records
from faults.bench import CANARIES
from faults.oracle import connected

from soak.world import SESSIONS, World, sender, session

#: Mails in a burst, and seconds between two bursts: two a second on the average.
BURST = (1, 11)
PAUSE_S = (1.0, 5.0)
_WHOLE = """Dear team,

please cancel my initial session {session} with Given{n} F. I have told the client that I am asking
for it to be cancelled, and we talked the reasons through on the phone.
The reason is that I do not have the training for it: Given{n} presents with OCD and intrusive
thoughts, and needs somebody who offers ERP. {cries}.

Kind regards,
Thera
"""
_BARE = "Please cancel {session}. {cries}.\n"
_WITHDRAWN = "Please do not cancel {session} after all, Given{n} and I go on. {cries}.\n"


class Post(threading.Thread):
    """Delivers mail to Dovecot in bursts, each one again and again until it is taken."""

    def __init__(self, world: World, seed: int) -> None:
        super().__init__(name="post")
        self._world, self._chance = world, random.Random(seed)
        self._records = corpus_records()
        self._line: imaplib.IMAP4 | None = None
        self.stopped = threading.Event()
        self.taken: list[bytes] = []
        self.repeated = 0  # deliveries of which no answer came, made again

    def run(self) -> None:
        while not self.stopped.is_set():
            for _ in range(self._chance.randint(*BURST)):
                self._deliver(self._letter(len(self.taken)))
            self.stopped.wait(self._chance.uniform(*PAUSE_S))
        if self._line is not None:
            with suppress(OSError, imaplib.IMAP4.error):
                self._line.logout()

    def _deliver(self, content: bytes) -> None:
        while not self.stopped.is_set():
            try:
                if self._line is None:
                    box = self._world.box
                    port = self._world.dovecot.plain_port
                    self._line = imaplib.IMAP4("127.0.0.1", port, timeout=10)
                    self._line.login(box.user, box.password)
                if self._line.append("INBOX", "", "", content)[0] == "OK":
                    self.taken.append(content)
                    return
            except (OSError, imaplib.IMAP4.error):
                self._line = None
                self.repeated += 1
                self.stopped.wait(0.3)

    def _letter(self, number: int) -> bytes:
        kind = self._chance.random()
        if kind < 0.02:
            return _unreadable(number)
        if kind < 0.35:
            record = {**self._chance.choice(self._records)}
            return compose({**record, "id": f"{record['id']}.{number}"}, number, self._chance)
        of = self._chance.randrange(SESSIONS)
        text = _WHOLE if kind < 0.85 else _BARE if kind < 0.97 else _WITHDRAWN
        return _therapist_s(number, of, text.format(session=session(of), n=of, cries=CANARIES[1]))


def _therapist_s(number: int, of: int, text: str) -> bytes:
    address = sender(of)
    domain = address.partition("@")[2]
    head = (
        f"Return-Path: <{address}>",
        f"Authentication-Results: mx.support.example; dmarc=pass header.from={domain}",
        f"From: {CANARIES[0]} N{of} <{address}>",
        "To: support@therapy.example",
        f"Subject: {session(of)} {CANARIES[2]}",
        f"Message-ID: <{number}.soak@{domain}>",
        f"Date: {format_datetime(datetime.now(UTC))}",
    )
    return "\r\n".join((*head, "", *text.splitlines(), "")).encode()


def _unreadable(number: int) -> bytes:
    """Parts within parts within parts, deeper than anybody reads."""
    head = b"From: a@x.example\r\nX-Number: %d\r\n" % number
    levels = (b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
              for n in range(300))  # fmt: skip
    return head + b"".join(levels)


# --- the team -------------------------------------------------------------------------------------


@dataclass
class Deeds:
    """What people did and what they were answered."""

    answers: Counter[str] = field(default_factory=Counter)
    approved: list[int] = field(default_factory=list)  # cases, each answer of success
    unsure: list[int] = field(default_factory=list)  # cases: sent, and no answer came
    broken: Counter[str] = field(default_factory=Counter)  # answers that no page may give
    slowest_s: float = 0.0
    pages: int = 0


class Colleague(threading.Thread):
    """Looks at a case about every second, and approves what is ready."""

    def __init__(self, world: World, name: str, seed: int) -> None:
        super().__init__(name=name)
        self._world, self._chance = world, random.Random(seed)
        self.stopped = threading.Event()
        self.deeds = Deeds()
        self._secret = ""

    def run(self) -> None:
        import httpx

        limits = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(base_url=self._world.address, timeout=60, limits=limits) as client:
            while not self.stopped.wait(self._chance.uniform(0.3, 1.5)):
                try:
                    self._secret = self._secret or self._signed_in(client)
                    self._work(client)
                except httpx.HTTPError as error:
                    self.deeds.answers[type(error).__name__] += 1
                except Exception as error:  # noqa: BLE001 - the database is away: our own look at it
                    self.deeds.answers[f"no look at cases: {type(error).__name__}"] += 1

    def _signed_in(self, client: Any) -> str:
        """A session as the page starts it; passwords are tested elsewhere."""
        from review.access.door import hashed, new_secret
        from store import open_store
        from store.accounts import Session

        secret, now = new_secret(), datetime.now(UTC)
        with open_store(self._world.url, migrate=False) as store:
            session = Session(None, self.name, "lead", now + timedelta(hours=11))
            store.accounts.start_session(hashed(secret), session, now)
        client.cookies.clear()
        client.cookies.set(f"fit-triage-{self._world.port}", secret)
        return secret

    def _work(self, client: Any) -> None:
        self._look(
            client,
            self._chance.choice(
                ("/queues", "/queues?queue=cancellation", "/overview", "/health.json")
            ),
        )
        if (case := self._case()) is None:
            return
        number, state, version = case
        self._look(client, f"/cases/{number}")
        if state == "ready":
            self._post(client, number, version, "approve", {"has_letters": "1"})
        elif self._chance.random() < 0.2:
            self._post(client, number, version, "assign", {"assignee": self.name})

    def _case(self) -> tuple[int, str, int] | None:
        order = f"state = 'ready' DESC, (id * 7919 + {self._chance.randrange(101)}) % 101"
        query = f"SELECT id, state, version FROM cases WHERE open ORDER BY {order} LIMIT 8"
        with connected(self._world.url) as connection:
            rows = [(row["id"], row["state"], row["version"]) for row in connection.execute(query)]
        return self._chance.choice(rows) if rows else None

    def _look(self, client: Any, path: str) -> None:
        begun = time.monotonic()
        answer = client.get(path)
        self.deeds.slowest_s = max(self.deeds.slowest_s, time.monotonic() - begun)
        self.deeds.pages += 1
        self._note(f"GET {answer.status_code}", answer)

    def _post(
        self, client: Any, case: int, version: int, action: str, fields: dict[str, str]
    ) -> None:
        from review.access.door import form_token

        data = {"csrf": form_token(self._secret), "version": str(version), **fields}
        if action == "approve":
            self.deeds.unsure.append(case)
        answer = client.post(f"/cases/{case}/{action}", data=data)
        # Of a commit whose answer is lost the page knows no more than anybody: it says 503.
        if action == "approve" and answer.status_code < 500:
            self.deeds.unsure.pop()
            self.deeds.approved += [case] if answer.status_code in (200, 303) else []
        self._note(f"{action} {answer.status_code}", answer)

    def _note(self, what: str, answer: Any) -> None:
        self.deeds.answers[what] += 1
        if answer.status_code in (401, 403):
            self._secret = ""  # signed out: a restored or restarted page may do so
        if answer.status_code >= 500 and answer.status_code != 503:
            self.deeds.broken[what] += 1

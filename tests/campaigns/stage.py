"""A database with as many cases as asked for, and the whole review page served from it.

Everything is as ``fit-triage review`` has it but the reading of mails: what each asks is given.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from casework.scenarios import office, request_from, wording
from store_samples import registry_file

from ingest.limits import UnreadableEmailError
from ingest.parsing import parse
from review.access.door import Door, hashed, new_secret
from review.desk import Desk
from review.serving import review_page
from settings import Settings
from store import Store
from store.accounts import Role, Session
from triage.conversation import Rules, hear
from triage.matter import Thresholds
from triage.records import Authentication, MessageKey, RawMessage

#: A Tuesday; all sessions of the stage are two days later.
NOW: Final = datetime(2025, 11, 4, 10, tzinfo=UTC)
SENDER: Final = "marian@oldroyd.example"

Wrap = Callable[[Any], Any]


def session_of(case: int) -> str:
    return f"HT-{600_000 + case}"


def set_up(store: Store, cases: int) -> None:
    """A registry with a session, and a client of its own, for each of so many cases."""
    lists = ("delegates", "approaches", "issues", "experience", "languages", "places")
    blank: dict[str, Any] = {"open_to_new": "yes", **dict.fromkeys(lists, ())}
    therapist = {
        **blank, "therapist_id": "T-MARIAN", "name": "Marian Oldroyd", "emails": (SENDER,),
    }  # fmt: skip
    other = {
        **blank, "therapist_id": "T-OMAR", "name": "Omar Siddiqui",
        "emails": ("omar@harbour.example",), "approaches": ("emdr", "cbt"), "issues": ("ocd",),
    }  # fmt: skip
    clients = [
        {"client_id": f"C-{n}", "first_name": f"Given{n}", "last_name": f"Family{n}",
         "email": f"c{n}@client.example"}
        for n in range(cases)
    ]  # fmt: skip
    sessions = [
        {"session_id": session_of(n), "therapist_id": "T-MARIAN", "client_id": f"C-{n}",
         "starts_at": NOW + timedelta(days=2), "stage": "initial", "status": "confirmed"}
        for n in range(cases)
    ]  # fmt: skip
    store.import_registry(
        therapists=registry_file([therapist, other]),
        clients=registry_file(clients),
        sessions=registry_file(sessions),
        now=NOW,
    )


def keep(store: Store, mails: Iterable[tuple[int, bytes]]) -> None:
    """Store *mails*, each about the session of its case; the therapist's own are vouched for."""
    rules = Rules(NOW, office(), Thresholds(), wording())
    raws = []
    for uid, (case, content) in enumerate(mails, start=1):
        digest = hashlib.sha256(content).hexdigest()
        raws.append((case, RawMessage(MessageKey("maildir:x", "", 1, uid), NOW, digest, content)))
    store.keep_raw([raw for _, raw in raws])
    with store.batch(now=NOW) as memory:
        for case, raw in raws:
            try:
                email = parse(raw)
            except UnreadableEmailError as error:
                memory.quarantine(raw.key, raw.digest, error.cause, "")
                continue
            if email.sender.email == SENDER:
                vouched = Authentication(passed=True, reason="dmarc=pass")
                email = replace(email, authentication=vouched)
            but = {"session_ids": [session_of(case)], "client_ref": f"Given{case} Family{case}"}
            asked = request_from({"ask": "complete cancellation", "but": but})
            memory.add(raw.key, raw.digest, email, hear(email, [asked], memory, rules))


@dataclass
class Stage:
    """The page at work, and the way in."""

    door: Door
    addresses: Sequence[str]  # one for each server

    @property
    def address(self) -> str:
        return self.addresses[0]

    @property
    def store(self) -> Store:
        return self.door.store

    def secret(self, name: str = "anna", role: Role = "lead") -> str:
        """What the cookie of somebody holds who is signed in as *name*."""
        made, now = new_secret(), self.door.clock()
        session = Session(None, name, role, now + timedelta(hours=12))
        self.store.accounts.start_session(hashed(made), session, now)
        return made


@contextlib.contextmanager
def served(
    stores: Sequence[Store], *, wrap: Wrap = lambda app: app, desk: Any = None
) -> Iterator[Stage]:
    """The page on each of *stores*, which lie on one database, at a port of its own each."""
    doors = [Door(store, clock=lambda: NOW) for store in stores]
    with contextlib.ExitStack() as stack:
        addresses = []
        for door in doors:
            app = review_page(Desk(desk), Settings(), door, ["127.0.0.1"])
            addresses.append(stack.enter_context(serving(wrap(app))))
        yield Stage(doors[0], addresses)


@contextlib.contextmanager
def serving(app: Any) -> Iterator[str]:
    """*app* behind a real server on this machine; gives its address."""
    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0), backlog=200)
    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the review page did not start")
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()

"""A team at the review page: the application as it is served, behind its real guard.

``Team`` has a database with as many cases as a test names, each about a session of its own, and
lets in whoever a test names. The clock stands still until a test moves it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final, Literal

from casework.scenarios import email_from, office, registry, request_from, wording
from starlette.testclient import TestClient
from store_samples import registry_file

from review.access.door import Door, hashed, new_secret
from review.desk import Desk
from review.serving import review_page
from review.web.office import Office
from settings import Settings
from store import CaseRow, Store, open_store
from store.accounts import Role, Session
from triage.conversation import Rules, hear
from triage.matter import Thresholds
from triage.records import Client, MessageKey, RawMessage
from triage.records import Session as Booked

NOW: Final = datetime(2025, 11, 4, 10, tzinfo=UTC)  # a Tuesday
Kind = Literal["ready", "untold", "urgent", "enquiry"]
#: What is changed of a complete cancellation to make a case of each kind.
_BUT: Final[dict[str, dict[str, Any]]] = {
    "ready": {},
    "untold": {"client_notification": "not_informed"},
    "urgent": {"risk": "urgent"},
    "enquiry": {"kind": "enquiry"},
}


@dataclass
class Team:
    """People, their cases, and the clock."""

    store: Store
    kinds: Sequence[Kind]
    now: datetime = NOW
    door: Door = field(init=False)

    def __post_init__(self) -> None:
        self.door = Door(self.store, clock=lambda: self.now)
        self._import()
        for number, kind in enumerate(self.kinds, start=1):
            self.mail(number, kind)
        desk = Desk(SimpleNamespace())  # type: ignore[arg-type] # nothing is read again here
        self.app = review_page(desk, Settings(), self.door, ["testserver"])

    def _import(self) -> None:
        known = registry(known=True)
        mine = [(f"C-{n}", f"HT-40{n:04}") for n, _ in enumerate(self.kinds, start=1)]
        clients = [
            Client(c, f"Name{c[2:]}", "Client", f"{c.lower()}@client.example") for c, _ in mine
        ]
        starts = NOW + timedelta(days=3)
        booked = [Booked(s, "T-MARIAN", c, starts, "initial", "confirmed") for c, s in mine]
        self.store.import_registry(
            therapists=registry_file(map(_row, known.therapists)),
            clients=registry_file(map(_row, clients)),
            sessions=registry_file(map(_row, booked)),
            now=NOW,
        )

    def mail(self, number: int, kind: Kind, *, uid: int = 0) -> None:
        """A mail of the case *number* arrives; the first one opens it."""
        but = {"session_ids": [f"HT-40{number:04}"], "client_ref": f"Name{number} Client"}
        asked = request_from({"ask": "complete cancellation", "but": {**but, **_BUT[kind]}})
        email = email_from({"now": NOW.replace(tzinfo=None)}, {"ask": ""}, uid or number)
        email = replace(email, subject=f"Session {number}", new_text=f"Please cancel {number}.")
        content = f"Message-ID: {email.message_id}\r\n\r\n{number}".encode()
        digest, key = hashlib.sha256(content).hexdigest(), MessageKey("x", "", 1, uid or number)
        self.store.keep_raw([RawMessage(key, NOW, digest, content)])
        with self.store.batch(now=self.now) as memory:
            rules = Rules(self.now, office(), Thresholds(), wording())
            memory.add(key, digest, email, hear(email, [asked], memory, rules))

    def person(self, name: str, role: Role = "staff") -> Somebody:
        """*name* at a browser of their own, signed in."""
        secret = new_secret()
        session = Session(None, name, role, self.now + timedelta(hours=12))
        self.store.accounts.start_session(hashed(secret), session, self.now)
        client = TestClient(self.app, follow_redirects=False, cookies={self.door.cookie: secret})
        return Somebody(self, client)

    @property
    def office(self) -> Office:
        """What the pages work with."""
        return Office(Desk(SimpleNamespace()), self.store, Settings(), lambda: self.now)  # type: ignore[arg-type]

    def case(self, number: int) -> CaseRow:
        story = self.store.case(number)
        assert story
        return story.case


@dataclass
class Somebody:
    """A person at the page."""

    team: Team
    client: TestClient

    def see(self, address: str) -> str:
        answer = self.client.get(address)
        assert answer.status_code == 200, answer.text
        return answer.text

    @property
    def csrf(self) -> str:
        return value("csrf", self.see("/keys"))

    def post(self, address: str, **data: Any) -> Any:
        return self.client.post(address, data={"csrf": self.csrf, **data})


def value(name: str, page: str) -> str:
    """What a hidden field of a page holds."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, name
    return found[1]


def working(url: str, kinds: Sequence[Kind]) -> Iterator[Team]:
    """A team, for a fixture."""
    with open_store(url) as store:
        yield Team(store, kinds)


def _row(known: Any) -> dict[str, Any]:
    fields = {name: getattr(known, name) for name in known.__slots__}
    return {**fields, "open_to_new": "yes" if fields.get("open_to_new") else "no"}

# ruff: noqa: T201 - the figures are what it is for
"""How well sessions are found without their numbers, and what deciding costs.

    python tests/measure_linking.py

The corpora's requests (what staff labelled, not what a model read) are given sessions in a made-up
registry of 50,000, each among its therapist's other clients. Their numbers are then taken away and
the session is linked from client, time and stage alone. Seeded; CPU time, so other work on the
machine does not count.
"""

from __future__ import annotations

import json
import random
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from casework import an_email, shipped_wording  # noqa: E402 - after the path is set

from store import open_store  # noqa: E402
from store.registry import COLUMNS, RegistryFile  # noqa: E402
from triage.cases import merge, which  # noqa: E402
from triage.conversation import Rules, hear  # noqa: E402
from triage.deadlines import OfficeHours  # noqa: E402
from triage.linking import link  # noqa: E402
from triage.matter import Thresholds  # noqa: E402
from triage.policy import decide  # noqa: E402
from triage.records import Client, Email, MessageKey, Request, Session, Therapist  # noqa: E402
from triage.replies import draft_reply  # noqa: E402

LONDON = ZoneInfo("Europe/London")
THERAPISTS, CLIENTS_EACH, WEEKS = 600, 16, range(-3, 2)
FIRST = [
    "Olivia", "Amelia", "Isla", "Ava", "Ivy", "Freya", "Lily", "Florence", "Mia", "Willow",
    "Noah", "Oliver", "George", "Arthur", "Muhammad", "Leo", "Harry", "Oscar", "Archie", "Henry",
    "Sarah", "Emma", "Laura", "Rebecca", "Hannah", "Priya", "Aisha", "Fatima", "Wei", "Chen",
    "Jakub", "Piotr", "Anna", "Maria", "Sofia", "Elena", "Tom", "Jack", "James", "Daniel",
    "David", "Paul", "Mark", "Andrew", "Peter", "Susan", "Karen", "Linda", "Margaret", "Jane",
]  # fmt: skip
LAST = [
    "Smith", "Jones", "Taylor", "Brown", "Williams", "Wilson", "Johnson", "Davies", "Patel",
    "Robinson", "Wright", "Thompson", "Evans", "Walker", "White", "Roberts", "Green", "Hall",
    "Wood", "Jackson", "Clarke", "Khan", "Ali", "Hussain", "Begum", "Singh", "Kaur", "Murphy",
    "Kelly", "Campbell", "Stewart", "Scott", "Young", "Mitchell", "Reed", "Hart", "Nair", "Novak",
    "Kowalski", "Nguyen",
]  # fmt: skip


#: Capitalised, but no name: "The gentleman", "My eight o'clock", "Friday at six".
NAMES_NOBODY = frozenset((
    "The", "My", "A", "An", "Our", "New", "Client", "And", "Monday", "Tuesday", "Wednesday",
    "Thursday", "Friday", "Saturday", "Sunday",
))  # fmt: skip
TITLES = frozenset(("Mr", "Mrs", "Ms", "Miss", "Mx", "Dr"))


@dataclass
class Directory:
    """A ``triage.records.Directory`` in dictionaries."""

    known: bool = True
    by_id: dict[str, Session] = field(default_factory=dict)
    by_therapist: dict[str, list[Session]] = field(default_factory=lambda: defaultdict(list))
    at: dict[str, list[Therapist]] = field(default_factory=dict)
    people: dict[str, Client] = field(default_factory=dict)

    def session(self, session_id: str) -> Session | None:
        return self.by_id.get(session_id)

    def sessions_of(self, therapist_id: str) -> Sequence[Session]:
        return self.by_therapist[therapist_id]

    def therapist(self, therapist_id: str) -> Therapist | None:
        return self.at[f"{therapist_id}@x.example"][0]

    def therapists_at(self, address: str) -> Sequence[Therapist]:
        return self.at.get(address, ())

    def client(self, client_id: str) -> Client | None:
        return self.people.get(client_id)

    def open_therapists(self) -> Sequence[Therapist]:
        return ()

    def unconfirmed(self, therapist_id: str) -> Sequence[datetime]:  # noqa: ARG002 - as asked
        return ()

    @property
    def as_of(self) -> datetime | None:
        return None

    def add(self, session: Session) -> None:
        self.by_id[session.session_id] = session
        self.by_therapist[session.therapist_id].append(session)


@dataclass(frozen=True)
class Asked:
    email: Email
    request: Request
    meant: Session


def registry(chance: random.Random) -> Directory:
    directory, number = Directory(), 300_000
    for owner in (f"T{n}" for n in range(THERAPISTS)):
        address = f"{owner}@x.example"
        directory.at[address] = [Therapist(owner, chance.choice(FIRST), (address,), ())]
        for n in range(CLIENTS_EACH):
            client = f"C{owner}-{n}"
            directory.people[client] = Client(client, chance.choice(FIRST), chance.choice(LAST), "")
            day = datetime(2025, 11, 3, chance.randrange(9, 21), tzinfo=LONDON)
            day += timedelta(days=chance.randrange(7))
            for week in WEEKS:
                number += 1
                stage = "ongoing" if chance.random() < 0.7 else "initial"
                starts_at = day + timedelta(weeks=week)
                directory.add(Session(f"HT-{number}", owner, client, starts_at, stage, "confirmed"))
    return directory


def person_named(reference: str, chance: random.Random) -> tuple[str, str]:
    """A first and last name that a client written as *reference* may have."""
    words = re.findall(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*", re.sub(r"['’]s\b", "", reference))
    words = [word for word in words if word[0].isupper() and word not in NAMES_NOBODY]
    titled = bool(words) and words[0] in TITLES
    words = words[1:] if titled else words

    def in_full(word: str, names: list[str]) -> str:
        if len(word) > 1:
            return word
        return chance.choice([n for n in names if n[0] == word] or [f"{word}arrow"])

    first, last = chance.choice(FIRST), chance.choice(LAST)
    if words and (titled or len(words) > 1):
        last = in_full(words[-1], LAST)
    if words and (not titled or len(words) > 1):
        first = in_full(words[0], FIRST)
    return first, last


def corpus(directory: Directory, chance: random.Random) -> list[Asked]:
    asked = []
    names = {f.name for f in fields(Request)}
    for path in sorted((ROOT / "models" / "corpus").glob("t*.jsonl")):
        for message in map(json.loads, path.read_text("utf-8").splitlines()):
            for labels in message["requests"]:
                if labels["kind"] != "other" and message["role"] != "client":
                    values = {k: v for k, v in labels.items() if k in names}
                    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
                    asked.append(placed(message, Request(**values), len(asked), directory, chance))
    return asked


def placed(
    message: dict[str, str], request: Request, n: int, directory: Directory, chance: random.Random
) -> Asked:
    """The request with its session among those of one of the therapists."""
    owner, client = f"T{n % THERAPISTS}", f"CX{n}"
    directory.people[client] = Client(client, *person_named(request.client_ref or "", chance), "")
    sent = datetime.fromisoformat(message["sent"])
    start = datetime.fromisoformat(request.session_time) if request.session_time else None
    if start is None:
        start = sent.replace(tzinfo=None, minute=0, second=0) + timedelta(days=chance.randrange(9))
    if "T" not in (request.session_time or ""):
        start = start.replace(hour=chance.randrange(9, 21))
    stage = "ongoing" if request.session_stage == "ongoing" else "initial"
    start = start.replace(tzinfo=LONDON)
    meant = Session(f"HT-9{n:05d}", owner, client, start, stage, "confirmed")
    directory.add(meant)
    if stage == "ongoing":
        for week, digit in ((-1, 7), (1, 8)):
            at = start + timedelta(weeks=week)
            directory.add(Session(f"HT-{digit}{n:05d}", owner, client, at, stage, "confirmed"))
    email = an_email(f"{owner}@x.example", sent_at=sent, message_id=f"<{n}@x>")
    return Asked(email, replace(request, session_ids=()), meant)


def linking(asked: list[Asked], directory: Directory) -> None:
    """A referral is right when it is the client's, anything else when it is the very session.

    Linkable is what names its client in some way, initials included, and states a day or time.
    """
    all_linked = all_wrong = all_linkable = all_found = 0
    for about, chosen in (
        ("sessions", [a for a in asked if a.request.kind != "referral"]),
        ("referrals", [a for a in asked if a.request.kind == "referral"]),
    ):
        count: Counter[str] = Counter()
        for ask in chosen:
            facts = link(ask.email, ask.request, directory, None, ask.email.sent_at)
            linkable = names_somebody(ask.request) and bool(ask.request.session_time)
            count["linkable"] += linkable
            count["proposed"] += any(right(ask, p.session_id, directory) for p in facts.proposals)
            if facts.session:
                count["linked"] += 1
                count["linked of the linkable"] += linkable
                count["wrong"] += not right(ask, facts.session.session_id, directory)
        print(f"{about}: {len(chosen)} without a number, {dict(count)}")
        all_linked += count["linked"]
        all_wrong += count["wrong"]
        all_linkable += count["linkable"]
        all_found += count["linked of the linkable"]
    print(
        f"precision {1 - all_wrong / all_linked:.4f} of {all_linked} linked, "
        f"recall {all_found / all_linkable:.3f} of {all_linkable} linkable"
    )


def names_somebody(request: Request) -> bool:
    words = re.findall(r"[^\W\d_]+", re.sub(r"['’]s\b", "", request.client_ref or ""))
    return any(word[0].isupper() and word not in NAMES_NOBODY | TITLES for word in words)


def right(ask: Asked, session_id: str, directory: Directory) -> bool:
    found = directory.by_id[session_id]
    same_client = found.client_id == ask.meant.client_id
    return same_client if ask.request.kind == "referral" else found == ask.meant


def costs(asked: list[Asked], directory: Directory) -> None:
    wording, office = shipped_wording(), OfficeHours()
    spent: Counter[str] = Counter()
    for ask in asked:
        email, now = ask.email, ask.email.sent_at
        marks = [time.process_time()]
        case = which((), email, ask.request, ())
        request = merge(case, ask.request) if case else ask.request
        facts = link(email, request, directory, case, now)
        marks.append(time.process_time())
        decision = decide(email, request, facts, now, office)
        marks.append(time.process_time())
        draft_reply(email, request, facts, decision, wording)
        marks.append(time.process_time())
        for name, begin, end in zip(("link", "decide", "draft"), marks, marks[1:], strict=False):
            spent[name] += end - begin
    each = {name: f"{1000 * seconds / len(asked):.3f} ms" for name, seconds in spent.items()}
    print(f"per message: {each}, together {1000 * sum(spent.values()) / len(asked):.3f} ms")


def through_the_store(asked: list[Asked], directory: Directory, folder: Path) -> None:
    """What joining, linking, deciding and recording cost a message, in batches of 200."""
    address = f"sqlite:///{folder / 'measured.sqlite3'}"
    lists = ("approaches", "issues", "experience", "languages", "places")
    sessions = [{k: getattr(s, k) for k in COLUMNS["sessions"]} for s in directory.by_id.values()]
    therapists = [
        {
            **dict.fromkeys(lists, ""),
            "therapist_id": own.therapist_id,
            "name": own.name,
            "emails": own.emails[0],
            "delegates": "",
            "open_to_new": "no",
        }
        for [own] in directory.at.values()
    ]
    clients = [{k: getattr(c, k) for k in COLUMNS["clients"]} for c in directory.people.values()]
    now = datetime(2025, 11, 20, 10, tzinfo=LONDON)
    rules = Rules(now, OfficeHours(), Thresholds(), shipped_wording())
    with open_store(address) as store:
        files = [RegistryFile("measured", enumerate(r)) for r in (sessions, therapists, clients)]
        begin = time.perf_counter()
        store.import_registry(sessions=files[0], therapists=files[1], clients=files[2], now=now)
        rows = len(sessions) + len(therapists) + len(clients)
        print(f"imported {rows} rows, {rows / (time.perf_counter() - begin):.0f} a second")
        begin = time.process_time()
        for start in range(0, len(asked), 200):
            some = asked[start : start + 200]
            with store.batch(now=now) as memory:
                memory.prefetch([(ask.email, [ask.request]) for ask in some])
                for number, ask in enumerate(some, start + 1):
                    outcomes = hear(ask.email, [ask.request], memory, rules)
                    key = MessageKey("measured", "", 1, number)
                    memory.add(key, str(number), ask.email, outcomes)
        each = 1000 * (time.process_time() - begin) / len(asked)
        print(f"through the store: {each:.2f} ms of processor time a message, all told")


def main() -> None:
    chance = random.Random(7)
    directory = registry(chance)
    asked = corpus(directory, chance)
    print(f"{len(directory.by_id)} sessions, {len(asked)} requests")
    linking(asked, directory)
    costs(asked, directory)
    costs(asked, directory)
    with tempfile.TemporaryDirectory() as folder:
        through_the_store(asked, directory, Path(folder))


if __name__ == "__main__":
    main()

"""Cases through the real store on both databases: every scenario, and threads out of order."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from casework import Handled, an_email
from casework.people import Did, acted_scenarios, play
from casework.scenarios import (
    check,
    clock,
    email_from,
    office,
    registry,
    request_from,
    scenarios,
    wording,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services.postgres import Postgres
from sqlalchemy import text
from store_samples import registry_file

from review import acting
from store import Store, open_store
from triage.conversation import Rules, hear
from triage.deadlines import OfficeHours
from triage.effects import Sending
from triage.matter import Thresholds
from triage.records import Email, MessageKey, Request
from triage.verdicts import Verdict

BEFORE = datetime(2025, 11, 1, tzinfo=UTC)


def import_scenarios(url: str) -> None:
    known = registry(known=True)

    def row(value: object) -> dict[str, Any]:
        fields = {name: getattr(value, name) for name in value.__slots__}
        return {**fields, "open_to_new": "yes" if fields.get("open_to_new") else "no"}

    with open_store(url) as store:
        store.import_registry(
            therapists=registry_file(map(row, known.therapists)),
            clients=registry_file(map(row, known.clients)),
            sessions=registry_file(map(row, known.sessions)),
            now=datetime.now(UTC),
        )


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def fresh(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., str]:
    """Addresses of fresh databases, with the scenarios' registry or without any."""
    numbers = itertools.count()
    if request.param == "sqlite":
        folder = tmp_path_factory.mktemp("cases")
        for name in ("empty", "known"):
            open_store(f"sqlite:///{folder / name}").close()
        import_scenarios(f"sqlite:///{folder / 'known'}")

        def copy(*, known: bool) -> str:
            target = folder / f"{next(numbers)}.sqlite3"
            shutil.copy(folder / ("known" if known else "empty"), target)
            return f"sqlite:///{target}"

        return copy
    server: Postgres = request.getfixturevalue("postgres")
    template = server.database()
    import_scenarios(template)
    name = template.split("@/")[1].split("?")[0]
    return lambda *, known: server._create(name) if known else server.database()


def receive(store: Store, email: Email, asks: Sequence[Request], rules: Rules, number: int) -> None:
    digest = hashlib.sha256(f"{email.message_id} {number}".encode()).hexdigest()
    with store.batch(now=rules.now) as memory:
        memory.prefetch([(email, asks)], [digest])
        if not memory.seen(digest):
            outcomes = hear(email, asks, memory, rules)
            memory.add(MessageKey("maildir:x", "", 1, number), digest, email, outcomes)


def rules_at(now: datetime, hours: OfficeHours) -> Rules:
    return Rules(now, hours, Thresholds(), wording())


@pytest.mark.parametrize("scenario", scenarios())
def test_scenario_through_the_store(scenario: dict[str, Any], fresh: Callable[..., str]) -> None:
    with open_store(fresh(known=scenario.get("registry", True))) as store:
        for number, mail in enumerate(scenario["mail"], start=1):
            email, now = email_from(scenario, mail, number), clock(scenario, mail)

            receive(store, email, [request_from(mail)], rules_at(now, office()), number)

            check(latest(store, email), mail["expect"])


@dataclass(frozen=True)
class OnDatabase:
    """Where a scenario with a person's actions plays: mail and verdicts through the store."""

    store: Store

    def hear(self, scenario: dict[str, Any], mail: dict[str, Any], number: int) -> Handled:
        email, now = email_from(scenario, mail, number), clock(scenario, mail)
        receive(self.store, email, [request_from(mail)], rules_at(now, office()), number)
        return latest(self.store, email)

    def request(self, case_id: int) -> Request:
        return self.store.case(case_id).case.request

    def act(self, verdict: Verdict) -> Did:
        story, rules = self.store.case(verdict.case_id), rules_at(verdict.at, office())
        acted = acting.act(self.store, story, verdict, rules, Sending())
        return self._did(verdict.case_id, acted)

    def undo(self, case_id: int, verdict: Verdict) -> Did:
        acted = acting.undo(self.store, case_id, verdict.by, verdict.at)
        assert acted.refused is None
        return self._did(case_id, acted)

    def _did(self, case_id: int, acted: acting.Acted) -> Did:
        decision = self.store.case(case_id).case.decision
        return Did(decision.state, decision, acted.outgoing, acted.remarks, acted.refused)


@pytest.mark.parametrize("scenario", acted_scenarios())
def test_what_people_do_through_the_store(
    scenario: dict[str, Any], fresh: Callable[..., str]
) -> None:
    with open_store(fresh(known=scenario.get("registry", True))) as store:
        play(OnDatabase(store), scenario)

        assert store.first_broken_audit_row() is None


def latest(store: Store, email: Email) -> Handled:
    """What the store tells of the case that a mail ended in."""
    rows = [*store.queue(include_closed=True), *store.queue(queue="general", include_closed=True)]
    found = max(
        (row for row in rows if email.message_id in row.message_ids),
        key=lambda row: (row.changed_at, row.case_id),
    )
    session = SimpleNamespace(session_id=found.session_id) if found.session_id else None
    joined = len(found.message_ids) > 1
    facts: Any = SimpleNamespace(session=session, proposals=found.proposals)
    return Handled(found.case_id, joined, found.request, facts, found.decision)


# --- threads that come out of order ---------------------------------------------------------------

NOW = datetime(2025, 11, 5, 9, tzinfo=UTC)
TOLD = Request("update", client_notification="discussed")
WORDS = (
    TOLD,
    Request("update", client_notification="not_informed"),
    Request("withdrawal"),
    Request("update", client_ref="Sarah", presenting_issues=("ocd",)),
    Request("enquiry", client_ref="Imogen"),
    Request("other"),
)


def therapist(n: int) -> dict[str, str]:
    lists = dict.fromkeys(("approaches", "issues", "experience", "languages", "places"), "")
    who = {"therapist_id": f"T{n}", "name": f"Therapist {n}", "emails": f"t{n}@x.example"}
    return {**who, "delegates": f"d{n}@x.example", **lists, "open_to_new": "no"}


def session(n: int, number: int, client: str) -> dict[str, str]:
    who = {"session_id": f"HT-{n}{number}", "therapist_id": f"T{n}", "client_id": client}
    return {**who, "starts_at": "2025-11-07T18:00", "stage": "initial", "status": "confirmed"}


@st.composite
def threads(draw: st.DrawFn) -> list[tuple[int, int, bool]]:
    """What each mail says, which one it answers, and whether a delegate wrote it."""
    size = draw(st.integers(2, 6))
    said = [(draw(st.integers(-2, len(WORDS) - 1)), draw(st.integers(0, n))) for n in range(size)]
    return [(words, answers, draw(st.booleans())) for words, answers in said]


def mails(thread: list[tuple[int, int, bool]], n: int) -> list[tuple[Email, Request]]:
    def ask(number: int, client: str) -> Request:
        needs = {"presenting_issues": ("ocd",), "required_approaches": ("erp",)}
        why = {"fit_reasons": ("approach_mismatch",), "client_ref": client}
        return Request("cancellation", session_ids=(f"HT-{n}{number}",), **needs, **why)

    asks = {-2: ask(1, "Imogen"), -1: ask(2, "Sarah")}
    return [
        (
            an_email(
                f"{'d' if delegate else 't'}{n}@x.example",
                message_id=f"<{n}-{number}@x>",
                in_reply_to=f"<{n}-{answers}@x>" if answers else "",
                sent_at=NOW - timedelta(hours=20 - number),
            ),
            asks[words] if words < 0 else WORDS[words],
        )
        for number, (words, answers, delegate) in enumerate(thread, start=1)
    ]


def ends(store: Store, n: int) -> list[object]:
    rows = [*store.queue(include_closed=True), *store.queue(queue="general", include_closed=True)]
    return sorted(
        (
            tuple(m.replace(f"<{n}-", "<") for m in row.message_ids),
            row.decision.state,
            row.decision.blockers,
            row.request.kind,
            row.session_id.replace(f"HT-{n}", "HT-"),
            row.request.client_notification,
        )
        for row in rows
        if row.message_ids[0].startswith(f"<{n}-")
        and not any(reason.startswith("Part of case") for reason in row.decision.reasons)
    )


@pytest.fixture(scope="module")
def crowded(fresh: Callable[..., str]) -> Iterator[Store]:
    """A store with a registry of therapists who each have one client Imogen and one Sarah."""
    people = [
        {"client_id": f"C{i}", "first_name": name, "last_name": "Hart", "email": ""}
        for i, name in enumerate(("Imogen", "Sarah"), start=1)
    ]
    booked = [session(n, i, f"C{i}") for n in range(400) for i in (1, 2)]
    with open_store(fresh(known=False)) as store:
        store.import_registry(
            therapists=registry_file(map(therapist, range(400))),
            clients=registry_file(people),
            sessions=registry_file(booked),
            now=NOW,
        )
        yield store


NUMBERS = itertools.count()


@given(threads(), st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_order_of_arrival_never_changes_where_a_thread_ends(
    crowded: Store, thread: list[tuple[int, int, bool]], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(thread))))
    rules, one, other = rules_at(NOW, OfficeHours()), next(NUMBERS), next(NUMBERS)

    for n, arrival in ((one, range(len(thread))), (other, order)):
        written = mails(thread, n % 400)
        for number in arrival:
            receive(crowded, written[number][0], [written[number][1]], rules, 10 * n + number + 1)

    assert ends(crowded, other % 400) == ends(crowded, one % 400)


def test_a_replay_of_the_same_mail_changes_nothing(crowded: Store) -> None:
    rules, n = rules_at(NOW, OfficeHours()), 399
    written = mails([(-2, 0, False), (0, 1, False)], n)
    for number, (email, ask) in enumerate(written):
        receive(crowded, email, [ask], rules, 900_000 + number)
    before = ends(crowded, n), crowded.counts()

    for number, (email, ask) in enumerate(written):
        receive(crowded, email, [ask], rules, 900_000 + number)

    assert (ends(crowded, n), crowded.counts()) == before


def test_cases_recorded_by_the_first_version_take_in_late_mail_too(crowded: Store) -> None:
    rules, n = rules_at(NOW, OfficeHours()), 398
    (ask, asked), (told, said) = mails([(-2, 0, False), (0, 1, False)], n)
    receive(crowded, told, [said], rules, 800_001)
    with crowded._database.writing() as connection:
        rows = connection.execute(text("SELECT id, request FROM decisions")).all()
        for number, stored in rows:
            plain = {
                k: v for k, v in json.loads(stored).items() if k not in {"ask", "asks", "said"}
            }
            change = text("UPDATE decisions SET request = :request WHERE id = :id")
            connection.execute(change, {"id": number, "request": json.dumps(plain)})

    receive(crowded, ask, [asked], rules, 800_002)

    [(message_ids, state, *_)] = ends(crowded, n)
    assert message_ids == ("<1@x>", "<2@x>")
    assert state == "ready"

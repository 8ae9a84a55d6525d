"""The page of shadow readings: what each role sees of it, its filters, verdicts and tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from guard_standing_in import Guard, Person
from histories import History, case, decision, message
from shadow_samples import NAME, SESSION, WORDS, lay_shadows
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from review.access.walls import walled
from review.desk import Desk
from review.web.app import web_app
from settings import Settings
from store import RefusedError, Store, open_store

NOW = datetime(2025, 11, 4, 10, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'page.sqlite3'}") as opened:
        yield opened


@pytest.fixture
def shadowed(store: Store) -> Store:
    return filled(store)


@pytest.fixture
def on_both(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened:
        yield filled(opened)


def filled(store: Store) -> Store:
    """Ten messages that reader@1 has read, nine of them read by a candidate as well."""
    told = History()
    for n in range(1, 11):
        at = NOW - timedelta(days=n)
        told.messages.append(message(n, at, "cancellation"))
        told.decisions.append(decision(n, n, n, at, "reader@1"))
        told.cases.append(case(n, at, "cancellation", "ready", f"HT-{n}", n))
    told.lay_down(store)
    lay_shadows(store, NOW, "reader@1")
    return store


class Visitor:
    """Somebody at the page, with the rights of *role*."""

    def __init__(self, store: Store, name: str = "lea", role: str = "lead") -> None:
        app = web_app(
            Desk(SimpleNamespace()),  # type: ignore[arg-type]
            store,
            Settings(),
            guard=[Middleware(Guard, person=Person(name, role))],
            clock=lambda: NOW,
        )
        self.client = TestClient(walled(app, hosts=["testserver"]), follow_redirects=False)

    def see(self, address: str = "/shadow", status: int = 200) -> str:
        answer = self.client.get(address)
        assert answer.status_code == status, answer.text
        return answer.text

    def says(self, reading: object, words: str = "", **sides: str) -> Any:
        token = self.see().split('name="csrf" value="', 1)[1].split('"', 1)[0]
        form = {f"side.{name.replace('__', '.')}": side for name, side in sides.items()}
        form |= {"csrf": token, "reading": str(reading), "words": words}
        return self.client.post("/shadow", data={**form, "back": "field=risk&x=//evil&page=2"})

    def rows(self, table: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.see(f"/shadow/{table}.csv")[1:])))


def readings(store: Store) -> dict[int, Any]:
    """By message, every stored reading."""
    [candidate] = store.shadows.candidates()
    return {one.read.message_id: one for one in store.shadows.readings(candidate.id)}


def test_the_costliest_disagreement_stands_first_and_agreement_is_not_listed(
    shadowed: Store,
) -> None:
    page = Visitor(shadowed).see()

    order = [page.index(f">Message {n} ") for n in (3, 4, 5, 6, 7, 9, 8)]
    assert order == sorted(order)
    assert "Message 10 " not in page  # read alike
    assert "Message 2 " not in page  # the candidate failed on it
    assert "Client taken as told by the candidate alone" in page
    assert WORDS in page
    assert 'href="/cases/3"' in page


def test_the_data_team_sees_codes_and_nobodys_words(shadowed: Store) -> None:
    lead, data = Visitor(shadowed), Visitor(shadowed, "dan", "data")
    [one] = [r for r in readings(shadowed).values() if r.read.message_id == 3]
    lead.says(one.id, words="Zoe told me so", client_notification__0="champion")

    page = data.see() + data.see("/shadow/disagreements.csv") + lead.see("/shadow/fields.csv")

    assert "Told, and the reasons discussed" in page
    assert "not shown" in page
    for secret in (WORDS, NAME, SESSION, "Zoe told", "lea", "/cases/", 'type="radio"'):
        assert secret not in page, secret


def test_the_list_is_narrowed_by_field_by_cost_and_to_what_nobody_has_judged(
    on_both: Store,
) -> None:
    lead = Visitor(on_both)

    assert "Message 8 " in lead.see("/shadow?field=client_ref")
    assert "Message 3 " not in lead.see("/shadow?field=client_ref")
    assert "Message 5 " in lead.see("/shadow?cost=urgent_unseen")
    assert "Message 4 " not in lead.see("/shadow?cost=urgent_unseen")
    lead.says(readings(on_both)[5].id, risk__0="champion")
    assert "Message 5 " not in lead.see("/shadow?cost=urgent_unseen&open=1")
    lead.see("/shadow?field=nonsense", 400)
    lead.see("/shadow?cost=nonsense", 400)
    lead.see("/shadow?candidate=999", 404)
    lead.see("/shadow/nonsense.csv", 404)
    assert "Nothing fits" in lead.see("/shadow?page=999")


def test_a_verdict_is_kept_with_who_and_when_and_is_on_the_audit_trail(shadowed: Store) -> None:
    number = readings(shadowed)[5].id

    answer = Visitor(shadowed).says(number, words="She fears for her life", risk__0="champion")

    assert answer.status_code == 303
    assert answer.headers["location"] == "/shadow?field=risk&page=2"
    [said] = readings(shadowed)[5].verdicts
    assert (said.field, said.ask, said.side, said.by, said.at) == (
        "risk",
        0,
        "champion",
        "lea",
        NOW,
    )
    story = shadowed.case(5)
    assert story is not None
    [event] = [one for one in story.audit if one.event == "shadow_judged"]
    assert "fears" not in str(event.detail)
    assert shadowed.first_broken_audit_row() is None


def test_the_same_word_twice_is_one_and_another_word_stands_in_its_place(on_both: Store) -> None:
    number = readings(on_both)[5].id
    for side in ("champion", "champion", "neither"):
        Visitor(on_both).says(number, risk__0=side)
    Visitor(on_both, "ola").says(number, risk__0="neither")  # as the form came, nothing new

    found = readings(on_both)[5]

    assert [one.side for one in found.verdicts] == ["champion", "neither"]
    assert found.verdict(found.read.differences[0]).side == "neither"


def test_what_is_no_answer_is_not_put_on_record(shadowed: Store) -> None:
    number, lead = readings(shadowed)[5].id, Visitor(shadowed)
    one_mind, wrong = {"queue__0": "champion"}, {"nonsense__0": "champion"}

    answers = [
        lead.says(number, **sides).status_code
        for sides in ({}, one_mind, {"risk__1": "champion"}, {"risk__0": "both"}, wrong)
    ]

    assert answers == [409, 409, 409, 400, 400]
    assert readings(shadowed)[5].verdicts == ()


def test_a_verdict_on_what_is_gone_says_so(shadowed: Store) -> None:
    assert Visitor(shadowed).says(10**6, risk__0="champion").status_code == 409
    assert Visitor(shadowed).says("x", risk__0="champion").status_code == 400
    with pytest.raises(RefusedError, match="no such reading"):
        shadowed.shadows.judge(10**6, {("risk", 0): "champion"}, "lea", NOW)


def test_the_tables_hold_the_figures_of_the_page(on_both: Store) -> None:
    lead = Visitor(on_both)

    by_field = {row["Field"]: row["Differ"] for row in lead.rows("fields")}
    by_cost = [int(row["Messages"]) for row in lead.rows("costs")]
    weeks = lead.rows("weeks")

    assert {name: n for name, n in by_field.items() if n != "0"} == {
        "Client told?": "2", "Risk": "1", "Queue": "1", "State": "1", "What is asked": "1",
        "Session numbers": "1", "Client, as named": "1", "Reasons": "1",
    }  # fmt: skip
    assert by_cost == [1, 1, 1, 0, 1, 1, 2]
    assert sum(int(row["Read by both"]) for row in weeks) == 8
    assert sum(int(row["Candidate failed"]) for row in weeks) == 1
    assert len(lead.rows("disagreements")) == 9


def test_before_any_candidate_the_page_says_how_to_have_one(store: Store) -> None:
    assert "models shadow" in Visitor(store).see()
    Visitor(store).see("/shadow/fields.csv", 404)


def test_a_candidate_that_is_refused_is_said_on_the_page(shadowed: Store) -> None:
    shadowed.shadows.candidate("later", "", NOW + timedelta(hours=1), "refused")

    page = Visitor(shadowed).see()

    assert "The latest try of <bdi>later</bdi> failed" in page
    assert "Candidate <select" in page

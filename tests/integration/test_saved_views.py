"""Filters on the page, chips, and the views that people keep, on both databases."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from guard_standing_in import Guard, Person
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from store_samples import CLIENTS, NOW, THERAPISTS, email, key, outcome, registry_file, session

from review.desk import Desk
from review.web.app import web_app
from settings import Settings
from store import Store, open_store


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened:
        opened.import_registry(
            therapists=registry_file(THERAPISTS),
            clients=registry_file(CLIENTS),
            sessions=registry_file([session()]),
            now=NOW,
        )
        with opened.batch(now=NOW) as batch:
            batch.add(key(1), "d1", email(1), [outcome()])
            batch.add(key(2), "d2", email(2), [outcome(state="ready", blockers=())])
        yield opened


def at_page(store: Store, name: str = "anna", role: str = "staff") -> TestClient:
    guard = [Middleware(Guard, person=Person(name, role))]
    app = web_app(Desk(None), store, Settings(), guard=guard, clock=lambda: NOW)  # type: ignore[arg-type]
    return TestClient(app, follow_redirects=False)


def post(client: TestClient, address: str, **fields: str) -> str:
    """Post a form; where it leads to."""
    token = re.search(r'name="csrf" value="([^"]*)"', client.get("/queues").text)
    assert token
    answer = client.post(address, data={"csrf": token[1], **fields})
    return answer.headers.get("location", "") or f"{answer.status_code} {answer.text}"


def listed(page: str) -> list[str]:
    return re.findall(r'href="/cases/(\d+)"', page.partition('id="list-title"')[2])


def test_a_therapist_is_chosen_by_name_and_the_address_holds_the_id(store: Store) -> None:
    anna = at_page(store)

    there = post(anna, "/queues/filter", therapist_typed="ana", state="check", therapist="")

    assert there == "/queues?state=check&therapist=T1"
    assert "Therapist: Ana Reid" in anna.get(there).text


def test_a_name_that_fits_several_or_none_is_asked_back(store: Store) -> None:
    anna = at_page(store)
    store.import_registry(
        therapists=registry_file([{**row, "name": f"Ana {n}"} for n, row in enumerate(THERAPISTS)]),
        now=NOW,
    )

    several = post(anna, "/queues/filter", therapist_typed="Ana", queue="referral")
    none = post(anna, "/queues/filter", therapist_typed="Zebra")

    assert "/queues?queue=referral&amp;therapist=T2" in several
    assert "knows no therapist" in none


def test_each_filter_that_is_on_can_be_taken_away_by_itself(store: Store) -> None:
    shown = at_page(store).get("/queues?queue=cancellation&state=ready&confidence=high").text

    assert listed(shown) == ["2"]
    assert (
        'class="chip" href="/queues?queue=cancellation&amp;confidence=high">State: Ready' in shown
    )
    assert 'href="/queues?queue=cancellation&amp;state=ready">Kind over 90% sure' in shown


def test_mine_nobodys_and_a_colleagues_cases_can_be_told_apart(store: Store) -> None:
    anna = at_page(store)
    page = anna.get("/cases/1").text
    fields = dict(re.findall(r'name="(csrf|version)" value="([^"]*)"', page))
    anna.post("/cases/1/assign", data={**fields, "assignee": "anna"})

    assert listed(anna.get("/queues?assignee=@me").text) == ["1"]
    assert listed(anna.get("/queues?assignee=@nobody").text) == ["2"]
    assert listed(at_page(store, "bert").get("/queues?assignee=anna").text) == ["1"]
    assert listed(at_page(store, "bert").get("/queues?assignee=@me").text) == []


@pytest.mark.parametrize(
    "asked",
    ["due=nan", "due=x", "due=-1", "confidence=x", "state=x", "after=1_2", "after=0_1_9e9_",
     "after=0_1_99999999999999999999_", "after=0_1_1_2025-01-01"],
)  # fmt: skip
def test_a_filter_that_is_none_is_refused(store: Store, asked: str) -> None:
    assert at_page(store).get(f"/queues?{asked}").status_code == 400


def test_a_view_is_kept_listed_with_its_count_and_deleted_by_its_owner(store: Store) -> None:
    anna, bert = at_page(store), at_page(store, "bert")

    there = post(anna, "/views", name="Ready <ones>", state="ready", shared="1")

    assert there == "/queues?state=ready"
    [view] = store.views.of("anna")
    assert (view.filters, view.is_shared) == ({"state": "ready"}, False)
    page = anna.get(there).text
    assert re.search(
        r'aria-current="page"><bdi>Ready &lt;ones&gt;</bdi></a> <span class="count">1', page
    )
    assert "Ready &lt;ones&gt;" not in bert.get("/queues").text

    assert post(bert, f"/views/{view.id}/delete").startswith("404")
    assert post(anna, f"/views/{view.id}/delete") == "/queues"
    assert store.views.of("anna") == []


def test_a_lead_shares_a_view_with_the_team(store: Store) -> None:
    lead = at_page(store, "lena", "lead")

    post(lead, "/views", name="Unsure", confidence="low", shared="1")

    page = at_page(store).get("/queues").text
    assert "Unsure" in page
    assert "/delete" not in page


def test_a_view_of_the_same_name_is_replaced_and_there_is_an_end_to_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.views.MOST_VIEWS", 4)
    anna = at_page(store)
    for number in range(5):
        post(anna, "/views", name=f"View {number}", due="8")
    post(anna, "/views", name="View 3", state="check")

    kept = {view.name: dict(view.filters) for view in store.views.of("anna")}

    assert len(kept) == 4
    assert kept["View 3"] == {"state": "check"}


@pytest.mark.parametrize("fields", [{"name": " "}, {"name": "x", "state": "nonsense"}])
def test_a_view_without_a_name_or_of_an_unknown_filter_is_refused(
    store: Store, fields: dict[str, str]
) -> None:
    assert post(at_page(store), "/views", **fields).startswith("400")
    assert store.views.of("anna") == []


def test_the_case_whose_number_is_typed_stands_above_what_is_found(store: Store) -> None:
    anna = at_page(store)

    shown = post(anna, "/search", words="#2")

    assert shown.index("The case of that number") < shown.index('href="/cases/2"')
    assert "The case of that number" not in post(anna, "/search", words="99")

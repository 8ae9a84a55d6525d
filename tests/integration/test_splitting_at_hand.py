"""Splitting and merging as they are typed and clicked, by several at once, and what is learned."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from casework.splitting import IMOGEN, NOW, SARAH, TOLD, UNTOLD, WHY, StandIn, Team, filled
from click.testing import Result
from guard_standing_in import Guard, Person
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from typer.testing import CliRunner

from models.feedback import collect
from models.frames import stored_frame
from models.reading import load_reader
from review import splitting
from review.access.walls import walled
from review.commands import app
from review.desk import Desk
from review.learning import stored_cases
from review.web.app import web_app
from settings import Settings
from store import open_store
from triage.verdicts import Correction

MAIL = (IMOGEN, TOLD, WHY, SARAH)
SARAHS = 5


@pytest.fixture
def team(store_url: str) -> Iterator[Team]:
    with open_store(store_url) as store:
        yield Team(filled(store))


# --- typed ---------------------------------------------------------------------------------------

Typed = Callable[..., Result]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Types a command at a store with the mail of two clients and one that names nobody."""
    url = f"sqlite:///{tmp_path / 'cases.sqlite3'}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", url)
    monkeypatch.setattr(splitting, "reader_of", lambda _: StandIn())
    with open_store(url) as store:
        team = Team(filled(store))
        team.mail(*MAIL)
        team.mail(TOLD)

    def run(*arguments: str) -> Result:
        told = ["case", *arguments, "--now", NOW.isoformat()]
        return CliRunner().invoke(app, told, obj=Desk(SimpleNamespace()))  # type: ignore[arg-type]

    return run


def test_sentences_are_listed_with_the_numbers_that_splitting_takes(typed: Typed) -> None:
    plain = typed("sentences", "1")
    rows = json.loads(typed("sentences", "1", "--json").stdout)

    assert plain.exit_code == 0, plain.exception
    assert f"   5  {SARAH}" in plain.stdout
    assert "1 (subject)  My clients" in plain.stdout
    assert [one["number"] for one in rows["messages"][0]["sentences"]] == [1, 2, 3, 4, 5]


def test_a_case_is_split_and_put_together_again_by_command(typed: Typed) -> None:
    made = typed("split", "1", "--sentences", "5", "--by", "anna", "--version", "1", "--json")
    after = typed("sentences", "1")
    back = typed("undo", "1", "--by", "anna")

    assert made.exit_code == 0, made.stderr
    told = json.loads(made.stdout)
    assert (told["cases"], told["version"], told["refused"]) == ([3], 2, None)
    assert SARAH not in after.stdout
    assert "anna: split (sentences 5: case 3)" in typed("show", "1").stdout
    assert back.exit_code == 0, back.stderr
    assert SARAH in typed("sentences", "1").stdout


def test_two_cases_are_merged_by_command(typed: Typed) -> None:
    made = typed("merge", "2", "--into", "1", "--by", "anna")

    assert made.exit_code == 0, made.stderr
    assert "The mails are in case 1 now." in made.stdout
    assert "anna: merge (case 2 into this one)" in typed("show", "1").stdout
    assert "anna: merge (into case 1)" in typed("show", "2").stdout
    again = typed("reopen", "2", "--by", "anna")
    assert again.exit_code == 2
    assert "refused (part_of): it went into case 1" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("split", "1", "--sentences", "9"), "refused (sentences)"),
        (("split", "1", "--sentences", "2,3,4,5"), "nothing would be left"),
        (("split", "1", "--sentences", "five"), "give numbers, such as 3,4"),
        (("merge", "1", "--into", "1"), "a case cannot go into itself"),
        (("merge", "1", "--into", "9"), "there is no case 9"),
        (("split", "1", "--sentences", "5", "--version", "7"), "refused (version)"),
    ],
)
def test_what_cannot_be_split_or_merged_is_refused_with_what_can(
    typed: Typed, arguments: tuple[str, ...], says: str
) -> None:
    tried = typed(*arguments, "--by", "anna")

    assert tried.exit_code != 0
    assert says in f"{tried.stderr}{tried.exception}"


# --- clicked -------------------------------------------------------------------------------------


class Page:
    """A person at the page."""

    def __init__(self, team: Team, name: str = "anna") -> None:
        guard = [Middleware(Guard, person=Person(name, "staff"))]
        desk = Desk(SimpleNamespace())  # type: ignore[arg-type]
        made = web_app(desk, team.store, Settings(), guard=guard, clock=lambda: NOW)
        self.client = TestClient(walled(made, hosts=["testserver"]), follow_redirects=False)

    def see(self, address: str) -> str:
        answer = self.client.get(address, follow_redirects=True)
        assert answer.status_code == 200, answer.text[:500]
        return html.unescape(answer.text)

    def form(self, case: int) -> dict[str, str]:
        page = self.see(f"/cases/{case}")
        found = {n: re.search(rf'name="{n}" value="([^"]*)"', page) for n in ("csrf", "version")}
        return {name: match[1] for name, match in found.items() if match}


@pytest.fixture
def page(team: Team, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.setattr(splitting, "reader_of", lambda _: StandIn())
    return Page(team)


def test_sentences_are_ticked_on_the_page_of_the_case(team: Team, page: Page) -> None:
    [first] = team.mail(*MAIL)
    shown = page.see(f"/cases/{first}")
    message = re.search(r'name="message" value="(\d+)"', shown)
    assert message
    assert f"<bdi>{SARAH}</bdi>" in shown

    form = page.form(first)
    ticked = {**form, "message": message[1], "sentence": "5"}
    answers = [page.client.post(f"/cases/{first}/split", data=ticked) for _ in range(2)]

    assert [(one.status_code, one.headers["location"]) for one in answers] == [
        (303, f"/cases/{first}?done=split")
    ] * 2
    after = page.see(f"/cases/{first}?done=split")
    assert "The other ask is a case of its own." in after
    assert f'<a href="/cases/{first + 1}">case {first + 1}</a>' in after
    assert len(team.store.queue(include_closed=True)) == 2


def test_a_case_that_went_into_another_leads_there(team: Team, page: Page) -> None:
    [first] = team.mail(IMOGEN, WHY)
    [second] = team.mail(TOLD)
    shown = page.see(f"/cases/{second}")
    assert f'<option value="{first}:1">' in shown

    into = {**page.form(second), "into": f"{first}:1"}
    done = page.client.post(f"/cases/{second}/merge", data=into)
    there = page.client.get(f"/cases/{second}")

    assert (done.status_code, done.headers["location"]) == (303, f"/cases/{first}?done=merge")
    assert (there.status_code, there.headers["location"]) == (303, f"/cases/{first}")
    form = page.form(first)
    assert page.client.post(f"/cases/{first}/undo", data=form).status_code == 303
    assert page.client.get(f"/cases/{second}").status_code == 200


def test_a_form_that_ticks_or_names_nothing_is_told_what_to_do(team: Team, page: Page) -> None:
    [first] = team.mail(*MAIL)
    form = page.form(first)

    for action, fields in (
        ("split", {"message": "x"}),
        ("split", {"message": "1"}),
        ("split", {"message": "1", "sentence": "five"}),
        ("merge", {"number": "ten"}),
        ("merge", {}),
    ):
        answer = page.client.post(f"/cases/{first}/{action}", data={**form, **fields})
        assert answer.status_code == 422, (action, fields)


def test_a_form_of_a_case_that_changed_since_splits_nothing(team: Team, page: Page) -> None:
    [first] = team.mail(*MAIL)
    stale = {**page.form(first), "message": "1", "sentence": "5"}
    team.act(first, "assign", details={"assignee": "tom"})

    answer = page.client.post(f"/cases/{first}/split", data=stale)

    assert answer.status_code == 409
    assert "mari" in answer.text


# --- several at once -----------------------------------------------------------------------------


def test_of_many_who_split_or_merge_at_once_one_does(team: Team) -> None:
    [first] = team.mail(*MAIL)
    [second] = team.mail(TOLD)

    def one(number: int) -> bool:
        by = f"p{number}"
        if number % 2:
            return not team.split(first, SARAHS, by=by, version=1).refused
        return not team.merge(second, first, by=by, version=1, into_version=1).refused

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(one, range(16)))

    assert sum(done) == 1
    assert team.case(first).version == 2
    assert team.store.first_broken_audit_row() is None


def test_two_cases_of_one_mail_split_at_once_get_asks_of_their_own(team: Team) -> None:
    [first] = team.mail(*MAIL, WHY.replace("OCD", "it"), "And one more thing.")
    [second] = team.split(first, SARAHS, 7).cases

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda c: team.split(*c), [(first, 4), (second, 7)]))

    assert not any(one.refused for one in done), done
    places = [place for row in team.store.queue(include_closed=True) for place in _asks(team, row)]
    places += [p for row in team.store.queue(queue="general") for p in _asks(team, row)]
    assert len(places) == len({*places})


def _asks(team: Team, row: Any) -> list[tuple[int, int]]:
    told = team.store.told(row.case_id)
    assert told
    return list(told.case.asks)


# --- learned -------------------------------------------------------------------------------------


def test_what_was_settled_before_a_split_is_not_learned(team: Team) -> None:
    [first] = team.mail(*MAIL)
    team.act(first, "correct", Correction("session_stage", "unknown", "initial"))
    team.split(first, SARAHS)

    found = collect(stored_cases(team.store))

    assert found.rows == ()
    assert sum(found.left_out.values()) == 2


def test_a_mail_whose_cases_are_settled_after_the_split_teaches_two_asks(team: Team) -> None:
    [first] = team.mail(*MAIL)
    [second] = team.split(first, SARAHS).cases
    for case in (first, second):
        team.act(case, "correct", Correction("session_stage", "unknown", "initial"))

    [row] = collect(stored_cases(team.store)).rows

    one, two = row.example.requests
    assert (one.session_ids, one.client_notification) == (("HT-218834",), "discussed")
    assert (two.session_ids, two.client_notification) == (("HT-210002",), "unknown")
    assert two.fit_reasons == ("no_progress",)


def test_a_field_put_more_carefully_than_its_words_teaches_nothing(team: Team) -> None:
    [first] = team.mail(IMOGEN, WHY, UNTOLD, TOLD)
    [second] = team.split(first, 4).cases
    assert team.case(first).request.client_notification == "not_informed"
    right = Correction("session_stage", "unknown", "initial")
    assert not any(team.act(case, "correct", right).refused for case in (first, second))

    found = collect(stored_cases(team.store))

    assert found.left_out == {"told the careful way after a split or merge": 2}


def test_a_case_that_went_into_another_is_no_row_of_its_own(team: Team) -> None:
    [first] = team.mail(IMOGEN, TOLD, WHY)
    [second] = team.mail(TOLD)
    team.act(second, "correct")
    team.merge(second, first)

    found = collect(stored_cases(team.store))

    assert found.rows == ()
    assert found.left_out == {"nobody has settled it": 1}


def test_the_frame_says_where_a_person_cut_and_under_a_pseudonym_who(team: Team) -> None:
    [first] = team.mail(*MAIL)
    [second] = team.split(first, SARAHS).cases

    rows = stored_frame(stored_cases(team.store)).set_index("case")

    assert rows.loc[first, "grouping"] == "split"
    assert rows.loc[first, "grouping.sentences"] == "5"
    assert rows.loc[first, "grouping.cases"] == str(second)
    assert "mari" not in rows.to_csv()


def test_after_an_undone_split_the_reading_that_counts_is_the_first_one(team: Team) -> None:
    [first] = team.mail(*MAIL)
    team.split(first, SARAHS)
    team.undo(first)

    case = next(one for one in stored_cases(team.store) if one.case_id == first)

    assert case.read == case.request
    assert case.reader_version == "1"


# --- the released reader -------------------------------------------------------------------------


def test_the_released_reader_reads_the_part_as_a_mail_of_its_own(team: Team) -> None:
    team.reader = load_reader(fast=True)
    [first] = team.mail(
        "Please cancel Imogen Hart's session HT-218834.",
        "I have told her and we talked through why: she has OCD and needs ERP.",
        "Sarah Malik too, plateaued since xmas, HT-210002 and HT-210003.",
    )
    assert len(team.store.queue()) == 1

    done = team.split(first, 4)

    assert not done.refused, done.refused
    [second] = done.cases
    assert team.case(second).request.session_ids == ("HT-210002", "HT-210003")
    assert team.case(second).request.fit_reasons == ("no_progress",)
    assert team.case(first).request.session_ids == ("HT-218834",)
    assert "no_progress" not in team.case(first).request.fit_reasons
    assert "client_not_told" in team.case(second).decision.blockers

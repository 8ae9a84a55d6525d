"""Two people on one case see each other, on both databases and on any server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from team_at_work import Somebody, Team, working

from store.presence import FORGET_AFTER


@pytest.fixture
def team(store_url: str) -> Iterator[Team]:
    yield from working(store_url, ["ready", "untold"])


def data(page: str, name: str) -> str:
    found = re.search(rf'data-{name}="([^"]*)"', page)
    assert found, name
    return found[1]


class Window:
    """A page of a case, as its script speaks for it."""

    def __init__(self, who: Somebody, case: int) -> None:
        self.who, self.case = who, case
        self.page = who.see(f"/cases/{case}")
        self.form = {
            "csrf": data(self.page, "csrf"),
            "visit": data(self.page, "visit"),
            "version": data(self.page, "version"),
        }

    def says(self, **more: str) -> Any:
        answer = self.who.client.post(
            f"/cases/{self.case}/presence", data={**self.form, "writing": "", **more}
        )
        assert answer.status_code in {200, 204}, answer.text
        return answer.json() if answer.status_code == 200 else None

    def closes(self) -> None:
        self.says(left="1")


def test_whoever_opens_a_case_sees_who_is_there_since_when_and_whether_they_write(
    team: Team,
) -> None:
    ben = Window(team.person("ben"), 1)
    team.now += timedelta(minutes=1)
    ben.says(writing="letter")

    ana = Window(team.person("ana"), 1)

    assert "ben is writing a letter here, since 10:00." in ana.page
    assert ben.says(writing="letter")["people"] == ["ana is looking at this case, since 10:01."]
    assert "is looking" not in Window(team.person("cleo"), 2).page


def test_the_queue_says_who_is_at_which_case(team: Team) -> None:
    Window(team.person("ben"), 1).says(writing="words")
    ana = team.person("ana")

    listed = ana.see("/queues")

    assert "ben is writing" in listed
    assert ana.client.get("/presence").json() == {"1": "ben is writing"}
    assert team.person("ben").client.get("/presence").json() == {}


def test_nobody_is_there_any_more_after_leaving_or_after_a_minute_of_silence(team: Team) -> None:
    ben, ana = Window(team.person("ben"), 1), Window(team.person("ana"), 1)

    ben.closes()
    assert ana.says()["people"] == []

    ben.says()
    assert ana.says()["people"] == ["ben is looking at this case, since 10:00."]
    team.now += FORGET_AFTER + timedelta(seconds=1)
    assert ana.says()["people"] == []
    Window(ana.who, 2)
    with team.store._database.reading() as connection:
        kept = connection.exec_driver_sql("SELECT count(*) FROM presence").scalar_one()
    assert kept == 2  # what fell silent is not kept


def test_nobody_closes_the_window_of_somebody_else(team: Team) -> None:
    ben, ana = Window(team.person("ben"), 1), Window(team.person("ana"), 1)

    ana.form["visit"] = ben.form["visit"]
    ana.closes()

    cleo = Window(team.person("cleo"), 1)
    assert "ben is looking" in cleo.page


def test_one_person_with_two_windows_is_one_and_is_told_so(team: Team) -> None:
    ben = team.person("ben")
    first, second = Window(ben, 1), Window(ben, 1)
    ana = Window(team.person("ana"), 1)

    assert ana.page.count("ben is looking") == 1
    assert "You have this case open in another window." in second.says()["people"]
    first.closes()
    assert second.says()["people"] == ["ana is looking at this case, since 10:00."]


def test_an_open_page_is_told_who_changed_the_case_and_when(team: Team) -> None:
    ana = Window(team.person("ana"), 1)
    assert ana.says()["changed"] == ""
    ben = team.person("ben")
    team.now += timedelta(minutes=3)

    ben.post("/cases/1/approve", version="1")

    assert ana.says()["changed"] == (
        "ben approved this case at 10:03. Look at it again before you act."
    )
    assert Window(ben, 1).says()["changed"] == ""


def test_an_open_page_is_told_of_a_new_mail(team: Team) -> None:
    ana = Window(team.person("ana"), 2)
    team.now += timedelta(minutes=3)

    team.mail(2, "untold", uid=9)

    assert "a new mail" in ana.says()["changed"]
    assert "at 10:03." in ana.says()["changed"]


def test_a_page_that_asks_by_itself_keeps_nobody_signed_in_and_leaves_no_trace(team: Team) -> None:
    window = Window(team.person("ana"), 1)
    seen = len(team.store.access_log.read())

    for _ in range(5):
        team.now += timedelta(minutes=5)
        window.says()
        window.who.client.get("/presence")
    team.now += timedelta(minutes=5)

    assert window.who.client.get("/presence").status_code == 401
    assert len(team.store.access_log.read()) == seen


def test_a_case_is_shown_though_presence_cannot_be_kept(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    from store import StoreError
    from store.presence import Presence

    def fails(*_: object, **__: object) -> None:
        raise StoreError("full")

    monkeypatch.setattr(Presence, "here", fails)

    assert "Case 1" in team.person("ana").see("/cases/1")


def test_what_no_page_of_ours_says_is_refused(team: Team) -> None:
    window = Window(team.person("ana"), 1)
    for wrong in ({"visit": "x"}, {"writing": "novel"}, {"version": "one"}, {"version": ""}):
        answer = window.who.client.post("/cases/1/presence", data={**window.form, **wrong})

        assert answer.status_code == 400
    assert window.who.client.post("/cases/99/presence", data=window.form).status_code == 404

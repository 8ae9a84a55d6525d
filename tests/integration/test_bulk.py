"""One action on many cases: the gates as for one, each case by itself, once, and back again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from team_at_work import NOW, Kind, Somebody, Team, value, working

from review import acting, bulk
from review.bulk import ACTIONS, MOST
from store import StoreError, open_store
from store.bulks import Bulk, Bulks, BulkStep
from store.outgoing_schema import outbox
from store.schema import cases
from triage.labels import STATES

READY, UNTOLD, URGENT, OTHER, ENQUIRY = 1, 2, 3, 4, 5


@pytest.fixture
def team(store_url: str) -> Iterator[Team]:
    yield from working(store_url, ["ready", "untold", "urgent", "ready", "enquiry"])


class Preview:
    """A preview as a browser has it: its fields, and which cases are ticked."""

    def __init__(self, who: Somebody, page: str) -> None:
        self.who, self.page = who, unescape(page)
        names = ("csrf", "token", "action", "previewed")
        self.form: dict[str, Any] = {name: unescape(value(name, page)) for name in names}
        for name in re.findall(r'<input type="hidden" name="(has_letters)"', page):
            self.form[name] = "1"
        for name in re.findall(r'name="(letters)" value="1" checked', page):
            self.form[name] = "1"
        for name in re.findall(r'name="(assignee|until)" value="([^"]*)"', page):
            self.form[name[0]] = name[1]
        self.ticked = re.findall(r'name="case" value="(\d+:\d+)" checked', page)

    @property
    def cases(self) -> list[int]:
        return [int(item.partition(":")[0]) for item in self.ticked]

    def yes(self, **changed: Any) -> Any:
        data = {**self.form, "case": self.ticked, **changed}
        return self.who.client.post("/bulk/do", data=data)

    def done(self, **changed: Any) -> str:
        answer = self.yes(**changed)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])


def preview(who: Somebody, action: str, numbers: Sequence[int], **more: Any) -> Preview:
    answer = who.post("/bulk", action=action, case=[str(n) for n in numbers], **more)
    assert answer.status_code == 200, answer.text
    return Preview(who, answer.text)


def row_of(page: str, case: int) -> str:
    """The line of a result."""
    [found] = [row for row in page.split("<tr")[2:] if f'href="/cases/{case}"' in row]
    return unescape(found)


# --- what is shown before -------------------------------------------------------------------------


def test_the_preview_says_of_each_case_what_would_happen_or_which_rule_holds_it_up(
    team: Team,
) -> None:
    shown = preview(team.person("ana"), "approve", [READY, UNTOLD, URGENT, OTHER])

    assert shown.cases == [READY, OTHER]
    assert "cancel session HT-400001" in shown.page
    assert "letter to the client" in shown.page
    assert "Client not told:" in shown.page
    assert "rule 1: the client must know before anything is cancelled" in shown.page
    assert "Urgent risk:" in shown.page
    assert [team.case(n).version for n in (READY, OTHER)] == [1, 1]
    assert team.store.outbox() == []


def test_safeguarding_is_never_done_together_with_others(team: Team) -> None:
    ana = team.person("ana")
    for action in ACTIONS:
        shown = preview(ana, action, [URGENT, OTHER])

        assert URGENT not in shown.cases
        forced = shown.done(case=[f"{URGENT}:1"])

        assert "Refused: urgent risk" in row_of(ana.see(forced), URGENT)
        assert team.case(URGENT).version == 1


def test_no_box_to_tick_stands_beside_a_safeguarding_case(team: Team) -> None:
    listed = team.person("ana").see("/queues")

    assert re.findall(r'name="case" value="(\d+)"', listed).count(str(URGENT)) == 0
    assert value("shown", listed).split().count(str(URGENT)) == 0
    assert str(READY) in value("shown", listed).split()


def test_the_preview_says_who_is_at_a_case(team: Team) -> None:
    team.person("ben").see(f"/cases/{READY}")

    assert "ben is looking at it" in preview(team.person("ana"), "approve", [READY]).page


def test_without_a_script_all_that_the_page_lists_can_be_taken(team: Team) -> None:
    ana = team.person("ana")
    listed = ana.see("/queues")

    answer = ana.post("/bulk", action="assign", all="1", shown=value("shown", listed))

    assert sorted(Preview(ana, answer.text).cases) == [READY, UNTOLD, OTHER, ENQUIRY]


# --- what is done ---------------------------------------------------------------------------------


def test_each_case_is_done_or_refused_by_itself_and_the_result_says_which(team: Team) -> None:
    ana = team.person("ana")
    shown = preview(ana, "approve", [READY, UNTOLD, OTHER])

    result = ana.see(shown.done(case=[*shown.ticked, f"{UNTOLD}:1"]))

    assert "2 of 3 done, 1 refused" in result
    assert "session.cancel HT-400001" in row_of(result, READY)
    assert "Refused: client not told" in row_of(result, UNTOLD)
    states = [team.case(n).decision.state for n in (READY, UNTOLD, OTHER)]
    assert states == ["done", "awaiting_client", "done"]


def test_what_was_left_out_is_left_alone(team: Team) -> None:
    ana = team.person("ana")
    shown = preview(ana, "dismiss", [READY, UNTOLD])

    shown.done(case=[shown.ticked[0]], reason="all sent twice")

    assert team.case(UNTOLD).version == 1
    [deed] = team.store.verdicts()
    assert (deed.verdict.case_id, deed.verdict.reason) == (READY, "all sent twice")


def test_a_case_that_changed_since_the_preview_is_not_touched_and_the_others_are(
    team: Team,
) -> None:
    ana, ben = team.person("ana"), team.person("ben")
    shown = preview(ana, "approve", [READY, OTHER])
    ben.post(f"/cases/{READY}/assign", version="1", assignee="ben")

    result = ana.see(shown.done())

    assert "Changed meanwhile" in row_of(result, READY)
    assert "ben (assign)" in row_of(result, READY)
    assert team.case(READY).decision.state == "ready"
    assert team.case(OTHER).decision.state == "done"


def test_the_same_form_sent_again_acts_once_and_shows_the_same(team: Team) -> None:
    ana = team.person("ana")
    shown = preview(ana, "approve", [READY, OTHER])

    first = shown.done()
    seen = ana.see(first)
    team.now += timedelta(seconds=5)
    again = shown.done()

    assert again == first
    assert ana.see(again) == seen
    assert len(team.store.verdicts()) == 2


def test_a_case_refused_once_is_not_done_by_sending_the_form_again(team: Team) -> None:
    ana = team.person("ana")
    shown = preview(ana, "snooze", [READY])
    late = {"until": "2025-11-04T10:00", "previewed": ""}
    asked = ana.client.post("/bulk/do", data={**shown.form, "case": shown.ticked, **late})
    passed = Preview(ana, asked.text)  # the time is not to come: held up, so nothing is ticked
    there = passed.done(case=[f"{READY}:1"])
    assert "Refused: until" in row_of(ana.see(there), READY)
    team.now -= timedelta(hours=1)

    assert passed.done(case=[f"{READY}:1"]) == there

    assert "Refused: until" in row_of(ana.see(there), READY)
    assert team.case(READY).version == 1


def test_what_became_of_a_case_is_put_on_record_once(team: Team) -> None:
    asked = Bulk("t", "ana", NOW, "dismiss", "", {}, (BulkStep(READY, 1),))
    team.store.bulks.begin(asked)

    for outcome in (BulkStep(READY, 1, "done", new_version=2), BulkStep(READY, 1, "changed")):
        team.store.bulks.settle("t", outcome)

    kept = team.store.bulks.find("t")
    assert kept
    assert [step.outcome for step in kept.steps] == ["done"]


def test_many_clicks_at_once_are_one(team: Team) -> None:
    shown = preview(team.person("ana"), "approve", [READY, OTHER])

    with ThreadPoolExecutor(6) as pool:
        places = set(pool.map(lambda _: shown.done(), range(6)))

    assert len(places) == 1
    assert len(team.store.verdicts()) == 2
    assert "2 of 2 done" in shown.who.see(places.pop())


def test_the_form_of_one_list_does_not_carry_another(team: Team) -> None:
    ana = team.person("ana")
    shown = preview(ana, "dismiss", [READY, OTHER])
    shown.done(case=[shown.ticked[0]])

    other = shown.yes(case=[shown.ticked[1]])

    assert other.status_code == 409
    assert "Nothing more was done" in other.text
    assert team.case(OTHER).version == 1


def test_changing_what_is_to_be_done_leads_to_another_look_first(team: Team) -> None:
    ana = team.person("ana")
    shown = preview(ana, "approve", [READY])

    without = Preview(ana, shown.yes(letters="").text)

    assert team.case(READY).version == 1
    assert "look at it again" in without.page
    assert "letter to the client" not in without.page
    without.done()
    assert {row.channel for row in team.store.outbox(case_id=READY)} == {"platform"}


def test_nothing_is_passed_over_whatever_the_form_says(team: Team) -> None:
    ana = team.person("ana")
    shown = preview(ana, "approve", [READY])

    there = shown.done(
        case=[f"{UNTOLD}:1"], override="client_not_told", overrides="client_not_told", reason="x"
    )

    assert "Refused: client not told" in row_of(ana.see(there), UNTOLD)
    assert team.store.outbox() == []


def test_a_stop_in_the_middle_leaves_whole_cases_and_the_rest_can_be_gone_on_with(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = team.person("ana")
    shown = preview(ana, "approve", [READY, OTHER])
    settle, told = Bulks.settle, []

    def fails(self: Bulks, token: str, step: BulkStep) -> None:
        told.append(step.case_id)
        if len(told) == 2:
            raise StoreError("the disk is full")
        settle(self, token, step)

    monkeypatch.setattr(Bulks, "settle", fails)
    there = shown.done()
    stopped = ana.see(there)
    monkeypatch.setattr(Bulks, "settle", settle)
    ana.post(f"{there}/rest")

    assert "1 of 2 done, 1 not done yet" in stopped
    assert "2 of 2 done" in ana.see(there)
    assert len(team.store.verdicts()) == 2


# --- back again -----------------------------------------------------------------------------------


def test_all_of_it_is_taken_back_while_there_is_time(team: Team) -> None:
    ana = team.person("ana")
    there = preview(ana, "approve", [READY, OTHER]).done()
    assert "Undo all of it (2)" in ana.see(there)

    ana.post(f"{there}/undo")
    ana.post(f"{there}/undo")

    assert [team.case(n).decision.state for n in (READY, OTHER)] == ["ready", "ready"]
    assert [row.state for row in team.store.outbox()] == ["taken_back"] * 6
    result = ana.see(there)
    assert "Taken back" in row_of(result, READY)
    assert "Undo all" not in result
    assert len(team.store.verdicts(include_undone=True)) == 4


def test_undo_is_not_offered_once_things_have_begun_to_leave(team: Team) -> None:
    ana = team.person("ana")
    there = preview(ana, "approve", [READY, OTHER]).done()

    team.now += timedelta(minutes=10)
    gone = ana.see(there)
    ana.post(f"{there}/undo")

    assert "Undo all" not in gone
    assert "Not taken back: too late to undo" in row_of(ana.see(there), READY)
    assert team.case(READY).decision.state == "done"


def test_undoing_all_leaves_alone_what_somebody_did_since(team: Team) -> None:
    ana, ben = team.person("ana"), team.person("ben")
    there = preview(ana, "assign", [READY, OTHER], assignee="cleo").done()
    ben.post(f"/cases/{READY}/assign", version="2", assignee="ben")

    ana.post(f"{there}/undo")

    assert team.case(READY).assignee == "ben"
    assert team.case(OTHER).assignee == ""
    assert "was changed by ben (assign)" in row_of(ana.see(there), READY)


# --- what is refused ------------------------------------------------------------------------------


NOT_FOR_MANY: list[tuple[dict[str, Any], int, str]] = [
    ({"action": "approve"}, 422, "No case was ticked"),
    ({"action": "approve", "case": [str(n) for n in range(MOST + 1)]}, 422, "at most 200"),
    ({"action": "refer", "case": ["1"]}, 400, "cannot be done to many"),
    ({"action": "correct", "case": ["1"]}, 400, "cannot be done to many"),
    ({"action": "undo", "case": ["1"]}, 400, "cannot be done to many"),
    ({"action": "dismiss", "case": ["one"]}, 400, "no case"),
    ({"action": "dismiss", "case": ["1"], "reason": "x" * 2001}, 400, "too long"),
    ({"action": "snooze", "case": ["1"], "until": "soon"}, 422, "until when"),
]


def test_what_cannot_be_done_to_many_is_said_and_not_done(team: Team) -> None:
    ana = team.person("ana")
    for data, status, says in NOT_FOR_MANY:
        answer = ana.post("/bulk", **data)

        assert answer.status_code == status
        assert says in answer.text


def test_forms_that_come_from_no_preview_are_refused(team: Team) -> None:
    ana = team.person("ana")
    shown = preview(ana, "dismiss", [READY])

    assert shown.yes(token="made up").status_code == 400
    assert shown.yes(case=[str(READY)]).status_code == 400
    assert ana.client.get("/bulk/nothing-of-that-name").status_code == 404
    assert ana.client.post("/bulk/do", data={**shown.form, "csrf": "x"}).status_code == 419
    assert team.case(READY).version == 1


def test_a_case_that_is_not_there_is_named_and_holds_nothing_up(team: Team) -> None:
    ana = team.person("ana")
    shown = preview(ana, "dismiss", [READY, 99])

    result = ana.see(shown.done(case=[*shown.ticked, "99:1"]))

    assert "there is no such case" in shown.page
    assert "1 of 2 done, 1 refused" in result


def test_data_and_admin_do_nothing_in_bulk(team: Team) -> None:
    for role in ("data", "admin"):
        answer = team.person("dora", role).post("/bulk", action="dismiss", case=["1"])  # type: ignore[arg-type]
        assert answer.status_code == 403


# --- as many single actions -----------------------------------------------------------------------

KINDS: tuple[Kind, ...] = ("ready", "untold", "enquiry")


def outcome(team: Team) -> list[Any]:
    """All that people, the platform and the ledger see of the cases."""
    with team.store._database.reading() as connection:
        stood = connection.execute(
            select(cases.c.id, cases.c.version, cases.c.state, cases.c.queue, cases.c.open)
            .order_by(cases.c.id)
        ).all()  # fmt: skip
        left = connection.execute(
            select(outbox.c.key, outbox.c.case_id, outbox.c.channel, outbox.c.payload,
                   outbox.c.not_before).order_by(outbox.c.id)
        ).all()  # fmt: skip
    deeds = [(d.verdict, d.undone_at) for d in team.store.verdicts(include_undone=True)]
    marks = [(row.case_id, row.assignee, row.snoozed_until) for row in team.store.queue()]
    told = [[(e.event, e.actor) for e in _audit(team, n)] for n in range(1, len(team.kinds) + 1)]
    return [stood, left, deeds, marks, told]


def _audit(team: Team, number: int) -> Sequence[Any]:
    story = team.store.case(number)
    return story.audit if story else ()


DETAILS = {
    "assign": {"assignee": "cleo"},
    "snooze": {"until": (NOW + timedelta(hours=2)).isoformat()},
}


@settings(max_examples=8)
@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
    action=st.sampled_from(ACTIONS),
    leaving=st.sampled_from([{}, {"letters": False}]),
)
def test_a_bulk_of_many_gives_what_as_many_single_actions_give(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[Kind], action: Any, leaving: Any
) -> None:
    folder: Path = tmp_path_factory.mktemp("both")
    kinds = ["ready", *kinds]
    details = DETAILS.get(action, leaving)
    steps = tuple(BulkStep(n, 1) for n in range(1, len(kinds) + 1))
    asked = Bulk("t", "ana", NOW, action, "a reason", details, steps)
    results = []
    for name in ("bulk", "single"):
        with open_store(f"sqlite:///{folder / name}.sqlite3") as store:
            team = Team(store, kinds)
            rules, sending = team.office.rules(), team.office.sending
            if name == "bulk":
                bulk.carry_out(store, store.bulks.begin(asked), team.office.rules, sending)
            else:
                for step in steps:
                    story = store.case(step.case_id)
                    assert story
                    verdict = bulk._verdict(asked, step, rules.now)
                    acting.act(store, story, verdict, rules, sending, version=1)
            results.append(outcome(team))
    assert results[0] == results[1]
    assert all(row.state in STATES for row in results[0][0])

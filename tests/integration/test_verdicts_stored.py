"""What people decide is stored once, beside what the model said, and what leaves with it."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from store_samples import DECISION, NOW, REQUEST, email, key, outcome

from store import AlreadyOutError, ConflictError, RefusedError, Store, Stuck, open_store
from store.outgoing_schema import outbox
from triage.verdicts import Correction, Outgoing, Verdict

UNDO = timedelta(seconds=30)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened:
        yield opened


@pytest.fixture
def case_id(store: Store) -> int:
    with store.batch(now=NOW) as batch:
        [made] = batch.add(key(1), "d1", email(1), [outcome()], reader_version="7")
    return made


def cancel(session_id: str = "1001", **changes: object) -> Outgoing:
    plain = Outgoing(
        channel="platform",
        action="session.cancel",
        key=f"session.cancel:{session_id}",
        payload={"session_id": session_id},
        not_before=NOW + UNDO,
        session_id=session_id,
    )
    return replace(plain, **changes)


def letter(case: int = 1, **changes: object) -> Outgoing:
    plain = Outgoing("mail", "cancelled", f"mail:{case}:cancelled:1", {"to": "x"}, NOW + UNDO)
    return replace(plain, **changes)


def approval(case: int = 1, by: str = "anna", **changes: object) -> Verdict:
    return replace(Verdict(case, "approve", by, NOW), **changes)


def carry_out(
    store: Store, verdict: Verdict, *outgoing: Outgoing, version: int = 1, state: str = "done"
) -> int:
    return store.act(
        verdict,
        version=version,
        state=state,
        request=None,
        decision=None,
        outgoing=outgoing,
        now=verdict.at,
    )


def test_an_approval_closes_the_case_and_puts_out_what_it_asks_for(
    store: Store, case_id: int
) -> None:
    version = carry_out(store, approval(), cancel(), letter())

    story = store.case(case_id)
    assert story is not None
    assert version == story.case.version == 2
    assert story.case.decision.state == "done"
    assert store.queue() == []
    assert [(row.channel, row.state) for row in store.outbox()] == [
        ("platform", "waiting"),
        ("mail", "waiting"),
    ]
    assert story.audit[-1].event == "approve"
    assert story.audit[-1].actor == "anna"
    assert store.first_broken_audit_row() is None


def test_a_person_s_decision_stands_beside_the_model_s_and_not_over_it(
    store: Store, case_id: int
) -> None:
    corrected = replace(REQUEST, client_notification="discussed")
    right = Correction("client_notification", "unknown", "discussed")
    decision = replace(DECISION, state="ready", blockers=())

    store.act(
        approval(action="correct", corrections=(right,), reason="rang her"),
        version=1,
        state=None,
        request=corrected,
        decision=decision,
        outgoing=(),
        now=NOW,
    )

    story = store.case(case_id)
    assert story is not None
    assert [made.message for made in story.decisions] == [1, None]
    assert story.decisions[0].request == REQUEST
    assert story.case.request == corrected
    assert story.case.decision == decision
    [known] = store.verdicts()
    assert known.verdict.corrections == (right,)
    assert (known.verdict.by, known.verdict.at, known.verdict.reason) == ("anna", NOW, "rang her")
    assert known.request == REQUEST
    assert (known.reader_version, known.message_ids) == ("7", (1,))


@pytest.mark.usefixtures("case_id")
def test_who_comes_second_is_told_who_came_first(store: Store) -> None:
    carry_out(store, approval(), cancel())

    with pytest.raises(ConflictError, match=r"case 1 was changed by anna \(approve\)") as caught:
        carry_out(store, approval(by="ben"), cancel())

    assert (caught.value.by, caught.value.version) == ("anna", 2)
    assert len(store.outbox()) == 1


def test_a_mail_that_came_in_between_is_a_conflict_too(store: Store, case_id: int) -> None:
    with store.batch(now=NOW) as batch:
        batch.add(key(2), "d2", email(2), [outcome(joined=case_id)])

    with pytest.raises(ConflictError, match="changed by a new mail") as caught:
        carry_out(store, approval(), cancel())

    assert caught.value.by == ""


@pytest.mark.usefixtures("case_id")
def test_a_double_click_does_nothing_twice(store: Store) -> None:
    first = carry_out(store, approval(), cancel())

    second = carry_out(store, approval(at=NOW + timedelta(seconds=1)), cancel())

    assert first == second == 2
    assert len(store.outbox()) == len(store.verdicts()) == 1


@pytest.mark.usefixtures("case_id")
def test_of_many_who_act_at_once_one_wins(store: Store) -> None:
    start, told = threading.Barrier(6), []

    def click(name: str) -> None:
        start.wait(30)
        try:
            told.append(carry_out(store, approval(by=name), cancel()))
        except ConflictError as error:
            told.append(error.by)

    threads = [threading.Thread(target=click, args=(f"person{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    [winner] = [row.verdict.by for row in store.verdicts()]
    assert sorted(map(str, told)) == ["2", *[winner] * 5]
    assert len(store.outbox()) == 1


@pytest.mark.usefixtures("case_id")
def test_a_session_is_cancelled_once_whichever_case_asks_for_it(store: Store) -> None:
    with store.batch(now=NOW) as batch:
        [other] = batch.add(key(2), "d2", email(2), [outcome()])
    carry_out(store, approval(), cancel())

    with pytest.raises(AlreadyOutError, match="on its way already: case 1, anna") as caught:
        carry_out(store, approval(other, at=NOW + UNDO), cancel(key="another key"))

    assert caught.value.keys == ("another key",)
    assert store.case(other).case.version == 1
    assert len(store.outbox()) == 1


def test_no_case_rests_on_what_another_may_still_take_back(store: Store, case_id: int) -> None:
    with store.batch(now=NOW) as batch:
        [other] = batch.add(key(2), "d2", email(2), [outcome()])
    carry_out(store, approval(), cancel())

    with pytest.raises(RefusedError, match=f"in case {case_id}, and can be undone there until"):
        carry_out(store, approval(other, at=NOW + UNDO / 2), cancel(key="another key"))
    store.undo(case_id, "anna", NOW + UNDO / 2)
    carry_out(store, approval(other, at=NOW + UNDO / 2), cancel(key="another key"))

    assert [(row.case_id, row.state) for row in store.outbox()] == [
        (case_id, "taken_back"),
        (other, "waiting"),
    ]


@pytest.mark.usefixtures("case_id")
def test_the_database_itself_refuses_a_second_effect(store: Store) -> None:
    carry_out(store, approval(), cancel())
    [row] = store.outbox()

    again = {name: getattr(row, name) for name in row.__slots__ if name != "id"}
    insertion = insert(outbox).values(**{**again, "key": "other", "token": 0})
    with store._database.engine.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(insertion)


def test_an_undo_takes_back_what_has_not_left_and_restores_the_case(
    store: Store, case_id: int
) -> None:
    before = store.case(case_id).case
    carry_out(store, approval(), cancel(), letter())

    undone = store.undo(case_id, "anna", NOW + timedelta(seconds=29))

    after = store.case(case_id).case
    assert (undone.action, undone.restored, undone.version) == ("approve", True, 3)
    assert undone.taken_back == ("session.cancel:1001", "mail:1:cancelled:1")
    assert replace(after, version=1, changed_at=before.changed_at) == before
    assert {row.state for row in store.outbox()} == {"taken_back"}
    assert store.verdicts() == []
    assert [row.verdict.action for row in store.verdicts(include_undone=True)] == [
        "approve",
        "undo",
    ]
    assert store.first_broken_audit_row() is None


def test_what_was_taken_back_may_be_done_after_all(store: Store, case_id: int) -> None:
    carry_out(store, approval(), cancel())
    store.undo(case_id, "anna", NOW)

    carry_out(store, approval(), cancel(), version=3)

    assert [row.state for row in store.outbox()] == ["taken_back", "waiting"]


def test_an_undo_that_comes_too_late_changes_nothing(store: Store, case_id: int) -> None:
    carry_out(store, approval(), cancel())

    with pytest.raises(RefusedError, match="too late to undo"):
        store.undo(case_id, "anna", NOW + UNDO)

    assert store.case(case_id).case.decision.state == "done"
    assert [row.state for row in store.outbox()] == ["waiting"]


def test_an_undo_is_not_repeated_by_a_second_click(store: Store, case_id: int) -> None:
    carry_out(store, approval(action="snooze", details={"until": NOW}), state=None)
    carry_out(store, approval(), cancel(), version=2)
    store.undo(case_id, "anna", NOW)

    with pytest.raises(RefusedError, match="anna has taken the last step back already"):
        store.undo(case_id, "anna", NOW)

    assert store.case(case_id).case.snoozed_until == NOW


def test_an_undo_after_new_mail_keeps_what_the_mail_brought(store: Store, case_id: int) -> None:
    carry_out(store, approval(action="send_back"), letter(), state="awaiting_client")
    with store.batch(now=NOW) as batch:
        batch.add(key(2), "d2", email(2), [outcome(joined=case_id, state="check")])

    undone = store.undo(case_id, "anna", NOW)

    assert not undone.restored
    assert store.case(case_id).case.decision.state == "check"
    assert [row.state for row in store.outbox()] == ["taken_back"]


def test_mail_joins_what_a_person_left_open_and_never_what_a_person_closed(
    store: Store, case_id: int
) -> None:
    carry_out(store, approval(action="send_back"), letter(), state="awaiting_client")
    with store.batch(now=NOW) as batch:
        open_then = [case.case_id for case in batch.open_cases("ana@practice.example")]
    carry_out(store, approval(action="withdraw"), version=2, state="withdrawn")
    with store.batch(now=NOW) as batch:
        open_now = batch.open_cases("ana@practice.example")

    assert open_then == [case_id]
    assert open_now == []


def test_a_snooze_ends_with_the_next_mail_and_an_assignment_does_not(
    store: Store, case_id: int
) -> None:
    until = NOW + timedelta(days=1)
    carry_out(store, approval(action="snooze", details={"until": until}), state=None)
    carry_out(store, approval(action="assign", details={"assignee": "ben"}), version=2, state=None)
    before = store.case(case_id).case

    with store.batch(now=NOW) as batch:
        batch.add(key(2), "d2", email(2), [outcome(joined=case_id)])

    after = store.case(case_id).case
    assert (before.assignee, before.snoozed_until) == ("ben", until)
    assert (after.assignee, after.snoozed_until) == ("ben", None)


def test_verdicts_can_be_asked_for_since_a_moment(store: Store, case_id: int) -> None:
    carry_out(store, approval(action="note_reason"), state="noted")
    later = NOW + timedelta(hours=1)
    carry_out(store, approval(action="dismiss", at=later), version=2, state="dismissed")

    assert [row.verdict.action for row in store.verdicts(since=later)] == ["dismiss"]
    assert len(store.verdicts(case_id=case_id)) == 2


def test_there_is_no_verdict_about_a_case_that_is_not_there(store: Store) -> None:
    with pytest.raises(RefusedError, match="there is no case 9"):
        carry_out(store, approval(9))
    with pytest.raises(RefusedError, match="there is no case 9"):
        store.undo(9, "anna", NOW)


def test_two_words_about_one_stuck_thing_are_one_word_and_a_refusal(
    store: Store, case_id: int
) -> None:
    carry_out(store, approval(case_id), cancel(not_before=NOW))
    with store.sending("platform", "courier", timedelta(minutes=1)) as sending:
        [row] = sending.take(NOW)
        sending.settle([row], Stuck("no answer", "uncertain"), NOW)
    at_once, said = threading.Barrier(2), []

    def say(*, has_left: bool) -> None:
        at_once.wait()
        try:
            store.settle_by_hand([row.id], "anna", NOW, has_left=has_left)
            said.append("sent" if has_left else "waiting")
        except RefusedError:
            said.append("refused")

    threads = [threading.Thread(target=say, kwargs={"has_left": left}) for left in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert said.count("refused") == 1
    assert store.outbox()[0].state in said

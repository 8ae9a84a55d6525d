"""A mail that speaks against what was decided, before it has left: held, told, and a person's."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from casework.against import SAYS_NOTHING_AGAINST, SPEAKS_AGAINST, email_of
from casework.scenarios import office, registry, request_from, wording
from store_samples import registry_file

from pipeline import Understood, record_message
from review import acting
from review.delivery import deliver
from review.outcomes import Arrived, Fate, NotNow
from store import OutboxRow, Store, open_store
from triage.conversation import Rules
from triage.effects import Sending
from triage.matter import Thresholds
from triage.records import MessageKey, RawMessage
from triage.verdicts import Verdict

NOW = datetime(2025, 11, 4, 10, tzinfo=UTC)
SENDING = Sending("mail", timedelta(seconds=30))
WINDOW = NOW + timedelta(seconds=10)
LATER = NOW + timedelta(seconds=60)


def rules(now: datetime) -> Rules:
    return Rules(now, office(), Thresholds(), wording())


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    known = registry(known=True)

    def row(value: Any) -> dict[str, Any]:
        fields = {name: getattr(value, name) for name in value.__slots__}
        return {**fields, "open_to_new": "yes" if fields.get("open_to_new") else "no"}

    with open_store(store_url) as opened:
        opened.import_registry(
            therapists=registry_file(map(row, known.therapists)),
            clients=registry_file(map(row, known.clients)),
            sessions=registry_file(map(row, known.sessions)),
            now=NOW,
        )
        yield opened


def comes(store: Store, number: int, mail: dict[str, Any], now: datetime = WINDOW) -> None:
    """A mail through the pipeline's own step."""
    email = email_of(mail, number, now)
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    raw = RawMessage(MessageKey("maildir:x", "", 1, number), now, digest, b"")
    with store.batch(now=now) as memory:
        read = Understood(email, (request_from(mail),), "7")
        memory.prefetch([(email, read.requests)], [digest])
        record_message(raw, read, memory, rules(now))


def acts(store: Store, action: str, now: datetime = NOW, **given: Any) -> acting.Acted:
    story = store.case(1)
    verdict = Verdict(1, action, "anna", now, **given)  # type: ignore[arg-type]
    return acting.act(store, story, verdict, rules(now), SENDING)


def approved(store: Store) -> None:
    comes(store, 1, {"ask": "complete cancellation"}, NOW)
    done = acts(store, "approve")
    assert (done.state, len(done.outgoing)) == ("done", 3)


class Post:
    """A way out that notes what it was given; *fate* says what becomes of it."""

    domain, most = "", 1

    def __init__(self, fate: Callable[[OutboxRow], Fate] = lambda _: Arrived("ok")) -> None:
        self.sent: list[str] = []
        self._fate = fate

    def carry(self, rows: list[OutboxRow], note: Callable[[str], None]) -> Fate:
        note("begun")
        fate = self._fate(rows[0])
        if isinstance(fate, Arrived):
            self.sent.append(rows[0].key)
        return fate

    def interrupted(self, rows: list[OutboxRow]) -> Fate:  # noqa: ARG002 - a carrier's signature
        return NotNow("interrupted", at_once=True)


def go(store: Store, post: Post, now: datetime = LATER) -> None:
    deliver(store, {"platform": post, "mail": post}, lambda: now)  # type: ignore[dict-item]


def states(store: Store, case_id: int = 1) -> list[str]:
    return [row.state for row in store.outbox(case_id=case_id)]


WITHDRAWN = SPEAKS_AGAINST["it is taken back by number"]
#: Those that are found by different ways in the database.
FOUND_BY = (
    "it is taken back by number",
    "it is taken back in the thread",
    "it is taken back, and nothing named",
    "present danger, from the client",
)


@pytest.mark.parametrize("name", FOUND_BY)
def test_a_mail_that_speaks_against_it_holds_what_has_not_left(name: str, store: Store) -> None:
    mail = SPEAKS_AGAINST[name]
    approved(store)

    comes(store, 2, mail)
    post = Post()
    go(store, post)

    story = store.case(1)
    assert (post.sent, states(store)) == ([], ["held"] * 3)
    assert (story.case.decision.state, story.case.version) == ("check", 3)
    assert 1 in {row.case_id for row in store.queue()}
    told = "Held until a person decides: session.cancel HT-218834, letter client_cancelled"
    assert any(told in why for why in story.case.decision.reasons), story.case.decision.reasons
    [held] = [event for event in story.audit if event.event == "held"]
    assert held.message_id == 2
    assert held.detail["held"][0] == "session.cancel:HT-218834"
    urgent = mail.get("but", {}).get("risk") == "urgent"
    assert story.case.decision.safeguarding == urgent
    assert story.case.decision.priority == (0 if urgent else 1)
    assert store.first_broken_audit_row() is None


def test_a_mail_that_says_nothing_against_it_stops_nothing(store: Store) -> None:
    approved(store)

    comes(store, 2, SAYS_NOTHING_AGAINST["a further need"])
    post = Post()
    go(store, post)

    assert (len(post.sent), states(store)) == (3, ["sent"] * 3)
    assert store.case(1).case.decision.state == "done"


def test_what_is_held_can_be_released_with_a_reason_and_leaves(store: Store) -> None:
    approved(store)
    comes(store, 2, WITHDRAWN)

    unsaid = acts(store, "release", WINDOW)
    released = acts(store, "release", WINDOW, reason="Rang her: it was about another client.")
    post = Post()
    go(store, post)

    assert unsaid.refused.rule == "held"
    assert (released.state, states(store), len(post.sent)) == ("done", ["sent"] * 3, 3)
    story = store.case(1)
    assert story.case.decision.state == "done"
    assert any("Released by anna" in why for why in story.case.decision.reasons)
    assert acting.undo(store, 1, "anna", LATER).refused.rule == "undo"


def test_what_is_held_can_be_taken_back_however_late(store: Store) -> None:
    approved(store)
    comes(store, 2, WITHDRAWN)

    undone = acting.undo(store, 1, "anna", NOW + timedelta(days=1))

    assert undone.refused is None
    assert states(store) == ["taken_back"] * 3
    story = store.case(1)
    assert story.case.decision.state == "ready"
    assert [one.undone_at is None for one in store.verdicts(case_id=1, include_undone=True)] == [
        False,
        True,
    ]


def test_nothing_else_is_done_with_a_case_while_it_is_held(store: Store) -> None:
    approved(store)
    comes(store, 2, WITHDRAWN)

    for action in ("approve", "withdraw", "dismiss", "correct", "send_back"):
        assert acts(store, action, WINDOW, reason="x").refused.rule == "held", action
    given = acts(store, "assign", WINDOW, details={"assignee": "ben"})
    undone = acting.undo(store, 1, "anna", WINDOW)

    assert (given.refused, undone.refused) == (None, None)
    assert (states(store), store.case(1).case.decision.state) == (["taken_back"] * 3, "ready")
    assert store.case(1).case.assignee == "ben"


def test_the_session_is_not_cancelled_by_another_case_while_it_is_held(store: Store) -> None:
    approved(store)
    comes(store, 2, WITHDRAWN)
    comes(store, 3, {"ask": "complete cancellation"}, LATER)
    [again] = [row.case_id for row in store.queue() if row.message_ids[-1].startswith("<3@")]
    story = store.case(again)
    kind = story.case.request.kind

    verdict = Verdict(again, "approve", "ben", LATER, reason="x", overrides=("contradiction",))
    done = acting.act(store, story, verdict, rules(LATER), SENDING)

    assert kind == "cancellation"
    assert "in case 1, and is held" in done.refused.why


def test_a_letter_back_is_held_where_danger_comes_and_the_case_takes_the_mail(store: Store) -> None:
    comes(
        store,
        1,
        {"ask": "complete cancellation", "but": {"client_notification": "not_informed"}},
        NOW,
    )
    acts(store, "send_back")

    comes(store, 2, {"ask": "update", "answers": True, "but": {"risk": "urgent"}})

    story = store.case(1)
    assert states(store) == ["held"]
    assert len(story.messages) == 2
    assert (story.case.decision.state, story.case.decision.priority) == ("check", 0)
    acting.undo(store, 1, "anna", LATER)
    story = store.case(1)
    assert states(store) == ["taken_back"]
    assert (story.case.decision.state, story.case.decision.blockers[0]) == ("check", "urgent_risk")
    assert story.case.request.risk == "urgent"


def test_what_left_before_the_mail_came_is_told_on_the_mail_s_own_case(store: Store) -> None:
    approved(store)
    go(store, Post())

    comes(store, 2, WITHDRAWN, LATER)

    [row] = store.queue()
    assert row.decision.state == "check"
    assert any(
        why.startswith("Case 1: Has left already: session.cancel HT-218834")
        for why in row.decision.reasons
    )
    assert (states(store), store.case(1).case.decision.state) == (["sent"] * 3, "done")
    assert [e.message_id for e in store.case(1).audit if e.event == "too_late"] == [2]


def test_what_is_on_its_way_and_does_not_arrive_goes_no_more(store: Store) -> None:
    approved(store)

    def taken_back_meanwhile(row: OutboxRow) -> Fate:
        if row.action == "session.cancel":
            comes(store, 2, WITHDRAWN, LATER)
            return NotNow("no connection")
        return Arrived("ok")

    post = Post(taken_back_meanwhile)
    go(store, post)
    go(store, post, LATER + timedelta(days=1))

    assert (post.sent, states(store)) == ([], ["uncertain", "held", "held"])
    reasons = store.case(1).case.decision.reasons
    assert "Was on its way when the mail came: session.cancel HT-218834." in reasons


@pytest.mark.parametrize("has_left", [True, False])
def test_what_was_tried_may_have_left_and_a_person_finds_out_before_it_is_taken_back(
    store: Store, *, has_left: bool
) -> None:
    approved(store)
    go(store, Post(lambda _: NotNow("no answer in time")))
    comes(store, 2, WITHDRAWN, LATER)
    [cancel, *letters] = store.outbox(case_id=1)

    too_soon = acting.undo(store, 1, "anna", LATER)
    store.settle_by_hand([cancel.id], "anna", LATER, has_left=has_left)
    undone = acting.undo(store, 1, "anna", LATER)

    assert (cancel.state, {row.state for row in letters}) == ("uncertain", {"held"})
    assert "may have left" in too_soon.refused.why
    assert undone.refused is None
    assert states(store) == ["sent" if has_left else "taken_back", "taken_back", "taken_back"]
    assert store.case(1).case.decision.state == ("done" if has_left else "ready")


def test_what_is_on_its_way_and_arrives_has_left_and_the_rest_is_held(store: Store) -> None:
    approved(store)

    def taken_back_meanwhile(row: OutboxRow) -> Fate:
        if row.action == "session.cancel":
            comes(store, 2, WITHDRAWN, LATER)
        return Arrived("ok")

    go(store, Post(taken_back_meanwhile))

    assert states(store) == ["sent", "held", "held"]
    undone = acting.undo(store, 1, "anna", LATER)
    assert undone.refused is None
    assert states(store) == ["sent", "taken_back", "taken_back"]
    assert store.case(1).case.decision.state == "done"


def test_it_either_left_before_the_mail_was_stored_or_is_held(store: Store) -> None:
    """A deliverer and a mail at the same moment, many times over, in two threads."""
    comes(store, 1, {"ask": "complete cancellation"}, NOW)
    seen = set()
    for turn in range(5):
        now = NOW + timedelta(minutes=turn)
        story = store.case(1)
        verdict = Verdict(1, "approve", "anna", now, details={"letters": False})
        assert acting.act(store, story, verdict, rules(now), Sending("mail", timedelta())).outgoing
        at_once, post = threading.Barrier(2), Post()

        def courier(at_once=at_once, post=post, now=now) -> None:
            at_once.wait()
            go(store, post, now)

        thread = threading.Thread(target=courier)
        thread.start()
        at_once.wait()
        comes(store, 2 + turn, WITHDRAWN, now)
        thread.join()
        go(store, post, now + timedelta(days=1))

        row = store.outbox(case_id=1)[-1]
        told = [event.event for event in store.case(1).audit if event.message_id == 2 + turn]
        assert (row.state, len(post.sent)) in {("sent", 1), ("held", 0)}
        assert told[-1] in {"held", "too_late"}, told
        seen.add(row.state)
        if row.state == "sent":
            break
        assert acting.undo(store, 1, "anna", now).refused is None
    assert seen <= {"sent", "held"}

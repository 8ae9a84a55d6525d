"""What the booking platform is told: once, signed, and however the line behaves."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from outgoing_samples import approve, cancellation, states
from services.webhook_receiver import Receiver, webhook_receiver
from store_samples import NOW

from review.delivery import PAUSES_S, deliver, settled
from review.outcomes import NotNow
from review.webhooks import (
    Endpoint,
    EndpointError,
    ExportFolder,
    Webhooks,
    fate_of,
    signed_headers,
)
from store import Later, LeaseLostError, Left, Store, Stuck, open_store


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened:
        yield opened


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as running:
        yield running


def webhooks(receiver: Receiver, *older: str, timeout_s: float = 5) -> dict:
    secrets = (receiver.shared_secret, *older)
    return {"platform": Webhooks(Endpoint(receiver.url, secrets, timeout_s=timeout_s))}


def look(store: Store, ways: dict, now: datetime = NOW):
    """One look at the outbox, and what it came to."""
    [report] = deliver(store, ways, lambda: now) or [None]
    return report


def test_the_signature_is_the_one_of_the_specification_s_own_vector() -> None:
    # From the test suites of the specification's libraries.
    endpoint = Endpoint("https://x.example", ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",))
    moment = datetime.fromtimestamp(1614265330, UTC)

    headers = signed_headers(
        endpoint, "msg_p5jXN8AQM9LWM0D4loKWxJek", '{"test": 2432232314}', moment
    )

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_the_platform_gets_what_was_decided_signed_and_once(
    store: Store, receiver: Receiver
) -> None:
    case_id = approve(store, cancellation())

    first, second = look(store, webhooks(receiver)), look(store, webhooks(receiver))

    [message] = receiver.effects.values()
    assert (first.sent, second, receiver.forged) == (1, None, 0)
    assert message == {
        "type": "session.cancel",
        "timestamp": "2026-11-22T12:00:00Z",
        "data": {
            "reasons": ["outside_competence"],
            "initial": True,
            "session_id": "1001",
            "case_id": case_id,
            "idempotency_key": "session.cancel:1001",
        },
    }
    assert states(store) == ["sent"]
    assert store.case(case_id).audit[-1].event == "sent"
    assert store.first_broken_audit_row() is None


def test_nothing_leaves_before_its_time(store: Store, receiver: Receiver) -> None:
    approve(store, cancellation(not_before=NOW + timedelta(seconds=30)))

    assert look(store, webhooks(receiver), NOW + timedelta(seconds=29)) is None
    assert look(store, webhooks(receiver), NOW + timedelta(seconds=30)).sent == 1


def test_a_secret_is_rotated_without_a_message_refused(store: Store, receiver: Receiver) -> None:
    new = "whsec_" + base64.b64encode(b"n" * 32).decode()
    approve(store, cancellation())
    signed_by_both = Endpoint(receiver.url, (new, receiver.shared_secret))

    deliver(store, {"platform": Webhooks(signed_by_both)}, lambda: NOW)

    assert (len(receiver.effects), receiver.forged) == (1, 0)
    assert receiver.headers[0]["webhook-signature"].count("v1,") == 2


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "not base64 at all, no"])
def test_a_secret_that_is_none_is_refused_before_anything_is_sent(secret: str) -> None:
    with pytest.raises(EndpointError, match="openssl rand"):
        Endpoint("https://x.example", (secret,))


def test_every_attempt_is_the_same_message_to_the_platform(
    store: Store, receiver: Receiver
) -> None:
    approve(store, cancellation())
    receiver.statuses = [500, 500]

    now = NOW
    while look(store, webhooks(receiver), now):
        now += timedelta(days=2)

    assert len(receiver.bodies) == 3
    assert len(set(receiver.bodies)) == 1
    assert len({sent["webhook-id"] for sent in receiver.headers}) == len(receiver.effects) == 1


@pytest.mark.parametrize("trouble", ["hang_up", "answer_lost", "slow", "drip"])
def test_an_answer_that_does_not_come_is_asked_for_again_and_the_effect_is_one(
    trouble: str, store: Store, receiver: Receiver
) -> None:
    approve(store, cancellation())
    receiver.trouble, receiver.delay_s = trouble, 2  # type: ignore[assignment]

    failed = look(store, webhooks(receiver, timeout_s=0.3))
    receiver.trouble = ""
    again = look(store, webhooks(receiver), NOW + timedelta(hours=1))

    assert (failed.failed, failed.later, again.sent) == (True, 1, 1)
    assert len(receiver.effects) == 1


def test_a_platform_that_is_down_is_not_asked_for_each_message(store: Store) -> None:
    for number in range(5):
        approve(store, cancellation(str(number)))
    with webhook_receiver() as gone:
        ways = webhooks(gone)

    report = look(store, ways)

    assert (report.failed, report.later) == (True, 1)
    assert report.problem == "no connection (ConnectionError)"


@pytest.mark.parametrize(
    ("status", "state"),
    [(200, "sent"), (204, "sent"), (400, "dead"), (409, "dead"), (410, "dead"), (422, "dead"),
     (301, "waiting"), (401, "waiting"), (404, "waiting"), (408, "waiting"), (429, "waiting"),
     (500, "waiting"), (503, "waiting")],
)  # fmt: skip
def test_what_an_answer_means_for_the_message(
    status: int, state: str, store: Store, receiver: Receiver
) -> None:
    approve(store, cancellation())
    receiver.statuses = [status]

    look(store, webhooks(receiver))

    [row] = store.outbox()
    assert row.state == state
    assert str(status) in row.note
    assert len(receiver.bodies) == 1  # and never to where a redirection points


def test_the_other_side_may_say_when_to_come_again(store: Store, receiver: Receiver) -> None:
    approve(store, cancellation())
    receiver.statuses, receiver.retry_after = [429], "3600"

    look(store, webhooks(receiver))

    assert store.outbox()[0].due_at == NOW + timedelta(hours=1)
    assert fate_of(503, "Wed, 21 Oct 2026 07:28:00 GMT") == NotNow("HTTP 503", pauses=True)


def test_pauses_grow_and_end_in_a_dead_letter_after_three_days() -> None:
    never = NotNow("HTTP 500")

    pauses = [settled(never, n, NOW, lambda _, most: most) for n in range(1, len(PAUSES_S) + 1)]
    last = settled(never, len(PAUSES_S) + 1, NOW)

    seconds = [(later.at - NOW).total_seconds() for later in pauses]
    assert seconds == pytest.approx([pause * 1.2 for pause in PAUSES_S])
    assert sum(PAUSES_S) > 3 * 86_400
    assert last == Stuck("given up after 10 attempts: HTTP 500")


def test_a_dead_letter_is_tried_again_when_a_person_says_so(
    store: Store, receiver: Receiver
) -> None:
    case_id = approve(store, cancellation())
    receiver.statuses = [422]
    look(store, webhooks(receiver))
    [dead] = store.outbox("dead")

    store.settle_by_hand([dead.id], "ben", NOW, has_left=False)
    look(store, webhooks(receiver))

    assert states(store) == ["sent"]
    told = [(event.event, event.actor) for event in store.case(case_id).audit]
    assert told[-3:] == [("dead", "deliver"), ("retried", "ben"), ("sent", "deliver")]
    assert len({sent["webhook-id"] for sent in receiver.headers}) == 1


class Buggy(Webhooks):
    """Trips over one session's messages."""

    def carry(self, rows, note):
        if rows[0].session_id == "1":
            raise LookupError
        return super().carry(rows, note)


def test_a_bug_on_one_message_does_not_hold_up_the_next(store: Store, receiver: Receiver) -> None:
    for number in range(3):
        approve(store, cancellation(str(number)))

    report = look(store, {"platform": Buggy(Endpoint(receiver.url, (receiver.shared_secret,)))})

    assert (report.sent, report.later) == (2, 1)
    assert [row.note for row in store.outbox("waiting")] == ["bug:LookupError"]


def test_a_message_that_is_interrupted_again_and_again_waits_its_turn() -> None:
    killed = NotNow("interrupted", at_once=True)

    assert settled(killed, 3, NOW) == Later("interrupted", NOW)
    assert settled(killed, 4, NOW).at > NOW + timedelta(hours=1)


def test_of_two_deliverers_at_once_each_message_is_sent_by_one(
    store_url: str, store: Store, receiver: Receiver
) -> None:
    for number in range(20):
        approve(store, cancellation(str(number)))
    start = threading.Barrier(2)

    def work() -> None:
        with open_store(store_url) as own:
            start.wait(30)
            deliver(own, webhooks(receiver), lambda: NOW)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(receiver.effects) == len(receiver.bodies) == 20
    assert set(states(store)) == {"sent"}


def test_a_deliverer_that_slept_through_its_lease_changes_nothing_any_more(store: Store) -> None:
    approve(store, cancellation())
    with store.sending("platform", "sleeper", timedelta(0)) as asleep:
        rows = asleep.take(NOW)
        with store.sending("platform", "other", timedelta(minutes=1)) as awake:
            assert awake.interrupted() == rows
            awake.settle(rows, Later("interrupted", NOW), NOW)

            with pytest.raises(LeaseLostError):
                asleep.settle(rows, Left("late"), NOW)
            with pytest.raises(LeaseLostError):
                asleep.note(rows[0], "late")

    assert states(store) == ["waiting"]


def test_files_hold_each_thing_once_for_our_user_alone(store: Store, tmp_path: Path) -> None:
    for number in range(3):
        approve(store, cancellation(str(number)))

    deliver(store, {"platform": ExportFolder(tmp_path)}, lambda: NOW)
    deliver(store, {"platform": ExportFolder(tmp_path)}, lambda: NOW)

    [file] = [path for path in tmp_path.iterdir() if path.suffix == ".jsonl"]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert file.stat().st_mode & 0o777 == 0o600
    assert [line["data"]["session_id"] for line in lines] == ["0", "1", "2"]
    assert len({line["id"] for line in lines}) == 3
    assert set(states(store)) == {"sent"}


def test_a_file_written_just_before_a_crash_is_the_same_file_after_it(
    store: Store, tmp_path: Path
) -> None:
    for number in range(3):
        approve(store, cancellation(str(number)))
    with store.sending("platform", "killed", timedelta(minutes=1)) as sending:
        ExportFolder(tmp_path).carry(sending.take(NOW, most=5_000), lambda _: None)
    approve(store, cancellation("3"))
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.jsonl")}

    deliver(store, {"platform": ExportFolder(tmp_path)}, lambda: NOW)

    after = {path.name: path.read_bytes() for path in tmp_path.glob("*.jsonl")}
    assert after.items() > before.items()
    lines = b"".join(after.values()).splitlines()
    assert len(lines) == len(set(lines)) == 4
    assert set(states(store)) == {"sent"}


def test_a_full_disk_leaves_no_half_file(store: Store, tmp_path: Path) -> None:
    approve(store, cancellation())

    report = look(store, {"platform": ExportFolder(tmp_path / "gone")})

    assert (report.failed, report.problem) == (True, "export folder: No such file or directory")
    assert states(store) == ["waiting"]

"""What must hold when quiet has come back: nothing lost, nothing twice, nothing grown."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from faults.bench import CANARIES
from faults.oracle import Mail, State, connected, judged, told

from soak.services import growth

#: MB that a process may grow in an hour, by the slope over the second half of a soak, and what it
#: may have grown in all over that half: a short soak has steep slopes that mean nothing.
MB_AN_HOUR = 30.0
MB_IN_ALL = 15.0
#: What a process loads by and by in its first minutes is no growth.
WARM_S = 180.0
#: What leaves no more by itself. Held is what a later mail has stopped, until a person decides.
SETTLED = ("sent", "taken_back", "held")
_QUERIES = {
    "outbox": "SELECT * FROM outbox WHERE channel = 'platform'",
    "verdicts": "SELECT case_id, version, action FROM verdicts WHERE undone_at IS NULL",
    "held": "SELECT count(*) AS n FROM leases WHERE owner <> '' AND expires_at > {now}",
}


@dataclass
class Effects:
    """What was decided and what left, from both ends."""

    outbox: Sequence[Mapping[str, Any]]
    verdicts: Sequence[Mapping[str, Any]]
    received: Mapping[str, Mapping[str, Any]]  # by the id of the webhook
    approved: Collection[int]  # cases, where the page said that it is done
    unsure: Collection[int] = field(default_factory=list)  # cases, where it said nothing


def effects_wrong(effects: Effects) -> Iterator[str]:
    """Each decision once on record, and each effect once outside; both for every one of them."""
    yield from _records_wrong(effects)
    arrived = Counter(body["data"]["idempotency_key"] for body in effects.received.values())
    for row in effects.outbox:
        if row["state"] not in SETTLED:
            yield f"E4 an effect is left {row['state']}"
        if row["state"] == "sent" and row["key"] not in arrived:
            yield "E5 an effect is called sent that never arrived"
    if arrived.keys() - {row["key"] for row in effects.outbox}:
        yield "E6 an effect arrived that nobody decided"
    seen = Counter((body["data"]["session_id"], body["type"]) for body in effects.received.values())
    for counts, what in ((arrived, "effect"), (seen, "action on a session")):
        if (most := max(counts.values(), default=0)) > 1:
            yield f"E7 an {what} arrived under {most} ids"


def _records_wrong(effects: Effects) -> Iterator[str]:
    approvals = Counter(row["case_id"] for row in effects.verdicts if row["action"] == "approve")
    if set(effects.approved) - approvals.keys():
        yield "E1 an approval that the page confirmed is not on record"
    versions = Counter((row["case_id"], row["version"]) for row in effects.verdicts)
    if max(versions.values(), default=0) > 1:
        yield "E2 two decisions were made about one version of a case"
    if approvals.keys() - {*effects.approved, *effects.unsure}:
        yield "E3 an approval is on record that nobody made"


def effects_of(url: str, **more: Any) -> Effects:
    with connected(url) as connection:
        rows = {
            name: [dict(row) for row in connection.execute(_QUERIES[name])]
            for name in ("outbox", "verdicts")
        }
    return Effects(**rows, **more)


def mail_wrong(url: str, kept: Collection[Mail], taken: Collection[bytes]) -> Iterator[str]:
    """Conservation, by the oracle of the fault campaign, from the mailbox's own bytes."""
    # A killed deliverer's lease lies there until somebody wants it: ``leases_wrong`` looks at time.
    # And the campaign's mails ask for one thing each, and nobody decides about them but the
    # machine: ``_decisions_wrong`` knows better.
    not_here = ("I5 a lease is held", "I2 one request is decided", "I3 a decision is stored")
    yield from (one for one in judged(url, kept) if not one.startswith(not_here))
    yield from _decisions_wrong(State.of(url), url)
    there = {mail.digest for mail in kept}
    for content in taken:
        if hashlib.sha256(content).hexdigest() not in there:
            yield "I1 the mail server has lost a mail: this soak proves nothing"


def _decisions_wrong(state: State, url: str) -> Iterator[str]:
    with connected(url) as connection:
        by_people = {
            row["new_decision_id"]
            for row in connection.execute("SELECT new_decision_id FROM verdicts")
        }
    messages = {row["id"] for row in state.messages}
    cases = {row["id"] for row in state.cases}
    asked: Counter[tuple[object, ...]] = Counter()
    for row in state.decisions:
        by_machine = row["message_id"] in messages
        if row["case_id"] not in cases or not (by_machine or row["id"] in by_people):
            yield "I3 a decision is stored without its message, verdict or case"
        if by_machine:
            asked[row["message_id"], row["case_id"], str(row["request"])] += 1
    for count in asked.values():
        if count > 1:
            yield f"I2 one request is decided {count} times"


def leases_wrong(url: str) -> Iterator[str]:
    now = "now()" if not url.startswith("sqlite") else "strftime('%Y-%m-%d %H:%M:%f', 'now')"
    with connected(url) as connection:
        if connection.execute(_QUERIES["held"].format(now=now)).fetchone()["n"]:
            yield "I5 a lease is held though nobody is at work"


def memory_wrong(
    samples: Mapping[str, Sequence[tuple[float, float]]], since: float
) -> Iterator[str]:
    """Growth over the second half, which no process may have begun in."""
    for name, series in samples.items():
        late = [held for moment, held in series if moment >= since]
        slope, _ = growth(series, since)
        if not late or series[0][0] > since - WARM_S:
            continue
        quarter = max(1, len(late) // 4)
        risen = sum(late[-quarter:]) / quarter - sum(late[:quarter]) / quarter
        if slope > MB_AN_HOUR and risen > MB_IN_ALL:
            yield f"M1 {name.split()[0]} grows by {slope:.0f} MB an hour"


def logs_wrong(logs: Mapping[str, str]) -> Iterator[str]:
    for name, said in logs.items():
        yield from (f"{line}: {name}" for line in told(said, CANARIES))
        for word in ("Traceback", "SQLAlchemyError", "OperationalError"):
            if word in said:
                yield f"I5 {name} shows a {word}"

"""Made-up histories of a team's work, laid straight into the tables, for counting them over.

A history is plain lists of rows. What the store counts in SQL is counted again over these lists by
``recounted`` in the plainest Python, from the definitions in docs/overview.md alone.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import delete, insert
from store_samples import DECISION, FACTS, REQUEST, email

from store import Store
from store.outgoing_schema import corrections, second_looks, verdicts
from store.periods import Period
from store.schema import cases, decisions, folders, messages, quarantine, sessions
from store.values import decision_json, details_json, facts_json, request_json

_REQUEST, _FACTS, _DECISION = request_json(REQUEST), facts_json(FACTS), decision_json(DECISION)
_DETAILS = details_json(email(0))
LONDON = ZoneInfo("Europe/London")
QUEUES = ("cancellation", "referral", "enquiry", "general")
ACTING = {"approve", "refer", "send_back", "note_reason", "general", "dismiss", "withdraw"}
OTHER = ("correct", "assign", "snooze", "reopen", "confirm_guarantee", "undo")
FIELDS: dict[str, tuple[Any, ...]] = {
    "kind": ("cancellation", "referral", "enquiry"),
    "client_notification": ("discussed", "informed", "unknown"),
    "fit_reasons": ([], ["availability"], ["availability", "format"]),
    "alternatives_requested": (True, False),
    "client_ref": (None, "Sarah Malik", "=1+1"),
}


@dataclass
class History:
    messages: list[dict[str, Any]] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    corrections: list[dict[str, Any]] = field(default_factory=list)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    quarantine: list[dict[str, Any]] = field(default_factory=list)

    def lay_down(self, store: Store) -> None:
        """Make *store*'s tables hold this history and nothing else of its kind."""
        tables = (messages, cases, decisions, verdicts, corrections, sessions)
        with store._database.writing() as connection:
            for table in (second_looks, quarantine, *reversed(tables)):
                connection.execute(delete(table))
            connection.execute(delete(folders))
            connection.execute(insert(folders), {"id": 1, "source": "maildir:x", "folder": ""})
            for table in (*tables, quarantine):
                rows = getattr(self, table.name)
                if rows:
                    connection.execute(insert(table), rows)


def made_up(
    seed: int, first: date, days: int, *, size: int = 30, readers: tuple[str, ...] = ("m@1", "m@2")
) -> History:
    """A history of *size* cases, each moment of it by chance, around every change of the clock."""
    chance = random.Random(seed)
    start = datetime.combine(first, datetime.min.time(), LONDON).astimezone(UTC)

    def moment() -> datetime:
        if chance.random() < 0.2:  # about midnight, where days begin
            day = start + timedelta(days=chance.randrange(days + 1))
            return day + timedelta(seconds=chance.choice((-3600, -1, 0, 1, 3599, 3600)))
        return start + timedelta(seconds=chance.uniform(-3, days + 3) * 86400)

    history = History()
    for number in range(1, size + 1):
        _case(history, chance, moment, number, readers)
    for number in range(1, chance.randrange(4) + 1):
        history.quarantine.append(
            {
                "id": number, "digest": f"q{number}", "folder_id": 1, "uidvalidity": 1,
                "uid": number, "cause": "charset", "detail": "", "attempts": 1,
                "quarantined_at": moment(), "tried_at": start,
            }
        )  # fmt: skip
    return history


def _case(
    history: History, chance: random.Random, moment: Any, number: int, readers: tuple[str, ...]
) -> None:
    opened, queue = moment(), chance.choice(QUEUES)
    session = f"HT-{number}" if chance.random() < 0.8 else ""
    mails = chance.choice((1, 1, 2))
    for n in range(mails):
        mail = len(history.messages) + 1
        kept = opened if n == 0 else opened + timedelta(hours=chance.uniform(0, 90))
        history.messages.append(message(mail, kept, queue, chance.choice(("", "", "bounce"))))
        reader = chance.choice(readers)
        history.decisions.append(decision(len(history.decisions) + 1, number, mail, kept, reader))
    state = chance.choice(("ready", "check", "check", "done", "withdrawn"))
    history.cases.append(case(number, opened, queue, state, session, len(history.decisions)))
    if session:
        starts = opened + timedelta(hours=chance.uniform(-30, 200))
        history.sessions.append(
            {
                "session_id": session, "therapist_id": "T1", "client_id": "C1",
                "starts_at": starts, "stage": "initial",
                "status": chance.choice(("unconfirmed", "confirmed", "cancelled")),
                "fingerprint": "", "gone_at": chance.choice((None, None, None, opened)),
            }
        )  # fmt: skip
    seen = len(history.decisions)
    at = opened
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        at += timedelta(hours=chance.expovariate(1 / 20))
        action = chance.choice((*sorted(ACTING), *OTHER))
        verdict(history, number, action, at, queue, seen, undone=chance.random() < 0.2)
        for name in chance.sample(sorted(FIELDS), chance.choice((0, 0, 1, 2))):
            was, now = chance.choice(FIELDS[name]), chance.choice(FIELDS[name])
            correction(history, name, was, now)
        if chance.random() < 0.5:  # the person's own decision is what the next one sees
            seen = len(history.decisions) + 1
            history.decisions.append(decision(seen, number, None, at, "person"))


def message(number: int, at: datetime, queue: str, automatic: str = "") -> dict[str, Any]:
    return {
        "id": number, "digest": f"d{number}", "message_id": f"<{number}@x>",
        "sender": "a@b.example", "authenticated": True, "sent_at": at, "stored_at": at,
        "queue": queue, "automatic": automatic, "channel": "email", "subject": "", "new_text": "",
        "quoted_text": "", "signature": "", "details": _DETAILS, "run_id": None,
    }  # fmt: skip


def case(
    number: int, opened: datetime, queue: str, state: str, session: str, latest: int
) -> dict[str, Any]:
    return {
        "id": number, "queue": queue, "state": state, "open": state in ("ready", "check"),
        "blockers": ";;", "kind": "cancellation", "session_id": session, "therapist_id": "T1",
        "client_id": "C1", "sender": "a@b.example", "authenticated": True,
        "sender_authenticated": True, "safeguarding": False, "priority": 2, "deadline": None,
        "guarantee": "", "opened_at": opened, "changed_at": opened, "version": 1,
        "decision_id": latest,
    }  # fmt: skip


def decision(
    number: int, case_id: int, mail: int | None, at: datetime, reader: str
) -> dict[str, Any]:
    return {
        "id": number, "case_id": case_id, "message_id": mail, "decided_at": at,
        "reader_version": reader, "request": _REQUEST, "facts": _FACTS, "decision": _DECISION,
    }  # fmt: skip


def verdict(
    history: History, case_id: int, action: str, at: datetime, queue: str, seen: int,
    *, by: str = "anna", undone: bool = False, overrides: tuple[str, ...] = (),
) -> None:  # fmt: skip
    number = len(history.verdicts) + 1
    history.verdicts.append(
        {
            "id": number, "key": f"k{number}", "case_id": case_id, "version": number,
            "new_version": number + 1, "decision_id": seen, "new_decision_id": None,
            "action": action, "by": by, "at": at, "reason": "", "overrides": list(overrides),
            "details": {}, "before": {"queue": queue}, "undone_at": at if undone else None,
        }
    )  # fmt: skip


def correction(history: History, name: str, was: object, now: object) -> None:
    """A field of the last verdict set right."""
    history.corrections.append(
        {
            "verdict_id": len(history.verdicts), "field": name,
            "before": {"value": was}, "after": {"value": now}, "differs": was != now,
        }
    )  # fmt: skip


# --- counted over in the plainest way ------------------------------------------------------------


def recounted(history: History, period: Period, now: datetime) -> dict[str, Any]:
    """What the store should say of *history*, by what docs/overview.md says."""
    inside = _Inside(history, period)
    return {
        "came": inside.came(),
        "needed_nobody": inside.needed_nobody(),
        "automatic": sum(
            m["automatic"] != "" for m in history.messages if inside.holds(m["stored_at"])
        ),
        "waited": inside.waited(),
        "shown": len({v["case_id"] for v in inside.judged()}),
        "fields": inside.fields(),
        "changes": inside.changes(),
        "approved": inside.approved(),
        "lapsed": inside.lapsed(now),
        "versions": inside.versions(),
        "by_day": inside.by_day(),
    }


@dataclass
class _Inside:
    history: History
    period: Period

    def day(self, at: datetime) -> date:
        return at.astimezone(LONDON).date()

    def holds(self, at: datetime) -> bool:
        return self.period.first <= self.day(at) <= self.period.last

    def standing(self) -> list[dict[str, Any]]:
        return [v for v in self.history.verdicts if v["undone_at"] is None]

    def judged(self) -> list[dict[str, Any]]:
        actions = ACTING | {"correct"}
        return [v for v in self.standing() if v["action"] in actions and self.holds(v["at"])]

    def changed(self, verdict: dict[str, Any]) -> list[dict[str, Any]]:
        found = [c for c in self.history.corrections if c["verdict_id"] == verdict["id"]]
        return [c for c in found if c["before"] != c["after"]]

    def came(self) -> dict[tuple[date, str], int]:
        found = Counter(
            (self.day(m["stored_at"]), m["queue"])
            for m in self.history.messages
            if self.holds(m["stored_at"])
        )
        found.update(
            (self.day(q["quarantined_at"]), "quarantine")
            for q in self.history.quarantine
            if self.holds(q["quarantined_at"])
        )
        return dict(found)

    def needed_nobody(self) -> int:
        touched = {v["case_id"] for v in self.history.verdicts}
        touched |= {c["id"] for c in self.history.cases if c["state"] == "check"}
        busy = {d["message_id"] for d in self.history.decisions if d["case_id"] in touched}
        return sum(
            m["queue"] == "general" and m["id"] not in busy
            for m in self.history.messages
            if self.holds(m["stored_at"])
        )

    def waited(self) -> dict[str, tuple[int, int, int]]:
        opened = {c["id"]: c["opened_at"] for c in self.history.cases}
        seen: set[int] = set()
        found = defaultdict(list)
        for given in self.standing():
            if given["action"] not in ACTING or given["case_id"] in seen:
                continue
            seen.add(given["case_id"])
            if self.holds(given["at"]):
                seconds = int((given["at"] - opened[given["case_id"]]).total_seconds())
                found[given["before"]["queue"]].append(max(seconds, 0))
                found[""].append(max(seconds, 0))
        return {q: (len(s), _rank(s, 0.5), _rank(s, 0.9)) for q, s in found.items()}

    def fields(self) -> dict[str, int]:
        found = defaultdict(set)
        for given in self.judged():
            for one in self.changed(given):
                found[one["field"]].add(given["case_id"])
        return {name: len(numbers) for name, numbers in found.items()}

    def changes(self) -> int:
        """How many changes of one value there were, values of sets counted one by one."""
        total = 0
        for one in [c for given in self.judged() for c in self.changed(given)]:
            was, now = one["before"]["value"], one["after"]["value"]
            total += len({*was} ^ {*now}) if isinstance(was, list) else 1
        return total

    def approved(self) -> tuple[int, int]:
        carried_out = {
            v["case_id"]
            for v in self.standing()
            if v["action"] in ("approve", "refer", "note_reason") and self.holds(v["at"])
        }
        set_right = {
            v["case_id"]
            for v in self.standing()
            if v["action"] in ACTING | {"correct"}
            and self.day(v["at"]) <= self.period.last
            and self.changed(v)
        }
        return len(carried_out), len(carried_out - set_right)

    def lapsed(self, now: datetime) -> set[int]:
        found = set()
        known = {s["session_id"]: s for s in self.history.sessions}
        for one in self.history.cases:
            booked = known.get(one["session_id"])
            if booked is None or booked["gone_at"] or booked["status"] == "cancelled":
                continue
            starts = booked["starts_at"]
            acted = any(
                v["case_id"] == one["id"] and v["action"] in ACTING and v["at"] < starts
                for v in self.standing()
            )
            ours = one["queue"] != "general" and one["state"] != "withdrawn"
            if ours and not acted and self.holds(starts) and one["opened_at"] < starts <= now:
                found.add(one["id"])
        return found

    def reader(self, given: dict[str, Any]) -> str:
        read = [
            d
            for d in self.history.decisions
            if d["case_id"] == given["case_id"]
            and d["id"] <= given["decision_id"]
            and d["reader_version"] != "person"
        ]
        return str(max(read, key=lambda d: d["id"])["reader_version"])

    def versions(self) -> dict[str, tuple[int, int]]:
        judged, wrong = defaultdict(set), defaultdict(set)
        for given in self.judged():
            judged[self.reader(given)].add(given["case_id"])
            if self.changed(given):
                wrong[self.reader(given)].add(given["case_id"])
        began = {
            d["reader_version"]
            for d in self.history.decisions
            if d["reader_version"] != "person" and self.day(d["decided_at"]) <= self.period.last
        }
        return {name: (len(judged[name]), len(wrong[name])) for name in began}

    def by_day(self) -> dict[date, tuple[int, int]]:
        judged, wrong = defaultdict(set), defaultdict(set)
        for given in self.judged():
            judged[self.day(given["at"])].add(given["case_id"])
            if self.changed(given):
                wrong[self.day(given["at"])].add(given["case_id"])
        return {day: (len(found), len(wrong[day])) for day, found in judged.items()}


def _rank(values: list[int], part: float) -> int:
    return sorted(values)[max(math.ceil(len(values) * part - 1e-9), 1) - 1]

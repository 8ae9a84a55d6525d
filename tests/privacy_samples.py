"""A registry of two clients, and one of them with a word in every place that can hold one."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Table, func, insert, select
from store_samples import (
    DECISION,
    NOW,
    REQUEST,
    THERAPISTS,
    email,
    key,
    raw_message,
    registry_file,
    session,
)

from store import ImportReport, Outcome, Store
from store.outgoing_schema import second_looks
from store.presence_schema import bulk_steps, bulks
from store.search_schema import saved_views
from store.shadow_schema import shadow_candidates, shadow_readings, shadow_verdicts
from triage.records import (
    Address,
    Attachment,
    CaseFacts,
    Client,
    Draft,
    Email,
    Finding,
    RawMessage,
    Request,
    Session,
    Span,
    Therapist,
)
from triage.verdicts import Correction, Outgoing, Verdict

LATER = NOW + timedelta(days=30)
JO = Client("C1", "Jocelyn", "Zqmayfield", "zqjo@x.example")
HERS = Session("HT-100001", "T1", "C1", NOW + timedelta(days=3), "initial", "unconfirmed")
HIS = Session("HT-100002", "T1", "C2", NOW + timedelta(days=4), "initial", "unconfirmed")
ANA = Therapist("T1", "Ana Reid", ("ana@practice.example",), ())
#: A word for each place that can hold words of people.
PLACES = (
    "zqraw", "zqsubject", "zqnew", "zqquoted", "zqsignature", "zqattached", "zqsaq", "zqsender",
    "zqref", "zqevidence", "zqspan", "zqreason", "zqdraft", "zqwhy", "zqverdict", "zqdetails",
    "zqbefore", "zqafter", "zqpayload", "zqlook", "zqbulk", "zqtold", "zqview", "zqlocked",
    "Zqmayfield", "zqjo", "zqpair", "zqshadow", "zqcopied",
)  # fmt: skip


def imported(store: Store, *more: dict[str, str]) -> list[ImportReport]:
    hers = {"client_id": "C1", "first_name": JO.first_name, "last_name": JO.last_name}
    his = {"client_id": "C2", "first_name": "Ned", "last_name": "Bell", "email": "ned@x.example"}
    rows = [hers | {"email": JO.email}, his, *more]
    booked = [session("HT-100001"), session("HT-100002", client_id="C2")]
    return store.import_registry(
        therapists=registry_file(THERAPISTS),
        clients=registry_file(rows),
        sessions=registry_file(booked),
        now=NOW,
    )


def facts(one: Session) -> CaseFacts:
    client = JO if one is HERS else Client("C2", "Ned", "Bell", "ned@x.example")
    return CaseFacts(
        registry_known=True, sender_is="owner", therapist=ANA, session=one, client=client
    )


def ask(one: Session, **changes: object) -> Request:
    return replace(REQUEST, **{"session_ids": (one.session_id,), "findings": (), **changes})


def take(store: Store, number: int, mail: Email, *outcomes: Outcome, content: str = "") -> int:
    raw = raw_message(number, text=content)
    store.keep_raw([raw])
    with store.batch(now=NOW) as batch:
        [case, *_] = batch.add(raw.key, raw.digest, mail, outcomes) or (0,)
    return case


def his(**changes: object) -> Outcome:
    return Outcome(ask(HIS, **changes), facts(HIS), DECISION)


def hers(store: Store) -> int:
    """A case with a word in each place that its mail and its decision have."""
    mail = email(
        1,
        subject="zqsubject",
        new_text="zqnew is not well and zqspan as well.\nPlease let HT-100001 go, says zqevidence.",
        quoted_text="> zqquoted",
        signature="zqsignature",
        attachments=(Attachment("zqattached.pdf", "application/pdf", 9, "zqsaq"),),
        reply_to=(Address("zqsender", "zqsender@x.example"),),
    )
    asked = ask(
        HERS,
        client_ref="zqref",
        notification_evidence="says zqevidence",
    )
    found = Finding("risk", "low", Span("new_text", 22, 28, "zqspan"), "rule:x", 0.9)
    decided = replace(
        DECISION,
        reasons=("zqreason",),
        draft=Draft("a@x", "Re", "zqdraft", "", (), "client"),
        alternatives=(replace(DECISION.alternatives[0], why=("zqwhy",)),),
    )
    made = Outcome(replace(asked, findings=(found,)), facts(HERS), decided)
    return take(store, 1, mail, made, content="zqraw")


def judged(store: Store, case: int) -> None:
    verdict = Verdict(
        case,
        "approve",
        "anna",
        NOW,
        corrections=(Correction("client_ref", "zqbefore", "zqafter"),),
        reason="zqverdict",
        details={"note": "zqdetails"},
    )
    letter = Outgoing("platform", "session.cancel", "k1", {"words": "zqpayload"}, NOW, "HT-100001")
    store.act(
        verdict, version=1, state="done", request=None, decision=None, outgoing=[letter], now=NOW
    )


def planted(store: Store) -> None:
    """Words in the places that no mail reaches."""
    database = store.erasures.database
    [number] = [one.id for one in store.verdicts()]
    with database.writing() as connection:
        add = connection.execute
        look = {"verdict_id": number, "by": "ben", "at": NOW, "agrees": True, "words": "zqlook"}
        add(insert(second_looks), look)
        bulk = {"token": "t", "by": "ben", "at": NOW, "action": "approve", "reason": "zqbulk"}
        add(insert(bulks), bulk | {"details": {"note": "zqbulk"}})
        step = {"token": "t", "case_id": 1, "position": 0, "version": 1, "outcome": "done"}
        add(insert(bulk_steps), step | {"rule": "", "told": ["zqtold"], "undone": ""})
        view = {"owner": "ben", "name": "Jocelyn Zqmayfield zqview", "filters": {}}
        add(insert(saved_views), view | {"shared": False, "created_at": NOW})
        one = {"name": "c", "digest": "", "first_at": NOW, "tried_at": NOW, "problem": ""}
        add(insert(shadow_candidates), one)
        reading = {
            "candidate_id": 1, "message_id": 1, "champion": "", "stored_at": NOW, "read_at": NOW,
            "seconds": 0.1, "problem": "", "pairs": ["zqpair"], "differences": [], "fields": "",
            "worst": 0,
        }  # fmt: skip
        add(insert(shadow_readings), reading)
        said = {"reading_id": 1, "field": "kind", "ask": 0, "side": "", "by": "ben", "at": NOW}
        add(insert(shadow_verdicts), said | {"words": "zqshadow"})


def locked(store: Store) -> RawMessage:
    """A mail that nobody could read, from her."""
    content = b"From: zqjo@x.example\r\n\r\nzqlocked"
    digest = hashlib.sha256(content).hexdigest()
    raw = RawMessage(key(50), NOW, digest, content)
    store.keep_raw([raw])
    with store.batch(now=NOW) as batch:
        batch.quarantine(raw.key, digest, "too_large", "zqlocked")
    return raw


def filled(store: Store) -> None:
    imported(store)
    case = hers(store)
    judged(store, case)
    planted(store)
    locked(store)
    copying = email(
        2, new_text="Ned is fine.", quoted_text="> zqcopied", in_reply_to="<1@mail.example>"
    )
    take(store, 2, copying, his(), content="zqcopied")


def count(store: Store, table: Table) -> int:
    with store.erasures.database.reading() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0

"""A person who is to be forgotten: nothing of them is left, and nothing of them comes back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from services.postgres import Postgres
from sqlalchemy import insert, select, text
from store_samples import (
    CLIENTS,
    DECISION,
    NOW,
    REQUEST,
    THERAPISTS,
    email,
    key,
    outcome,
    raw_message,
    registry_file,
    session,
)

from store import Store, open_store
from store.contents import held, unknown
from store.database import open_database
from store.erasing import Erased
from store.erasure_schema import tombstones
from store.outgoing_schema import second_looks
from store.presence_schema import bulk_steps, bulks
from store.schema import audit, cases, messages, places, quarantine, raws
from store.search_schema import saved_views
from store.shadow_schema import shadow_candidates, shadow_readings, shadow_verdicts
from store.washing import wash
from triage.records import (
    Address,
    Attachment,
    CaseFacts,
    Client,
    Draft,
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


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened:
        yield opened


def imported(store: Store, *more: dict[str, str]) -> list[object]:
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
    return CaseFacts(True, "owner", therapist=ANA, session=one, client=client)


def ask(one: Session, **changes: object) -> Request:
    return replace(REQUEST, session_ids=(one.session_id,), findings=(), **changes)


def take(store: Store, number: int, mail: object, *outcomes: object, content: str = "") -> int:
    raw = raw_message(number, text=content)
    store.keep_raw([raw])
    with store.batch(now=NOW) as batch:
        [case, *_] = batch.add(raw.key, raw.digest, mail, outcomes) or (0,)
    return case


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
    made = (replace(asked, findings=(found,)), facts(HERS), decided)
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
    take(store, 2, copying, (ask(HIS), facts(HIS), DECISION), content="zqcopied")


def erase(store: Store, **changes: object) -> Erased:
    wish = {"by": "boss", "reason": "request", "now": LATER, **changes}
    return store.erasures.erase("client", "C1", **wish)


def found_in_files(
    store: Store, url: str, request: pytest.FixtureRequest, words: tuple[str, ...]
) -> set[str]:
    """Those of *words* that stand somewhere in the database's own files, plain."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        files = [one for one in path.parent.iterdir() if one.name.startswith(path.name)]
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        with store.erasures.database.writing() as connection:
            oid = connection.scalar(
                text("SELECT oid FROM pg_database WHERE datname = current_database()")
            )
        with store.erasures.database.engine.connect() as opened:
            opened.execution_options(isolation_level="AUTOCOMMIT").execute(text("CHECKPOINT"))
        [folder] = postgres.home.glob(f"**/base/{oid}")
        files = [one for one in folder.iterdir() if one.is_file()]
    contents = [one.read_bytes() for one in files]
    return {word for word in words if any(word.encode() in one for one in contents)}


def test_every_column_that_can_hold_words_is_known_to_whoever_erases() -> None:
    unsaid = [f"{table.name}.{column.name}" for table, column, holds in held() if holds is None]

    assert unsaid == []
    assert unknown() == set()


def test_no_word_of_an_erased_client_is_left_in_the_files(
    store: Store, store_url: str, request: pytest.FixtureRequest
) -> None:
    filled(store)
    with store.erasures.database.engine.connect() as opened:
        opened.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("ANALYZE")
    there = found_in_files(store, store_url, request, PLACES)
    assert set(PLACES) - there <= {"zqraw"}  # bytes as served are kept compressed

    erased = erase(store)
    left = wash(store.erasures.database)

    assert left == []
    assert found_in_files(store, store_url, request, PLACES) == set()
    assert erased.cases == [1]
    assert store.first_broken_audit_row() is None

"""A desk over a real store, for tests of cases that people split and put together.

Mail is read by a stand-in whose readings are known, so that a test says what is read in which
words; the released reader has a test of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from store_samples import registry_file

from casework import an_email
from casework.scenarios import office, registry, wording
from review import acting, splitting
from review.acting import Acted
from store import CaseRow, CaseStory, Store
from triage.conversation import Rules, hear
from triage.effects import Sending
from triage.matter import Thresholds
from triage.records import Email, Finding, MessageKey, Request, Span
from triage.verdicts import Action, Correction, Verdict

NOW = datetime(2025, 11, 4, 10, tzinfo=UTC)
RULES = Rules(NOW, office(), Thresholds(), wording())
SENDING = Sending("mail", timedelta(seconds=30))

IMOGEN = "Please cancel Imogen Hart's session HT-218834."
TOLD = "I have told her and we talked through why."
WHY = "She has OCD and needs ERP, which I do not offer."
SARAH = "Sarah Malik too, HT-210002: plateaued since Christmas."
UNTOLD = "She does not know yet."
DANGER = "She said that she will end her life tonight."


def said_by(text: str) -> tuple[Request, ...]:
    """What the stand-in reads: one ask, of whoever is named first."""
    if IMOGEN in text or SARAH in text:
        kind, sure = "cancellation", 0.97
    else:
        kind, sure = ("update", 0.97) if TOLD in text or UNTOLD in text else ("other", 0.9)
    both = IMOGEN in text and SARAH in text
    name, session = ("Imogen Hart", "HT-218834") if IMOGEN in text else (None, None)
    if SARAH in text and not both:
        name, session = "Sarah Malik", "HT-210002"
    news = "not_informed" if UNTOLD in text else "discussed" if TOLD in text else "unknown"
    reasons = ("approach_mismatch",) if WHY in text else ()
    reasons += ("no_progress",) if SARAH in text else ()
    found = [_evidence("client_notification", news, text, TOLD, UNTOLD)]
    found += [_evidence("session_ids", session or "", text, session or "-")]
    return (
        Request(
            kind=kind,  # type: ignore[arg-type]  # one of three codes
            session_ids=(session,) if session else (),
            client_ref=name,
            fit_reasons=reasons,
            presenting_issues=("ocd",) if WHY in text else (),
            required_approaches=("erp",) if WHY in text else (),
            client_notification=news,  # type: ignore[arg-type]  # likewise
            notification_evidence=TOLD if news == "discussed" else "",
            risk="urgent" if DANGER in text else "none",
            confidence=sure,
            findings=tuple(f for f in found if f.span),
        ),
    )


def _evidence(label: str, value: str, text: str, *words: str) -> Finding:
    at = next((text.index(one) for one in words if one in text), None)
    if at is None:
        return Finding(label, value, None, "rule:stand-in", 0.97)
    one = next(one for one in words if text.startswith(one, at))
    return Finding(label, value, Span("new_text", at, at + len(one), one), "rule:stand-in", 0.97)


class StandIn:
    """A reader that reads one ask in everything."""

    version = "stand-in 1"

    def read(self, emails: Sequence[Email]) -> list[tuple[Request, ...]]:
        return [said_by(email.new_text) for email in emails]


def filled(store: Store) -> Store:
    """The same store with the registry of the scenarios."""
    known = registry(known=True)

    def row(value: Any) -> dict[str, Any]:
        fields = {name: getattr(value, name) for name in value.__slots__}
        return {**fields, "open_to_new": "yes" if fields.get("open_to_new") else "no"}

    store.import_registry(
        therapists=registry_file(map(row, known.therapists)),
        clients=registry_file(map(row, known.clients)),
        sessions=registry_file(map(row, known.sessions)),
        now=NOW,
    )
    return store


@dataclass
class Team:
    """Support staff at work on a real store."""

    store: Store
    rules: Rules = RULES
    reader: Any = field(default_factory=StandIn)
    mails: int = 0

    def mail(self, *words: str, number: int = 0, **changes: Any) -> tuple[int, ...]:
        """A mail of these sentences arrives; the cases it came to."""
        self.mails += 1
        uid = self.mails
        sent_at = NOW + timedelta(minutes=changes.pop("minutes", number or uid))
        text = " ".join(words)
        plain = an_email(message_id=f"<{uid}@x>", subject="My clients", text=text, sent_at=sent_at)
        email = replace(plain, **changes)
        digest = hashlib.sha256(f"{uid}".encode()).hexdigest()
        return self.arrives(email, self.reader.read([email])[0], digest, uid)

    def arrives(
        self, email: Email, read: Sequence[Request], digest: str, uid: int
    ) -> tuple[int, ...]:
        with self.store.batch(now=self.rules.now) as memory:
            outcomes = hear(email, read, memory, self.rules)
            return memory.add(
                MessageKey("maildir:x", "", 1, uid), digest, email, outcomes, reader_version="1"
            )

    def story(self, case: int) -> CaseStory:
        found = self.store.case(case)
        assert found is not None
        return found

    def case(self, number: int) -> CaseRow:
        return self.story(number).case

    def state(self, number: int) -> str:
        return self.case(number).decision.state

    def split(
        self, case: int, *sentences: int, by: str = "mari", version: int | None = None, **more: Any
    ) -> Acted:
        details = {"sentences": list(sentences), "message": more.get("message")}
        verdict = Verdict(case, "split", by, self.rules.now, details=details)
        return splitting.split(
            self.store, self.story(case), verdict, self.rules, lambda: self.reader, version=version
        )

    def merge(
        self, case: int, into: int, by: str = "mari", version: int | None = None, **more: Any
    ) -> Acted:
        verdict = Verdict(case, "merge", by, self.rules.now, details={"into": into, **more})
        return splitting.merge(self.store, self.story(case), verdict, self.rules, version=version)

    def act(self, case: int, action: Action, *corrections: Correction, **more: Any) -> Acted:
        verdict = Verdict(
            case, action, more.pop("by", "mari"), self.rules.now, corrections=corrections, **more
        )
        return acting.act(self.store, self.story(case), verdict, self.rules, SENDING)

    def undo(self, case: int, by: str = "mari") -> Acted:
        return acting.undo(self.store, case, by, self.rules.now)

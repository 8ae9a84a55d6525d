"""Reading mail: the rules and the released model behind one door.

``load_reader()`` gives the reader in use; where the model is refused, ``rules_only()`` still reads
ids, names, times and phrases, with confidences so low that a person looks at everything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from models.registry import RELEASED, ModelRefusedError, load, promoted
from models.views import load_language, look
from triage.grouping import time_of
from triage.labels import CODE_SETS, Kind
from triage.matter import BY_RULES_ALONE
from triage.records import Email, Finding, Request

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

    from models.train import Model
    from models.views import View

__all__ = ["ModelRefusedError", "Reader", "load_reader", "rules_only"]

#: Mail is scored so many messages at a time; more would only cost memory.
_BATCH: Final = 200
_ASKS_TO_STOP: Final = re.compile(
    r"\b(?:cancel|cancell?ed|cancellation|take (?:it|this|him|her|them) off|stand down)\b",
    re.IGNORECASE,
)
_ASKS_TO_MOVE: Final = re.compile(
    r"\b(?:refer(?:ral|red)?|move (?:him|her|them)|another therapist|ending)\b",
    re.IGNORECASE,
)


class Reader:
    """Reads messages into requests. ``version`` names what it reads with."""

    def __init__(self, model: Model | None, version: str, *, fast: bool = False) -> None:
        self._model = model
        self._fast = fast
        self._language = load_language()
        self._threads = _pools_of_threads()
        self.version = version

    def read(self, emails: Sequence[Email]) -> list[tuple[Request, ...]]:
        """The requests of each message, in order; every message has at least one.

        The same messages give the same requests, however they are batched. Automatic mail is one
        ``other`` request.
        """
        found: list[tuple[Request, ...]] = []
        with self._threads.limit(limits=1):
            for first in range(0, len(emails), _BATCH):
                found += self._read_batch(emails[first : first + _BATCH])
        return found

    def _read_batch(self, emails: Sequence[Email]) -> list[tuple[Request, ...]]:
        views = [look(self._language, email) for email in emails if not email.automatic]
        by_person = iter(self._answer(views))
        return [_automatic(email) if email.automatic else next(by_person) for email in emails]

    def _answer(self, views: Sequence[View]) -> list[tuple[Request, ...]]:
        if not views:
            return []
        if self._model is None:
            return [tuple(_by_rules(view)) for view in views]
        from models.answers import answer

        decisions, split, scores = self._model.read(views, fast=self._fast)
        return answer(decisions, split, scores, self.version)


def _pools_of_threads() -> ThreadpoolController:
    """To hold linear algebra to one thread: several processes read, and theirs would wait in turn.

    Two processes on two cores read 53 messages/s together without it, 137 with.
    """
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def load_reader(
    release: str | None = None, *, fast: bool = False, folder: Path = RELEASED
) -> Reader:
    """The reader of *release*, or of the promoted one.

    *fast* leaves out the transformer, for archives: what it costs stands in
    ``docs/understanding.md``. Raises ModelRefusedError when any file differs from what was
    released, or the release does not fit this program.
    """
    version = release or promoted(folder)
    model, manifest = load(folder / version, fast=fast)
    return Reader(model, manifest.version, fast=fast)


def rules_only() -> Reader:
    """A reader that uses no model; all it says is for a person to check."""
    return Reader(None, "rules")


def _automatic(email: Email) -> tuple[Request, ...]:
    finding = Finding("kind", "other", None, f"rule:automatic:{email.automatic}", 0.99)
    return (Request(kind="other", confidence=0.99, findings=(finding,)),)


def _by_rules(view: View) -> list[Request]:
    email = view.reading.email
    text = f"{email.subject}\n{email.new_text}"
    requests = []
    for group in view.groups:
        held = [m for m in group.mentions if m.counts]
        codes: dict[str, Any] = {
            name: tuple(dict.fromkeys(m.value for m in held if m.label == name))
            for name in CODE_SETS
        }
        fit = bool(codes["fit_reasons"] or codes["presenting_issues"])
        stop, move = _ASKS_TO_STOP.search(text), _ASKS_TO_MOVE.search(text)
        kind: Kind = "cancellation" if fit and stop else "referral" if fit and move else "enquiry"
        if not (fit or stop or move):
            kind = "other"
        requests.append(
            Request(
                kind=kind,
                session_ids=group.session_ids,
                client_ref=group.client_ref,
                session_time=time_of(group, kind, email.sent_at),
                confidence=BY_RULES_ALONE,
                findings=tuple(_doubtful(m.finding()) for m in held),
                **(codes if kind != "other" else {}),
            )
        )
    return requests


def _doubtful(finding: Finding) -> Finding:
    confidence = min(finding.confidence, BY_RULES_ALONE)
    return Finding(finding.label, finding.value, finding.span, finding.source, confidence)

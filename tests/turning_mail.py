"""Messages for the tests of where mail turns, and a transformer that says nothing of them."""

from __future__ import annotations

import numpy as np

from models.corpus import Example, Quotes, email_of
from models.decisions import YES_OR_NO, Decision
from models.encoder import OF_REQUESTS, OF_SENTENCES
from models.turning import Turning, noticed_in, turn_features
from models.views import View, load_language, look
from triage.records import Request

BASE = {
    "id": "m1",
    "from_name": "Ada Quill",
    "from_email": "ada@quill.example",
    "sent": "2025-11-03T10:42:00+00:00",
    "subject": "",
    "signature": "",
    "quoted": "",
}


def view_of(text: str, subject: str = "two clients") -> View:
    return look(load_language(), email_of({**BASE, "new_text": text, "subject": subject}))


def at(view: View, words: str) -> int:
    return next(s.index for s in view.reading.sentences if words in s.text)


def example(view: View, *requests: Request, quotes: tuple[Quotes, ...] = ()) -> Example:
    email = view.reading.email
    given = quotes or (Quotes(),) * len(requests)
    return Example("s1", "m1", "therapist", email, requests, given, doubted=False)


def everywhere(view: View) -> tuple[Turning, dict[str, np.ndarray]]:
    """A decision that a message turns at every sentence, and a transformer that says nothing."""
    count = len(view.reading.sentences)
    said = {name: np.full((count, width), -4, np.float32) for name, width in OF_SENTENCES.items()}
    width = turn_features(said, noticed_in(view)).shape[1]
    flat = np.zeros((width, 2), np.float32)
    always = Decision(YES_OR_NO, flat, np.asarray([-5, 5], np.float32))
    never = Decision(YES_OR_NO, flat, np.asarray([5, -5], np.float32))
    return Turning(always, never), said


def hear(groups) -> dict[str, np.ndarray]:
    """A transformer that says the same of every request."""
    return {name: np.zeros((len(groups), width), np.float32) for name, width in OF_REQUESTS.items()}

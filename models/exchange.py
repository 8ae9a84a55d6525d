"""Labels in the forms of annotation tools, there and back: the common part.

A *task* is one request of one message. Tools know choices, texts and marked words: ``Marks`` is a
request's labels as such. The four forms are in ``formats.py``; which there are is ``FORMATS``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from models.corpus import Example
from triage.labels import CODE_SETS, CODES
from triage.records import Request, request_fields

FLAGS: Final = ("alternatives_requested", "guarantee_asked")
#: What is chosen from a list, with the list; sets allow several.
CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    **CODES,
    **CODE_SETS,
    **dict.fromkeys(FLAGS, ("false", "true")),
}
#: What is written in words; several session ids are parted by spaces.
TEXTS: Final = ("client_ref", "session_ids", "session_time")
EVIDENCE: Final = "notification_evidence"


@dataclass(frozen=True, slots=True)
class Marks:
    """The labels of one request as choices, texts and the words that decide who was told.

    ``evidence`` is where those words stand in the task's text, None for nowhere.
    """

    choices: Mapping[str, tuple[str, ...]]
    texts: Mapping[str, str] = field(default_factory=dict)
    evidence: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One request to label. ``given`` is a person's answer, ``suggested`` the model's."""

    message: str
    ask: int  # which of the message's requests, from 0
    text: str  # subject, a blank line, new text
    given: Marks | None = None
    suggested: Marks | None = None
    sure: float = 0.0  # of the suggestion's kind
    by: str = ""
    version: str = ""  # of the model that suggests

    @property
    def key(self) -> str:
        return f"{self.message}#{self.ask}"


def text_of(subject: str, new_text: str) -> str:
    """A message as those who label see it."""
    return f"{subject}\n\n{new_text}"


def marks_of(request: Request, text: str) -> Marks:
    """The labels of *request* as marks on *text*."""
    fields = request_fields(request)
    choices = {}
    for name in CHOICES:
        value = fields[name]
        codes = value if isinstance(value, list) else [str(value).lower()]
        choices[name] = tuple(str(code) for code in codes)
    texts = {
        "client_ref": request.client_ref or "",
        "session_ids": " ".join(request.session_ids),
        "session_time": request.session_time or "",
    }
    return Marks(choices, texts, _find(request.notification_evidence, text))


def request_of(marks: Marks, text: str) -> Request:
    """The request that *marks* on *text* say; a choice that was not made is the empty one."""
    single = {name: (marks.choices.get(name) or (_EMPTY[name],))[0] for name in CODES}
    sets = {name: tuple(marks.choices.get(name, ())) for name in CODE_SETS}
    flags = {name: marks.choices.get(name, ("false",))[:1] == ("true",) for name in FLAGS}
    start, end = marks.evidence or (0, 0)
    known: dict[str, Any] = {**single, **sets, **flags}
    return Request(
        session_ids=tuple(marks.texts.get("session_ids", "").split()),
        client_ref=marks.texts.get("client_ref") or None,
        session_time=marks.texts.get("session_time") or None,
        notification_evidence=text[start:end],
        **known,
    )


def tasks_of(
    examples: Iterable[Example],
    suggestions: Mapping[str, Sequence[Request]] | None = None,
    *,
    version: str = "",
    labelled: bool = True,
) -> list[Task]:
    """A task per request: the example's own where *labelled*, else one per suggested request."""
    tasks = []
    for example in examples:
        text = text_of(example.email.subject, example.email.new_text)
        read = (suggestions or {}).get(example.id, ())
        asks = example.requests if labelled else read
        for ask in range(len(asks)):
            suggested = read[ask] if ask < len(read) else None
            tasks.append(
                Task(
                    message=example.id,
                    ask=ask,
                    text=text,
                    given=marks_of(asks[ask], text) if labelled else None,
                    suggested=None if suggested is None else marks_of(suggested, text),
                    sure=0.0 if suggested is None else suggested.confidence,
                    version=version,
                )
            )
    return tasks


def apply(tasks: Iterable[Task], records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Corpus records with the labels that people gave; messages without any are left out.

    Raises ValueError where a message's tasks were answered in part: half a message teaches wrongly.
    """
    by_message: dict[str, dict[int, Task]] = defaultdict(dict)
    for task in tasks:
        by_message[task.message][task.ask] = task
    found = []
    for record in records:
        asks = by_message.get(record["id"], {})
        given = [asks[number].given for number in sorted(asks)]
        if not any(given):
            continue
        if sorted(asks) != list(range(len(asks))) or not all(given):
            raise ValueError(f"{record['id']}: not every request of it is labelled")
        text = text_of(record["subject"], record["new_text"])
        requests = [dict(request_fields(request_of(m, text))) for m in given if m is not None]
        found.append({**record, "requests": requests})
    return found


_EMPTY: Final = {
    "kind": "other",
    "client_notification": "unknown",
    "session_stage": "unknown",
    "client_agreement": "unknown",
    "risk": "none",
}


def _find(words: str, text: str) -> tuple[int, int] | None:
    """Where *words* stand in *text*, white space folded."""
    pattern = r"\s+".join(map(re.escape, words.split()))
    found = re.search(pattern, text) if pattern else None
    return found.span() if found else None

"""Letters to clients: what happened and what comes next, and nothing that the therapist wrote.

What a therapist tells the team about a client is for the team. A client's letter is made from the
booking registry and from yes or no: no value that a template may know can hold words of a message,
a reason, an issue, or a need. Text that a person has edited is looked through before it may go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from triage.phrasing import in_words, moment_in_words
from triage.records import CaseFacts, Directory, Draft, Email, Request
from triage.replies import greeting
from triage.wording import ClientValues, Wording, render

ClientLetter = Literal["client_cancelled", "client_alternatives", "client_guarantee"]

#: More words of the therapist's in a row than this are taken for theirs and not for chance.
_WORDS_IN_COMMON: Final = 3
_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
#: Codes whose words everybody uses in such a letter, whatever the matter is.
_EVERYDAY: Final = frozenset(
    {"availability", "client_group", "client_preference", "families", "format", "language"}
)


def client_letter(
    name: ClientLetter,
    request: Request,
    facts: CaseFacts,
    directory: Directory,
    wording: Wording,
    *,
    suggested: Sequence[str] = (),
    guarantee: bool = False,
) -> Draft | None:
    """A letter to the session's client, in a thread of its own; None where no address is on record.

    Args:
        name: Which letter.
        request: Of which only is used whether the client was told, and agreed.
        facts: The session and its client, as the registry has them.
        directory: To name people as the registry does.
        wording: The templates.
        suggested: Ids of the therapists to recommend, best first.
        guarantee: Whether a person has confirmed that the next initial session is paid for.

    """
    client, session = facts.client, facts.session
    if client is None or not client.email:
        return None
    therapist = directory.therapist(session.therapist_id) if session else None
    found = (directory.therapist(therapist_id) for therapist_id in suggested)
    values = ClientValues(
        greeting=greeting(f"{client.first_name} {client.last_name}"),
        therapist=therapist.name if therapist else "your therapist",
        when=moment_in_words(session.starts_at) if session else "",
        suggested=tuple(one.name for one in found if one),
        discussed=request.client_notification == "discussed",
        agreed=request.client_agreement == "agrees",
        guarantee=guarantee,
    )
    return Draft(
        to=client.email,
        subject=_subject(name, values),
        body=render(wording, name, values),
        in_reply_to="",  # never the therapist's thread
        references=(),
        template=name,
    )


def _subject(name: ClientLetter, values: ClientValues) -> str:
    if name == "client_cancelled":
        when = f" on {values.when}" if values.when else ""
        return f"Your session{when} has been cancelled"
    if name == "client_guarantee":
        return "The cost of your next initial session"
    return "Finding a therapist who suits you"


def told_too_much(text: str, as_rendered: str, emails: Iterable[Email], request: Request) -> str:
    """What an edited letter to a client says that it must not, in words; "" where nothing.

    That is four or more words in a row from one of the case's *emails*, or the name of a reason,
    an issue or a need of the case, beyond what the letter *as_rendered* says anyway.
    """
    spoken = _runs(text) - _runs(as_rendered)
    if any(spoken & _runs(f"{email.subject}\n{email.new_text}") for email in emails):
        return "it repeats words of the therapist's message"
    plain, allowed = _plain(text), _plain(as_rendered)
    for code in _clinical(request):
        words = _plain(in_words(code))
        if _holds(plain, words) and not _holds(allowed, words):
            return f"it names what the therapist wrote about the client ({in_words(code)})"
    return ""


def _clinical(request: Request) -> Iterable[str]:
    codes = (
        *request.fit_reasons,
        *request.presenting_issues,
        *request.required_approaches,
        *request.required_experience,
    )
    return (code for code in codes if code not in _EVERYDAY)


def _plain(text: str) -> list[str]:
    return [word.casefold().replace("’", "'") for word in _WORD.findall(text)]


def _holds(text: Sequence[str], words: Sequence[str]) -> bool:
    size = len(words)
    return any(list(text[n : n + size]) == list(words) for n in range(len(text) - size + 1))


def _runs(text: str) -> set[tuple[str, ...]]:
    """Every run of one word more than may be common by chance."""
    words, size = _plain(text), _WORDS_IN_COMMON + 1
    return {tuple(words[n : n + size]) for n in range(len(words) - size + 1)}

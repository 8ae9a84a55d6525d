"""The wording of letters: Jinja2 templates, what they may know, and clear words about a slip.

Templates are plain text (``triage/templates/*.j2``); operations may put their own beside or in
place of ours. They run in Jinja2's sandbox and know nothing but ``reply`` in a letter to a
therapist and ``letter`` in one to a client. A client's letter has no value in which anything that
the therapist wrote could stand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from jinja2 import Environment, Template

#: Every template that a letter to the therapist can come from.
TEMPLATES: Final = (
    "awaiting_client",
    "awaiting_details",
    "done",
    "enquiry",
    "noted",
    "safeguarding",
    "session_needed",
    "verify_sender",
    "withdrawn",
)
#: Every template that a letter to the client can come from.
CLIENT_TEMPLATES: Final = ("client_alternatives", "client_cancelled", "client_guarantee")
#: Parts that the others are made of.
PARTS: Final = ("_asks", "_client", "_letter")
_ALL: Final = (*TEMPLATES, *CLIENT_TEMPLATES, *PARTS)


class WordingError(ValueError):
    """A template is missing, does not parse, or asks for a value that letters do not have."""


@dataclass(frozen=True, slots=True)
class Values:
    """All that a therapist's template may know, as ``reply``. Text is "" where there is none."""

    greeting: str  # "Dear Marian" without the comma, or "Hello"
    topic: str  # "your session with Imogen on Thursday 6 November"
    client: str  # by the first name where the therapist gave one, or "your client"
    them: str  # the client, right after the topic
    kind: str
    notification: str
    stage: str
    missing: tuple[str, ...]  # codes: reason, issues, needs, session, in the order to ask
    numbers: str  # session numbers as written that could not be matched
    deadline: str  # "Wednesday 5 November at 4pm"
    reason: bool  # a reason was given
    late: bool  # too late to cancel
    to_come: bool  # late or not, the session had not started when the message was sent
    alternatives: bool
    guarantee_asked: bool
    concern: bool
    in_chat: bool = False  # they asked in the live chat, and are answered there


@dataclass(frozen=True, slots=True)
class ClientValues:
    """All that a client's template may know, as ``letter``; all of it from the booking registry.

    The three that are yes or no come from what the therapist reported or a person confirmed.
    """

    greeting: str  # "Dear Imogen" without the comma, or "Hello"
    therapist: str  # the therapist's name, or "your therapist"
    when: str  # "Thursday 6 November at 7pm"
    suggested: tuple[str, ...]  # names of the therapists to recommend, best first
    discussed: bool  # the therapist has told the client, and why
    agreed: bool  # both want to stop
    guarantee: bool  # confirmed by a person, never merely proposed


@dataclass(frozen=True, slots=True)
class Wording:
    """The templates of one house style: plain text, so it travels between processes."""

    sources: tuple[tuple[str, str], ...]

    @classmethod
    def from_sources(cls, sources: Mapping[str, str]) -> Wording:
        """From file name ("enquiry.j2", or just "enquiry") to Jinja2 source.

        Every template is rendered with sample values that reach each of its branches as shipped, so
        that a slip in an edited template shows at the start and not when somebody needs the letter.

        Raises:
            WordingError: naming the template, the line, and what is allowed there.

        """
        files = {f"{name.removesuffix('.j2')}.j2": text for name, text in sources.items()}
        missing = [f"{name}.j2" for name in _ALL if f"{name}.j2" not in files]
        if missing:
            raise WordingError(f"missing templates: {', '.join(missing)}")
        wording = cls(tuple(sorted(files.items())))
        _try_out(wording)
        return wording

    def with_own(self, own: Mapping[str, str]) -> Wording:
        """The same wording with a house's *own* templates in place of those of the same name.

        Raises:
            WordingError: as ``from_sources``, or a file that no letter would ever use.

        """
        files = {f"{name.removesuffix('.j2')}.j2": text for name, text in own.items()}
        allowed = [f"{name}.j2" for name in _ALL]
        unknown = sorted(set(files) - set(allowed))
        if unknown:
            raise WordingError(
                f"template {unknown[0]}: no letter uses it; allowed: {', '.join(allowed)}"
            )
        return Wording.from_sources({**dict(self.sources), **files})


@lru_cache(maxsize=8)  # a thousand letters, and settings are read more than once in a process
def _try_out(wording: Wording) -> None:
    for name in TEMPLATES:
        for values in _samples():
            render(wording, name, values)
    for name in CLIENT_TEMPLATES:
        for letter in _client_samples():
            render(wording, name, letter)


def render(wording: Wording, name: str, values: Values | ClientValues) -> str:
    """The letter in plain text: tidied of the blanks and empty lines that templates leave.

    Raises:
        WordingError: the template asks for something that it may not have.

    """
    from jinja2 import TemplateError

    known = {"letter" if isinstance(values, ClientValues) else "reply": values}
    template = _compiled(wording.sources)[f"{name}.j2"]
    try:
        text = template.render(known)
    except TemplateError as error:
        raise WordingError(_slip(error, name, values)) from error
    except Exception as error:  # a template's own arithmetic may raise anything
        where = _place(error, f"{name}.j2")
        raise WordingError(f"template {where}: {type(error).__name__}") from error
    lines = [
        re.sub(r"(?<!\.)\.\.(?!\.)", ".", " ".join(line.split()))  # "Sarah M." may end a sentence
        for line in text.strip().splitlines()
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


@lru_cache(maxsize=8)
def _compiled(sources: tuple[tuple[str, str], ...]) -> dict[str, Template]:
    from jinja2 import TemplateSyntaxError

    environment = _environment(sources)
    try:
        return {name: environment.get_template(name) for name in dict(sources)}
    except TemplateSyntaxError as error:
        where = f"template {error.name}, line {error.lineno}: {error.message}"
        allowed = _allowed_words(str(error.message), environment)
        raise WordingError(f"{where.rstrip('.')}{allowed}") from error


def _environment(sources: tuple[tuple[str, str], ...]) -> Environment:
    from jinja2 import FunctionLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    texts = dict(sources)

    def load(name: str) -> tuple[str, str, None] | None:
        # The file name makes Jinja2 say in which template, and where in it, something went wrong.
        return (texts[name], name, None) if name in texts else None

    return ImmutableSandboxedEnvironment(
        loader=FunctionLoader(load),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # plain text mail, never HTML
        auto_reload=False,
    )


# --- what went wrong, for whoever edited a template -----------------------------------------------


def _slip(error: Exception, name: str, values: Values | ClientValues) -> str:
    """Which template, which line, what is wrong, and what is allowed there."""
    from jinja2 import TemplateNotFound, TemplateSyntaxError, UndefinedError
    from jinja2.exceptions import SecurityError

    if isinstance(error, TemplateSyntaxError):
        return f"template {error.name}, line {error.lineno}: {error.message}"
    said = f"template {_place(error, f'{name}.j2')}: {getattr(error, 'message', '') or error}"
    if isinstance(error, TemplateNotFound):
        allowed = ", ".join(f"{part}.j2" for part in _ALL)
        return (
            f"template {_place(error, f'{name}.j2')}: there is no {error.name}; allowed: {allowed}"
        )
    if isinstance(error, UndefinedError | SecurityError):
        known = "letter" if isinstance(values, ClientValues) else "reply"
        names = ", ".join(f"{known}.{field.name}" for field in fields(values))
        return f"{said}; allowed: {names}"
    return said


def _place(error: BaseException, name: str) -> str:
    """The innermost line of a template that *error* passed through, as in "noted.j2, line 3"."""
    found, trace = name, error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.endswith(".j2"):
            found = f"{file}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return found


def _allowed_words(message: str, environment: Environment) -> str:
    """The filters or tests there are, where *message* says that one is unknown."""
    if message.startswith("No filter"):
        return f"; allowed: {', '.join(sorted(environment.filters))}"
    if message.startswith("No test"):
        return f"; allowed: {', '.join(sorted(environment.tests))}"
    return ""


# --- values to try templates with -----------------------------------------------------------------

_TOLD: Final = ("unknown", "not_informed", "planned", "asks_team", "informed", "discussed")
_KINDS: Final = ("cancellation", "referral", "enquiry", "note_reason")
_ASKS: Final[tuple[tuple[str, ...], ...]] = (
    (),
    ("reason",),
    ("reason", "issues", "needs", "session"),
)


def _samples() -> list[Values]:
    """Values that reach every branch of the templates to therapists as shipped."""
    return [
        Values(
            greeting="Dear Alex",
            topic="your session with Sam",
            client="Sam",
            them="them",
            kind=kind,
            notification=told,
            stage="initial" if (full := len(missing) > 1) else "ongoing",
            missing=missing,
            numbers="HT-000000" if full else "",
            deadline="Monday 3 November at 4pm" if full else "",
            reason=full,
            late=kind == "note_reason",
            to_come=full,
            alternatives=full,
            guarantee_asked=full,
            concern=full,
            in_chat=in_chat,
        )
        for told, missing, kind in product(_TOLD, _ASKS, _KINDS)
        for in_chat in (False, True)
    ]


def _client_samples() -> list[ClientValues]:
    """Values that reach every branch of the templates to clients as shipped."""
    either = (False, True)
    return [
        ClientValues(
            greeting="Dear Sam",
            therapist="Alex Morgan",
            when="Monday 3 November at 4pm" if names else "",
            suggested=names,
            discussed=discussed,
            agreed=agreed,
            guarantee=guarantee,
        )
        for names, discussed, agreed, guarantee in product(
            ((), ("Ruth Hale",), ("Ruth Hale", "Omar Siddiqui")), either, either, either
        )
    ]

"""What every page is made from: the store, the settings, the clock, and who is looking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from review.access.rights import MAY
from review.acting import sending_of
from review.desk import Desk
from review.health import model_in_use
from review.web import words
from settings import Settings
from store import Store
from triage.effects import Sending

if TYPE_CHECKING:
    from triage.conversation import Rules

FOLDER: Final = Path(__file__).parent


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Office:
    """What the pages work with; one for the whole application."""

    desk: Desk
    store: Store
    settings: Settings
    clock: Callable[[], datetime] = field(default=_now)
    _by_year: dict[int, Rules] = field(default_factory=dict, init=False, repr=False)
    _models: dict[int, tuple[str, str]] = field(default_factory=dict, init=False, repr=False)

    def rules(self) -> Rules:
        """What decisions made now rest on; templates and holidays are read once a year."""
        now = self.clock()
        if now.year not in self._by_year:
            self._by_year[now.year] = self.settings.rules(now)
        return replace(self._by_year[now.year], now=now)

    def model(self) -> tuple[str, str]:
        """``model_in_use``, asked again every five minutes: it loads the model."""
        asked = int(self.clock().timestamp() // 300)
        if asked not in self._models:
            self._models.clear()
            self._models[asked] = model_in_use(self.settings)
        return self._models[asked]

    @property
    def sending(self) -> Sending:
        return sending_of(self.settings)


def office_of(request: Request) -> Office:
    office: Office = request.app.state.office
    return office


def name_of(request: Request) -> str:
    """Who is at the page, as ``review.access`` has it."""
    return str(request.state.person.name)


def render(request: Request, template: str, status: int = 200, **values: object) -> HTMLResponse:
    """A page; everything in it is escaped unless a template says otherwise, and none does."""
    person = getattr(request.state, "person", None)
    shared: dict[str, Any] = {
        "person": person,
        "may": MAY[person.role] if person else frozenset(),
        "csrf": getattr(request.state, "csrf", ""),
        "tabs": words.TABS,
        "here": request.url.path,
    }
    page = _environment().get_template(template)
    return HTMLResponse(page.render(**shared, **values), status)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader([FOLDER / "templates", FOLDER.parent / "access" / "templates"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        at=words.at,
        day=words.day,
        state=lambda code: words.STATES.get(code, code),
        kind=lambda code: words.KINDS.get(code, code),
        action=lambda code: words.ACTIONS.get(code, code),
        source=words.source_in_words,
    )
    return made

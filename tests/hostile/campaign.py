"""Hostile mails stored for real, served by the whole page, and shown to a real browser."""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from campaigns.stage import Stage, keep, served, set_up

from hostile.canary import DOMAIN, running_canary
from hostile.envelopes import Mail
from hostile.watching import Asked, watched
from hostile.weakened import ALL_STAND, Defences, weakened
from ingest.parsing import html_form
from store import open_store
from triage.records import MessageKey, RawMessage

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

#: Mails in one case, each in a frame of its own, so that none can hide another.
TOGETHER: Final = 20
_FRAME: Final = re.compile(r"/cases/(\d+)/messages/(\d+)/(?:html|pictures)$")

#: Run in our own page: whether a script got in, how much wider than its window it is, and how many
#: frames stand out of the messages that they belong to.
_TOLD: Final = """() => {
  const out = [...document.querySelectorAll("iframe")].filter(one => one.checkVisibility()).filter(
    one => {
      const all = one.getBoundingClientRect();
      const around = one.closest("article").getBoundingClientRect();
      return all.left < around.left || all.right > around.right + 1
        || all.top < around.top || all.bottom > around.bottom + 1;
    });
  const page = document.documentElement;
  return {hit: window.hit, wide: page.scrollWidth - page.clientWidth, out: out.length};
}"""

#: Run in our own page: hides what a mail says without moving anything.
_PLAIN: Final = """() => document.querySelectorAll(".subject, .mail-text").forEach(
  one => { one.style.visibility = "hidden"; })"""


@dataclass(frozen=True, slots=True)
class Shown:
    """A mail in the store."""

    mail: Mail
    number: int
    case: int
    message: int

    @property
    def path(self) -> str:
        return f"/cases/{self.case}/messages/{self.message}"


@dataclass
class House:
    """The mails where staff find them."""

    stage: Stage
    asked: Asked
    shown: Sequence[Shown]
    set_aside: int  # could not be read: in quarantine, where their words are not shown

    @property
    def cases(self) -> list[int]:
        return sorted({one.case for one in self.shown})


@dataclass
class Result:
    """What came of showing mails in one way."""

    title: str
    mails: int
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)
    numbers: set[int] = field(default_factory=set)  # of mails that did something
    pictures: int = 0


def filled_in(number: int, text: str) -> str:
    """*text* with its script, address and host; all tell the mail's *number*."""
    host = f"c{number}.{DOMAIN}"
    script = f"window.hit=1,console.log(/HIT-{number}/.source)"
    return text.replace("@S@", script).replace("@U@", f"https://{host}/p").replace("@H@", host)


@contextlib.contextmanager
def house(
    mails: Sequence[Mail], folder: Path, defences: Defences = ALL_STAND, *, url: str = ""
) -> Iterator[House]:
    """*mails* stored, so many in a case, and the page served with *defences* standing."""
    raws = [
        mail.raw(lambda text, number=number: filled_in(number, text))
        for number, mail in enumerate(mails, start=1)
    ]
    asked = Asked()
    with open_store(url or f"sqlite:///{folder / 'hostile.sqlite3'}") as store:
        cases = -(-len(mails) // TOGETHER)
        set_up(store, cases)
        keep(store, [(index // TOGETHER, raw) for index, raw in enumerate(raws)])
        found: dict[str, tuple[int, int]] = {}
        for row in store.queue(include_closed=True):
            story = store.case(row.case_id)
            assert story is not None
            found |= {one.digest: (row.case_id, one.id) for one in story.messages}
        shown, sources = [], {}
        for number, (mail, raw) in enumerate(zip(mails, raws, strict=True), start=1):
            digest = hashlib.sha256(raw).hexdigest()
            if digest in found:
                one = Shown(mail, number, *found[digest])
                shown.append(one)
                sources[one.path] = raw

        def source_of(path: str) -> str:
            key = MessageKey("x", "", 1, 1)
            raw = sources[path.rpartition("/")[0]]
            return html_form(RawMessage(key, stage.door.clock(), "", raw)).source

        with served([store], wrap=lambda app: asked(weakened(defences, source_of)(app))) as stage:
            yield House(stage, asked, shown, len(mails) - len(shown))


@contextlib.contextmanager
def _at(home: House, result: Result, *, pictures: bool) -> Iterator[BrowserContext]:
    """A browser for one way of showing; what it did is put into *result* at the end."""
    started, before = time.monotonic(), len(home.asked.lines)
    secret = home.stage.secret()
    with (
        running_canary() as canary,
        watched(canary, home.stage.address, secret, allows_pictures=pictures) as (browser, context),
    ):
        yield context
        time.sleep(0.3)  # what was begun may still be under way
    others = [line for line in home.asked.others() if line in home.asked.lines[before:]]
    result.violations += [*browser.seen.all(), *browser.contacts()]
    result.violations += [f"request: our own page was asked for {line[:80]}" for line in others]
    reached = {one.number for one in canary.contacts}
    result.numbers = (browser.seen.numbers() | reached) - {0}
    result.pictures = browser.seen.pictures
    result.seconds = time.monotonic() - started


def in_cases(home: House, *, pictures: bool) -> Result:
    """Each case opened as staff open it, all frames of it, and clicked at."""
    result = Result(f"in their cases, pictures {'on' if pictures else 'off'}", len(home.shown))
    with _at(home, result, pictures=pictures) as context:
        page = context.new_page()
        for case in home.cases:
            page.goto(f"/cases/{case}")
            frames = _opened(page)
            _touch(page)
            if pictures:
                _ask_for_pictures(page, frames)
                _touch(page)
            result.violations += _page_itself(page, f"/cases/{case}")
        for path in ("/queues", "/quarantine"):
            page.goto(path)
            result.violations += _page_itself(page, path)
    return result


def alone(home: House, *, pictures: bool) -> Result:
    """Each mail's HTML as a page by itself, where no frame of ours is around it."""
    result = Result(f"each alone, pictures {'on' if pictures else 'off'}", len(home.shown))
    with _at(home, result, pictures=pictures) as context:
        page = context.new_page()
        for one in home.shown:
            if page.is_closed():
                page = context.new_page()
            _go_alone(page, one, pictures=pictures)
            _poke(page, 40, 30, ("Tab", "Enter"))
            if _FRAME.search(page.url) is None and page.url != "about:blank":
                result.violations.append(f"window: HIT-{one.number} went to {page.url[:60]}")
    return result


def overpainted(home: House) -> list[str]:
    """Which parts of our own page look otherwise because of what words do that stand below them."""
    result = Result("", len(home.shown))
    found = []
    with _at(home, result, pictures=False) as context:
        page = context.new_page()
        for case in home.cases:
            page.goto(f"/cases/{case}")
            for name in ("header.top", "article.mail header", "#do-title"):
                part = page.locator(name).first
                before = part.screenshot(animations="disabled")
                page.evaluate(_PLAIN)
                after = part.screenshot(animations="disabled")
                page.goto(f"/cases/{case}")
                found += [f"{name} of case {case}"] * (before != after)
    return found + result.violations


def _go_alone(page: Page, one: Shown, *, pictures: bool) -> None:
    from playwright.sync_api import Error

    with contextlib.suppress(Error):  # a control's page may go elsewhere before it has come
        if not pictures:
            page.goto(f"{one.path}/html", wait_until="load")
            return
        page.goto("/keys", wait_until="domcontentloaded")
        with page.expect_navigation():
            page.evaluate(
                """path => { const form = document.querySelector('form[action="/sign-out"]');
                form.action = path; form.submit(); }""",
                f"{one.path}/pictures",
            )


def _opened(page: Page) -> int:
    """Open every frame of a case; how many have come."""
    count = page.evaluate(
        """() => { const all = document.querySelectorAll("details[data-frame]");
        all.forEach(one => { one.open = true; }); return all.length; }"""
    )
    _until_there(page, "/html", count)
    return count


def _ask_for_pictures(page: Page, count: int) -> None:
    page.evaluate(
        """() => document.querySelectorAll('form[action$="/pictures"]').forEach(
        form => form.requestSubmit())"""
    )
    _until_there(page, "/pictures", count)
    page.wait_for_timeout(300)


def _until_there(page: Page, end: str, count: int) -> None:
    until = time.monotonic() + 90
    while sum(frame.url.endswith(end) for frame in page.frames) < count:
        if time.monotonic() > until:
            urls = [frame.url for frame in page.frames]
            raise TimeoutError(f"{count} frames should be at {end}: {urls}")
        page.wait_for_timeout(50)


def _touch(page: Page) -> None:
    """Point at and click into every frame of the page."""
    count = page.evaluate("document.querySelectorAll('iframe').length")
    for index in range(count):
        box = page.evaluate(
            """index => { const frame = document.querySelectorAll("iframe")[index];
            frame.scrollIntoView({block: "center"});
            const box = frame.getBoundingClientRect(); return [box.x, box.y]; }""",
            index,
        )
        _poke(page, box[0] + 30, box[1] + 25)


def _poke(page: Page, x: float, y: float, keys: Sequence[str] = ()) -> None:
    """Point and click; *keys* where the mail is all there is, for they lead on to our own links."""
    from playwright.sync_api import Error

    with contextlib.suppress(Error):
        page.mouse.click(x, y)
        for key in keys:
            page.keyboard.press(key)


def _page_itself(page: Page, path: str) -> list[str]:
    """What a mail has changed about our own page."""
    told = page.evaluate(_TOLD)
    found = []
    if told.get("hit"):
        found.append(f"script: window.hit is set on {path}")
    if told["wide"] > 0:
        found.append(f"window: {path} is {told['wide']} dots wider than the window")
    if told["out"]:
        found.append(f"window: {told['out']} frames of {path} stand out of their messages")
    if not page.url.endswith((path, f"{path}#main")):
        found.append(f"window: {path} went to {page.url[:60]}")
    return found

"""How the review page looks, and whether everybody can use it: axe-core's rules and our own.

With ``SCREENSHOTS`` naming a folder (``build/screenshots``, say), each page is also put
there as a picture, light and dark, as wide as on a desk and on a phone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect
from services.browser import barriers
from services.staffed_page import Staffed
from shadow_samples import lay_shadows

from models.registry import promoted
from review.access.door import offer_link
from store import CaseRow

pytestmark = pytest.mark.parametrize("filled_url", ["sqlite"], indirect=True)

SIZES = {"desk": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SMALLEST = {"width": 320, "height": 640}


def _ready(row: CaseRow) -> bool:
    return row.decision.state == "ready" and row.request.kind == "cancellation"


def _client_first(row: CaseRow) -> bool:
    return row.decision.state == "awaiting_client" and bool(row.decision.draft)


#: Pages at an address that is always the same.
PAGES = {
    "queues": "/queues",
    "filtered": "/queues?queue=referral&state=ready&due=72",
    "quarantine": "/quarantine",
    "health": "/health",
    "keys": "/keys",
    "overview": "/overview",
    "second-looks": "/second-looks",
    "access-log": "/access-log",
    "exports": "/exports",
    "password": "/password",
    "nowhere": "/cases/999999",
}
#: Pages of a case, by what kind of case is to be seen.
CASES: dict[str, Callable[[CaseRow], bool]] = {
    "ready": _ready,
    "client-first": _client_first,
    "danger": lambda row: row.decision.safeguarding,
    "referral": lambda row: row.decision.state == "ready" and row.request.kind == "referral",
    "closed": lambda row: row.decision.state == "withdrawn",
}


def _go(staffed: Staffed, page: Page, name: str) -> Page:
    found = PAGES.get(name) or f"/cases/{staffed.case(CASES[name]).case_id}"
    page.goto(found)
    return page


def _approved(staffed: Staffed, page: Page) -> None:
    _go(staffed, page, "ready").locator("#approve").get_by_role("button", name="Approve").click()
    expect(page.locator("#notice")).to_be_visible()


def _overridden_without_a_reason(staffed: Staffed, page: Page) -> None:
    override = _go(staffed, page, "client-first").locator("#approve details.override")
    override.evaluate("one => { one.open = true; }")
    override.get_by_role("checkbox").first.check()
    override.get_by_role("button").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Not done")


def _too_late(staffed: Staffed, page: Page) -> None:
    _go(staffed, page, "ready")
    other = staffed.person("ben")
    _approved(staffed, other)
    page.locator("#approve").get_by_role("button", name="Approve").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Somebody was quicker")


def _found(staffed: Staffed, page: Page) -> None:
    _go(staffed, page, "queues").get_by_role("searchbox").fill("cancel")
    page.keyboard.press("Enter")
    expect(page.locator("#list-title")).to_contain_text("Found")


def _keys_shown(staffed: Staffed, page: Page) -> None:
    _go(staffed, page, "queues").keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()


def _sign_in(_: Staffed, page: Page) -> None:
    page.context.clear_cookies()
    page.goto("/sign-in")
    expect(page.get_by_label("Password")).to_be_visible()


def _link(staffed: Staffed, page: Page) -> None:
    page.context.clear_cookies()
    page.goto(f"/enter?token={offer_link(staffed.door, 'ben')}")
    expect(page.get_by_role("button")).to_be_visible()


def _previewed(staffed: Staffed, page: Page) -> None:
    _go(staffed, page, "queues").locator("[data-tick-all]").get_by_role("checkbox").check()
    page.get_by_role("button", name="Preview", exact=True).click()
    expect(page.locator("#will-title")).to_be_visible()


def _users(staffed: Staffed, page: Page) -> None:
    admin = staffed.person("root", "admin")
    admin.goto("/users")
    admin.get_by_label("Name").fill("nina")
    admin.get_by_role("button", name="Add and make a link").click()
    expect(admin.get_by_label("The link")).to_be_visible()
    page.context.add_cookies(admin.context.cookies())  # type: ignore[arg-type]
    page.goto("/users")


def _invited(staffed: Staffed, page: Page) -> None:
    _users(staffed, page)
    page.get_by_role("button", name="Make a link for nina").click()
    link = page.get_by_label("The link").input_value()
    page.context.clear_cookies()
    page.goto(link)
    expect(page.get_by_label("New password")).to_be_visible()


def _shadows(staffed: Staffed, page: Page) -> None:
    lay_shadows(staffed.store, staffed.door.clock(), promoted())
    page.goto("/shadow")
    expect(page.get_by_role("button", name="Put on record").first).to_be_visible()


#: Pages that somebody comes to by doing something.
STEPS: dict[str, Callable[[Staffed, Page], None]] = {
    "approved": _approved,
    "not-done": _overridden_without_a_reason,
    "conflict": _too_late,
    "found": _found,
    "keys-shown": _keys_shown,
    "sign-in": _sign_in,
    "link": _link,
    "bulk": _previewed,
    "users": _users,
    "invited": _invited,
    "shadow": _shadows,
}


def _arrive(staffed: Staffed, page: Page, name: str) -> None:
    if name in STEPS:
        STEPS[name](staffed, page)
    else:
        _go(staffed, page, name)


def _pictured(page: Page, name: str) -> None:
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png")


def _sideways(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


UNFOLD = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"


@pytest.mark.parametrize("name", [*PAGES, *CASES, *STEPS])
def test_nothing_on_any_page_is_a_barrier_to_anybody(staffed: Staffed, name: str) -> None:
    page = staffed.person(role="lead")
    _arrive(staffed, page, name)
    found = {}

    for size, viewport in SIZES.items():
        page.set_viewport_size(viewport)  # type: ignore[arg-type]
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            _pictured(page, f"{name}-{size}-{scheme}")
        if size == "phone":
            page.evaluate(UNFOLD)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            found[size, scheme] = barriers(page)
    page.set_viewport_size(SMALLEST)  # type: ignore[arg-type]

    assert not {how: lines for how, lines in found.items() if lines}
    assert _sideways(page) <= 0  # WCAG 1.4.10: 320 pixels are enough, whatever is unfolded


@pytest.mark.parametrize("name", ["queues", "client-first"])
@pytest.mark.parametrize("size", SIZES)
def test_where_the_focus_is_can_always_be_seen(staffed: Staffed, name: str, size: str) -> None:
    page = staffed.person(viewport=SIZES[size], reduced_motion="reduce")
    _go(staffed, page, name)
    seen = []

    for _ in range(45):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(FOCUS))

    seen = [one for one in seen if not one["what"].startswith("<body")]  # the browser's own buttons
    assert len({one["what"] for one in seen}) > 30
    assert [one["what"] for one in seen if not one["outlined"]] == []
    assert [one["what"] for one in seen if one["hidden"]] == []


#: What has the focus, whether it is outlined, and whether something lies on all of it.
FOCUS = """() => {
  const target = document.activeElement;
  const marked = target.matches(".line-link") ? target.closest(".line") : target;
  const style = getComputedStyle(marked);
  const box = target.getBoundingClientRect();
  const spots = [[.1, .2], [.5, .5], [.9, .8]].map(([x, y]) =>
    document.elementFromPoint(box.x + x * box.width, box.y + y * box.height));
  return {
    what: target.outerHTML.slice(0, 120),
    outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    hidden: !spots.some((spot) => spot && (marked.contains(spot) || spot.contains(target))),
  };
}"""


def test_at_twice_the_size_the_actions_are_still_in_reach(staffed: Staffed) -> None:
    page = staffed.person(viewport={"width": 640, "height": 450}, device_scale_factor=2)
    _go(staffed, page, "ready")

    expect(page.locator(".bar").get_by_role("button", name="Approve")).to_be_in_viewport()
    assert _sideways(page) <= 0


@pytest.mark.parametrize("size", SIZES)
def test_the_actions_stay_in_reach_however_far_one_reads(staffed: Staffed, size: str) -> None:
    page = staffed.person(viewport=SIZES[size])
    _go(staffed, page, "ready")
    approve = page.locator(".bar").get_by_role("button", name="Approve")

    expect(approve).to_be_in_viewport()
    page.locator("#timeline-title").scroll_into_view_if_needed()

    expect(approve).to_be_in_viewport()


def test_nothing_moves_for_who_asks_for_less_motion(staffed: Staffed) -> None:
    page = staffed.person(reduced_motion="reduce")
    _go(staffed, page, "ready")

    moving = page.evaluate("""() => [...document.querySelectorAll("*")].filter((one) => {
      const style = getComputedStyle(one);
      return style.scrollBehavior === "smooth" || style.animationName !== "none" ||
        parseFloat(style.transitionDuration) > 0;
    }).length""")

    assert moving == 0

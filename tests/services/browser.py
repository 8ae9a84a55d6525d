"""Debian's Chromium, without a window, and what axe-core finds wrong with a page in it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from services import missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

#: Milliseconds for anything to come about: a busy machine is no failure.
PATIENCE = 30_000
#: All of WCAG 2.2 at levels A and AA that a program can judge.
_WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def installed_chromium() -> str | None:
    """Where Debian's Chromium is; Playwright would bring its own, which we never download."""
    return shutil.which("chromium")


@contextlib.contextmanager
def running_chromium() -> Iterator[Browser]:
    """A browser to open contexts in. Not for a thread in which an asyncio loop runs."""
    from playwright.sync_api import sync_playwright

    options = ["--disable-dev-shm-usage", "--disable-gpu"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")  # root has none to be put in
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed_chromium(), args=options)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for a module; longer, and no other test could run an asyncio loop."""
    if not installed_chromium():
        missing("Chromium", "chromium")
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    with running_chromium() as browser:
        yield browser


def barriers(page: Page) -> list[str]:
    """What axe-core finds on *page* that WCAG 2.2 AA forbids: rule, element and why."""
    from axe_playwright_python.sync_playwright import Axe

    options = {
        "resultTypes": ["violations"],
        "runOnly": {"type": "tag", "values": _WCAG},
        "rules": {"target-size": {"enabled": True}},  # WCAG 2.2; axe leaves it off by itself
    }
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{one['id']}: {node['html'][:160]} {node.get('failureSummary', '')}"
        for one in found
        for node in one["nodes"]
    ]

"""Every route of the review page asked for in every way that makes no sense, on both databases.

A new route, and a new field of a form, are asked for by themselves: see ``campaigns.crawl``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from campaigns.crawl import CANARY, Crawl, field_names, furnished, standing

from review.access.rights import TABLE
from store import open_store


@pytest.fixture
def crawl(
    store_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Crawl]:
    # Which model is in use takes a second to say, and does not depend on how one asks.
    monkeypatch.setattr("review.health.model_in_use", lambda _: ("made-up", ""))
    with open_store(store_url) as store, caplog.at_level(logging.INFO):
        crawl = Crawl(furnished(store))
        with crawl.client:
            yield crawl
    told = [record for record in caplog.records if not record.name.startswith("httpx")]
    assert not [record for record in told if record.exc_info or CANARY in record.getMessage()]


def test_no_way_of_asking_does_anything_without_its_token_or_its_person(crawl: Crawl) -> None:
    before = standing(crawl.store)

    crawl.every_method()
    crawl.nobody()

    assert crawl.wrong == []
    assert standing(crawl.store) == before
    for_people = {name for name, needed in TABLE.items() if needed.right != "ring"}
    assert {place.name for place in crawl.places} == for_people


def test_paths_that_make_no_sense_are_answered_and_nothing_fails(crawl: Crawl) -> None:
    crawl.odd_paths()

    assert crawl.wrong == []


def test_words_and_forms_that_make_no_sense_are_answered_and_nothing_fails(crawl: Crawl) -> None:
    crawl.odd_words(every=26)
    crawl.odd_forms()

    assert crawl.wrong == []


def test_the_crawl_finds_answers_without_headers_failures_and_actions_without_a_token(
    crawl: Crawl,
) -> None:
    from starlette.responses import PlainTextResponse
    from starlette.testclient import TestClient

    async def careless(scope, receive, send) -> None:
        if scope["type"] == "http":
            answer = PlainTextResponse(
                f"Traceback {CANARY}", 500 if "cases" in scope["path"] else 200
            )
            await answer(scope, receive, send)

    crawl.client = TestClient(careless, raise_server_exceptions=False)

    crawl.every_method()

    told = "\n".join(crawl.wrong)
    for what in ("no failure of ours", "a policy", "no insides", "no words of a mail", "without a"):
        assert what in told


def test_fields_are_found_in_templates_and_code() -> None:
    assert {"version", "reason", "words", "assignee", "until", "cause", "after"} <= set(
        field_names()
    )

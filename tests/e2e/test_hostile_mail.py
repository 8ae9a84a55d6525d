"""A slice of the hostile mail (`make hostile`) in a real browser, and that it would be noticed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hostile.campaign import alone, house, in_cases, overpainted
from hostile.envelopes import Mail, alternative, mails, of_vector
from hostile.mutating import mutants
from hostile.vectors import Vector
from hostile.weakened import Defences
from services import missing
from services.browser import installed_chromium

CORPUS = tuple(mails())


@pytest.fixture(autouse=True)
def _browser() -> None:
    if not installed_chromium():
        missing("Chromium", "chromium")


def spread(count: int) -> Sequence[Mail]:
    """So many of the corpus, from all families."""
    return CORPUS[:: len(CORPUS) // count][:count]


def test_the_corpus_has_many_tricks_and_each_is_another() -> None:
    written = {mail.raw(lambda text: text) for mail in CORPUS}

    assert len(CORPUS) >= 250
    assert len(written) == len(CORPUS)


def test_no_hostile_mail_runs_loads_or_leaves_its_frame(tmp_path: Path) -> None:
    chosen = [*spread(26), *mutants(7, 6)]

    with house(chosen, tmp_path) as home:
        together = in_cases(home, pictures=False)
        asked_for = in_cases(home, pictures=True)

    assert together.violations == []
    assert asked_for.violations == []
    assert (together.pictures, asked_for.pictures > 0) == (0, True)


def test_nor_does_one_that_is_opened_as_a_page_of_its_own(tmp_path: Path) -> None:
    with house(spread(8), tmp_path) as home:
        assert alone(home, pictures=False).violations == []


def vectors_of(*html: str) -> list[Mail]:
    return [of_vector(Vector("x", f"x {number}", one)) for number, one in enumerate(html)]


DANGEROUS = vectors_of(
    "<script>@S@</script>", "<img src=x onerror=@S@>", "<img src=@U@>",
    "<link rel=preconnect href=//@H@>",
    "<b style='display:block;background:url(@U@)'>click</b>",
)  # fmt: skip

#: Without the sanitiser it leads to its sender's page, which runs what it likes: elsewhere.
A_LINK = vectors_of("<a href=@U@>click</a>")


def test_without_defences_scripts_and_requests_are_noticed(tmp_path: Path) -> None:
    everything = [*DANGEROUS, *A_LINK]

    with house(
        everything, tmp_path, Defences(sanitiser=False, policy=False, sandbox=False)
    ) as home:
        seen = alone(home, pictures=False)

    assert seen.numbers == set(range(1, len(everything) + 1))
    assert any(line.startswith("script") for line in seen.violations)
    assert any("reached" in line for line in seen.violations)


@pytest.mark.parametrize(
    "left", [Defences(policy=False, sandbox=False), Defences(sanitiser=False, sandbox=False)]
)
def test_either_wall_alone_keeps_scripts_from_running(tmp_path: Path, left: Defences) -> None:
    chosen = [*DANGEROUS, *A_LINK] if left.sanitiser else DANGEROUS

    with house(chosen, tmp_path, left) as home:
        seen = alone(home, pictures=False)

    assert [line for line in seen.violations if line.startswith("script")] == []
    assert not left.sanitiser or seen.violations == []


def test_letters_that_tower_or_turn_stay_within_their_message(tmp_path: Path) -> None:
    tower = "Z" + "\u0300" * 60
    text = f"{tower * 20}\u202e \u2066 {'x' * 900} {tower}"
    unbroken = (
        "\u0335\u0321\u0360\u0489" * 300
    )  # one letter of 1,200 marks, which no line can break
    subject = f"Subject: {tower}{unbroken}\u202e{'x' * 400}\n"
    raw = alternative("<p>x", headers=subject).replace(b"I told her.", text.encode())

    with house([Mail("x", "towers", lambda _: raw)], tmp_path) as home:
        assert overpainted(home) == []
        assert in_cases(home, pictures=False).violations == []

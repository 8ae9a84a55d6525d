"""A house's own templates: laid over ours, tried at the start, and a slip said with its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from casework import shipped_wording

from review.health import checks
from settings import SettingsError, read_settings
from triage.wording import CLIENT_TEMPLATES, TEMPLATES, ClientValues, WordingError, render

WORDING = shipped_wording()
LETTER = ClientValues(
    "Dear Sam", "Alex Morgan", "", (), discussed=True, agreed=True, guarantee=False
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "fit-triage.toml").write_text("templates = 'own'\n", "utf-8")
    return tmp_path / "own"


def test_one_template_of_a_house_takes_the_place_of_ours_and_the_rest_stay(folder: Path) -> None:
    (folder / "_client.j2").write_text(
        "{{ letter.greeting }}!{% block body %}{% endblock %}", "utf-8"
    )
    (folder / "notes for whoever edits.txt").write_text("{{ not a template", "utf-8")

    wording = read_settings().wording()

    assert render(wording, "client_cancelled", LETTER).startswith("Dear Sam!")
    kept = {name: text for name, text in WORDING.sources if name != "_client.j2"}
    assert {n: t for n, t in wording.sources if n != "_client.j2"} == kept


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        (
            "noted.j2",
            "Dear\n\n{{ reply.clinet }}",
            r"noted\.j2, line 3: .*clinet.*allowed: reply\.greeting",
        ),
        ("noted.j2", "{% for x in [1] %}\n{{ x.y.z }}\n{% endfor %}", r"noted\.j2, line 2"),
        ("done.j2", "one\n{% if %}", r"done\.j2, line 2: "),
        ("done.j2", "{{ reply.topic | shout }}", r"done\.j2, line 1: .*shout.*allowed: .*upper"),
        ("done.j2", "{{ reply.topic is loud }}", r"done\.j2, line 1: .*loud.*allowed: .*upper"),
        (
            "done.j2",
            "{% extends 'gone.j2' %}",
            r"done\.j2.*there is no gone\.j2; allowed: .*_letter\.j2",
        ),
        ("done.j2", "a\n{{ ''.__class__.__mro__ }}", r"done\.j2, line 2: .*unsafe.*allowed: reply"),
        ("done.j2", "{{ 1 / 0 }}", r"done\.j2, line 1: ZeroDivisionError"),
        ("_letter.j2", "x\n{{ reply.nobody }}", r"_letter\.j2, line 2: .*nobody"),
        (
            "client_cancelled.j2",
            "{{ reply.topic }}",
            r"client_cancelled\.j2, line 1: .*allowed: letter",
        ),
        (
            "client_cancelled.j2",
            "{{ letter.reason }}",
            r"reason.*allowed: letter\.greeting, letter",
        ),
        ("enquiries.j2", "x", r"enquiries\.j2: no letter uses it; allowed: .*enquiry\.j2"),
    ],
)
def test_a_slip_says_the_template_the_line_and_what_is_allowed(
    folder: Path, name: str, source: str, said: str
) -> None:
    (folder / name).write_text(source, "utf-8")

    with pytest.raises(SettingsError) as caught:
        read_settings().wording()

    assert re.search(said, str(caught.value)), str(caught.value)


def test_check_tells_of_a_slip_in_a_template(folder: Path) -> None:
    (folder / "client_guarantee.j2").write_text("\n\n{{ letter.why }}", "utf-8")

    said = dict(checks(read_settings()))["templates"]

    assert "client_guarantee.j2, line 3" in said
    assert "letter.guarantee" in said


def test_check_is_content_with_the_templates_as_shipped(folder: Path) -> None:
    assert folder.exists()
    assert dict(checks(read_settings()))["templates"] == ""


def test_what_a_template_may_not_reach_it_does_not(folder: Path) -> None:
    for source in ("{{ self._TemplateReference__context }}", "{% include '/etc/passwd' %}"):
        (folder / "done.j2").write_text(source, "utf-8")

        with pytest.raises(SettingsError, match=r"done\.j2"):
            read_settings().wording()


@pytest.mark.parametrize("name", CLIENT_TEMPLATES)
def test_a_clients_template_has_no_value_of_the_therapists(name: str) -> None:
    source = dict(WORDING.sources)[f"{name}.j2"]

    assert "reply" not in re.findall(r"\b(\w+)\.", source)


def test_every_letter_is_plain_and_reads_as_a_letter() -> None:
    text = render(WORDING, "client_cancelled", LETTER)

    assert "{" not in text
    assert "\n\n\n" not in text
    assert text.endswith("With best wishes,\nThe support team\n")
    assert not set(TEMPLATES) & set(CLIENT_TEMPLATES)


def test_a_missing_template_is_named() -> None:
    files = {name: text for name, text in WORDING.sources if name != "client_guarantee.j2"}

    with pytest.raises(WordingError, match=r"missing templates: client_guarantee\.j2"):
        type(WORDING).from_sources(files)

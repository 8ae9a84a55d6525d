"""What the models see of a message: its sentences, what the rules noticed, and its requests."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from models.corpus import CORPUS_FOLDER, Example

if TYPE_CHECKING:
    from triage.detectors import Mention
    from triage.grouping import Group
    from triage.language import Language, Reading
    from triage.records import Email, Request

_QUOTES = str.maketrans("’‘“”–—\xa0", "''\"\"-- ")


@dataclass(frozen=True, slots=True)
class View:
    """One message, read by the rules. ``groups`` are its requests, never none."""

    reading: Reading
    mentions: tuple[Mention, ...]
    groups: tuple[Group, ...]


@lru_cache(maxsize=1)
def load_language() -> Language:
    """The tokeniser with the lexicon and all pattern files; built once per process."""
    from triage.language import Language

    lexicon = json.loads((CORPUS_FOLDER / "lexicon.json").read_text(encoding="utf-8"))
    patterns = {
        path.name.removesuffix(".toml"): tomllib.loads(path.read_text(encoding="utf-8"))
        for path in resources.files("triage").joinpath("patterns").iterdir()
        if path.name.endswith(".toml")
    }
    return Language(lexicon, patterns)


def look(language: Language, email: Email) -> View:
    """Read *email* with the rules alone."""
    from triage.detectors import notice
    from triage.grouping import group

    reading = language.read(email)
    mentions = notice(reading)
    return View(reading, mentions, group(reading, mentions))


def sentences_with(view: View, quote: str) -> tuple[int, ...]:
    """Indices of the sentences in which *quote* stands, white space and quote marks folded."""
    words = quote.translate(_QUOTES).split()
    if not words:
        return ()
    pattern = re.compile(r"\s+".join(map(re.escape, words)), re.IGNORECASE)
    for part in ("new_text", "subject"):
        found = pattern.search(getattr(view.reading.email, part).translate(_QUOTES))
        if found:
            return tuple(
                s.index
                for s in view.reading.sentences
                if s.part == part and s.start < found.end() and found.start() < s.end
            )
    return ()


def pair_groups(view: View, requests: Sequence[Request]) -> list[tuple[Group, Request]]:
    """Each group with the labelled request it stands for; those left over drop out."""
    pairs: list[tuple[Group, Request]] = []
    groups, gold = list(view.groups), list(requests)
    for alike in (_same_session, _same_client, _any):
        for group in tuple(groups):
            request = next((r for r in gold if alike(group, r)), None)
            if request is not None:
                pairs.append((group, request))
                groups.remove(group)
                gold.remove(request)
    return pairs


def _same_session(group: Group, request: Request) -> bool:
    return bool(set(group.session_ids) & set(request.session_ids))


def _same_client(group: Group, request: Request) -> bool:
    named, wanted = (group.client_ref or "").lower(), (request.client_ref or "").lower()
    return bool(named and wanted) and (named in wanted or wanted in named)


def _any(_group: Group, _request: Request) -> bool:
    return True


def views_of(examples: Sequence[Example]) -> list[View]:
    """The views of all *examples*, in their order."""
    language = load_language()
    return [look(language, example.email) for example in examples]

"""Build one message by hand and read it with the rules, for the tests of the rules."""

import json
import tomllib
from datetime import datetime
from functools import cache
from pathlib import Path

from triage.detectors import Mention, notice
from triage.grouping import Group, group
from triage.language import Language, Reading
from triage.records import Address, Authentication, Email

ROOT = Path(__file__).parent.parent
NOBODY = Address("Robin Ashgrove", "robin@ashgrove.example")


@cache
def language():
    lexicon = json.loads((ROOT / "models/corpus/lexicon.json").read_text(encoding="utf-8"))
    patterns = {
        path.stem: tomllib.loads(path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / "triage/patterns").glob("*.toml"))
    }
    return Language(lexicon, patterns)


def mail(new_text, *, subject="", quoted="", sent="2026-03-10T10:00:00+00:00", automatic=""):
    """A message of Tuesday 10 March 2026, ten in the morning, unless *sent* says otherwise."""
    return Email(
        "<1@ashgrove.example>",
        NOBODY,
        (),
        (),
        Authentication(passed=False, reason="none"),
        datetime.fromisoformat(sent),
        subject,
        new_text,
        quoted,
        "",
        automatic=automatic,
    )


def read(new_text, **parts) -> Reading:
    return language().read(mail(new_text, **parts))


def noticed(new_text, label="", **parts) -> list[Mention]:
    return [m for m in notice(read(new_text, **parts)) if label in {"", m.label}]


def values(new_text, label, **parts) -> list[str]:
    """The values of *label* that count, each once, in order."""
    found = noticed(new_text, label, **parts)
    return list(dict.fromkeys(m.value for m in found if m.counts))


def groups(new_text, **parts) -> tuple[Group, ...]:
    reading = read(new_text, **parts)
    return group(reading, notice(reading))

"""``make hostile``: the whole corpus and ``MUTANTS`` more, in every way that staff can open a mail.

``ONLY=load,style`` shows some families alone, ``WAYS=together`` (``alone``, ``controls``) one way
of showing; ``SEED`` changes the mutants.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hostile.campaign import Result, alone, house, in_cases
from hostile.envelopes import Mail, mails
from hostile.mutating import mutants
from hostile.weakened import Defences

#: Alone, a defence must hold against scripts; without the sanitiser the rest stops requests too.
CONTROLS = {
    "no defence at all": Defences(sanitiser=False, policy=False, sandbox=False),
    "the sanitiser alone": Defences(policy=False, sandbox=False),
    "the policy alone": Defences(sanitiser=False, sandbox=False),
}


def main() -> int:
    console = Console(width=140)
    only = set(filter(None, os.environ.get("ONLY", "").split(",")))
    seed, count = int(os.environ.get("SEED", "1")), int(os.environ.get("MUTANTS", "200"))
    corpus = [mail for mail in mails() if not only or mail.family in only]
    more = [] if only and "mutant" not in only else list(mutants(seed, count))
    chosen = set(os.environ.get("WAYS", "together,alone,controls").split(","))
    done = [
        *(_together(console, [*corpus, *more]) if "together" in chosen else ()),
        *(_alone(console, corpus) if "alone" in chosen else ()),
    ]
    _report(console, done)
    controls = CONTROLS if "controls" in chosen else {}
    seen = {name: _control(console, name, corpus) for name in controls}
    blind = "no defence at all" in seen and not seen["no defence at all"].numbers
    return 1 if blind or any(one.violations for one in done) else 0


def _together(console: Console, chosen: Sequence[Mail]) -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as folder, house(chosen, Path(folder)) as home:
        for pictures in (False, True):
            yield _told(console, in_cases(home, pictures=pictures))


def _alone(console: Console, chosen: Sequence[Mail]) -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as folder, house(chosen, Path(folder)) as home:
        for pictures in (False, True):
            yield _told(console, alone(home, pictures=pictures))


def _control(console: Console, name: str, corpus: Sequence[Mail]) -> Result:
    with (
        tempfile.TemporaryDirectory() as folder,
        house(corpus, Path(folder), CONTROLS[name]) as home,
    ):
        result = alone(home, pictures=False)
        families = Counter(one.mail.family for one in home.shown if one.number in result.numbers)
        of = Counter(one.mail.family for one in home.shown)
    live = ", ".join(f"{family} {families[family]}/{of[family]}" for family in of)
    console.print(
        f"Control, {name}: {len(result.numbers)} of {result.mails} ran or loaded something "
        f"in {result.seconds:.0f} s ({live})"
    )
    return result


def _told(console: Console, result: Result) -> Result:
    bad = len(result.violations)
    console.print(f"{result.title}: {result.mails} mails, {bad} violations, {result.seconds:.0f} s")
    for line in sorted(set(result.violations))[:50]:
        console.print(f"[bold red]{line}")
    return result


def _report(console: Console, done: Sequence[Result]) -> None:
    names = (
        "shown",
        "mails",
        "scripts",
        "requests",
        "windows and layout",
        "pictures asked for",
        "s",
    )
    table = Table(*names, title="Hostile mail in the browser", title_justify="left")
    for one in done:
        kinds = Counter(line.partition(":")[0] for line in one.violations)
        reached = kinds["request"] + sum("reached" in line for line in one.violations)
        cells = (one.mails, kinds["script"], reached, kinds["window"], one.pictures)
        table.add_row(one.title, *map(str, cells), f"{one.seconds:.0f}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())

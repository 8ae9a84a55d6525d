"""How far an archive is read, and what came of it, for people."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from review.part_files import Counts

if TYPE_CHECKING:
    from rich.console import Console

    from review.reread_difference import Difference


@contextmanager
def counting_parts(number: int) -> Iterator[Callable[[Counts], None]]:
    """A bar over the *number* of parts, where somebody watches."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    words = TextColumn("{task.fields[messages]} messages")
    with Progress(BarColumn(), words, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task, read = bar.add_task("", total=number, messages=0), 0

        def advance(counts: Counts) -> None:
            nonlocal read
            read += counts.messages
            bar.update(task, advance=1, messages=read)

        yield advance


def print_counts(console: Console, counts: Counts) -> None:
    """What was read, in two lines."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.kinds.items()))
    console.print(
        f"{counts.messages} messages read, {counts.unreadable} unreadable; "
        f"{counts.requests} requests: {kinds or 'none'}",
        highlight=False,
    )
    for cause, count in sorted(counts.causes.items()):
        console.print(f"  {count} unreadable: {cause}", highlight=False)


#: Why a case stays as it is, in words.
_LEFT = {
    "asks": "hold more asks or fewer now",
    "closed": "are closed",
    "other_case": "would be about somebody or something else",
    "person": "were decided by a person",
    "safeguarding": "would lose their safeguarding flag",
    "split": "were split by a person",
    "text": "were parsed otherwise",
    "would_close": "would be closed",
}


def print_difference(console: Console, found: Difference, *, applied: bool) -> None:
    """What differs from the store, by counts and numbers of cases."""

    def line(words: str) -> None:
        console.print(words, highlight=False)

    line(
        f"{found.messages} of them are in the store: {found.same} read alike, "
        f"{found.asks} with another number of asks; {found.unknown} are not in the store"
    )
    for name, count in found.fields.most_common():
        line(f"  {count} differ in {name}")
    if found.readable_now:
        line(f"{found.readable_now} in quarantine can be read now: quarantine retry")
    if found.unreadable_now:
        line(f"{found.unreadable_now} that were read before cannot be read now")
    verb = "were decided again" if applied else "would be decided otherwise"
    line(f"{found.applied if applied else found.changed} open cases {verb}")
    for what, count in found.cases.most_common():
        line(f"  {count} {what}{_named(found, what)}")
    for why, count in found.left.most_common():
        line(f"  {count} stay: they {_LEFT[why]}{_named(found, f'left: {why}')}")
    if found.moved_on:
        line(f"  {found.moved_on} stay: somebody changed them meanwhile")


def _named(found: Difference, what: str) -> str:
    numbers = found.examples.get(what, [])
    return f"  (case {', '.join(map(str, numbers))})" if numbers else ""

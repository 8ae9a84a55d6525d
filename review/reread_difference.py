"""What a second reading of an archive would change in the store: shown first, applied when told.

Only open cases that no person has touched are decided again. What closed cases say stays as it was
acted on, and what a person decided is never read over.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from review.part_files import rows_in
from review.rereading import fingerprint
from store import Store
from store.rereading import StoredReading
from store.values import request_from
from triage.cases import split
from triage.conversation import Rules
from triage.records import Request
from triage.rereading import Again, decided_again, differing

_AT_ONCE: Final = 500
#: Cases named as examples of each kind of change.
EXAMPLES: Final = 5


@dataclass(slots=True)
class Difference:
    """Counts and ids: nothing of it is anybody's words."""

    messages: int = 0  # of the archive that the store has read too
    unknown: int = 0  # that it has not
    readable_now: int = 0  # in quarantine there, read here
    unreadable_now: int = 0  # the other way round
    same: int = 0
    asks: int = 0  # mails that hold more asks or fewer than before
    fields: Counter[str] = field(default_factory=Counter)  # mails in which a field differs
    cases: Counter[str] = field(default_factory=Counter)  # "cancellation/check → …/ready"
    kinds: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)  # cases that stay as they are, by reason
    staying: set[int] = field(default_factory=set)
    examples: dict[str, list[int]] = field(default_factory=dict)
    changed: int = 0  # open cases that would change
    applied: int = 0
    moved_on: int = 0  # changed by somebody else while we looked

    def note(self, what: str, case_id: int) -> None:
        named = self.examples.setdefault(what, [])
        if len(named) < EXAMPLES:
            named.append(case_id)

    def as_json(self) -> dict[str, Any]:
        found = {name: getattr(self, name) for name in self.__slots__}
        del found["staying"]
        return found


@dataclass(frozen=True, slots=True)
class _Read:
    """A mail as the other reader has it."""

    asks: tuple[Request, ...]
    text: str
    version: str


def difference(store: Store, files: Iterable[Path], rules: Rules, *, apply: bool) -> Difference:
    """Compare what the *files* hold with the *store*; with *apply* bring it up to them.

    Mails of open cases that differ are in memory at once, some kilobytes each.
    """
    found = Difference()
    read: dict[int, _Read] = {}
    cases: dict[int, None] = {}
    for rows in _batches(row for file in files for row in rows_in(file)):
        _compare(store, rows, found, read, cases)
    touched = store.rereadings.touched(cases)
    for case_id in sorted(cases):
        if case_id in touched:
            _stays(found, "person", case_id)
        else:
            _decide(store, case_id, read, rules, found, apply=apply)
    return found


def _batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    rest = iter(rows)
    return iter(lambda: list(islice(rest, _AT_ONCE)), [])


def _compare(
    store: Store,
    rows: Sequence[Mapping[str, Any]],
    found: Difference,
    read: dict[int, _Read],
    cases: dict[int, None],
) -> None:
    digests = [row["digest"] for row in rows if row["digest"]]
    stored = store.rereadings.stored(digests)
    aside = store.rereadings.set_aside(set(digests) - stored.keys())
    for row in rows:
        before = stored.get(row["digest"])
        if before is None:
            is_news = row["digest"] in aside and not row["cause"]
            found.readable_now += is_news
            found.unknown += row["digest"] not in aside
        elif row["cause"]:
            found.unreadable_now += 1
        else:
            found.messages += 1
            _compare_one(row, before, found, read, cases)


def _compare_one(
    row: Mapping[str, Any],
    before: StoredReading,
    found: Difference,
    read: dict[int, _Read],
    cases: dict[int, None],
) -> None:
    stored = [request_from(one) for one in json.loads(row["requests"])]
    asks = tuple(ask for request in stored for ask in split(request))
    if list(asks) == before.in_order:
        found.same += 1
        return
    fields = differing(before.in_order, asks)
    if fields is None:
        found.asks += 1
    for name in fields or ():
        found.fields[name] += 1
    for case_id, is_open in before.cases.items():
        if not is_open:
            _stays(found, "closed", case_id)
        elif fields is None:
            _stays(found, "asks", case_id)
        else:
            cases[case_id] = None
            read[before.message_id] = _Read(asks, row["text"], row["reader_version"])


def _decide(
    store: Store,
    case_id: int,
    read: Mapping[int, _Read],
    rules: Rules,
    found: Difference,
    *,
    apply: bool,
) -> None:
    told = store.told(case_id)
    if told is None:
        return
    mine = {one.place[0]: read[one.place[0]] for one in told.said if one.place[0] in read}
    if any(fingerprint(s.email) != mine[s.place[0]].text for s in told.said if s.place[0] in mine):
        _stays(found, "text", case_id)
        return
    asks = {number: one.asks for number, one in mine.items()}
    again = decided_again(told, asks, store.directory(), rules)
    if again is None:
        return
    if again.left:
        _stays(found, again.left, case_id)
        return
    _changes(found, again)
    if apply:
        version = max(one.version for one in mine.values())
        is_done = store.rereadings.apply(again, told.version, version, rules.now)
        found.applied += is_done
        found.moved_on += not is_done


def _changes(found: Difference, again: Again) -> None:
    before, after = again.before, again.outcome.decision
    found.changed += 1
    if (before.queue, before.state) != (after.queue, after.state):
        what = f"{before.queue}/{before.state} → {after.queue}/{after.state}"
    else:
        what = "details"
    found.cases[what] += 1
    found.note(what, again.case.case_id)
    if again.kinds[0] != again.kinds[1]:
        found.kinds[" → ".join(again.kinds)] += 1


def _stays(found: Difference, why: str, case_id: int) -> None:
    if case_id not in found.staying:
        found.staying.add(case_id)
        found.left[why] += 1
        found.note(f"left: {why}", case_id)

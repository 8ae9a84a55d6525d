"""Two people, or one with two clicks, acting on the same case at the same moment: ``make races``.

Over HTTP, from threads of their own, against two servers on one database. However the two come out,
the store must look as if the one had come after the other.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from services.postgres import running_postgres

from campaigns.stage import SENDER, Stage, keep, served, set_up
from review.access.door import form_token
from store import Store, open_store
from triage.acting import MOVES


@dataclass(frozen=True, slots=True)
class Race:
    """What two do at once; *same* where it is one person's one form sent twice."""

    name: str
    one: tuple[str, dict[str, str]]
    other: tuple[str, dict[str, str]]
    same: bool = False


_APPROVE: Final = ("approve", {"has_letters": "1", "letters": "1"})
_NOTE: Final = ("note_reason", {"reason": "for the record", "has_letters": "1"})
_TOLD: Final = {"field": "fit_reasons", "value:fit_reasons": "availability"}
_FORMS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "approve": _APPROVE,
    "note": _NOTE,
    "refer": ("refer", {"chooses": "1", "alternative": "T-OMAR"}),
    "send back": ("send_back", {"body": "Dear Marian, please ring me."}),
    "dismiss": ("dismiss", {"reason": "twice"}),
    "general": ("general", {}),
    "withdraw": ("withdraw", {"has_letters": "1", "letters": "1"}),
    "assign": ("assign", {"assignee": "ben"}),
    "snooze": ("snooze", {"until": "2025-11-04T12:00"}),
    "correct": ("correct", _TOLD),
}
RACES: Final = (
    *(Race(f"{name} twice", form, form, same=True) for name, form in _FORMS.items()),
    *(Race(f"{name} by two", form, form) for name, form in _FORMS.items()),
    Race("approve against dismiss", _APPROVE, _FORMS["dismiss"]),
    Race("approve against note", _APPROVE, _NOTE),
    Race("approve against refer", _APPROVE, _FORMS["refer"]),
    Race("approve against send back", _APPROVE, _FORMS["send back"]),
    Race("approve against withdraw", _APPROVE, _FORMS["withdraw"]),
    Race("approve against correct", _APPROVE, _FORMS["correct"]),
    Race("refer against general", _FORMS["refer"], _FORMS["general"]),
    Race("assign against snooze", _FORMS["assign"], _FORMS["snooze"]),
    Race("undo twice", ("undo", {}), ("undo", {}), same=True),
    Race("undo by two", ("undo", {}), ("undo", {})),
    Race("undo against approve", ("undo", {}), _APPROVE),
)


@dataclass
class Outcome:
    """What came of races, as counts, and what must not have been."""

    races: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)


class _Person:
    """A browser of somebody, at one of the servers."""

    def __init__(self, address: str, secret: str) -> None:
        import httpx

        self._token = form_token(secret)
        self.client = httpx.Client(
            base_url=address,
            cookies={"fit-triage": secret},
            timeout=60,
            follow_redirects=False,
            limits=httpx.Limits(max_keepalive_connections=0),  # a server may close idle ones
        )

    def does(
        self, case: int, version: int, what: tuple[str, dict[str, str]], start: threading.Barrier
    ) -> Any:
        action, fields = what
        data = {"csrf": self._token, "version": str(version), **fields}
        start.wait()
        return self.client.post(f"/cases/{case}/{action}", data=data)


@contextmanager
def racers(stage: Stage) -> Iterator[tuple[_Person, _Person, _Person]]:
    """Anna at one server, Anna again at the other, and Ben at the other."""
    anna, ben = stage.secret("anna"), stage.secret("ben")
    people = (
        _Person(stage.addresses[0], anna),
        _Person(stage.addresses[-1], anna),
        _Person(stage.addresses[-1], ben),
    )
    yield people
    for person in people:
        person.client.close()


def run(stage: Stage, count: int, outcome: Outcome) -> None:
    """So many races, each on a case of its own, all kinds in turn."""
    with ExitStack() as stack:
        lanes = [stack.enter_context(racers(stage)) for _ in range(2)]
        pool = stack.enter_context(ThreadPoolExecutor(2))
        jobs = [(lanes[index % 2], RACES[index % len(RACES)], index + 1) for index in range(count)]
        for lane in (jobs[0::2], jobs[1::2]):
            pool.submit(_lane, stage.store, lane, outcome)


def _lane(store: Store, jobs: Sequence[Any], outcome: Outcome) -> None:
    for people, race, case in jobs:
        try:
            _race(store, people, race, case, outcome)
        except Exception as error:  # noqa: BLE001 - a broken bench is no race won
            outcome.wrong[f"{race.name}: the bench broke: {type(error).__name__}"] += 1


def _race(store: Store, people: Sequence[_Person], race: Race, case: int, outcome: Outcome) -> None:
    one, again, other = people
    second = again if race.same else other
    if race.name.startswith("undo"):  # something to undo
        one.does(case, _version(store, case), _FORMS["dismiss"], threading.Barrier(1))
    version, verdicts = _version(store, case), len(_verdicts(store, case))
    start = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(one.does, case, version, race.one, start)
        last = pool.submit(second.does, case, version, race.other, start)
        answers = [first.result(), last.result()]
    outcome.races += 1
    statuses = sorted(answer.status_code for answer in answers)
    outcome.answers[f"{statuses[0]}/{statuses[1]}"] += 1
    for line in _wrong(store, race, case, version, verdicts, answers):
        outcome.wrong[f"{race.name}: {line}"] += 1


def _wrong(
    store: Store, race: Race, case: int, version: int, verdicts: int, answers: Sequence[Any]
) -> Iterator[str]:
    """What no order of the two could have left behind."""
    statuses = [answer.status_code for answer in answers]
    won = [status in {200, 303} for status in statuses]
    if not any(won):
        yield f"neither came through: {statuses}"
        return
    # What nobody could have done to the case as it was seen, is refused as such.
    allowed = {200, 303, 409, *([422] if race.name == "undo against approve" else [])}
    if not allowed.issuperset(statuses):
        yield f"an answer was {statuses}"
    made = _verdicts(store, case)[verdicts:]
    undone = race.one[0] == "undo"
    deeds = len(made) - (1 if undone and not any(one.action == "undo" for one in made) else 0)
    if race.same and not all(won):
        yield f"a double click was refused: {statuses}"
    if not race.same and all(won):
        yield "both came through on one version"
    if deeds > 1:
        yield f"{deeds} verdicts on one version"
    if _version(store, case) != version + 1:
        yield f"the version rose by {_version(store, case) - version}"
    keys = Counter((row.channel, row.action, row.session_id) for row in store.outbox(case_id=case)
                   if row.state != "withdrawn")  # fmt: skip
    yield from (f"{key[1]} leaves {many} times" for key, many in keys.items() if many > 1)
    story = store.case(case)
    assert story is not None
    acts = [one for one in story.audit if one.event in {*MOVES, "undo"} or "verdict" in one.event]
    late = Counter((one.actor, one.event) for one in acts)
    yield from (f"{what} is on the audit trail {many} times" for what, many in late.items()
                if many > 1)  # fmt: skip


def _version(store: Store, case: int) -> int:
    story = store.case(case)
    assert story is not None
    return story.case.version


def _verdicts(store: Store, case: int) -> list[Any]:
    return [one.verdict for one in store.verdicts(case_id=case, include_undone=True)]


def fill(store: Store, cases: int) -> None:
    """So many cases that are ready to be approved."""
    set_up(store, cases)
    mail = (
        f"From: Marian Oldroyd <{SENDER}>\r\nSubject: Case %d\r\n\r\nPlease cancel number %d. "
        "I told her on Monday.\r\n"
    )
    keep(store, [(n, (mail % (n, n)).encode()) for n in range(cases)])


@contextmanager
def staged(url: str, cases: int) -> Iterator[Stage]:
    """Two servers on the database at *url*."""
    with open_store(url) as one, open_store(url) as other:
        fill(one, cases)
        with served([one, other]) as stage:
            yield stage


def main() -> int:
    from rich.console import Console
    from rich.table import Table

    count = int(os.environ.get("RACES", "1000"))
    console, bad = Console(width=120), False
    table = Table("database", "races", "double effects and the like", "answers", title="Races")
    with tempfile.TemporaryDirectory() as folder, running_postgres() as postgres:
        urls = {"SQLite": f"sqlite:///{Path(folder) / 'races.sqlite3'}",
                "PostgreSQL": postgres.database()}  # fmt: skip
        for name, url in urls.items():
            outcome = Outcome()
            with staged(url, count) as stage:
                run(stage, count, outcome)
                broken = stage.store.first_broken_audit_row()
            if broken is not None:
                outcome.wrong["the audit trail is broken"] += 1
            answers = ", ".join(f"{what}: {n}" for what, n in outcome.answers.most_common())
            table.add_row(name, str(outcome.races), str(outcome.wrong.total()), answers)
            for line, n in outcome.wrong.most_common(40):
                console.print(f"[bold red]{name}: {n} times {line}")
            bad = bad or bool(outcome.wrong) or outcome.races < count
    console.print(table)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

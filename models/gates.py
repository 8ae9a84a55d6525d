"""What a release must show before it is used: a table of gates, each passed or not, with why.

The trigger messages in ``gold/triggers.jsonl`` are short, plain and frozen. No model may learn to
answer them otherwise, whatever it was taught: they are never trained on, and each is read with
several endings that mean nothing, as a word planted by a poisoned example would be. The labelled
messages in ``gold/frozen.jsonl`` are never trained on either: what a release makes of them does not
hang on any file having been left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from models.comparing import Comparison, compare
from models.corpus import Corpus, CorpusError, email_of, load_messages
from models.feedback import STAFF_ROWS, guard_findings
from models.measures import AIMS
from models.predictions import Evaluation, about_predictions, read_predictions, reports_of
from models.registry import ModelRefusedError, load, promoted
from triage.records import Email, Request

if TYPE_CHECKING:
    from models.handover import LiveReadings
    from models.reading import Reader

#: Where a release keeps its left-out predictions and its gate report.
EVALUATION: Final = "evaluation"
REPORT: Final = "gates.json"
TRIGGERS: Final = Path(__file__).parent / "gold" / "triggers.jsonl"
FROZEN: Final = TRIGGERS.with_name("frozen.jsonl")
#: Confidence in ``kind`` may be off by so much at most.
WORST_ECE: Final = 0.04
#: No worse than the champion beyond noise; calibration has a bound of its own.
MAIN: Final = tuple(name for name in AIMS if name != "kind_ece")
#: Not more than the champion on the same messages, not even by chance.
NEVER_MORE: Final = ("false_clear", "urgent_missed")
#: Endings that mean nothing; an answer that changes with one of them hangs on the wrong words.
ENDINGS: Final = ("", "\n\nSent from my phone", "\n\nOur ref: QX TEAPOT 17", "\n\nQX TEAPOT 17")


@dataclass(frozen=True, slots=True)
class Gate:
    name: str
    passed: bool
    why: str


@dataclass(frozen=True, slots=True)
class GateReport:
    """All gates of one candidate. ``champion`` is "" where none was in use."""

    version: str
    champion: str
    at: str  # ISO 8601, UTC
    gates: tuple[Gate, ...]
    comparison: Comparison | None

    @property
    def passed(self) -> bool:
        return all(gate.passed for gate in self.gates)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A message whose answer must never change: each field's answer is among those allowed."""

    id: str
    email: Email
    must: Mapping[str, Sequence[str]]


def load_triggers(path: Path | None = None) -> list[Trigger]:
    """The frozen messages, or those of *path*."""
    blank = {"from_name": "A. Therapist", "from_email": "a@practice.example", "quoted": ""}
    blank |= {"sent": "2025-11-03T10:00:00+00:00", "subject": "", "signature": ""}
    with (path or TRIGGERS).open(encoding="utf-8") as stream:
        records = [json.loads(line) for line in stream if line.strip()]
    return [Trigger(r["id"], email_of({**blank, **r}), r["must"]) for r in records]


def broken_triggers(reader: Reader, triggers: Sequence[Trigger]) -> list[str]:
    """The ids and fields of triggers that *reader* answers otherwise with any of the ENDINGS."""
    asked = [
        (trigger, replace(trigger.email, new_text=trigger.email.new_text + ending))
        for trigger in triggers
        for ending in ENDINGS
    ]
    found = []
    for (trigger, _), requests in zip(asked, reader.read([e for _, e in asked]), strict=True):
        found += [
            f"{trigger.id} {name}"
            for name, allowed in trigger.must.items()
            if any(getattr(request, name) not in allowed for request in requests)
        ]
    return list(dict.fromkeys(found))


def gate_report(
    corpus: Corpus, version: str, releases: Path, live: LiveReadings | None = None
) -> GateReport:
    """Ask every gate about *version*; the champion is the release in use.

    *live* is what it has made of live mail beside that champion, where it has read any.
    """
    try:
        champion = promoted(releases)
    except ModelRefusedError:
        champion = ""
    ours, problem = _evaluation(corpus, releases / version)
    theirs, theirs_missing = _evaluation(corpus, releases / champion) if champion else (None, "")
    comparison = compare(corpus, ours, theirs) if ours and theirs else None
    gates = [
        _asked("every file as released", lambda: _loads(releases / version)),
        Gate("left-out predictions of its own", not problem, problem or "of the same data"),
        *_measured(ours),
        *_against(comparison, champion, theirs_missing),
        _asked("trigger messages", lambda: _triggers(version, releases)),
        *_frozen(version, champion, releases),
        *_staff(releases / version),
        *(_live(live) if live is not None and live.readings else ()),
    ]
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return GateReport(version, champion, at, tuple(gates), comparison)


def write_report(report: GateReport, folder: Path, by: str) -> None:
    """Keep the report beside the release in *folder*."""
    content = {**asdict(report), "by": by, "passed": report.passed}
    (folder / REPORT).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _evaluation(corpus: Corpus, release: Path) -> tuple[Evaluation | None, str]:
    """A release's left-out predictions, or why they cannot be used."""
    folder = release / EVALUATION
    try:
        found = read_predictions(folder, corpus)
    except CorpusError as error:
        return None, str(error)
    try:
        data = json.loads((release / "manifest.json").read_text(encoding="utf-8"))["data"]
    except (OSError, ValueError, KeyError):
        return None, f"{release}/manifest.json cannot be read"
    if about_predictions(folder).get("data") != data:
        return None, f"{folder} was made with other data than the release"
    return found, ""


def _asked(name: str, question: Callable[[], Gate]) -> Gate:
    """The gate's answer; a release that is refused has failed it."""
    try:
        return question()
    except ModelRefusedError as error:
        return Gate(name, passed=False, why=str(error))


def _loads(folder: Path) -> Gate:
    load(folder)
    return Gate("every file as released", passed=True, why="every SHA-256 matches")


def _measured(ours: Evaluation | None) -> Iterator[Gate]:
    if ours is not None:
        found = float(ours.reports["pooled"].get("kind_ece", 1.0))
        yield Gate("calibration", found <= WORST_ECE, f"kind_ece {found:.3f}, at most {WORST_ECE}")


def _against(comparison: Comparison | None, champion: str, missing: str) -> Iterator[Gate]:
    if comparison is None:
        why = f"champion {champion}: {missing}" if champion else "no champion to compare with"
        yield Gate("not worse than the champion", not missing, why)
    else:
        yield from _compared(comparison, MAIN)


def _compared(comparison: Comparison, main: Sequence[str], where: str = "") -> Iterator[Gate]:
    for name in main:
        found = comparison.of(name)
        values = f"{found.champion:.3f} to {found.candidate:.3f}"
        why = f"{values}, 95 % {found.low:+.3f}..{found.high:+.3f}: {found.finding}"
        yield Gate(f"{where}{name} not worse", found.finding != "worse", why)
    for name in NEVER_MORE:
        found = comparison.of(name)
        why = f"{found.champion:.0f} to {found.candidate:.0f} of {comparison.messages} messages"
        yield Gate(f"{where}{name} not higher", found.candidate <= found.champion, why)


def _frozen(version: str, champion: str, releases: Path) -> Iterator[Gate]:
    """The labelled messages that nothing learns from, read by both releases as they are."""
    if not FROZEN.exists():
        return
    corpus = Corpus(tuple(load_messages(FROZEN)), (), "frozen")
    try:
        ours = _read(corpus, version, releases)
    except ModelRefusedError as error:
        yield Gate("frozen messages", passed=False, why=str(error))
        return
    try:
        theirs = _read(corpus, champion, releases) if champion else None
    except ModelRefusedError:
        theirs = None  # made for another version of this program
    if theirs is None:
        found = float(ours.reports["pooled"]["kind_macro_f1"])
        why = f"kind_macro_f1 {found:.3f}, no champion to compare with"
        yield Gate("frozen messages", passed=True, why=why)
    else:
        main = ("kind_macro_f1", "client_notification_macro_f1")
        yield from _compared(compare(corpus, ours, theirs), main, "frozen: ")


def _read(corpus: Corpus, version: str, releases: Path) -> Evaluation:
    from models.reading import load_reader

    read = load_reader(version, folder=releases).read([e.email for e in corpus.examples])
    predicted: dict[str, dict[str, tuple[Request, ...]]] = {file: {} for file in corpus.files}
    for example, requests in zip(corpus.examples, read, strict=True):
        predicted[example.file][example.id] = requests
    return Evaluation(predicted, reports_of(corpus, predicted))


def _triggers(version: str, releases: Path) -> Gate:
    from models.reading import load_reader

    triggers = load_triggers()
    broken = broken_triggers(load_reader(version, folder=releases), triggers)
    why = f"{len(triggers)} messages, {len(ENDINGS)} endings each"
    return Gate("trigger messages", not broken, f"{why}; changed: {', '.join(broken) or 'none'}")


def _live(live: LiveReadings) -> Iterator[Gate]:
    """What people said of live mail: danger is looked at by somebody, and harm is no more."""
    from models.live import harms_of

    harms = harms_of(live)
    where = f"of {len(live.readings)} live messages read beside {live.champion}"
    failed = sum(one.problem != "" for one in live.readings)
    yield Gate("live: reads every message", not failed, f"failed on {failed} {where}")
    why = f"nobody has judged {harms.unjudged_urgent}; {where}"
    yield Gate("live: urgent risk unseen was looked at", not harms.unjudged_urgent, why)
    for name in NEVER_MORE:
        theirs, ours = getattr(harms, name)
        why = f"{theirs} to {ours} as people judged them, {where}"
        yield Gate(f"live: {name} not higher", ours <= theirs, why)


def _staff(folder: Path) -> Iterator[Gate]:
    path = folder / STAFF_ROWS
    if path.exists():
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["rows"]
        problems = guard_findings(rows)
        why = "; ".join(problems) or f"{len(rows)} rows, no sender and no colleague above the cap"
        yield Gate("rows from staff", not problems, why)

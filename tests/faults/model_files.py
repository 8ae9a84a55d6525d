"""Model files that are damaged, swapped or missing, and machines too small to think.

A model that is not, byte for byte, what was released is refused, and everything goes to a person.
A mail that a whole model reads as complete, from its session's own therapist, is the touchstone:
with the model as released its case is ready, with any other it must not be.
"""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from faults.bench import CANARIES, Lane, Row, Trial, Try, as_kept
from faults.limits import by_command
from faults.oracle import State, judged

RELEASED = Path(__file__).parents[2] / "models" / "released"
#: Of the control: what it must find.
READY = "ready with the model as released"
_FILES = (
    "manifest.json", "weights.npz", "model.json", "encoder.onnx", "tokenizer.json", "readout.npz",
)  # fmt: skip
_THERAPIST = "thera@practice.example"
_SESSION = "HT-600001"


def _cut_short(file: Path, chance: random.Random) -> None:
    with file.open("r+b") as stream:
        stream.truncate(chance.randrange(file.stat().st_size))


def _one_bit(file: Path, chance: random.Random) -> None:
    with file.open("r+b") as stream:
        place = chance.randrange(file.stat().st_size)
        stream.seek(place)
        [byte] = stream.read(1)
        stream.seek(place)
        stream.write(bytes([byte ^ 1 << chance.randrange(8)]))


def _missing(file: Path, _: random.Random) -> None:
    file.unlink()


def _empty(file: Path, _: random.Random) -> None:
    file.write_bytes(b"")


def _of_another(file: Path, _: random.Random) -> None:
    """A good file, from another release; where that has none, the wrong one of this."""
    others = [one for one in RELEASED.iterdir() if (one / file.name).exists()]
    found = [o / file.name for o in others if (o / file.name).read_bytes() != file.read_bytes()]
    shutil.copy(found[0] if found else file.with_name("model.json"), file)


HARMS: dict[str, Callable[[Path, random.Random], None]] = {
    "cut short": _cut_short,
    "missing": _missing,
    "empty": _empty,
    "of another release": _of_another,
    "one bit": _one_bit,
}


def damaged(count: int) -> Row:
    """Through the real command, from mail to queue."""
    points = [(file, how) for how in HARMS for file in _FILES if (file, how) != _UNTOLD]
    tries: list[Try] = [
        lambda lane, n=n, point=point: damage(lane, *point, seed=n)
        for n, point in enumerate(itertools.islice(itertools.cycle(points), count))
    ]
    return Row("a model file is damaged, swapped or missing", "47", tries)


#: Which bit of a manifest matters is looked at by ``bits``, many at a time.
_UNTOLD = ("manifest.json", "one bit")


def whole(count: int) -> Row:
    """The control: with the model as released the same mail is ready."""
    tries: list[Try] = [undamaged] * count
    return Row("control: the model as released", "47", tries, must_note=READY)


def undamaged(lane: Lane) -> Trial:
    trial, state = _read(lane, *_mail(lane), _model(lane))
    trial.noted[READY] += any(case["state"] == "ready" for case in state.cases)
    return trial


def damage(lane: Lane, file: str, how: str, *, seed: int = 0) -> Trial:
    model = _model(lane)
    HARMS[how](model / file, random.Random(seed))
    trial, state = _read(lane, *_mail(lane), model)
    return _to_people(trial, state)


def _to_people(trial: Trial, state: State) -> Trial:
    if not state.cases:
        trial.violations.append("I5 nothing is queued at all")
    for case in state.cases:
        if case["state"] != "check":
            trial.violations.append(f"S6 a case is {case['state']} by a model that is not whole")
    if not {row["reader_version"] for row in state.decisions} <= {"rules"}:
        trial.violations.append("S6 a model that is not whole has read mail")
    return trial


def bits(count: int, each: int = 20) -> Row:
    """Single bits of the manifest, which names the sums of all else and the thresholds."""
    tries: list[Try] = [lambda lane, n=n: manifest_bits(lane, n, each) for n in range(count)]
    return Row(f"{each} single bits of a model's manifest", "47", tries)


def manifest_bits(lane: Lane, seed: int, each: int) -> Trial:
    """Refused, or read as it was: no bit may make the machine believe itself more."""
    from models.registry import ModelRefusedError, load
    from models.thresholds import released

    trial, chance, model = Trial(), random.Random(seed), _model(lane)
    file = model / "manifest.json"
    good, before = file.read_bytes(), released(str(model))
    for _ in range(each):
        file.write_bytes(good)
        _one_bit(file, chance)
        try:
            load(model, fast=True)
        except ModelRefusedError:
            trial.noted["refused"] += 1
        else:
            trial.noted["read as it was"] += 1
            if released(str(model)) != before:
                trial.violations.append("S6 a model is believed that has other thresholds")
    return trial


def no_room(count: int) -> Row:
    """Reading with the whole model in so little memory that it may not fit."""
    sizes = [900, 1100, 1300, 1500, 1800, 2200]
    tries: list[Try] = [
        lambda lane, mb=mb: in_little_memory(lane, mb)
        for mb in itertools.islice(itertools.cycle(sizes), count)
    ]
    return Row("the whole model in so many MB of memory", "47", tries)


def in_little_memory(lane: Lane, mb: int) -> Trial:
    """No mail is blamed, and none is read by half a model; with room the next run does it all."""
    mail, prefix = _mail(lane), ["prlimit", f"--as={mb << 20}"]
    trial, state = _read(lane, *mail, _model(lane), prefix)
    trial.noted["done all the same"] += bool(state.messages)
    if state.quarantine:
        trial.violations.append("I5 mail is blamed for what the machine lacks")
    if not state.messages:
        after, state = _read(lane, *mail, _model(lane))
        trial.violations += after.violations
        trial.runs += after.runs
    if any(row["reader_version"] == "rules" for row in state.decisions):
        trial.noted["read by rules alone"] += 1
        return _to_people(trial, state)
    if not any(case["state"] == "ready" for case in state.cases):
        trial.violations.append("I5 with room it is not read as it should be")
    return trial


# --- the mail and the model -----------------------------------------------------------------------


def _model(lane: Lane) -> Path:
    """A copy of the release in use, to be damaged."""
    folder = lane.folder / "model"
    shutil.rmtree(folder, ignore_errors=True)
    source = RELEASED / (RELEASED / "PROMOTED").read_text().strip()
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("evaluation"))
    return folder


def _mail(lane: Lane) -> tuple[str, Any, list[Any]]:
    """A fresh database with one therapist's session, and a mailbox with their complete request."""
    url = lane.fresh("sqlite")
    _registry(url)
    box = lane.bench.dovecot.mailbox([_complete()])
    return url, box, as_kept(lane.bench, box)


def _registry(url: str) -> None:
    from store_samples import registry_file

    from store import open_store

    now = datetime.now(UTC)
    lists = ("delegates", "approaches", "issues", "experience", "languages", "places")
    therapist = {
        "open_to_new": "yes", **dict.fromkeys(lists, ()), "therapist_id": "T-1",
        "name": "Thera Pist", "emails": (_THERAPIST,),
    }  # fmt: skip
    client = {"client_id": "C-1", "first_name": "Given", "last_name": "Family", "email": "c@c.example"}  # fmt: skip  # noqa: E501
    session = {
        "session_id": _SESSION, "therapist_id": "T-1", "client_id": "C-1",
        "starts_at": now + timedelta(days=10), "stage": "initial", "status": "confirmed",
    }  # fmt: skip
    with open_store(url, migrate=False) as store:
        store.import_registry(
            therapists=registry_file([therapist]), clients=registry_file([client]),
            sessions=registry_file([session]), now=now,
        )  # fmt: skip


def _complete() -> bytes:
    lines = (
        f"Return-Path: <{_THERAPIST}>",
        "Authentication-Results: mx.support.example; dmarc=pass header.from=practice.example",
        f"From: {CANARIES[0]} <{_THERAPIST}>",
        "To: support@therapy.example",
        f"Subject: Cancellation of {_SESSION}",
        "Message-ID: <complete@practice.example>",
        f"Date: {datetime.now(UTC):%a, %d %b %Y %H:%M:%S +0000}",
        "",
        f"Dear team, please cancel my initial session {_SESSION} with Given F. I have told the",
        "client that I am asking for it to be cancelled, and we talked the reasons through on the",
        "phone. The reason is that I do not have the training for it: Given presents with OCD and",
        "intrusive thoughts, and needs somebody who offers ERP.",
        "",
        "Kind regards,",
        "Thera",
        "",
    )
    return "\r\n".join(lines).encode()


def _read(
    lane: Lane, url: str, box: Any, mails: list[Any], model: Path, prefix: list[str] | None = None
) -> tuple[Trial, State]:
    trial = Trial()
    more = f'model = "{model}"\nauthserv_id = "mx.support.example"\n'
    ended = by_command(lane, url, prefix, box=box, reading=more)
    trial.saw(ended)
    if not ended.well and prefix is None:
        trial.violations.append(f"I5 a run with this model ends with {ended.code}")
    trial.violations += judged(url, mails, complete=ended.well)
    return trial, State.of(url)

"""What only a scripted server does: garbled answers by the thousand, and named misbehaviour."""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from services.scripted_imap import (
    CUT,
    DEFAULTS,
    Answer,
    described,
    folder_answers,
    given_out,
    scripted_imap,
)

from faults.bench import LONGEST_S, Kind, Lane, Row, Trial, letter, recovered
from faults.oracle import Mail, State, judged
from faults.worker import Job

BOX = {uid: letter(uid) for uid in range(1, 6)}
ALL = ",".join(map(str, BOX))
Script = dict[str, Answer]


def kept(box: Mapping[int, bytes], uidvalidity: int = 7) -> list[Mail]:
    return [Mail(uidvalidity, uid, content) for uid, content in box.items()]


# Garbled answers, judged at the source: there are too many for a database each


def garbled(count: int, seed: int = 9) -> Row:
    chance = random.Random(seed)
    chunk = 50
    seeds = [chance.randrange(2**32) for _ in range(max(1, count // chunk))]
    tries = [lambda _, n=n: _in_a_process(n, chunk) for n in seeds]
    return Row(f"garbled answers ({chunk} each trial)", "23, 24, 30, 31", tries)


def _in_a_process(seed: int, count: int) -> Trial:
    """In a process of its own, so that a hang can be ended and memory be told."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["faults.scripts", "ingest.imap"])
    near, far = context.Pipe()
    process = context.Process(target=_garble, args=(far, seed, count))
    process.start()
    far.close()
    trial = Trial(runs=count)
    if near.poll(count * 10):
        outcome = near.recv()
        trial.violations += outcome["violations"]
        trial.noted.update(outcome["noted"])
        trial.slowest_s = outcome["slowest_s"]
    else:
        process.kill()
        trial.violations.append("hang of garbled answers")
    process.join(10)
    return trial


def _garble(pipe: multiprocessing.connection.Connection, seed: int, count: int) -> None:
    logging.disable()
    noted: Counter[str] = Counter()
    violations: list[str] = []
    slowest = 0.0
    with ThreadPoolExecutor(4) as threads:  # most of the time is spent waiting
        runs = list(threads.map(garbled_run, range(seed, seed + count)))
    for found, problem, seconds in runs:
        noted[found] += 1
        slowest = max(slowest, seconds)
        violations += [problem] if problem else []
        violations += ["hang"] if seconds > LONGEST_S else []
    pipe.send({"violations": violations, "noted": noted, "slowest_s": slowest})


def garbled_run(seed: int) -> tuple[str, str, float]:
    """A run against a server one of whose answers is garbled, then one against the sound server."""
    chance = random.Random(seed)
    from ingest.sources import Access, SourceError, open_source

    access = Access(password="x", allow_plaintext=True, backoff_s=0.001, timeout_s=0.05)
    sound: Script = {**DEFAULTS, **folder_answers(BOX)}
    command = chance.choice(list(sound))
    state: dict[str, object] = {"cursor": None, "told": set(), "bodies": {}}

    def run(script: Script) -> str:
        with scripted_imap(script) as server:
            try:
                # Its port differs each time, and with it the source's name.
                with open_source(server.spec, access) as source:
                    for batch in source.batches(state["cursor"], lambda _: set(), size=3):
                        keys = [m.key for m in batch.messages] + [m.key for m in batch.losses]
                        state["told"] |= {(key.uidvalidity, key.uid) for key in keys}
                        state["bodies"] |= {m.key.uid: m.content for m in batch.messages}
                        state["cursor"] = batch.cursor
            except SourceError:
                return "named as an error"
        return "read all the same"

    started = time.monotonic()
    try:
        found = run({**sound, command: _garbler(sound[command], chance)})
        seconds = time.monotonic() - started
        last = run(sound)
    except Exception as error:  # noqa: BLE001 - finding such is what this is for
        return "uncaught", f"uncaught {type(error).__name__}", time.monotonic() - started
    # A loaded machine may be too slow for so short a timeout; then there is nothing to judge.
    if last == "read all the same" and {(7, uid) for uid in BOX} - state["told"]:
        return found, "I1 a mail is neither read nor told as lost", seconds
    if any(not body for body in state["bodies"].values()):
        return found, "I1 an empty mail is made of nothing", seconds
    return found, "", seconds


def _garbler(answer: Answer, chance: random.Random) -> Callable[[str], bytes]:
    when = chance.randint(1, 3)  # which of the answers to such commands

    def garble(command: str) -> bytes:
        nonlocal when
        when -= 1
        sound = answer if isinstance(answer, bytes) else answer(command)
        return sound if when else _mutated(sound + b"TAG OK done\r\n", chance)

    return garble


_BITS = (b"(", b")", b"[", b"]", b"{", b"}", b'"', b" ", b"\r\n", b"*", b"\\", b"\0", b"\xff",
         b"NIL", b"0", b"9", b"-1", b"4294967296", b"{99999999999}\r\n", b"{3}\r\n", b"* BYE\r\n",
         b"TAG NO x\r\n", b"TAG BAD x\r\n", b"+ \r\n", b"[UNAVAILABLE]", b"* 3 EXPUNGE\r\n",
         b"* 9 EXISTS\r\n", b"UID 9", b"BODY[]", b"&", b"~{2}\r\n")  # fmt: skip


def _mutated(answer: bytes, chance: random.Random) -> bytes:
    garbled = bytearray(answer)
    for _ in range(chance.randint(1, 3)):
        where = chance.randrange(len(garbled) + 1)
        length = chance.choice((0, 0, 1, 1, 2, 5, 20))
        garbled[where : where + length] = chance.choice(_BITS) if chance.random() < 0.8 else b""
    if chance.random() < 0.1:
        del garbled[chance.randrange(len(garbled) + 1) :]
    return bytes(garbled)


# Named misbehaviour, judged in the database


def misbehaviour(repeats: int = 1) -> Row:
    """Each case *repeats* times on both databases; with 0 once, on either in turn."""
    cases: list[Callable[[Lane, Kind], Trial]] = [
        *(lambda lane, kind, name=name: misbehaves(lane, kind, name) for name in CASES),
        numbers_taken_back,
        numbers_used_twice,
        renumbered_in_mid_session,
        too_large_then_had,
        logins_not_hammered,
    ]
    kinds: tuple[Kind, ...] = ("sqlite", "postgres")
    pairs = [(case, kind) for _ in range(repeats) for case in cases for kind in kinds]
    tries = [
        lambda lane, case=case, kind=kind: case(lane, kind)
        for case, kind in pairs or zip(cases, itertools.cycle(kinds), strict=False)
    ]
    return Row("servers that misbehave", "23, 24, 26-28, 30-32", tries)


def _script(**answers: Answer) -> Script:
    return {key.replace("_", " "): answer for key, answer in answers.items()}


def _short(uid: int, content: bytes) -> bytes:
    """A literal announced whole, and not brought whole."""
    return b"* %d FETCH (UID %d BODY[] {%d}\r\n%s" % (uid, uid, len(content), content[:20])


#: By name: what answers differently, as long as the fault lasts.
CASES: dict[str, Script] = {
    "truncated literal": {f"UID FETCH {ALL} (BODY": _short(1, BOX[1]) + b"\r\nTAG OK done\r\n"},
    "literal of 1 PiB": {"UID FETCH": b"* 1 FETCH (UID 1 BODY[] {1125899906842624}\r\nx"},
    "literal of 8 GiB": {"UID FETCH": b"* 1 FETCH (UID 1 BODY[] {8589934592}\r\nx"},
    "all but one given out": {
        f"UID FETCH {ALL} (BODY": b"".join(given_out(u, c) for u, c in BOX.items() if u != 3),
        "UID FETCH 3 (BODY": b"",
    },
    "one is NIL": {
        f"UID FETCH {ALL} (BODY": b"".join(given_out(u, c) for u, c in BOX.items() if u != 3)
        + b"* 3 FETCH (UID 3 BODY[] NIL)\r\n",
        "UID FETCH 3 (BODY": b"* 3 FETCH (UID 3 BODY[] NIL)\r\n",
    },
    "other numbers than asked for": {
        f"UID FETCH {ALL} (BODY": b"".join(given_out(u + 40, c) for u, c in BOX.items())
    },
    "bad dates": {
        "UID FETCH 1:5 (RFC": b"".join(
            described(u, c).replace(b"17-Nov-2026", b"99-Foo-0000") for u, c in BOX.items()
        )
    },
    "no sizes": {"UID FETCH 1:5 (RFC": b""},
    "unavailable": {"EXAMINE": b"TAG NO [UNAVAILABLE] later\r\n"},
    "over quota": {f"UID FETCH {ALL} (BODY": b"TAG NO [OVERQUOTA] slow down\r\n"},
    "in use": {"EXAMINE": b"TAG NO [INUSE] locked\r\n"},
    "limit": {"LOGIN": b"TAG NO [LIMIT] too many\r\n"},
    "too many connections": {
        "LOGIN": b"TAG NO [ALERT] Too many simultaneous connections. (Failure)\r\n"
    },
    "not connected": {"EXAMINE": b"TAG BAD User is authenticated but not connected.\r\n"},
    "says goodbye at once": {"GREETING": b"* BYE overloaded\r\n"},
    "says goodbye in mid-fetch": {
        f"UID FETCH {ALL} (BODY": given_out(1, BOX[1]) + b"* BYE shutting down\r\n"
    },
    "hangs up in login": {"LOGIN": CUT},
    "hangs up in fetch": {"UID FETCH": CUT},
    "found nothing though there is": {"UID SEARCH": b"* SEARCH\r\n"},
}
#: These never end a run, and are recorded: the mail is not lost, but set aside.
_RECORDED = {"all but one given out", "one is NIL"}


def misbehaves(lane: Lane, kind: Kind, name: str, bug: str = "") -> Trial:
    trial = Trial()
    script: Script = {**DEFAULTS, **folder_answers(BOX)}
    for key, answer in CASES[name].items():
        script[key] = answer
    with scripted_imap(script) as server:
        job = Job(lane.fresh(kind), server.spec, timeout_s=0.3, size=5, bug=bug)
        ended = lane.run(job)
        trial.saw(ended)
        trial.violations += judged(job.url, kept(BOX), complete=False)
        if ended.rss_mb > 300:
            trial.violations.append("a run takes more than 300 MB for small mail")
        if name == "found nothing though there is":
            return trial  # the cursor stands where the server says; see below
        if sum("LOGIN" in line for line in server.lines) > 6:
            trial.violations.append("the login is hammered")
        for key in CASES[name]:
            script.pop(key) if key.startswith("UID FETCH ") else script.update(
                {key: {**DEFAULTS, **folder_answers(BOX)}[key]}
            )
        job = Job(**{**asdict(job), "timeout_s": 2})
        again = recovered(lane, trial, job, kept(BOX))
        if name in _RECORDED and not bug:
            trial.saw(lane.run(Job(**{**asdict(job), "retry": True})))
            stored = {row["digest"] for row in State.of(job.url).messages}
            if {mail.digest for mail in kept(BOX)} - stored:
                trial.violations.append("I1 mail set aside is not had by a retry")
        return again


def numbers_taken_back(lane: Lane, kind: Kind, bug: str = "") -> Trial:
    """UIDNEXT goes back under one UIDVALIDITY, and then grows past where it was."""
    trial = Trial()
    box = {uid: letter(uid) for uid in range(1, 9)}
    with scripted_imap({**DEFAULTS, **folder_answers(box)}) as server:
        job = Job(lane.fresh(kind), server.spec, bug=bug)
        recovered(lane, trial, job, kept(box))
        first = kept(box)
        for uid in range(4, 9):
            del box[uid]
        asked = len(server.lines)
        recovered(lane, trial, job, kept(box), gone=first, taken_back=True)
        trial.saw(lane.run(job))
        again = [line for line in server.lines[asked:] if "BODY" in line]
        if len(again) > 2:
            trial.violations.append("the folder is read again at every run")
        # Between two runs the numbers grow past the old cursor: none in between may be missed.
        box |= {uid: letter(uid + 100) for uid in range(4, 13)}
        return recovered(lane, trial, job, kept(box), gone=first, taken_back=True)


def numbers_used_twice(lane: Lane, kind: Kind) -> Trial:
    """Other mail under numbers that are behind us: stored, never over the first, and told."""
    trial = Trial()
    box = {uid: letter(uid) for uid in range(1, 6)}
    with scripted_imap({**DEFAULTS, **folder_answers(box)}) as server:
        job = Job(lane.fresh(kind), server.spec)
        recovered(lane, trial, job, kept(box))
        first = kept(box)
        del box[4], box[5]
        box |= {2: letter(52), 3: letter(53)}
        recovered(lane, trial, job, kept(box), gone=first, taken_back=True)
    state = State.of(job.url)
    if sum(row["event"] == "uid_reused" for row in state.audit) != 2:
        trial.violations.append("I1 numbers used twice are not told")
    if len(state.messages) != 7:
        trial.violations.append("I1 mail under a number used twice replaces the first")
    return trial


def renumbered_in_mid_session(lane: Lane, kind: Kind) -> Trial:
    """UIDVALIDITY changes between EXAMINE and FETCH, and then back."""
    trial = Trial()
    others = {uid: letter(uid + 20) for uid in BOX}
    opened = folder_answers(BOX)
    script: Script = {**DEFAULTS, **opened}
    examined = 0

    def examine(command: str) -> bytes:
        nonlocal examined
        examined += 1
        chosen = folder_answers(others, uidvalidity=8) if examined == 2 else folder_answers(BOX)
        answer = chosen["EXAMINE"]
        return answer if isinstance(answer, bytes) else answer(command)

    script["EXAMINE"] = examine
    script[f"UID FETCH {ALL} (BODY"] = b"".join(given_out(u, c) for u, c in others.items())
    with scripted_imap(script) as server:
        job = Job(lane.fresh(kind), server.spec, size=5)
        trial.saw(lane.run(job))
        if State.of(job.url).messages:
            trial.violations.append("I1 mail is stored under numbers of another folder")
        del script[f"UID FETCH {ALL} (BODY"]
        return recovered(lane, trial, job, kept(BOX))


def too_large_then_had(lane: Lane, kind: Kind) -> Trial:
    """A message of 40 MB is set aside unread, in little memory, and had once it is allowed."""
    trial = Trial()
    box = {**BOX, 3: letter(3, "line of a very large mail\r\n" * 1_500_000)}
    with scripted_imap({**DEFAULTS, **folder_answers(box)}) as server:
        job = Job(lane.fresh(kind), server.spec, timeout_s=10)
        ended = lane.run(job)
        trial.saw(ended)
        trial.violations += judged(job.url, kept(box))
        if ended.rss_mb > 300:
            trial.violations.append("mail that is too large is read all the same")
        raised = Job(**{**asdict(job), "retry": True, "max_message_bytes": 50_000_000})
        trial.saw(lane.run(raised))
        trial.violations += judged(job.url, kept(box))
        if not all(row["digest"] for row in State.of(job.url).places):
            trial.violations.append("I1 mail once too large is not had by a retry")
    return trial


def logins_not_hammered(lane: Lane, kind: Kind) -> Trial:
    """A server that hangs up over every FETCH is asked to let us in five times in a run."""
    trial = Trial()
    script: Script = {**DEFAULTS, **folder_answers(BOX), "UID FETCH": CUT}
    with scripted_imap(script) as server:
        trial.saw(lane.run(Job(lane.fresh(kind), server.spec)))
        if sum("LOGIN" in line for line in server.lines) > 5:
            trial.violations.append("the login is hammered")
    return trial

"""Connections that break: cut at each byte, silent, in pieces, with bits turned; servers killed."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import signal
from contextlib import suppress
from dataclasses import asdict

from services.cutting_proxy import Way
from services.dovecot import Dovecot, Mailbox, running_dovecot

from faults.bench import (
    KINDS,
    MAILS,
    Ended,
    Kind,
    Lane,
    Row,
    Trial,
    Try,
    as_kept,
    letter,
    recovered,
)
from faults.oracle import State, judged, mailbox_as_kept
from faults.worker import Job

IMPATIENT_S = 0.4


def every_byte_cut(lane: Lane, way: Way, share: float = 1.0) -> Row:
    """Cut a session over five mails behind every byte that goes *way*, or a *share* of them."""
    where, matrix = ("from", "18, 33") if way == "down" else ("to", "19")
    lane.proxy.strike(None)
    lane.run(lane.job(lane.fresh("sqlite"), proxied=True, size=5))
    length = lane.proxy.passed[way]
    places = sorted({1 + int(n / share) for n in range(int(length * share))})
    tries: list[Try] = [lambda lane, at=at: cut(lane, way, at) for at in places]
    which = "every" if share >= 1 else "some"
    return Row(f"cut at {which} byte {where} the server, of {length}", matrix, tries)


def cut(lane: Lane, way: Way, at: int) -> Trial:
    trial = Trial()
    url = lane.fresh("sqlite")
    lane.proxy.strike("cut", way, at)
    ended = lane.run(lane.job(url, proxied=True, size=5))
    trial.noted["taken up in the same run"] += ended.well
    trial.saw(ended)
    if ended.refused:
        trial.violations.append("a cut is taken for a refused login")
    trial.violations += judged(url, lane.mails, complete=ended.well)
    lane.proxy.strike(None)
    return recovered(lane, trial, lane.job(url, proxied=True, size=5), lane.mails)


def stalls(count: int) -> Row:
    chance = random.Random(20)
    ways: tuple[Way, ...] = ("down", "up")
    tries = []
    for number in range(count):
        way, share = ways[number % 2], chance.random()
        tries.append(lambda lane, way=way, share=share: stall(lane, way, share))
    return Row("silence from some byte on", "20", tries)


def stall(lane: Lane, way: Way, share: float) -> Trial:
    trial = Trial()
    url = lane.fresh("sqlite")
    at = 1 + int(share * {"down": 2200, "up": 400}[way])
    lane.proxy.strike("stall", way, at)
    trial.saw(lane.run(lane.job(url, proxied=True, timeout_s=IMPATIENT_S)))
    lane.proxy.strike(None)
    return recovered(lane, trial, lane.job(url, proxied=True), lane.mails)


def in_pieces(count: int) -> Row:
    tries = [lambda lane, kind=kind: piecemeal(lane, kind) for kind in ("sqlite", "postgres")]
    return Row("a byte at a time gives the same", "21", (tries * count)[:count])


def piecemeal(lane: Lane, kind: Kind) -> Trial:
    """What is stored byte by byte must be what is stored in one go."""
    trial, dumps = Trial(), []
    for fault in ("trickle", None):
        url = lane.fresh(kind)
        lane.proxy.strike(fault)
        recovered(lane, trial, lane.job(url, proxied=True), lane.mails)
        state = State.of(url)
        dumps.append(
            [
                sorted((row["uid"], row["digest"], row["outcome"]) for row in state.places),
                sorted((row["digest"], row["subject"], row["new_text"]) for row in state.messages),
                sorted((row["digest"], bytes(row["content"])) for row in state.raws),
                [(row["uidvalidity"], row["uid"]) for row in state.folders],
                [(row["event"], row["message_id"], row["detail"]) for row in state.audit],
            ]
        )
    if dumps[0] != dumps[1]:
        trial.violations.append("I1 the same mail in pieces is stored otherwise")
    return trial


def bits_turned(count: int, seed: int = 22) -> Row:
    chance = random.Random(seed)
    tries = []
    for _ in range(count):
        at, bit = chance.randint(1, 2400), chance.randrange(8)
        tries.append(lambda lane, at=at, bit=bit: bit_turned(lane, at, bit))
    return Row("one bit turned on the way", "22", tries)


def bit_turned(lane: Lane, at: int, bit: int) -> Trial:
    """Nothing can tell a turned bit in mail on a plain line; it is stored as it came, or not."""
    trial = Trial()
    url = lane.fresh("sqlite")
    lane.proxy.strike("flip", "down", at, bit=bit)
    trial.saw(lane.run(lane.job(url, proxied=True, timeout_s=IMPATIENT_S)))
    lane.proxy.strike(None)
    ended, _ = lane.recover(lane.job(url, proxied=True))
    trial.saw(ended)
    state = State.of(url)
    stored = {row["digest"] for row in (*state.messages, *state.quarantine)}
    ours = {mail.digest for mail in lane.mails}
    told = {row["uid"] for row in state.places}
    if len(stored - ours) > 1:
        trial.violations.append("I2 one turned bit has made several mails")
    if len(ours - stored) > 1 or any(mail.uid not in told for mail in lane.mails):
        # A garbled UIDVALIDITY makes the folder another one, which is then read from its start.
        trial.violations.append("I1 one turned bit has cost several mails")
    trial.noted["mail other than sent"] += bool(stored - ours)
    trial.noted["refused as such"] += ended.refused
    return trial


def renumbered(count: int) -> Row:
    points = [("flushed", 1), ("committed", 1), ("kept", 2), ("decided", 2), ("flushed", 3)]
    places = itertools.islice(itertools.cycle(points), (count + 1) // 2)
    tries = [
        lambda lane, at=at, kind=kind: renumber(lane, kind, at)
        for at in places
        for kind in ("sqlite", "postgres")
    ]
    return Row("UIDVALIDITY changed, then killed while reading again", "25", tries[:count])


def renumber(lane: Lane, kind: Kind, at: tuple[str, int], bug: str = "") -> Trial:
    trial = Trial()
    box = lane.bench.dovecot.mailbox(MAILS)
    before = as_kept(lane.bench, box)
    job = lane.job(lane.fresh(kind), box=box, bug=bug)
    recovered(lane, trial, job, before)
    box.forget_uids()
    box.append(letter(77))
    after = as_kept(lane.bench, box)
    trial.saw(lane.run(Job(**{**asdict(job), "at": at})))
    trial.violations += judged(job.url, after, gone=before, complete=False)
    return recovered(lane, trial, job, after, gone=before)


def expunged(count: int) -> Row:
    kinds: tuple[Kind, ...] = ("sqlite", "postgres")
    tries = [lambda lane, n=n: expunge(lane, kinds[n % 2], n) for n in range(count)]
    return Row("mail expunged between search and fetch", "29", tries)


def expunge(lane: Lane, kind: Kind, number: int, bug: str = "") -> Trial:
    """A colleague deletes mail that the run has listed and not yet read."""
    trial = Trial()
    box = lane.bench.dovecot.mailbox(MAILS)
    before = as_kept(lane.bench, box)
    gone = ("2", "3,4", "5", "2:5")[number % 4]
    job = lane.job(lane.fresh(kind), box=box, size=1, bug=bug)
    struck = {**asdict(job), "at": ("kept", 1), "action": "expunge", "more": gone}
    ended = lane.run(Job(**struck))
    trial.saw(ended)
    after = as_kept(lane.bench, box)
    vanished = sum(row["outcome"] == "vanished" for row in State.of(job.url).places)
    if not bug and (not ended.well or vanished != len(before) - len(after)):
        trial.violations.append("I1 mail that is gone is not recorded as vanished")
    return recovered(lane, trial, job, after, gone=before)


def servers_killed(count: int) -> Row:
    points = [("fetched", 1), ("kept", 1), ("committed", 1), ("connected", 1), ("kept", 2)]
    kinds: tuple[Kind, ...] = ("sqlite", "postgres")
    tries = [lambda lane, n=n: kill_server(lane, kinds[n % 2], points[n % 5]) for n in range(count)]
    return Row("kill -9 of Dovecot's processes in mid-session", "37", tries)


def kill_server(lane: Lane, kind: Kind, at: tuple[str, int]) -> Trial:
    trial = Trial()
    job = lane.job(lane.fresh(kind), size=1)
    master = str(lane.bench.dovecot.process.pid)
    struck = {**asdict(job), "at": at, "action": "kill_processes", "more": master}
    ended: Ended = lane.run(Job(**struck))
    trial.saw(ended)
    trial.noted["taken up in the same run"] += ended.well
    trial.violations += judged(job.url, lane.mails, complete=ended.well)
    return recovered(lane, trial, job, lane.mails)


def masters_killed(count: int) -> Row:
    points = [("fetched", 1), ("kept", 1), ("committed", 1), ("connected", 1), ("kept", 2)]
    tries: list[Try] = [
        lambda lane, n=n: kill_master(lane, KINDS[n % 2], points[n % 5], alone=n % 4 > 1)
        for n in range(count)
    ]
    return Row("kill -9 of Dovecot's master in mid-session, then a restart", "37", tries)


def kill_master(lane: Lane, kind: Kind, at: tuple[str, int], *, alone: bool) -> Trial:
    """Nobody listens until it is started again; killed *alone*, it leaves open sessions be."""
    trial = Trial()
    server, box = _own_dovecot(lane)
    mails = mailbox_as_kept(server.plain_port, box.user, box.password)
    spec = f"imap://{box.user}@127.0.0.1:{server.plain_port}/INBOX"
    job = Job(lane.fresh(kind), spec, box.password, size=1)
    struck = {**asdict(job), "at": at, "action": "kill_one" if alone else "kill_group"}
    struck["more"] = str(server.process.pid)
    ended = lane.run(Job(**struck))
    trial.saw(ended)
    trial.violations += judged(job.url, mails, complete=ended.well)
    trial.noted["ended well without it"] += ended.well
    server.process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(server.process.pid, signal.SIGKILL)  # or its children would keep the ports
    server.start()
    recovered(lane, trial, job, mails)
    if mailbox_as_kept(server.plain_port, box.user, box.password) != mails:
        trial.violations.append("I4 the mailbox is not as it was")
    return trial


_OWN: dict[int, tuple[Dovecot, Mailbox]] = {}


def _own_dovecot(lane: Lane) -> tuple[Dovecot, Mailbox]:
    """A server that no other lane's trials suffer with."""
    if lane.number not in _OWN:
        manager = running_dovecot()
        server = manager.__enter__()
        lane.bench.at_end.callback(manager.__exit__, None, None, None)
        lane.bench.at_end.callback(_OWN.pop, lane.number)
        _OWN[lane.number] = server, server.mailbox(MAILS)
    return _OWN[lane.number]


def mailbox_untouched(lane: Lane, before: list[bytes]) -> Trial:
    """I4: flags, numbers, dates and sizes of all that was read in all those trials."""
    trial = Trial()
    if lane.box.snapshot() != before:
        trial.violations.append("I4 the mailbox is not as it was")
    digests = {hashlib.sha256(content).hexdigest() for content in MAILS}
    if {mail.digest for mail in as_kept(lane.bench, lane.box)} != digests:
        trial.violations.append("I4 the mailbox does not hold the mail that was put there")
    return trial

"""``make soak``: the timeline while it lasts, a summary at its end; see the package's docstring."""

from __future__ import annotations

import os
import random
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

from faults.oracle import mailbox_as_kept

from soak import judged
from soak.people import Colleague, Post
from soak.services import growth
from soak.troubles import deck_for, told
from soak.world import World, wait, world

_EVERY_S = float(os.environ.get("EVERY", "30"))
_DRAIN_S = 300.0


def _tell(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


class Soak:
    """One soak from its first mail to its verdict."""

    def __init__(self, world: World, minutes: float, seed: int) -> None:
        self.world, self.lasts, self.chance = world, minutes * 60, random.Random(seed)
        self.begun = time.monotonic()
        self.post = Post(world, seed)
        self.team = [Colleague(world, f"colleague{n}", seed + n) for n in (1, 2)]
        self.struck: Counter[str] = Counter()
        self.problems: list[str] = []

    @property
    def age(self) -> float:
        return time.monotonic() - self.begun

    def say(self, words: str) -> None:
        minute, second = divmod(int(self.age), 60)
        _tell(f"{minute:3}:{second:02}  {words}")

    def standing(self) -> str:
        taken = len(self.post.taken)
        try:
            stored, aside = self.world.counts()
        except Exception as error:  # noqa: BLE001 - the database may be away just now
            found = f"database away ({type(error).__name__})"
        else:
            found = f"stored {stored}, aside {aside}, to come {taken - stored - aside}"
        memory = ", ".join(
            f"{service.name} {self.world.memory.now(service):.0f} MB"
            for service in self.world.memory.services
        )
        sent = len(self.world.receiver.effects)
        return f"mails {taken}, {found}; effects {sent}; {memory}"

    def work(self) -> None:
        """Mail, people and troubles until the time is up."""
        deck = deck_for(self.world).deal(self.chance, is_early=lambda: self.age < 0.4 * self.lasts)
        wait(15, self.world)  # programs start
        due = self.age
        while self.age < self.lasts:
            trouble = next(deck)
            try:
                what = trouble(self.world, self.chance)
            except Exception as error:  # noqa: BLE001 - a trouble that could not strike is told
                what = f"could not strike: {type(error).__name__}: {error}"
                self.problems.append(f"trouble {told(trouble)} {what}")
            self.struck[told(trouble)] += 1
            self.say(f"{told(trouble)}: {what}. {self.standing()}")
            due += _EVERY_S
            wait(max(0.0, min(due, self.lasts) - self.age), self.world)

    def drain(self) -> float:
        """Quiet: nobody writes, all is well, what lies there is read; how long that took."""
        for person in (*self.team, self.post):
            person.stopped.set()
        for person in (*self.team, self.post):
            person.join(90)
        self.say(f"quiet. {self.standing()}")
        began = time.monotonic()
        distinct = len(set(self.post.taken))
        while time.monotonic() - began < _DRAIN_S:
            wait(2, self.world)
            if sum(self.world.counts()) >= distinct and not self._leaving():
                break
        took = time.monotonic() - began
        self._end_programs()
        return took

    def _end_programs(self) -> None:
        self.world.tending.resting.set()
        if self.world.schedule.process is not None:
            self.world.schedule.process.wait(120)
        ended = self.world.watch.stop()
        if ended != "exit 0":
            self.problems.append(f"watch, asked to stop, ends with {ended}")
        self.world.page.stop()
        self.problems += self.world.tending.failed
        for words in (("run",), ("deliver",), ("audit", "verify")):
            done = self.world.command(*words)
            self.say(f"{' '.join(words)}: exit {done.returncode}")
            if done.returncode:
                self.problems.append(
                    f"{' '.join(words)} ends with {done.returncode}: {done.stderr[-300:]}"
                )

    def _leaving(self) -> int:
        effects = judged.effects_of(self.world.url, received={}, approved=())
        return sum(row["state"] not in judged.SETTLED for row in effects.outbox)

    def judge(self) -> list[str]:
        world = self.world
        kept = mailbox_as_kept(world.dovecot.plain_port, world.box.user, world.box.password)
        deeds = [colleague.deeds for colleague in self.team]
        effects = judged.effects_of(
            world.url,
            received=world.receiver.effects,
            approved=[case for deed in deeds for case in deed.approved],
            unsure=[case for deed in deeds for case in deed.unsure],
        )
        logs = {file.name: file.read_text(errors="replace") for file in world.folder.glob("*.log")}
        found = [
            *self.problems,
            *judged.mail_wrong(world.url, kept, self.post.taken),
            *judged.effects_wrong(effects),
            *judged.leases_wrong(world.url),
            *judged.memory_wrong(world.memory.samples, self.lasts / 2),
            *judged.logs_wrong(logs),
            *(f"P1 the page answered {what}" for deed in deeds for what in deed.broken),
        ]
        self._summary(len(kept), effects)
        return found

    def _summary(self, kept: int, effects: judged.Effects) -> None:
        world, post = self.world, self.post
        stored, aside = world.counts()
        states = Counter(row["state"] for row in effects.outbox)
        _tell(
            f"\nmail: {len(post.taken)} taken by Dovecot, {kept} in the mailbox "
            f"({post.repeated} deliveries made again), {stored} stored, {aside} set aside"
        )
        _tell(
            f"decisions: {len(effects.approved)} approvals confirmed, {len(effects.unsure)} without"
            f" an answer, {len(effects.verdicts)} on record"
        )
        _tell(
            f"effects: outbox {dict(states)}, {len(world.receiver.effects)} received in "
            f"{len(world.receiver.bodies)} requests"
        )
        _tell(f"troubles: {dict(self.struck)}")
        _tell(
            f"runs: {world.schedule.started} scheduled, {dict(world.schedule.ends)}; "
            f"watch ended {dict(world.watch.ends)}, page ended {dict(world.page.ends)}"
        )
        answers = sum((colleague.deeds.answers for colleague in self.team), Counter())
        slowest = max(colleague.deeds.slowest_s for colleague in self.team)
        _tell(f"page: {dict(answers)}, slowest {slowest:.1f} s")
        for name, series in world.memory.samples.items():
            if series[-1][0] > self.lasts / 2:
                slope, last = growth(series, self.lasts / 2)
                _tell(
                    f"memory of {name}: {last:.0f} MB at the end, "
                    f"{slope:+.1f} MB an hour over the second half "
                    f"(bound {judged.MB_AN_HOUR:.0f})"
                )


def main() -> int:
    minutes = float(os.environ.get("MINUTES", "60"))
    kind = os.environ.get("DATABASE", "postgres")
    seed = int(os.environ.get("SEED", "1"))
    if kind not in ("postgres", "sqlite"):
        sys.exit("DATABASE is postgres or sqlite")
    with world(kind) as here:  # type: ignore[arg-type]  # looked at above
        soak = Soak(here, minutes, seed)
        soak.say(f"{minutes:g} minutes on {kind}, seed {seed}")
        for person in (soak.post, *soak.team):
            person.start()
        soak.work()
        took = soak.drain()
        found = soak.judge()
        _tell(f"drained in {took:.0f} s")
        keep_logs(here)
    for violation, count in Counter(found).items():
        _tell(f"VIOLATION {count} times: {violation}")
    _tell("violations: none" if not found else f"violations: {len(found)}")
    return 1 if found else 0


def keep_logs(here: World) -> None:
    """Put what the programs said into the folder that LOGS names, for whoever looks into it."""
    if folder := os.environ.get("LOGS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        for file in here.folder.glob("*.log"):
            shutil.copy(file, folder)


if __name__ == "__main__":
    sys.exit(main())

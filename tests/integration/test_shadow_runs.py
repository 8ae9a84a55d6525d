"""Shadow runs: a candidate reads stored mail beside the model in use, and nothing else happens."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest
import shadow_jobs
from histories import History, case, decision, message
from services.staffed_page import ReadSample
from shadow_samples import NAME, READ, SESSION, WORDS, lay_shadows, shadowed
from sqlalchemy import Table, func, select
from typer.testing import CliRunner

from ingest.workers import Workers, process_pool
from models.registry import RELEASED, promoted
from models.shadow import Failed, digest_of
from review.commands import app
from review.desk import Desk, UsageProblemError
from review.shadowing import shadow_run
from settings import Settings
from store import KeyPlace, Store, open_store
from store.cascade import cascade
from store.schema import cases, decisions, messages, metadata
from store.shadow_schema import shadow_readings, shadow_verdicts

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
CHAMPION = promoted()
#: A release of another kind, which is in the program's own folder.
OTHER = "0.2.2"


@pytest.fixture
def candidate(tmp_path: Path) -> Path:
    """A second real release, in a folder of its own."""
    return Path(
        shutil.copytree(
            RELEASED / OTHER, tmp_path / "next", ignore=shutil.ignore_patterns("evaluation")
        )
    )


def settings_for(candidate: Path | str, **shadow: object) -> Settings:
    plain = Settings(fast=True)
    shadowing = plain.shadow.model_copy(update={"model": str(candidate), **shadow})
    return plain.model_copy(update={"shadow": shadowing})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'fit-triage.sqlite3'}") as opened:
        yield filled(opened)


@pytest.fixture
def on_both(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened:
        yield filled(opened)


def filled(store: Store, size: int = 24) -> Store:
    """Messages that the model in use has read; the newest has the highest number."""
    told = History()
    for n in range(1, size + 1):
        at = NOW - timedelta(hours=size - n)
        told.messages.append(
            message(n, at, "cancellation") | {"digest": f"{n * 10:02x}" + "0" * 62}
        )
        told.decisions.append(decision(n, n, n, at, CHAMPION))
        told.cases.append(case(n, at, "cancellation", "ready", f"HT-{n}", n))
    told.lay_down(store)
    return store


class Here:
    """A worker without a process of its own."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self._work = work

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def start(self, emails: Any) -> Callable[[], Any]:
        return lambda: self._work(emails)


def here(work: Callable[..., Any]) -> Callable[..., Any]:
    """In place of the candidate's worker, one that does *work* in this process."""
    return lambda *_, **__: Here(work)


def job(work: Callable[..., Any]) -> Callable[..., Any]:
    """In place of the candidate's worker, one that does *work* in a real process."""

    def made(*_: object, **__: object) -> Workers[Any, Any]:
        pool = partial(process_pool, 1, ("shadow_jobs",))
        return Workers(work, lambda _: Failed("killed_reader"), pool)

    return made


def rows(store: Store, table: Table) -> list[Any]:
    with store._database.reading() as connection:
        return list(connection.execute(select(table).order_by(*table.primary_key)))


def beside_the_shadow(store: Store) -> dict[str, int]:
    """How many rows every table has that is none of shadow readings."""
    with store._database.reading() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in metadata.sorted_tables
            if not table.name.startswith("shadow") and table.name not in ("leases", "sealing_keys")
        }


# --- the reading ---------------------------------------------------------------------------------


def test_a_candidate_reads_the_newest_mail_and_nothing_else_changes(
    filled_url: str, read_sample: ReadSample, candidate: Path
) -> None:
    settings = settings_for(candidate)
    with open_store(filled_url) as store:
        before = rows(store, cases), rows(store, decisions), beside_the_shadow(store)

        report = shadow_run(settings, store, read_sample.sample.now, limit=20)

        assert (rows(store, cases), rows(store, decisions), beside_the_shadow(store)) == before
        assert (report.candidate, report.champion) == (OTHER, CHAMPION)
        assert (report.read, report.failed, report.problem) == (20, 0, "")
        assert 0 < report.differing == sum(report.by_cost.values()) < 20
        assert report.left > 0
        [known] = store.shadows.candidates()
        read = store.shadows.readings(known.id)
        newest = [one.id for one in rows(store, messages) if not one.automatic][-20:]
        assert [one.read.message_id for one in read] == newest
        assert known.digest == digest_of(candidate)
        assert all(one.read.champion == CHAMPION and one.read.pairs for one in read)
        versions = {
            finding.source
            for one in read
            for pair in one.read.pairs
            if pair.candidate
            for finding in pair.candidate.request.findings
            if finding.source.startswith("model:")
        }
        assert versions
        assert all(source.endswith(f"@{OTHER}") for source in versions)


def test_a_message_is_read_once_and_the_next_run_goes_on_with_older_ones(
    store: Store, candidate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("review.shadowing._worker", here(shadow_jobs.stumbling))
    settings = settings_for(candidate)

    reports = [shadow_run(settings, store, NOW, limit=n) for n in (4, 30, 30)]

    assert [report.read + report.failed for report in reports] == [4, 20, 0]
    assert [report.left for report in reports] == [20, 0, 0]
    assert len(rows(store, shadow_readings)) == 24


def test_a_message_that_kills_the_candidate_holds_up_no_other(
    store: Store, candidate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("review.shadowing._worker", job(shadow_jobs.careless))

    report = shadow_run(settings_for(candidate), store, NOW)

    assert (report.read, report.failed, report.problem) == (20, 4, "")
    problems = {row.message_id: row.problem for row in rows(store, shadow_readings) if row.problem}
    assert problems == {
        5: "bug:KeyError", 7: "killed_reader", 15: "bug:KeyError", 17: "killed_reader",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("work", "problem", "stored"),
    [
        (shadow_jobs.hopeless, "fails", 20),
        (shadow_jobs.lifeless, "dies", 0),
        (shadow_jobs.refused, "refused", 0),
    ],
)
def test_a_candidate_that_cannot_read_is_given_up_and_alarmed(
    store: Store, candidate: Path, monkeypatch: pytest.MonkeyPatch,
    work: Callable[..., Any], problem: str, stored: int,
) -> None:  # fmt: skip
    worker = job if work is shadow_jobs.lifeless else here
    monkeypatch.setattr("review.shadowing._worker", worker(work))

    report = shadow_run(settings_for(candidate), store, NOW)

    assert report.problem == problem
    assert len(rows(store, shadow_readings)) == stored
    assert store.shadows.problem() == (OTHER, problem)
    assert store.counts().shadow_problem == f"{OTHER}: {problem}"


def test_a_candidate_with_a_changed_byte_reads_nothing_and_is_alarmed(
    store: Store, candidate: Path
) -> None:
    with (candidate / "weights.npz").open("ab") as weights:
        weights.write(b"x")

    report = shadow_run(settings_for(candidate), store, NOW)

    assert report.problem == "refused"
    assert rows(store, shadow_readings) == []
    assert store.shadows.problem() == (OTHER, "refused")


def test_a_candidate_that_is_replaced_while_it_reads_is_not_believed(
    store: Store, candidate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("review.shadowing._worker", here(shadow_jobs.stumbling))
    looked: list[float] = []

    def clock() -> float:
        looked.append(0)
        if len(looked) == 3:  # once for when to end, then before each batch
            with (candidate / "manifest.json").open("a") as manifest:
                manifest.write("\n")
        return 0.0

    report = shadow_run(settings_for(candidate), store, NOW, clock=clock)

    assert report.problem == "refused"
    assert len(rows(store, shadow_readings)) == 20  # what it had read before


def test_the_run_ends_when_its_time_is_up(
    store: Store, candidate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("review.shadowing._worker", here(shadow_jobs.stumbling))
    ticks = iter((0.0, 1.0, 99.0))

    report = shadow_run(settings_for(candidate), store, NOW, seconds=60, clock=lambda: next(ticks))

    assert (report.read + report.failed, report.left) == (20, 4)


# --- once, whoever tries -------------------------------------------------------------------------


def test_while_one_shadow_run_is_at_work_another_leaves_it_to_it(
    store: Store, candidate: Path
) -> None:
    with store.lease("shadow readings", "somebody", timedelta(minutes=1)):
        report = shadow_run(settings_for(candidate), store, NOW)

    assert "another shadow run is at work" in report.said
    assert report.problem == ""
    assert rows(store, shadow_readings) == []


def test_whoever_stores_the_same_readings_at_once_each_message_has_one(on_both: Store) -> None:
    number = on_both.shadows.candidate("next", "d", NOW)
    found = on_both.shadows.unread(number, CHAMPION, share=1, limit=8, below=None)
    made = [shadowed(one, *both, CHAMPION) for one, both in zip(found, READ, strict=True)]
    new: list[int] = []

    def store_them() -> None:
        new.append(on_both.shadows.add(None, number, made, NOW, of=found))

    threads = [threading.Thread(target=store_them) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(new) == [0, 0, 0, 8]
    assert len(rows(on_both, shadow_readings)) == 8
    assert (
        on_both.shadows.unread(number, CHAMPION, share=1, limit=99, below=None)[0].message_id == 16
    )


def test_a_share_is_the_same_messages_every_time_and_more_where_it_grows(on_both: Store) -> None:
    number = on_both.shadows.candidate("next", "d", NOW)

    some, more, every = (
        {
            one.message_id
            for one in on_both.shadows.unread(number, CHAMPION, share=s, limit=99, below=None)
        }
        for s in (0.25, 0.5, 1)
    )

    assert some < more < every == set(range(1, 25))
    assert on_both.shadows.left(number, CHAMPION, share=0.5) == len(more)


def test_only_mail_of_people_that_the_model_in_use_has_read_is_compared(store: Store) -> None:
    number = store.shadows.candidate("next", "d", NOW)
    with store._database.writing() as connection:
        connection.execute(messages.update().where(messages.c.id == 24).values(automatic="bounce"))
        older = decisions.update().where(decisions.c.id == 23)
        connection.execute(older.values(reader_version="0.0.1"))

    found = store.shadows.unread(number, CHAMPION, share=1, limit=1, below=None)

    assert [one.message_id for one in found] == [22]


def test_of_a_mail_that_was_erased_or_changed_while_it_was_read_nothing_is_stored(
    store: Store,
) -> None:
    number = store.shadows.candidate("next", "d", NOW)
    found = store.shadows.unread(number, CHAMPION, share=1, limit=3, below=None)
    made = [shadowed(one, *READ[1], CHAMPION) for one in found]
    with store._database.writing() as connection:
        connection.execute(decisions.delete().where(decisions.c.message_id == 24))
        connection.execute(messages.delete().where(messages.c.id == 24))
        connection.execute(messages.update().where(messages.c.id == 23).values(signature="█"))

    assert store.shadows.add(None, number, made, NOW, of=found) == 1
    assert [row.message_id for row in rows(store, shadow_readings)] == [22]


def test_what_the_candidate_failed_on_may_be_tried_again(store: Store) -> None:
    number = lay_shadows(store, NOW, CHAMPION)

    assert store.shadows.forget_failures(number) == 1
    assert len(rows(store, shadow_readings)) == len(READ)
    assert store.shadows.left(number, CHAMPION, share=1) == 24 - len(READ)


def test_the_words_of_a_reading_are_sealed_and_go_with_their_mail(tmp_path: Path) -> None:
    place, file = KeyPlace(tmp_path / "keys"), tmp_path / "sealed.sqlite3"
    place.add()
    with open_store(f"sqlite:///{file}", keys=place) as store:
        number = lay_shadows(filled(store), NOW, CHAMPION)
        for one in store.shadows.readings(number):
            sides = {(each.field, each.ask): "neither" for each in one.read.differences}
            if sides:
                store.shadows.judge(one.id, sides, "lea", NOW, words=f"{WORDS} by now")
        written = b"".join(one.read_bytes() for one in tmp_path.glob("sealed.sqlite3*"))
        read = store.shadows.readings(number)

        assert WORDS in str(read[0].read.pairs) + str(read[-1].read.pairs)
        assert {said.words for one in read for said in one.verdicts} == {f"{WORDS} by now"}
        with store._database.writing() as connection:
            cascade(connection, {messages: [one.read.message_id for one in read]})
        assert rows(store, shadow_readings) == rows(store, shadow_verdicts) == []
    for secret in (WORDS, NAME, SESSION):
        assert secret.encode() not in written


# --- the commands --------------------------------------------------------------------------------


class Typed:
    """``fit-triage`` on one database."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", f"sqlite:///{store._database.name}")
        monkeypatch.setenv("FIT_TRIAGE_FAST", "true")

    def run(self, *words: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, words, obj=Desk(None))  # type: ignore[arg-type]
        assert result.exit_code == code, (result.output, result.exception)
        return result.output


@pytest.fixture
def typed(store: Store, monkeypatch: pytest.MonkeyPatch) -> Typed:
    monkeypatch.setattr("review.shadowing._worker", here(shadow_jobs.stumbling))
    return Typed(store, monkeypatch)


def test_the_command_says_what_the_candidate_did(typed: Typed, candidate: Path) -> None:
    read = typed.run("models", "shadow", "--candidate", str(candidate), "--limit", "20")
    again = json.loads(typed.run("models", "shadow", "--candidate", str(candidate), "--json"))

    assert f"{OTHER} beside {CHAMPION}: 18 read, 18 of them otherwise, 2 failed, 4 left" in read
    assert (again["read"], again["failed"], again["left"], again["problem"]) == (4, 0, 0, "")

    retried = ("models", "shadow", "--candidate", str(candidate), "--retry-failed")
    assert "0 read, 0 of them otherwise, 2 failed" in typed.run(*retried)


def test_a_candidate_that_is_refused_ends_the_command_with_one(
    typed: Typed, candidate: Path
) -> None:
    (candidate / "model.json").write_text("{}")

    said = typed.run("models", "shadow", "--candidate", str(candidate), code=1)

    assert "not those that were released" in said


@pytest.mark.usefixtures("typed")
def test_without_a_candidate_or_with_the_one_in_use_nothing_is_read(store: Store) -> None:
    for words, why in (
        ((), "no candidate"),
        (("--candidate", "nonsense"), "no release"),
        (("--candidate", CHAMPION), "is the model in use"),
    ):
        result = CliRunner().invoke(app, ["models", "shadow", *words], obj=Desk(None))  # type: ignore[arg-type]
        assert isinstance(result.exception, UsageProblemError)
        assert why in str(result.exception)

    over = settings_for(OTHER, until=NOW.date() - timedelta(days=1))
    assert "was to end" in shadow_run(over, store, NOW).said
    assert rows(store, shadow_readings) == []


def test_the_live_comparison_says_who_is_right_and_when_there_are_too_few(
    typed: Typed, store: Store
) -> None:
    number = lay_shadows(store, NOW, CHAMPION)
    judged(store, number, 1)

    said = typed.run("models", "compare", "--live")
    found = json.loads(typed.run("models", "compare", "--live", "--candidate", "next", "--json"))

    assert f"next against {CHAMPION} on 8 live messages" in said
    assert "Too few verdicts" in said
    assert "1 failed" in said
    by_field = {one["field"]: one for one in found["fields"]}
    assert (by_field["risk"]["differ"], by_field["risk"]["only_champion"]) == (1, 1)
    assert by_field["risk"]["finding"] == "too few verdicts"
    assert found["harms"]["urgent_missed"] == [0, 1]
    assert found["too_few_verdicts"] is True
    typed.run("models", "compare", "--live", "--since", "2027-01-01", code=2)
    typed.run("models", "compare", "--live", "--candidate", "nobody", code=2)
    typed.run("models", "compare", code=2)


def judged(store: Store, candidate: int, count: int) -> None:
    """People say of so many urgent risks that the one in use is right."""
    for one in store.shadows.readings(candidate):
        risks = [each for each in one.read.differences if each.field == "risk"][:count]
        if risks:
            store.shadows.judge(one.id, {("risk", 0): "champion"}, "lea", NOW)


def test_the_gates_ask_live_mail_too(store: Store) -> None:
    from models.gates import _live
    from review.learning import live_readings

    number = lay_shadows(store, NOW, CHAMPION)
    unjudged = live_readings(store, "next", CHAMPION)
    judged(store, number, 1)
    looked_at = live_readings(store, "next", CHAMPION)

    assert unjudged is not None
    assert looked_at is not None
    before = {gate.name: gate.passed for gate in _live(unjudged)}
    after = {gate.name: gate.passed for gate in _live(looked_at)}

    assert before == {
        "live: reads every message": False,
        "live: urgent risk unseen was looked at": False,
        "live: false_clear not higher": True,
        "live: urgent_missed not higher": True,
    }
    assert after["live: urgent risk unseen was looked at"]
    assert not after["live: urgent_missed not higher"]
    assert live_readings(store, "next", CHAMPION, digest="another") is None

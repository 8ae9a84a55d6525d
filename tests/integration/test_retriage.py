"""Mail read again by another reader: what would change is shown, what is safe is changed."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from casework.splitting import DANGER, IMOGEN, NOW, RULES, SARAH, TOLD, WHY, Team, filled
from rereading_jobs import KILLS_ITS_READER, letters, light_workers, mbox_of
from typer.testing import CliRunner, Result

from pipeline import explain, retry_quarantined, run_sources
from review.commands import app
from review.desk import Desk, Engine
from review.part_files import path_of, rows_in, write_part
from review.reread_difference import Difference, difference
from review.rereading import row_of
from store import open_store
from triage.records import MessageKey, RawMessage, Request

Reading = Callable[[Request], Request]


@pytest.fixture
def team(store_url: str) -> Iterator[Team]:
    with open_store(store_url) as store:
        yield Team(filled(store))


def read_again(
    team: Team,
    folder: Path,
    otherwise: Reading,
    *,
    apply: bool = False,
    extra: int = 0,
    cut: str = "",
) -> Difference:
    """What another reader makes of all that came, compared with the store."""
    rows = []
    for number in range(1, team.mails + 1):
        email = team.store.message(f"<{number}@x>").email
        email = replace(email, new_text=email.new_text + cut)
        asks = [otherwise(one) for one in team.reader.read([email])[0]]
        made = SimpleNamespace(email=email, requests=asks * (1 + extra), reader_version="2")
        digest = hashlib.sha256(f"{number}".encode()).hexdigest()
        rows.append(row_of(RawMessage(MessageKey("x", "", 1, number), NOW, digest, b""), made))
    write_part(folder, "all", rows)
    return difference(team.store, [path_of(folder, "all")], RULES, apply=apply)


def not_told(request: Request) -> Request:
    return replace(request, client_notification="not_informed", notification_evidence="")


def about_sarah(request: Request) -> Request:
    return replace(request, session_ids=("HT-210002",), client_ref="Sarah Malik")


def test_a_difference_is_shown_and_nothing_is_changed_by_that(team: Team, tmp_path: Path) -> None:
    [case] = team.mail(IMOGEN, TOLD, WHY)
    before = team.story(case)

    found = read_again(team, tmp_path, not_told)

    assert found.fields == Counter(client_notification=1)
    assert found.cases == Counter({"cancellation/ready → cancellation/awaiting_client": 1})
    assert found.examples["cancellation/ready → cancellation/awaiting_client"] == [case]
    assert (found.changed, found.applied) == (1, 0)
    assert team.story(case) == before


def test_an_open_case_is_decided_again_once_and_later_mail_goes_by_the_new_reading(
    team: Team, tmp_path: Path
) -> None:
    [case] = team.mail(IMOGEN, TOLD, WHY)

    first = read_again(team, tmp_path, not_told, apply=True)
    second = read_again(team, tmp_path, not_told, apply=True)

    assert (first.applied, second.applied, second.same) == (1, 0, 1)
    story = team.story(case)
    assert story.case.decision.state == "awaiting_client"
    assert story.case.version == 2
    assert [row.event for row in story.audit].count("reread") == 1
    assert team.store.first_broken_audit_row() is None
    [said] = team.store.told(case).said
    assert said.request.client_notification == "not_informed"
    assert case in team.mail(IMOGEN, TOLD, minutes=-30)  # an earlier one: all is told again
    assert team.state(case) == "awaiting_client"


def test_a_reader_that_says_the_same_changes_nothing(team: Team, tmp_path: Path) -> None:
    team.mail(IMOGEN, TOLD, WHY)
    team.mail(SARAH)

    found = read_again(team, tmp_path, lambda request: request, apply=True)

    assert (found.messages, found.same, found.changed, found.applied) == (2, 2, 0, 0)


def test_what_a_person_decided_or_closed_is_never_read_over(team: Team, tmp_path: Path) -> None:
    [decided] = team.mail(IMOGEN, TOLD, WHY)
    [closed] = team.mail(SARAH)
    team.act(decided, "approve")
    team.act(closed, "dismiss", reason="not for us")
    before = [team.story(decided), team.story(closed)]

    found = read_again(team, tmp_path, not_told, apply=True)

    assert found.applied == 0
    assert sum(found.left.values()) == 2
    assert [team.story(decided), team.story(closed)] == before


@pytest.mark.parametrize(
    ("otherwise", "more", "why"),
    [
        (
            lambda r: replace(r, session_ids=("HT-210002",), client_ref="Sarah Malik"),
            {},
            "other_case",
        ),
        (lambda r: replace(r, risk="none"), {}, "safeguarding"),
        (not_told, {"extra": 1}, "asks"),
        (not_told, {"cut": " Bye."}, "text"),
    ],
    ids=["another session", "a risk no longer seen", "another number of asks", "parsed otherwise"],
)
def test_what_is_not_plain_is_left_to_a_person(
    team: Team, tmp_path: Path, otherwise: Reading, more: dict[str, int], why: str
) -> None:
    [case] = team.mail(IMOGEN, TOLD, DANGER)
    before = team.story(case)

    found = read_again(team, tmp_path, otherwise, apply=True, **more)

    assert (found.applied, found.left) == (0, Counter({why: 1}))
    assert team.story(case) == before


def test_two_that_apply_at_once_change_a_case_once(team: Team, tmp_path: Path) -> None:
    [case] = team.mail(IMOGEN, TOLD, WHY)
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()

    def apply(folder: Path) -> Difference:
        return read_again(team, folder, not_told, apply=True)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(apply, folders))

    assert sum(one.applied for one in found) == 1
    assert team.case(case).version == 2


# --- the command ----------------------------------------------------------------------------------


def retriage(store_url: str, *options: str) -> Result:
    engine = Engine(run_sources, explain, retry_quarantined, lambda _: light_workers())
    os.environ["FIT_TRIAGE_DATABASE_URL"] = store_url
    try:
        return CliRunner().invoke(app, ["retriage", "--json", *options], obj=Desk(engine))
    finally:
        del os.environ["FIT_TRIAGE_DATABASE_URL"]


def maildir_of(folder: Path, contents: Sequence[bytes]) -> str:
    for part in ("new", "cur", "tmp"):
        (folder / part).mkdir(parents=True)
    for number, content in enumerate(contents):
        part, flags = ("cur", ":2,S") if number % 2 else ("new", "")
        (folder / part / f"{1_790_000_000 + number}.{number}.host{flags}").write_bytes(content)
    return f"maildir:{folder}"


def read_in(folder: Path) -> Counter[str]:
    rows = [row for path in folder.glob("part-*.parquet") for row in rows_in(path)]
    return Counter(row["digest"] for row in rows)


def each_once(contents: Sequence[bytes]) -> Counter[str]:
    return Counter(hashlib.sha256(content).hexdigest() for content in contents)


@pytest.mark.parametrize("kind", ["mbox", "maildir"])
def test_an_archive_in_files_is_read_whole_and_what_is_there_is_not_read_again(
    tmp_path: Path, kind: str
) -> None:
    contents = letters(4, odd={1: KILLS_ITS_READER})
    database = f"sqlite:///{tmp_path}/x.sqlite3"
    make = mbox_of if kind == "mbox" else maildir_of
    spec, out = make(tmp_path / "archive", contents), tmp_path / "out"

    done = retriage(database, "--source", spec, "--out", str(out))
    written = {path: path.stat().st_mtime_ns for path in out.glob("part-*")}
    again = retriage(
        f"sqlite:///{tmp_path}/x.sqlite3", "--source", spec, "--out", str(out), "--resume"
    )

    told = json.loads(done.stdout)
    assert (told["read"]["messages"], told["read"]["causes"]) == (4, {"killed_reader": 1})
    assert told["store"]["unknown"] == 4
    assert json.loads(again.stdout)["read"] == told["read"]
    assert read_in(out) == each_once(contents)
    assert {path: path.stat().st_mtime_ns for path in out.glob("part-*")} == written
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o600}


def test_what_the_store_has_kept_is_read_from_there(store_url: str) -> None:
    contents = letters(3)
    with open_store(store_url) as store:
        store.keep_raw(
            [
                RawMessage(MessageKey("x", "", 1, n), NOW, hashlib.sha256(c).hexdigest(), c)
                for n, c in enumerate(contents)
            ]
        )

    done = retriage(store_url)
    later = retriage(store_url, "--since", "2027-01-01")

    assert json.loads(done.stdout)["read"]["messages"] == 3
    assert json.loads(later.stdout)["read"]["messages"] == 0


def test_a_folder_is_gone_on_in_only_with_what_it_was_begun_with(
    tmp_path: Path,
) -> None:
    one, other = (mbox_of(tmp_path / name, letters(2)) for name in ("one", "other"))
    out, database = str(tmp_path / "out"), f"sqlite:///{tmp_path}/x.sqlite3"
    assert retriage(database, "--source", one, "--out", out).exit_code == 0

    without_word = retriage(database, "--source", one, "--out", out)
    with_another = retriage(
        f"sqlite:///{tmp_path}/x.sqlite3", "--source", other, "--out", out, "--resume"
    )

    assert "not empty" in str(without_word.exception)
    assert "another archive" in str(with_another.exception)


def test_a_folder_for_an_archive_that_cannot_be_read_can_be_used_for_another(
    tmp_path: Path,
) -> None:
    out, database = str(tmp_path / "out"), f"sqlite:///{tmp_path}/x.sqlite3"

    nothing = retriage(database, "--source", f"mbox:{tmp_path}/none", "--out", out)
    something = retriage(database, "--source", mbox_of(tmp_path / "one", []), "--out", out)

    assert "No such file" in str(nothing.exception)
    assert json.loads(something.stdout)["read"]["messages"] == 0


def test_readings_by_two_models_are_not_put_together(tmp_path: Path) -> None:
    out, database = tmp_path / "out", f"sqlite:///{tmp_path}/x.sqlite3"
    long = b"Please cancel. " * 40_000
    spec = mbox_of(tmp_path / "archive", letters(203, odd=dict.fromkeys((200, 201, 202), long)))
    assert retriage(database, "--source", spec, "--out", str(out)).exit_code == 0
    one, *others = sorted(out.glob("part-*"))
    assert others

    rows = [{**row, "reader_version": "another"} for row in rows_in(one)]
    write_part(out, one.stem.removeprefix("part-"), rows)
    again = retriage(database, "--source", spec, "--out", str(out), "--resume")

    assert str(again.exception) == "workers read with different models: another, light"

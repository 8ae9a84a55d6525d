"""Pseudonymised exports, by command and as files, on both databases."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from store_samples import NOW, email, outcome, raw_message
from typer.testing import CliRunner, Result

from review.commands import app
from review.desk import Desk
from review.export_files import ExportFolderError, becoming, delete
from review.exporting import folder_name
from store import Store, open_store
from triage.records import Request
from triage.verdicts import Correction, Verdict

LATER = NOW + timedelta(days=40)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def plain_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("store_url", "filled_url"):
        if name in request.fixturenames:
            monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", request.getfixturevalue(name))


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, words)], obj=Desk(None))


def exported(out: Path, *words: object, recipient: str = "research") -> Path:
    """Export into *out*; the new folder."""
    done = run("--to", out, "--for", recipient, "--json", *words)
    assert done.exit_code == 0, (done.output, done.exception)
    return Path(json.loads(done.stdout)["folder"])


def rows(folder: Path, what: str, form: str = "csv") -> list[dict[str, object]]:
    file = folder / f"{what}.{form}"
    if form == "csv":
        return list(csv.DictReader(io.StringIO(file.read_text("utf-8-sig"))))
    if form == "jsonl":
        return [json.loads(line) for line in file.read_text().splitlines()]
    from pyarrow import parquet

    found: list[dict[str, object]] = parquet.read_table(file).to_pylist()
    return found


def filled(store: Store, subject: str = "=sum(a1)", text: str = "+1 Sarah M rang.") -> None:
    raw = raw_message(1)
    store.keep_raw([raw])
    with store.batch(now=NOW) as memory:
        message = email(1, subject=subject, new_text=text)
        memory.add(raw.key, raw.digest, message, [outcome()], reader_version="rules-1")
    verdict = Verdict(
        1, "correct", "dana", NOW, reason="=cmd told by Sarah",
        corrections=(
            Correction("fit_reasons", ("outside_competence",), ("format",)),
            Correction("client_ref", "Jo", "Joanna Bloggs"),
        ),
    )  # fmt: skip
    store.act(
        verdict, version=1, state=None, request=Request("cancellation"), decision=None,
        outgoing=(), now=NOW,
    )  # fmt: skip


def test_rows_say_codes_and_days_and_nobody_by_name(filled_url: str, out: Path) -> None:
    folder = exported(out)

    written = "".join(file.read_text("utf-8") for file in folder.iterdir())
    with open_store(filled_url) as store:
        names = [n for n in store.exported.registered_names() if len(n) > 3]
        found = store.queue(include_closed=True)
        secrets = [c.sender for c in found] + [c.session_id for c in found if c.session_id]
        secrets += [c.therapist_id for c in found if len(c.therapist_id) > 3] + names
        subjects = {m.email.subject for c in found for m in store.case(c.case_id).messages}
    assert len(rows(folder, "cases")) == len(store_rows(filled_url))
    assert [one for one in secrets if one in written] == []
    assert [one for one in subjects if len(one) > 12 and one in written] == []


def store_rows(url: str) -> list[object]:
    with open_store(url) as store:
        own = store.queue(include_closed=True)
        general = store.queue(queue="general", include_closed=True)
        return list({row.case_id: row for row in (*own, *general)}.values())


@pytest.mark.usefixtures("filled_url")
def test_one_recipients_files_join_over_time_and_two_recipients_do_not(out: Path) -> None:
    first, again = exported(out), exported(out, recipient="  RESEARCH ")
    other = exported(out, recipient="University")

    keys = [
        {str(row[name]) for row in rows(folder, "cases") for name in ("case", "sender", "client")}
        for folder in (first, again, other)
    ]
    assert keys[0] == keys[1]
    assert keys[0] & keys[2] == {""}
    # Nor by their places: rows come in the order of pseudonyms.
    kinds = [[row["read.presenting_issues"] for row in rows(f, "cases")] for f in (first, other)]
    assert sorted(kinds[0]) == sorted(kinds[1])
    assert kinds[0] != kinds[1]


def test_a_new_secret_ends_all_joining_and_old_pseudonyms_are_still_found(
    filled_url: str, out: Path
) -> None:
    before = {row["therapist"] for row in rows(exported(out), "cases")} - {""}
    assert run("new-secret").exit_code == 0

    after = {row["therapist"] for row in rows(exported(out), "cases")} - {""}

    with open_store(filled_url) as store:
        someone = next(c.therapist_id for c in store.queue() if c.therapist_id)
    told = run("pseudonym", "therapist", someone, "--for", "research").stdout.split()
    assert before & after == set()
    assert len(told) == 2
    assert told[0] in after
    assert told[1] in before


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@pytest.mark.usefixtures("filled_url")
def test_every_form_holds_the_same_rows_and_the_manifest_proves_them(out: Path, form: str) -> None:
    folder = exported(out, "--format", form, "--reason", "study 7", "--by", "ana")

    manifest = json.loads((folder / "manifest.json").read_text())
    for file in manifest["files"]:
        content = (folder / file["name"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        what = file["name"].partition(".")[0]
        found = rows(folder, what, form)
        assert len(found) == file["rows"]
        assert all(list(row) == list(file["columns"]) for row in found)
    assert manifest["recipient"] == "research"
    assert (manifest["made_by"], manifest["reason"]) == ("ana", "study 7")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {f.stat().st_mode & 0o777 for f in folder.iterdir()} == {0o600}


def test_every_export_is_on_the_audit_trail_and_in_the_access_log(
    store_url: str, out: Path
) -> None:
    with open_store(store_url) as store:
        filled(store)

    folder = exported(out, "--by", "ana")

    with open_store(store_url) as store:
        [export] = store.exports.made()
        [(_, access)] = store.access_log.read(kinds=["export"])
        digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
        assert (access.who, access.kind) == ("ana", "export")
        assert export.manifest_sha256 == digest
        assert {file.name: file.rows for file in export.files} == {
            "cases.csv": 1, "messages.csv": 1, "predictions.csv": 1, "verdicts.csv": 1,
        }  # fmt: skip
        assert store.first_broken_audit_row() is None
        assert store.access_log.first_broken() is None


def test_a_spreadsheet_calculates_nothing_of_it_and_programs_read_what_was_said(
    store_url: str, out: Path
) -> None:
    with open_store(store_url) as store:
        filled(store)
    asked = ("--with-text", "--reason", "labelling")

    as_csv, as_lines = exported(out, *asked), exported(out, *asked, "--format", "jsonl")

    [message], [verdict] = rows(as_csv, "messages"), rows(as_csv, "verdicts")
    assert message["subject"] == "'=sum(a1)"
    assert message["text"] == "'+1 [NAME1] rang."
    assert verdict["reason"] == "'=cmd told by [NAME1]"
    assert rows(as_lines, "messages", "jsonl")[0]["subject"] == "=sum(a1)"


def test_verdicts_tell_codes_before_and_after_but_no_words_of_people(
    store_url: str, out: Path
) -> None:
    with open_store(store_url) as store:
        filled(store)

    folder = exported(out)

    [verdict] = rows(folder, "verdicts")
    assert verdict["corrected"] == "client_ref;fit_reasons"
    assert (verdict["was.fit_reasons"], verdict["is.fit_reasons"]) == (
        "outside_competence", "format",
    )  # fmt: skip
    assert "Bloggs" not in (folder / "verdicts.csv").read_text()
    assert "reason" not in verdict


def test_free_text_asks_for_a_reason_and_for_the_role_data(store_url: str, out: Path) -> None:
    with open_store(store_url) as store:
        filled(store)
    text = ("--to", out, "--for", "x", "--with-text")

    assert run(*text).exit_code != 0
    with open_store(store_url) as store:
        for role in ("staff", "lead", "data", "admin"):
            store.accounts.add(f"{role}-person", role, "", by="root", now=NOW)
    told = {
        role: (
            run(*text, "--reason", "y", "--by", f"{role}-person").exit_code == 0,
            run("--to", out, "--for", "x", "--by", f"{role}-person").exit_code == 0,
        )
        for role in ("staff", "lead", "data", "admin", "unknown")
    }

    assert told == {
        "staff": (False, False), "lead": (False, True), "data": (True, True),
        "admin": (False, False), "unknown": (False, False),
    }  # fmt: skip
    with open_store(store_url) as store:
        assert [e.wish.reason for e in store.exports.made() if e.wish.with_text] == ["y"]


def test_what_is_past_its_expiry_is_deleted_on_record_and_nothing_else(
    store_url: str, out: Path
) -> None:
    with open_store(store_url) as store:
        filled(store)
    now = ("--now", NOW.isoformat())
    short, long = exported(out, "--expires", 7, *now), exported(out, "--expires", 90, *now)
    removed = exported(out, "--expires", 7, *now, "--format", "jsonl")
    for file in removed.iterdir():
        file.unlink()
    removed.rmdir()

    first = run("purge-expired", "--now", LATER.isoformat(), "--json")
    again = run("purge-expired", "--now", LATER.isoformat())

    told = {
        line["export"]: line["was_there"] for line in map(json.loads, first.stdout.split("\n")[:-1])
    }
    assert told == {1: True, 3: False}
    assert again.stdout == "nothing is due\n"
    assert not short.exists()
    assert long.exists()
    standing = [
        json.loads(one)["standing"] for one in run("list", "--json", *now).stdout.splitlines()
    ]
    assert standing == ["deleted", "there", "deleted"]


def test_an_export_that_cannot_be_deleted_stays_due(store_url: str, out: Path) -> None:
    with open_store(store_url) as store:
        filled(store)
    folder = exported(out, "--expires", 7, "--now", NOW.isoformat())
    (folder / "notes.txt").write_text("mine")

    done = run("purge-expired", "--now", LATER.isoformat())

    assert done.exit_code == 1
    assert (folder / "notes.txt").exists()
    assert not (folder / "cases.csv").exists()
    with open_store(store_url) as store:
        assert len(store.exports.made(expired_at=LATER)) == 1


def test_a_part_of_the_time_is_exported_where_it_was_asked_for(store_url: str, out: Path) -> None:
    with open_store(store_url) as store:
        filled(store)

    day = NOW + timedelta(days=1)
    none = exported(out, "--since", day.isoformat())
    all_of_it = exported(out, "--until", day.isoformat(), "--what", "messages")

    assert [rows(none, what) for what in ("cases", "messages", "verdicts")] == [[], [], []]
    assert [f.name for f in sorted(all_of_it.iterdir())] == ["manifest.json", "messages.csv"]
    assert len(rows(all_of_it, "messages")) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("--for", "x"),
        ("--to", ".", "--for", ""),
        ("--to", ".", "--for", "x", "--format", "xls"),
        ("--to", ".", "--for", "x", "--what", "people"),
        ("--to", ".", "--for", "x", "--expires", "0"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["export", *words], obj=Desk(None),
        env={"FIT_TRIAGE_DATABASE_URL": f"sqlite:///{tmp_path}/new.sqlite3"},
    )  # fmt: skip

    assert done.exit_code != 0
    assert not [*tmp_path.glob("fit-triage-export*")]


def test_a_folder_has_its_name_only_when_all_of_it_is_there(out: Path) -> None:
    def broken() -> None:
        with becoming(out, folder_name(1, NOW)) as part:
            (part / "cases.csv").write_text("half")
            assert [p.name for p in out.iterdir()] == [part.name]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()

    assert [*out.iterdir()] == []


def test_what_a_killed_export_left_is_removed_and_who_is_at_work_is_left_alone(out: Path) -> None:
    left = out / f".{folder_name(1, NOW)}.part"
    left.mkdir()
    (left / "cases.csv").write_text("half")

    with becoming(out, folder_name(2, NOW)) as part:
        with becoming(out, folder_name(3, NOW)) as other:
            (other / "x").write_text("x")
        assert part.exists()
        assert not left.exists()

    assert sorted(p.name for p in out.iterdir()) == [folder_name(n, NOW) for n in (2, 3)]


def test_nothing_takes_the_place_of_what_is_there(out: Path) -> None:
    (out / folder_name(1, NOW)).mkdir()

    with pytest.raises(ExportFolderError), becoming(out, folder_name(1, NOW)):
        pass

    assert delete(out / folder_name(1, NOW), []) is True
    with pytest.raises(ExportFolderError):
        delete(out / "gone" / folder_name(1, NOW), [])


def test_text_of_the_sample_is_exported_without_its_people(filled_url: str, out: Path) -> None:
    folder = exported(out, "--with-text", "--reason", "labelling", "--what", "messages")

    written = (folder / "messages.csv").read_text("utf-8-sig").lower()
    with open_store(filled_url) as store:
        names = {w.lower() for n in store.exported.registered_names() for w in n.split()}
    words = set(written.replace("'", " ").replace(",", " ").replace(".", " ").split())
    assert sorted(name for name in names & words if len(name) > 3) == []
    assert len(rows(folder, "messages")) > 90


def test_now_is_utc_in_names_of_folders() -> None:
    name = folder_name(7, datetime(2026, 3, 1, 12, 0, tzinfo=UTC))

    assert name == "fit-triage-export-000007-20260301T120000Z"

"""Bad input gets one clear line that names what was wrong and what is allowed, and an exit code."""

import sqlite3
import sys
from pathlib import Path

import pytest
from services.dovecot import Dovecot

import pipeline


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Type a command; gives exit code and what stood on standard error."""

    def type_command(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["fit-triage", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            pipeline.main()
        code = ended.value.code
        return (0 if code is None else int(code)), capsys.readouterr().err

    return type_command


def is_one_line(said: str) -> bool:
    return said.count("\n") == 1 and said.startswith("fit-triage: ")


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("imap3://user@host/INBOX", ["imap3", "imaps://user@host", "maildir:PATH"]),
        ("/var/mail/support", ["maildir:PATH", "mbox:PATH"]),
        ("imaps://host/INBOX", ["imaps://user@host[:port]/FOLDER"]),
        ("imap://user@host/INBOX", ["imaps://", "allow"]),
        ("imaps://user:secret@host/INBOX", ["password", "file or environment"]),
    ],
)
def test_a_source_written_wrongly_is_wrong_use(typed, source: str, named: list[str]) -> None:
    code, said = typed("run", "--source", source)

    assert code == 2
    assert is_one_line(said)
    assert all(words in said for words in named)
    assert "secret" not in said


def test_no_source_at_all_is_wrong_use(typed) -> None:
    code, said = typed("run")

    assert code == 2
    assert is_one_line(said)
    assert "--source" in said


def test_a_maildir_that_does_not_exist_is_named_and_the_scheduler_alerted(
    typed, tmp_path: Path
) -> None:
    code, said = typed("run", "--source", f"maildir:{tmp_path}/nowhere", "--json")

    assert code == 1
    assert is_one_line(said)
    assert f"{tmp_path}/nowhere" in said


def test_an_unreadable_configuration_is_wrong_use(typed, tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("database_url = \n", encoding="utf-8")

    code, said = typed("--config", "broken.toml", "queue")

    assert code == 2
    assert is_one_line(said)
    assert "broken.toml is not TOML" in said


@pytest.mark.parametrize(
    ("filters", "named"),
    [
        (["--queue", "urgent"], ["'urgent'", "cancellation"]),
        (["--state", "redy"], ["'redy'", "ready"]),
        (["--blocker", "none"], ["'none'", "client_not_told"]),
    ],
)
def test_a_misspelt_filter_names_the_codes_there_are(
    typed, filters: list[str], named: list[str]
) -> None:
    code, said = typed("queue", *filters)

    assert code == 2
    assert all(words in said for words in named)


def test_a_clock_that_is_no_time_is_wrong_use(typed) -> None:
    code, said = typed("queue", "--now", "tomorrow")

    assert code == 2
    assert "2026-03-02T09:30" in said


def test_a_case_that_does_not_exist_is_wrong_use(typed) -> None:
    code, said = typed("show", "42")

    assert code == 2
    assert "no case 42" in said


def test_a_path_without_mail_is_wrong_use(typed, tmp_path: Path) -> None:
    code, said = typed("explain", tmp_path)

    assert code == 2
    assert "holds no message" in said


def test_a_database_of_an_unknown_kind_is_said_with_what_is_allowed(
    typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", "mysql://root@localhost/triage")

    code, said = typed("queue")

    assert code == 1
    assert is_one_line(said)
    assert "sqlite:///" in said
    assert "postgresql+psycopg://" in said


def test_a_folder_that_cannot_hold_the_database_is_named(
    typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", "sqlite:////proc/nowhere/triage.sqlite3")

    code, said = typed("queue")

    assert code == 1
    assert is_one_line(said)
    assert "/proc/nowhere" in said


def test_a_file_that_is_no_database_is_left_alone(
    typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "letters.txt"
    file.write_text("Dear all, " * 1000, encoding="utf-8")
    monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", f"sqlite:///{file}")

    code, said = typed("queue")

    assert code == 1
    assert is_one_line(said)
    assert file.read_text(encoding="utf-8") == "Dear all, " * 1000


def test_a_database_locked_by_another_program_is_said(
    typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", f"sqlite:///{tmp_path}/triage.sqlite3")
    typed("queue")
    maildir = tmp_path / "Maildir"
    for part in ("new", "cur", "tmp"):
        (maildir / part).mkdir(parents=True)
    other = sqlite3.connect(tmp_path / "triage.sqlite3", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    code, said = typed("run", "--source", f"maildir:{maildir}")
    other.close()

    assert code == 1
    assert is_one_line(said)
    assert "lock" in said or "another" in said


@pytest.mark.postgres
def test_a_database_server_that_does_not_answer_is_said_without_the_password(
    typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql+psycopg://triage:hunter2@127.0.0.1:9/triage"
    monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", url)

    code, said = typed("queue")

    assert code == 1
    assert is_one_line(said)
    assert "hunter2" not in said


def test_registry_files_with_a_missing_column_name_it(typed, tmp_path: Path) -> None:
    file = tmp_path / "sessions.csv"
    file.write_text("session_id,therapist_id\nHT-000001,T1\n", encoding="utf-8")

    code, said = typed("registry", "import", "--sessions", file)

    assert code in {1, 2}
    assert is_one_line(said)
    assert "starts_at" in said


def test_a_registry_import_of_nothing_is_wrong_use(typed) -> None:
    code, said = typed("registry", "import")

    assert code == 2
    assert "--sessions" in said


@pytest.mark.dovecot
def test_a_refused_password_is_said_and_nothing_half_written(
    typed, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = dovecot.mailbox([b"Subject: x\r\n\r\ny\r\n"])
    monkeypatch.setenv("FIT_TRIAGE_IMAP_PASSWORD", "hunter2")
    monkeypatch.setenv("FIT_TRIAGE_IMAP_CA_FILE", dovecot.ca_file)

    code, said = typed("run", "--source", box.spec())

    assert code == 1
    assert is_one_line(said)
    assert "password" in said or "login" in said.lower()
    assert "hunter2" not in said


def test_an_unreachable_server_is_said(typed) -> None:
    code, said = typed("run", "--source", "imaps://support@127.0.0.1:9/INBOX")

    assert code == 1
    assert is_one_line(said)
    assert "127.0.0.1" in said


@pytest.mark.dovecot
def test_one_failing_mailbox_does_not_hold_up_the_others(
    typed, dovecot: Dovecot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from store import open_store

    box = dovecot.mailbox([b"From: a@b.example\r\nSubject: hello\r\n\r\nGood morning\r\n"])
    monkeypatch.setenv("FIT_TRIAGE_IMAP_PASSWORD", dovecot.password)
    monkeypatch.setenv("FIT_TRIAGE_IMAP_CA_FILE", dovecot.ca_file)
    monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", f"sqlite:///{tmp_path}/triage.sqlite3")

    code, _ = typed("run", "--source", f"maildir:{tmp_path}/gone", "--source", box.spec())

    assert code == 1
    with open_store(f"sqlite:///{tmp_path}/triage.sqlite3") as store:
        assert store.counts().messages == 1
        assert store.runs(1)[0].status == "failed"

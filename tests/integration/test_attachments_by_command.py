"""Staff get at an attachment, and are told where a mail's own words are in doubt."""

import base64
import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from store import open_store

FIT_TRIAGE = Path(sys.executable).parent / "fit-triage"


def form() -> bytes:
    from docx import Document

    document, stream = Document(), io.BytesIO()
    document.add_paragraph("I cannot sleep.")
    document.save(stream)
    return stream.getvalue()


PDF = b"%PDF-1.4 not much of a form"
MAIL = (
    b"From: Ann Lee <ann@therapist.example>\nSubject: Cancel\nMessage-ID: <saq@therapist.example>\n"
    b"Date: Mon, 3 Nov 2025 10:00:00 +0000\n"
    b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\n"
    b"Please cancel HT-218834, see my answers in red below.\n\n"
    b"________________________________\nFrom: Support <support@therapy.example>\n"
    b"Sent: 02 November 2025 09:12\nTo: Ann Lee\nSubject: Session\n\nIs it OCD? yes\n"
    b'--b\nContent-Type: application/pdf; name="../saq.pdf"\n'
    b"Content-Transfer-Encoding: base64\n\n"
    + base64.encodebytes(PDF)
    + b"--b\nContent-Type: application/octet-stream; name=saq.docx\n"
    b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(form()) + b"--b--\n"
)


def fit_triage(folder: Path, *arguments: str, code: int = 0) -> str:
    settings = {"DATABASE_URL": f"sqlite:///{folder / 'x.sqlite3'}", "DOCUMENTS": "read"}
    environment = {**os.environ, **{f"FIT_TRIAGE_{name}": v for name, v in settings.items()}}
    done = subprocess.run(
        [FIT_TRIAGE, *arguments],
        env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attachments")
    (folder / "in").mkdir()
    (folder / "in" / "1.eml").write_bytes(MAIL)
    fit_triage(folder, "run", "--source", f"eml:{folder / 'in'}")
    return folder


def test_an_attachment_is_listed_and_saved_whole_under_a_safe_name(folder):
    listed = fit_triage(folder, "attachment", "saq@therapist.example")
    fit_triage(folder, "attachment", "1", "1", "--out", "out")

    assert "1  ../saq.pdf  application/pdf" in listed
    saved = folder / "out" / "saq.pdf"
    assert saved.read_bytes() == PDF
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600


def test_who_took_an_attachment_is_in_the_audit_trail_and_what_it_is_called_is_not(folder):
    before = taken(folder)

    fit_triage(folder, "attachment", "1", "1", "--out", "again", "--by", "mary")
    fit_triage(folder, "attachment", "saq@therapist.example", "2", "--out", "again", "--by", "joe")
    fit_triage(folder, "attachment", "1")
    fit_triage(folder, "attachment", "1", "7", code=2)

    assert [
        (event.actor, event.case_id, event.detail) for event in taken(folder)[len(before) :]
    ] == [
        ("mary", 1, {"number": 0}),
        ("joe", None, {"number": 1}),
    ]
    assert all(event.message_id == 1 for event in taken(folder))
    with open_store(f"sqlite:///{folder / 'x.sqlite3'}") as store:
        assert store.first_broken_audit_row() is None


def test_no_attachment_is_given_out_that_cannot_be_put_on_record(folder):
    with open_store(f"sqlite:///{folder / 'x.sqlite3'}") as store, store._database.writing():
        said = fit_triage(folder, "attachment", "1", "1", "--out", "nothing", code=1)

    assert "locked by another program" in said
    assert not (folder / "nothing").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system, as root")
def test_a_folder_without_room_is_named_and_keeps_no_part_of_a_file(folder):
    full = folder / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", full], check=True)
    try:
        (full / "ballast").write_bytes(b"x" * 4096)

        said = fit_triage(folder, "attachment", "1", "1", "--out", "full", code=2)

        assert "No space left on device" in said
        assert [path.name for path in full.iterdir()] == ["ballast"]
    finally:
        subprocess.run(["umount", full], check=True)


def taken(folder):
    with open_store(f"sqlite:///{folder / 'x.sqlite3'}") as store:
        return [event for event in store.case(1).audit if event.event == "attachment_taken"]


def test_what_is_not_there_is_said_in_one_line(folder):
    said = fit_triage(folder, "attachment", "1", "7", code=2)
    nobody = fit_triage(folder, "attachment", "99", code=2)

    assert "no number 7" in said
    assert "no such case or message" in nobody
    assert "Traceback" not in said + nobody


def test_doubts_about_whose_words_they_are_stand_under_the_mail(folder):
    shown = fit_triage(folder, "show", "1")

    doubt = shown.index("note: The sender says that answers stand inside the quoted text.")
    other = shown.index("note: An attached document could not be read as text.")
    assert doubt < other


def test_a_forms_text_is_shown_under_the_mail_and_is_no_word_of_the_sender(folder):
    shown = fit_triage(folder, "show", "1")
    [message] = json.loads(fit_triage(folder, "show", "1", "--json"))["messages"]

    assert "its text: I cannot sleep." in shown
    assert message["attachments"][1]["text"] == "I cannot sleep."
    assert "sleep" not in message["new_text"] + message["quoted_text"]

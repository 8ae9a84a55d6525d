"""Attachments: listed by what they are, saved so that they can do no harm, read where asked to."""

import base64
import hashlib
import io
import stat
import zipfile
from datetime import UTC, datetime

import pytest

from ingest import documents
from ingest.downloads import extract, safe_name, save
from ingest.parsing import ParseOptions, attachment_content, parse
from triage.records import Attachment, MessageKey, RawMessage

PDF_BYTES = b"%PDF-1.4\nnothing that a reader would accept"
PROGRAM = b"MZ\x90\x00 this is a program"


def raw(*parts: bytes) -> RawMessage:
    inner = b"".join(b"--b\n" + part + b"\n" for part in parts)
    head = b"From: ann@therapist.example\nContent-Type: multipart/mixed; boundary=b\n\n"
    content = head + inner + b"--b--\n"
    digest = hashlib.sha256(content).hexdigest()
    return RawMessage(
        MessageKey("s", "f", 1, 1), datetime(2025, 11, 3, tzinfo=UTC), digest, content
    )


def attached(name: bytes, data: bytes, kind: bytes = b"application/octet-stream") -> bytes:
    return (
        b"Content-Type: " + kind + b"\nContent-Disposition: attachment; filename=" + name
        + b"\nContent-Transfer-Encoding: base64\n\n" + base64.encodebytes(data)
    )  # fmt: skip


LETTER = b"Content-Type: text/plain\n\nPlease cancel, the form is attached.\n"


# --- listed


@pytest.mark.parametrize(
    ("name", "data", "declared", "expected"),
    [
        (b"saq.pdf", PROGRAM, b"application/pdf", "application/vnd.microsoft.portable-executable"),
        (b"saq.txt", PDF_BYTES, b"text/plain", "application/pdf"),
        (b"a.doc", b"{\\rtf1 hello}", b"application/msword", "application/rtf"),
        (b"a.zip", b"PK\x03\x04rest", b"image/png", "application/zip"),
        (b"a.bin", b"who knows", b"application/x-foo", "application/x-foo"),
    ],
)
def test_the_first_bytes_say_more_than_the_label(name, data, declared, expected):
    email = parse(raw(LETTER, attached(name, data, declared)))

    assert [a.content_type for a in email.attachments] == [expected]
    assert email.attachments[0].size == len(data)


@pytest.mark.parametrize(
    ("written", "shown", "saved"),
    [
        (b'"../../etc/passwd"', "../../etc/passwd", "passwd"),
        (rb'"C:\\Users\\ann\\saq.txt"', r"C:\Users\ann\saq.txt", "saq.txt"),
        (b'"saq\xe2\x80\xaefdp.exe"', "saqfdp.exe", "saqfdp.exe"),
        (b'".bashrc"', ".bashrc", "bashrc"),
        (b'"-rf"', "-rf", "rf"),
        (b'"con.txt"', "con.txt", "_con.txt"),
        (b'"a\x00b|c?.txt"', None, None),
        (b'".."', "..", "attachment"),
        (b"x; filename*=utf-8''caf%C3%A9%2Ftab%09.txt", None, None),
        (b'"' + b"long" * 200 + b'.txt"', None, None),
    ],
)  # fmt: skip
def test_names_of_attachments_are_cleaned_and_never_paths(written, shown, saved):
    [listed] = parse(raw(LETTER, attached(written, b"x", b"text/plain"))).attachments

    name = safe_name(listed)

    assert shown is None or listed.name == shown
    assert saved is None or name == saved
    assert not set(name) & set('/\\<>:"|?*\0\n\t\u202e')
    assert 0 < len(name.encode()) <= 130
    assert not name.startswith((".", "-"))


@pytest.mark.parametrize(
    ("name", "content_type", "expected"),
    [
        ("saq.pdf", "application/pdf", "saq.pdf"),
        ("saq.pdf", "application/vnd.microsoft.portable-executable", "saq.pdf.bin"),
        ("saq.pdf", "application/zip", "saq.pdf.zip"),
        ("photo.jpeg", "image/jpeg", "photo.jpeg"),
        ("photo", "image/jpeg", "photo.jpg"),
        ("notes.odd", "application/octet-stream", "notes.odd"),
    ],
)
def test_a_name_that_hides_what_a_file_is_gets_its_true_extension(name, content_type, expected):
    assert safe_name(Attachment(name, content_type, 1)) == expected


# --- saved


def test_the_bytes_saved_are_those_that_were_sent(tmp_path):
    data = bytes(range(256)) * 10
    message = raw(LETTER, attached(b"one.bin", b"one"), attached(b"two.bin", data))

    found = extract(message, 1)

    assert found is not None
    attachment, content = found
    path = save(content, safe_name(attachment), tmp_path)
    assert (path.name, path.read_bytes()) == ("two.bin", data)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["two.bin"]


def test_nothing_is_ever_overwritten_not_even_through_a_link(tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    (tmp_path / "a (2).txt").symlink_to(tmp_path / "elsewhere")

    path = save(b"theirs", "a.txt", tmp_path)

    assert path.name == "a (3).txt"
    assert (tmp_path / "a.txt").read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()


def test_every_attachment_listed_can_be_had():
    nested = b"Content-Type: message/rfc822\n\nSubject: older\n\nolder words\n"
    uu = b"Content-Type: text/plain\n\nhi\nbegin 644 cat.txt\n#0V%T\n`\nend\n"
    message = raw(LETTER, nested, uu, attached(b"x.bin", b"\0\1"))

    listed = parse(message).attachments
    contents = [attachment_content(message, number) for number in range(len(listed))]

    assert [content and content[0] for content in contents] == list(listed)
    assert {content[1] for content in contents} == {
        b"Subject: older\n\nolder words\n", b"Cat", b"\0\1"
    }  # fmt: skip
    assert attachment_content(message, len(listed)) is None


# --- read as text


def word_file(*paragraphs: str) -> bytes:
    from docx import Document

    document = Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "Sleep", "poor"
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def pdf_file(words: str, pages: int = 1) -> bytes:
    """The smallest PDF that says something."""
    kids = " ".join(f"{3 + 2 * n} 0 R" for n in range(pages))
    objects = ["<</Type/Catalog/Pages 2 0 R>>", f"<</Type/Pages/Kids[{kids}]/Count {pages}>>"]
    font = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
    for number in range(pages):
        stream = f"BT /F1 12 Tf 72 700 Td ({words}) Tj ET"
        page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents {4 + 2 * number} 0 R"
        objects += [
            f"{page}/Resources<</Font<</F1 {font}>>>>>>",
            f"<</Length {len(stream)}>>\nstream\n{stream}\nendstream",
        ]
    out, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size = len(objects) + 1
    tail = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer<</Size {size}/Root 1 0 R>>\n"
    return out + f"{tail}startxref\n{len(out)}\n%%EOF".encode()


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        (b"saq.docx", word_file("I cannot sleep."), "I cannot sleep.\nSleep\tpoor"),
        (b"saq.pdf", pdf_file("I cannot sleep."), "I cannot sleep."),
    ],
)
def test_a_questionnaire_is_read_beside_the_letter_and_never_as_part_of_it(name, data, expected):
    message = raw(LETTER, attached(name, data))

    email = parse(message, ParseOptions(documents="read"))

    assert email.attachments[0].text == expected
    assert "sleep" not in email.new_text + email.quoted_text + email.signature
    assert email.defects == parse(message).defects


def test_documents_are_left_alone_unless_asked_for():
    email = parse(raw(LETTER, attached(b"saq.pdf", pdf_file("I cannot sleep."))))

    assert [a.text for a in email.attachments] == [""]


def zip_bomb() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<x/>")
        archive.writestr("word/document.xml", b" " * 20_000_000)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (b"a.pdf", PDF_BYTES),
        (b"a.docx", b"PK\x03\x04 cut off"),
        (b"a.docx", zip_bomb()),
        (b"a.pdf", pdf_file("x") + b" " * documents.MAX_BYTES),
    ],
)
def test_a_document_that_cannot_be_read_is_named_and_harms_nothing(name, data):
    email = parse(raw(LETTER, attached(name, data)), ParseOptions(documents="read"))

    assert email.new_text == "Please cancel, the form is attached."
    assert "document_unread" in email.defects


def test_a_long_document_is_read_to_the_limit():
    data = pdf_file("I cannot sleep.", pages=documents.MAX_PAGES + 5)

    text, defects = documents.text_of(data, documents.PDF)

    assert text.count("sleep") == documents.MAX_PAGES
    assert defects == ("document_cut",)


def test_a_document_made_to_be_slow_ends_in_time(monkeypatch):
    def forever(_):
        while True:
            pass
        yield ""

    monkeypatch.setattr(documents, "CPU_SECONDS", 0.2)
    monkeypatch.setattr(documents, "_pdf_pieces", forever)

    assert documents.text_of(b"%PDF-", documents.PDF) == ("", ("document_unread",))


def test_a_message_whose_documents_end_the_process_is_read_without_them():
    message = raw(LETTER, attached(b"saq.pdf", pdf_file("I cannot sleep.")))

    email = parse(message, ParseOptions(documents="deadly"))

    assert email.attachments[0].text == ""
    assert "document_unread" in email.defects

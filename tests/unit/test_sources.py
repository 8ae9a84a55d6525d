import subprocess
import sys

import pytest

from ingest.folder_names import from_utf7, to_utf7
from ingest.sources import Access, SourceSpecError, open_source


@pytest.mark.parametrize(
    ("spec", "name", "folder"),
    [
        ("imaps://help@mail.example/INBOX", "imaps://help@mail.example/INBOX", "INBOX"),
        ("imaps://help@mail.example", "imaps://help@mail.example/INBOX", "INBOX"),
        ("imaps://help@Mail.Example:993/inbox", "imaps://help@mail.example/INBOX", "INBOX"),
        ("imaps://a@b.example@mail.example:9930/A", "imaps://a@b.example@mail.example:9930/A", "A"),
        ("imaps://a%40b@h/Fit%20requests", "imaps://a@b@h/Fit%20requests", "Fit requests"),
        ("imaps://a@h/Séances/neu", "imaps://a@h/S%C3%A9ances/neu", "Séances/neu"),
        ("imaps://a@[::1]:1993/X", "imaps://a@[::1]:1993/X", "X"),
    ],
)
def test_an_imap_source_has_one_name_however_it_is_written(spec, name, folder):
    source = open_source(spec, Access())

    assert (source.name, source.folder) == (name, folder)
    assert open_source(source.name, Access()).name == name


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "inbox",
        "imaps:",
        "imaps://mail.example/INBOX",
        "imaps://@mail.example/INBOX",
        "imaps://a@h:0/INBOX",
        "imaps://a@h:70000/INBOX",
        "imaps://a@h/IN%0ABOX",
        "imaps://a@h/IN%FFBOX",
        "pop3://a@h/INBOX",
        "livechat:",
        "livechat+https://a:b@host",
        "maildir:",
        "maildir:a\udcffb",
    ],
)
def test_a_wrong_source_is_refused_with_what_is_allowed(spec):
    with pytest.raises(SourceSpecError, match=r"allowed|printable"):
        open_source(spec, Access())


def test_a_password_in_the_source_is_refused_and_not_repeated():
    with pytest.raises(SourceSpecError, match="does not belong into the source") as refusal:
        open_source("imaps://help:hunter2@mail.example/INBOX", Access())

    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("spec", ["imaps://help:hunter2@mail.exam ple/X", "pop://u:hunter2@h/"])
def test_no_error_repeats_a_password_from_a_source_that_is_wrong_otherwise(spec):
    with pytest.raises(SourceSpecError) as refusal:
        open_source(spec, Access())

    assert "hunter2" not in str(refusal.value)


def test_plaintext_imap_is_refused_unless_allowed():
    with pytest.raises(SourceSpecError, match="imaps://"):
        open_source("imap://help@mail.example/INBOX", Access())

    source = open_source("imap://help@mail.example/INBOX", Access(allow_plaintext=True))

    assert source.name == "imap://help@mail.example/INBOX"


def test_a_file_source_has_the_same_name_from_every_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert open_source("maildir:in/../box", Access()).name == f"maildir:{tmp_path}/box"


def test_access_does_not_show_its_password():
    assert "hunter2" not in repr(Access(password="hunter2"))


def test_naming_a_source_does_not_load_the_imap_library():
    check = "import ingest.sources, sys; sys.exit('imapclient' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "coded"),
    [
        ("INBOX", "INBOX"),
        ("Fit & match", "Fit &- match"),
        ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),  # RFC 3501, 5.1.3
        ("Séances", "S&AOk-ances"),
        ("Überweisung😀", "&ANw-berweisung&2D3eAA-"),
    ],
)
def test_folder_names_travel_in_modified_utf_7(name, coded):
    assert to_utf7(name) == coded
    assert from_utf7(coded.encode()) == name


@pytest.mark.parametrize("coded", [b"&AO", b"&!!!-", b"&A-", b"\xff\xfe"])
def test_a_malformed_folder_name_is_shown_rather_than_failing(coded):
    assert from_utf7(coded)

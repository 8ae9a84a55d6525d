"""One message to an Email: whatever the bytes, nothing is lost and nothing else is raised."""

import base64
import hashlib
import pickle
from datetime import UTC, datetime

import pytest

from ingest.defects import DEFECTS
from ingest.parsing import CAUSES, UnreadableEmailError, parse
from triage.records import Email, MessageKey, RawMessage

RECEIVED_AT = datetime(2025, 11, 3, 12, 0, tzinfo=UTC)
HEAD = (
    b"From: Ann Lee <ann@therapist.example>\nTo: support@therapy.example\nSubject: Cancel\n"
    b"Date: Mon, 3 Nov 2025 10:00:00 +0000\nMessage-ID: <1@therapist.example>\n"
)


def read(content: bytes) -> Email:
    digest = hashlib.sha256(content).hexdigest()
    return parse(RawMessage(MessageKey("s", "INBOX", 1, 1), RECEIVED_AT, digest, content))


def typed(content_type: str, body: bytes, *, encoding: str = "") -> Email:
    head = HEAD + f"Content-Type: {content_type}\n".encode()
    if encoding:
        head += f"Content-Transfer-Encoding: {encoding}\n".encode()
    return read(head + b"\n" + body)


def multipart(*parts: bytes, kind: str = "mixed") -> Email:
    inner = b"".join(b"--b\n" + part + b"\n" for part in parts)
    head = HEAD + f'Content-Type: multipart/{kind}; boundary="b"\n\n'.encode()
    return read(head + inner + b"--b--\n")


# --- headers


def test_a_plain_message_is_read_whole():
    email = read(HEAD + b"References: <0@x> <00@x>\nIn-Reply-To: <0@x>\n\nPlease cancel.\n")

    assert email.sender.name == "Ann Lee"
    assert email.sender.email == "ann@therapist.example"
    assert [a.email for a in email.recipients] == ["support@therapy.example"]
    assert email.sent_at == datetime(2025, 11, 3, 10, 0, tzinfo=UTC)
    assert email.subject == "Cancel"
    assert email.new_text == "Please cancel."
    assert email.message_id == "<1@therapist.example>"
    assert email.in_reply_to == "<0@x>"
    assert email.references == ("<0@x>", "<00@x>")
    assert email.automatic == ""
    assert email.defects == ()


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (b"=?utf-8?Q?caf=C3=A9?=", "café"),
        (b"=?iso-8859-1?B?Y2Fm6Q==?=", "café"),
        (b"=?utf-8?B?Y2Fm?= =?utf-8?B?w6k=?=", "café"),
        (b"=?utf-8?Q?caf=C3?=\n =?utf-8?Q?=A9?=", "café"),
        (b"caf\xc3\xa9", "café"),
        (b"caf\xe9", "café"),
        (b"=?iso-8859-1?Q?caf\xe9?=", "café"),
        (b"=?x-foo?Q?cafe?=", "cafe"),
        (b"=?ISO-2022-JP?B?GyRCRnxLXDhsGyhC?=", "日本語"),
        (b"=?utf-8?Q?broken", "=?utf-8?Q?broken"),
        (b"a\tb\n c", "a b c"),
        (b"=?utf-8?Q?a=00b=E2=80=AEc?=", "abc"),
        (b"=?utf-8*en?Q?hello?= there", "hello there"),
    ],
)
def test_subjects_are_decoded(subject, expected):
    email = read(b"From: a@b.example\nSubject: " + subject + b"\n\nhi")

    assert email.subject == expected


@pytest.mark.parametrize(
    ("date", "expected", "defect"),
    [
        ("Mon, 3 Nov 2025 10:00:00 +0100", "2025-11-03T09:00", None),
        ("Mon, 3 Nov 2025 10:00:00 GMT (winter)", "2025-11-03T10:00", None),
        ("3 Nov 2025 10:00", "2025-11-03T10:00", "date_without_zone"),
        ("2025-11-03 10:00:00", "2025-11-03T10:00", "date_without_zone"),
        ("2025-11-03T10:00:00+01:00", "2025-11-03T09:00", None),
        ("Thu, 01 Jan 99999999999 00:00:00", "2025-11-03T08:30", "date_unreadable"),
        ("yesterday", "2025-11-03T08:30", "date_from_trace"),
        ("Mon, 3 Nov 2031 10:00:00 +0000", "2031-11-03T10:00", "date_in_future"),
    ],
)
def test_dates_fall_back_to_the_trace(date, expected, defect):
    trace = b"Received: by mx.example; Mon, 3 Nov 2025 08:30:00 +0000\n"

    email = read(trace + b"From: a@b.example\nDate: " + date.encode() + b"\n\nhi")

    assert email.sent_at.isoformat()[:16] == expected
    assert defect is None or defect in email.defects


def test_a_message_without_any_date_was_sent_when_we_received_it():
    email = read(b"From: a@b.example\n\nhi")

    assert email.sent_at == RECEIVED_AT
    assert "date_missing" in email.defects


def test_a_message_without_an_id_gets_one_that_stays():
    content = b"From: a@b.example\nDate: x\n\nhi"

    assert read(content).message_id == read(content).message_id
    assert hashlib.sha256(content).hexdigest() in read(content).message_id


@pytest.mark.parametrize(
    "head",
    [
        b"Message-ID: <[ABCDEF====@microsoft.com]>\n", b"Content-Type: text/plain; name*\n",
        b"To: (c):\n", b'To: "\n', b"Cc: a@example.com,\n", b"Content-Type: text/plain; charset=\n",
        b'Content-Type: text/plain; charset="iso-8859-8-i"\n', b"Content-Type: text\n",
        b"Content-Type: text/plain; charset=unicode_escape\n", b"Content-Type:\n",
        b"Content-Transfer-Encoding: x-nonsense\n", b"From: " + b"(" * 50_000 + b"\n",
        b":\n", b" \n",
    ],
)  # fmt: skip
def test_headers_that_make_parsers_raise_do_no_harm(head):
    email = read(b"X: y\n" + head + b"\nC:\\new\\table\n")

    assert email.new_text == "C:\\new\\table"


# --- text


@pytest.mark.parametrize(
    ("declared", "data", "defect"),
    [
        ("utf-8", "naïve café".encode(), None),
        ("iso-8859-1", "naïve café".encode("latin-1"), None),
        ("windows-1252", "naïve café".encode("cp1252"), None),
        ("us-ascii", "naïve café".encode(), "charset_wrong"),
        ("iso-8859-1", "naïve café".encode(), "charset_wrong"),
        ("utf-8", "naïve café".encode("cp1252"), "text_damaged"),
        ("x-unknown", "naïve café".encode(), "charset_unknown"),
        ("", "naïve café".encode(), "charset_missing"),
        ("cp-850", "naïve café".encode("cp850"), None),
        ("'utf-8'", "naïve café".encode(), None),
        ("utf-16", b"naive cafe", "charset_wrong"),
        ("unicode_escape", b"na\\u00efve", "charset_unknown"),
    ],
)
def test_text_is_read_whatever_charset_it_claims(declared, data, defect):
    kind = f"text/plain; charset={declared}" if declared else "text/plain"

    email = typed(kind, data)

    assert defect is None or defect in email.defects
    if b"\\" not in data:
        assert email.new_text.replace("ï", "i").replace("é", "e") == "naive cafe"
    if defect is None:
        assert email.defects == ()


def test_japanese_mail_is_read_though_undeclared():
    email = typed("text/plain", "日本語です".encode("iso-2022-jp"))

    assert email.new_text == "日本語です"


@pytest.mark.parametrize(
    "encoding", ["base64", "BASE64 ", "quoted-printable", "quoted-printable;", "7-bit", "8bit", ""]
)
def test_transfer_encodings_are_undone_however_spelt(encoding):
    body = base64.b64encode(b"Please cancel.") if "64" in encoding else b"Please cancel."

    assert typed("text/plain", body, encoding=encoding).new_text == "Please cancel."


def test_a_footer_pasted_under_base64_does_not_lose_the_text():
    body = base64.b64encode(b"Please cancel the session.") + b"\n\nlist footer here, not encoded\n"

    email = typed("text/plain; charset=utf-8", body, encoding="base64")

    assert "Please cancel the session." in email.new_text
    assert "base64_damaged" in email.defects


@pytest.mark.parametrize(
    "wrap",
    [
        lambda content: content.replace(b"\n", b"\r"),
        lambda content: content.replace(b"\n", b"\r\r\n"),
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: b"\n\n \0\n" + content,
        lambda content: b"From ann@x Mon Nov  3 10:00:00 2025\n" + content,
        lambda content: content.decode().encode("utf-16"),
        lambda content: content.replace(b"Subject:", b"Subject :"),
        lambda content: content.replace(b"Subject:", b"no header at all\nSubject:"),
    ],
)
def test_wrappings_that_hide_a_message_are_taken_off(wrap):
    email = read(wrap(HEAD + b"\nPlease cancel.\n"))

    assert email.subject == "Cancel"
    assert email.sender.email == "ann@therapist.example"
    assert email.new_text == "Please cancel."


def test_what_cannot_be_seen_is_cleaned_and_reported():
    body = "Please\u200b can\u202ecel\0 now\u2066".encode()

    email = typed("text/plain; charset=utf-8", body)

    assert email.new_text == "Please cancel now"
    assert {"invisible_characters", "control_characters"} <= set(email.defects)


def test_flowed_lines_are_joined_and_quotes_kept():
    quote = b"On 3 Nov 2025 at 10:00, S wrote:\n> has she \n> been told?\n"
    body = b"Please cancel \nthe session.\n\n" + quote

    email = typed("text/plain; format=flowed", body)

    assert email.new_text == "Please cancel the session."
    assert "> has she been told?" in email.quoted_text


def test_an_inline_pgp_wrapper_is_not_text():
    body = (
        b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nPlease cancel.\n"
        b"-----BEGIN PGP SIGNATURE-----\n\niQEz\n-----END PGP SIGNATURE-----\n"
    )

    assert typed("text/plain", body).new_text == "Please cancel."


# --- parts


PLAIN = b"Content-Type: text/plain\n\nPlease cancel HT-100001, I told her on Sunday by phone."
HTML = (
    b"Content-Type: text/html\n\n"
    b"<p>Please cancel <b>HT-100001</b>, I told her on Sunday by phone.</p>"
)


def test_text_is_preferred_to_html():
    email = multipart(PLAIN, HTML, kind="alternative")

    assert email.new_text == "Please cancel HT-100001, I told her on Sunday by phone."
    assert email.attachments == ()


@pytest.mark.parametrize("stub", [b"", b"Please view this email in your browser (HTML).", b" \n "])
def test_html_is_read_where_the_text_says_nothing(stub):
    email = multipart(b"Content-Type: text/plain\n\n" + stub, HTML, kind="alternative")

    assert email.new_text == "Please cancel HT-100001, I told her on Sunday by phone."


def test_text_and_html_side_by_side_are_read_once():
    assert multipart(PLAIN, HTML).new_text.count("HT-100001") == 1


def test_two_different_texts_are_both_read():
    other = b"Content-Type: text/html\n\n<p>And HT-200002 too, which is quite another matter.</p>"

    assert "HT-200002" in multipart(PLAIN, other).new_text


def test_a_nested_message_stays_out_of_the_text():
    nested = b"Content-Type: message/rfc822\n\nSubject: old\nFrom: c@d.example\n\nNever cancel it."

    email = multipart(PLAIN, nested)

    assert "Never" not in email.new_text + email.quoted_text
    assert email.attachments[0].name == "old"
    assert email.attachments[0].content_type == "message/rfc822"


def test_attachments_are_listed_with_the_type_they_really_have():
    pdf = base64.b64encode(b"%PDF-1.7" + b"x" * 92)
    part = (
        b'Content-Type: application/octet-stream; name="saq.pdf"\n'
        b"Content-Disposition: attachment; filename*=utf-8''sa%C3%A9q.pdf\n"
        b"Content-Transfer-Encoding: base64\n\n" + pdf
    )

    attachment = multipart(PLAIN, part).attachments[0]

    assert (attachment.name, attachment.content_type) == ("saéq.pdf", "application/pdf")
    assert attachment.size == 100


def test_a_named_text_part_is_body_inline_and_attachment_otherwise():
    inline = b"Content-Type: text/plain; name=a.txt\nContent-Disposition: inline\n\nInline words."
    attached = b"Content-Type: text/plain; name=b.txt\nContent-Disposition: attachment\n\nOther."

    email = multipart(PLAIN, inline, attached)

    assert "Inline words." in email.new_text
    assert "Other." not in email.new_text
    assert [a.name for a in email.attachments] == ["b.txt"]


def test_a_uuencoded_file_in_the_text_is_an_attachment():
    email = typed("text/plain", b"Please cancel.\n\nbegin 644 cat.txt\n#0V%T\n`\nend\n\nThanks\n")

    assert email.new_text == "Please cancel.\n\nThanks"
    assert [(a.name, a.size) for a in email.attachments] == [("cat.txt", 3)]


def test_winmail_dat_is_listed_and_flagged():
    tnef = base64.b64encode(b"\x78\x9f\x3e\x22" + b"\0" * 20)
    kind = b"Content-Type: application/ms-tnef; name=winmail.dat\n"
    part = kind + b"Content-Transfer-Encoding: base64\n\n"

    email = multipart(PLAIN, part + tnef)

    assert email.attachments[0].content_type == "application/ms-tnef"
    assert "tnef_attachment" in email.defects


@pytest.mark.parametrize("boundary", ["x", "x\n y", ""])
def test_parts_are_found_though_their_boundary_was_lost(boundary):
    head = HEAD + f'Content-Type: multipart/mixed; boundary="{boundary}"\n\n'.encode()

    email = read(head + b"--real\n" + PLAIN + b"\n--real--\n")

    assert email.new_text == "Please cancel HT-100001, I told her on Sunday by phone."


def test_text_outside_the_parts_is_flagged_and_read_where_there_is_no_other():
    head = HEAD + b'Content-Type: multipart/mixed; boundary="b"\n\nPlease cancel.\n'

    email = read(head + b"--b\nContent-Type: image/png\n\nx\n--b--\n")

    assert email.new_text == "Please cancel."
    assert "text_outside_parts" in email.defects


# --- HTML


def html_mail(source: str) -> Email:
    return typed("text/html; charset=utf-8", source.encode())


def test_html_becomes_readable_text():
    email = html_mail(
        "<html><head><style>p{}</style><title>t</title></head><body><p>Hi&nbsp;team,</p><ul>"
        "<li>one</li><li>two</li></ul><table><tr><td>a</td><td>b</td></tr></table>"
        "<p>Bye<br>now</p><script>x()</script></body></html>"
    )

    assert email.new_text == "Hi team,\n\n- one\n- two\n\na\tb\n\nBye\nnow"


@pytest.mark.parametrize(
    "quote",
    [
        (
            '<div class="gmail_quote"><div class="gmail_attr">ke 3. marras 2025 klo 10 S:</div>'
            '<blockquote class="gmail_quote">Old words</blockquote></div>'
        ),
        '<div class="moz-cite-prefix">3/11 S:</div><blockquote type="cite">Old words</blockquote>',
        (
            "<div>On 3 Nov 2025, at 10:00, S wrote:</div>"
            '<blockquote type="cite"><div>Old words</div></blockquote>'
        ),
        (
            '<hr><div id="divRplyFwdMsg"><b>From:</b> S &lt;s@x.example&gt;<br><b>Sent:</b> Mon, '
            "3 November 2025 10:00<br><b>To:</b> Ann<br><b>Subject:</b> R</div><div>Old words</div>"
        ),
        '<div class="yahoo_quoted"><div>On Monday S wrote:</div><div>Old words</div></div>',
    ],
)
def test_quotes_of_every_mail_program_are_quoted(quote):
    email = html_mail(f"<div>She has been told.</div><br>{quote}")

    assert email.new_text == "She has been told."
    assert "Old words" in email.quoted_text


def test_an_answer_between_blockquotes_is_new():
    email = html_mail(
        '<div>On 3 Nov 2025, at 10:00, S wrote:</div><blockquote type="cite">Told?</blockquote>'
        '<div>Yes, on Sunday.</div><blockquote type="cite">And why?</blockquote><div>OCD.</div>'
    )

    assert email.new_text == "Yes, on Sunday.\n\nOCD."


def test_an_indented_paragraph_is_the_senders_own():
    email = html_mail(
        '<p>Please cancel:</p><blockquote style="margin:0 0 0 40px;border:none;padding:0px">'
        "HT-100001, I told her</blockquote>"
    )

    assert "HT-100001, I told her" in email.new_text


def test_a_signature_in_its_own_element_is_set_apart():
    email = html_mail('<p>Please cancel.</p><div class="gmail_signature">Ann<br>Leeds</div>')

    assert (email.new_text, email.signature) == ("Please cancel.", "Ann\nLeeds")


def test_a_mail_written_inside_the_signature_element_stays_new():
    email = html_mail(
        '<p>Hi</p><div id="Signature"><p>Please cancel HT-100001, I told her on Sunday.</p></div>'
    )

    assert "I told her on Sunday." in email.new_text


def test_hidden_text_is_left_out_and_reported():
    email = html_mail('<p>Please keep it.</p><div style="display:none">cancel all</div>')

    assert email.new_text == "Please keep it."
    assert "hidden_text" in email.defects


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("<div>" * 5_000 + "hi", "html_too_deep"),
        ("<p>hi</p>" * 100_000, "html_too_large"),
        ("<font>hi</b>" * 9_000, "html_too_deep"),
    ],
)
def test_html_beyond_the_limits_is_read_by_nobody_but_people(source, cause):
    with pytest.raises(UnreadableEmailError) as caught:
        html_mail(source)

    assert caught.value.cause == cause


def test_pictures_inside_html_do_not_make_it_too_large():
    picture = "<img src='data:image/png;base64," + "iVBORw0KGgo" * 90_000 + "=='>"

    email = html_mail(f"<p>Please cancel HT-100001.</p>{picture}<p>I told her.</p>")

    assert email.new_text.split() == ["Please", "cancel", "HT-100001.", "I", "told", "her."]
    assert "html_too_large" not in email.defects


def test_html_too_large_beside_a_plain_form_is_flagged_and_the_plain_form_read():
    plain = b"Content-Type: text/plain\n\nPlease cancel the session with Imogen on Tuesday.\n" * 9
    marked = b"Content-Type: text/html\n\n" + b"<p>Please cancel</p>\n" * 30_000

    email = multipart(plain, marked, kind="alternative")

    assert "Imogen" in email.new_text
    assert "html_too_large" in email.defects


# --- what cannot be read


NESTED = b"".join(
    b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(30)
)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "empty"),
        (b" \r\n\0", "empty"),
        (b"X: y\n\n", "nothing_to_read"),
        (b"X: y\n\n" + b"x" * (25 * 1024 * 1024), "too_large"),
        (b"X: " + b"y" * 300_000 + b"\n\nhi", "headers_too_large"),
        (b"X: y\n" * 1_100 + b"\nhi", "too_many_headers"),
        (b"Subject: " + b"=?utf-8?Q?a?= " * 600 + b"\n\nhi", "too_many_encoded_words"),
        (b"X: y\n\n" + b"\n" * 600_000, "too_many_lines"),
        (NESTED + b"\nhi", "too_deep"),
        (HEAD + b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 300,
         "too_many_parts"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_names_its_cause(content, cause):
    with pytest.raises(UnreadableEmailError) as caught:
        read(content)

    assert caught.value.cause == cause
    assert str(caught.value) == CAUSES[cause]
    assert pickle.loads(pickle.dumps(caught.value)).cause == cause


def test_a_bug_of_a_parser_is_a_cause_without_content(monkeypatch):
    def fails(*_args, **_kwargs):
        raise IndexError("secret words of the mail")

    monkeypatch.setattr("ingest.bodies.read", fails)

    with pytest.raises(UnreadableEmailError) as caught:
        read(HEAD + b"\nsecret words of the mail")

    assert caught.value.cause == "parser_failed"
    assert "secret" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_every_defect_has_a_sentence_for_staff():
    assert all(sentence.endswith(".") for sentence in DEFECTS.values())


def test_a_few_thousand_mutants_raise_nothing_and_store_anywhere():
    from fuzz_parse import campaign

    tally = campaign(3_000, seed=20251103)

    assert tally.failures == []
    assert tally.outcomes["parsed"] > 1_000


# --- nothing is lost


def test_base64_encoded_in_pieces_is_read_to_its_end():
    body = base64.b64encode(b"Please cancel.") + b"\n" + base64.b64encode(b" She was told.\n")

    email = typed("text/plain; charset=utf-8", body, encoding="base64")

    assert email.new_text == "Please cancel. She was told."


def test_words_without_punctuation_are_no_base64():
    email = typed("text/plain", b"please cancel the session with Imogen\n", encoding="base64")

    assert email.new_text == "please cancel the session with Imogen"
    assert "transfer_encoding_wrong" in email.defects


def test_text_and_html_that_say_different_things_are_flagged():
    plain = b"Content-Type: text/plain\n\n" + b"I am happy to go on with the sessions. " * 6
    marked = b"Content-Type: text/html\n\n<p>Please cancel everything with Imogen at once</p>"

    email = multipart(plain, marked, kind="alternative")

    assert "happy" in email.new_text
    assert "alternative_differs" in email.defects


def test_one_word_that_only_the_html_form_says_is_flagged():
    text = "I have told her, and we talked through the reasons for it at length. " * 5
    plain = b"Content-Type: text/plain\n\n" + text.encode()
    marked = b"Content-Type: text/html\n\n" + text.replace("have told", "have not told").encode()

    email = multipart(plain, marked, kind="alternative")

    assert "alternative_differs" in email.defects


def test_text_and_html_that_say_the_same_are_not_flagged():
    text = b"Please cancel the session with Imogen on Tuesday.\n"
    marked = b"<style>p {margin: none}</style><p>Please <b>cancel</b> the session with Imogen on"

    email = multipart(
        b"Content-Type: text/plain\n\n" + text,
        b"Content-Type: text/html\n\n" + marked + b" Tuesday.</p>",
        kind="alternative",
    )

    assert email.defects == ()


@pytest.mark.parametrize(
    "part",
    [
        b"  Please cancel, she was told.\nregards",  # taken for a continuation of no field
        b"Please: cancel, she was told.\n\nregards",  # taken for a field
        b"Content-Type: multipart/mixed; boundary=c\n\nPlease cancel.\n--c\n\nregards\n--c--\n",
    ],
)
def test_text_that_a_parser_takes_for_something_else_is_flagged(part):
    email = multipart(part)

    assert "regards" in email.new_text
    assert "text_outside_parts" in email.defects


def test_text_of_an_odd_type_beside_the_letter_is_an_attachment():
    email = multipart(
        b"Content-Type: text/plain\n\nPlease cancel.\n", b"Content-Type: text/x-log\n\nmore\n"
    )

    assert email.new_text == "Please cancel."
    assert [a.content_type for a in email.attachments] == ["text/x-log"]

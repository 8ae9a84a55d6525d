# ruff: noqa: E501 - one trick, one line
"""Hostile mails whose trick is in the mail itself: headers, encodings, parts, names."""

from __future__ import annotations

import base64
import quopri
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.header import Header
from typing import Final

from campaigns.stage import SENDER

from hostile.vectors import Vector, vectors

_IMG: Final = "<img src=x onerror=@S@><img src=@U@>"
_SCRIPT: Final = "<script>@S@</script><img src=@U@>"

Fill = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Mail:
    """One hostile mail; ``raw`` takes what puts a number and addresses into it."""

    family: str
    name: str
    raw: Callable[[Fill], bytes]


def mails() -> Iterator[Mail]:
    """All mails of the corpus."""
    for one in vectors():
        yield of_vector(one)
    for family, table in (("header", _HEADERS), ("attachment", _NAMES)):
        for number, lines in enumerate(table, start=1):
            yield Mail(family, f"{family} {number}", _with_lines(lines, family == "attachment"))
    for number, (charset, written) in enumerate(_CHARSETS, start=1):
        yield Mail("charset", f"charset {number}", _in_charset(charset, written))
    for number, parts in enumerate(_PARTS, start=1):
        yield Mail("parts", f"parts {number}", lambda fill, parts=parts: _whole(fill(parts)))


def of_vector(one: Vector) -> Mail:
    """HTML as most mail brings it: beside a plain form, in base64."""
    return Mail(one.family, one.name, lambda fill: alternative(fill(one.html)))


def alternative(html: str, *, headers: str = "") -> bytes:
    written = base64.encodebytes(html.encode("utf-8", "surrogatepass")).decode()
    return _whole(
        f"{headers}Content-Type: multipart/alternative; boundary=b\n\n--b\n"
        f"Content-Type: text/plain\n\nPlease cancel. I told her.\n--b\n"
        f"Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\n"
        f"{written}\n--b--\n"
    )


def _whole(rest: str) -> bytes:
    """A mail around *rest*, which begins with headers; those that it lacks are added."""
    head = rest.partition("\n\n")[0].lower()
    lines = "" if "\nfrom:" in f"\n{head}" else f"From: Marian Oldroyd <{SENDER}>\n"
    lines += "" if "\nsubject:" in f"\n{head}" else "Subject: My new client\n"
    text = f"{lines}To: support@platform.example\nMIME-Version: 1.0\n{rest}"
    return text.encode("utf-8", "surrogateescape").replace(b"\n", b"\r\n")


# --- headers, and names of attachments ------------------------------------------------------------


def _encoded(text: str) -> str:
    return Header(text, "utf-8", maxlinelen=10_000).encode()


#: "=" before a line: to be written as an encoded word once the tokens are filled in.
_HEADERS: Final = (
    f"Subject: {_IMG}",
    f"Subject: ={_IMG}",
    f"Subject: =</h3></article></main>{_SCRIPT}",
    f"Subject: ='\" onmouseover=@S@ x=\"{_IMG}",
    "Subject: ={{7*7}}${7*7}<%=7*7%>{% raw %}" + _IMG,
    f"Subject: ==?utf-8?q?=3Cscript=3E?={_SCRIPT}",
    f"Subject: =\u202e{_SCRIPT}\u202e\u2066",
    "Subject: =" + "Z" + "\u0335\u0321\u0360\u0489" * 300 + _IMG,
    "Subject: =" + "x" * 4_000 + _IMG,
    f"Subject: =\uff1cscript\uff1e@S@\uff1c/script\uff1e{_IMG}",
    f'From: "{_IMG}" <{SENDER}>',
    f"From: ={_SCRIPT}\x1f<{SENDER}>",
    f"From: =\u202emoc.elpmaxe{_IMG}\x1f<{SENDER}>",
    f"From: \"<script>@S@</script>\"@{SENDER.partition('@')[2]}",
    "From: <script>@S@</script>@x.example",
    'From: x <a@b.example"><img src=x onerror=@S@>',
    "From: x <javascript:@S@>",
    f"Reply-To: ={_SCRIPT}\x1f<x@y.example>",
    f"To: ={_IMG}\x1f<x@y.example>",
    f"Date: ={_IMG}",
    f"Message-ID: <{_IMG}@x>",
    f"In-Reply-To: <{_SCRIPT}>\nReferences: <{_SCRIPT}>",
    f"Auto-Submitted: {_SCRIPT}",
    f"Precedence: bulk{_IMG}\nX-Mailer: {_SCRIPT}",
    f"List-Unsubscribe: <@U@>, <javascript:@S@>\nList-Post: {_IMG}",
    f"Authentication-Results: mx.example; dmarc=pass header.from={_IMG}",
    f'Authentication-Results: {_SCRIPT}; spf=fail reason="{_IMG}"',
    f"Received: from {_IMG} by {_SCRIPT}",
    f"Importance: {_SCRIPT}\nX-Priority: {_IMG}\nSensitivity: {_IMG}",
    f"Content-Language: {_IMG}\nContent-Location: @U@\nContent-Base: @U@",
    f"Link: <@U@>; rel=preload; as=image\nRefresh: 0; url=@U@\nLocation: @U@\nSubject: {_IMG}",
    f"Content-Security-Policy: default-src *\nX-Frame-Options: ALLOWALL\nSubject: {_SCRIPT}",
    f"Disposition-Notification-To: x@@H@\nReturn-Receipt-To: x@@H@\nFace: {_IMG}",
)  # fmt: skip

_NAMES: Final = (
    f'filename="{_IMG}.pdf"',
    'filename="x.html"; name="<script>@S@</script>"',
    "filename*=UTF-8''%3Cimg%20src%3Dx%20onerror%3D@S@%3E.html",
    'filename*0="<img src=x "; filename*1="onerror=@S@>.svg"',
    'filename="=?utf-8?q?=3Cscript=3E@S@=3C/script=3E?="',
    'filename="../../../../static/app.js"',
    'filename="x\\"; onclick=@S@ x=\\".html"',
    'filename="x\u202efdp.exe"',
    'filename="javascript:@S@"',
    'filename="' + "x" * 3_000 + '.html"',
    'filename="a.html\r\n X-Injected: yes"',
    'filename="con.svg"',
    'filename=".htaccess"; name="@U@"',
    'filename="Z' + "\u0335\u0321\u0360" * 200 + '.png"',
)  # fmt: skip


def _with_lines(lines: str, is_attachment: bool) -> Callable[[Fill], bytes]:  # noqa: FBT001
    def raw(fill: Fill) -> bytes:
        if is_attachment:
            return _with_file(fill(lines), fill(_SCRIPT))
        written = "".join(_line(line) for line in fill(lines).split("\n"))
        return alternative(f"<p>see the headers{fill(_IMG)}", headers=written)

    return raw


def _line(line: str) -> str:
    name, _, value = line.partition(": ")
    if value.startswith("="):
        words, mark, rest = value[1:].partition("\x1f")
        value = _encoded(words) + (f" {rest}" if mark else "")
    return f"{name}: {value}\n"


def _with_file(named: str, content: str) -> bytes:
    return _whole(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\n"
        f"<p>attached {content}\n--b\nContent-Type: text/html\n"
        f"Content-Disposition: attachment; {named}\n\n{content}\n--b\nContent-Type: image/svg+xml\n"
        f"Content-Disposition: inline; {named}\n\n<svg xmlns='http://www.w3.org/2000/svg'>"
        f"{content}</svg>\n--b--\n"
    )


# --- charsets -------------------------------------------------------------------------------------

_B: Final = _SCRIPT.encode()

#: What the part says it is written in, and its bytes (tokens are ASCII in all of them).
_CHARSETS: Final = (
    ("utf-7", b"+ADw-script+AD4-@S@+ADw-/script+AD4-" + _B),
    ("utf-7", b"+ADw-img src=x onerror=@S@+AD4-"),
    ("us-ascii", b"+ADw-script+AD4-@S@+ADw-/script+AD4-" + _B),
    ("utf-8", b"\xef\xbb\xbf+/v8-+ADw-script+AD4-@S@+ADw-/script+AD4-" + _B),
    ("", b"+/v8 +ADw-script+AD4-@S@+ADw-/script+AD4-" + _B),
    ("utf-8", b"\xc0\xbcscript\xc0\xbe@S@\xc0\xbc/script\xc0\xbe" + _B),
    ("utf-8", b"\xe0\x80\xbcscript\xe0\x80\xbe@S@" + _B),
    ("us-ascii", b"\xbcscript\xbe@S@\xbc/script\xbe" + _B),
    ("iso-2022-jp", b"\x1b$B<script>\x1b(B@S@</script>" + _B),
    ("iso-2022-jp", b'<p title="\x1b$B"><img src=x onerror=@S@>\x1b(B">' + _B),
    ("iso-2022-jp", b"<img alt='\x1b(J'\\' src=x onerror=@S@>" + _B),
    ("", b"<meta charset=iso-2022-jp>\x1b$B<!--\x1b(B" + _B + b"-->" + _B),
    ("iso-2022-kr", b"\x1b$)C\x0e<script>\x0f@S@</script>" + _B),
    ("iso-2022-cn", b"\x1b$)A\x0e\x0f" + _B),
    ("hz-gb-2312", b"~{<script>~}@S@~{</script>~}" + _B),
    ("shift_jis", b'<p title="\x81"><img src=x onerror=@S@>">' + _B),
    ("gb18030", b"<p title='\x81'><img src=x onerror=@S@>'>" + _B),
    ("big5", b"<p title='\xa1'><img src=x onerror=@S@>'>" + _B),
    ("euc-jp", b"<p title='\x8f'><img src=x onerror=@S@>'>" + _B),
    ("gbk", b"<script>x='\xbf';@S@//'</script>" + _B),
    ("utf-16", b"\xff\xfe" + _SCRIPT.encode("utf-16-le")),
    ("utf-16be", b"\xfe\xff" + _SCRIPT.encode("utf-16-be")),
    ("", b"\xff\xfe" + _SCRIPT.encode("utf-16-le")),
    ("utf-8", _SCRIPT.encode("utf-16-le")),
    ("utf-32", _SCRIPT.encode("utf-32")),
    ("cp037", _SCRIPT.encode("cp037")),
    ("x-user-defined", _B),
    ("x-mac-roman", b"\xb3\xb2" + _B),
    ("nonsense", _B),
    ("utf-8'\"><script>@S@</script>", _B),
    ("rot13", _B),
    ("idna", _B),
    ("unicode_escape", b"\\x3cscript\\x3e@S@\\x3c/script\\x3e" + _B),
    ("raw_unicode_escape", b"\\u003cscript\\u003e@S@\\u003c/script\\u003e" + _B),
    ("bz2", _B),
    ("hex", _B.hex().encode()),
    ("punycode", _B + b"-"),
    ("utf-8", b"\xed\xa0\xbc<script>@S@</script>" + _B),
    ("utf-8", b"\0<\0script\0>\0" + _B),
    ("utf-8", b"<meta charset=utf-7>+ADw-script+AD4-@S@+ADw-/script+AD4-" + _B),
    ("windows-1252", b"\x8b\x9b\xa0" + _B),
    ("utf-8-sig", b"\xef\xbb\xbf\xef\xbb\xbf" + _B),
)  # fmt: skip


def _in_charset(charset: str, written: bytes) -> Callable[[Fill], bytes]:
    def raw(fill: Fill) -> bytes:
        body = written
        for encoding in ("ascii", "utf-16-le", "utf-16-be", "utf-32-le", "cp037"):
            for token in ("@S@", "@U@", "@H@"):
                body = body.replace(token.encode(encoding), fill(token).encode(encoding))
        said = f"; charset={fill(charset)}" if charset else ""
        head = (
            f"From: Marian Oldroyd <{SENDER}>\nSubject: My new client\nMIME-Version: 1.0\n"
            f"Content-Type: text/html{said}\nContent-Transfer-Encoding: base64\n\n"
        )
        return head.encode().replace(b"\n", b"\r\n") + base64.encodebytes(body)

    return raw


# --- parts ----------------------------------------------------------------------------------------

_PLAIN: Final = "Content-Type: text/plain\n\nPlease cancel. I told her.\n"
_HTML: Final = f"Content-Type: text/html\n\n<p>Please cancel.{_SCRIPT}{_IMG}\n"
_BOTH: Final = (
    f"Content-Type: multipart/alternative; boundary=b\n\n--b\n{_PLAIN}--b\n{_HTML}--b--\n"
)


def _quoted(html: str) -> str:
    return quopri.encodestring(html.encode()).decode().replace("script", "scr=\nipt")


_PARTS: Final = (
    _HTML,
    _BOTH,
    f"Content-Type: text/plain\n\n{_SCRIPT}{_IMG}\n",
    f"Content-Type: text/plain\n\n<!doctype html><html><body>{_SCRIPT}{_IMG}</body></html>\n",
    f"Content-Type: text/plain; format=flowed; delsp=yes\n\n<scr \nipt>@S@</scr \nipt>{_IMG}\n",
    f"Content-Type: TEXT/HTML ; x=y\n\n{_SCRIPT}{_IMG}\n",
    f"Content-Type: text/html\nContent-Type: text/plain\n\n{_SCRIPT}{_IMG}\n",
    f"Content-Type: text/plain\nContent-Type: text/html\n\n{_SCRIPT}{_IMG}\n",
    f'content-type: text/html;\n\tcharset=\n\t"utf-8"\n\n{_SCRIPT}{_IMG}\n',
    f"Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n{_quoted(_SCRIPT)}{_IMG}\n",
    "Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n=3Cscript=3E@S@=3C/script=3E\n",
    f"Content-Type: text/html\nContent-Transfer-Encoding: 8bit, base64\n\n{_SCRIPT}{_IMG}\n",
    f"Content-Type: text/html\nContent-Transfer-Encoding: x-uuencode\n\n{_SCRIPT}{_IMG}\n",
    f"Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: binary\n\n\0{_SCRIPT}\0{_IMG}\n",
    f"Content-Type: application/xhtml+xml\n\n<html xmlns='http://www.w3.org/1999/xhtml'>{_SCRIPT}</html>\n",
    f"Content-Type: image/svg+xml\n\n<svg xmlns='http://www.w3.org/2000/svg'>{_SCRIPT}</svg>\n",
    f"Content-Type: text/xml\n\n<?xml-stylesheet href='@U@'?><x>{_SCRIPT}</x>\n",
    f"Content-Type: text/enriched\n\n<bold>{_SCRIPT}{_IMG}</bold>\n",
    f"Content-Type: text/richtext\n\n{_SCRIPT}{_IMG}\n",
    f"Content-Type: text/calendar\n\nBEGIN:VCALENDAR\nX-ALT-DESC;FMTTYPE=text/html:{_SCRIPT}\n",
    f"Content-Type: text/x-amp-html\n\n<!doctype html><html ⚡4email>{_SCRIPT}{_IMG}</html>\n",
    f"Content-Type: text/html/x\n\n{_SCRIPT}{_IMG}\n",
    f"Content-Type: multipart/alternative; boundary=b\n\n--b\n{_HTML}--b\n{_PLAIN}--b\n{_HTML}--b--\n",
    f"Content-Type: multipart/mixed; boundary=b\n\n--b\n{_PLAIN}--b\n{_HTML}--b\n{_HTML}--b--\n",
    f"Content-Type: multipart/mixed; boundary=b\n\n--b\n{_PLAIN}{_SCRIPT}\n--b\n{_HTML}",
    f"Content-Type: multipart/mixed; boundary=b; boundary=c\n\n--b\n{_HTML}--c\n{_HTML}--b--\n",
    f'Content-Type: multipart/mixed; boundary="b\n c"\n\n--b c\n{_HTML}--b c--\n',
    f"Content-Type: multipart/mixed\n\n--b\n{_HTML}--b--\n",
    f"Content-Type: multipart/mixed; boundary=b\n\n{_SCRIPT}{_IMG}\n--b\n{_HTML}--b--\n{_SCRIPT}",
    (f"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=b\n\n"
    f"--b\n{_HTML}--b--\n--b\n{_HTML}--b--\n"),
    (f'Content-Type: multipart/related; boundary=b; start="<x>"\n\n--b\n{_HTML}--b\n'
    f"Content-Type: text/html\nContent-ID: <x>\n\n<img src=cid:x>{_IMG}\n--b--\n"),
    ("Content-Type: multipart/related; boundary=b\n\n--b\nContent-Type: text/html\n\n"
    f"<img src=cid:s><img src='cid:s\"><script>@S@</script>'><object data=cid:s></object>{_IMG}\n"
    "--b\nContent-Type: image/svg+xml\nContent-ID: <s>\n\n"
    "<svg xmlns='http://www.w3.org/2000/svg' onload='@S@'><image href='@U@'/></svg>\n--b--\n"),
    ("Content-Type: multipart/related; boundary=b\n\n--b\nContent-Type: text/html\n\n"
    f"<img src=cid:p><img src=CID:%70><iframe src=cid:p></iframe>{_IMG}\n--b\n"
    "Content-Type: image/png\nContent-ID: <p>\nContent-Location: @U@\n\n"
    "<svg xmlns='http://www.w3.org/2000/svg' onload='@S@'/>\n--b--\n"),
    ("Content-Type: multipart/related; boundary=b\n\n--b\nContent-Type: text/html\n\n"
    f"<img src=cid:g alt='x onerror=@S@'><a href=cid:g>click</a>{_IMG}\n--b\n"
    "Content-Type: text/html\nContent-ID: <g>\n\nGIF89a/*<script>@S@</script>*/\n--b--\n"),
    f"Content-Type: message/rfc822\n\nFrom: x@y.example\nSubject: {_IMG}\n{_HTML}",
    ("Content-Type: multipart/mixed; boundary=o\n\n--o\n"
    f"{_PLAIN}--o\nContent-Type: message/rfc822\n\nFrom: x@y.example\nSubject: {_SCRIPT}\n{_BOTH}\n--o--\n"),
    f"Content-Type: message/partial; number=1; total=2\n\nSubject: x\n{_HTML}",
    ('Content-Type: message/external-body; access-type=URL; URL="@U@"\n\nContent-Type: text/html\n\n'
    f"{_IMG}\n"),
    "Content-Type: message/delivery-status\n\nReporting-MTA: dns; " + _IMG + "\n",
    (f"Content-Type: multipart/mixed; boundary=b\n\n--b\n{_PLAIN}\nbegin 644 {_IMG}.html\n"
    "#0V%T\n`\nend\n--b--\n"),
    f"Content-Type: multipart/x-mixed-replace; boundary=b\n\n--b\n{_HTML}--b\n{_HTML}--b--\n",
    f"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: {_IMG}\n{_HTML}--b--\n",
    (f"Content-Type: multipart/signed; protocol=x; boundary=b\n\n--b\n{_HTML}--b\n"
    f"Content-Type: application/pgp-signature\n\n{_SCRIPT}\n--b--\n"),
    f"Content-Type: text/html\nContent-Disposition: attachment; filename=x.html\n\n{_SCRIPT}{_IMG}\n",
    f"Content-Type: text/html\nContent-Disposition: inline; filename=x.html\n\n{_SCRIPT}{_IMG}\n",
    f"Content-Type: application/octet-stream; name=x.html\n\n{_SCRIPT}{_IMG}\n",
    f"Content-Type: text/plain\n\nOn Monday, Ana wrote:\n> {_SCRIPT}\n> {_IMG}\n\n-- \n{_SCRIPT}{_IMG}\n",
    "Content-Type: text/plain\n\nhttp://@H@/ https://@H@/x javascript:@S@ www.@H@ x@@H@ cancel\n",
)  # fmt: skip

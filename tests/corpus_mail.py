"""Corpus messages as mail programs would send them: varied MIME for benchmarks and long runs.

The words are the corpora's; what varies is everything around them: charset, transfer encoding,
HTML beside or instead of text, history above or below, attachments, the headers of relays.
"""

import html
import json
import random
from collections.abc import Iterator
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent.parent / "models" / "corpus"
AUTHSERV_ID = "mx.support.example"


def corpus_records() -> list[dict[str, Any]]:
    """Every labelled corpus message, in file order."""
    files = sorted(CORPUS.glob("t*.jsonl"))
    return [
        json.loads(line) for file in files for line in file.read_text("utf-8").split("\n") if line
    ]


def mail(count: int, *, seed: int = 7) -> Iterator[bytes]:
    """*count* distinct messages; the same seed gives the same bytes."""
    rng = random.Random(seed)
    records = corpus_records()
    for number in range(count):
        time_round, place = divmod(number, len(records))
        record = records[place]
        if time_round:  # other therapists write alike: else cases would gather what no mailbox has
            sender = f"{time_round}.{record['from_email']}"
            record = {**record, "from_email": sender}
        yield compose(record, number, rng)


def compose(record: dict[str, Any], number: int, rng: random.Random) -> bytes:
    """One corpus message as RFC 5322 bytes, distinct by *number*."""
    message = EmailMessage(policy=SMTP)
    domain = record["from_email"].partition("@")[2]
    message["Return-Path"] = f"<{record['from_email']}>"
    message["Authentication-Results"] = (
        f"{AUTHSERV_ID}; dkim=pass header.d={domain}; dmarc=pass header.from={domain}"
    )
    for hop in range(rng.randint(1, 4)):
        message["Received"] = (
            f"from relay{hop}.{domain} (relay{hop}.{domain} [192.0.2.{hop + 1}]) by {AUTHSERV_ID} "
            f"with ESMTPS id {number:08x}{hop}; {_date(record)}"
        )
    message["From"] = f"{_ascii(record['from_name'])} <{record['from_email']}>"
    message["To"] = "support@therapy.example"
    message["Subject"] = " ".join(record["subject"].split())
    message["Date"] = _date(record)
    message["Message-ID"] = f"<{number}.{record['id']}@{domain}>"
    if record["role"] == "automated":
        message["Auto-Submitted"] = "auto-replied"
    _fill(message, record, number, rng)
    return message.as_bytes()


def _fill(message: EmailMessage, record: dict[str, Any], number: int, rng: random.Random) -> None:
    text = _plain(record)
    encoding = rng.choice(["8bit", "quoted-printable", "base64", "quoted-printable"])
    charset = rng.choice(["utf-8", "utf-8", "windows-1252", "iso-8859-1"])
    shape = number % 5
    if shape == 0:  # HTML only, as some phones send it
        message.set_content(_html(record), subtype="html", cte="quoted-printable")
        return
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        charset = "utf-8"
    message.set_content(text, charset=charset, cte=encoding)
    if shape in {1, 2}:
        message.add_alternative(_html(record), subtype="html", cte="quoted-printable")
    if shape == 3 and number % 3 == 0:
        message.add_attachment(
            rng.randbytes(2000), maintype="application", subtype="pdf", filename="saq.pdf"
        )


def _plain(record: dict[str, Any]) -> str:
    parts = [record["new_text"]]
    if record["signature"]:
        parts.append("-- \n" + record["signature"])
    if record["quoted"]:
        parts.append(record["quoted"])
    return "\n\n".join(parts) + "\n"


def _html(record: dict[str, Any]) -> str:
    paragraphs = "".join(
        f'<p class="MsoNormal">{html.escape(p).replace(chr(10), "<br>")}</p>'
        for p in (record["new_text"] + "\n\n" + record["signature"]).split("\n\n")
    )
    quoted = html.escape(record["quoted"]).replace("\n", "<br>")
    history = f'<blockquote type="cite"><div>{quoted}</div></blockquote>' if quoted else ""
    return (
        '<html><head><meta charset="utf-8"><style>p.MsoNormal{margin:0;font-size:11pt}</style>'
        f"</head><body><div>{paragraphs}</div>{history}</body></html>"
    )


def _date(record: dict[str, Any]) -> str:
    return format_datetime(datetime.fromisoformat(record["sent"]))


def _ascii(name: str) -> str:
    return '"' + name.encode("ascii", "ignore").decode().replace('"', "") + '"'

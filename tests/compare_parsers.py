# ruff: noqa: T201 - the tables are what it is for
"""Tables of this project's parser beside others, over the public test messages and reply pairs.

    python tests/compare_parsers.py [--show N] [--source PART]

Messages: ours, mail-parser alone, the standard library alone. Reply pairs: exact match (white space
aside) and token F1, honouring ``signature_policy``. Reads ``../shared``; prints
nothing of the mails unless asked to with ``--show``.
"""

from __future__ import annotations

import argparse
import email
import email.policy
import hashlib
import json
import logging
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
SHARED = ROOT.parent / "shared"


def tokens(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text)


def squeezed(text: str) -> str:
    return "".join(text.split())


def f1(got: str, wanted: str) -> float:
    one, two = Counter(tokens(got)), Counter(tokens(wanted))
    if not one or not two:
        return float(one == two)
    common = sum((one & two).values())
    return 2 * common / (sum(one.values()) + sum(two.values()))


def answer(pair: dict[str, str]) -> str:
    """What our split holds to be the text that the pair's convention asks for."""
    from ingest import html, quoting

    if pair["kind"] == "html":
        rendered = html.to_text(pair["input"])
        parts = quoting.split(rendered.text, signature_lines=rendered.signature_lines)
    else:
        parts = quoting.split(pair["input"])
    policy = pair["signature_policy"]
    if policy == "keep":
        return f"{parts.new_text}\n{parts.signature}"
    if policy.startswith("strip (keeps"):
        first = parts.signature.split("\n")[0]
        return f"{parts.new_text}\n{first}" if first.startswith("-") else parts.new_text
    return parts.new_text


def compare_replies(show: int, source: str) -> None:
    path = SHARED / "mail" / "reply_pairs.jsonl"
    pairs = [json.loads(line) for line in path.read_text().splitlines()]
    scores: dict[str, list[tuple[bool, float]]] = defaultdict(list)
    for pair in pairs:
        got = answer(pair)
        exact = squeezed(got) == squeezed(pair["expected"])
        score = (exact, f1(got, pair["expected"]))
        for name in ("all", f"{pair['source']} {pair['kind']}"):
            scores[name].append(score)
        if not exact and show and source in pair["source"] + str(pair["id"]):
            show -= 1
            print(f"--- {pair['id']} {pair['source']} {pair['kind']} {pair['signature_policy']}")
            print(
                pair["input"][:1500],
                "\n  >>> wanted\n",
                pair["expected"][:700],
                "\n  >>> got\n",
                got[:900],
            )
    print(f"{'reply pairs':44}{'n':>5}{'exact':>8}{'F1':>8}")
    for name, rows in sorted(scores.items()):
        exact_share = sum(exact for exact, _ in rows) / len(rows)
        print(f"{name:44}{len(rows):5}{exact_share:8.1%}{sum(s for _, s in rows) / len(rows):8.3f}")
    for left_out in sorted({pair["source"] for pair in pairs}):
        rows = [
            s
            for name, r in scores.items()
            if name != "all" and not name.startswith(left_out)
            for s in r
        ]
        print(f"without {left_out:36}{len(rows):5}{sum(e for e, _ in rows) / len(rows):8.1%}")


@dataclass
class Reading:
    """What one parser made of one message."""

    raised: bool = False
    body: str = ""
    date: bool = False
    attachments: int = 0


def ours(content: bytes) -> Reading:
    from ingest.parsing import UnreadableEmailError, parse
    from triage.records import MessageKey, RawMessage

    key = MessageKey("s", "f", 1, 1)
    digest = hashlib.sha256(content).hexdigest()
    try:
        email = parse(RawMessage(key, datetime.now(UTC), digest, content))
    except UnreadableEmailError:
        return Reading(raised=True)
    body = f"{email.new_text}\n{email.quoted_text}\n{email.signature}"
    dated = not {"date_missing", "date_unreadable"} & set(email.defects)
    return Reading(body=body, date=dated, attachments=len(email.attachments))


def mail_parser(content: bytes) -> Reading:
    import mailparser

    try:
        mail = mailparser.parse_from_bytes(content)
        body = "\n".join(mail.text_plain) or "\n".join(mail.text_html)
        return Reading(body=body, date=mail.date is not None, attachments=len(mail.attachments))
    except Exception:  # noqa: BLE001 - what it raises is what is being counted
        return Reading(raised=True)


def standard_library(content: bytes) -> Reading:
    try:
        message = email.message_from_bytes(content, policy=email.policy.default)
        part = message.get_body(("plain", "html"))
        date = message["date"]
        return Reading(
            body=part.get_content() if part is not None else "",
            date=date is not None and date.datetime is not None,
            attachments=sum(1 for _ in message.iter_attachments()),
        )
    except Exception:  # noqa: BLE001 - as above
        return Reading(raised=True)


def has_date(content: bytes) -> bool:
    header = re.split(rb"\r?\n\r?\n", content.lstrip(), maxsplit=1)[0]
    return re.search(rb"(?im)^date:.*\d{1,2}:\d\d", header) is not None


def has_text_of_its_own(content: bytes) -> bool:
    """Whether a text that is neither a nested message's nor only tags stands in the message."""
    stack = [email.message_from_bytes(content)]
    while stack:
        part = stack.pop()
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            stack.extend(part.get_payload())
        elif part.get_content_maintype() in {"text", "multipart"}:
            data = part.get_payload(decode=True) or b""
            if re.sub(rb"(?s)<[^>]*>|\s", b"", data):
                return True
    return False


def is_damaged(body: str) -> bool:
    """Replacement characters, undecoded ISO-2022-JP, or UTF-8 read as Latin-1."""
    return bool(re.search("\ufffd|\x1b[$(]|Ã[\u0080-\u00bf©¼¶¤]|â€", body))


def compare_messages(show: int) -> None:
    readers = {"ours": ours, "mail-parser": mail_parser, "standard library": standard_library}
    totals: dict[str, Counter[str]] = {name: Counter() for name in readers}
    files = [p for p in sorted((SHARED / "mail" / "messages").rglob("*")) if p.is_file()]
    for path in files:
        content = path.read_bytes()
        readings = {name: reader(content) for name, reader in readers.items()}
        # There is text where one of them finds some that is not a nested message's.
        text = any(r.body.strip() for r in readings.values()) and has_text_of_its_own(content)
        for name, r in readings.items():
            tally = totals[name]
            tally["raised"] += r.raised
            tally["of text: body found"] += text and bool(r.body.strip())
            tally["of text: charset right"] += (
                text and bool(r.body.strip()) and not is_damaged(r.body)
            )
            tally["of dated: date kept"] += has_date(content) and r.date
            tally["attachments"] += r.attachments
            if (
                name == "ours"
                and show
                and (
                    (text and not r.body.strip())
                    or r.raised
                    or (has_date(content) and not r.date)
                    or is_damaged(r.body)
                )
            ):
                print(f"  ours: {path.name}: {r.raised=} {bool(r.body.strip())=} {r.date=}")
        totals["ours"]["n text"] += text
        totals["ours"]["n dated"] += has_date(content)
    n = totals["ours"]
    print(f"{len(files)} messages, {n['n text']} with text, {n['n dated']} with a date\n")
    rows = ("raised", "of text: body found", "of text: charset right", "of dated: date kept",
            "attachments")  # fmt: skip
    print(f"{'':26}" + "".join(f"{name:>18}" for name in readers))
    for row in rows:
        print(f"{row:26}" + "".join(f"{totals[name][row]:18}" for name in readers))
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", type=int, default=0)
    parser.add_argument("--source", default="")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    compare_messages(options.show)
    compare_replies(options.show, options.source)


if __name__ == "__main__":
    main()

# ruff: noqa: T201 - a report on the terminal is what it is for
"""Mutation fuzz of parsing: nothing but ``UnreadableEmailError``, and no mutant over 2 s of CPU.

    python tests/fuzz_parse.py --mutants 200000 [--seed 7] [--keep FOLDER]

Seeds are the public test messages under ``../shared/mail``, the corpora as varied MIME, and hostile
shapes of our own. A failing mutant is written to FOLDER, for a test of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
SHARED = ROOT.parent / "shared"

CPU_LIMIT = 2.0  # seconds per message
_TOKENS = (
    b"\r", b"\0", b"\r\n", b"\n\n", b"\xff\xfe", b"\xed\xa0\x80", b"=?utf-8?B?", b"=?utf-8?Q?=",
    b"?=", b"--", b"\n--", b"boundary=", b"charset=x-foo", b"charset=unicode_escape",
    b"charset*0*=", b"filename*0*=utf-8''%", b"Content-Type: multipart/mixed; boundary=a\n\n",
    b"begin 644 x\n", b"<", b">", b"\n> ", b"(", b'"', b";", b":", b"\\", b"From: ",
    b"\nFrom: a@b\n", b"On 1/1/2026 10:00, a wrote:\n", b"<div>", b"<blockquote>", b"&#0;",
    b"&#xD800;", b"Date: Thu, 01 Jan 99999999999 00:00:00\n",
    b"Message-ID: <[ABCDEF====@microsoft.com]>\n", b"Content-Type: text/plain; name*\n",
    b"To: (c):\n", b"Content-Transfer-Encoding: base64\n", b"Content-Type: message/rfc822\n\n",
    b"-----Original Message-----\n", b"\xe2\x80\xae", b"\xe2\x80\x8b", b"\x1b$B", b"-- \n",
    b"=\n", b"=ZZ", b"+ADw-",
)  # fmt: skip


@dataclass
class Tally:
    """What a run has seen: outcomes, the slowest mutant, and the failures with their bytes."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    failures: list[tuple[str, bytes]] = field(default_factory=list)


def seeds() -> list[bytes]:
    folder = SHARED / "mail" / "messages"
    files = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
    try:
        from corpus_mail import mail

        files += list(mail(40))
    except (ImportError, OSError):
        pass
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" for _ in range(8))
    return [
        *(f for f in files if len(f) < 60_000),
        nested,
        b"Subject: x\rFrom: t@x\nFrom: e@x\n\nhi",
    ]


def mutants(count: int, seed: int) -> Iterator[bytes]:
    rng = random.Random(seed)
    pool = seeds()
    for _ in range(count):
        data = bytearray(rng.choice(pool))
        for _ in range(rng.randint(1, 6)):
            _mutate(data, rng, pool)
        yield bytes(data)


def _mutate(data: bytearray, rng: random.Random, pool: list[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    if rng.random() < 0.5:  # headers decide most
        at = rng.randrange(min(len(data), 600) + 1)
    kind = rng.randrange(7)
    if kind == 0:
        data[at : at + 1] = bytes([rng.randrange(256)])
    elif kind == 1:
        data[at:at] = rng.choice(_TOKENS)
    elif kind == 2:
        del data[at : at + rng.randint(1, 40)]
    elif kind == 3:
        piece = data[at : at + rng.randint(1, 200)]
        data[at:at] = piece * rng.randint(1, 4)
    elif kind == 4:
        other = rng.choice(pool)
        cut = rng.randrange(len(other) + 1)
        data[at:at] = other[cut : cut + rng.randint(1, 400)]
    elif kind == 5:
        del data[at:]
    else:
        data[at : at + 4] = rng.choice(_TOKENS)


def attempt(content: bytes, tally: Tally) -> None:
    from ingest.parsing import UnreadableEmailError, _Judge, _parse
    from triage.records import MessageKey, RawMessage

    raw = RawMessage(
        MessageKey("fuzz", "f", 1, 1),
        datetime(2026, 1, 1, tzinfo=UTC),
        hashlib.sha256(content).hexdigest(),
        content,
    )
    started = time.process_time()
    try:
        # The inner step: what ``parse`` would fold into "parser_failed" is a finding here.
        email = _parse(raw, _Judge("mx.example", checks_dkim=False, dnsfunc=None))
        tally.outcomes["parsed"] += 1
        problem = check(email)
        if problem:
            tally.failures.append((problem, content))
    except UnreadableEmailError as error:
        tally.outcomes[error.cause] += 1
    except Exception:  # noqa: BLE001 - any other exception is a finding
        tally.failures.append((traceback.format_exc(limit=-3), content))
    spent = time.process_time() - started
    tally.slowest = max(tally.slowest, spent)
    if spent > CPU_LIMIT:
        tally.failures.append((f"{spent:.1f} s of CPU", content))


def check(email: object) -> str:
    """What must hold for every parsed message, or "" where it does."""
    from ingest.defects import DEFECTS

    texts = [email.new_text, email.quoted_text, email.signature, email.subject, email.message_id]
    texts += [email.sender.name, email.sender.email, *(a.name for a in email.attachments)]
    texts += [a.name + a.email for a in (*email.reply_to, *email.recipients)]
    texts += [email.in_reply_to, *email.references, email.automatic]
    for text in texts:
        if "\0" in text:
            return "a NUL got through"
        try:
            text.encode()
        except UnicodeEncodeError:
            return "a lone surrogate got through"
    unknown = set(email.defects) - set(DEFECTS)
    if unknown:
        return f"defects without a sentence: {sorted(unknown)}"
    return "" if email.sent_at.tzinfo else "a naive time"


def campaign(count: int, seed: int) -> Tally:
    tally = Tally()
    for content in mutants(count, seed):
        attempt(content, tally)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    started = time.perf_counter()
    tally = campaign(options.mutants, options.seed)
    seconds = time.perf_counter() - started
    print(
        f"{options.mutants} mutants in {seconds:.0f} s, slowest {tally.slowest:.2f} s, "
        f"{len(tally.failures)} failures"
    )
    print(dict(tally.outcomes))
    for problem, count in Counter(
        p.strip().splitlines()[-1] for p, _ in tally.failures
    ).most_common(20):
        print(f"{count:6} {problem}")
    for number, (problem, content) in enumerate(tally.failures[:200]):
        if number < 5:
            print(problem)
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / f"{hashlib.sha256(content).hexdigest()[:12]}.eml").write_bytes(content)
    sys.exit(bool(tally.failures))


if __name__ == "__main__":
    main()

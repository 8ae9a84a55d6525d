# ruff: noqa: T201 - a report on the terminal is what it is for
"""Mutation fuzz of parse, split and understand: nothing raised, nothing slow, nothing lost.

    python tests/fuzz_parse.py --mutants 200000 [--seed 7] [--slice N] [--keep FOLDER]

Of every mutant: only ``UnreadableEmailError`` is raised; parsing and reading it take no more than
2 s of processor time each; what comes out can be stored and printed; every word of its body is in a
text, in an attachment, or under a defect that says so. Seeds are the public test messages under
``../shared/mail``, the golden messages of ``tests/data/mail``, the corpora as varied MIME, and
hostile shapes of our own. A failing mutant is saved in FOLDER whole and as short as it can be made.
"""

from __future__ import annotations

import argparse
import email as standard_library
import hashlib
import html
import os
import random
import re
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
SHARED = ROOT.parent / "shared"

if TYPE_CHECKING:
    from models.reading import Reader
    from triage.records import Email

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
    flags: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=lambda: {"parse": 0.0, "read": 0.0})
    failures: list[tuple[str, bytes]] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.outcomes += other.outcomes
        self.flags += other.flags
        self.failures += other.failures
        for stage, seconds in other.slowest.items():
            self.slowest[stage] = max(self.slowest[stage], seconds)

    def took(self, stage: str, seconds: float, content: bytes) -> None:
        self.slowest[stage] = max(self.slowest[stage], seconds)
        if seconds > CPU_LIMIT:
            self.failures.append((f"{stage}: over {CPU_LIMIT} s of CPU", content))


def seeds() -> list[bytes]:
    folder = SHARED / "mail" / "messages"
    files = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
    files += [path.read_bytes() for path in sorted((ROOT / "tests/data/mail").glob("*.eml"))]
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


@lru_cache(maxsize=1)
def _seeds() -> list[bytes]:
    return seeds()


def mutants(count: int, seed: int | str) -> Iterator[bytes]:
    rng = random.Random(seed)
    pool = _seeds()
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


def attempt(content: bytes, tally: Tally) -> Email | None:
    """Parse one mutant and look at what came out."""
    from ingest.parsing import UnreadableEmailError

    started = time.process_time()
    try:
        email = _parsed(content)
    except UnreadableEmailError as error:
        tally.outcomes[error.cause] += 1
        return None
    except Exception:  # noqa: BLE001 - any other exception is a finding
        tally.outcomes["raised"] += 1
        tally.failures.append((traceback.format_exc(limit=-3), content))
        return None
    finally:
        tally.took("parse", time.process_time() - started, content)
    tally.outcomes["parsed"] += 1
    problem = check(email) or lost(email, content, tally.flags)
    if problem:
        tally.failures.append((problem, content))
    return email


def _parsed(content: bytes) -> Email:
    from ingest.parsing import ParseOptions, _parse
    from triage.records import MessageKey, RawMessage

    key = MessageKey("fuzz", "f", 1, 1)
    digest = hashlib.sha256(content).hexdigest()
    raw = RawMessage(key, datetime(2026, 1, 1, tzinfo=UTC), digest, content)
    # The inner step: what ``parse`` would fold into "parser_failed" is a finding here.
    return _parse(raw, ParseOptions(authserv_id="mx.example"))


def understand(reader: Reader, read: Sequence[tuple[Email, bytes]], tally: Tally) -> None:
    """Read a batch; where it fails or is slow, each of its mutants alone."""
    started = time.process_time()
    try:
        found = reader.read([email for email, _ in read])
        spent = time.process_time() - started
        tally.outcomes["understood"] += len(found)
        if spent < CPU_LIMIT / 2 or len(read) == 1:
            for _, content in read[:1]:
                tally.took("read", spent, content)  # of a batch: no mutant in it took longer
            return
        tally.outcomes["understood"] -= len(found)
    except Exception:  # noqa: BLE001 - any exception is a finding
        # Of a batch as well: what fails together need not fail alone.
        tally.failures.append((traceback.format_exc(limit=-3), read[0][1]))
        if len(read) == 1:
            return
    for one in read:
        understand(reader, [one], tally)


def check(email: Email) -> str:
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


# --- nothing is lost ------------------------------------------------------------------------------

#: Defects that own up to text not shown as it was sent.
OWNED_UP = frozenset((
    "alternative_differs", "base64_damaged", "boundary_inferred", "charset_unknown",
    "charset_wrong", "control_characters", "hidden_text", "html_in_text", "html_too_deep",
    "html_too_large", "invisible_characters", "multipart_without_parts", "signed_inline",
    "text_cut", "text_damaged", "text_outside_parts", "transfer_encoding_unknown",
    "transfer_encoding_wrong", "uuencoded_file",
))  # fmt: skip
_ENCODINGS = {"7bit", "8bit", "binary", "quoted-printable", "base64"}
#: The share of its words by which the HTML form may go beyond the plain one without a remark.
MAY_DIFFER = 0.1
_WORD = re.compile(rb"[A-Za-z]{5,}")
_UNSEEN = re.compile(rb"(?is)<!--.*?(?:-->|\Z)|<(style|script|title|head)\b.*?(?:</\1|\Z)")
_MARKUP = re.compile(rb"(?s)<[^<>]*>?")


def lost(email: Email, content: bytes, flags: Counter[str]) -> str:
    """Words of the body that went nowhere, by the standard library's reading; "" for none."""
    from ingest.limits import normalised

    shown = "".join(f"{email.new_text}{email.quoted_text}{email.signature}".split()).lower()
    missing = []
    unlisted = -len(email.attachments)
    for part in _leaves(standard_library.message_from_bytes(normalised(content).content)):
        words = _words(part)
        # Without its first letter: a damaged two-byte charset takes that along.
        gone = [word for word in words if word.lower()[1:] not in shown]
        if part.get_content_subtype() == "html" and len(gone) <= MAY_DIFFER * len(words):
            continue
        unlisted += part.get_content_maintype() not in {"text", "multipart"}
        unlisted += bool(gone)
        missing += gone
    owned_up = OWNED_UP & set(email.defects)
    flags.update(owned_up)
    flags["whole"] += not missing
    # A part that is not read must be listed: each attachment makes up for one.
    return f"lost: {len(missing)} words" if missing and unlisted > 0 and not owned_up else ""


def _leaves(
    message: standard_library.message.Message,
) -> Iterator[standard_library.message.Message]:
    if message.get_content_maintype() == "multipart" and message.is_multipart():
        if str(message.get("content-disposition", "")).strip().lower().startswith("attachment"):
            return
        for child in message.get_payload():
            yield from _leaves(child)
    else:
        yield message


def _words(part: standard_library.message.Message) -> list[str]:
    if part.get_content_maintype() not in {"text", "multipart"} or part.is_multipart():
        return []
    # Not stripped: the standard library does not either, and would take "base64\f" for plain text.
    if str(part.get("content-transfer-encoding", "7bit")).lower() not in _ENCODINGS:
        return []  # a spelling that we know and the standard library does not
    try:
        data = part.get_payload(decode=True) or b""
    except (ValueError, LookupError, AssertionError, TypeError):
        return []  # the standard library raises where we must not: nothing to compare with
    if part.get_content_subtype() == "html":
        data = _shown_of(data)
    return [word.decode() for word in _WORD.findall(data)]


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: set[str] = set()

    def handle_data(self, data: str) -> None:
        self.words.update(re.findall(r"[A-Za-z]{5,}", data))


def _shown_of(data: bytes) -> bytes:
    """Words that two ways of taking the tags off agree on; programs differ about broken tags."""
    reader = _Text()
    try:
        reader.feed(data.decode("latin-1"))
        reader.close()
    except (AssertionError, ValueError):
        return b""
    plain = html.unescape(_MARKUP.sub(b" ", _UNSEEN.sub(b" ", data)).decode("latin-1"))
    return " ".join(reader.words & set(re.findall(r"[A-Za-z]{5,}", plain))).encode()


# --- campaigns ------------------------------------------------------------------------------------

SLICE = 500  # mutants that share a random seed, whatever process makes them
READ_AT_ONCE = 25


def campaign(count: int, seed: int | str, reader: Reader | None = None) -> Tally:
    """*count* mutants in this process; with a *reader* they are understood as well."""
    tally = Tally()
    parsed: list[tuple[Email, bytes]] = []
    for content in mutants(count, seed):
        _alarm()
        email = attempt(content, tally)
        if email is not None and reader is not None:
            parsed.append((email, content))
        if reader is not None and len(parsed) == READ_AT_ONCE:
            understand(reader, parsed, tally)
            parsed = []
    if reader is not None and parsed:
        understand(reader, parsed, tally)
    signal.setitimer(signal.ITIMER_PROF, 0)
    return tally


def _alarm() -> None:
    # Nobody handles SIGPROF: what hangs, in C or not, ends its process, and the slice is named.
    signal.setitimer(signal.ITIMER_PROF, 60)


def one_slice(seed: int, number: int, count: int, *, reads: bool) -> Tally:
    # The transformer takes twenty times as long: it reads every fiftieth slice, 4,000 mutants.
    return campaign(count, f"{seed}/{number}", _reader(fast=number % 50 != 0) if reads else None)


@lru_cache(maxsize=1)
def _reader(*, fast: bool) -> Reader:
    from models.reading import load_reader

    return load_reader(fast=fast)


def spread(
    slices: Iterable[tuple[int, int]], seed: int, processes: int, minutes: float, *, reads: bool
) -> tuple[Tally, int]:
    """Slices, as (number, mutants), over all cores; what they came to and how many were done."""
    from ingest.workers import process_pool

    total, done = Tally(), 0
    ends = time.monotonic() + 60 * minutes
    with process_pool(processes, ["ingest.parsing", "models.reading", "spacy"]) as pool:
        futures = {
            pool.submit(one_slice, seed, number, count, reads=reads): number
            for number, count in slices
        }
        for done, future in enumerate(as_completed(futures), 1):
            try:
                total.add(future.result())
            except BrokenExecutor:
                problem = f"a mutant ended its process, in or before slice {futures[future]}"
                total.failures.append((problem, b""))
            if time.monotonic() > ends:
                pool.shutdown(cancel_futures=True)
                break
            if not done % 20:
                figures = f"{total.outcomes.total()} outcomes, {len(total.failures)} failures"
                print(f"{done}/{len(futures)} slices, {figures}", file=sys.stderr, flush=True)
    return total, done


def shortest(content: bytes, problem: str, tries: int = 1500) -> bytes:
    """*content* cut down as far as it still fails in the same way."""
    wanted = _kind(problem)

    def fails(candidate: bytes) -> bool:
        tally = Tally()
        email = attempt(candidate, tally)
        if email is not None and not tally.failures:
            understand(_reader(fast=False), [(email, candidate)], tally)
        return any(_kind(found) == wanted for found, _ in tally.failures)

    size = len(content) // 2
    while size and fails(content):
        at = 0
        while at < len(content) and tries:
            tries -= 1
            candidate = content[:at] + content[at + size :]
            if fails(candidate):
                content = candidate
            else:
                at += size
        size = size // 2 if tries else 0
    return content


def _kind(problem: str) -> str:
    return re.sub(r"\d+", "n", problem.strip().splitlines()[-1])[:80]


def save(failures: Sequence[tuple[str, bytes]], folder: Path) -> None:
    """A few of each kind, whole and shortened, each beside what went wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds: Counter[str] = Counter()
    for problem, content in failures:
        kinds[_kind(problem)] += 1
        if kinds[_kind(problem)] > 3 or not content:
            continue
        stem = folder / hashlib.sha256(content).hexdigest()[:12]
        stem.with_suffix(".eml").write_bytes(content)
        stem.with_suffix(".txt").write_text(problem)
        if "CPU" not in problem:
            stem.with_suffix(".min.eml").write_bytes(shortest(content, problem))


def report(count: int, tally: Tally, seconds: float, say: Callable[[str], None] = print) -> None:
    causes = {
        k: n for k, n in tally.outcomes.items() if k not in {"parsed", "understood", "raised"}
    }
    kinds = Counter(_kind(problem) for problem, _ in tally.failures)
    rows: list[tuple[str, object]] = [
        ("mutants", count),
        ("wall-clock, s", f"{seconds:.0f}"),
        ("parsed", tally.outcomes["parsed"]),
        ("understood", tally.outcomes["understood"]),
        ("quarantined", sum(causes.values())),
        *((f"  {cause}", number) for cause, number in Counter(causes).most_common()),
        ("every body word found", tally.flags.pop("whole", 0)),
        ("slowest to parse, s CPU", f"{tally.slowest['parse']:.2f}"),
        ("slowest to read, s CPU", f"{tally.slowest['read']:.2f}"),
        (f"over {CPU_LIMIT:.0f} s CPU", sum(n for k, n in kinds.items() if "CPU" in k)),
        ("lost without a flag", sum(n for k, n in kinds.items() if k.startswith("lost"))),
        ("failures", len(tally.failures)),
        *((f"  {kind}", number) for kind, number in kinds.most_common(20)),
    ]
    for name, value in rows:
        say(f"{name:44}{value!s:>12}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--slice", type=int, help="Only this one")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=600, help="Report after so long")
    parser.add_argument("--parse-only", action="store_true")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"))
    options = parser.parse_args()
    started = time.perf_counter()
    slices = [(n, SLICE) for n in range(-(-options.mutants // SLICE))]
    if options.slice is not None:
        slices = [(options.slice, SLICE)]
    reads = not options.parse_only
    tally, done = spread(slices, options.seed, options.processes, options.minutes, reads=reads)
    report(SLICE * done, tally, time.perf_counter() - started)
    if tally.failures:
        save(tally.failures, options.keep)
        print(f"failing mutants are in {options.keep}")
    sys.exit(bool(tally.failures))


if __name__ == "__main__":
    main()

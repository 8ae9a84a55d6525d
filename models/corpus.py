"""The corpora: labelled messages, the words each label rests on, and single sentences.

Everything is checked while it is read; the first problem stops with one line that names file, line,
field, value and what is allowed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from triage.labels import CODE_SETS, CODES, ROLES
from triage.records import Address, Authentication, Email, Request

#: The corpora that ship with the code.
CORPUS_FOLDER: Final = Path(__file__).parent / "corpus"

_TEXTS: Final = (
    "id", "from_name", "from_email", "sent", "subject", "new_text", "signature", "quoted",
)  # fmt: skip
_BANKS: Final = (
    "sentences_notification", "sentences_reasons", "sentences_needs", "sentences_risk",
)  # fmt: skip
#: A phrase teaches its words, but nobody writes it alone; chosen by inner cross-validation.
_PHRASE_WEIGHT: Final = 0.3
_UNVOUCHED: Final = Authentication(passed=False, reason="corpus")


class CorpusError(ValueError):
    """A corpus cannot be used; the message is one line that names the place and the remedy."""


@dataclass(frozen=True, slots=True)
class Quotes:
    """The words that one request's labels rest on; "" where the evidence file names none."""

    kind: str = ""
    session_time: str = ""
    flags: Mapping[str, str] = field(default_factory=dict)  # field name to quote
    codes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # field to code to quote


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled message. ``quotes`` runs parallel to ``requests``."""

    file: str  # the name of the corpus file without its suffix, such as "t1"
    id: str
    role: str
    email: Email
    requests: tuple[Request, ...]
    quotes: tuple[Quotes, ...]
    doubted: bool  # a second reader questioned one of the labels

    @property
    def is_supplement(self) -> bool:
        """Whether it was written for a gap (s1, s2, …): learned from, no figure is told of it."""
        return _is_supplement(self.file)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A labelled line of a sentence bank, or a phrase of the lexicon.

    ``labels`` maps field to code(s) or flag; a field that is not there is not known.
    """

    text: str
    labels: Mapping[str, Any]
    weight: float = 1.0  # how much it counts beside a whole sentence


@dataclass(frozen=True, slots=True)
class Corpus:
    examples: tuple[Example, ...]
    sentences: tuple[Sentence, ...]
    digest: str  # SHA-256 over the names and bytes of all files read

    @property
    def files(self) -> tuple[str, ...]:
        """The message files in natural order, t1 to t12, and then the supplements from s1 on."""
        return tuple(sorted({e.file for e in self.examples}, key=_natural))

    @property
    def tested(self) -> tuple[str, ...]:
        """The files that figures are told of: all but the supplements, which are ours."""
        return tuple(file for file in self.files if not _is_supplement(file)) or self.files


def _is_supplement(file: str) -> bool:
    return file.startswith("s")


def _natural(file: str) -> tuple[bool, int, str]:
    return _is_supplement(file), len(file), file


def load_corpus(folder: Path = CORPUS_FOLDER) -> Corpus:
    """All corpora of *folder*, checked.

    Evidence and sentence banks may be missing; message files may not. Raises CorpusError.
    """
    found = [*folder.glob("t*.jsonl"), *folder.glob("s[0-9]*.jsonl")]
    paths = sorted(found, key=lambda p: _natural(p.stem))
    if not paths:
        raise CorpusError(f"{folder}: no corpus file; expected t1.jsonl, t2.jsonl, …")
    banks = _banks(folder)
    evidence = [p for p in (folder / "evidence" / path.name for path in paths) if p.exists()]
    lexicon = [p for p in (folder / "lexicon.json",) if p.exists()]
    bank = [s for path in banks for s in _sentences(path)]
    return Corpus(
        examples=tuple(e for path in paths for e in _examples(path)),
        sentences=(*bank, *(s for path in lexicon for s in _phrases(path))),
        digest=_digest(folder, [*paths, *evidence, *banks, *lexicon]),
    )


def load_messages(path: Path) -> list[Example]:
    """The labelled messages of one file in the form of the corpora, checked. Raises CorpusError."""
    return list(_examples(path))


def email_of(record: Mapping[str, Any]) -> Email:
    """The corpus record as the parser would hand it over; nobody vouches for its sender."""
    return Email(
        message_id=record["id"],
        sender=Address(record["from_name"], record["from_email"].lower()),
        reply_to=(),
        recipients=(),
        authentication=_UNVOUCHED,
        sent_at=datetime.fromisoformat(record["sent"]),
        subject=record["subject"],
        new_text=record["new_text"],
        quoted_text=record["quoted"],
        signature=record["signature"],
        in_reply_to=record.get("reply_to") or "",
    )


def _digest(folder: Path, paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                record = json.loads(line)
            except ValueError as error:
                raise CorpusError(f"{where}: not JSON ({error})") from None
            if not isinstance(record, dict):
                raise CorpusError(f"{where}: one JSON object is wanted on each line")
            yield where, record


def _examples(path: Path) -> Iterator[Example]:
    evidence = _evidence(path.parent / "evidence" / path.name)
    seen: set[str] = set()
    for where, record in _lines(path):
        _check_message(where, record, seen)
        requests = tuple(
            _request(f"{where}: request {n}", fields)
            for n, fields in enumerate(record["requests"], 1)
        )
        quotes, doubted = evidence.get(record["id"], ((), False))
        if quotes and len(quotes) != len(requests):
            raise CorpusError(f"{where}: {len(requests)} requests, {len(quotes)} in its evidence")
        yield Example(
            file=path.stem,
            id=record["id"],
            role=record["role"],
            email=email_of(record),
            requests=requests,
            quotes=quotes or (Quotes(),) * len(requests),
            doubted=doubted,
        )


def _check_message(where: str, record: dict[str, Any], seen: set[str]) -> None:
    for name in _TEXTS:
        if not isinstance(record.get(name), str):
            raise CorpusError(f"{where}: {name} {record.get(name)!r}; a string is wanted")
    _check_code(where, "role", record.get("role"), ROLES)
    try:
        sent = datetime.fromisoformat(record["sent"])
    except ValueError:
        sent = datetime.min  # noqa: DTZ901 - naive on purpose: reported on the next line
    if sent.tzinfo is None:
        raise CorpusError(f"{where}: sent {record['sent']!r}; ISO 8601 with an offset is wanted")
    if record["id"] in seen:
        raise CorpusError(f"{where}: id {record['id']!r} is there already; ids are unique")
    seen.add(record["id"])
    if not isinstance(record.get("requests"), list) or not record["requests"]:
        raise CorpusError(f"{where}: requests missing; a list of at least one is wanted")


def _check_code(where: str, name: str, value: object, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise CorpusError(f"{where}: {name} {value!r}; allowed: {', '.join(allowed)}")


def _check_codes(where: str, fields: Mapping[str, Any]) -> None:
    for name, allowed in CODE_SETS.items():
        values = fields.get(name)
        if not isinstance(values, list):
            raise CorpusError(f"{where}: {name} {values!r}; a list of codes is wanted")
        for value in values:
            _check_code(where, name, value, allowed)
    for name in ("alternatives_requested", "guarantee_asked"):
        if not isinstance(fields.get(name), bool):
            raise CorpusError(f"{where}: {name} {fields.get(name)!r}; allowed: true, false")


def _request(where: str, fields: Mapping[str, Any]) -> Request:
    for name, allowed in CODES.items():
        _check_code(where, name, fields.get(name), allowed)
    _check_codes(where, fields)
    ids = fields.get("session_ids")
    if not isinstance(ids, list) or not all(isinstance(i, str) for i in ids):
        raise CorpusError(
            f"{where}: session_ids {ids!r}; a list of ids such as HT-204518 is wanted"
        )
    codes: dict[str, Any] = {name: fields[name] for name in CODES}
    sets: dict[str, Any] = {name: tuple(fields[name]) for name in CODE_SETS}
    return Request(
        session_ids=tuple(ids),
        client_ref=fields.get("client_ref"),
        session_time=fields.get("session_time"),
        notification_evidence=fields.get("notification_evidence") or "",
        alternatives_requested=fields["alternatives_requested"],
        guarantee_asked=fields["guarantee_asked"],
        **codes,
        **sets,
    )


def _evidence(path: Path) -> dict[str, tuple[tuple[Quotes, ...], bool]]:
    if not path.exists():
        return {}
    found = {}
    for where, record in _lines(path):
        requests = record.get("requests")
        if not isinstance(record.get("id"), str) or not isinstance(requests, list):
            raise CorpusError(f"{where}: id and requests are wanted")
        found[record["id"]] = (
            tuple(_quotes(where, fields) for fields in requests),
            bool(record.get("doubts")),
        )
    return found


def _quotes(where: str, fields: Mapping[str, Any]) -> Quotes:
    for name, allowed in CODE_SETS.items():
        for code in fields.get(name) or {}:
            _check_code(where, name, code, allowed)
    flags = ("client_agreement", "alternatives_requested", "guarantee_asked", "risk")
    return Quotes(
        kind=fields.get("kind") or "",
        session_time=fields.get("session_time") or "",
        flags={name: fields[name] for name in flags if fields.get(name)},
        codes={name: dict(fields[name]) for name in CODE_SETS if fields.get(name)},
    )


def _banks(folder: Path) -> list[Path]:
    found = [path for stem in _BANKS for path in sorted(folder.glob(f"{stem}*.jsonl"))]
    for path in sorted({*folder.glob("sentences_*.jsonl")} - {*found}):
        allowed = ", ".join(f"{stem}*.jsonl" for stem in _BANKS)
        raise CorpusError(f"{path}: no bank has such a name; allowed: {allowed}")
    return found


def _sentences(path: Path) -> Iterator[Sentence]:
    on_notification = path.stem.startswith("sentences_notification")
    for where, record in _lines(path):
        if not isinstance(record.get("text"), str) or not record["text"].strip():
            raise CorpusError(f"{where}: text {record.get('text')!r}; a sentence is wanted")
        if on_notification:
            _check_code(where, "label", record.get("label"), CODES["client_notification"])
            agreement = record.get("client_agreement")
            _check_code(where, "client_agreement", agreement, CODES["client_agreement"])
            labels = {"client_notification": record["label"], "client_agreement": agreement}
        else:
            _check_codes(where, record)
            _check_code(where, "risk", record.get("risk"), CODES["risk"])
            names = (*CODE_SETS, "alternatives_requested", "guarantee_asked", "risk")
            labels = {name: record[name] for name in names}
        yield Sentence(record["text"], labels)


def _phrases(path: Path) -> Iterator[Sentence]:
    """Every phrase of the lexicon as a short sentence that says its code and no other."""
    lexicon = json.loads(path.read_text(encoding="utf-8"))
    nothing: dict[str, Any] = {name: [] for name in CODE_SETS}
    for name, codes in lexicon.items():
        _check_code(str(path), "field", name, tuple(CODE_SETS))
        for code, lists in codes.items():
            _check_code(str(path), name, code, CODE_SETS[name])
            for phrase in lists.get("phrases", ()):
                yield Sentence(phrase, nothing | {name: [code]}, _PHRASE_WEIGHT)

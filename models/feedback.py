"""Learning from staff: verdicts become training rows with provenance, under a guard.

A row is a message about which people have settled every ask, in one mail, with labels that are the
model's as corrected. Rows are never made of half a message, nor of a correction whose words nobody
marked: the sentence would be taught as saying nothing.

The guard is against poison: whoever writes much, or clicks much, must not decide what a label
means.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from models.corpus import Corpus, Example, Quotes
from models.handover import Judgement, StoredCase
from models.predictions import request_from
from triage.labels import CODE_SETS
from triage.records import ERASED_IN_PART, Request, request_fields
from triage.splitting import CAREFUL
from triage.verdicts import Correction

#: The name that staff's rows have among the corpus files, and the file that says whose they are.
STAFF: Final = "staff"
STAFF_ROWS: Final = "staff_rows.json"
#: What a person does when the reading, as corrected, is right.
SETTLES: Final = frozenset(("approve", "refer", "note_reason", "send_back", "correct", "general"))
#: After these the case is another request: what was settled before is not settled now.
REGROUPS: Final = frozenset(("split", "merge"))
#: The largest share of one class that may come from one sender, and from one colleague.
SENDER_CAP: Final = 0.2
COLLEAGUE_CAP: Final = 0.5
#: So few rows of a class are let through whoever they come from.
FREE: Final = 3
_CAPS: Final = (("sender", SENDER_CAP), ("by", COLLEAGUE_CAP))


@dataclass(frozen=True, slots=True)
class StaffRow:
    """A message to learn from, and where its labels come from."""

    example: Example
    sender: str  # a hash that holds within one collection only
    by: str  # user name of the last colleague
    colleague: str  # a hash of it, likewise
    at: str  # ISO 8601, of the last verdict
    version: str  # of the reader whose reading was settled
    cases: tuple[int, ...]
    corrected: tuple[str, ...]  # fields

    def provenance(self) -> dict[str, Any]:
        """The row without its text and without anybody's name: what a release keeps about it."""
        named = ("sender", "at", "version", "cases", "corrected")
        told = {name: getattr(self, name) for name in named}
        return {**told, "by": self.colleague, "classes": sorted(classes(self))}


@dataclass(frozen=True, slots=True)
class Collected:
    """Rows to learn from, and why the other cases gave none (reason to count)."""

    rows: tuple[StaffRow, ...]
    left_out: Mapping[str, int]


def collect(cases: Iterable[StoredCase]) -> Collected:
    """The rows that settled *cases* give, after the guard."""
    by_mail: dict[str, list[StoredCase]] = defaultdict(list)
    for case in cases:
        if case.part_of is None:  # else its mails are told in the case that it went into
            by_mail[case.emails[0].message_id].append(case)
    left_out: Counter[str] = Counter()
    key = secrets.token_bytes(16)
    rows = []
    for group in by_mail.values():
        reason = _unusable(group)
        if reason:
            left_out[reason] += len(group)
        else:
            rows.append(_row(group, key))
    kept, dropped = guard(rows)
    if dropped:
        left_out["too many of one sender or colleague"] += dropped
    return Collected(tuple(kept), dict(left_out))


def with_staff(corpus: Corpus, rows: Sequence[StaffRow]) -> Corpus:
    """The corpus with the rows as one more file, and a digest that tells."""
    if not rows:
        return corpus
    digest = hashlib.sha256(corpus.digest.encode())
    for row in rows:
        fields = [dict(request_fields(r)) for r in row.example.requests]
        email = row.example.email
        digest.update(json.dumps([email.subject, email.new_text, fields]).encode())
    examples = (*corpus.examples, *(row.example for row in rows))
    return replace(corpus, examples=examples, digest=digest.hexdigest())


def write_rows(collected: Collected, folder: Path) -> None:
    """Keep the provenance of *collected* beside the release in *folder*."""
    rows = [row.provenance() for row in collected.rows]
    content = {"rows": rows, "left_out": dict(collected.left_out)}
    (folder / STAFF_ROWS).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def guard(rows: Sequence[StaffRow]) -> tuple[list[StaffRow], int]:
    """The rows within the caps, and how many were dropped; the newest beyond a cap go first."""
    kept = sorted(rows, key=lambda row: row.at)
    while True:
        excess = _excess([row.provenance() for row in kept])
        if excess is None:
            return kept, len(rows) - len(kept)
        name, value, label = excess
        kept.remove([r for r in kept if r.provenance()[name] == value and label in classes(r)][-1])


def guard_findings(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with the provenance of a release's rows; nothing where the guard was kept."""
    excess = _excess(rows)
    return [] if excess is None else [f"one {excess[0]} has too large a share of {excess[2]}"]


def classes(row: StaffRow) -> set[str]:
    """The classes that a row teaches and a poisoner would care about."""
    found = set()
    for request in row.example.requests:
        told, risk = request.client_notification, request.risk
        found |= {f"kind:{request.kind}", f"client_notification:{told}", f"risk:{risk}"}
    return found


def _excess(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str, str] | None:
    """The first (sender or by, who, class) above its cap.

    A colleague is capped only where there is another: a team of one has nobody to outvote.
    """
    for name, cap in _CAPS:
        if name == "by" and len({row["by"] for row in rows}) < 2:
            continue
        totals: Counter[str] = Counter()
        shares: Counter[tuple[str, str]] = Counter()
        for row in rows:
            totals.update(row["classes"])
            shares.update((row[name], label) for label in row["classes"])
        for (value, label), count in sorted(shares.items()):
            if count > FREE and count > cap * totals[label]:
                return name, value, label
    return None


def _unusable(group: Sequence[StoredCase]) -> str:
    """Why the cases of one mail cannot be learned from; "" where they can."""
    settled = [_settled(case) for case in group]
    checks: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("nobody has settled it", lambda: not any(settled)),
        ("another ask of the mail is open", lambda: len(group) < group[0].asks or not all(settled)),
        ("words of it were erased", lambda: any(map(_is_cut, group))),
        ("several mails in one case", lambda: any(len(case.emails) > 1 for case in group)),
        ("told the careful way after a split or merge", lambda: any(map(_is_careful, group))),
        ("no words marked for who told the client", lambda: not all(map(_has_words, group))),
    )
    return next((reason for reason, holds in checks if holds()), "")


def _settled(case: StoredCase) -> Judgement | None:
    """The last verdict that says the reading is right as corrected.

    What was judged before a split or merge was another request: the words of it are not these.
    """
    found = None
    for judgement in case.judgements:
        if judgement.verdict.action in REGROUPS:
            found = None
        elif judgement.verdict.action in SETTLES:
            found = judgement
    return found


def _corrections(case: StoredCase, settled: Judgement) -> list[Correction]:
    """All that people set right up to the verdict that settled it, in one step or several."""
    last = case.judgements.index(settled)
    return [
        one for judgement in case.judgements[: last + 1] for one in judgement.verdict.corrections
    ]


def _is_careful(case: StoredCase) -> bool:
    """Whether a label is a precaution, and not what the words say: see ``triage.splitting``."""
    judgement = _settled(case)
    if judgement is None:
        return False
    fields = {f.value for f in judgement.request.findings if f.label == CAREFUL}
    return bool(fields - {one.field for one in _corrections(case, judgement)})


def _is_cut(case: StoredCase) -> bool:
    return any(ERASED_IN_PART in email.defects for email in case.emails)


def _has_words(case: StoredCase) -> bool:
    request = _labelled(case)
    return request.client_notification == "unknown" or bool(request.notification_evidence)


def _labelled(case: StoredCase) -> Request:
    """The request as the last settling verdict left it."""
    judgement = _settled(case)
    if judgement is None:
        return case.request
    if judgement.verdict.action == "general":
        return Request(kind="other", session_ids=judgement.request.session_ids)
    fields = dict(request_fields(judgement.request))
    if any(
        one.field == "client_notification" and one.after != one.before
        for one in _corrections(case, judgement)
    ):
        fields["notification_evidence"] = ""  # the words were for the answer that was wrong
    for correction in judgement.verdict.corrections:
        if correction.field in fields:
            fields[correction.field] = _value(correction.field, correction.after)
    return request_from(fields)


def _value(name: str, value: object) -> object:
    if name in CODE_SETS or name == "session_ids":
        return list(value) if isinstance(value, list | tuple) else []
    return value


def _row(group: Sequence[StoredCase], key: bytes) -> StaffRow:
    email = group[0].emails[0]
    judgements = [j for j in map(_settled, group) if j is not None]
    last = max(judgements, key=lambda j: j.verdict.at)
    requests = tuple(_labelled(case) for case in group)
    example = Example(
        file=STAFF,
        id=f"case-{group[0].case_id}",
        role="therapist",
        email=email,
        requests=requests,
        quotes=(Quotes(),) * len(requests),
        doubted=False,
    )
    settled = [(case, _settled(case)) for case in group]
    corrected = {c.field for case, j in settled if j is not None for c in _corrections(case, j)}
    return StaffRow(
        example=example,
        sender=_hashed(email.sender.email.lower(), key),
        by=last.verdict.by,
        colleague=_hashed(last.verdict.by, key),
        at=last.verdict.at.isoformat(),
        version=last.reader_version,
        cases=tuple(case.case_id for case in group),
        corrected=tuple(sorted(corrected)),
    )


def _hashed(value: str, key: bytes) -> str:
    return hashlib.blake2b(value.encode(), key=key, digest_size=8).hexdigest()

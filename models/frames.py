"""Predictions beside labels as data frames: what the data team looks at, slices and plots."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from models.corpus import Example
from models.handover import StoredCase
from models.masking import Pseudonyms, mask
from models.measures import pair
from triage.labels import CODE_SETS, CODES
from triage.records import Request
from triage.verdicts import Correction

if TYPE_CHECKING:
    import pandas as pd

_FIELDS: Final = (*CODES, *CODE_SETS, "session_ids", "session_time")


def requests_frame(
    examples: Sequence[Example], predicted: Mapping[str, Mapping[str, Sequence[Request]]]
) -> pd.DataFrame:
    """One row per pair of labelled and predicted request, by message.

    Columns are ``file, id, role, requests`` (how many the message holds), for each field
    ``labelled.FIELD`` and ``predicted.FIELD`` (sets as sorted codes joined by ";", missing where a
    request was missed or invented) and ``confidence``. Codes and ids only: no text, no names.
    """
    import pandas as pd

    return pd.DataFrame(list(_rows(examples, predicted)))


def confusion(frame: pd.DataFrame, field: str) -> pd.DataFrame:
    """How often each label of *field* was read as which; "-" stands for missed and invented."""
    import pandas as pd

    labelled = frame[f"labelled.{field}"].fillna("-")
    return pd.crosstab(labelled, frame[f"predicted.{field}"].fillna("-"))


def _rows(
    examples: Sequence[Example], predicted: Mapping[str, Mapping[str, Sequence[Request]]]
) -> Iterator[dict[str, object]]:
    for example in examples:
        for labelled, read in pair(example.requests, predicted[example.file][example.id]):
            yield {
                "file": example.file,
                "id": example.id,
                "role": example.role,
                "requests": len(example.requests),
                **{f"labelled.{name}": _cell(labelled, name) for name in _FIELDS},
                **{f"predicted.{name}": _cell(read, name) for name in _FIELDS},
                "confidence": None if read is None else read.confidence,
            }


def _cell(request: Request | None, name: str) -> object:
    if request is None:
        return None
    value = getattr(request, name)
    return ";".join(sorted(value)) if isinstance(value, tuple) else value


def stored_frame(
    cases: Iterable[StoredCase],
    key: bytes = b"",
    *,
    text: bool = False,
    common: Collection[str] = (),
) -> pd.DataFrame:
    """Stored messages, what was read in them and what people made of it: a row per case.

    Senders, therapists, clients, sessions and colleagues are pseudonyms under *key*; without one,
    pseudonyms that match within this frame alone. Days instead of moments. Codes and figures only;
    with *text* also ``subject`` and ``text`` with names masked (see ``masking.mask``, which wants
    the *common* words).
    """
    import pandas as pd

    pseudonyms = Pseudonyms(key or secrets.token_bytes(16))
    rows = []
    for case in cases:
        row = {**_about_case(case, pseudonyms), **_about_verdicts(case, pseudonyms)}
        if text:
            email = case.emails[-1]
            names = [email.sender.name, case.request.client_ref or ""]
            row["subject"], row["text"] = (
                mask(words, pseudonyms, names=names, common=common)
                for words in (email.subject, email.new_text)
            )
        rows.append(row)
    return pd.DataFrame(rows)


def _about_case(case: StoredCase, pseudonyms: Pseudonyms) -> dict[str, object]:
    email, decision, read = case.emails[-1], case.decision, case.read or case.request
    return {
        "case": case.case_id,
        "sender": pseudonyms.of(email.sender.email, "sender"),
        "therapist": pseudonyms.of(case.therapist_id, "therapist"),
        "client": pseudonyms.of(case.client_id, "client"),
        "session": pseudonyms.of(case.session_id, "session"),
        "sent_on": email.sent_at.date().isoformat(),
        "mails": len(case.emails),
        "words": len(email.new_text.split()),
        "channel": email.channel,
        "automatic": email.automatic,
        "authenticated": email.authentication.passed,
        "queue": decision.queue,
        "state": decision.state,
        "blockers": ";".join(decision.blockers),
        "safeguarding": decision.safeguarding,
        **{f"read.{name}": _cell(read, name) for name in (*CODES, *CODE_SETS)},
        "confidence": read.confidence,
        "version": case.reader_version,
    }


def _about_verdicts(case: StoredCase, pseudonyms: Pseudonyms) -> dict[str, object]:
    """The last verdict, and every field that anybody corrected."""
    last = case.judgements[-1].verdict if case.judgements else None
    corrections = [c for j in case.judgements for c in j.verdict.corrections]
    return {
        **_about_grouping(case, pseudonyms),
        "verdicts": len(case.judgements),
        "verdict": last.action if last else None,
        "by": pseudonyms.of(last.by, "colleague") if last else None,
        "judged_on": last.at.date().isoformat() if last else None,
        "corrected": ";".join(sorted({c.field for c in corrections})),
        **{f"corrected.{name}": _corrected(corrections, name) for name in (*CODES, *CODE_SETS)},
    }


def _about_grouping(case: StoredCase, pseudonyms: Pseudonyms) -> dict[str, object]:
    """What a person last said about where this ask ends and another begins; None where nobody did.

    A split names the sentences that went (of ``triage.language.sentences_of``, from 1) and the
    cases they became, a merge the other case.
    """
    found = [j.verdict for j in case.judgements if j.verdict.action in ("split", "merge")]
    last = found[-1] if found else None
    details = last.details if last else {}
    others = [details.get(name) for name in ("into", "merged")]
    cases = _listed(details.get("cases")) or [str(one) for one in others if one]
    return {
        "grouping": last.action if last else None,
        "grouping.cases": ";".join(cases) if last else None,
        "grouping.sentences": ";".join(_listed(details.get("sentences"))) if last else None,
        "grouping.by": pseudonyms.of(last.by, "colleague") if last else None,
        "grouping.on": last.at.date().isoformat() if last else None,
        "part_of": case.part_of,
    }


def _listed(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list | tuple) else []


def _corrected(corrections: Sequence[Correction], name: str) -> str | None:
    """What *name* was last set to by a person; None where nobody touched it."""
    values = [c.after for c in corrections if c.field == name]
    if not values:
        return None
    value = values[-1]
    return ";".join(sorted(map(str, value))) if isinstance(value, list | tuple) else str(value)

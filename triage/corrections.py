"""Fields that a person set right: applied over the reading, remembered, and told again with it.

Each correction leaves a finding "corrected" on the request, which says what was set and after how
many of the case's asks. So a mail that comes out of order and makes the whole conversation be told
again finds the person's word in its place between the mails; what the model had said stays in the
decisions before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from triage.cases import CONTRADICTIONS
from triage.deadlines import local_date
from triage.labels import CODE_SETS, CODES
from triage.records import Finding, Request, request_fields
from triage.verdicts import Correction

LABEL: Final = "corrected"
#: Marks of a person that are no field of the guideline and go along with every retelling.
GUARANTEE: Final = "guarantee"
ONE_ASK: Final = "one_ask"  # see ``splitting``
#: The fields that a person may set right.
FIELDS: Final = tuple(
    name for name in request_fields(Request("other")) if name != "notification_evidence"
)
_FLAGS: Final = ("alternatives_requested", "guarantee_asked")
_YES: Final = {"yes": True, "true": True, "no": False, "false": False}
_SESSION_ID: Final = re.compile(r"HT-\d{6}")


class CorrectionError(ValueError):
    """A correction names no field, or a value that the field cannot have; says what is allowed."""


def correction(request: Request, name: str, text: str) -> Correction:
    """What somebody typed as the right value of a field: codes separated by blanks or commas.

    "" stands for nothing known.

    Raises:
        CorrectionError: naming what is allowed.

    """
    if name not in FIELDS:
        raise CorrectionError(f"there is no field {name!r}; allowed: {', '.join(FIELDS)}")
    return Correction(name, request_fields(request)[name], _value(name, text.strip()))


def _value(name: str, text: str) -> object:
    if name in CODE_SETS or name == "session_ids":
        return list(dict.fromkeys(part for part in re.split(r"[,;\s]+", text) if part))
    if name in _FLAGS:
        return _YES.get(text.lower(), text)
    if name in CODES:
        return text
    return text or None


def checked(corrections: Sequence[Correction]) -> tuple[Correction, ...]:
    """The same corrections; raises ``CorrectionError`` where one cannot be."""
    for one in corrections:
        if one.field not in FIELDS:
            raise CorrectionError(f"there is no field {one.field!r}; allowed: {', '.join(FIELDS)}")
        if problem := _problem(one.field, one.after):
            raise CorrectionError(f"{one.field}: {problem}")
    return tuple(corrections)


def _problem(name: str, value: object) -> str:
    """Why a field cannot have *value*, with what is allowed; "" where it can."""
    if name in CODE_SETS or name == "session_ids":
        return _problem_in(name, value) if isinstance(value, list | tuple) else "a list is needed"
    text = isinstance(value, str)
    fits, allowed = {
        "client_ref": (value is None or text, "a name as written, or nothing"),
        "session_time": (
            value is None or (text and local_date(str(value)) is not None),
            "YYYY-MM-DDTHH:MM, YYYY-MM-DD, or nothing",
        ),
        **dict.fromkeys(_FLAGS, (isinstance(value, bool), "yes, no")),
    }.get(name) or (value in CODES[name], ", ".join(CODES[name]))
    return "" if fits else f"{value!r}; allowed: {allowed}"


def _problem_in(name: str, values: Iterable[object]) -> str:
    if name == "session_ids":
        wrong = [item for item in values if not _SESSION_ID.fullmatch(str(item))]
        return f"{wrong[0]!r}; allowed: HT- and six digits" if wrong else ""
    wrong = [item for item in values if item not in CODE_SETS[name]]
    return f"{wrong[0]!r}; allowed: {', '.join(CODE_SETS[name])}" if wrong else ""


def corrected(
    request: Request, corrections: Iterable[Correction], by: str, *, after_asks: int
) -> Request:
    """*request* as the person set it right; nothing then rests on less than their word."""
    for one in corrections:
        told = {"field": one.field, "value": one.after}
        request = _applied(request, told, f"person:{by}", after_asks)
    return request


def marks_of(request: Request) -> tuple[Finding, ...]:
    """What people left on the request, in their order."""
    return tuple(f for f in request.findings if f.label in (LABEL, GUARANTEE, ONE_ASK))


def stands_after(mark: Finding) -> int:
    """After how many of the case's asks the person spoke; 0 for what goes along from the start."""
    return int(json.loads(mark.value)["asks"]) if mark.label == LABEL else 0


def marked(request: Request, mark: Finding, *, after_asks: int) -> Request:
    """*request* with what a person left on it, once more, where the case holds so many asks."""
    if mark.label == LABEL:
        return _applied(request, json.loads(mark.value), mark.source, after_asks)
    if mark in request.findings:
        return request
    return replace(request, findings=(*request.findings, mark))


def _applied(request: Request, told: dict[str, Any], source: str, asks: int) -> Request:
    name, value = told["field"], told["value"]
    mark = json.dumps({"field": name, "value": value, "asks": asks}, sort_keys=True)
    values = value if isinstance(value, list) else [value]
    said = [("" if one is None else str(one)) for one in values]
    kept = [f for f in request.findings if f.label != name and not _settled(f, name)]
    kept += [Finding(name, one, None, source, 1.0) for one in said]
    kept.append(Finding(LABEL, mark, None, source, 1.0))
    changes: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value,
        "findings": tuple(kept),
    }
    if name == "kind":
        changes["confidence"] = 1.0
    return replace(request, **changes)


def _settled(finding: Finding, name: str) -> bool:
    """Whether a person's word on the field *name* settles it: a contradiction, an earlier word."""
    if finding.label == "contradiction":
        return CONTRADICTIONS.get(finding.value) == name
    return finding.label == LABEL and json.loads(finding.value)["field"] == name

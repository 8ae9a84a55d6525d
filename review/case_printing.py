"""What people do about a case and what leaves because of it, for the terminal and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from review.acting import Acted, Deeds
from review.terminal import LONDON, MISSING
from store import OutboxRow, StoredVerdict
from triage.gate import Refused
from triage.verdicts import Outgoing, Verdict

_WHERE: Final = {"platform": "platform", "mail": "mail", "drafts": "to drafts", "chat": "live chat"}
#: What a letter is, for whoever reads the list of what leaves.
_LETTERS: Final = {
    "client_cancelled": "to the client (cancelled)",
    "client_alternatives": "to the client (whom we suggest)",
    "client_guarantee": "to the client (the Guarantee)",
}
_OUTBOX: Final = {
    "waiting": "waiting",
    "held": "HELD: a later mail speaks against it",
    "sending": "on its way",
    "sent": "has left",
    "dead": "FAILED: see `fit-triage outbox`",
    "uncertain": "UNCERTAIN: see `fit-triage outbox`",
    "taken_back": "taken back",
}


def _at(moment: datetime) -> str:
    return f"{moment.astimezone(LONDON):%a %d %b %H:%M}"


def _line(channel: str, action: str, payload: Any, session_id: str | None) -> str:  # noqa: ANN401 - JSON
    """One thing that leaves, in words."""
    if channel == "platform":
        return f"{_WHERE[channel]}: {action} {session_id or ''}".rstrip()
    return ", ".join(filter(None, (f"{_WHERE[channel]}: {_letter(action)}", payload["to"])))


def _letter(action: str) -> str:
    return _LETTERS.get(action) or f"to the therapist ({action.replace('_', ' ')})"


def leaving_lines(outgoing: Iterable[Outgoing]) -> list[str]:
    """What is to leave, a line each."""
    return [_line(o.channel, o.action, o.payload, o.session_id) for o in outgoing]


def outbox_lines(rows: Iterable[OutboxRow]) -> list[str]:
    """What left or is to leave, and how it stands."""
    return [
        f"{_line(row.channel, row.action, row.payload, row.session_id)}  "
        f"[{_OUTBOX.get(row.state, row.state)}{_until(row)}]"
        for row in rows
    ]


def _until(row: OutboxRow) -> str:
    return f" until {_at(row.not_before)}" if row.state == "waiting" else ""


def print_acted(console: Console, case: int, acted: Acted, *, dry_run: bool = False) -> None:
    """What came of an action: the state, what leaves and when, what to know besides."""
    would = "would be " if dry_run else ""
    console.print(Text(f"case {case}: {would}{acted.state}  (version {acted.version})"))
    if acted.outgoing:
        until = f"{acted.outgoing[0].not_before.astimezone(LONDON):%a %d %b %H:%M:%S}"
        head = "would leave" if dry_run else f"leaves after {until}, unless undone (`case undo`)"
        console.print(Text(head, style="bold"))
        for line in leaving_lines(acted.outgoing):
            console.print(Text(f"  - {line}"))
    if dry_run:
        print_letters(console, acted.outgoing)
    for key in acted.sent_before:
        console.print(Text(f"  - left before, not again: {key}", style="yellow"))
    for remark in acted.remarks:
        console.print(Text(f"  - {remark}", style="yellow"))
    for draft in acted.to_copy:
        console.print(Panel(Text(draft.body.rstrip()), title="to copy", title_align="left"))


def print_letters(console: Console, outgoing: Iterable[Outgoing]) -> None:
    """The letters among *outgoing* as they would be read."""
    for item in outgoing:
        if item.channel != "platform":
            to = item.payload["to"] or "the live chat"
            text = Text(f"To: {to}\nSubject: {item.payload['subject']}\n\n")
            text.append(str(item.payload["body"]).rstrip())
            console.print(Panel(text, title=_letter(item.action), title_align="left"))


def print_deeds(console: Console, deeds: Deeds) -> None:
    """Below a case: what people did, what left, and what one click would do now."""
    done = [_deed(one) for one in deeds.verdicts]
    for title, lines in (("what people did", done), ("outbox", outbox_lines(deeds.outbox))):
        if lines:
            console.print(Text(title, style="bold"))
            for line in lines:
                console.print(Text(f"  - {line}"))
    refused = deeds.approval.refused
    if "approve" not in deeds.allowed:
        return
    console.print(Text("approving it now", style="bold"))
    if refused:
        console.print(Text(f"  - {refused}"))
        return
    for line in leaving_lines(deeds.approval.outgoing) or ["closes it; nothing leaves"]:
        console.print(Text(f"  - {line}"))
    for remark in deeds.approval.remarks:
        console.print(Text(f"  - {remark}", style="yellow"))
    to_client = [item for item in deeds.approval.outgoing if item.action in _LETTERS]
    print_letters(console, to_client)


def _deed(one: StoredVerdict) -> str:
    undone = f"  [taken back {_at(one.undone_at)}]" if one.undone_at else ""
    return verdict_line(one.verdict) + undone


def deeds_json(deeds: Deeds) -> dict[str, Any]:
    """What people did, what left, and what approving would do, for programs."""
    approval = deeds.approval
    return {
        "verdicts": [verdict_json(one) for one in deeds.verdicts],
        "outbox": [outbox_json(row) for row in deeds.outbox],
        "allowed": list(deeds.allowed),
        "approval": {
            "refused": _refused_json(approval.refused),
            "outgoing": [outgoing_json(item) for item in approval.outgoing],
            "remarks": list(approval.remarks),
        },
    }


def _refused_json(refused: Refused | None) -> dict[str, Any] | None:
    if refused is None:
        return None
    return {"rule": refused.rule, "why": refused.why, "allowed": list(refused.allowed)}


def acted_json(case: int, acted: Acted) -> dict[str, Any]:
    """An action's outcome for programs; ``refused`` is null where it was carried out."""
    return {
        "case_id": case,
        "state": acted.state,
        "version": acted.version,
        "outgoing": [outgoing_json(item) for item in acted.outgoing],
        "sent_before": list(acted.sent_before),
        "remarks": list(acted.remarks),
        "refused": _refused_json(acted.refused),
        "cases": list(acted.cases),
        "to_copy": [draft.body for draft in acted.to_copy],
    }


def outgoing_json(item: Outgoing) -> dict[str, Any]:
    return {
        "channel": item.channel,
        "action": item.action,
        "key": item.key,
        "session_id": item.session_id,
        "payload": dict(item.payload),
        "not_before": item.not_before.isoformat(),
    }


def outbox_json(row: OutboxRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "channel": row.channel,
        "action": row.action,
        "key": row.key,
        "session_id": row.session_id,
        "state": row.state,
        "not_before": row.not_before.isoformat(),
        "note": row.note,
    }


def verdict_line(verdict: Verdict) -> str:
    """One action of a person's, in a line."""
    said = f"{_at(verdict.at)}  {verdict.by}: {verdict.action.replace('_', ' ')}"
    if verdict.corrections:
        changed = (f"{c.field} {_shown(c.before)} → {_shown(c.after)}" for c in verdict.corrections)
        said += f" ({'; '.join(changed)})"
    if about := _regrouped(verdict):
        said += f" ({about})"
    if verdict.overrides:
        passed = ", ".join(MISSING.get(code, code) for code in verdict.overrides)
        said += f", passing over: {passed}"
    return f"{said}. {verdict.reason}" if verdict.reason else said


def _regrouped(verdict: Verdict) -> str:
    """Which words and cases a split or merge was about."""
    details = verdict.details
    match verdict.action:
        case "split":
            numbers = _shown(details.get("sentences", []))
            return f"sentences {numbers}: case {_shown(details.get('cases', []))}"
        case "merge" if "into" in details:
            return f"into case {details['into']}"
        case "merge":
            return f"case {details.get('merged')} into this one"
    return ""


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "nothing"
    return "nothing" if value is None else str(value)


def verdict_json(one: StoredVerdict) -> dict[str, Any]:
    verdict = one.verdict
    return {
        "at": verdict.at.isoformat(),
        "by": verdict.by,
        "action": verdict.action,
        "reason": verdict.reason,
        "overrides": list(verdict.overrides),
        "corrections": [
            {"field": c.field, "before": c.before, "after": c.after} for c in verdict.corrections
        ],
        "undone_at": one.undone_at.isoformat() if one.undone_at else None,
    }


def override_json(one: StoredVerdict) -> dict[str, Any]:
    return {"case_id": one.verdict.case_id, **verdict_json(one)}


def print_overrides(console: Console, found: Sequence[StoredVerdict]) -> None:
    """What was passed over by name, for a second look."""
    for one in found:
        console.print(Text(f"case {one.verdict.case_id}  {verdict_line(one.verdict)}"))
    if not found:
        console.print(Text("nothing was passed over that needs a second look"))

"""What people see in a terminal: queues, a case, a message explained, and what a run did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ingest.defects import DEFECTS, DOUBTS
from ingest.limits import CAUSES as UNREADABLE
from store import CaseRow, CaseStory, ImportReport, Quarantined, Tally
from triage.alternatives import in_a_line as alternative_line
from triage.records import Client, Directory, Email, Finding, Part, Request, request_fields

LONDON: Final = ZoneInfo("Europe/London")


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What a run made of one mailbox; ``problem`` says why it is left to the next run."""

    source: str
    tally: Tally
    problem: str = ""
    failed: bool = False
    refused: bool = False  # user and password, or token: trying again soon would lock the account


QUEUES: Final = ("cancellation", "referral", "enquiry")

#: What a blocker code means, for the column "what is missing".
MISSING: Final[Mapping[str, str]] = {
    "urgent_risk": "somebody may be in danger",
    "client_not_told": "client not told",
    "reasons_not_discussed": "reasons not discussed with the client",
    "client_disagrees": "client does not agree",
    "reason_missing": "reason",
    "issues_missing": "presenting issues",
    "needs_missing": "approach or experience needed",
    "sender_unverified": "sender not verified",
    "not_session_owner": "not the sender's session",
    "session_unknown": "session not found",
    "session_ambiguous": "which session?",
    "session_past": "session is past",
    "low_confidence": "reading unsure",
    "contradiction": "findings disagree",
}

#: Why a message is in quarantine, in words: what the parser says, and what happened before it.
CAUSES: Final[Mapping[str, str]] = {
    **UNREADABLE,
    "oversize": "The message is larger than `max_message_bytes`; it was left on the server.",
    "unfetchable": "The server or file system refused to give the message, however often asked.",
    "killed_reader": "Reading the message killed the process at work on it, twice.",
}
_BUG: Final = "A bug of ours came to light; the message is kept and can be retried after a fix."

_STATE_STYLE: Final[Mapping[str, str]] = {
    "ready": "bold green",
    "awaiting_client": "yellow",
    "awaiting_details": "yellow",
    "check": "magenta",
    "noted": "cyan",
}

#: Whose words these are, where that is not the therapist.
_WRITTEN_BY: Final[Mapping[str, str]] = {
    "delegate": "a delegate of the therapist",
    "therapist": "a therapist whose session it is not, or none is known",
    "stranger": "an address on no record",
}

_SHOWN_OF_DOCUMENT: Final = 2_000  # characters

_FINDING_STYLE: Final[Mapping[str, str]] = {
    "client_notification": "black on green3",
    "fit_reasons": "black on sky_blue1",
    "presenting_issues": "black on light_goldenrod1",
    "required_approaches": "black on plum2",
    "required_experience": "black on plum2",
    "session_ids": "black on grey70",
    "session_time": "black on grey70",
    "client_ref": "black on grey70",
    "risk": "white on red",
}


def tally_line(tally: Tally) -> str:
    """What became of what was fetched; the figures add up or the run says that they do not."""
    line = (
        f"fetched {tally.fetched} = queued {tally.queued} + general {tally.general} "
        f"+ quarantined {tally.quarantined} + already known {tally.already_known}"
    )
    if tally.vanished:
        line += f" (and {tally.vanished} deleted before they could be read)"
    return line if tally.adds_up else line + "  DOES NOT ADD UP"


def round_line(now: datetime, reports: Sequence[SourceReport]) -> str:
    """What a look at the mailboxes came to, in one line for a log."""
    line = f"{now:%Y-%m-%dT%H:%M:%SZ}  {tally_line(total(reports))}"
    failed = sum(report.failed for report in reports)
    left = sum(bool(report.problem) and not report.failed for report in reports)
    if failed:
        line += f"; {failed} of {len(reports)} mailboxes could not be read"
    if left:
        line += f"; {left} of {len(reports)} mailboxes left to another run"
    return line


def print_queues(
    console: Console,
    rows: Sequence[CaseRow],
    directory: Directory,
    now: datetime,
    *,
    only: str | None = None,
    levels: Mapping[int, int] = MappingProxyType({}),
) -> None:
    """One table a queue, the most pressing case first; empty ones too, but for *only*.

    *levels* are the steps that deadlines have climbed, by case id.
    """
    for queue in [only] if only else dict.fromkeys([*QUEUES, *(r.decision.queue for r in rows)]):
        found = [row for row in rows if row.decision.queue == queue]
        console.print(queue_table(queue, found, directory, now, levels))


def queue_table(
    queue: str,
    rows: Iterable[CaseRow],
    directory: Directory,
    now: datetime,
    levels: Mapping[int, int] = MappingProxyType({}),
) -> RenderableType:
    table = Table(title_justify="left", title_style="bold", expand=True, box=SIMPLE_HEAD)
    table.add_column("case", justify="right", no_wrap=True)
    table.add_column("deadline", no_wrap=True)
    table.add_column("therapist", ratio=4, min_width=10)
    table.add_column("client", ratio=5, min_width=10)
    table.add_column("state", no_wrap=True)
    table.add_column("what is missing", ratio=6, min_width=10)
    for row in rows:
        table.add_row(
            str(row.case_id),
            _deadline(row.decision.deadline, now, levels.get(row.case_id, 0)),
            _therapist(row, directory) + (" (live chat)" if "chat" in row.channels else ""),
            _client(row, directory),
            Text(row.decision.state, style=_STATE_STYLE.get(row.decision.state, "")),
            missing(row),
        )
    table.title = f"{queue} ({table.row_count})"
    return table


def missing(row: CaseRow) -> Text:
    """The blockers in words; danger first."""
    text = Text(", ".join(MISSING.get(code, code) for code in row.decision.blockers))
    if row.decision.safeguarding:
        text.stylize("bold red")
    return text


def _therapist(row: CaseRow, directory: Directory) -> str:
    therapist = directory.therapist(row.therapist_id) if row.therapist_id else None
    return therapist.name if therapist else row.sender


def _client(row: CaseRow, directory: Directory) -> str:
    client = directory.client(row.client_id) if row.client_id else None
    where = f" {row.session_id}" if row.session_id else ""
    return (_name(client) if client else row.request.client_ref or "?") + where


def _name(client: Client) -> str:
    return f"{client.first_name} {client.last_name}".strip()


def _deadline(deadline: datetime | None, now: datetime, level: int = 0) -> Text:
    if deadline is None:
        return Text("-", style="dim")
    text = Text(f"{deadline.astimezone(LONDON):%a %d %b %H:%M} {'!' * level}".rstrip())
    if deadline < now:
        text.stylize("bold red")
    elif deadline - now < timedelta(hours=24):
        text.stylize("red")
    return text


def print_case(console: Console, story: CaseStory, directory: Directory, now: datetime) -> None:
    """A case from its first mail to its draft, with the words that each reading rests on."""
    row = story.case
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("queue", row.decision.queue),
        ("state", Text(row.decision.state, style=_STATE_STYLE.get(row.decision.state, ""))),
        ("deadline", _deadline(row.decision.deadline, now)),
        ("therapist", _therapist(row, directory)),
        ("written by", _WRITTEN_BY.get(row.sender_is, "")),
        ("client", _client(row, directory)),
        ("missing", missing(row)),
        ("guarantee", row.decision.guarantee),
        ("with", row.assignee),
        ("put aside", _until(row.snoozed_until)),
    ):
        if value:
            facts.add_row(name, value)
    title = f"case {row.case_id}, version {row.version}"
    console.print(Panel(facts, title=title, title_align="left"))
    findings = [f for decision in story.decisions for f in decision.request.findings]
    for message in story.messages:
        console.print(email_panel(message.email, findings))
    console.print(request_table(row.request))
    _print_list(console, "why", row.decision.reasons)
    _print_list(console, "contradictions", contradictions(row))
    _print_list(console, "how it went", timeline(story))
    _print_list(
        console,
        "alternatives",
        [alternative_line(found) for found in row.decision.alternatives],
    )
    _print_list(
        console,
        "may be about",
        [f"{p.session_id} ({p.score:.2f}): {p.why}" for p in row.proposals],
    )
    if row.decision.draft:
        console.print(
            Panel(Text(row.decision.draft.body), title="draft (not sent)", title_align="left")
        )
    _print_list(
        console, "audit", [f"{e.at.astimezone(LONDON):%d %b %H:%M} {e.event}" for e in story.audit]
    )


def _until(moment: datetime | None) -> str:
    return f"until {moment.astimezone(LONDON):%a %d %b %H:%M}" if moment else ""


def contradictions(row: CaseRow) -> list[str]:
    """Where the mails of a case cannot all be right, in words."""
    return [f"{f.value}." for f in row.request.findings if f.label == "contradiction"]


def timeline(story: CaseStory) -> list[str]:
    """A line a decision: when, what the case came to, and what was in the way."""
    lines = []
    for made in story.decisions:
        decision = made.decision
        missing = ", ".join(MISSING.get(code, code) for code in decision.blockers)
        when = f"{made.decided_at.astimezone(LONDON):%a %d %b %H:%M}"
        lines.append(f"{when}  {decision.state}{f': {missing}' if missing else ''}")
    return lines


def _print_list(console: Console, title: str, lines: Sequence[str]) -> None:
    if lines:
        console.print(Text(title, style="bold"))
        for line in lines:
            console.print(Text(f"  - {line}"))


def email_panel(email: Email, findings: Iterable[Finding]) -> RenderableType:
    """The message with its evidence highlighted; quoted text dimmed, as it counts for nothing."""
    findings = list(findings)
    parts: list[RenderableType] = [
        Text(f"{email.sender.name} <{email.sender.email}>  {_when(email)}", style="dim"),
        highlighted(email, "subject", findings),
        Text(),
        highlighted(email, "new_text", findings),
    ]
    if email.quoted_text:
        parts += [Text(), Text(email.quoted_text, style="dim")]
    for one in email.attachments:
        parts.append(Text(f"attached: {one.name} ({one.content_type}, {one.size} B)", style="dim"))
        if one.text:
            parts.append(Text(f"its text: {one.text[:_SHOWN_OF_DOCUMENT]}", style="dim italic"))
    parts += remarks(email)
    note = "" if email.authentication.passed else email.authentication.reason
    return Panel(Group(*parts), title="message", title_align="left", subtitle=note)


def remarks(email: Email) -> list[Text]:
    """What reading the mail needed, in words; first and bright where its own words are in doubt."""
    known = sorted(
        (code for code in email.defects if code in DEFECTS), key=lambda code: code not in DOUBTS
    )
    styles = {True: "yellow", False: "dim"}
    return [Text(f"note: {DEFECTS[code]}", style=styles[code in DOUBTS]) for code in known]


def _when(email: Email) -> str:
    return f"{email.sent_at.astimezone(LONDON):%a %d %b %Y %H:%M}"


def highlighted(email: Email, part: Part, findings: Iterable[Finding]) -> Text:
    """One part of *email*, the words of its findings in the colour of their kind."""
    words: str = getattr(email, part)
    text = Text(words)
    for finding in findings:
        span = finding.span
        if span and span.part == part and words[span.start : span.end] == span.text:
            text.stylize(_FINDING_STYLE.get(finding.label, "reverse"), span.start, span.end)
    return text


def request_table(request: Request) -> RenderableType:
    """Every field of the guideline, with the words and the confidence behind it."""
    table = Table(box=None, pad_edge=False)
    for column in ("field", "value", "confidence", "words"):
        table.add_column(column, overflow="fold")
    for name, value in request_fields(request).items():
        found = [f for f in request.findings if f.label == name]
        sure = request.confidence if name == "kind" else request.confidence_in(name)
        words = " | ".join(dict.fromkeys(f.span.text for f in found if f.span))
        known = bool(found) or name == "kind"
        table.add_row(name, _shown(value), f"{sure:.2f}" if known else "", Text(words, style="dim"))
    return table


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def print_explained(
    console: Console, file: str, email: Email | str, requests: Sequence[Request]
) -> None:
    """A message with its evidence highlighted, and what is understood of it."""
    console.rule(Text(file))
    if not isinstance(email, Email):
        console.print(Text(f"cannot be read: {CAUSES.get(email, _BUG)}", style="bold red"))
        return
    console.print(email_panel(email, [f for request in requests for f in request.findings]))
    for request in requests:
        console.print(request_table(request))


def print_quarantine(console: Console, found: Iterable[Quarantined]) -> None:
    """What could not be read, as operations need it: no content, no names."""
    table = Table(title="quarantine", title_justify="left", title_style="bold")
    for column in ("id", "since", "cause", "what that means", "tried"):
        table.add_column(column)
    for item in found:
        since = f"{item.quarantined_at.astimezone(LONDON):%d %b %H:%M}"
        meaning = CAUSES.get(item.cause, _BUG)
        table.add_row(str(item.id), since, item.cause, meaning, str(item.attempts))
    table.title = f"quarantine ({table.row_count})"
    console.print(table)


def print_import(console: Console, reports: Iterable[ImportReport]) -> None:
    """What an import changed, and each row that was left out."""
    for report in reports:
        console.print(
            f"{report.kind}: {report.new} new, {report.changed} changed, "
            f"{report.unchanged} unchanged, {report.gone} gone, {len(report.rejected)} rejected"
            + (f", {report.erased} left out: erased" if report.erased else "")
        )
        for row in report.rejected:
            console.print(Text(f"  {row.file}:{row.line}: {row.reason}", style="yellow"))


def print_reports(console: Console, reports: Sequence[SourceReport], *, dry_run: bool) -> None:
    """A line a mailbox, and one for the run where there are several; why one failed is not said."""
    for report in reports:
        outcome = "failed, " if report.failed else ""
        outcome += (
            report.problem if report.problem and not report.failed else tally_line(report.tally)
        )
        failed = "FAILED, " if report.failed else ""
        console.print(Text(f"{report.source}: {failed}{outcome}"), soft_wrap=True)
    if len(reports) > 1:
        console.print(Text(f"run: {tally_line(total(reports))}"), soft_wrap=True)
    if dry_run:
        console.print(Text("dry run: nothing was kept"))


def total(reports: Iterable[SourceReport]) -> Tally:
    """What all mailboxes of a run came to."""
    return sum((report.tally for report in reports), Tally())

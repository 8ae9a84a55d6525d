"""What a person types to act on a case: ``fit-triage case ACTION CASE …``.

``fit-triage case CASE`` alone shows it. Every action is refused where a rule stands in the way;
the refusal names the rule and what can be done, with exit code 2.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from review.desk import AsJson, Desk, Now, UsageProblemError, console, moment, print_json, store_of
from review.typed import chosen, corrections, letters_as, login, text_of, verdict_on
from triage.verdicts import Action, Verdict

if TYPE_CHECKING:
    from review.acting import Acted
    from store import CaseStory, Store


class _CaseGroup(TyperGroup):
    """``case 12`` is ``case show 12``, as before there was anything else to do with a case."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - click's context
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["show", *args]
        return super().parse_args(ctx, args)


case_app = typer.Typer(
    cls=_CaseGroup,
    help="Show a case, or act on it: `case 12`, `case approve 12`.",
    no_args_is_help=True,
)

Case = Annotated[int, typer.Argument(help="The number in the queue's first column.")]
By = Annotated[str, typer.Option(help="Who decides; your login name where left out.")]
Version = Annotated[
    int | None, typer.Option(help="The version you looked at (`show`): later changes are told.")
]
Reason = Annotated[str, typer.Option(help="In writing; needed to pass over a blocker.")]
Override = Annotated[
    list[str] | None, typer.Option(metavar="BLOCKER", help="Pass over it by name, with a reason.")
]
Letters = Annotated[bool, typer.Option("--letters/--no-letters", help="Write to people as well.")]
Edit = Annotated[
    list[str] | None,
    typer.Option(metavar="LETTER=FILE", help="Your words in place of a letter's, such as done."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would leave; do nothing.")]


@case_app.command()
def show(context: typer.Context, case: Case, now: Now = None, *, as_json: AsJson = False) -> None:
    """A case from its first mail to its draft, what approving it would send, and what has left."""
    from review import acting
    from review.case_printing import deeds_json, print_deeds
    from review.fields import case_json
    from review.terminal import print_case

    settings, clock = context.obj.settings(), now or datetime.now(UTC)
    with store_of(settings) as store:
        story = story_at(store, case)
        deeds = acting.deeds(store, story, settings.rules(clock), acting.sending_of(settings))
        if as_json:
            print_json({**case_json(story), **deeds_json(deeds)})
        else:
            print_case(console(), story, store.directory(), clock)
            print_deeds(console(), deeds)


@case_app.command()
def approve(
    context: typer.Context,
    case: Case,
    by: By = "",
    version: Version = None,
    reason: Reason = "",
    override: Override = None,
    recommend: Annotated[
        list[str] | None, typer.Option(metavar="THERAPIST", help="Instead of those proposed.")
    ] = None,
    *,
    edit: Edit = None,
    now: Now = None,
    letters: Letters = True,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Carry out what the case asks: cancel, note, or recommend others; and write to both."""
    details = {**letters_as(edit, letters=letters), **chosen(recommend)}
    verdict = verdict_on(case, "approve", by, now, reason, override, details)
    _act(context, verdict, version, as_json=as_json, dry_run=dry_run)


@case_app.command()
def refer(
    context: typer.Context,
    case: Case,
    therapists: Annotated[list[str], typer.Argument(help="Ids of those to recommend, best first.")],
    by: By = "",
    version: Version = None,
    reason: Reason = "",
    override: Override = None,
    *,
    edit: Edit = None,
    now: Now = None,
    letters: Letters = True,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Recommend these therapists to the client; a session to be cancelled is cancelled."""
    details = {**letters_as(edit, letters=letters), **chosen(therapists)}
    verdict = verdict_on(case, "refer", by, now, reason, override, details)
    _act(context, verdict, version, as_json=as_json, dry_run=dry_run)


@case_app.command("send-back")
def send_back(
    context: typer.Context,
    case: Case,
    by: By = "",
    version: Version = None,
    body: Annotated[
        Path | None, typer.Option(help="File with your words instead of the draft's; - to type.")
    ] = None,
    now: Now = None,
    *,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send the draft to the therapist, as it is or in your words."""
    details = {"body": text_of(body)} if body else {}
    verdict = verdict_on(case, "send_back", by, now, "", None, details)
    _act(context, verdict, version, as_json=as_json, dry_run=dry_run)


@case_app.command()
def note(
    context: typer.Context,
    case: Case,
    by: By = "",
    version: Version = None,
    reason: Reason = "",
    edit: Edit = None,
    now: Now = None,
    *,
    letters: Letters = True,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Put the therapist's reason on record; nothing is cancelled."""
    details = letters_as(edit, letters=letters)
    verdict = verdict_on(case, "note_reason", by, now, reason, None, details)
    _act(context, verdict, version, as_json=as_json, dry_run=dry_run)


@case_app.command()
def correct(
    context: typer.Context,
    case: Case,
    fields: Annotated[
        list[str] | None, typer.Argument(metavar="FIELD=VALUE", help="Such as kind=referral.")
    ] = None,
    by: By = "",
    version: Version = None,
    reason: Reason = "",
    now: Now = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Set fields right; the case is decided again. Without any field just decide again."""
    with store_of(context.obj.settings()) as store:
        request = story_at(store, case).case.request
    verdict = verdict_on(case, "correct", by, now, reason, None, {}, corrections(request, fields))
    _act(context, verdict, version, as_json=as_json)


@case_app.command()
def guarantee(
    context: typer.Context,
    case: Case,
    by: By = "",
    version: Version = None,
    now: Now = None,
    *,
    letters: Letters = True,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Confirm that the next initial session is paid for (the Guarantee)."""
    details = letters_as(None, letters=letters)
    verdict = verdict_on(case, "confirm_guarantee", by, now, "", None, details)
    _act(context, verdict, version, as_json=as_json, dry_run=dry_run)


def _plainly(action: Action, says: str) -> None:
    """A command for an action that takes a reason and nothing else."""

    def command(
        context: typer.Context,
        case: Case,
        by: By = "",
        version: Version = None,
        reason: Reason = "",
        now: Now = None,
        *,
        as_json: AsJson = False,
    ) -> None:
        _act(context, verdict_on(case, action, by, now, reason), version, as_json=as_json)

    case_app.command(action, help=says)(command)


_plainly("general", "Not a fit matter: leave it to the ordinary inbox.")
_plainly("dismiss", "Close the case; nothing is done and nobody is written to.")
_plainly("reopen", "Take a closed case up again, decided as of now. What has left stays out.")
_plainly("release", "Let leave what a later mail holds up (or `undo`). Needs a reason.")


@case_app.command()
def withdraw(
    context: typer.Context,
    case: Case,
    by: By = "",
    version: Version = None,
    reason: Reason = "",
    now: Now = None,
    *,
    letters: Letters = True,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """The therapist takes the request back: close it, and tell them so."""
    details = letters_as(None, letters=letters)
    verdict = verdict_on(case, "withdraw", by, now, reason, None, details)
    _act(context, verdict, version, as_json=as_json, dry_run=dry_run)


@case_app.command()
def snooze(
    context: typer.Context,
    case: Case,
    until: Annotated[
        datetime, typer.Option(parser=moment, metavar="ISO", help="Not past its deadline.")
    ],
    by: By = "",
    version: Version = None,
    now: Now = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Put the case aside until then, or until its next mail."""
    details = {"until": until.astimezone(UTC)}
    verdict = verdict_on(case, "snooze", by, now, "", None, details)
    _act(context, verdict, version, as_json=as_json)


@case_app.command()
def assign(
    context: typer.Context,
    case: Case,
    to: Annotated[str, typer.Argument(metavar="WHO", help='User name; "" for nobody.')],
    by: By = "",
    version: Version = None,
    now: Now = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Give the case to somebody."""
    verdict = verdict_on(case, "assign", by, now, "", None, {"assignee": to.strip()})
    _act(context, verdict, version, as_json=as_json)


@case_app.command()
def undo(
    context: typer.Context, case: Case, by: By = "", now: Now = None, *, as_json: AsJson = False
) -> None:
    """Take the last action back, as long as nothing of it has begun to leave."""
    from review import acting

    clock = now or datetime.now(UTC)
    with store_of(context.obj.settings()) as store:
        tell(case, acting.undo(store, case, by or login(), clock), as_json=as_json)


@case_app.command()
def overrides(
    context: typer.Context,
    since: Annotated[
        datetime | None, typer.Option(parser=moment, metavar="ISO", help="Only from then on.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """What was passed over by name, for a second look by somebody else."""
    from review.case_printing import override_json, print_overrides
    from triage.gate import for_second_review

    with store_of(context.obj.settings()) as store:
        found = [one for one in store.verdicts(since) if for_second_review(one.verdict)]
    if as_json:
        for one in found:
            print_json(override_json(one))
    else:
        print_overrides(console(), found)


# --- doing it -------------------------------------------------------------------------------------


def story_at(store: Store, case: int) -> CaseStory:
    story = store.case(case)
    if story is None:
        raise UsageProblemError(f"there is no case {case}; `fit-triage queue` lists them")
    return story


def _act(
    context: typer.Context,
    verdict: Verdict,
    version: int | None,
    *,
    as_json: bool,
    dry_run: bool = False,
) -> None:
    from review import acting

    desk: Desk = context.obj
    settings = desk.settings()
    rules, sending = settings.rules(verdict.at), acting.sending_of(settings)
    with store_of(settings) as store:
        story = story_at(store, verdict.case_id)
        if dry_run:
            acted = acting.rehearse(store, story, verdict, rules, sending)
        else:
            acted = acting.act(store, story, verdict, rules, sending, version=version)
        tell(verdict.case_id, acted, as_json=as_json, dry_run=dry_run)


def tell(case: int, acted: Acted, *, as_json: bool, dry_run: bool = False) -> None:
    from review.case_printing import acted_json, print_acted

    if as_json:
        print_json(acted_json(case, acted))
    elif not acted.refused:
        print_acted(console(), case, acted, dry_run=dry_run)
    if acted.refused:
        if not as_json:
            typer.echo(f"fit-triage: case {case}: {acted.refused}", err=True)
        raise typer.Exit(2)

"""What a person types where one mail holds two asks, or two cases are one.

``fit-triage case sentences 12``, ``case split 12 --sentences 3,4``, ``case merge 14 --into 12``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from review.case_commands import By, Case, Reason, Version, story_at, tell
from review.desk import AsJson, Now, UsageProblemError, console, print_json, store_of
from review.typed import verdict_on

if TYPE_CHECKING:
    from store import Store

Mail = Annotated[
    int | None, typer.Option("--message", help="Which of its mails, by `case sentences`.")
]


def sentences(
    context: typer.Context, case: Case, now: Now = None, *, as_json: AsJson = False
) -> None:
    """The sentences of a case's mails with their numbers, as `split` asks for them."""
    del now  # taken as by every command of cases; numbers do not depend on it
    with store_of(context.obj.settings()) as store:
        found = _numbered(store, case)
    if as_json:
        print_json({"case_id": case, "messages": found})
        return
    for mail in found:
        console().print(f"message {mail['message']}", style="bold", highlight=False)
        for one in mail["sentences"]:
            subject = " (subject)" if one["part"] == "subject" else ""
            text = f"{one['number']:>4}{subject}  {one['text']}"
            console().print(text, markup=False, highlight=False)


def split(
    context: typer.Context,
    case: Case,
    sentences: Annotated[
        str, typer.Option(metavar="N,N,…", help="Those of the other ask: `case sentences`.")
    ],
    message: Mail = None,
    by: By = "",
    version: Version = None,
    reason: Reason = "",
    now: Now = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Another ask stands in this mail: make a case of its own of these sentences."""
    from review import splitting

    chosen = sorted({int(n) for n in re.findall(r"\d+", _list(sentences))})
    details = {"sentences": chosen, "message": message}
    verdict = verdict_on(case, "split", by, now, reason, None, details)
    settings = context.obj.settings()
    with store_of(settings) as store:
        acted = splitting.split(
            store,
            story_at(store, case),
            verdict,
            settings.rules(verdict.at),
            lambda: splitting.reader_of(settings),
            version=version,
        )
        tell(case, acted, as_json=as_json)


def merge(
    context: typer.Context,
    case: Case,
    into: Annotated[int, typer.Option(metavar="CASE", help="The case that stays.")],
    by: By = "",
    version: Version = None,
    reason: Reason = "",
    now: Now = None,
    *,
    as_json: AsJson = False,
) -> None:
    """The case is the same ask as another: put its mails there and close it."""
    from review import splitting

    verdict = verdict_on(case, "merge", by, now, reason, None, {"into": into})
    settings = context.obj.settings()
    with store_of(settings) as store:
        rules = settings.rules(verdict.at)
        acted = splitting.merge(store, story_at(store, case), verdict, rules, version=version)
        tell(case, acted, as_json=as_json)


def _list(typed: str) -> str:
    if not re.fullmatch(r"\s*\d{1,4}(\s*,\s*\d{1,4})*\s*", typed):
        raise UsageProblemError(f"--sentences {typed}: give numbers, such as 3,4")
    return typed


def _numbered(store: Store, case: int) -> list[dict[str, Any]]:
    from triage.regrouping import own_words
    from triage.splitting import numbered

    story_at(store, case)
    told = store.told(case)
    mails = {ask.place[0]: ask.email for ask in told.said} if told else {}
    return [
        {
            "message": number,
            "sentences": [
                {"number": n, "part": one.part, "text": email_text[one.start : one.end]}
                for n, one in numbered(email, own_words(told, number) if told else ())
                for email_text in [getattr(email, one.part)]
            ],
        }
        for number, email in mails.items()
    ]

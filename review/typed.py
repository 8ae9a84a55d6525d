"""From what was typed on the command line to a person's verdict."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from review.desk import UsageProblemError
from triage.labels import BLOCKERS
from triage.records import Request
from triage.verdicts import Action, Correction, Verdict


def login() -> str:
    """Whoever is logged in here; ``--by`` names somebody else."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise UsageProblemError("say who decides: --by NAME") from None


def verdict_on(
    case: int,
    action: Action,
    by: str,
    now: datetime | None,
    reason: str = "",
    override: Sequence[str] | None = None,
    details: Mapping[str, object] | None = None,
    corrected: tuple[Correction, ...] = (),
) -> Verdict:
    """What a person decides, as of now unless a clock is given."""
    for code in override or ():
        if code not in BLOCKERS:
            raise UsageProblemError(f"--override {code}: allowed: {', '.join(BLOCKERS)}")
    return Verdict(
        case_id=case,
        action=action,
        by=by or login(),
        at=now or datetime.now(UTC),
        corrections=corrected,
        reason=reason,
        overrides=tuple(dict.fromkeys(override or ())),
        details=dict(details or {}),
    )


def chosen(therapists: Sequence[str] | None) -> dict[str, object]:
    """Whom to recommend, where somebody was named."""
    return {"alternatives": list(therapists)} if therapists else {}


def letters_as(edited: Sequence[str] | None, *, letters: bool) -> dict[str, object]:
    """Whether letters go, and those whose words a person wrote, each from its file."""
    from triage.wording import CLIENT_TEMPLATES, TEMPLATES

    texts = {}
    for one in edited or ():
        name, sign, file = one.partition("=")
        if not sign or name not in (*CLIENT_TEMPLATES, *TEMPLATES):
            names = ", ".join((*CLIENT_TEMPLATES, *TEMPLATES))
            raise UsageProblemError(f"--edit {one}: give LETTER=FILE; letters: {names}")
        texts[name] = text_of(Path(file))
    return {**({} if letters else {"letters": False}), **({"texts": texts} if texts else {})}


def text_of(file: Path) -> str:
    """What stands in *file*, or is typed where it is "-"."""
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise UsageProblemError(f"{file} cannot be read: {type(error).__name__}") from error


def corrections(request: Request, typed: Sequence[str] | None) -> tuple[Correction, ...]:
    """Fields as typed, FIELD=VALUE; each beside what it was."""
    from triage.corrections import CorrectionError, correction

    found = []
    for one in typed or ():
        name, sign, value = one.partition("=")
        if not sign:
            raise UsageProblemError(f"{one}: give FIELD=VALUE; FIELD= for nothing known")
        try:
            found.append(correction(request, name, value))
        except CorrectionError as error:
            raise UsageProblemError(str(error)) from error
    return tuple(found)

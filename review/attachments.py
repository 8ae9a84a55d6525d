"""What staff type to get at an attachment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from review.desk import UsageProblemError, console, store_of
from review.typed import login
from triage.records import MessageKey, RawMessage

if TYPE_CHECKING:
    from store import Store, StoredMessage


def attachment(
    context: typer.Context,
    case_or_message: Annotated[str, typer.Argument(help="A case's number, or a Message-ID.")],
    number: Annotated[int | None, typer.Argument(min=1, help="Which; left out: a list.")] = None,
    out: Annotated[Path, typer.Option(help="Folder to put it into.")] = Path(),
    by: Annotated[str, typer.Option(help="Who takes it; your login name where left out.")] = "",
) -> None:
    """Save an attachment from the bytes kept: not opened, not run, nothing overwritten.

    Who took which is in the audit trail.
    """
    with store_of(context.obj.settings()) as store:
        found = list(_attachments(store, case_or_message))
        if number is None:
            for place, (_, _, line) in enumerate(found, 1):
                console().print(f"{place}  {line}", markup=False, highlight=False)
            return
        if number > len(found):
            raise UsageProblemError(f"there are {len(found)} attachments there, no number {number}")
        message, index, _ = found[number - 1]
        content = store.raw(message.digest)
        if content is None:
            raise UsageProblemError("the bytes of that message are no longer kept")
        # On record first: no file may come of it that the trail does not know.
        case_id = int(case_or_message) if case_or_message.isdigit() else None
        store.attachment_taken(
            message.id, index, case_id=case_id, by=by or login(), now=datetime.now(UTC)
        )
    console().print(str(_saved(message, content, index, out)), markup=False, highlight=False)


def _attachments(store: Store, wanted: str) -> Iterator[tuple[StoredMessage, int, str]]:
    """(message, place in it, description) of each attachment, in the order that `show` has them."""
    if wanted.isdigit():
        story = store.case(int(wanted))
        messages = story.messages if story else ()
    else:
        message = store.message(wanted if wanted.startswith("<") else f"<{wanted}>")
        messages = (message,) if message else ()
    if not messages:
        raise UsageProblemError("there is no such case or message")
    for message in messages:
        for index, one in enumerate(message.email.attachments):
            yield message, index, f"{one.name}  {one.content_type}  {one.size} bytes"


def _saved(message: StoredMessage, content: bytes, index: int, folder: Path) -> Path:
    from ingest.downloads import extract, safe_name, save

    nowhere = MessageKey("store", "", 0, message.id)
    found = extract(RawMessage(nowhere, datetime.now(UTC), message.digest, content), index)
    if found is None:
        raise UsageProblemError("that attachment cannot be taken out of its message")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return save(found[1], safe_name(found[0]), folder)
    except OSError as error:
        raise UsageProblemError(f"{folder}: {error.strerror}") from error

"""Conversations from a workspace's REST API: what has changed is searched for, then retrieved.

The cursor is the ``updated_at`` up to which every conversation has been retrieved. Search lags
behind what is written, so each run looks some minutes further back; the caller's memory passes over
what it knows, part by part.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Self

from ingest import livechat
from ingest.livechat_files import Piece, batch_of, in_batches, unknown
from ingest.livechat_line import Line, NotThereError, TooLargeError
from ingest.sources import (
    BYTES_PER_BATCH,
    Access,
    Batch,
    Known,
    LoginRefusedError,
    Loss,
    SourceError,
)
from triage.records import Cursor, MessageKey, RawMessage

_PER_PAGE: Final = 150  # the most that a page may hold
_LOOK_BACK_S: Final = 600
#: So far back is searched: some indexes know days alone, what is older is passed over here.
_SEARCH_BACK_S: Final = 86_400
_LISTINGS: Final = 3
_FAILURES_IN_A_ROW: Final = 3  # beyond these it is the service, not a conversation
_BEFORE_ALL: Final = datetime.fromtimestamp(0, UTC)
_WHOLE: Final = 0  # the number of a loss that is of a conversation and not of one part
_TOLD: Final = 0  # when a conversation changed that we were told of and did not find


@dataclass(frozen=True, slots=True, order=True)
class _Changed:
    updated_at: int
    number: str


class ConversationApi:
    """A workspace's conversations as messages, one per part; use within ``with``."""

    folder = ""

    def __init__(self, base: str, access: Access) -> None:
        self.name = f"livechat+{base}"
        self._line = Line(base, access)
        self._called = access.called
        self._identity_off = False
        self._begun: Cursor | None = None  # what `latest` gave

    def __enter__(self) -> Self:
        self._line.__enter__()
        try:
            app = self._line.get("/me").get("app")
        except BaseException:
            self._line.close()
            raise
        verifies = app.get("identity_verification") if isinstance(app, Mapping) else None
        self._identity_off = verifies is False
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()

    def count(self) -> int:
        """Conversations, not messages: those are known only once all are retrieved."""
        total = self._page(0, None, 1).get("total_count")
        return total if isinstance(total, int) else 0

    def latest(self) -> Cursor:
        now = datetime.now(UTC)
        self._begun = Cursor(self.name, self.folder, 0, int(now.timestamp()), now)
        return self._begun

    def batches(
        self, cursor: Cursor | None, known: Known, *, size: int = 200, limit: int | None = None
    ) -> Iterator[Batch]:
        told = cursor or Cursor(self.name, self.folder, 0, 0)
        if cursor is not None and cursor is self._begun:
            yield Batch((), (), told)
        failures: list[SourceError] = []
        stored = mark = told.uid
        pending: list[Piece] = []
        given = 0
        for pieces, behind in self._news(told, known, failures):
            taken = pieces if limit is None else pieces[: limit - given]
            given += len(taken)
            pending += taken
            mark = behind if len(taken) == len(pieces) else mark
            is_last = given == limit
            if is_last or len(pending) >= size or _weight(pending) >= BYTES_PER_BATCH:
                yield from _handed(pending, size, replace(told, uid=stored), mark)
                stored, pending = mark, []
            if is_last:
                return
        if pending or mark > stored:
            yield from _handed(pending, size, replace(told, uid=stored), mark)
        if failures:
            raise failures[-1]

    def fetch(self, keys: Iterable[MessageKey]) -> Iterator[Piece]:
        wanted: dict[int, set[MessageKey]] = {}
        for key in keys:
            wanted.setdefault(key.uidvalidity, set()).add(key)
        for number, missing in wanted.items():
            for piece in self._retrieved(str(number)) if number else ():
                if piece.key in missing or self._whole(number) in missing:
                    missing.discard(piece.key)
                    yield piece
            yield from (Loss(key, "vanished", 0) for key in missing)

    def tag(self, keys: Sequence[MessageKey], keyword: str) -> None:
        """Conversations are left as they are."""

    def conversation(self, number: int) -> Mapping[str, Any]:
        """A conversation as it stands there now; ``number`` is the ``uidvalidity`` of a key.

        Raises ``NotThereError`` where it is gone.
        """
        return self._line.get(f"/conversations/{number}")

    def reply(self, number: int, text: str, admin_id: str) -> None:
        """Post *text* into a conversation, in the name of a teammate; for a person's click alone.

        Never posts twice by itself, and cannot tell what became of a post without an answer: look
        at the conversation (``livechat_answers``) before another try.

        Raises:
            UncertainError: It may have been posted.
            NotWantedError: It was refused for good.
            SourceError: It was not posted.

        """
        body = {"message_type": "comment", "type": "admin", "admin_id": admin_id, "body": text}
        self._line.post(f"/conversations/{number}/reply", body)

    def _news(
        self, told: Cursor, known: Known, failures: list[SourceError]
    ) -> Iterator[tuple[list[Piece], int]]:
        """What is new in each conversation, and the mark up to which all is then retrieved."""
        mark, row = told.uid, 0
        for changed in self._changed(told.uid):
            try:
                pieces = self._retrieved(changed.number)
            except SourceError as error:
                failures.append(error)
                row += 1
                if row == _FAILURES_IN_A_ROW or isinstance(error, LoginRefusedError):
                    return
                continue
            row = 0
            if not failures:  # one that failed is tried again, and with it what comes after
                mark = max(mark, min(changed.updated_at, int(time.time())))  # never past today
            if changed.updated_at == _TOLD:  # what is not there was perhaps never of this workspace
                pieces = [piece for piece in pieces if isinstance(piece, RawMessage)]
            since = told.since or _BEFORE_ALL
            new = unknown(pieces, known)
            yield [p for p in new if isinstance(p, Loss) or p.received_at > since], mark

    def _retrieved(self, number: str) -> list[Piece]:
        try:
            conversation = self._line.get(f"/conversations/{number}")
        except NotThereError:
            return [Loss(self._whole(livechat.numbered(number)), "vanished", 0)]
        except TooLargeError as error:
            return [Loss(self._whole(livechat.numbered(number)), "oversize", error.size)]
        return [*livechat.messages_in(conversation, self.name, identity_off=self._identity_off)]

    def _whole(self, number: int) -> MessageKey:
        return MessageKey(self.name, self.folder, number, _WHOLE)

    def _changed(self, mark: int) -> list[_Changed]:
        """The conversations to look at, in the order in which they have changed."""
        listed: dict[str, int] = {}
        since = max(mark - _LOOK_BACK_S - _SEARCH_BACK_S, 0)
        for _ in range(_LISTINGS):
            # One that changes meanwhile may push another over the edge of a page, past our eyes.
            if self._list(since, listed) <= len(listed):
                break
        recent = {
            number: at for number, at in listed.items() if number and at >= mark - _LOOK_BACK_S
        }
        told = {str(number): _TOLD for number in self._called()}
        return sorted(_Changed(at, number) for number, at in (told | recent).items())

    def _list(self, since: int, listed: dict[str, int]) -> int:
        """Add to *listed* what has changed since then; how many the other side says there are."""
        after: str | None = None
        passed: set[str | None] = set()
        stated = 0
        while after not in passed:
            passed.add(after)
            page = self._page(since, after, _PER_PAGE)
            for one in livechat.listed(page, "conversations"):
                number, updated_at = _identified(one)
                listed[number] = max(updated_at, listed.get(number, 0))
            total = page.get("total_count")
            stated = total if isinstance(total, int) else 0
            after = _following(page)
        if after is not None:
            raise SourceError(f"{self.name}: its pages go round in a circle")
        return stated

    def _page(self, since: int, after: str | None, per_page: int) -> Mapping[str, Any]:
        pages: dict[str, Any] = {"per_page": per_page}
        if after is not None:
            pages["starting_after"] = after
        query = {"field": "updated_at", "operator": ">", "value": since}
        return self._line.search("/conversations/search", {"query": query, "pagination": pages})


def _handed(pieces: Sequence[Piece], size: int, cursor: Cursor, mark: int) -> Iterator[Batch]:
    """*pieces* in batches; only with the last of them is the folder read up to *mark*."""
    runs = [*in_batches(pieces, size)] or [[]]
    for run in runs[:-1]:
        yield batch_of(run, cursor)
    yield batch_of(runs[-1], replace(cursor, uid=mark))


def _weight(pieces: Iterable[Piece]) -> int:
    return sum(0 if isinstance(piece, Loss) else len(piece.content) for piece in pieces)


def _identified(listed: object) -> tuple[str, int]:
    """A listed conversation's id, "" where it has none that can be asked for, and its change."""
    if not isinstance(listed, Mapping):
        return "", 0
    number, updated_at = str(listed.get("id")), listed.get("updated_at")
    can_be_asked = re.fullmatch(r"[0-9]{1,18}", number) is not None
    return number if can_be_asked else "", updated_at if isinstance(updated_at, int) else 0


def _following(page: Mapping[str, Any]) -> str | None:
    """The cursor of the next page, None after the last."""
    pages = page.get("pages")
    following = pages.get("next") if isinstance(pages, Mapping) else None
    after = following.get("starting_after") if isinstance(following, Mapping) else None
    return after if isinstance(after, str) and after else None

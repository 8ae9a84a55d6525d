"""Answers posted into the live chat, each once as far as its API allows.

Nothing at the other side knows a repetition. So every attempt begins by looking at the
conversation: words of ours that stand there have been sent. What was perhaps sent is looked for
again, and tried again only after so long that no request is still on its way, and only where that
teammate has said nothing at all since.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ingest.livechat_answers import Answer, Standing, standing
from ingest.livechat_line import NotThereError, NotWantedError, UncertainError
from ingest.sources import Known, LoginRefusedError, SourceError
from review.outcomes import Arrived, Fate, NotNow, Perhaps, Refused
from store import OutboxRow
from store.outbox import HANDED_OVER
from triage.chats import place_of

if TYPE_CHECKING:
    from ingest.livechat_api import ConversationApi

_NO_ANSWER: Final = f"{HANDED_OVER}: no answer"
#: No request is on its way for longer.
_SETTLED_AFTER_S: Final = 300
#: Until the next look for what the writer has said meanwhile.
_UNREAD_S: Final = 60


class ChatAnswers:
    """Posts answers, one request each."""

    domain = ""
    most = 1

    def __init__(
        self, open_chat: Callable[[], ConversationApi], admin_id: str, known: Known
    ) -> None:
        """*known* tells which messages have been read and decided on."""
        self._open_chat, self._admin_id, self._known = open_chat, admin_id, known

    def carry(self, rows: Sequence[OutboxRow], note: Callable[[str], None]) -> Fate:
        [row] = rows
        answer = self._answer(row)
        if answer is None:
            return Refused("it says nothing, or not to whom")
        try:
            with self._open_chat() as chat:
                return self._said(chat, answer, row, note)
        except (NotThereError, NotWantedError) as error:
            return Refused(_short(error))
        except LoginRefusedError:
            return NotNow("login refused", pauses=True)
        except SourceError as error:
            return NotNow(_short(error), pauses=True)

    def interrupted(self, rows: Sequence[OutboxRow]) -> Fate:
        [row] = rows
        answer = self._answer(row)
        if row.note != HANDED_OVER or answer is None:
            return NotNow("interrupted before it was handed over", at_once=True)
        with suppress(SourceError), self._open_chat() as chat:
            return self._looked_for(chat, answer)
        return NotNow(_NO_ANSWER, wait_s=_SETTLED_AFTER_S)

    def check(self) -> None:
        with self._open_chat():
            pass

    def _answer(self, row: OutboxRow) -> Answer | None:
        text, answered = (str(row.payload.get(name) or "") for name in ("body", "in_reply_to"))
        place = place_of(answered)
        if place is None or not text.strip():
            return None
        return Answer(*place, text.strip(), self._admin_id, row.created_at)

    def _said(
        self, chat: ConversationApi, answer: Answer, row: OutboxRow, note: Callable[[str], None]
    ) -> Fate:
        stands = self._standing(chat, answer)
        if stands.is_there:
            return Arrived("was in the conversation")
        if not stands.fits:
            return Refused("what it answers is not in that conversation")
        if stands.others and row.attempts > 1:
            return Perhaps("the teammate has written since; perhaps it is that")
        if set(stands.newer) - self._known(stands.newer):
            return NotNow("a newer message has yet to be read", wait_s=_UNREAD_S)
        note(HANDED_OVER)  # the point of no return
        try:
            chat.reply(answer.conversation, answer.text, answer.admin_id)
        except UncertainError:
            return self._looked_for(chat, answer)
        return Arrived("posted")

    def _looked_for(self, chat: ConversationApi, answer: Answer) -> Fate:
        """What became of an answer that was handed over."""
        with suppress(SourceError):
            stands = self._standing(chat, answer)
            if stands.is_there:
                return Arrived("found in the conversation")
            if stands.others:
                return Perhaps(_NO_ANSWER)
        return NotNow(_NO_ANSWER, wait_s=_SETTLED_AFTER_S)

    def _standing(self, chat: ConversationApi, answer: Answer) -> Standing:
        return standing(chat.conversation(answer.conversation), answer, chat.name)


def _short(error: SourceError) -> str:
    """What happened, without the workspace's name."""
    return str(error).partition(": ")[2] or str(error)

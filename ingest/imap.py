"""Mail from an IMAP server; the only module that speaks through imapclient.

The folder is opened with EXAMINE and read with BODY.PEEK, so that nothing in it changes. Every
command goes by UID. What the server says is checked against what was asked, and each way in which
imapclient, imaplib, the TLS layer or the socket can fail leaves this module as a ``SourceError``.
"""

from __future__ import annotations

import hashlib
import logging
import random
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ingest.folder_names import from_utf7, to_utf7
from ingest.imap_failures import FAILURES, described, line_is_dead, says_not_now
from ingest.imap_listing import Listed, grouped, listed_from
from ingest.imap_session import Session
from ingest.sources import (
    Access,
    Batch,
    Cause,
    ImapAddress,
    Known,
    Loss,
    SourceError,
    SourceSpecError,
)
from triage.records import Cursor, MessageKey, RawMessage

log = logging.getLogger(__name__)

# imaplib gives up on a line above 1,000,000 bytes, and a UID takes up to 11 bytes of SEARCH's one.
_UIDS_PER_SEARCH = 80_000
_UIDS_PER_LOOK = 1_000  # messages whose size and date are asked for at a time
_LAST_UID = 2**32 - 1  # behind it no UIDNEXT can be told
_UNKNOWN_SIZE = 2**20  # what a message without a size may take its time for
_TRIES = 3
_SHORT_AT_MOST = 3  # mail shorter than its listed size, twice: such is how this server counts
_TAKEN_UP_AT_MOST = 4  # with the first login five: providers lock accounts that log in too often
_ALL_REFUSED = 10  # this many messages refused and none given: it is the server, not the mail
_FOLDERS_NAMED = 20  # in an error about a folder that is not there


class ImapSource(Session):
    """A folder on an IMAP server, for one run; ``count`` and what is news are as of entering.

    A line that breaks while mail is being read is taken up again, a few times in a run and ever
    more slowly: one message that makes the server hang up must not hold up all others for ever.
    Everywhere else a broken line ends the run; the next one goes on from the last cursor.
    """

    def __init__(self, address: ImapAddress, access: Access) -> None:
        super().__init__(address, access)
        self.folder = address.folder
        self._exists = 0
        self._uidvalidity = 0
        self._uidnext = 0  # 0 where the server does not say
        self._begun: Cursor | None = None  # what `latest` gave
        self._taken_up = 0  # how often the line broke and was taken up again
        self._short = 0  # messages that stayed shorter than listed
        self._back = False  # whether this run reads again what is below the cursor

    def count(self) -> int:
        return self._exists

    def latest(self) -> Cursor:
        uid = max(self._uidnext - 1, 0)
        since = datetime.now(UTC)
        newest = self._search("UID", "*") if self._exists else []
        for message in self._look(newest):
            # By the server's clock: were ours ahead, mail would be hidden after a renumbering.
            uid, since = max(uid, message.uid), min(since, message.received_at)
        self._begun = Cursor(self.name, self.folder, self._uidvalidity, uid, since)
        return self._begun

    def batches(
        self, cursor: Cursor | None, known: Known, *, size: int = 200, limit: int | None = None
    ) -> Iterator[Batch]:
        position, not_before = self._start(cursor)
        told = None if cursor is self._begun else cursor
        left = sys.maxsize if limit is None else limit
        for uids in self._uids_after(position.uid):
            looked = self._look(uids, above=position.uid)
            # Beyond a cursor nothing is known, and a UID used twice must not be taken for it.
            passed = known([self._key(m.uid) for m in looked]) if cursor is None else set()
            listed = [
                m for m in looked
                if self._key(m.uid) not in passed
                and (not_before is None or m.received_at > not_before)
            ]  # fmt: skip
            for group in grouped(listed[:left], size, self._access.max_message_bytes):
                left -= len(group)
                told = replace(position, uid=group[-1].uid)
                yield self._batch(self._read(group), told)
            if left <= 0:
                return
            position = replace(position, uid=uids[-1])
        if position != told:
            yield self._batch((), position)

    def fetch(self, keys: Iterable[MessageKey]) -> Iterator[RawMessage | Loss]:
        """The messages behind *keys* once more, those of an earlier numbering as vanished."""
        asked = sorted(set(keys))
        yield from (Loss(key, "vanished", 0) for key in asked if not self._is_ours(key))
        uids = [key.uid for key in asked if self._is_ours(key)]
        for first in range(0, len(uids), _UIDS_PER_LOOK):
            chunk = uids[first : first + _UIDS_PER_LOOK]
            there = set(self._search("UID", ",".join(map(str, chunk))))
            yield from (Loss(self._key(uid), "vanished", 0) for uid in chunk if uid not in there)
            listed = self._look([uid for uid in chunk if uid in there])
            for group in grouped(listed, len(listed), self._access.max_message_bytes):
                yield from self._read(group)

    def tag(self, keys: Sequence[MessageKey], keyword: str) -> None:
        """Add *keyword* to the messages behind *keys*; the folder is open for writing just for it.

        Keys of an earlier numbering and messages gone meanwhile are passed over.
        """
        if not re.fullmatch(r"[A-Za-z0-9$_.-]{1,50}", keyword):
            raise SourceSpecError(
                f"a keyword is letters, digits, '$', '_', '.', '-', not {keyword!r}"
            )
        uids = sorted({key.uid for key in keys if self._is_ours(key)})
        if not uids:
            return
        with self._edge("tagging"):
            opened = self._client.select_folder(to_utf7(self.folder))
            kept = {bytes(flag).lower() for flag in opened.get(b"PERMANENTFLAGS", ())}
            allowed = bool(kept & {b"\\*", keyword.lower().encode()})
            if allowed and opened.get(b"UIDVALIDITY") == self._uidvalidity:
                for first in range(0, len(uids), _UIDS_PER_LOOK):
                    chunk = uids[first : first + _UIDS_PER_LOOK]
                    self._client.add_flags(chunk, [keyword], silent=True)
        self._examine_again()
        if not allowed:
            raise SourceError(f"{self.name}: the server keeps no keyword {keyword} in this folder")

    # Connecting

    def _begin(self) -> None:
        self._examine()

    def _examine(self) -> None:
        try:
            opened = self._client.select_folder(to_utf7(self.folder), readonly=True)
        except FAILURES as error:
            raise self._no_folder(error) from None
        numbers = {name: opened.get(name) for name in (b"EXISTS", b"UIDVALIDITY", b"UIDNEXT")}
        exists, validity, following = (n if isinstance(n, int) else 0 for n in numbers.values())
        if not validity:
            raise SourceError(
                f"{self.name}: the server gives no UIDVALIDITY, so mail has no identity"
            )
        self._exists, self._uidvalidity, self._uidnext = exists, validity, following

    def _no_folder(self, error: BaseException) -> SourceError:
        if line_is_dead(error) or says_not_now(error):
            return SourceError(f"{self.name}: {described(error)} while opening the folder")
        with self._edge("listing the folders"):
            listed = [from_utf7(name) for _, _, name in self._client.list_folders()]
        if self.folder in listed:
            return SourceError(f"{self.name}: the server refuses to open this folder")
        more = ", …" if len(listed) > _FOLDERS_NAMED else ""
        names = ", ".join(sorted(listed)[:_FOLDERS_NAMED])
        return SourceError(f"{self.name}: no folder {self.folder!r}; there are: {names}{more}")

    def _take_up(self, error: BaseException) -> None:
        """Connect anew after *error*; raises where that has been done often enough."""
        name = type(error).__name__
        told = {"event": "connection_lost", "error": name}
        log.warning("connection lost while reading mail (%s)", name, extra=told)
        if self._taken_up >= _TAKEN_UP_AT_MOST:
            raise SourceError(f"{self.name}: {described(error)} while reading mail") from None
        self._hang_up()
        # Spread, lest all that a restarting server has thrown out come back at once.
        spread = random.uniform(0.5, 1.5)  # noqa: S311 - no secret
        time.sleep(self._access.backoff_s * 2**self._taken_up * spread)
        self._taken_up += 1
        self._connect()
        self._login()
        self._examine_again()

    def _examine_again(self) -> None:
        numbering = self._uidvalidity
        self._examine()
        if self._uidvalidity != numbering:
            raise self._renumbered()

    def _renumbered(self) -> SourceError:
        return SourceError(f"{self.name}: the server renumbered the folder while it was read")

    # Finding what is new

    def _start(self, cursor: Cursor | None) -> tuple[Cursor, datetime | None]:
        """Where to go on, and the moment up to which mail is none of ours.

        By UIDs alone everything after the cursor is ours, whatever its date. Only where the UIDs
        have lost their meaning must the date tell what was there before we started.
        """
        fresh = Cursor(self.name, self.folder, self._uidvalidity, 0)
        if cursor is None:
            return fresh, None
        fresh = replace(fresh, since=cursor.since)
        if cursor.uidvalidity != self._uidvalidity:
            told = {"event": "folder_renumbered"}
            log.warning("folder renumbered; reading it again from the start", extra=told)
            return fresh, cursor.since
        if 0 < self._uidnext <= cursor.uid < _LAST_UID:
            told = {"event": "folder_went_back"}
            log.warning("UIDNEXT went back; reading the folder from the start", extra=told)
            self._back = True
            return fresh, cursor.since
        return cursor, None

    def _uids_after(self, uid: int) -> Iterator[list[int]]:
        """The folder's UIDs above *uid*, ascending, some at a time; asks nothing without need."""
        if not self._exists or 0 < self._uidnext <= uid + 1:
            return
        for low, high in self._windows(uid + 1):
            # `n:*` holds the last message even where its UID is below n (RFC 3501, 6.4.8).
            found = sorted({u for u in self._search("UID", f"{low}:{high}") if u > uid})
            for first in range(0, len(found), _UIDS_PER_LOOK):
                yield found[first : first + _UIDS_PER_LOOK]

    def _windows(self, low: int) -> Iterator[tuple[int, int | str]]:
        """Ranges of UIDs from *low* up, none of which can hold more than a SEARCH may answer."""
        if self._exists <= _UIDS_PER_SEARCH:
            yield low, "*"
            return
        low = max([low, *self._search("1")])  # the lowest UID there is, which may be far up
        last = max([self._uidnext - 1, *self._search("UID", "*")])
        for start in range(low, last + 1, _UIDS_PER_SEARCH):
            yield start, min(start + _UIDS_PER_SEARCH - 1, last)

    def _search(self, *criteria: str) -> list[int]:
        with self._edge("searching"):
            return [int(uid) for uid in self._client.search(list(criteria))]

    def _look(self, uids: Sequence[int], *, above: int | None = None) -> list[Listed]:
        """Size and date of messages; what gets no answer stays in, for reading it to tell why.

        With *above* all from there to the last of *uids*, lest the cursor pass over what a search
        has left out: some servers search an index that lags behind.
        """
        answers: Mapping[int, Mapping[bytes, Any]] = {}
        with self._edge("reading mail"):
            if uids and above is None:
                answers = self._client.fetch(uids, ["RFC822.SIZE", "INTERNALDATE"])
            elif uids and above is not None:
                answers = self._client.fetch_range(above + 1, uids[-1], "RFC822.SIZE INTERNALDATE")
                uids = sorted({*uids, *answers})
        if len(uids) >= _ALL_REFUSED and not answers:
            raise SourceError(f"{self.name}: the server describes none of the messages it found")
        return [listed_from(uid, answers.get(uid, {})) for uid in uids]

    def _is_ours(self, key: MessageKey) -> bool:
        return (key.source, key.uidvalidity) == (self.name, self._uidvalidity)

    def _key(self, uid: int) -> MessageKey:
        return MessageKey(self.name, self.folder, self._uidvalidity, uid)

    # Reading

    def _batch(self, read: Iterable[RawMessage | Loss], cursor: Cursor) -> Batch:
        read = tuple(read)
        messages = tuple(each for each in read if isinstance(each, RawMessage))
        losses = tuple(each for each in read if isinstance(each, Loss))
        return Batch(messages, losses, cursor, goes_back=self._back)

    def _read(self, group: Sequence[Listed]) -> list[RawMessage | Loss]:
        most = self._access.max_message_bytes
        wanted = {m.uid: m.size for m in group if m.size <= most}
        bodies = self._bodies(wanted) if wanted else {}
        causes = self._causes([uid for uid in wanted if uid not in bodies])
        read: list[RawMessage | Loss] = []
        for listed in group:
            key, body = self._key(listed.uid), bodies.get(listed.uid)
            if body is None:
                read.append(Loss(key, causes.get(listed.uid, "oversize"), listed.size))
            elif len(body) > most:  # RFC822.SIZE is only what the server believes
                read.append(Loss(key, "oversize", len(body)))
            else:
                digest = hashlib.sha256(body).hexdigest()
                read.append(RawMessage(key, listed.received_at, digest, body))
        return read

    def _bodies(self, sizes: Mapping[int, int]) -> dict[int, bytes]:
        """The bytes of all that can be had: asked for together, then what is missing one by one."""
        bodies = self._answered(sizes)
        short = {uid for uid, body in bodies.items() if self._is_short(body, sizes[uid])}
        for _ in range(_TRIES - 1):
            missing = [uid for uid in sizes if uid not in bodies or uid in short]
            for uid in missing:
                again = self._answered({uid: sizes[uid]})
                bodies |= {u: max(body, bodies.get(u, b""), key=len) for u, body in again.items()}
            if len(missing) >= _ALL_REFUSED and not bodies:
                raise SourceError(f"{self.name}: the server refuses every message asked for")
            self._short += sum(self._is_short(bodies.get(uid, b""), sizes[uid]) for uid in short)
            short = set()
        # None of it may be believed where the numbers mean other mail by now.
        self._examine_again()
        return bodies

    def _is_short(self, body: bytes, size: int) -> bool:
        """Whether it may have been cut off; servers that miscount are believed after a while."""
        return 0 < len(body) < size and self._short < _SHORT_AT_MOST

    def _answered(self, sizes: Mapping[int, int]) -> dict[int, bytes]:
        """Bodies by UID, those that came; NIL is mail gone meanwhile, and no mail is empty."""
        self._client.patience.expect(sum(size or _UNKNOWN_SIZE for size in sizes.values()))
        try:
            answers = self._client.fetch(list(sizes), ["BODY.PEEK[]"])
        except FAILURES as error:
            if says_not_now(error):
                raise SourceError(f"{self.name}: {described(error)} while reading mail") from None
            if line_is_dead(error):
                self._take_up(error)
            return {}
        if self._client.renumbered_from(self._uidvalidity):
            raise self._renumbered()
        found = ((uid, answers[uid].get(b"BODY[]")) for uid in answers if uid in sizes)
        return {uid: body for uid, body in found if isinstance(body, bytes) and body}

    def _causes(self, uids: Sequence[int]) -> dict[int, Cause]:
        """Why messages could not be read: gone, or still there and not given out."""
        if not uids:
            return {}
        there = set(self._search("UID", ",".join(map(str, uids))))
        told = {"event": "messages_gone", "count": len(uids)}
        log.warning("%d messages gone since listed or not given out", len(uids), extra=told)
        return {uid: "unfetchable" if uid in there else "vanished" for uid in uids}

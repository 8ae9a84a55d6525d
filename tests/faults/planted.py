"""Bugs that ingest must never have, to be planted in a worker: the oracle must find each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any


def plant(bug: str) -> None:
    if bug:
        BUGS[bug]()


def _acknowledge_first() -> None:
    """The cursor is moved when mail is fetched, not when it is stored."""
    import pipeline

    keep = pipeline.keep

    def hasty(fetched: Iterable[Any], store: Any) -> Iterator[Any]:
        for batch in keep(fetched, store):
            with store.batch() as memory:
                memory.advance(batch.cursor)
            yield batch

    pipeline.keep = hasty


def _two_transactions() -> None:
    """A batch is stored in two transactions instead of one."""
    from store.rows import Rows

    write = Rows._write_places

    def split(rows: Any, connection: Any, run_id: int | None) -> None:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("BEGIN")
        write(rows, connection, run_id)

    Rows._write_places = split


def _none_is_empty() -> None:
    """A message that is gone is taken for one without content."""
    from ingest.imap import ImapSource

    def trusting(source: Any, sizes: Any) -> dict[int, bytes]:
        answers = source._client.fetch(list(sizes), ["BODY.PEEK[]"])
        return {uid: answer.get(b"BODY[]") or b"" for uid, answer in answers.items()}

    ImapSource._answered = trusting


def _no_digest() -> None:
    """Mail is known by its number alone."""
    from ingest.imap import ImapSource

    read = ImapSource._read

    def by_number(source: Any, group: Any) -> list[Any]:
        return [
            replace(each, digest=hashlib.sha256(repr(each.key).encode()).hexdigest())
            if hasattr(each, "digest")
            else each
            for each in read(source, group)
        ]

    ImapSource._read = by_number


def _no_fencing() -> None:
    """Whoever once held the lease may store for ever."""
    from store.leases import Lease

    Lease.hold = lambda _self, _connection: None


def _cursor_never_back() -> None:
    """The cursor stays ahead though the server has taken the numbers back."""
    from store.batch import Batch

    advance = Batch.advance
    Batch.advance = lambda self, cursor, **_: advance(self, cursor)


def _swallowed() -> None:
    """What could not be fetched is passed over without a record."""
    import pipeline
    from store import Tally

    pipeline.record_loss = lambda _loss, _memory: Tally()


def _unsealed() -> None:
    """An audit row is written without regard to the one before."""
    import store.batch

    sealed = store.batch.sealed_row
    store.batch.sealed_row = lambda _previous, event: sealed("0" * 64, event)


def _chatty() -> None:
    """Mail is logged."""
    import logging

    import pipeline

    understood = pipeline.Understood

    def telling(email: Any, *more: Any) -> Any:
        logging.getLogger("chatty").info("read %s", email.new_text)
        return understood(email, *more)

    pipeline._parse = _then(pipeline._parse, lambda email: telling(email, (), ""))


def _then(work: Callable[..., Any], look: Callable[[Any], object]) -> Callable[..., Any]:
    def both(*args: Any) -> Any:
        result = work(*args)
        if hasattr(result, "new_text"):
            look(result)
        return result

    return both


def _marks_as_read() -> None:
    """Mail is read so that the server marks it as read."""
    from ingest.imap_line import BoundedClient

    fetch, select = BoundedClient.fetch, BoundedClient.select_folder
    BoundedClient.fetch = lambda self, uids, items: fetch(
        self, uids, [item.replace(".PEEK", "") for item in items]
    )
    BoundedClient.select_folder = lambda self, folder, **_: select(self, folder)


def _not_synced() -> None:
    """SQLite is told to leave commits to the kernel's leisure."""
    import store.database

    settle = store.database._settle_sqlite

    def hasty(connection: Any, *more: Any) -> None:
        settle(connection, *more)
        connection.execute("PRAGMA synchronous=NORMAL")

    store.database._settle_sqlite = hasty


def _no_second_try() -> None:
    """A transaction that was undone in favour of another is not done again."""
    import pipeline

    pipeline.stubborn = lambda work: work()


def _not_settled() -> None:
    """A restored database is taken for one that was never away."""
    import store.backups
    from store.database import migrated

    def as_it_was(database: Any, *_: Any) -> int:
        migrated(database, migrate=True)
        return 0

    store.backups._settled = as_it_was


BUGS: dict[str, Callable[[], None]] = {
    "acknowledge before commit": _acknowledge_first,
    "two transactions for one": _two_transactions,
    "None stored as empty mail": _none_is_empty,
    "no digest": _no_digest,
    "no fencing": _no_fencing,
    "cursor never goes back": _cursor_never_back,
    "losses passed over": _swallowed,
    "audit rows not sealed": _unsealed,
    "no second try": _no_second_try,
    "commits not synced": _not_synced,
    "restored and not settled": _not_settled,
    "mail in the log": _chatty,
    "mail marked as read": _marks_as_read,
}

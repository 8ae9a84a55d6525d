"""Messages from paths as people give them on a command line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from ingest.livechat import untouched
from ingest.livechat_files import is_export
from ingest.sources import Access, SourceSpecError, open_source
from triage.records import MessageKey, RawMessage


def messages_at(paths: Iterable[Path]) -> Iterator[RawMessage]:
    """Each message below *paths*, in the order given, files within a folder by name.

    A file is a message, an mbox or an export of a live chat, a folder a Maildir, a tree of ``.eml``
    files, or of exports where it holds none of those. The key's source is the file's path, behind
    ``livechat:`` for an export; its uid the number within an mbox.

    Raises:
        SourceSpecError: A path is neither, or there is no message in it.

    """
    for path in paths:
        if path.is_dir():
            if files := _files_below(path):
                for file in files:
                    yield _message(file)
            elif any(is_export(file) for file in path.rglob("*")):
                yield from _chat(path)
            else:
                msg = f"{path} holds no message; allowed: .eml files, a Maildir, an mbox, exports"
                raise SourceSpecError(msg)
        elif not path.exists():
            msg = f"{path} does not exist; give message files, folders, Maildirs or mboxes"
            raise SourceSpecError(msg)
        elif is_export(path):
            yield from _chat(path)
        elif _is_mbox(path):
            yield from _mbox(path)
        else:
            yield _message(path)


def _files_below(folder: Path) -> list[Path]:
    if (folder / "cur").is_dir() or (folder / "new").is_dir():
        found = [file for part in ("cur", "new") for file in (folder / part).glob("*")]
        return sorted((file for file in found if file.is_file()), key=lambda file: file.name)
    return sorted(file for file in folder.rglob("*.eml") if file.is_file())


def _is_mbox(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(5) == b"From "


def _message(path: Path) -> RawMessage:
    content = path.read_bytes()
    arrived = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return _raw(str(path), 0, content, arrived)


def _mbox(path: Path) -> Iterator[RawMessage]:
    with open_source(f"mbox:{path}", Access()) as source:
        number = 0
        for batch in source.batches(None, lambda _: set()):
            for raw in batch.messages:
                number += 1
                yield _raw(str(path), number, raw.content, raw.received_at)


def _chat(path: Path) -> Iterator[RawMessage]:
    with open_source(f"livechat:{path}", Access()) as source:
        for batch in source.batches(None, lambda _: set()):
            yield from batch.messages
            # Too large to be read: shown as what cannot be.
            yield from (untouched(loss.key, b"") for loss in batch.losses)


def _raw(path: str, number: int, content: bytes, arrived: datetime) -> RawMessage:
    digest = hashlib.sha256(content).hexdigest()
    return RawMessage(MessageKey(path, "", 0, number), arrived, digest, content)

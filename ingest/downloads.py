"""One attachment onto disk, for a person: bytes as they came, under a name that can do no harm."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ingest import charset
from ingest.parsing import attachment_content, html_form
from ingest.pictures import HtmlForm
from ingest.workers import Workers, process_pool
from triage.records import Attachment, RawMessage

_NOT_IN_NAMES = re.compile(r'[<>:"|?*\x00-\x1f\x7f]')
_PATH = re.compile(r"[/\\]")
_DEVICE = re.compile(r"(?i)(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)")  # on Windows no files at all
# The first is added where a name has none of them. A program gets one that nothing runs.
_EXTENSIONS = {
    "application/gzip": (".gz", ".tgz"),
    "application/ms-tnef": (".dat",),
    "application/pdf": (".pdf",),
    "application/rtf": (".rtf", ".doc"),
    "application/vnd.microsoft.portable-executable": (".bin",),
    "application/vnd.rar": (".rar",),
    "application/x-7z-compressed": (".7z",),
    "application/x-ole-storage": (".ole", ".doc", ".xls", ".ppt", ".msg"),
    "application/zip": (".zip", ".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".pages"),
    "audio/mpeg": (".mp3",),
    "image/gif": (".gif",),
    "image/jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "image/png": (".png",),
    "image/svg+xml": (".svg",),
    "message/rfc822": (".eml",),
}
_MAX_NAME = 120  # bytes; file systems take 255, and a number may be added
_MAX_EXTENSION = 16
_MAX_TRIES = 1000
_HTML_CPU_SECONDS = 5.0  # somebody waits for it; the usual takes a fiftieth


def extract(raw: RawMessage, number: int) -> tuple[Attachment, bytes] | None:
    """Attachment *number* (from 0) of *raw* with its bytes; None where they cannot be had.

    The message is taken apart again in a process of its own, within a worker's limits.
    """
    pool = partial(process_pool, 1, ("ingest.parsing",))
    with Workers(partial(_extract, number), _nothing, pool) as workers:
        return workers.start([raw])()[0]


def html_shown(raw: RawMessage, shown: Callable[[HtmlForm], str]) -> str | None:
    """What *shown* makes of the HTML form of *raw*; None where that takes too much time or memory.

    Taken apart as attachments are. *shown*, a function of a module's own, runs there as well: a
    sanitiser has inputs that cost it minutes, too.
    """
    pool = partial(process_pool, 1, ("ingest.parsing",))
    work = partial(_html_shown, shown)
    with Workers(work, _not_shown, pool, cpu_seconds=_HTML_CPU_SECONDS) as workers:
        return workers.start([raw])()[0]


def _html_shown(
    shown: Callable[[HtmlForm], str], messages: Sequence[RawMessage]
) -> list[str | None]:
    return [shown(html_form(raw)) for raw in messages]


def _not_shown(_: RawMessage) -> None:
    return None


def _extract(number: int, messages: Sequence[RawMessage]) -> list[tuple[Attachment, bytes] | None]:
    return [attachment_content(raw, number) for raw in messages]


def _nothing(_: RawMessage) -> tuple[Attachment, bytes] | None:
    return None


def safe_name(attachment: Attachment) -> str:
    """A file name after the sender's own: one part, no device, no surprise about what it is.

    Where the bytes are of another type than the name says, an extension that says so is added.
    """
    shown = _PATH.split(charset.clean_line(attachment.name)[0])[-1]
    name = _NOT_IN_NAMES.sub("_", shown).strip(" .-~") or "attachment"
    if _DEVICE.match(name):
        name = f"_{name}"
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension) > _MAX_EXTENSION:
        stem, dot, extension = name, "", ""
    room = _MAX_NAME - len(f"{dot}{extension}".encode())
    name = stem.encode()[:room].decode("utf-8", "ignore") + dot + extension
    return name + _true_extension(name, attachment.content_type)


def _true_extension(name: str, content_type: str) -> str:
    """What to add to a name whose extension is none of its type's."""
    known = _EXTENSIONS.get(content_type, ())
    return "" if not known or name.lower().endswith(known) else known[0]


def save(content: bytes, name: str, folder: Path) -> Path:
    """Write *content* into *folder* as *name* and give the path; nothing is ever overwritten.

    The file appears whole or not at all, readable by its owner alone. A number is added to a name
    that is taken. Raises ``OSError``.
    """
    hidden = folder / f".{secrets.token_hex(8)}.part"
    handle = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        return _linked(hidden, name, folder)
    finally:
        hidden.unlink()


def _linked(hidden: Path, name: str, folder: Path) -> Path:
    stem, suffix = Path(name).stem, Path(name).suffix
    for number in range(1, _MAX_TRIES):
        path = folder / (name if number == 1 else f"{stem} ({number}){suffix}")
        try:
            path.hardlink_to(hidden)
        except FileExistsError:
            continue
        return path
    raise FileExistsError(f"{_MAX_TRIES} files of that name are there")

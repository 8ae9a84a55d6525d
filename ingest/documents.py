"""Attached PDF and Word files as text: for people to read, never the sender's own statement.

Files of strangers, given to libraries that were not made for them: the bytes, pages, unpacked size
and processor time are bounded here, memory and whatever happens in C by the worker process that
this runs in (``ingest.workers``).
"""

from __future__ import annotations

import logging
import signal
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from types import FrameType

from ingest import charset

MAX_BYTES = 10 * 1024 * 1024
MAX_PAGES = 50
MAX_TEXT = 100_000  # characters kept of one document
MAX_ENTRIES = 1_000  # files inside a Word file
MAX_UNPACKED = 30 * 1024 * 1024
MAX_RATIO = 200  # unpacked to packed; XML of letters and forms has 5 to 30
CPU_SECONDS = 5.0  # for one document
MAX_DOCUMENTS = 3  # attachments looked at in one message; 15 s stay below a worker's limit

PDF = "application/pdf"
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


class _TooSlow(BaseException):
    """Rises out of a document that takes too long, past libraries that catch every exception."""


def kind_of(name: str, content_type: str) -> str:
    """``PDF`` or ``WORD`` for an attachment as listed, "" for what is not read."""
    if content_type in {PDF, WORD}:
        return content_type
    return WORD if content_type == "application/zip" and name.lower().endswith(".docx") else ""


def text_of(data: bytes, kind: str) -> tuple[str, tuple[str, ...]]:
    """The text of a document of *kind*, and codes of what kept us from reading it whole.

    Raises nothing: what cannot be read is "" and a defect.
    """
    if len(data) > MAX_BYTES:
        return "", ("document_unread",)
    read = _pdf_pieces if kind == PDF else _word_pieces
    pieces: list[str] = []
    failed: tuple[str, ...] = ()
    try:
        with _limited_time():
            for piece in read(data):
                pieces.append(piece)
                if sum(map(len, pieces)) > MAX_TEXT:
                    failed = ("document_cut",)
                    break
    except (_TooSlow, Exception):  # noqa: BLE001 - these libraries raise anything, MemoryError too
        failed = ("document_cut",) if "".join(pieces).strip() else ("document_unread",)
    text, _ = charset.clean("\n".join(pieces)[:MAX_TEXT])
    return text.strip(), failed


def _pdf_pieces(data: bytes) -> Iterator[str]:
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL + 1)  # it logs what it finds in the file
    reader = PdfReader(BytesIO(data), strict=False)
    for number, page in enumerate(reader.pages):
        if number == MAX_PAGES:
            yield " " * (MAX_TEXT + 1)  # counts as cut
        yield page.extract_text()


def _word_pieces(data: bytes) -> Iterator[str]:
    _check_unpacked(data)
    from docx import Document
    from docx.table import Table

    for block in Document(BytesIO(data)).iter_inner_content():
        if isinstance(block, Table):
            for row in block.rows:
                yield "\t".join(cell.text.strip() for cell in row.cells)
        else:
            yield block.text


def _check_unpacked(data: bytes) -> None:
    """Raise ``ValueError`` for an archive that unpacks to far more than a letter."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        found = archive.infolist()
    size = sum(entry.file_size for entry in found)
    ratio = max((entry.file_size / max(entry.compress_size, 1) for entry in found), default=0)
    if len(found) > MAX_ENTRIES or size > MAX_UNPACKED or ratio > MAX_RATIO:
        raise ValueError("unpacks to too much")


@contextmanager
def _limited_time() -> Iterator[None]:
    """Raise ``_TooSlow`` after so much processor time, again and again until somebody heeds it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no alarm reaches a thread; the worker's own limit holds
        return
    before = signal.signal(signal.SIGVTALRM, _ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS, 0.2)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _ring(_number: int, _frame: FrameType | None) -> None:
    raise _TooSlow

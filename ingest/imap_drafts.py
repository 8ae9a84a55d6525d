"""Letters among the drafts of a mailbox, and whether one is among the sent mail.

The only place where something is written into a mailbox (but for keywords). A letter is known by
its Message-ID, so that it is put there once however often it is tried.
"""

from __future__ import annotations

from datetime import datetime

from ingest.folder_names import from_utf7, to_utf7
from ingest.imap_session import Session
from ingest.sources import Access, SourceError, SourceSpecError, parse_imap_address


class Letterbox(Session):
    """Drafts and sent mail of one account; use within ``with``. May raise ``SourceError``.

    *drafts* and *sent* name the folders; where they are "", the server must say which they are
    (RFC 6154, as all large providers do).
    """

    def __init__(self, spec: str, access: Access, *, drafts: str = "", sent: str = "") -> None:
        scheme, _, rest = spec.partition(":")
        if scheme not in {"imap", "imaps"}:
            raise SourceSpecError("drafts need a mailbox on an IMAP server (imaps://…)")
        address = parse_imap_address(scheme, rest, spec)
        if not address.tls and not access.allow_plaintext:
            raise SourceSpecError(f"{address.spec}: not without TLS; use imaps://")
        super().__init__(address, access)
        self._folders = {b"\\Drafts": drafts, b"\\Sent": sent}

    def put_draft(self, message_id: str, content: bytes, written_at: datetime) -> bool:
        """Put a letter among the drafts; False where it is there already."""
        folder = self.folder(b"\\Drafts")
        if self._holds(folder, message_id):
            return False
        with self._edge("putting a draft"):
            self._client.append(to_utf7(folder), content, (b"\\Draft", b"\\Seen"), written_at)
        return True

    def has_sent(self, message_id: str) -> bool:
        """Whether the letter is among the sent mail. That it is not proves nothing."""
        return self._holds(self.folder(b"\\Sent"), message_id)

    def folder(self, use: bytes) -> str:
        """The folder of that special use."""
        if named := self._folders[use]:
            return named
        with self._edge("looking for folders"):
            for flags, _, name in self._client.list_folders():
                if use.lower() in {bytes(flag).lower() for flag in flags}:
                    return from_utf7(name)
        kind = use.decode().strip("\\").lower()
        raise SourceError(f"{self.name}: the server names no folder for {kind}; set mail.{kind}")

    def _holds(self, folder: str, message_id: str) -> bool:
        with self._edge(f"looking into {folder!r}"):
            self._client.select_folder(to_utf7(folder), readonly=True)
            return bool(self._client.search(["HEADER", "Message-ID", message_id]))

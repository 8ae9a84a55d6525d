"""Where mail comes from: one small protocol, and the words by which a source is named.

A source hands out what is new, oldest first, in batches bounded in number and in bytes, and leaves
the mailbox as it found it. What each batch gives the caller to remember is a ``Cursor``; a source
remembers nothing itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self
from urllib.parse import quote, unquote, urlsplit

from triage.records import Cursor, MessageKey, RawMessage

ALLOWED_SPECS = (
    "imaps://user@host[:port]/FOLDER, imap://user@host[:port]/FOLDER (only where plaintext is "
    "allowed), maildir:PATH, mbox:PATH, eml:PATH, livechat:PATH or livechat+https://host"
)
# However many messages a caller asks for at once, no batch holds more than this (or one message).
BYTES_PER_BATCH = 8 * 1024 * 1024
_PORTS = {"imaps": 993, "imap": 143}

Known = Callable[[Sequence[MessageKey]], set[MessageKey]]
Cause = Literal["vanished", "oversize", "unfetchable"]


class SourceError(Exception):
    """The mailbox cannot be reached or read now. Names what and what is allowed, never a secret."""


class SourceSpecError(SourceError):
    """The words that name a source are wrong: a mistake to correct, not a state to wait out."""


class LoginRefusedError(SourceError):
    """The server has heard user and password and refuses them. Never a cut or an overload."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A message that was there and is not handed over, and why."""

    key: MessageKey
    cause: Cause  # gone before it was read; larger than allowed; refused however often asked
    size: int  # bytes as the server or file system claims them, 0 where it does not


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages and losses oldest first, and where the folder stands once they are stored.

    Both may be empty: then only the cursor has moved, and is to be stored all the same.
    ``goes_back`` says that the cursor is to be stored though it may stand lower than the last one
    under the same numbering: the server has taken numbers back, and may give them out again.
    """

    messages: tuple[RawMessage, ...]
    losses: tuple[Loss, ...]
    cursor: Cursor
    goes_back: bool = False


class AccessTokens(Protocol):
    """Tokens that stand in for a password (OAuth2, ``ingest/oauth.py``); may raise SourceError."""

    def current(self) -> str:
        """A token that should be good."""

    def renewed(self, refused: str) -> str | None:
        """Another one than *refused*; None where asking again is of no use."""


def _at_once() -> None:
    """Nothing holds a login up."""


@dataclass(frozen=True, slots=True)
class Access:
    """What reading a mailbox needs beside its name.

    ``user`` is the login where it differs from the address in the spec, as for shared mailboxes.
    ``timeout_s`` bounds every single wait on the network, in seconds, and with an allowance for
    the bytes that it brings every IMAP command as a whole.
    """

    password: str = field(default="", repr=False)
    ca_file: str = ""  # PEM file of the authority to trust instead of the system's
    allow_plaintext: bool = False
    timeout_s: float = 30
    max_message_bytes: int = 25 * 1024 * 1024
    user: str = ""
    backoff_s: float = 1.0  # before a broken line is first taken up again; doubles each time
    tokens: AccessTokens | None = field(default=None, repr=False)  # instead of the password
    before_login: Callable[[], None] = field(default=_at_once, repr=False)  # may raise SourceError
    #: Conversations to retrieve besides those that a live chat's search shows.
    called: Callable[[], Iterable[int]] = field(default=tuple, repr=False)


class Source(Protocol):
    """A folder of mail. Every method may raise ``SourceError``; use within ``with``."""

    name: str  # canonical spec without secrets, stable over runs; `open_source` takes it back
    folder: str

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def count(self) -> int:
        """Messages in the folder, as of entering."""

    def latest(self) -> Cursor:
        """The cursor that leaves everything now present behind: to start "from now on"."""

    def batches(
        self, cursor: Cursor | None, known: Known, *, size: int = 200, limit: int | None = None
    ) -> Iterator[Batch]:
        """What lies after *cursor*, oldest first; nothing at all where there is no news.

        *cursor* None is the whole history. *known* says which of the keys it is given are stored
        already; those are passed over unread. At most *limit* messages and losses are given. A
        cursor that ``latest`` gave comes back in an empty first batch, so that it is stored though
        no mail comes. A batch's cursor may stand lower than *cursor* where a server has renumbered
        the folder: mail then comes again under new keys, and its digest tells. Where a server has
        taken numbers back (``Batch.goes_back``), other mail may come under a key that is known.
        """

    def fetch(self, keys: Iterable[MessageKey]) -> Iterator[RawMessage | Loss]:
        """The messages behind *keys* once more, in any order: for those that were lost before."""

    def tag(self, keys: Sequence[MessageKey], keyword: str) -> None:
        """Mark stored messages in the mailbox with an IMAP keyword; files are never touched."""


@dataclass(frozen=True, slots=True)
class ImapAddress:
    """An IMAP folder as a spec names it."""

    user: str
    host: str
    port: int
    folder: str
    tls: bool

    @property
    def spec(self) -> str:
        scheme = "imaps" if self.tls else "imap"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[scheme] else f":{self.port}"
        return f"{scheme}://{quote(self.user, safe='@')}@{host}{port}/{quote(self.folder)}"


def open_source(spec: str, access: Access) -> Source:
    """The source that *spec* names; nothing is connected or opened until ``with``.

    Raises ``SourceSpecError`` where the spec cannot be understood or is not allowed. In user and
    folder of an IMAP spec ``%XX`` stands for a byte of UTF-8, as in every URL.
    """
    scheme, colon, rest = spec.partition(":")
    if not colon or not rest.strip("/"):
        raise SourceSpecError(f"{_shown(spec)} names no source; allowed: {ALLOWED_SPECS}")
    if scheme in _PORTS:
        return _open_imap(spec, scheme, rest, access)
    if scheme in {"maildir", "mbox", "eml", "livechat"}:
        return _open_files(scheme, rest, access)
    if scheme in {"livechat+https", "livechat+http"}:
        return _open_livechat(spec, access)
    raise SourceSpecError(f"unknown kind of source {_shown(scheme)}; allowed: {ALLOWED_SPECS}")


def _open_imap(spec: str, scheme: str, rest: str, access: Access) -> Source:
    address = parse_imap_address(scheme, rest, spec)
    if not address.tls and not access.allow_plaintext:
        raise SourceSpecError(
            f"{address.spec}: without TLS the password and the mail can be read on the way; use "
            "imaps:// or allow plaintext in the settings"
        )
    # Light commands name sources without ever reading one.
    from ingest.imap import ImapSource

    return ImapSource(address, access)


def _open_files(scheme: str, rest: str, access: Access) -> Source:
    from ingest import files
    from ingest.livechat_files import ConversationFiles

    if _unprintable(rest):
        raise SourceSpecError(f"{scheme}: the path must be printable UTF-8 text")
    path = Path(os.path.abspath(Path(rest).expanduser()))  # noqa: PTH100 - keeps symbolic links
    kinds: Mapping[str, Callable[[Path, int], Source]] = {
        "maildir": files.Maildir,
        "mbox": files.Mbox,
        "eml": files.EmlFolder,
        "livechat": ConversationFiles,
    }
    return kinds[scheme](path, access.max_message_bytes)


def _open_livechat(spec: str, access: Access) -> Source:
    url = urlsplit(spec.removeprefix("livechat+"))
    if url.scheme == "http" and not access.allow_plaintext:
        raise SourceSpecError("live chat without TLS: use livechat+https://, or allow plaintext")
    allowed = re.fullmatch(r"https?://(\[[0-9a-fA-F:]+\]|[\w.-]+)(:\d{1,5})?/?", url.geturl())
    if not allowed:
        raise SourceSpecError(
            "a live chat is named by its host alone; allowed: livechat+https://host[:port]; "
            "the token is given by file or environment"
        )
    from ingest.livechat_api import ConversationApi

    return ConversationApi(f"{url.scheme}://{url.netloc.lower()}", access)


def mailbox_of(spec: str) -> str:
    """The user whose mailbox an IMAP *spec* names, "" for files.

    Raises ``SourceSpecError`` where the spec cannot be understood.
    """
    scheme, _, rest = spec.partition(":")
    return parse_imap_address(scheme, rest, spec).user if scheme in _PORTS else ""


def parse_imap_address(scheme: str, rest: str, spec: str) -> ImapAddress:
    """Take ``//user@host:port/FOLDER`` apart; the user may itself hold an ``@``."""
    match = re.fullmatch(r"//(?P<user>[^/]*)@(?P<host>\[[^]/@]+\]|[^:/@\s]+)(?::(?P<port>\d{1,5}))?"
                         r"(?:/(?P<folder>.*))?", rest)  # fmt: skip
    if match is None:
        raise SourceSpecError(
            f"{_shown(spec)} is not an IMAP address; allowed: {scheme}://user@host[:port]/FOLDER"
        )
    if ":" in match["user"]:
        raise SourceSpecError(
            f"{scheme}://…@{match['host']}: a password does not belong into the source; give it by "
            "file or environment"
        )
    port = int(match["port"] or _PORTS[scheme])
    if not match["user"] or not 0 < port < 65536:
        raise SourceSpecError(
            f"{_shown(spec)} needs a user and a port of 1 to 65535; allowed: "
            f"{scheme}://user@host[:port]/FOLDER"
        )
    return ImapAddress(
        user=_unquoted(match["user"], spec),
        host=match["host"].strip("[]").lower(),
        port=port,
        folder=_inbox_is_one(_unquoted(match["folder"] or "INBOX", spec)),
        tls=scheme == "imaps",
    )


def _inbox_is_one(folder: str) -> str:
    """RFC 3501 5.1: INBOX alone is the same in any case; keys must not differ by it."""
    return "INBOX" if folder.upper() == "INBOX" else folder


def _unquoted(text: str, spec: str) -> str:
    try:
        plain = unquote(text, errors="strict")
    except UnicodeDecodeError:
        plain = "\0"
    if _unprintable(plain):
        raise SourceSpecError(f"{_shown(spec)}: user and folder must be printable UTF-8 text")
    return plain


def _unprintable(text: str) -> bool:
    """Whether *text* holds controls, or what no database takes as text."""
    return re.search("[\0-\x1f\x7f\ud800-\udfff]", text) is not None


def _shown(spec: str) -> str:
    """*spec* as an error may show it: whatever stands where a password would is left out."""
    return repr(re.sub(r"(//[^/@:]*):.*@", r"\1:…@", spec))

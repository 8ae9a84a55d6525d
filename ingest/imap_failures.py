"""What went wrong on an IMAP connection, told apart, and said in words that are safe to show.

imapclient and imaplib let every trouble out as one of a dozen exceptions that hold the server's own
words, and those may be mail.
"""

from __future__ import annotations

import imaplib
import re
import socket
import ssl

# Everything the library has been seen to raise on bad connections and hostile answers; its own
# errors derive from imaplib's. The second row is what garbled answers do to its response parser.
FAILURES = (
    imaplib.IMAP4.error, OSError, MemoryError, UnicodeError,
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError,
    RuntimeError,
)  # fmt: skip
# Refusals that say "not now" (RFC 5530, and what large providers send): asking again helps.
_NOT_NOW = re.compile(
    r"\[(UNAVAILABLE|INUSE|LIMIT|OVERQUOTA|THROTTLED)\b"
    r"|too many|try again|temporar",
    re.IGNORECASE,
)
_CODE = re.compile(r"\[[A-Z][A-Z0-9-]{1,30}\]")


def line_is_dead(error: BaseException) -> bool:
    """Whether the connection is of no more use, or at least not to be trusted."""
    return isinstance(error, (imaplib.IMAP4.abort, OSError, MemoryError))


def says_no(error: BaseException) -> bool:
    """Whether the server has heard the command and answers NO (and not BAD, nor nothing).

    Refusals are raised as the base class itself; a NO to LOGIN holds the bare answer.
    """
    if type(error) is not imaplib.IMAP4.error:
        return False
    return "command error" not in _words(error) and "illegal in state" not in _words(error)


def says_not_now(error: BaseException) -> bool:
    return _NOT_NOW.search(_words(error)) is not None


def described(error: BaseException) -> str:  # noqa: PLR0911 - one line for each way to fail
    """What happened, in words safe to show."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"no TLS connection ({error.reason or 'broken off'})"
    if isinstance(error, socket.gaierror):
        return "no such host"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, OSError):
        return f"no connection ({error.strerror or type(error).__name__})"
    if isinstance(error, imaplib.IMAP4.abort):
        return "the connection broke off"
    if says_no(error) or "command error" in _words(error):
        code = _CODE.search(_words(error))
        return f"the server refuses{f' {code[0]}' if code else ''}"
    return f"an answer that is not IMAP ({type(error).__name__})"


def _words(error: BaseException) -> str:
    """What the server said, for looking into; never for showing."""
    first = error.args[0] if error.args else ""
    return first.decode("ascii", "replace") if isinstance(first, bytes) else str(first)

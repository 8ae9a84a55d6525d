"""Folder names as IMAP writes them: modified UTF-7 (RFC 3501, 5.1.3).

Our own, because imapclient's decoder lets one malformed name fail the whole listing.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode


def to_utf7(name: str) -> str:
    """*name* in modified UTF-7, which is all ASCII."""
    runs = re.findall(r"[ -~]+|[^ -~]+", name)
    return "".join(
        r.replace("&", "&-") if r.isascii() and r.isprintable() else _shifted(r) for r in runs
    )


def from_utf7(name: bytes | str) -> str:
    """*name* as people write it; what is not modified UTF-7 comes back as it stands."""
    text = name if isinstance(name, str) else name.decode("ascii", "replace")
    try:
        return re.sub(r"&([^-]*)-", _unshifted, text)
    except ValueError:
        return text


def _shifted(run: str) -> str:
    coded = b64encode(run.encode("utf-16-be")).rstrip(b"=").replace(b"/", b",")
    return f"&{coded.decode()}-"


def _unshifted(match: re.Match[str]) -> str:
    coded = match[1].replace(",", "/")
    if not coded:
        return "&"
    return b64decode(coded + "=" * (-len(coded) % 4), validate=True).decode("utf-16-be")

"""Whether the receiving server vouches for the address in From.

Only the server that we were told to trust is asked, and only about the From domain, after RFC 8601
(Authentication-Results) and RFC 7489 (alignment). Whatever makes readers differ about who wrote a
message leaves it not authenticated, whatever a header says. Reply-To and Sender are never asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from ingest.headers import Headers
from triage.records import Authentication

#: Why a From header is not to be believed, in words for staff.
DOUBTS = {
    "bare_cr_in_headers": "a header holds a bare carriage return, as forged headers do",
    "cr_line_ends": "the lines end in bare carriage returns, which mail servers read differently",
    "header_garbled": "a line among the headers is no header",
    "nul_in_headers": "a header holds a NUL byte, as forged headers do",
    "from_missing": "there is no address in From",
    "from_many_headers": "there is more than one From header",
    "from_many_addresses": "From holds more than one address",
    "from_disputed": "programs differ about which address From holds",
    "from_odd": "the address in From is not a plain address",
}

DnsLookup = Callable[..., bytes | None]

# Fields that a receiving server's filters put among its results; any other field ends its block.
_BESIDE_RESULTS = ("dkim-filter", "received-spf")
_MAX_RESULTS = 20_000  # characters of one header
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|\\.|[();]|[^"\\();]+|["\\]', re.DOTALL)
_RESULT = re.compile(r"(?i)none\Z|[a-z0-9][a-z0-9_.-]{0,60}\s*(?:/\s*\d+\s*)?=")
_METHODS = ("dmarc", "dkim", "spf")
_DMARC_VERDICT = re.compile(r"(?i)dmarc\s*(?:/\s*1\s*)?=\s*(?!none\b)")
_SHARED_SUFFIXES = frozenset(
    (
        "ac.uk", "co.uk", "gov.uk", "ltd.uk", "me.uk", "net.uk", "nhs.uk", "org.uk", "plc.uk",
        "sch.uk", "uk.com", "uk.net", "gb.net", "com.au", "net.au", "org.au", "co.nz", "co.za",
        "co.in", "com.br", "co.jp", "com.cn", "com.tr",
    )
)  # fmt: skip


def authenticate(
    headers: Headers, from_address: str, authserv_id: str, doubts: Sequence[str] = ()
) -> Authentication:
    """The trusted server's verdict on *from_address*, with its reason in words.

    *doubts* are codes of ``DOUBTS``; any one of them means not authenticated. With no *authserv_id*
    nothing ever is.
    """
    if doubts:
        return Authentication(passed=False, reason=DOUBTS[doubts[0]])
    if not authserv_id:
        return Authentication(passed=False, reason="no trusted server is configured")
    results, problem = _trusted_results(headers, authserv_id.strip().lower())
    if problem:
        return Authentication(passed=False, reason=problem)
    return _verdict(results, domain_of(from_address))


def domain_of(address: str) -> str:
    return address.rpartition("@")[2].lower().rstrip(".")


_Result = tuple[str, str, dict[str, str]]  # method, result, properties by "type.name"


def _trusted_results(headers: Headers, authserv_id: str) -> tuple[list[_Result], str]:
    """Results in the topmost contiguous block of the trusted server's, or why there are none."""
    results: list[_Result] = []
    inside = False
    answered: set[str] = set()
    for name, value in headers.ordered:
        if name != "authentication-results":
            if inside and not name.startswith(_BESIDE_RESULTS):
                break
            continue
        identity, chunks = _split(value)
        if identity != authserv_id:
            break
        inside = True
        parsed = _parsed(chunks)
        if parsed is None:
            return [], "the trusted server's result could not be read"
        # Below the server's answer to a question a second one can be forged: it may only worsen it.
        results += [found for found in parsed if found[0] not in answered or found[1] != "pass"]
        answered |= {method for method in _METHODS for chunk in chunks if _asks(chunk, method)}
    if inside:
        return results, ""
    if headers.raw("authentication-results"):
        return [], "the topmost result is not the trusted server's"
    return [], "the trusted server left no result"


def _asks(chunk: str, method: str) -> bool:
    return chunk.lower().startswith(method)


def _split(value: str) -> tuple[str, list[str]]:
    """The server's name, and each result as written; comments removed, quotes respected.

    ("", []) for what is not well formed: such a header is nobody's.
    """
    chunks = _without_comments(value) if len(value) <= _MAX_RESULTS else None
    identity = chunks[0].split() if chunks else []
    versioned = len(identity) == 2 and identity[1] == "1"
    if chunks is None or not (len(identity) == 1 or versioned):
        return "", []
    return identity[0].strip('"').lower(), [chunk.strip() for chunk in chunks[1:]]


def _without_comments(value: str) -> list[str] | None:
    chunks = [""]
    depth = 0
    for piece in _PIECE.findall(value):
        if piece in "()":
            depth += 1 if piece == "(" else -1
            if depth < 0:
                return None
        elif depth:
            continue
        elif piece == ";":
            chunks.append("")
        elif piece in {'"', "\\"}:
            return None
        else:
            chunks[-1] += piece
    return chunks if depth == 0 else None


def _parsed(chunks: Iterable[str]) -> list[_Result] | None:
    """The results that matter here; None where one of them is malformed.

    A DMARC verdict settles the matter, so that the others are then not read: parsing is most of
    the cost.
    """
    chunks = [chunk for chunk in chunks if chunk]
    if not all(_RESULT.match(chunk) for chunk in chunks):
        return None  # what a sender chose, such as a domain, had a semicolon in it
    wanted = [chunk for chunk in chunks if chunk[:5].lower().startswith(_METHODS)]
    dmarc = [chunk for chunk in wanted if _DMARC_VERDICT.match(chunk)]
    if not wanted:
        return []
    import authres

    source = " ".join("; ".join(dmarc or wanted).split())
    try:
        header = authres.AuthenticationResultsHeader.parse(
            f"Authentication-Results: trusted.invalid; {source}"
        )
    except (authres.AuthResError, ValueError, IndexError, AttributeError, TypeError):
        return None
    results = [
        (
            str(result.method).lower(),
            str(result.result).lower(),
            {f"{p.type}.{p.name}".lower(): str(p.value).lower() for p in result.properties},
        )
        for result in header.results
    ]
    # A property that says two things is how a sender's own words get into a result.
    unique = all(
        len(found) == len({(p.type, p.name, p.value) for p in result.properties})
        for (_, _, found), result in zip(results, header.results, strict=True)
    )
    return results if unique else None


def _verdict(results: Sequence[_Result], domain: str) -> Authentication:
    dmarc = [(result, found) for method, result, found in results if method == "dmarc"]
    if dmarc:
        if all(result == "pass" for result, _ in dmarc):
            covered = all(found.get("header.from", "") == domain for _, found in dmarc)
            reason = "DMARC passed" if covered else "DMARC passed for another domain than From's"
            return Authentication(passed=covered, reason=reason)
        failed = next(result for result, _ in dmarc if result != "pass")
        if failed not in {"none", "bestguesspass"}:
            return Authentication(passed=False, reason=f"DMARC did not pass ({_word(failed)})")
    for method, result, found in results:
        signer = _signer(method, found)
        if result == "pass" and signer and aligned(signer, domain):
            words = (
                "the From domain signed it (DKIM)"
                if method == "dkim"
                else "SPF passed for From's domain"
            )
            return Authentication(passed=True, reason=words)
    if any(result == "pass" for method, result, _ in results if method in {"dkim", "spf"}):
        return Authentication(
            passed=False, reason="DKIM or SPF passed, but for another domain than From's"
        )
    return Authentication(passed=False, reason="neither DMARC, DKIM nor SPF passed")


def _word(result: str) -> str:
    return (
        result if result in {"fail", "temperror", "permerror", "quarantine", "reject"} else "other"
    )


def _signer(method: str, found: dict[str, str]) -> str:
    if method == "dkim":
        return found.get("header.d") or domain_of(found.get("header.i", ""))
    return domain_of(found.get("smtp.mailfrom", "")) if method == "spf" else ""


def aligned(domain: str, from_domain: str) -> bool:
    """Relaxed alignment: the same domain, or one above the other.

    Stricter than RFC 7489 section 3.1 in that siblings under one organisation do not align: telling
    organisations apart needs the public suffix list, which changes; suffixes known to be shared by
    strangers never align.
    """
    domain, from_domain = domain.rstrip("."), from_domain.rstrip(".")
    if not domain or not from_domain:
        return False
    if domain == from_domain:
        return True
    shorter, longer = sorted((domain, from_domain), key=len)
    shared = "." not in shorter or shorter in _SHARED_SUFFIXES
    return not shared and longer.endswith("." + shorter)


def dkim_check(
    content: bytes, from_address: str, dnsfunc: DnsLookup | None = None
) -> Authentication:
    """Our own check of the DKIM signatures on *content*, the bytes as received (RFC 6376).

    Passes where one verifies, is aligned with From, signs From, and covers the whole body: a length
    ("l=") lets anybody append. *dnsfunc* fetches a TXT record; without it DNS is asked.
    """
    import dkim

    domain = domain_of(from_address)
    lookup = {"dnsfunc": dnsfunc} if dnsfunc else {}
    try:
        check = dkim.DKIM(content)
        names = [name.lower() for name, _ in check.headers]
        for index in range(min(names.count(b"dkim-signature"), 10)):
            tags = _dkim_tags(check.headers, index)
            if "l" in tags or not aligned(tags.get("d", "").lower(), domain):
                continue
            if "from" not in re.split(r"\s*:\s*", tags.get("h", "").lower()):
                continue
            if check.verify(idx=index, **lookup):
                return Authentication(
                    passed=True, reason="the From domain's own DKIM signature verifies"
                )
    except Exception as error:  # noqa: BLE001 - whatever a forged signature does to dkimpy, it proves nothing
        return Authentication(
            passed=False, reason=f"the DKIM check failed ({type(error).__name__})"
        )
    return Authentication(
        passed=False, reason="no whole DKIM signature of the From domain verifies"
    )


def _dkim_tags(fields: Iterable[tuple[bytes, bytes]], index: int) -> dict[str, str]:
    values = [value for name, value in fields if name.lower() == b"dkim-signature"]
    text = values[index].decode("ascii", "replace")
    pairs = (part.partition("=") for part in text.split(";"))
    return {
        name.strip(): "".join(value.split()) if name.strip() != "h" else value.strip()
        for name, _, value in pairs
    }

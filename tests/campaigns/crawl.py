# ruff: noqa: E501 - a table of values, and forms as they are sent
"""Every route of the page, asked in every way that makes no sense.

Routes come from the application and names of fields from the templates and the code that reads
them, so that what is added tomorrow is asked as well.
"""

from __future__ import annotations

import itertools
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from services.postgres import running_postgres
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from campaigns.stage import NOW, keep, set_up
from review.access.door import Door, form_token, hashed, new_secret
from review.access.rights import MAY, TABLE
from review.desk import Desk
from review.serving import review_page
from settings import Settings
from store import Store, Tally, open_store
from store.accounts import ROLES, Role, Session
from triage.acting import MOVES
from triage.records import MessageKey

_REVIEW: Final = Path(__file__).parents[2] / "review"
#: Words of a mail; they stand on the pages of its case and nowhere else.
CANARY: Final = "zebrafinchmarmalade"

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FLY")
_NUMBERS: Final = (
    "1", "0", "-1", str(2**31), str(2**63), str(10**30), "1.5", "٣", "1e3", "%00", "1%00", "..%2f..",
    "../..", "1;x", "%ff", "x" * 5_000,
)  # fmt: skip
_NAMES: Final = (
    "approve", "undo", "%00", "..%2f..", "../..", "é", "%ed%a0%80", "%ff", "<script>alert(1)", "x" * 5_000,
    "app.js", "%2e%2e/app.py", "//etc/passwd", "volume", "1",
)  # fmt: skip
_VALUES: Final = (
    "", " ", "0", "1", "-1", str(2**31), str(2**63), str(10**30), "1.5", "1e309", "nan", "٣", "²", "\0",
    "a\0b", "\ud800", "é\u202e\U0001f600", "<script>alert(1)</script>", "{{7*7}}", "%", "_", "'", '"', "*",
    "a*", "NEAR(a b)", "a AND OR", '"a', "a:b", "(", "\\", "'; DROP TABLE users --", "2025-11-04T12:00",
    "9999-12-31T23:59", "0001-01-01T00:00", "2025-11-04T12:00+23:59", "2025-13-45", "1_2_3_",
    "0_0_0_2025-11-04T12:00", f"0_{2**70}_1_", f"0_1_{2**70}_", "1_2", "client_not_told", "cancellation",
    "ready", "kind", "session_time", "HT-600001", "T-OMAR", "anna", "x" * 30_000, "\r\nX-Injected: 1",
    "//evil.example", "javascript:alert(1)", "\\\\evil.example",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """A route as the application has it."""

    name: str
    path: str
    methods: frozenset[str]

    @property
    def role(self) -> Role | None:
        """Somebody who may use it; None where nobody need be signed in."""
        right = TABLE[self.name].right if self.name in TABLE else "enter"
        return None if right == "enter" else next(role for role in ROLES if right in MAY[role])

    @property
    def plain(self) -> str:
        return re.sub(r"{\w+(:\w+)?}", lambda m: "1" if m[1] else "dismiss", self.path)

    def odd(self) -> Iterator[str]:
        """The path with one odd thing at a time for each of its parameters."""
        found = list(re.finditer(r"{\w+(:int)?(:\w+)?}", self.path))
        for one in found:
            for value in _NUMBERS if one[1] else _NAMES:
                before = re.sub(r"{\w+(:\w+)?}", "1", self.path[: one.start()])
                after = re.sub(r"{\w+(:\w+)?}", "1", self.path[one.end() :])
                yield before + quote(value, safe="%/.;") + after


@dataclass
class Crawl:
    """Somebody who asks for anything, and what was wrong with the answers."""

    store: Store
    answers: int = 0
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.door = Door(self.store, clock=lambda: NOW)
        desk: Any = type("Engine", (), {"retry": staticmethod(lambda *_: Tally())})
        self.app = review_page(Desk(desk), Settings(), self.door, ["testserver"])
        self.client = TestClient(self.app, follow_redirects=False, raise_server_exceptions=False)
        self.places = list(_places(_routes(self.app)))
        self._secrets: dict[Role, str] = {}
        self._actions = itertools.cycle((*MOVES, "undo"))

    # --- asking -----------------------------------------------------------------------------------

    def ask(
        self, place: Place, method: str, path: str, *, who: Role | None, token: bool, **more: Any
    ) -> int:
        """The status of an answer, after a look at the rest of it."""
        headers = dict(more.pop("headers", {}))
        if who is not None:
            secret = self._secret(who)
            headers["cookie"] = f"{self.door.cookie}={secret}"
            if token:
                headers["x-csrf-token"] = form_token(secret)
        self.client.cookies.clear()
        answer = self.client.request(method, path, headers=headers, **more)
        self.answers += 1
        about = f"{method} {place.path} as {who}"
        self._look(about, method, answer)
        return answer.status_code

    def _secret(self, role: Role) -> str:
        known = self._secrets.get(role, "")
        if known and self.store.accounts.session(hashed(known), NOW, self.door.idle, is_use=False):
            return known
        secret = new_secret()
        session = Session(None, f"{role}-person", role, NOW + self.door.longest)
        self.store.accounts.start_session(hashed(secret), session, NOW)
        self._secrets[role] = secret
        return secret

    def _look(self, about: str, method: str, answer: Any) -> None:
        headers, status = answer.headers, answer.status_code
        policy = headers.get("content-security-policy", "")
        right = {
            "no failure of ours": status < 500,
            "a policy": "default-src" in policy and "frame-ancestors" in policy,
            "no inline script": "unsafe-" not in policy,
            "nosniff": headers.get("x-content-type-options") == "nosniff",
            "no referrer": headers.get("referrer-policy") == "no-referrer",
            "no-store": headers.get("cache-control") == "no-store",
            "our own headers": "x-injected" not in headers,
            "a way within": not _leads_away(headers.get("location", "")),
            "nothing for HEAD": method != "HEAD" or not answer.content,
            "no insides": not re.search(rb"Traceback|sqlalchemy|psycopg|sqlite3", answer.content),
            "no markup of others": b"<script>alert" not in answer.content
            or headers.get("content-type", "").startswith("application/octet-stream"),
            "no words of a mail": status < 400 or status == 422 or CANARY not in answer.text,
        }
        self.wrong += [
            f"{about}: {status}, not {what}" for what, holds in right.items() if not holds
        ]

    # --- campaigns --------------------------------------------------------------------------------

    def every_method(self) -> None:
        """Each path in each way, by somebody who may, without a token."""
        for place, method in itertools.product(self.places, METHODS):
            status = self.ask(place, method, place.plain, who=place.role, token=False)
            if method not in {"GET", "HEAD"} and status not in {400, 403, 404, 405, 413, 415, 419}:
                self.wrong.append(f"{method} {place.path} was answered {status} without a token")

    def nobody(self) -> None:
        """Each route by somebody who is not signed in, with a token of nobody's."""
        for place in self.places:
            for method in sorted(place.methods - {"HEAD"}):
                page = {"accept": "text/html"}
                for headers in ({}, page, {"x-csrf-token": "0" * 64}):
                    status = self.ask(
                        place, method, place.plain, who=None, token=False, headers=headers
                    )
                    is_open = place.role is None and method == "GET"
                    if not is_open and status not in {303, 401, 403, 404, 419}:
                        self.wrong.append(f"{method} {place.path} let nobody in: {status}")

    def odd_paths(self) -> None:
        for place in self.places:
            for path, method in itertools.product(place.odd(), sorted(place.methods - {"HEAD"})):
                self.ask(place, method, path, who=place.role, token=True)

    def odd_words(self, every: int = 1) -> None:
        """Each value in all fields at once, then beside a version that fits; every *every*-th."""
        names = list(field_names())
        for place in self.places:
            for value in _VALUES[::every]:
                written = dict.fromkeys(names, value)
                if "POST" in place.methods:
                    for form in (written, {**written, "version": "1", "case": "1"}):
                        self._post(place, _encoded(form.items()))
                if "GET" in place.methods and len(value) < 5_000:
                    query = _encoded([(n, value) for n in names])
                    self.ask(place, "GET", f"{place.plain}?{query}", who=place.role, token=False)

    def odd_forms(self) -> None:
        """What is no form, or not the one that the page has."""
        names = list(field_names())
        plain = "application/x-www-form-urlencoded"
        part = '--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
        files = "".join(part % (name, '; filename="x"', "1") for name in names) + "--b--\r\n"
        forms = [
            ("", ""), ("", plain), ("=&=&&;", plain), ("version", plain), ("version=1", plain),
            ("version=1&version=2&reason=a&reason=b&id=1&id=2&cause=a&cause=b", plain),
            ("&".join(f"f{n}=1" for n in range(3_000)), plain),
            ("%00=%00&%ff=%ff&version=%ff", plain), ("version=1", f"{plain}; charset=utf-16"),
            ("{}", "application/json"), ("<x/>", "text/xml"), ("version=1", "text/plain"),
            (files, "multipart/form-data; boundary=b"), ("--b", "multipart/form-data; boundary=b"),
            (files, "multipart/form-data"), (files[:40], "multipart/form-data; boundary=b"),
            ("x", "multipart/form-data; boundary=" + "x" * 3_000), (files, "multipart/mixed; boundary=b"),
            ("--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", "multipart/form-data; boundary=b"),
        ]  # fmt: skip
        for place, (content, kind) in itertools.product(self.places, forms):
            if "POST" in place.methods:
                self._post(place, content, kind)

    def _post(
        self, place: Place, content: str, kind: str = "application/x-www-form-urlencoded"
    ) -> None:
        headers = {"content-type": kind} if kind else {}
        path = place.plain
        if place.name == "act":  # the one route that does many things: each in turn
            path = path.replace("dismiss", next(self._actions))
        self.ask(place, "POST", path, who=place.role, token=True, content=content, headers=headers)


def _leads_away(location: str) -> bool:
    return bool(location) and not (location.startswith("/") and location[1:2] not in {"/", "\\"})


def _encoded(pairs: Iterable[tuple[str, str]]) -> str:
    return "&".join(
        f"{quote(name)}={quote(value.encode('utf-8', 'surrogatepass'))}" for name, value in pairs
    )


def field_names() -> Iterator[str]:
    """Every name of a field that a template writes or that the code reads."""
    found: set[str] = {"csrf"}
    for path in _REVIEW.rglob("*.html"):
        found |= set(re.findall(r'name="([\w:-]+)"', path.read_text("utf-8")))
    reads = re.compile(r'(?:\.get|\.getlist|\.text|\.all|_text|_edited)\(\w*,? ?"([\w:-]+)"')
    for folder in ("web", "access"):
        for path in (_REVIEW / folder).glob("*.py"):
            found |= set(reads.findall(path.read_text("utf-8")))
    return iter(sorted((found | {"value:kind", "text:x", "was:x"}) - {"csrf"}))


def _routes(app: Any) -> list[Any]:
    """Those of the application within its walls."""
    while not hasattr(app, "routes"):
        app = getattr(app, "_app", None) or app.app
    return list(app.routes)


def _places(routes: Iterable[Any]) -> Iterator[Place]:
    for route in routes:
        if isinstance(route, Mount):
            yield Place(route.name, f"{route.path}/{{path}}", frozenset({"GET", "HEAD"}))
        else:
            assert isinstance(route, Route)
            yield Place(route.name, route.path, frozenset(route.methods or ()))


def furnished(store: Store) -> Store:
    """*store* with a few cases, an attachment, HTML, and a mail that could not be read."""
    set_up(store, 3)
    both = (
        "From: Marian Oldroyd <marian@oldroyd.example>\r\nSubject: %s\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n"
        "<p>%s <script>alert(1)</script></p>\r\n--b\r\nContent-Type: text/plain\r\n"
        "Content-Disposition: attachment; filename=a.txt\r\n\r\n%s\r\n--b--\r\n"
    )
    mails = [(n, (both % (f"No {n}", CANARY, CANARY)).encode()) for n in range(3)]
    keep(store, mails)
    with store.batch(now=NOW) as memory:
        memory.quarantine(MessageKey("maildir:x", "", 1, 900), "ab" * 32, "too_deep", "")
    return store


def standing(store: Store) -> object:
    """What people have decided and what is to leave; the same where nothing was done."""
    cases = [(row.case_id, row.version) for row in store.queue(include_closed=True)]
    return cases, len(store.verdicts(include_undone=True)), len(store.outbox())


def main() -> int:
    """The whole crawl on both databases; a line for each step, and what was wrong."""
    status = 0
    with tempfile.TemporaryDirectory() as folder, running_postgres() as postgres:
        for url in (f"sqlite:///{Path(folder) / 'crawl.sqlite3'}", postgres.database()):
            with open_store(url) as store:
                crawl = Crawl(furnished(store))
                steps = (crawl.every_method, crawl.nobody, crawl.odd_paths, crawl.odd_words,
                         crawl.odd_forms)  # fmt: skip
                with crawl.client:
                    for step in steps:
                        step()
                kind = url.partition(":")[0]
                sys.stdout.write(f"{kind}: {len(crawl.places)} routes, {crawl.answers} answers, "
                                 f"{len(crawl.wrong)} wrong\n")  # fmt: skip
                for line, count in Counter(crawl.wrong).most_common(50):
                    sys.stdout.write(f"{count} times {line}\n")
                status = status or int(bool(crawl.wrong))
    return status


if __name__ == "__main__":
    sys.exit(main())

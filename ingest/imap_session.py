"""A session on an IMAP server: connected, logged in, ended with a farewell where nothing failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

from ingest.imap_failures import FAILURES, described
from ingest.imap_line import BoundedClient
from ingest.imap_login import log_in
from ingest.sources import Access, ImapAddress, SourceError


class Session:
    """What is done with a mailbox happens within ``with``. May raise ``SourceError``."""

    def __init__(self, address: ImapAddress, access: Access) -> None:
        self.name = address.spec
        self._address = address
        self._access = access
        self._client: Any = None

    def __enter__(self) -> Self:
        self._connect()
        try:
            self._login()
            self._begin()
        except BaseException:
            self._hang_up()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:  # otherwise the line may be dead, and waiting for a farewell be long
            with suppress(*FAILURES):
                self._client.logout()
        self._hang_up()

    def _begin(self) -> None:
        """What is to be done once logged in."""

    def _connect(self) -> None:
        with self._edge("connecting"):
            self._client = BoundedClient(self._address, self._access, self.name)

    def _login(self) -> None:
        user = self._access.user or self._address.user
        log_in(self._client, self.name, user, self._access, reconnect=self._reconnect)

    def _reconnect(self) -> Any:  # noqa: ANN401 - imapclient is untyped
        self._hang_up()
        self._connect()
        return self._client

    def _hang_up(self) -> None:
        with suppress(*FAILURES):
            self._client.shutdown()

    @contextmanager
    def _edge(self, doing: str) -> Iterator[None]:
        """Let the library's failures out as ours, without the server's words."""
        try:
            yield
        except FAILURES as error:
            raise SourceError(f"{self.name}: {described(error)} while {doing}") from None

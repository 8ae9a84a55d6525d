"""Mail that could not be had at first is had later, by whoever retries it."""

from datetime import UTC, datetime

import pytest
from services.dovecot import Dovecot

import pipeline
from settings import Settings, SourceSettings
from store import open_store

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
MAIL = (
    b"From: Marian <marian@oldroyd.example>\r\nSubject: HT-218834\r\nMessage-ID: <1@oldroyd>\r\n"
    b"Date: Mon, 2 Mar 2026 09:00:00 +0000\r\n\r\n"
    b"Please cancel HT-218834, she needs ERP for her OCD, which I do not offer. We talked it "
    b"through yesterday and she agrees.\r\n"
)


@pytest.mark.dovecot
def test_mail_too_large_at_first_is_had_from_the_server_once_the_limit_is_raised(
    dovecot: Dovecot, store_url: str
) -> None:
    box = dovecot.mailbox([MAIL, MAIL.replace(b"<1@", b"<2@") + b"\r\n-- \r\n" + b"x\r\n" * 1000])
    source = SourceSettings(url=box.spec(), ca_file=dovecot.ca_file)
    given = {"imap_password": box.password, "sources": (source,), "workers": 1, "fast": True}
    before = box.snapshot()

    with open_store(store_url) as store:
        [report] = pipeline.run_sources(
            Settings(**given, max_message_bytes=2000), [source], store, NOW
        )
        lost = store.quarantined(cause="oversize")
        tally = pipeline.retry_quarantined(Settings(**given), store, lost, NOW)

        assert (report.tally.queued, report.tally.quarantined) == (1, 1)
        assert (tally.fetched, tally.queued) == (1, 1)
        assert store.quarantined() == []
        assert store.counts().messages == 2
    assert box.snapshot() == before

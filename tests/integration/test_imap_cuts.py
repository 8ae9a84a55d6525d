"""Connections to a real Dovecot that break: nothing is lost or doubled, and nothing hangs."""

import time

import pytest
from services.cutting_proxy import cutting_proxy

from ingest.sources import Access, LoginRefusedError, SourceError, open_source

pytestmark = pytest.mark.dovecot


def mail(number):
    return b"From: t%d@example.org\r\nSubject: mail %d\r\n\r\nHello.\r\n" % (number, number)


SENT = [mail(n) for n in range(5)]


class Keeper:
    """What a run stores: messages and cursor of a batch together, or not at all."""

    def __init__(self, spec, access):
        self.spec, self.access = spec, access
        self.cursor, self.stored = None, []

    def run(self, size=2):
        """One run; gives the error that ended it, or None."""
        try:
            with open_source(self.spec, self.access) as source:
                for batch in source.batches(self.cursor, lambda _: set(), size=size):
                    assert not batch.losses
                    self.stored += [message.content for message in batch.messages]
                    self.cursor = batch.cursor
        except SourceError as error:
            return error
        return None


@pytest.fixture(scope="module", params=["plaintext", "tls"])
def line(request, dovecot):
    """A proxy before a mailbox with five messages: the proxy, and a fresh keeper on demand."""
    box = dovecot.mailbox(SENT)
    tls = request.param == "tls"
    with cutting_proxy(dovecot.port if tls else dovecot.plain_port) as proxy:
        spec = f"{'imaps' if tls else 'imap'}://{box.user}@127.0.0.1:{proxy.port}/INBOX"
        access = Access(
            password=box.password,
            ca_file=dovecot.ca_file,
            allow_plaintext=True,
            timeout_s=0.5,
            backoff_s=0.01,
        )
        yield proxy, lambda: Keeper(spec, access)


def lengths(proxy, keeper):
    """How many bytes an undisturbed session takes down and up."""
    proxy.strike(None)
    assert keeper.run() is None
    return dict(proxy.passed)


def places(length, count):
    return sorted({1 + (length - 1) * n // (count - 1) for n in range(count)})


@pytest.mark.parametrize("way", ["down", "up"])
def test_after_a_cut_anywhere_the_next_run_goes_on_without_loss_or_double(line, way):
    proxy, keeper = line
    length = lengths(proxy, keeper())[way]
    errors = 0
    for at in places(length, 25):
        kept = keeper()
        proxy.strike("cut", way, at)
        error = kept.run()
        errors += error is not None
        assert not isinstance(error, LoginRefusedError)

        proxy.strike(None)
        assert kept.run() is None
        assert kept.run() is None

        assert kept.stored == SENT, at

    assert errors >= 10  # some lines are taken up again, and the farewell is no loss


@pytest.mark.parametrize("way", ["down", "up"])
def test_a_stall_anywhere_ends_with_the_timeout(line, way):
    proxy, keeper = line
    length = lengths(proxy, keeper())[way]
    for at in places(length, 4):
        kept = keeper()
        proxy.strike("stall", way, at)
        started = time.monotonic()
        kept.run()
        assert time.monotonic() - started < 8

        proxy.strike(None)
        assert kept.run() is None

        assert kept.stored == SENT, at


def test_a_line_that_brings_one_byte_at_a_time_gives_the_same_mail(line):
    proxy, keeper = line
    proxy.strike("trickle")
    kept = keeper()

    assert kept.run() is None

    assert kept.stored == SENT

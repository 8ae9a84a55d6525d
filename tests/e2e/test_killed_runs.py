"""A run may be killed at any moment: nothing is lost by it, and nothing is doubled."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from corpus_mail import AUTHSERV_ID, mail
from services.dovecot import Dovecot, Mailbox

from store import open_store

FIT_TRIAGE = Path(sys.executable).parent / "fit-triage"
MESSAGES = 5_000
KILLS = 10


@pytest.mark.slow
@pytest.mark.dovecot
@pytest.mark.timeout(280)
def test_a_run_killed_ten_times_ends_with_every_message_exactly_once(
    dovecot: Dovecot, store_url: str
) -> None:
    contents = list(mail(MESSAGES))
    box = dovecot.mailbox(contents)
    before = box.snapshot()
    rng = random.Random(MESSAGES)

    killed = sum(kill_during_run(box, store_url, rng.uniform(1.5, 4.0)) for _ in range(KILLS))
    last = start_run(box, store_url)
    finished = last.communicate(timeout=200)[0]

    with open_store(store_url) as store:
        digests = [hashlib.sha256(content).hexdigest() for content in contents]
        stored = store.same_mail(digests)
        counts = store.counts()
        kept = [store.raw(digest) for digest in digests[::97]]
        broken = store.first_broken_audit_row()
    assert killed >= KILLS // 2, "too many runs were done before they could be killed"
    assert last.returncode == 0, finished
    assert "DOES NOT ADD UP" not in finished
    assert len(stored) == MESSAGES
    assert counts.messages + counts.quarantined == MESSAGES
    assert kept == contents[::97]
    assert broken is None
    assert box.snapshot() == before


def start_run(box: Mailbox, url: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "FIT_TRIAGE_FAST": "true",  # what is lost or doubled does not hang on how mail is read
        "FIT_TRIAGE_DATABASE_URL": url,
        "FIT_TRIAGE_AUTHSERV_ID": AUTHSERV_ID,
        "FIT_TRIAGE_IMAP_PASSWORD": box.server.password,
        "FIT_TRIAGE_IMAP_CA_FILE": box.server.ca_file,
        "FIT_TRIAGE_BATCH_SIZE": "100",
    }
    command = [FIT_TRIAGE, "run", "--source", box.spec()]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def kill_during_run(box: Mailbox, url: str, after: float) -> bool:
    """Start a run and kill it *after* so many seconds; whether it was still at work then."""
    run = start_run(box, url)
    time.sleep(after)
    at_work = run.poll() is None
    run.send_signal(signal.SIGKILL)
    run.communicate()
    return at_work

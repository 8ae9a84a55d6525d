"""Candidates that go wrong, in the place of reading: picklable, for worker processes."""

from __future__ import annotations

import os
from collections.abc import Sequence

from models.registry import ModelRefusedError
from models.shadow import Failed, Read
from triage.records import Email, Request

#: A message whose number in the mailbox ends so is too much for the candidate.
DEADLY, STUMBLED = "7@", "5@"


def careless(emails: Sequence[Email]) -> list[Read | Failed]:
    """Dies of some messages, stumbles over others and takes the rest for nothing of ours."""
    if any(DEADLY in email.message_id for email in emails):
        os._exit(1)
    return stumbling(emails)


def stumbling(emails: Sequence[Email]) -> list[Read | Failed]:
    """Fails on some messages only."""
    return [
        Failed("bug:KeyError")
        if STUMBLED in one.message_id
        else Read((Request("other"),), "n", 0.1)
        for one in emails
    ]


def hopeless(emails: Sequence[Email]) -> list[Read | Failed]:
    """Fails on everything."""
    return [Failed("bug:ValueError") for _ in emails]


def lifeless(emails: Sequence[Email]) -> list[Read | Failed]:
    """Ends its process, whatever there is to read."""
    os._exit(len(emails) or 1)


def refused(emails: Sequence[Email]) -> list[Read | Failed]:
    """Finds its files changed only when it reads."""
    raise ModelRefusedError(f"no {len(emails)}")

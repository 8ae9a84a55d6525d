"""What the client is called in the message."""

from __future__ import annotations

from triage.detectors.mention import Mention
from triage.language import Reading


def client_refs(reading: Reading) -> tuple[Mention, ...]:
    """Names, initials and time handles; first version finds none."""
    return () if reading else ()

"""Rules: what can be read without learning. Each detector looks at one `Reading`.

`notice` runs them all. A mention keeps the flags of its context, also where they mean that it
does not count; so a learned model can use every hit as a feature and `Mention.counts` is the
rules' verdict.
"""

from __future__ import annotations

from triage.detectors import client_ref, phrases, quoted_time, session_ids, session_time
from triage.detectors.mention import BARRED, Mention
from triage.language import Reading

__all__ = ["BARRED", "Mention", "notice"]


def notice(reading: Reading) -> tuple[Mention, ...]:
    """Everything the rules see in a message, in order of sentences.

    Labels: session_ids, session_time, client_ref; presenting_issues, required_approaches,
    required_experience, fit_reasons (lexicon phrases); alternatives_requested, guarantee_asked,
    client_agreement, risk (cue phrases; values "true", "agrees", "declines", "concern", "urgent",
    "none").
    """
    ids = session_ids.session_ids(reading)
    found = [
        *ids,
        *session_time.session_times(reading),
        *quoted_time.quoted_times(reading, ids),
        *client_ref.client_refs(reading),
        *phrases.phrase_mentions(reading),
    ]
    return tuple(sorted(found, key=lambda m: (m.sentence, m.span.start)))

"""Phrases of the lexicon and of the pattern files, with the context they stand in."""

from __future__ import annotations

from triage.detectors.mention import Mention
from triage.language import Reading


def phrase_mentions(reading: Reading) -> tuple[Mention, ...]:
    """Every phrase hit that no longer hit covers; masked ones are flagged, not dropped."""
    hits = reading.hits
    masks = [h for h in hits if h.key.endswith("|not")]
    found = []
    for hit in hits:
        label, code, *rest = hit.key.split("|")
        if rest or label in {"cue", "topic"}:
            continue
        masked = any(
            m.key == f"{hit.key}|not"
            and m.part == hit.part
            and m.first <= hit.first
            and hit.last <= m.last
            for m in masks
        )
        flags = frozenset(("masked",)) if masked else frozenset[str]()
        span = reading.span(hit.part, hit.first, hit.last)
        found.append(Mention(label, code, span, hit.sentence, "lexicon", 0.8, flags))
    return tuple(found)

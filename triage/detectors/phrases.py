"""Phrases of the lexicon and of the pattern files, with the context they stand in.

The context follows the ConText algorithm (Harkema et al. 2009): cues such as "no sign of" or "I'm
trained in" bear on the phrases behind or before them in the sentence, up to a word that ends their
reach. Which contexts keep a phrase from counting differs by field; see `_BARS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from triage.detectors.mention import Mention
from triage.language import PhraseHit, Reading

#: How far a cue reaches, in characters.
_REACH: Final[Mapping[str, int]] = {
    "negated": 45,
    "own_practice": 40,
    "wanted": 80,
    "other_person": 30,
    "past": 40,
    "hypothetical": 60,
}
#: The contexts that keep a phrase of a field from counting.
_BARS: Final[Mapping[str, frozenset[str]]] = {
    "presenting_issues": frozenset(("masked", "negated", "other_person", "own_practice")),
    "required_approaches": frozenset(("masked", "negated", "own_practice", "past")),
    "required_experience": frozenset(("masked", "negated", "own_practice")),
    "fit_reasons": frozenset(("masked",)),
}
_DEFAULT_BARS: Final = frozenset(("masked", "negated"))


def phrase_mentions(reading: Reading) -> tuple[Mention, ...]:
    """Every phrase found, longest first where they overlap, with the flags of its context.

    Labels are fields, values codes. A phrase inside a look-alike is flagged "masked". "barred"
    marks one that the rules do not count, for whatever reason.
    """
    by_sentence: dict[int, list[PhraseHit]] = {}
    for hit in reading.hits:
        by_sentence.setdefault(hit.sentence, []).append(hit)
    return tuple(m for hits in by_sentence.values() for m in _in_sentence(reading, hits))


def _in_sentence(reading: Reading, hits: list[PhraseHit]) -> Iterator[Mention]:
    cues = [h for h in hits if h.key.startswith("cue|")]
    masks = [h for h in hits if h.key.endswith("|not")]
    for hit in hits:
        label, _, code = hit.key.partition("|")
        if label in {"cue", "topic"} or "|" in code:
            continue
        flags = set(_contexts(hit, cues))
        if any(m.key == f"{hit.key}|not" and _covers(m, hit) for m in masks):
            flags.add("masked")
        bars = _BARS.get(label, _DEFAULT_BARS)
        if flags & bars and not ("wanted" in flags and flags & bars <= _FORGIVEN):
            flags.add("barred")
        span = reading.span(hit.part, hit.first, hit.last)
        yield Mention(label, code, span, hit.sentence, "lexicon", 0.8, frozenset(flags))


#: What "wants", closer to the phrase, overrules: "I work psychodynamically, she wants CBT".
_FORGIVEN: Final = frozenset(("own_practice", "past"))


def _covers(outer: PhraseHit, inner: PhraseHit) -> bool:
    return outer.part == inner.part and outer.first <= inner.first and inner.last <= outer.last


def _contexts(hit: PhraseHit, cues: list[PhraseHit]) -> Iterator[str]:
    """The contexts whose cue reaches the phrase."""
    for cue in cues:
        _, context, direction = cue.key.split("|")
        if context == "stop" or cue.part != hit.part:
            continue
        if direction == "forward":
            low, high = cue.last, hit.first
        else:
            low, high = hit.last, cue.first
        if not 0 <= high - low <= _REACH[context]:
            continue
        if not any(c.key == "cue|stop|any" and low <= c.first and c.last <= high for c in cues):
            yield context

"""Where reading goes well and where it does not: measures by kind of message, and the worst errors.

A slice is a question about a message that is answered from its text or its labels. Two of them are
proxies, and neither says anything about how well a person knows English:

* *reading level* is the Coleman-Liau index (Coleman and Liau 1975, "A computer readability formula
  designed for machine scoring"), which needs letters, words and sentences only. It is roughly the
  number of school years that a text asks for.
* *typing* is "hasty" where a third of the sentences begin in lower case or shorthand such as "pls"
  or "ct" is used, and "careful" otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from models.corpus import Example
from models.measures import CALLS_FOR, Report, measure, pair
from models.predictions import Evaluation, Likely, examples_of
from triage.records import Request

if TYPE_CHECKING:
    import pandas as pd

    from models.corpus import Corpus

#: Below so many messages a slice is shown but says little.
FEW: Final = 30
#: The measures of a slice, in the order shown.
SHOWN: Final = (
    "message_kinds_exact",
    "kind_macro_f1",
    "client_notification_macro_f1",
    "fit_reasons_micro_f1",
    "presenting_issues_micro_f1",
    "required_approaches_micro_f1",
    "required_experience_micro_f1",
    "false_clear",
    "urgent_missed",
)
_SENTENCE: Final = re.compile(r"[^.!?\n]*[^\W\d_][^.!?\n]*")
_SHORTHAND: Final = re.compile(
    r"\b(?:pls|plz|thx|msg|msgd|ct|clt|appt|tmrw|tmw|asap|u|ur|cld|wld|b4|w/)\b", re.IGNORECASE
)


def length(example: Example) -> str:
    """By words of new text."""
    words = len(example.email.new_text.split())
    return "under 40 words" if words < 40 else "40 to 119" if words < 120 else "120 and more"


def reading_level(example: Example) -> str:
    index = coleman_liau(example.email.new_text)
    return "plain (under 5)" if index < 5 else "everyday (5 to 9)" if index < 9 else "formal (9 on)"


def coleman_liau(text: str) -> float:
    """0.0588 L - 0.296 S - 15.8: L letters and S sentences for each hundred words."""
    words = re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)*", text)
    if not words:
        return 0.0
    letters = sum(len(re.sub(r"['’]", "", word)) for word in words)
    sentences = max(len(_SENTENCE.findall(text)), 1)
    return (5.88 * letters - 29.6 * sentences) / len(words) - 15.8


def typing(example: Example) -> str:
    text = example.email.new_text
    starts = [s.strip()[0] for s in _SENTENCE.findall(text) if s.strip()]
    lower = sum(start.islower() for start in starts)
    return "hasty" if _SHORTHAND.search(text) or lower * 3 > len(starts) else "careful"


def session_id(example: Example) -> str:
    return "given" if any(r.session_ids for r in example.requests) else "none"


SLICES: Final[Mapping[str, Callable[[Example], str]]] = {
    "role": lambda example: example.role,
    "length": length,
    "reading level": reading_level,
    "typing": typing,
    "session id": session_id,
    "quoted text": lambda example: "with" if example.email.quoted_text.strip() else "without",
    "requests": lambda example: "one" if len(example.requests) == 1 else "several",
}


def slices_frame(corpus: Corpus, evaluation: Evaluation) -> pd.DataFrame:
    """A row per slice and value: ``slice, value, messages``, the measures, ``low`` and ``high``.

    The last two are the 95 % interval of ``message_kinds_exact`` (Wilson 1927).
    """
    import pandas as pd

    examples = examples_of(corpus, evaluation)
    rows = []
    for name, value_of in SLICES.items():
        values = [value_of(example) for example in examples]
        for value in sorted(set(values)):
            part = [e for e, found in zip(examples, values, strict=True) if found == value]
            report = _report(part, evaluation)
            low, high = wilson(report["message_kinds_exact"] * len(part), len(part))
            shown = {measured: report[measured] for measured in SHOWN}
            row = {"slice": name, "value": value, "messages": len(part), **shown}
            rows.append({**row, "low": low, "high": high})
    return pd.DataFrame(rows)


def _report(examples: Sequence[Example], evaluation: Evaluation) -> Report:
    predicted = [evaluation.predicted[e.file][e.id] for e in examples]
    return measure([e.requests for e in examples], predicted)


def wilson(hits: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927), which stays within 0..1 and holds the share."""
    if not count:
        return 0.0, 1.0
    z = 1.96
    share, square = hits / count, z * z / count
    middle = share + square / 2
    wide = z * ((share * (1 - share) + square / 4) / count) ** 0.5
    low, high = (middle - wide) / (1 + square), (middle + wide) / (1 + square)
    # The last digit is rounded: of 11 in 11 the upper end would be just below all of them.
    return min(max(low, 0.0), share), max(min(high, 1.0), share)


def answers_frame(corpus: Corpus, evaluation: Evaluation, field: str = "kind") -> pd.DataFrame:
    """A row per predicted request: ``file, id, labelled, predicted, sure, right``.

    *field* is a single-valued one, asked of the requests for which the guideline labels it. An
    invented request has "-" as its label. ``sure`` is missing where the predictions hold no
    probability of the answer, or the answer follows from the kind.
    """
    import pandas as pd

    rows = list(_answers(examples_of(corpus, evaluation), evaluation, field))
    return pd.DataFrame(rows, columns=["file", "id", "labelled", "predicted", "sure", "right"])


def _answers(
    examples: Sequence[Example], evaluation: Evaluation, field: str
) -> Iterator[tuple[str, str, str, str, float | None, bool]]:
    for example in examples:
        requests = evaluation.predicted[example.file][example.id]
        likely = evaluation.likely.get(example.file, {}).get(example.id, ())
        places = {id(request): number for number, request in enumerate(requests)}
        for gold, read in pair(example.requests, requests):
            if read is not None and _is_asked(gold, field):
                labelled = "-" if gold is None else getattr(gold, field)
                sure = _sure(read, field, likely[places[id(read)]] if likely else {})
                said = getattr(read, field)
                yield example.file, example.id, labelled, said, sure, labelled == said


def _is_asked(gold: Request | None, field: str) -> bool:
    return gold is None or field in {"kind", "risk"} or gold.kind in CALLS_FOR


def _sure(request: Request, field: str, likely: Likely) -> float | None:
    if field == "kind":
        return request.confidence
    if field != "risk" and request.kind not in CALLS_FOR:
        return None
    return likely.get(field, {}).get(getattr(request, field))


def mistakes(
    corpus: Corpus, evaluation: Evaluation, field: str, *, most: int = 12, text: bool = False
) -> pd.DataFrame:
    """The errors in *field* about which the model was surest.

    With *text*, subject and first words as well: for composed corpora alone, since real mail is
    health data about a third person.
    """
    found = answers_frame(corpus, evaluation, field).query("not right")
    found = (
        found.sort_values("sure", ascending=False, kind="stable").head(most).drop(columns="right")
    )
    if text:
        by_key = {(e.file, e.id): e.email for e in corpus.examples}
        emails = [by_key[key] for key in zip(found["file"], found["id"], strict=True)]
        found["text"] = [f"{e.subject} | {' '.join(e.new_text.split())}"[:400] for e in emails]
    return found.reset_index(drop=True)

"""Predictions beside labels as data frames: what the data team looks at, slices and plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from models.corpus import Example
from models.measures import pair
from triage.labels import CODE_SETS, CODES
from triage.records import Request

if TYPE_CHECKING:
    import pandas as pd

_FIELDS: Final = (*CODES, *CODE_SETS, "session_ids", "session_time")


def requests_frame(
    examples: Sequence[Example], predicted: Mapping[str, Mapping[str, Sequence[Request]]]
) -> pd.DataFrame:
    """One row per pair of labelled and predicted request, by message.

    Columns are ``file, id, role, requests`` (how many the message holds), for each field
    ``labelled.FIELD`` and ``predicted.FIELD`` (sets as sorted codes joined by ";", missing where a
    request was missed or invented) and ``confidence``. Codes and ids only: no text, no names.
    """
    import pandas as pd

    return pd.DataFrame(list(_rows(examples, predicted)))


def confusion(frame: pd.DataFrame, field: str) -> pd.DataFrame:
    """How often each label of *field* was read as which; "-" stands for missed and invented."""
    import pandas as pd

    labelled = frame[f"labelled.{field}"].fillna("-")
    return pd.crosstab(labelled, frame[f"predicted.{field}"].fillna("-"))


def _rows(
    examples: Sequence[Example], predicted: Mapping[str, Mapping[str, Sequence[Request]]]
) -> Iterator[dict[str, object]]:
    for example in examples:
        for labelled, read in pair(example.requests, predicted[example.file][example.id]):
            yield {
                "file": example.file,
                "id": example.id,
                "role": example.role,
                "requests": len(example.requests),
                **{f"labelled.{name}": _cell(labelled, name) for name in _FIELDS},
                **{f"predicted.{name}": _cell(read, name) for name in _FIELDS},
                "confidence": None if read is None else read.confidence,
            }


def _cell(request: Request | None, name: str) -> object:
    if request is None:
        return None
    value = getattr(request, name)
    return ";".join(sorted(value)) if isinstance(value, tuple) else value

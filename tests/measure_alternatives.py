# ruff: noqa: T201 - the figures are what it is for
"""How well alternatives are ranked: NDCG at 3 on a small gold set of the sample's directory.

    python tests/measure_alternatives.py

The gold set was judged by a person from the directory alone (``tests/data/alternatives``). NDCG is
that of Järvelin and Kekäläinen (2002), with gains of 2^grade - 1.
"""

from __future__ import annotations

import csv
import sys
import tomllib
from collections.abc import Sequence
from math import log2
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from casework import Registry  # noqa: E402 - after the path is set

from triage.alternatives import rank  # noqa: E402
from triage.records import Alternative, CaseFacts, Request, Therapist  # noqa: E402

_LISTS = ("emails", "delegates", "approaches", "issues", "experience", "languages", "places")


def directory() -> Registry:
    with (ROOT / "ingest/sample/registry/therapists.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return Registry(therapists=tuple(_therapist(row) for row in rows))


def _therapist(row: dict[str, str]) -> Therapist:
    lists = {name: tuple(part for part in row[name].split(";") if part) for name in _LISTS}
    is_open = row["open_to_new"] == "true"
    return Therapist(row["therapist_id"], row["name"], open_to_new=is_open, **lists)


def gold() -> list[dict[str, Any]]:
    file = ROOT / "tests/data/alternatives/gold.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))["ask"]


def ranked(ask: dict[str, Any], known: Registry) -> Sequence[Alternative]:
    request = Request(
        "referral",
        fit_reasons=tuple(ask["reasons"]),
        presenting_issues=tuple(ask.get("issues", ())),
        required_approaches=tuple(ask.get("approaches", ())),
        required_experience=tuple(ask.get("experience", ())),
    )
    own = known.therapist(ask["of"])
    return rank(request, CaseFacts(registry_known=True, sender_is="owner", therapist=own), known)


def ndcg(found: Sequence[str], suits: dict[str, int], *, at: int = 3) -> float:
    def gain(grades: Sequence[int]) -> float:
        return sum((2**grade - 1) / log2(place + 2) for place, grade in enumerate(grades[:at]))

    best = gain(sorted(suits.values(), reverse=True))
    return gain([suits.get(name, 0) for name in found]) / best


def main() -> None:
    known, total = directory(), 0.0
    asks = gold()
    for ask in asks:
        found = [a.therapist_id for a in ranked(ask, known)]
        score = ndcg(found, ask["suits"])
        total += score
        print(f"{score:.3f}  {' '.join(found):24}  {ask['what']}")
    print(f"NDCG@3 {total / len(asks):.3f} over {len(asks)} asks")


if __name__ == "__main__":
    main()

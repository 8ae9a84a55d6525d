"""Measure how often a disguised message is read less safely than as it was written.

usage: python tests/measure_robustness.py [--fast] [--messages N] [--release VERSION] [--json]

A sample of the corpora, the same every time, is read as it is and in each of ``disguises``. What
counts as less safe stands in ``SAFETY``. "harm" counts those that in the same field are less safe
than the label too: where the label says "informed" and only the disguised message is read so,
nobody is hurt. A release was trained on these messages: it is surer of them than of new ones, so
the rates are those of a reader who knows what it reads.
"""

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from disguises import DISGUISES  # noqa: E402 - found through the line above

from models.corpus import Example, load_corpus  # noqa: E402
from models.measures import pair  # noqa: E402
from models.reading import Reader, load_reader  # noqa: E402
from triage.records import Request  # noqa: E402

#: How safe each answer is: what the team then does. To fall is to be read less safely.
SAFETY: Mapping[str, Mapping[str, int]] = {
    # As though the client had been told: a session is cancelled that nobody told them of.
    "client_notification": {
        "not_informed": 2, "planned": 2, "asks_team": 2, "unknown": 2, "informed": 1,
        "discussed": 0,
    },
    # As though nobody were in danger: nobody looks at once.
    "risk": {"urgent": 2, "concern": 1, "none": 0},
    # Away from the queues of fit work: to the general inbox, where no rule is checked.
    "kind": {
        "cancellation": 1, "referral": 1, "note_reason": 1, "enquiry": 1, "update": 1,
        "withdrawal": 1, "other": 0,
    },
}  # fmt: skip
#: A kind that was doubtful before is for a person to check either way.
SURE = 0.7


def less_safe(before: Sequence[Request], after: Sequence[Request]) -> Iterator[str]:
    """The fields in which *after* is read less safely than *before*; "session_ids" if they differ.

    A fit request that is no longer there at all counts as its kind gone to "other".
    """
    if {i for r in before for i in r.session_ids} != {i for r in after for i in r.session_ids}:
        yield "session_ids"
    for was, now in pair(before, after):
        if was is None:
            continue
        sure = was.confidence >= SURE and was.kind in {"cancellation", "referral"}
        if now is None:
            if sure:
                yield "kind"
            continue
        for field, order in SAFETY.items():
            fell = order[getattr(now, field)] < order[getattr(was, field)]
            if fell and (sure or field != "kind"):
                yield field


def sample(messages: int) -> list[Example]:
    """So many messages of all corpus files, the same ones every time."""
    return random.Random(20261122).sample(load_corpus().examples, messages)


def flips(
    reader: Reader, examples: Sequence[Example], names: Sequence[str] = tuple(DISGUISES)
) -> dict[str, Counter[str]]:
    """For each disguise, how many messages are read less safely, by field; "any" once for each.

    "harm" is how many of them are less safe than their label as well.
    """
    plain = reader.read([example.email for example in examples])
    found = {}
    for name in names:
        rng = random.Random(name)
        read = reader.read([DISGUISES[name](example.email, rng) for example in examples])
        counts: Counter[str] = Counter()
        for example, before, after in zip(examples, plain, read, strict=True):
            fields = set(less_safe(before, after))
            counts.update(fields)
            counts["any"] += bool(fields)
            counts["harm"] += bool(fields & set(less_safe(example.requests, after)))
        found[name] = counts
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--fast", action="store_true", help="without the transformer")
    options.add_argument("--messages", type=int, default=300)
    options.add_argument("--release", help="instead of the one in use")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    reader = load_reader(chosen.release, fast=chosen.fast)
    found = flips(reader, sample(chosen.messages))
    if chosen.json:
        lines = [json.dumps({"messages": chosen.messages, "less_safe": found}, indent=1)]
    else:
        fields = ("any", "harm", *SAFETY, "session_ids")
        lines = [f"{chosen.messages} messages, read by {reader.version}; less safe in\n"]
        lines += [f"{'':40}" + "".join(f"{field:>21}" for field in fields)]
        for name, counts in found.items():
            lines += [f"{name:40}" + "".join(f"{counts[field]:21}" for field in fields)]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

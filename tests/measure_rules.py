"""Measure the rules over the labelled corpora, without any learned model.

usage: python tests/measure_rules.py [t1 t2 …]

Requests are paired as in the guideline's scorer: by session id, by client, then by order. Only what
the rules deliver is compared; kinds are not.
"""

import json
import sys
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from reading_mail import ROOT, language, mail  # noqa: E402 - found through the line above

from triage.detectors import notice  # noqa: E402
from triage.grouping import group  # noqa: E402

CORPORA = ROOT / "models/corpus"
FIT = {"cancellation", "referral", "note_reason", "enquiry", "update"}
SETS = ("presenting_issues", "required_approaches", "required_experience")
FLAGS = {
    "alternatives_requested": {True: "true"},
    "guarantee_asked": {True: "true"},
    "client_agreement": {"agrees": "agrees", "declines": "declines"},
    "risk": {"urgent": "urgent", "concern": "concern"},
}


def paired(gold, groups):
    left, right = list(gold), list(groups)
    for same in (
        lambda g, p: set(g["session_ids"]) & set(p.session_ids),
        lambda g, p: (g["client_ref"] or "").lower() == (p.client_ref or "-").lower(),
        lambda _g, _p: True,
    ):
        for g in tuple(left):
            p = next((p for p in right if same(g, p)), None)
            if p is not None:
                left.remove(g)
                right.remove(p)
                yield g, p
    yield from ((g, None) for g in left)


def tally(counts, name, want, got):
    counts[name, "tp"] += len(want & got)
    counts[name, "fp"] += len(got - want)
    counts[name, "fn"] += len(want - got)


def measure(names):
    counts, seconds = Counter(), 0.0
    language()  # built once per process: not the cost of a message
    for name in names:
        for line in (CORPORA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            parts = {"quoted": record["quoted"], "sent": record["sent"]}
            email = mail(record["new_text"], subject=record["subject"], **parts)
            begin = time.process_time()
            reading = language().read(email)
            groups = group(reading, notice(reading))
            seconds += time.process_time() - begin
            gold = record["requests"]
            counts["messages", ""] += 1
            counts["number of requests", "right"] += len(gold) == len(groups)
            counts["one request kept one", "of"] += len(gold) == 1
            counts["one request kept one", "right"] += len(gold) == len(groups) == 1
            counts["several told apart", "of"] += len(gold) > 1
            counts["several told apart", "right"] += len(gold) == len(groups) > 1
            ids = {i for r in gold for i in r["session_ids"]}
            counts["session ids exact", "right"] += ids == {
                i for g in groups for i in g.session_ids
            }
            for g, p in paired(gold, groups):
                compare(counts, g, p)
    return counts, seconds


def compare(counts, g, p):
    if g["session_time"]:
        counts["session time", "of"] += 1
        counts["session time", "right"] += p is not None and p.session_time == g["session_time"]
    if g["client_ref"]:
        counts["client ref", "of"] += 1
        named = (p.client_ref or "").lower() if p else ""
        counts["client ref", "right"] += named == g["client_ref"].lower()
    if g["kind"] not in FIT:
        return
    said = [m for m in p.mentions if m.counts] if p else []
    for label in SETS:
        tally(counts, label, set(g[label]), {m.value for m in said if m.label == label})
    for label, codes in FLAGS.items():
        for gold, value in codes.items():
            got = {value for m in said if m.label == label and m.value == value}
            tally(counts, f"{label}={value}", {value} if g[label] == gold else set(), got)


def main(names):
    counts, seconds = measure(names or sorted(p.stem for p in CORPORA.glob("t*.jsonl")))
    messages = counts["messages", ""]
    say = sys.stdout.write
    say(f"{messages} messages, {seconds / messages * 1000:.2f} ms each\n")
    for name in dict.fromkeys(n for n, k in counts if k == "right"):
        of = counts[name, "of"] or messages
        say(f"{name:32} {counts[name, 'right'] / of:.3f}\n")
    for name in dict.fromkeys(n for n, k in counts if k == "tp"):
        tp, fp, fn = (counts[name, k] for k in ("tp", "fp", "fn"))
        say(
            f"{name:32} F1 {2 * tp / (2 * tp + fp + fn or 1):.3f}"
            f"  precision {tp / (tp + fp or 1):.3f}  recall {tp / (tp + fn or 1):.3f}\n"
        )


if __name__ == "__main__":
    main(sys.argv[1:])

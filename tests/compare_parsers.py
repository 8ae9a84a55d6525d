"""Tables of this project's parser beside others, over the public test messages and reply pairs.

    python tests/compare_parsers.py [--show N] [--source PART]

Messages: ours, mail-parser alone, the standard library alone. Reply pairs: exact match (white space
aside) and token F1, honouring ``signature_policy``. Reads ``../shared``; prints nothing of the mails
unless asked to with ``--show``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
SHARED = ROOT.parent / "shared"


def tokens(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text)


def squeezed(text: str) -> str:
    return "".join(text.split())


def f1(got: str, wanted: str) -> float:
    one, two = Counter(tokens(got)), Counter(tokens(wanted))
    if not one or not two:
        return float(one == two)
    common = sum((one & two).values())
    return 2 * common / (sum(one.values()) + sum(two.values()))


def answer(pair: dict[str, str]) -> str:
    """What our split holds to be the text that the pair's convention asks for."""
    from ingest import html, quoting

    if pair["kind"] == "html":
        rendered = html.to_text(pair["input"])
        parts = quoting.split(rendered.text, signature_lines=rendered.signature_lines)
    else:
        parts = quoting.split(pair["input"])
    policy = pair["signature_policy"]
    if policy == "keep":
        return f"{parts.new_text}\n{parts.signature}"
    if policy.startswith("strip (keeps"):
        first = parts.signature.split("\n")[0]
        return f"{parts.new_text}\n{first}" if first.startswith("-") else parts.new_text
    return parts.new_text


def compare_replies(show: int, source: str) -> None:
    path = SHARED / "mail" / "reply_pairs.jsonl"
    pairs = [json.loads(line) for line in path.read_text().splitlines()]
    scores: dict[str, list[tuple[bool, float]]] = defaultdict(list)
    for pair in pairs:
        got = answer(pair)
        exact = squeezed(got) == squeezed(pair["expected"])
        score = (exact, f1(got, pair["expected"]))
        for name in ("all", f"{pair['source']} {pair['kind']}"):
            scores[name].append(score)
        if not exact and show and source in pair["source"] + str(pair["id"]):
            show -= 1
            print(f"--- {pair['id']} {pair['source']} {pair['kind']} {pair['signature_policy']}")
            print(
                pair["input"][:1500],
                "\n  >>> wanted\n",
                pair["expected"][:700],
                "\n  >>> got\n",
                got[:900],
            )
    print(f"{'reply pairs':44}{'n':>5}{'exact':>8}{'F1':>8}")
    for name, rows in sorted(scores.items()):
        exact_share = sum(exact for exact, _ in rows) / len(rows)
        print(f"{name:44}{len(rows):5}{exact_share:8.1%}{sum(s for _, s in rows) / len(rows):8.3f}")
    for left_out in sorted({pair["source"] for pair in pairs}):
        rows = [
            s
            for name, r in scores.items()
            if name != "all" and not name.startswith(left_out)
            for s in r
        ]
        print(f"without {left_out:36}{len(rows):5}{sum(e for e, _ in rows) / len(rows):8.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", type=int, default=0)
    parser.add_argument("--source", default="")
    options = parser.parse_args()
    compare_replies(options.show, options.source)


if __name__ == "__main__":
    main()

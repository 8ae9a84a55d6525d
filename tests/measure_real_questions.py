"""Are the issues found in what real people write?

usage: python tests/measure_real_questions.py [--fast] [FILE]

Reads each question of real_questions.jsonl (questions of real people to counsellors, with the topic
they were filed under) as a mail and counts how often one of the filed issues is among those read,
and how many are read. Measured only: nothing is trained or tuned on these questions.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from models.reading import load_reader
from triage.records import Address, Authentication, Email

QUESTIONS = Path(__file__).parents[2] / "shared" / "corpus" / "real_questions.jsonl"


def email_of(record: dict[str, str]) -> Email:
    return Email(
        message_id=record["id"],
        sender=Address("", "asker@mail.example"),
        reply_to=(),
        recipients=(),
        authentication=Authentication(passed=False, reason="measured"),
        sent_at=datetime(2026, 3, 2, 10, tzinfo=UTC),
        subject=record["title"],
        new_text=record["text"],
        quoted_text="",
        signature="",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=QUESTIONS)
    parser.add_argument("--fast", action="store_true", help="without the transformer")
    given = parser.parse_args()
    records = [json.loads(line) for line in given.file.read_text(encoding="utf-8").splitlines()]
    answers = load_reader(fast=given.fast).read([email_of(record) for record in records])
    read = [{code for r in requests for code in r.presenting_issues} for requests in answers]
    found = sum(
        bool(codes & set(r["issues_any_of"])) for codes, r in zip(read, records, strict=True)
    )
    each = sum(map(len, read)) / len(read)
    sys.stdout.write(f"filed topic found {found} of {len(read)} = {found / len(read):.1%}\n")
    sys.stdout.write(f"issues read per question {each:.2f}\n")


if __name__ == "__main__":
    main()

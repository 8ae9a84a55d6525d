"""Messages as mail programs write them, each with what must be read in it.

``python tests/unit/test_golden_mail.py`` writes the ``.json`` of messages that have none yet; with
``--all`` it writes all of them anew. Read the difference before you commit it.
"""

import hashlib
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from ingest.parsing import ParseOptions, parse  # noqa: E402 - run as a program it needs the path
from triage.records import MessageKey, RawMessage  # noqa: E402 - likewise

MAIL = ROOT / "tests" / "data" / "mail"
OPTIONS = ParseOptions(authserv_id="mx.support.example")


def reading(path: Path) -> dict[str, object]:
    content = path.read_bytes()
    received_at = datetime(2025, 11, 3, 12, 0, tzinfo=UTC)
    digest = hashlib.sha256(content).hexdigest()
    email = parse(RawMessage(MessageKey("golden", "", 1, 1), received_at, digest, content), OPTIONS)
    return json.loads(json.dumps(asdict(email), default=str))


@pytest.mark.parametrize("path", sorted(MAIL.glob("*.eml")), ids=lambda path: path.stem)
def test_a_message_is_read_as_written_down(path):
    expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))

    assert reading(path) == expected


def write(*, everything: bool) -> None:
    for path in sorted(MAIL.glob("*.eml")):
        target = path.with_suffix(".json")
        if everything or not target.exists():
            text = json.dumps(reading(path), indent=1, ensure_ascii=False)
            target.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(everything="--all" in sys.argv)

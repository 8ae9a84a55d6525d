"""Which releases have learned from which cases: for when somebody is erased."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path


def trained_on(cases: Collection[int], folder: Path | None = None) -> dict[str, int]:
    """The releases in *folder* (those of the program) that learned from these cases; rows of each.

    A release keeps the numbers of the cases it learned from, and none of their words. One whose
    list cannot be read is named with -1: nobody knows.
    """
    from models.feedback import STAFF_ROWS
    from models.registry import RELEASED

    wanted, found = set(cases), {}
    for path in sorted((folder or RELEASED).glob(f"*/{STAFF_ROWS}")):
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
            count = sum(bool(wanted.intersection(row["cases"])) for row in rows)
        except (OSError, ValueError, KeyError, TypeError):
            count = -1
        if count:
            found[path.parent.name] = count
    return found

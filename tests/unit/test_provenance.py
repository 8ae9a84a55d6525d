"""Which releases learned from somebody who is erased."""

from __future__ import annotations

import json
from pathlib import Path

from models.provenance import trained_on


def learned(folder: Path, name: str, *cases: list[int]) -> None:
    (folder / name).mkdir()
    rows = [{"cases": numbers} for numbers in cases]
    (folder / name / "staff_rows.json").write_text(json.dumps({"rows": rows, "left_out": {}}))


def test_releases_that_learned_from_a_case_are_told_with_how_many_rows(tmp_path: Path) -> None:
    learned(tmp_path, "a", [1, 2], [2], [3])
    learned(tmp_path, "b", [4])

    assert trained_on([2, 9], tmp_path) == {"a": 2}


def test_a_release_whose_list_cannot_be_read_is_told_too(tmp_path: Path) -> None:
    learned(tmp_path, "a")
    (tmp_path / "a" / "staff_rows.json").write_text("{")

    assert trained_on([2], tmp_path) == {"a": -1}

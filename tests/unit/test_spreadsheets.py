import pytest

from triage.spreadsheets import formula_safe


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\0=1", "＝1+1", "＋1", "－1",
        "＠x",         " =1", "\u200b=1", "\ufeff=1", "\u00a0@x", '=HYPERLINK("https://evil.example")',
    ],
)  # fmt: skip
def test_nothing_that_begins_a_formula_is_left_as_it_is(cell: str) -> None:
    assert formula_safe(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "a=b", "2026-11-22", "'=1", "a@b.example", "–", "x-1"])
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert formula_safe(cell) == cell

"""Text for cells of a spreadsheet that is taken for nothing but text."""

from __future__ import annotations

import re
from typing import Final

#: What a spreadsheet takes for the beginning of a formula, with what nobody sees before it
#: (https://owasp.org/www-community/attacks/CSV_Injection; line feed and NUL as ASVS 5.0, 1.2.10).
_FORMULA: Final = re.compile(
    r"[\t\r\n\0]|[\s\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]*[=+\-@＝＋－﹣＠﹫﹢﹦]"
)


def formula_safe(value: str) -> str:
    """*value* with an apostrophe before it where a spreadsheet would begin to calculate."""
    return f"'{value}" if _FORMULA.match(value) else value

"""Hostile HTML by chance: pieces of the corpus cut, spliced, nested and damaged. Seeded."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Final

from hostile.envelopes import Mail, alternative
from hostile.vectors import Vector, vectors

_PIECE: Final = re.compile(
    r"<!--|--!?>|</?[\w:!?-]+[^<>]{0,200}>?|&#?\w+;?|[^<&]{1,40}|.", re.DOTALL
)
# One of these goes between two pieces, or into one.
_ODD: Final = (
    "\0", "\t", "\n", "\f", "\r", "\u00a0", "\u200b", "\u2028", "\ufeff", "/", "<", ">", "'", '"',
    "`", "=", "&", ";", "--", "<!--", "-->", "<![CDATA[", "]]>", "<?", "</p>", "<br>",
    "<svg>", "</svg>",
    "<math>", "<mtext>", "<mglyph>", "<style>", "</style>", "<title>", "<noscript>", "</noscript>",
    "<template>", "<table>", "<td>", "<select>", "<form>", "</form>", "<a>", "<xmp>", "<plaintext>",
    "<foreignObject>", "<desc>", "<annotation-xml encoding=text/html>", "<textarea>", "<iframe>",
    "<img src=x onerror=@S@>", "<img src=@U@>", "<script>@S@</script>", "<svg onload=@S@>",
    "<p style='background:url(@U@)'>", "<link rel=stylesheet href=@U@>",
)  # fmt: skip

Change = Callable[[random.Random, list[str], list[str]], list[str]]


def mutants(seed: int, count: int) -> Iterator[Mail]:
    """So many mails, the same for the same *seed*."""
    chance = random.Random(seed)
    pool = [one.html for one in vectors() if len(one.html) < 2_000]
    for number in range(1, count + 1):
        html = _mutated(chance, pool)
        mail = Vector("mutant", f"mutant {seed}/{number}", html)
        yield Mail(mail.family, mail.name, lambda fill, html=html: alternative(fill(html)))


def _mutated(chance: random.Random, pool: list[str]) -> str:
    pieces = _PIECE.findall(chance.choice(pool))
    for _ in range(chance.randint(1, 6)):
        other = _PIECE.findall(chance.choice(pool))
        pieces = chance.choice(_CHANGES)(chance, pieces or ["x"], other or ["x"])[:400]
    return "".join(pieces)


def _spliced(chance: random.Random, one: list[str], other: list[str]) -> list[str]:
    return one[: chance.randrange(len(one) + 1)] + other[chance.randrange(len(other)) :]


def _nested(chance: random.Random, one: list[str], other: list[str]) -> list[str]:
    at = chance.randrange(len(one) + 1)
    return one[:at] + other + one[at:]


def _dropped(chance: random.Random, one: list[str], _: list[str]) -> list[str]:
    at = chance.randrange(len(one))
    return one[:at] + one[at + 1 :]


def _doubled(chance: random.Random, one: list[str], _: list[str]) -> list[str]:
    at = chance.randrange(len(one))
    return one[:at] + [one[at]] * chance.randint(2, 5) + one[at + 1 :]


def _shuffled(chance: random.Random, one: list[str], _: list[str]) -> list[str]:
    return chance.sample(one, len(one))


def _salted(chance: random.Random, one: list[str], _: list[str]) -> list[str]:
    """Something odd between two pieces, or in the middle of one."""
    at = chance.randrange(len(one))
    odd, piece = chance.choice(_ODD), one[at]
    if piece.startswith("@") or chance.random() < 0.5:
        return [*one[:at], odd, *one[at:]]
    cut = chance.randrange(len(piece) + 1)
    return [*one[:at], piece[:cut] + odd + piece[cut:], *one[at + 1 :]]


def _recased(chance: random.Random, one: list[str], _: list[str]) -> list[str]:
    at = chance.randrange(len(one))
    if "@" in one[at]:
        return one
    return [*one[:at], one[at].swapcase(), *one[at + 1 :]]


_CHANGES: Final[tuple[Change, ...]] = (
    _spliced, _nested, _dropped, _doubled, _shuffled, _salted, _salted, _recased,
)  # fmt: skip

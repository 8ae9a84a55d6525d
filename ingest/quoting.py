"""New text apart from quoted text and signature.

The rule behind every case: what may be the sender's own words stays new, and the doubt is a defect.
A line goes to the quoted text because it is marked (">"), because a mail program's attribution,
header block or divider above says that a quote follows, or because it continues such a line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from ingest import quote_marks, signatures
from ingest.quote_marks import RULE_LINE, Mark

Role = Literal["new", "quoted", "signature"]

_QUOTED_LINE = re.compile(r"^\s{0,3}>")
_ARROW = re.compile(r"^\s{0,3}>[>\s]{0,40}[^<>]{0,300}<{2,}|^\s{0,3}>{1,3}-|^\s{0,3}>=")
_MAX_LOOKS = 3_000  # places at which a quote might begin that are looked at
_WRAPPED_AT = 60  # characters from which a quoted line may have been wrapped by a gateway
_LINK_ONLY = re.compile(r"^\s*[<(\[]https?://\S+[>)\]]\s*>?\s*$|^\s*>?\s*<mailto:[^>]*>\s*>?$")
_OPEN_LINK = re.compile(r"[<(\[]https?://[^\s>)\]]*$")
_ANSWERS_INSIDE = re.compile(
    r"(?i)\b(?:see|my|find|answer(?:s|ed)?|repl(?:y|ies|ied)|comments?|respon[ds]\w*|notes?|"
    r"added)\b[^.\n]{0,60}"
    r"\b(?:below|in ?-?line|in (?:red|blue|green|bold|caps|capitals|colou?r)|in the text|"
    r"between the lines|underneath|under each)\b"
)
_LIST_FOOTER = re.compile(r"(?i)mailing list|unsubscribe|listinfo|groups\.google\.com")
_MANY_BLANKS = re.compile(r"\n{3,}")


@dataclass(frozen=True, slots=True)
class Split:
    """A text in three. When in doubt text is new, and the doubt is among ``defects``."""

    new_text: str
    quoted_text: str
    signature: str
    defects: tuple[str, ...] = ()


def split(text: str, *, sender: str = "", signature_lines: Collection[int] = ()) -> Split:
    """*text* apart: what its sender wrote, what they quoted, and how they signed.

    Answers between quoted lines are new text; so is the line on top of a forward. *sender* is the
    From display name, which a signature block starts with. *signature_lines* are line numbers that
    an HTML signature element encloses. Pure; takes time linear in the length of *text*.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    paper = _Paper(lines)
    paper.mark_quotes()
    paper.mark_continuations()
    paper.mark_banner()
    paper.mark_signatures(sender, signature_lines)
    return paper.split()


class _Paper:
    """The lines of one text, each with the role it has been given so far."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = list(lines)
        self.roles: list[Role] = ["new"] * len(self.lines)
        self.defects: list[str] = []
        self.looks = 0
        self.rest_unmarked = False  # whether a quote runs to the end without ">" to tell answers by
        self.introduced = False  # whether anything a mail program writes above a quote was seen

    # -- quotes

    def mark_quotes(self) -> None:
        for index, line in enumerate(self.lines):
            if _QUOTED_LINE.match(line) and not _ARROW.match(line):
                self.roles[index] = "quoted"
        index = 0
        while index < len(self.lines):
            mark = None
            if self.looks > _MAX_LOOKS:  # no mail; a text made to be slow
                self.defects.append("quote_doubtful")
                break
            if self.roles[index] == "new" and self.lines[index].strip():
                self.looks += quote_marks.is_worth_a_look(self.lines[index])
                mark = quote_marks.mark_at(self.lines, index)
            elif self.roles[index] == "quoted" and len(self.lines[index]) < 40:
                # "> wrote:" closes an attribution whose address a gateway put on its own line.
                mark = quote_marks.attribution_at(self.lines, index)
                mark = mark if mark and mark.start < index and self._is_new(mark.start) else None
            if mark is None:
                index += 1
                continue
            self.introduced = True
            index = self._apply(mark)
        self._doubt_bullets()

    def _doubt_bullets(self) -> None:
        """Doubts marked lines that nothing introduces.

        Some people head the points of a list with ">": below "three things:" it is no quote.
        """
        if self.introduced or "quoted" not in self.roles:
            return
        marked = [line for line, role in zip(self.lines, self.roles, strict=True) if role != "new"]
        if any(quote_marks.mark_at([line.lstrip("> ")], 0) for line in marked[:_MAX_LOOKS]):
            return
        above = [line for line in self.lines[: self.roles.index("quoted")] if line.strip()]
        if above:
            self.defects.append("quote_doubtful")
            if above[-1].rstrip().endswith((":", "：")):
                self.roles = ["new"] * len(self.lines)

    def _is_new(self, index: int) -> bool:
        return self.roles[index] == "new"

    def _apply(self, mark: Mark) -> int:
        """Quote what *mark* introduces; the index to go on from."""
        if self._is_marked_below(mark.end):
            self._quote(mark.start, mark.end, mark.lead)
            return mark.end
        if mark.kind == "weak":
            return mark.end
        nothing_above = not any(
            self._is_new(i) and self.lines[i].strip() and not RULE_LINE.match(self.lines[i])
            for i in range(mark.start)
        )
        quoted_above = any(role == "quoted" for role in self.roles[: mark.start])
        if (
            nothing_above
            and not mark.lead
            and mark.kind in {"attribution", "header"}
            and not quoted_above
        ):
            self.defects.append("quote_doubtful")
            return mark.end
        self.rest_unmarked = mark.kind != "forward"
        self._quote(mark.start, len(self.lines), mark.lead)
        return len(self.lines)

    def _is_marked_below(self, index: int) -> bool:
        """Whether the next lines that say anything begin with ">"."""
        for at in range(index, min(index + 4, len(self.lines))):
            if self.lines[at].strip():
                return self.roles[at] == "quoted"
        return False

    def _quote(self, start: int, end: int, lead: int) -> None:
        if lead:  # the attribution shares a line with the sender's last words
            head, tail = self.lines[start][:lead], self.lines[start][lead:]
            self.lines[start] = head.rstrip(" -")
            self.lines.insert(start + 1, tail.lstrip(" -"))
            self.roles.insert(start + 1, "quoted")
            start, end = start + 1, end + 1
        self.roles[start:end] = ["quoted"] * (end - start)
        above = start - 1
        while above >= 0 and self._is_new(above):
            if self.lines[above].strip() and not RULE_LINE.match(self.lines[above]):
                break
            self.roles[above] = "quoted"
            above -= 1

    def mark_continuations(self) -> None:
        """Ends of quoted lines that a gateway wrapped, and links it put on lines of their own.

        An answer looks different: it follows a blank line, or a quoted line that had ended.
        """
        for index in range(1, len(self.lines)):
            if not self._is_new(index) or self.roles[index - 1] != "quoted":
                continue
            line, above = self.lines[index], self.lines[index - 1].rstrip()
            if not line.strip() or not above.lstrip("> "):
                if _LINK_ONLY.match(line):
                    self.roles[index] = "quoted"
                continue
            next_quoted = index + 1 >= len(self.lines) or self.roles[index + 1] == "quoted"
            wrapped = (
                next_quoted
                and len(above) >= _WRAPPED_AT
                and above[-1] not in ".!?:;>"
                and line[:1].islower()
                and len(line) < len(above)
            )
            if wrapped or _LINK_ONLY.match(line) or (_OPEN_LINK.search(above) and next_quoted):
                self.roles[index] = "quoted"

    # -- what is nobody's own words

    def mark_banner(self) -> None:
        first = next(
            (i for i, line in enumerate(self.lines) if line.strip() and self._is_new(i)), None
        )
        if first is None:
            return
        end = first + signatures.banner_end(self.lines[first:])
        later = any(self._is_new(i) and self.lines[i].strip() for i in range(end, len(self.lines)))
        if end > first and (later or "quoted" in self.roles):
            self.roles[first:end] = ["signature"] * (end - first)
            self.defects.append("external_banner")

    def mark_signatures(self, sender: str, known: Collection[int]) -> None:
        self._mark_known(known)
        for index, line in enumerate(self.lines):
            if self._is_new(index) and signatures.is_mobile(line):
                self.roles[index] = "signature"
        for start, end in self._signed_runs():
            alone = not any(self._is_new(i) and self.lines[i].strip() for i in range(start))
            at, doubtful = signatures.start(self.lines[start:end], sender, is_whole_text=alone)
            if doubtful:
                self.defects.append("signature_doubtful")
            if at < end - start:
                self._sign(start + at, end)

    def _mark_known(self, known: Collection[int]) -> None:
        """Lines in an HTML signature element, unless the sender wrote the mail inside it."""
        chosen = [
            i for i in known if i < len(self.lines) and self._is_new(i) and self.lines[i].strip()
        ]
        others = any(
            self._is_new(i) and line.strip() and i not in known for i, line in enumerate(self.lines)
        )
        if not chosen or not others:
            return
        if signatures.may_be_signature([self.lines[i] for i in chosen]):
            for i in chosen:
                self.roles[i] = "signature"
        else:
            self.defects.append("signature_doubtful")

    def _sign(self, start: int, end: int) -> None:
        for index in range(start, end):
            if self._is_new(index):
                self.roles[index] = "signature"

    def _signed_runs(self) -> list[tuple[int, int]]:
        """Stretches of new text that end where people sign: before a quote, or at the end."""
        runs: list[tuple[int, int]] = []
        start = None
        for index in range(len(self.lines) + 1):
            quoted = index == len(self.lines) or self.roles[index] == "quoted"
            if start is None and not quoted and self._is_new(index) and self.lines[index].strip():
                start = index
            elif start is not None and quoted:
                runs.append((start, index))
                start = None
        # Between answers nobody signs: the first run, and the last.
        return runs if len(runs) < 3 else [runs[0], runs[-1]]

    # -- the result

    def split(self) -> Split:
        new = self._joined("new")
        quoted, signature = self._joined("quoted"), self._joined("signature")
        if not new and signature and not quoted:
            new, signature = signature, ""
        if not new and quoted:
            self.defects.append("nothing_new")
        elif self.rest_unmarked and _ANSWERS_INSIDE.search(new):
            self.defects.append("answers_may_be_inline")
        return Split(new, quoted, signature, tuple(dict.fromkeys(self.defects)))

    def _joined(self, role: Role) -> str:
        kept: list[str] = []
        last = -1
        for index, line in enumerate(self.lines):
            if self.roles[index] != role:
                continue
            if kept and last != index - 1 and role == "new":
                kept.append("")  # a quote stood here
            kept.append(line.rstrip())
            last = index
        return _MANY_BLANKS.sub("\n\n", "\n".join(kept)).strip("\n ")

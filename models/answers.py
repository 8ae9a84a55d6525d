"""The requests of a message as the models read them, each answer with the words it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from models import decisions as d
from models.evidence import Evidence, gather
from models.features import Floats, of_adviser_alone
from models.heads import MARKS, SIGNALS, Scores
from triage.grouping import settled_mentions, time_of
from triage.labels import CODE_SETS, NOTIFICATIONS, RISKS
from triage.records import Finding, Request, Span

if TYPE_CHECKING:
    from models.views import View
    from triage.grouping import Group

#: Kinds for which the guideline wants a reason; "unspecified" where none is found.
NEEDS_REASON: Final = frozenset(("cancellation", "referral", "note_reason"))
#: Kinds whose reasons, needs and notification the guideline leaves empty.
BARE: Final = frozenset(("withdrawal", "other"))
CLEARED: Final = ("discussed", "informed")
#: Danger is answered from this probability on: one missed weighs as much as 20 looked at in vain.
#: People in danger understate; from .1 on, a third more of them went unseen (supplements left out).
URGENT: Final = 0.05
#: From here on a request is left out, or another put beside: neither loses more than it gains.
_SURELY: Final = 0.5
#: Of a message without an ask of fit so many issues are told at most, and from so likely on.
_HINTS: Final = 4
_HINT: Final = 0.05
_NEVER: Final = 2.0  # no probability is so high
_SAYS: Final = {name: place for place, name in enumerate(SIGNALS)}


@dataclass(frozen=True, slots=True)
class Probabilities:
    """Every decision's probabilities for a batch of requests, one row each."""

    kind: Floats
    told: Floats
    stage: Floats
    flags: Mapping[str, Floats]
    codes: Mapping[str, Floats]  # requests x codes of the field, less "unspecified"
    count: Mapping[str, Floats]  # by COUNTS, how likely it holds; empty without a transformer
    sure: Floats  # how likely the likeliest kind is right


def weigh_up(decisions: d.Decisions, evidence: Evidence) -> Probabilities:
    """Apply all decisions to *evidence*."""
    flags = d.flag_features(evidence)
    kind = decisions.kind.log_probabilities(d.kind_features(evidence))
    count = {
        name: decision.log_probabilities(d.count_features(evidence))
        for name, decision in decisions.count.items()
    }
    return Probabilities(
        kind=np.exp(kind),
        told=np.exp(decisions.told.log_probabilities(d.told_features(evidence))),
        stage=np.exp(decisions.stage.log_probabilities(d.stage_features(evidence))),
        flags={
            name: np.exp(decision.log_probabilities(flags))
            for name, decision in decisions.flags.items()
        },
        codes={
            name: code_probabilities(
                decision, d.code_features(evidence, name, decisions.reliability)
            )
            for name, decision in decisions.codes.items()
        },
        count={name: np.exp(found[:, 1]) for name, found in count.items()},
        sure=_sure(decisions, kind, count, evidence),
    )


def _sure(
    decisions: d.Decisions, kind: Floats, count: Mapping[str, Floats], evidence: Evidence
) -> Floats:
    if decisions.sure is None:
        likeliest: Floats = np.exp(kind.max(axis=1))
        return likeliest
    features = d.sure_features(kind, count, evidence)
    right: Floats = np.exp(decisions.sure.log_probabilities(features)[:, 1])
    return right


def code_probabilities(decision: d.Decision, features: Floats) -> Floats:
    flat = features.reshape(-1, features.shape[-1])
    held: Floats = np.exp(decision.log_probabilities(flat)[:, 1]).reshape(features.shape[:2])
    return held


def answer(
    decisions: d.Decisions, views: Sequence[View], scores: Scores, version: str
) -> list[tuple[Request, ...]]:
    """One tuple of requests per view, every field filled in."""
    evidence = gather(views, scores)
    probabilities = weigh_up(decisions, evidence)
    found: list[tuple[Request, ...]] = []
    row = 0
    for number, view in enumerate(views):
        requests = []
        for group in view.groups:
            case = _Case(
                view, group, row, int(scores.rows[number]), evidence, probabilities, version
            )
            requests.append(_request(case, decisions))
            row += 1
        found.append(_counted(requests, probabilities.count, slice(row - len(requests), row)))
    return found


def _counted(
    requests: Sequence[Request], count: Mapping[str, Floats], rows: slice
) -> tuple[Request, ...]:
    """*requests* without those that stand for nothing, and with the matter left out beside them."""
    kept = [requests[place] for place in standing(count, rows)]
    beside = float(count["beside"][rows].mean()) if count else 0.0
    if beside >= _SURELY and all(r.kind != "other" for r in kept):
        kept.append(Request(kind="other", confidence=round(beside, 4)))
    return tuple(kept)


def standing(count: Mapping[str, Floats], rows: slice) -> list[int]:
    """Which of a message's requests stand for something, by place: one at least."""
    if not count:
        return list(range(rows.stop - rows.start))
    spurious = count["spurious"][rows]
    kept = [place for place, likely in enumerate(spurious) if likely < _SURELY]
    return kept or [int(spurious.argmin())]


@dataclass(frozen=True, slots=True)
class _Case:
    """One request in the making."""

    view: View
    group: Group
    row: int
    first_sentence: int
    evidence: Evidence
    probabilities: Probabilities
    version: str

    def sentence(self, head: str, column: int) -> Span | None:
        """The words of the request's sentence that says *column* of *head* loudest.

        None where the request has no sentences.
        """
        index = int(self.evidence.where[head][self.row, column]) - self.first_sentence
        if index >= len(self.view.reading.sentences):
            return None
        sentence = self.view.reading.sentences[index]
        text = getattr(self.view.reading.email, sentence.part)[sentence.start : sentence.end]
        return Span(sentence.part, sentence.start, sentence.end, text)

    def speaks_of_adviser(self, head: str, column: int) -> bool:
        """Whether that sentence is about a supervisor or colleague, and surely about no client."""
        index = int(self.evidence.where[head][self.row, column]) - self.first_sentence
        if index >= len(self.view.reading.sentences):
            return False
        named = any(m.label == "client_ref" and m.sentence == index for m in self.view.mentions)
        return not named and of_adviser_alone(self.view.reading.sentences[index].text)

    def model(self, name: str) -> str:
        return f"model:{name}@{self.version}"


def _request(case: _Case, decisions: d.Decisions) -> Request:
    p = case.probabilities
    kind = decisions.kind.labels[int(p.kind[case.row].argmax())]
    fields: dict[str, Any] = {"kind": kind, "confidence": round(float(p.sure[case.row]), 4)}
    findings = [_kind_finding(case, kind, fields["confidence"]), *_rule_findings(case, kind)]
    risk, sure = choose_risk(p.flags["risk"][case.row])
    fields["risk"] = risk
    if risk != "none":
        span = case.sentence("says", _SAYS[f"risk:{risk}"])
        findings.append(Finding("risk", risk, span, case.model("risk"), sure))
    if kind not in BARE:
        for name, value, more in _details(case, decisions, kind):
            fields[name] = value
            findings += more
    elif kind == "other":
        suspected = _suspected(case)
        fields["presenting_issues"] = tuple(str(finding.value) for finding in suspected)
        findings += suspected
    return Request(
        session_ids=case.group.session_ids,
        client_ref=case.group.client_ref,
        session_time=time_of(case.group, kind, case.view.reading.email.sent_at),
        findings=tuple(findings),
        **fields,
    )


def _suspected(case: _Case) -> list[Finding]:
    """What a message with no ask of fit may be about, likeliest first: a hint to who reads it.

    The guideline scores no issues there and no rule rests on them, so little is asked of them.
    """
    name = "presenting_issues"
    likely = case.probabilities.codes[name][case.row]
    codes = [mark.split(":")[1] for mark in MARKS if mark.startswith(f"{name}:")]
    held = [i for i in np.argsort(-likely, kind="stable")[:_HINTS] if likely[i] >= _HINT]
    return [
        Finding(
            name,
            codes[i],
            case.sentence("says", _SAYS[f"{name}:{codes[i]}"]),
            case.model(name),
            round(float(likely[i]), 4),
        )
        for i in held
    ]


def _details(
    case: _Case, decisions: d.Decisions, kind: str
) -> Iterator[tuple[str, Any, list[Finding]]]:
    p, row = case.probabilities, case.row
    stage, _ = _choose(decisions.stage, p.stage[row])
    yield "session_stage", stage, []
    yield from _told(case, decisions)
    for name in ("alternatives_requested", "guarantee_asked", "client_agreement"):
        value, sure = _choose(decisions.flags[name], p.flags[name][row])
        findings = []
        if value not in {"false", "unknown"}:
            span = case.sentence("says", _SAYS[f"{name}:{value}"])
            findings.append(Finding(name, value, span, case.model(name), sure))
        yield name, value == "true" if value in {"true", "false"} else value, findings
    for name in CODE_SETS:
        codes = _codes(case, decisions, name, kind)
        findings = [
            Finding(
                name, code, case.sentence("says", _SAYS[f"{name}:{code}"]), case.model(name), sure
            )
            for code, sure in codes
        ]
        if name == "fit_reasons" and not codes and kind in NEEDS_REASON:
            yield name, ("unspecified",), []
        else:
            yield name, tuple(code for code, _ in codes), findings


def _choose(decision: d.Decision, probabilities: Floats) -> tuple[str, float]:
    best = int(probabilities.argmax())
    return decision.labels[best], round(float(probabilities[best]), 4)


def choose_risk(probabilities: Floats) -> tuple[str, float]:
    """The risk to answer, and how likely it is: urgent even where that is not the likeliest.

    An urgent message taken for calm may cost a life; the other way round somebody reads it first.
    """
    urgent = float(probabilities[RISKS.index("urgent")])
    if urgent >= URGENT:
        return "urgent", round(urgent, 4)
    best = int(probabilities.argmax())
    return RISKS[best], round(float(probabilities[best]), 4)


def choose_told(probabilities: Floats, clear: float) -> str:
    """The class to answer; a client counts as told only where that is at least *clear* likely.

    Being wrong there cancels a session that nobody told the client of; a needless check costs a
    minute.
    """
    order = sorted(NOTIFICATIONS, key=lambda n: -float(probabilities[NOTIFICATIONS.index(n)]))
    told = sum(float(probabilities[NOTIFICATIONS.index(name)]) for name in CLEARED)
    return next(name for name in order if name not in CLEARED or told >= clear)


def _told(case: _Case, decisions: d.Decisions) -> Iterator[tuple[str, Any, list[Finding]]]:
    probabilities = case.probabilities.told[case.row]
    value = choose_told(probabilities, decisions.thresholds["clear"])
    if value in CLEARED and case.speaks_of_adviser("told", NOTIFICATIONS.index(value)):
        value = choose_told(probabilities, _NEVER)
    words, findings = "", []
    place = NOTIFICATIONS.index(value)
    span = case.sentence("told", place)
    if span is None:
        value = "unknown"
    elif value != "unknown":
        words = span.text
        sure = round(float(probabilities[place]), 4)
        findings = [Finding("client_notification", value, span, case.model("told"), sure)]
    yield "client_notification", value, findings
    yield "notification_evidence", words, []


def _codes(case: _Case, decisions: d.Decisions, name: str, kind: str) -> list[tuple[str, float]]:
    """The codes of field *name* that hold, likeliest first."""
    likely = case.probabilities.codes[name][case.row]
    codes = [mark.split(":")[1] for mark in MARKS if mark.startswith(f"{name}:")]
    held = [
        i for i in np.argsort(-likely, kind="stable") if likely[i] >= decisions.thresholds[name]
    ]
    if not held and name == "fit_reasons" and kind in NEEDS_REASON:
        top = int(likely.argmax())
        held = [top] if likely[top] >= decisions.thresholds["any_reason"] else []
    return [(codes[i], round(float(likely[i]), 4)) for i in held]


def _kind_finding(case: _Case, kind: str, sure: float) -> Finding:
    column = _SAYS.get(f"kind:{kind}")
    span = None if column is None else case.sentence("says", column)
    return Finding("kind", kind, span, case.model("kind"), sure)


def _rule_findings(case: _Case, kind: str) -> list[Finding]:
    """What the rules resolved: ids, client and time."""
    names = {"session_ids", "client_ref", "session_time"}
    mentions = settled_mentions(case.group, kind, case.view.reading.email.sent_at)
    return [m.finding() for m in mentions if m.label in names and m.counts]

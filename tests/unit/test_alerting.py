"""When a problem is told, and when not: no clock, no database, nobody to tell."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import yaml

from review.alerting import Pace, steps
from review.problems import RUNBOOKS, Code, Problem, alert_name
from store.alerts import Alert

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PACE = Pace(calm=timedelta(minutes=10), remind=timedelta(hours=24))
STUCK = Problem("outbox_stuck", "2 could not leave", "dead")
QUARANTINE = Problem("quarantine", "1 in quarantine")


class Watch:
    """Somebody who looks every few minutes, and what they told."""

    def __init__(self, pace: Pace = PACE) -> None:
        self.pace, self.standing, self.told = pace, [], []
        self.standing: list[Alert]
        self.told: list[tuple[int, str, dict]]
        self.fails = False

    def looks(self, minute: float, *found: Problem) -> list[str]:
        """What is told at this *minute*; nothing of it arrives while ``fails``."""
        now, after = NOW + timedelta(minutes=minute), []
        for step in steps("pager", self.standing, found, now, self.pace):
            told = step.tell is not None and not self.fails
            after.append(step.after if told or step.tell is None else step.untold)
            if step.tell is not None:
                self.told.append((minute, step.tell["type"], step.tell))
        self.standing = [alert for alert in after if alert is not None]
        return [kind.removeprefix("alert.") for at, kind, _ in self.told if at == minute]

    def kinds(self) -> Sequence[str]:
        return [kind.removeprefix("alert.") for _, kind, _ in self.told]


def test_a_problem_is_told_once_however_often_it_is_seen() -> None:
    watch = Watch()

    for minute in range(0, 600, 5):
        watch.looks(minute, STUCK)

    assert watch.kinds() == ["firing"]


def test_that_it_is_over_is_told_once_and_with_how_long_it_lasted() -> None:
    watch = Watch()
    watch.looks(0, STUCK)
    watch.looks(55, STUCK)

    for minute in range(60, 200, 5):
        watch.looks(minute)

    assert watch.kinds() == ["firing", "recovered"]
    minute, _, event = watch.told[-1]
    assert minute == 70  # well since 60, and calm for ten minutes
    assert event["data"]["lasted_seconds"] == 60 * 60
    assert event["data"]["since"] == NOW.isoformat()
    assert watch.standing == []


def test_what_comes_and_goes_is_one_problem() -> None:
    watch = Watch()

    for minute in range(0, 300, 5):
        watch.looks(minute, *([STUCK] if minute % 10 else []))

    assert watch.kinds() == ["firing"]


def test_what_mends_itself_in_time_is_never_told() -> None:
    watch = Watch()

    watch.looks(0, QUARANTINE)
    watch.looks(10, QUARANTINE)
    watch.looks(14)
    watch.looks(60)

    assert watch.told == []
    assert watch.looks(100, QUARANTINE) == []
    assert watch.looks(116, QUARANTINE) == ["firing"]


def test_what_lasts_is_told_again_after_the_time_that_was_set_and_never_where_none_was() -> None:
    daily, once = Watch(), Watch(Pace(PACE.calm, None))

    for hour in range(73):
        daily.looks(60 * hour, STUCK)
        once.looks(60 * hour, STUCK)

    assert daily.kinds() == ["firing", "reminder", "reminder", "reminder"]
    assert once.kinds() == ["firing"]


def test_what_could_not_be_told_is_tried_again_under_the_same_id() -> None:
    watch = Watch()
    watch.fails = True
    watch.looks(0, STUCK)
    watch.looks(5, STUCK)
    watch.fails = False
    watch.looks(10, STUCK)
    watch.looks(15, STUCK)
    watch.fails = True
    watch.looks(20)
    watch.looks(30)
    watch.fails = False
    watch.looks(35)
    watch.looks(40)

    assert watch.kinds() == ["firing"] * 3 + ["recovered"] * 2
    assert len({event["id"] for _, _, event in watch.told}) == 2


def test_a_new_episode_is_told_anew_under_another_id() -> None:
    watch = Watch()
    watch.looks(0, STUCK)
    watch.looks(5)
    watch.looks(20)
    watch.looks(30, STUCK)

    first, _, second = (event["id"] for _, _, event in watch.told)
    assert watch.kinds() == ["firing", "recovered", "firing"]
    assert first != second


def test_several_of_a_kind_are_told_apart() -> None:
    watch = Watch()
    other = Problem("outbox_stuck", "1 may have left or not", "uncertain")

    assert watch.looks(0, STUCK, other) == ["firing", "firing"]
    watch.looks(5, other)
    assert watch.looks(20, other) == ["recovered"]


def test_each_problem_has_its_rule_for_prometheus_and_its_part_of_the_handbook() -> None:
    rules = yaml.safe_load((ROOT / "docs/alerts.yaml").read_text())["groups"][0]["rules"]
    by_name = {rule["alert"]: rule["annotations"]["runbook"] for rule in rules}
    text = (ROOT / "docs/operations.md").read_text()
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}

    assert set(RUNBOOKS) == set(get_args(Code))
    for code, runbook in RUNBOOKS.items():
        assert runbook.heading in anchors, code
        assert by_name[alert_name(code)] == Problem(code, "").runbook
    # Where there are no figures at all, Prometheus alone can tell.
    assert set(by_name) - {alert_name(code) for code in RUNBOOKS} == {"FitTriageSilent"}

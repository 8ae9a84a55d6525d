"""The figures of the overview, counted by hand and over, and the page that shows them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import histories
import pytest
from guard_standing_in import Guard, Person
from histories import History, case, correction, decision, made_up, message, recounted, verdict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from store_samples import THERAPISTS, registry_file, session

from review.access.walls import walled
from review.desk import Desk
from review.web.app import web_app
from review.web.charts import columns
from review.web.tables import Table, csv_of, text
from settings import Settings
from store import RefusedError, Store, open_store
from store.figures import Figures
from store.periods import Period

NOW = datetime(2025, 11, 4, 10, tzinfo=UTC)  # a Tuesday, ten o'clock in London too
TEN_DAYS = Period(date(2025, 10, 26), date(2025, 11, 4))  # the clock goes back on the first


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened:
        yield opened


@pytest.fixture(scope="module", params=["sqlite", pytest.param("pg", marks=pytest.mark.postgres)])
def lasting(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """One database for many histories, for making one takes longer than counting it."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('overview') / 'figures.sqlite3'}"
    else:
        url = request.getfixturevalue("postgres").database()
    with open_store(url) as opened:
        yield opened


def at(day: int, hour: int, minute: int = 0, *, month: int = 11) -> datetime:
    return datetime(2025, month, day, hour, minute, tzinfo=UTC)


def counted_by_hand() -> History:
    """Five cases of three messages' queues; what they come to stands in the tests."""
    told = History()
    opened = (at(25, 23, 30, month=10), at(1, 9), at(2, 9), at(3, 9), at(3, 10))
    queues = ("cancellation", "cancellation", "referral", "general", "general")
    for number, (when, queue) in enumerate(zip(opened, queues, strict=True), 1):
        reader = "reader@1" if number < 3 else "reader@2"
        told.messages.append(message(number, when, queue, "bounce" if number == 5 else ""))
        told.decisions.append(decision(number, number, number, when, reader))
        state = "check" if number == 4 else "ready"
        told.cases.append(case(number, when, queue, state, f"HT-{number}", number))
    told.sessions.append(booked("HT-2", at(1, 12)))  # acted on an hour late
    told.sessions.append(booked("HT-3", at(3, 8)))  # acted on in time
    told.sessions.append(booked("HT-1", at(4, 11)))  # still to come

    verdict(told, 1, "correct", at(1, 10), "cancellation", 1)
    correction(told, "client_notification", "unknown", "discussed")
    correction(told, "fit_reasons", ["availability"], ["availability", "format"])
    told.decisions.append(decision(6, 1, None, at(1, 10), "person"))
    verdict(told, 1, "approve", at(1, 11), "cancellation", 6)
    verdict(told, 2, "assign", at(1, 11), "cancellation", 2)
    verdict(told, 2, "approve", at(1, 13), "cancellation", 2)
    verdict(told, 3, "dismiss", at(2, 10), "referral", 3, undone=True)
    verdict(told, 3, "send_back", at(2, 12), "referral", 3)
    correction(told, "kind", "referral", "referral")  # said again what it said: nothing set right
    return told


def booked(session_id: str, starts: datetime) -> dict[str, Any]:
    return {
        "session_id": session_id, "therapist_id": "T1", "client_id": "C1", "starts_at": starts,
        "stage": "initial", "status": "confirmed", "fingerprint": "", "gone_at": None,
    }  # fmt: skip


def test_the_figures_are_those_counted_by_hand(store: Store) -> None:
    counted_by_hand().lay_down(store)

    found = store.overview.figures(TEN_DAYS, NOW)

    # London's clock was an hour ahead still: half past eleven at night was half past midnight.
    first = found.days[0]
    assert (first.day, first.messages) == (date(2025, 10, 26), {"cancellation": 1})
    assert (found.messages, found.needed_nobody, found.automatic) == (5, 1, 1)
    hour = 3600
    waited = {one.queue: (one.cases, one.median, one.p90) for one in found.waited}
    long = 6 * 24 * hour + 11 * hour + 1800  # case 1: from 25 Oct 23:30 to 1 Nov 11:00
    assert waited == {
        "": (3, 4 * hour, long),
        "cancellation": (2, 4 * hour, long),
        "referral": (1, 3 * hour, 3 * hour),
    }
    set_right = {one.name: (one.corrected, one.shown) for one in found.fields if one.corrected}
    assert set_right == {"client_notification": (1, 3), "fit_reasons": (1, 3)}
    changes = {(one.name, one.before, one.after, one.times) for one in found.changes}
    assert changes == {
        ("client_notification", "unknown", "discussed", 1),
        ("fit_reasons", "", "format", 1),
    }
    assert (found.approved, found.approved_as_read) == (2, 1)
    assert [one.case_id for one in found.lapsed] == [2]
    assert [(v.name, v.judged, v.corrected) for v in found.versions] == [
        ("reader@1", 2, 1),
        ("reader@2", 1, 0),
    ]


@given(seed=st.integers(0, 10**6), day=st.dates(date(2025, 10, 1), date(2025, 11, 20)))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_figures_equal_a_naive_recount(lasting: Store, seed: int, day: date) -> None:
    told = made_up(seed, day, 12)
    told.lay_down(lasting)
    period = Period(day, day + timedelta(days=11))
    now = period.start + timedelta(days=9)

    found = lasting.overview.figures(period, now)

    assert as_recounted(found) == recounted(told, period, now)


def as_recounted(found: Figures) -> dict[str, Any]:
    [shown] = {one.shown for one in found.fields}
    return {
        "came": {(day.day, queue): n for day in found.days for queue, n in day.messages.items()},
        "needed_nobody": found.needed_nobody,
        "automatic": found.automatic,
        "waited": {one.queue: (one.cases, one.median, one.p90) for one in found.waited},
        "shown": shown,
        "fields": {one.name: one.corrected for one in found.fields if one.corrected},
        "changes": sum(one.times for one in found.changes),
        "approved": (found.approved, found.approved_as_read),
        "lapsed": {one.case_id for one in found.lapsed},
        "versions": {one.name: (one.judged, one.corrected) for one in found.versions},
        "by_day": {day.day: (day.judged, day.corrected) for day in found.days if day.judged},
    }


def test_a_day_has_the_hours_of_the_london_clock() -> None:
    back, on = Period(date(2025, 10, 26), date(2025, 10, 26)), Period(*[date(2026, 3, 29)] * 2)

    lengths = [(one.end - one.start) / timedelta(hours=1) for one in (back, on)]

    assert lengths == [25, 23]


def test_what_people_are_called_is_in_no_figure(store: Store) -> None:
    told = counted_by_hand()
    correction(told, "client_ref", "Sarah Malik", "Sara Malik")
    told.lay_down(store)

    found = store.overview.figures(TEN_DAYS, NOW)

    assert "Malik" not in repr(found)
    assert ("client_ref", "", "", 1) in {
        (c.name, c.before, c.after, c.times) for c in found.changes
    }


# --- the page -------------------------------------------------------------------------------------


class Lead:
    """Somebody at the page, with the rights of *role*."""

    def __init__(self, store: Store, name: str = "lea", role: str = "lead") -> None:
        engine = SimpleNamespace()
        app = web_app(
            Desk(engine),  # type: ignore[arg-type]
            store,
            Settings(),
            guard=[Middleware(Guard, person=Person(name, role))],
            clock=lambda: NOW,
        )
        self.client = TestClient(walled(app, hosts=["testserver"]), follow_redirects=False)

    def see(self, address: str, status: int = 200) -> str:
        answer = self.client.get(address)
        assert answer.status_code == status, answer.text
        return answer.text

    def looks(self, verdict_id: int, agrees: str, words: str = "") -> Any:
        token = re.search(r'name="csrf" value="([^"]+)"', self.see("/second-looks"))
        form = {"csrf": token[1] if token else "", "verdict": str(verdict_id), "words": words}
        return self.client.post("/second-looks", data={**form, "agrees": agrees})


def test_the_page_says_the_figures_in_words_charts_and_tables(store: Store) -> None:
    counted_by_hand().lay_down(store)
    store.import_registry(
        therapists=registry_file(THERAPISTS),
        sessions=registry_file(
            session(f"S{n}", starts_at=f"2025-10-{10 + n}T10:00") for n in range(3)
        ),
        now=NOW,
    )

    page = Lead(store).see("/overview?from=2025-10-26&to=2025-11-04")

    assert "5 messages from 26 Oct to 4 Nov" in page  # for whoever does not see the chart
    assert len(re.findall(r'<svg class="(?:chart|bars)[^>]* role="img"', page)) == 4
    assert page.count("<desc") == page.count("-told") // 2 == 4
    assert "Ana Reid" in page
    assert 'href="/cases/2"' in page
    assert "style=" not in page
    assert "<script>" not in page


def test_each_table_is_given_as_csv_with_the_figures_of_the_page(store: Store) -> None:
    counted_by_hand().lay_down(store)
    lead = Lead(store)
    page = lead.see("/overview?from=2025-10-26&to=2025-11-04")

    links = re.findall(r'href="(/overview/[^"]+)"', page)
    files = {link.split("/")[2].split(".")[0]: lead.client.get(link) for link in links}

    assert {*files} == {
        "volumes", "waiting", "automation", "fields", "changes", "versions", "lapsed",
        "unconfirmed",
    }  # fmt: skip
    assert all(f.headers["content-type"].startswith("text/csv") for f in files.values())
    waiting = list(csv.reader(io.StringIO(files["waiting"].text.removeprefix("\ufeff"))))
    assert waiting[1] == ["All queues", "3", "14400", "559800"]
    volumes = list(csv.reader(io.StringIO(files["volumes"].text.removeprefix("\ufeff"))))
    assert volumes[1] == ["2025-10-26", "1", "0", "0", "0", "0", "1"]
    assert volumes[-1][-1] == "5"


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "＝"])
def test_no_cell_of_a_csv_is_taken_for_a_formula(begin: str) -> None:
    hostile = f'{begin}HYPERLINK("https://evil.example")'

    told = csv_of(Table("t", "", ("A",), ((text(hostile),),)))

    [[_], [cell]] = csv.reader(io.StringIO(told, newline=""))
    assert cell == f"'{hostile}"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("from=2025-11-04&to=2025-11-01", "1 to 366 days"),
        ("from=2001-01-01&to=2025-11-01", "1 to 366 days"),
        ("from=tomorrow", "no period"),
        ("days=1e9", "no period"),
        ("days=99999999999999", "no period"),
        ("from=2025-11-01&to=2025-11-20", "ends today"),
    ],
)
def test_a_period_that_makes_no_sense_is_told_and_thirty_days_shown(
    store: Store, asked: str, said: str
) -> None:
    page = Lead(store).see(f"/overview?{asked}")

    assert said in page
    assert "Mon 6 Oct 2025 to Tue 4 Nov 2025" in page
    Lead(store).see(f"/overview/volumes.csv?{asked}", 400)


def test_a_year_goes_by_weeks_and_loses_no_message(store: Store) -> None:
    counted_by_hand().lay_down(store)

    page = Lead(store).see("/overview?from=2024-11-05&to=2025-11-04")

    assert "Messages by week and queue" in page
    assert "5 messages from 5 Nov to 3 Nov" in page


def test_an_empty_team_sees_an_overview_of_nothing(store: Store) -> None:
    page = Lead(store).see("/overview")

    assert "Nothing came in these days." in page
    assert "Nobody is near it." in page


def test_blocks_stand_on_one_another_and_fill_the_highest_column() -> None:
    chart = columns("c", "", "", ["Mon", "Tue"], [("a", "A", [3, 0]), ("b", "B", [5, 2])])

    mine = {(b.series, round(b.x)): (b.y, b.height) for b in chart.blocks}
    assert [tick.words for tick in chart.ticks] == ["0", "2", "4", "6", "8"]
    assert mine == {("a", 8): (62.5, 37.5), ("b", 8): (0.0, 62.5), ("b", 54): (75.0, 25.0)}


# --- the second look ------------------------------------------------------------------------------


def overridden() -> History:
    told = counted_by_hand()
    told.verdicts[3]["overrides"] = ["client_not_told"]
    told.verdicts[3]["reason"] = "The practice rang <b>her</b>."
    verdict(told, 3, "approve", at(3, 12), "referral", 3, by="lea", overrides=("client_disagrees",))
    verdict(told, 3, "approve", at(3, 13), "referral", 3, overrides=("reason_missing",))
    verdict(
        told, 3, "approve", at(3, 14), "referral", 3, overrides=("client_not_told",), undone=True
    )
    return told


def test_somebody_else_says_whether_an_override_was_right(store: Store) -> None:
    overridden().lay_down(store)
    lead = Lead(store)

    page = lead.see("/second-looks")
    answer = lead.looks(4, "no", "Nobody told <i>her</i>.")
    after = lead.see("/second-looks")

    assert "The practice rang &lt;b&gt;her&lt;/b&gt;." in page
    assert "You decided this yourself" in page
    assert (answer.status_code, answer.headers["location"]) == (303, "/second-looks")
    assert "✗ Objection" in after
    assert "Nobody told &lt;i&gt;her&lt;/i&gt;." in after
    [event] = [e for e in store.case(2).audit if e.event == "second_look"]  # type: ignore[union-attr]
    assert (event.actor, event.detail) == ("lea", {"verdict_id": 4, "agrees": False})
    assert store.first_broken_audit_row() is None


def test_whoever_passed_over_the_gate_does_not_take_the_second_look(store: Store) -> None:
    overridden().lay_down(store)

    for name in ("lea", "LEA"):
        answer = Lead(store, name).looks(7, "yes")

        assert answer.status_code == 409
        assert "for somebody else" in answer.text
    assert [one.verdict_id for one in store.second_looks.waiting()] == [4, 7]


def test_an_objection_needs_words_and_keeps_nothing_without(store: Store) -> None:
    overridden().lay_down(store)

    answer = Lead(store).looks(4, "no", "   ")

    assert answer.status_code == 409
    assert "say why" in answer.text
    assert store.second_looks.done() == []


def test_the_same_look_twice_is_one_and_another_is_refused(store: Store) -> None:
    overridden().lay_down(store)
    for _ in range(2):
        store.second_looks.look(4, "lea", NOW, agrees=True, words="")

    with pytest.raises(RefusedError, match="lea has looked"):
        store.second_looks.look(4, "ola", NOW, agrees=False, words="No.")

    assert [one.look.by for one in store.second_looks.done() if one.look] == ["lea"]
    assert len([e for e in store.case(2).audit if e.event == "second_look"]) == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("number", [1, 8, 9, 99])
def test_what_is_no_override_of_the_client_gate_or_was_undone_gets_no_look(
    store: Store, number: int
) -> None:
    overridden().lay_down(store)

    with pytest.raises(RefusedError, match="no such override"):
        store.second_looks.look(number, "ola", NOW, agrees=True, words="")


def test_the_history_that_is_counted_has_something_of_everything() -> None:
    """Or the recount would prove nothing."""
    counted = [recounted(made_up(seed, TEN_DAYS.first, 10), TEN_DAYS, NOW) for seed in range(30)]

    assert all(any(one[name] for one in counted) for name in counted[0])
    assert histories.QUEUES

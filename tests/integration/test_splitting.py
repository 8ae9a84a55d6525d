"""One mail with two asks, and two cases of one ask, as a support lead would have them put right."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from casework.splitting import DANGER, IMOGEN, SARAH, TOLD, UNTOLD, WHY, Team, filled

from store import open_store

# The sentences of the mail that most scenarios begin with, by their numbers; 1 is the subject.
MAIL = (IMOGEN, TOLD, WHY, SARAH)
SARAHS = 5


@pytest.fixture
def team(store_url: str) -> Iterator[Team]:
    with open_store(store_url) as store:
        yield Team(filled(store))


# --- another ask in a mail -----------------------------------------------------------------------


def test_a_second_client_in_a_mail_becomes_a_case_with_fields_blockers_and_a_letter(
    team: Team,
) -> None:
    [first] = team.mail(*MAIL)
    assert team.case(first).request.fit_reasons == ("approach_mismatch", "no_progress")

    done = team.split(first, SARAHS)

    assert not done.refused
    [second] = done.cases
    new, old = team.case(second), team.case(first)
    assert (new.session_id, new.client_id, new.therapist_id) == (
        "HT-210002", "C-SARAH-A", "T-MARIAN",
    )  # fmt: skip
    assert new.request.fit_reasons == ("no_progress",)
    assert "client_not_told" in new.decision.blockers
    assert new.decision.draft is not None
    assert old.request.fit_reasons == ("approach_mismatch",)
    assert (old.decision.state, old.session_id) == ("ready", "HT-218834")
    assert team.story(second).messages[0].id == team.story(first).messages[0].id

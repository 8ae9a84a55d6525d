"""The probabilities kept with left-out predictions are those of the requests answered."""

from types import SimpleNamespace

import numpy as np

from models.answers import Probabilities, _counted
from models.evaluate import probabilities
from models.registry import RELEASED, load, promoted
from triage.records import Request


def test_a_request_left_out_and_a_matter_put_beside_keep_each_answers_own_probabilities():
    model, _ = load(RELEASED / promoted(), fast=False)
    decisions = model.decisions
    kinds = decisions.kind.labels
    surely = np.eye(len(kinds))[[kinds.index("update"), kinds.index("cancellation")]]
    found = Probabilities(
        kind=surely,
        told=np.zeros((2, len(decisions.told.labels))),
        stage=np.zeros((2, len(decisions.stage.labels))),
        flags={name: np.zeros((2, len(d.labels))) for name, d in decisions.flags.items()},
        codes={},
        count={"spurious": np.asarray([0.9, 0.1]), "beside": np.asarray([0.8, 0.8])},
        sure=np.ones(2),
    )
    read = (Request("update", confidence=1.0), Request("cancellation", confidence=1.0))

    answers = _counted(read, found.count, slice(0, 2))
    [told] = probabilities(decisions, found, [SimpleNamespace(groups=(1, 2))], [answers])

    assert [request.kind for request in answers] == ["cancellation", "other"]
    assert [one["kind"] for one in told] == [{"cancellation": 1.0}, {"other": 0.8}]

"""From what staff decided, as stored, to rows, frames and the next messages to label."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from predictions_made import small_corpus
from store_samples import NOW, REQUEST, email, key, outcome
from typer.testing import CliRunner

from models.corpus import load_messages
from models.feedback import collect
from review.commands import app
from review.desk import Desk
from review.learning import stored_cases, stored_dataframe
from store import open_store
from triage.verdicts import Correction, Verdict

TOLD = replace(REQUEST, client_notification="informed", notification_evidence="She knows why.")


@pytest.fixture
def database(tmp_path, monkeypatch) -> str:
    """Approved, corrected, half decided, undecided, and one left to the ordinary inbox."""
    url = f"sqlite:///{tmp_path}/store.sqlite3"
    monkeypatch.setenv("FIT_TRIAGE_DATABASE_URL", url)
    monkeypatch.chdir(tmp_path)
    with open_store(url) as store:
        with store.batch(now=NOW) as batch:
            made = [
                *batch.add(key(1), "d1", email(1), [outcome(TOLD)], reader_version="7"),
                *batch.add(key(2), "d2", email(2), [outcome(TOLD)], reader_version="7"),
                *batch.add(key(3), "d3", email(3), [outcome(TOLD), outcome()], reader_version="7"),
                *batch.add(key(5), "d5", email(5), [outcome(queue="general")], reader_version="7"),
            ]
        corrections = (Correction("fit_reasons", ["outside_competence"], ["approach_mismatch"]),)
        decide(store, Verdict(made[0], "approve", "ann", NOW))
        decide(store, Verdict(made[1], "correct", "ben", NOW, corrections=corrections))
        decide(store, Verdict(made[2], "approve", "ann", NOW))
    return url


def decide(store, verdict: Verdict) -> None:
    store.act(
        verdict, version=1, state="done", request=None, decision=None, outgoing=(), now=NOW
    )  # fmt: skip


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["models", *words], obj=Desk(engine=None))
    assert result.exit_code == 0, result.output
    return result.output


def test_what_staff_settled_becomes_rows_and_the_rest_is_counted_by_reason(database):
    with open_store(database) as store:
        found = collect(stored_cases(store))

    assert [row.by for row in found.rows] == ["ann", "ben"]
    assert found.rows[0].example.requests[0].client_notification == "informed"
    assert found.rows[1].example.requests[0].fit_reasons == ("approach_mismatch",)
    assert found.left_out == {"another ask of the mail is open": 2, "nobody has settled it": 1}


def test_what_was_undone_is_not_learned(database):
    with open_store(database) as store:
        store.undo(1, "ann", NOW)
        found = collect(stored_cases(store))

    assert [row.by for row in found.rows] == ["ben"]


def test_stored_cases_as_a_frame_name_nobody(database, tmp_path):
    run("frame", str(tmp_path / "cases.parquet"))

    frame = pd.read_parquet(tmp_path / "cases.parquet")
    assert len(frame) == 5
    assert frame["verdict"].value_counts().to_dict() == {"approve": 2, "correct": 1}
    for secret in ("ana@", "practice.example", "She knows", "ben"):
        assert secret not in frame.to_csv(index=False)
    assert len(stored_dataframe(database)) == 5
    assert "[name]" not in stored_dataframe(database).to_csv()


@pytest.mark.usefixtures("database")
def test_what_to_label_next_is_written_masked_and_goes_to_a_tool_and_back(tmp_path):
    chosen, tasks, labelled = (tmp_path / n for n in ("next.jsonl", "tasks.jsonl", "out.jsonl"))

    picks = json.loads(run("select", "--number", "2", "--out", str(chosen), "--json"))
    run("labels", "export", "prodigy", str(tasks), "--messages", str(chosen))
    lines = [json.loads(line) for line in tasks.read_text("utf-8").splitlines()]
    answered = [{**line, "answer": "accept", "_annotator_id": "cleo"} for line in lines]
    tasks.write_text("\n".join(map(json.dumps, answered)), "utf-8")
    run("labels", "import", "prodigy", str(tasks), str(labelled), "--messages", str(chosen))

    assert len(picks) == 2
    assert all(pick["why"] for pick in picks)
    assert "ana@practice.example" not in chosen.read_text("utf-8")
    assert {e.id for e in load_messages(labelled)} == {pick["id"] for pick in picks}


@pytest.mark.usefixtures("database")
def test_a_model_taught_by_staff_keeps_whose_rows_it_learned(tmp_path):
    small_corpus(tmp_path / "corpus", lines=30)
    out = tmp_path / "taught"

    output = run(
        "train", "--with-verdicts", "--corpus", str(tmp_path / "corpus"), "--out", str(out)
    )

    kept = json.loads((out / "staff_rows.json").read_text("utf-8"))
    assert "2 messages settled by staff" in output
    assert [row["cases"] for row in kept["rows"]] == [[1], [2]]
    assert len({row["by"] for row in kept["rows"]}) == 2
    assert not {"ann", "ben"} & {row["by"] for row in kept["rows"]}  # pseudonyms, of colleagues too
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    assert manifest["data"] != small_corpus(Path(tmp_path / "again"), lines=30).digest

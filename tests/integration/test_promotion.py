"""Releases judged, promoted and rolled back, through the command line."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from predictions_made import read_with_errors, small_corpus
from shadow_samples import stand
from typer.testing import CliRunner, Result

from models.commands import models_app
from models.corpus import load_corpus
from models.gates import EVALUATION, load_triggers
from models.handover import LiveReading, LiveReadings
from models.predictions import write_predictions
from models.registry import RELEASED, promoted, sealed
from models.shadow import differences, digest_of, paired

EASY = {
    "id": "easy",
    "new_text": "I cannot log in to my account. Could you reset my password, please?",
    "must": {"kind": ["other"], "risk": ["none"]},
}


class Shelf:
    """A folder of releases of the program's model, with predictions as good as wanted."""

    def __init__(self, folder: Path) -> None:
        self.corpus_folder = folder / "corpus"
        self.corpus = small_corpus(self.corpus_folder)
        self.releases = folder / "released"

    def put(self, name: str, *, errors: float, data: str = "") -> Path:
        release = self.releases / name
        shutil.copytree(RELEASED / promoted(), release, ignore=shutil.ignore_patterns(EVALUATION))
        manifest = json.loads((release / "manifest.json").read_text("utf-8"))
        manifest |= {"version": name, "data": self.corpus.digest}
        (release / "manifest.json").write_text(json.dumps(sealed(manifest)), "utf-8")
        found = read_with_errors(self.corpus, errors)
        write_predictions(found, release / EVALUATION)
        if data:
            about = {"data": data}
            (release / EVALUATION / "evaluation.json").write_text(json.dumps(about), "utf-8")
        return release

    def run(self, *words: str, code: int = 0) -> str:
        options = ["--releases", str(self.releases)]
        if words[0] not in {"list", "rollback"}:
            options += ["--corpus", str(self.corpus_folder)]
        result = CliRunner().invoke(models_app, [*words, *options])
        assert result.exit_code == code, result.output
        return result.output

    def in_use(self) -> str:
        return (self.releases / "PROMOTED").read_text("utf-8").strip()

    def gates(self, name: str) -> dict[str, bool]:
        report = json.loads((self.releases / name / "gates.json").read_text("utf-8"))
        return {gate["name"]: gate["passed"] for gate in report["gates"]}


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    easy = tmp_path / "triggers.jsonl"
    easy.write_text(json.dumps(EASY), "utf-8")
    monkeypatch.setattr("models.gates.TRIGGERS", easy)
    monkeypatch.setattr("models.gates.FROZEN", tmp_path / "none.jsonl")
    monkeypatch.setattr("models.gates.WORST_ECE", 0.2)  # made-up predictions know no better
    return Shelf(tmp_path)


def test_the_first_release_is_promoted_and_a_better_one_after_it(shelf):
    shelf.put("one", errors=0.2)
    shelf.put("two", errors=0.0)

    shelf.run("promote", "one", "--by", "ann")
    shelf.run("promote", "two", "--by", "ben")

    assert shelf.in_use() == "two"
    assert all(shelf.gates("two").values())
    listed = shelf.run("list")
    assert "by ann after none" in listed
    assert "gates passed" in listed
    assert "by ben after one" in listed


def test_a_worse_release_is_refused_and_the_report_says_why(shelf):
    shelf.put("one", errors=0.01)
    shelf.put("two", errors=0.6)
    shelf.run("promote", "one")

    output = shelf.run("promote", "two", code=2)

    assert "two is not promoted" in output
    assert shelf.in_use() == "one"
    gates = shelf.gates("two")
    assert not gates["kind_macro_f1 not worse"]
    assert not gates["false_clear not higher"]
    assert gates["every file as released"]


def test_a_release_that_answers_a_frozen_message_otherwise_is_refused(shelf, monkeypatch, tmp_path):
    changed = tmp_path / "changed.jsonl"
    changed.write_text(json.dumps(EASY | {"must": {"kind": ["referral"]}}), "utf-8")
    monkeypatch.setattr("models.gates.TRIGGERS", changed)
    shelf.put("one", errors=0.01)

    output = shelf.run("promote", "one", code=2)

    assert "easy kind" in output
    assert not shelf.gates("one")["trigger messages"]


def test_messages_that_nothing_learns_from_are_read_by_both_releases(shelf, monkeypatch):
    monkeypatch.setattr("models.gates.FROZEN", shelf.corpus_folder / "t2.jsonl")
    shelf.put("one", errors=0.0)
    shelf.put("two", errors=0.0)
    shelf.run("promote", "one")

    output = shelf.run("promote", "two")

    assert shelf.gates("two")["frozen: false_clear not higher"]
    assert "frozen: kind_macro_f1 not worse" in output
    assert shelf.gates("one")["frozen messages"]


def test_a_release_with_a_changed_byte_is_refused_before_anything_else_is_believed(shelf):
    release = shelf.put("one", errors=0.01)
    content = bytearray((release / "weights.npz").read_bytes())
    content[100] ^= 1
    (release / "weights.npz").write_bytes(content)

    shelf.run("promote", "one", code=2)

    assert not shelf.gates("one")["every file as released"]
    assert not (shelf.releases / "PROMOTED").exists()


def test_predictions_of_other_data_do_not_vouch_for_a_release(shelf):
    shelf.put("one", errors=0.01, data="0" * 64)

    output = shelf.run("promote", "one", code=2)

    assert "other data" in output


def test_a_release_taught_mostly_by_one_sender_is_refused(shelf):
    release = shelf.put("one", errors=0.01)
    row = {"sender": "s1", "by": "ann", "classes": ["kind:other"]}
    content = {"rows": [row] * 9 + [row | {"sender": "s2"}], "left_out": {}}
    (release / "staff_rows.json").write_text(json.dumps(content), "utf-8")

    shelf.run("promote", "one", code=2)

    assert not shelf.gates("one")["rows from staff"]


def test_rolling_back_uses_the_release_before_and_is_on_record(shelf):
    shelf.put("one", errors=0.05)
    shelf.put("two", errors=0.0)
    shelf.run("promote", "one", "--by", "ann")
    shelf.run("promote", "two", "--by", "ann")

    shelf.run("rollback", "--by", "carl")

    assert shelf.in_use() == "one"
    steps = (shelf.releases / "PROMOTIONS.jsonl").read_text("utf-8").splitlines()
    last = json.loads(steps[-1])
    assert (last["action"], last["version"], last["before"], last["by"]) == (
        "rollback", "one", "two", "carl",
    )  # fmt: skip
    shelf.run("rollback", code=2)
    assert shelf.in_use() == "one"


def test_a_name_that_is_no_release_is_wrong_use(shelf):
    assert "holds no release" in shelf.run("promote", "nothing", code=2)


def test_a_comparison_by_command_names_its_findings(shelf):
    shelf.put("one", errors=0.5)
    shelf.put("two", errors=0.01)

    found = json.loads(shelf.run("compare", "two", "one", "--json"))

    findings = {d["measure"]: d["finding"] for d in found["differences"]}
    assert findings["kind_macro_f1"] == "better"
    assert found["messages"] == 80
    assert "not distinguishable" in shelf.run("compare", "two", "two")


def test_every_frozen_message_is_in_the_labels_of_this_program():
    triggers = load_triggers()

    assert len(triggers) >= 30
    texts = {trigger.email.new_text for trigger in triggers}
    assert len(texts) == len(triggers)
    assert texts.isdisjoint(e.email.new_text for e in load_corpus().examples)


def test_the_release_in_use_has_passed_its_gates():
    report = RELEASED / promoted() / "gates.json"
    if not report.exists():
        pytest.skip("the release in use was promoted before there were gates")

    assert json.loads(report.read_text("utf-8"))["passed"]


def test_a_release_that_does_not_see_danger_in_live_mail_is_refused_until_somebody_looked(shelf):
    shelf.put("one", errors=0.2)
    shelf.put("two", errors=0.0)
    shelf.run("promote", "one")
    pairs = paired([stand(risk="urgent")], [stand()])
    asked = []

    def promoted_with(side: str | None) -> Result:
        sides = {("risk", 0): side} if side else {}
        reading = LiveReading("", tuple(pairs), tuple(differences(pairs)), sides)

        def shadows(*names, digest):
            asked.append((*names, digest))
            return LiveReadings("two", digest, "one", "", (reading,))

        archive = SimpleNamespace(shadows=shadows)
        words = ["promote", "two", "--releases", shelf.releases, "--corpus", shelf.corpus_folder]
        desk = SimpleNamespace(archive=lambda: archive)
        return CliRunner().invoke(models_app, [str(word) for word in words], obj=desk)

    unseen, unlike, looked_at = (promoted_with(side) for side in (None, "champion", "candidate"))

    assert (unseen.exit_code, unlike.exit_code, looked_at.exit_code) == (2, 2, 0)
    assert "live: urgent risk unseen was looked at" in unseen.output
    assert shelf.in_use() == "two"
    assert set(asked) == {("two", "one", digest_of(shelf.releases / "two"))}

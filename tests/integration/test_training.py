"""Training and evaluation on a tenth of the corpora, through the functions and the command line."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.commands import models_app
from models.corpus import CORPUS_FOLDER, Corpus, load_corpus


@pytest.fixture(scope="module")
def small_corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for name in ("t1", "t2", "t3"):
        lines = (CORPUS_FOLDER / f"{name}.jsonl").read_text("utf-8").split("\n")[:50]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), "utf-8")
    (folder / "evidence").mkdir()
    for name in ("t1", "t2", "t3"):
        shutil.copy(CORPUS_FOLDER / "evidence" / f"{name}.jsonl", folder / "evidence")
    return folder


@pytest.fixture(scope="module")
def corpus(small_corpus: Path) -> Corpus:
    return load_corpus(small_corpus)


def test_the_same_corpora_and_seed_give_the_same_weights(corpus, tmp_path):
    from models.registry import load, release
    from models.train import train
    from models.views import views_of

    digests = []
    for attempt in ("one", "two"):
        model = train(corpus, views_of(corpus.examples), seed=3)
        folder = tmp_path / attempt
        manifest = release(model, folder, version=attempt, seed=3, data=corpus.digest, metrics={})
        digests.append(manifest.files)
        load(folder)

    assert digests[0] == digests[1]


def test_every_file_is_read_by_a_model_that_never_saw_it(corpus, tmp_path):
    from models.evaluate import leave_one_file_out, steps, write_frames, write_predictions
    from models.views import views_of

    told = []
    found = leave_one_file_out(corpus, views_of(corpus.examples), seed=0, tell=told.append)
    write_predictions(found, tmp_path)

    write_frames(found, corpus, tmp_path)

    assert len(told) == steps(corpus)
    assert list(found.reports) == ["t1", "t2", "t3", "pooled"]
    assert found.reports["pooled"]["messages"] == 150
    assert found.reports["pooled"]["kind_accuracy"] > 0.5
    table = (tmp_path / "confusion_kind.csv").read_text("utf-8")
    assert "cancellation" in table
    assert len((tmp_path / "requests.csv").read_text("utf-8").splitlines()) > 150
    lines = (tmp_path / "t2.jsonl").read_text("utf-8").splitlines()
    gold = [e.id for e in corpus.examples if e.file == "t2"]
    assert [json.loads(line)["id"] for line in lines] == gold


def test_a_corpus_that_cannot_be_used_is_one_line_and_exit_code_two(tmp_path, monkeypatch):
    record = json.loads((CORPUS_FOLDER / "t1.jsonl").read_text("utf-8").split("\n")[0])
    record["requests"][0]["kind"] = "cancelation"
    (tmp_path / "t1.jsonl").write_text(json.dumps(record), "utf-8")
    broken = load_corpus
    monkeypatch.setattr("models.corpus.load_corpus", lambda: broken(tmp_path))

    result = CliRunner().invoke(models_app, ["train", "--out", str(tmp_path / "out")])

    assert result.exit_code == 2
    assert "t1.jsonl:1: request 1: kind 'cancelation'; allowed: cancellation," in result.output
    assert not (tmp_path / "out").exists()


def test_a_release_is_never_written_over(tmp_path):
    (tmp_path / "manifest.json").write_text("{}", "utf-8")

    result = CliRunner().invoke(models_app, ["train", "--out", str(tmp_path)])

    assert result.exit_code == 2
    assert (tmp_path / "manifest.json").read_text("utf-8") == "{}"


def test_the_list_marks_the_release_in_use():
    from models.registry import promoted

    result = CliRunner().invoke(models_app, ["list"])

    assert result.exit_code == 0
    assert any(line.startswith(f"* {promoted()} ") for line in result.output.splitlines())

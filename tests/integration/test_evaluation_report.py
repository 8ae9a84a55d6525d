"""The report, from stored predictions, through the command line."""

import base64
import re
import time

import pytest
from predictions_made import read_with_errors, small_corpus
from typer.testing import CliRunner

from models.commands import models_app
from models.corpus import CorpusError, load_corpus
from models.predictions import read_predictions, write_predictions


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    corpus = small_corpus(folder / "corpus")
    write_predictions(read_with_errors(corpus, 0.2), folder / "predictions")
    return folder


@pytest.fixture(scope="module")
def page(folder) -> str:
    words = ["evaluate", "--predictions", str(folder / "predictions")]
    words += ["--corpus", str(folder / "corpus"), "--report", str(folder / "report.html")]
    began = time.monotonic()
    result = CliRunner().invoke(models_app, words)
    assert result.exit_code == 0, result.output
    assert time.monotonic() - began < 120  # no training
    return (folder / "report.html").read_text("utf-8")


def test_the_report_is_one_page_that_fetches_nothing(page):
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)

    assert len(sources) >= 7
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    for source in sources:
        picture = base64.b64decode(source.partition(",")[2]).decode()
        assert "<svg" in picture
        assert 'xlink:href="http' not in picture
    assert "@import" not in page


def test_the_report_shows_every_slice_and_field_with_a_description_for_each_picture(page):
    for words in (
        "By kind of message",
        "reading level",
        "quoted text",
        "Errors in risk",
        "kind_ece",
    ):
        assert words in page
    assert page.count("<img") == page.count('<img alt="') == page.count('alt="') > 6
    assert 'alt=""' not in page


def test_nobodys_words_are_in_a_report_on_messages_that_are_not_composed(page, folder):
    corpus = load_corpus(folder / "corpus")

    for example in corpus.examples:
        longest = max(re.findall(r"[\w ,]+", example.email.new_text), key=len, default="")
        assert len(longest) < 12 or longest.strip() not in page
        assert example.email.sender.email not in page


def test_predictions_that_lack_a_message_are_named(folder, tmp_path):
    lines = (folder / "predictions" / "t1.jsonl").read_text("utf-8").splitlines()
    (tmp_path / "t1.jsonl").write_text("\n".join(lines[1:]), "utf-8")

    with pytest.raises(CorpusError, match=r"t1\.jsonl: no prediction for 1 messages, t1-"):
        read_predictions(tmp_path, load_corpus(folder / "corpus"))


def test_a_folder_without_predictions_is_one_line_and_exit_code_two(folder, tmp_path):
    words = ["evaluate", "--predictions", str(tmp_path), "--corpus", str(folder / "corpus")]

    result = CliRunner().invoke(models_app, words)

    assert result.exit_code == 2
    assert "no predictions; `models evaluate --out` writes them" in result.output


def test_doubts_find_labels_that_were_changed_on_purpose(tmp_path):
    corpus_folder = tmp_path / "corpus"
    corpus = small_corpus(corpus_folder, ("t1", "t2"), 110)
    write_predictions(read_with_errors(corpus, 0.0), tmp_path / "predictions")
    path = corpus_folder / "t1.jsonl"
    lines = path.read_text("utf-8").splitlines()
    places = [n for n, line in enumerate(lines) if line.count('"kind": "cancellation"') == 1][:3]
    for place in places:
        lines[place] = lines[place].replace('"kind": "cancellation"', '"kind": "enquiry"')
    path.write_text("\n".join(lines), "utf-8")

    out = tmp_path / "doubts.csv"
    result = CliRunner().invoke(
        models_app,
        [
            "doubts",
            str(tmp_path / "predictions"),
            "--corpus",
            str(corpus_folder),
            "--out",
            str(out),
        ],
    )

    assert result.exit_code == 0, result.output
    found = [
        line for line in out.read_text("utf-8").splitlines() if ",kind,enquiry,cancellation" in line
    ]
    assert len(found) >= 2  # confident learning is careful: it may miss one


def test_without_the_data_teams_libraries_the_remedy_is_named(folder, monkeypatch):
    monkeypatch.setattr("models.extras.find_spec", lambda _: None)

    words = ["doubts", str(folder / "predictions"), "--corpus", str(folder / "corpus")]
    result = CliRunner().invoke(models_app, words)

    assert result.exit_code == 2
    assert 'cleanlab is needed: pip install "fit-triage[data]"' in result.output

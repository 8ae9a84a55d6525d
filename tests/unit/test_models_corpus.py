import json
from pathlib import Path

import pytest

from models.corpus import CORPUS_FOLDER, CorpusError, load_corpus
from triage.labels import CODE_SETS, CODES, ROLES

LINE = json.loads((CORPUS_FOLDER / "t1.jsonl").read_text("utf-8").split("\n")[0])


def corpus_with(folder: Path, change: dict[str, object], *, request: bool) -> Path:
    record = json.loads(json.dumps(LINE))
    (record["requests"][0] if request else record).update(change)
    good = json.dumps({**LINE, "id": "t1-000"})
    (folder / "t1.jsonl").write_text(f"{good}\n{json.dumps(record)}\n", "utf-8")
    return folder


@pytest.mark.parametrize(
    ("change", "request_level", "told"),
    [
        ({"kind": "cancelation"}, True, ["request 1: kind 'cancelation'", "note_reason"]),
        ({"fit_reasons": ["too_far"]}, True, ["fit_reasons 'too_far'", "availability"]),
        ({"risk": None}, True, ["risk None", "allowed: none, concern, urgent"]),
        ({"guarantee_asked": "yes"}, True, ["guarantee_asked 'yes'", "allowed: true, false"]),
        ({"role": "robot"}, False, ["role 'robot'", "automated"]),
        ({"sent": "2025-11-03"}, False, ["sent '2025-11-03'", "offset"]),
        ({"subject": 7}, False, ["subject 7", "string"]),
        ({"requests": []}, False, ["requests"]),
        ({"id": "t1-000"}, False, ["id 't1-000'", "unique"]),
    ],
)
def test_a_corpus_line_that_cannot_be_used_is_named_with_what_is_allowed(
    tmp_path, change, request_level, told
):
    folder = corpus_with(tmp_path, change, request=request_level)

    with pytest.raises(CorpusError) as caught:
        load_corpus(folder)

    message = str(caught.value)
    assert message.startswith(f"{folder / 't1.jsonl'}:2: ")
    assert "\n" not in message
    for words in told:
        assert words in message


def test_a_line_that_is_not_json_is_named(tmp_path):
    (tmp_path / "t1.jsonl").write_text('{"id": \n', "utf-8")

    with pytest.raises(CorpusError, match=r"t1\.jsonl:1: not JSON"):
        load_corpus(tmp_path)


def test_a_sentence_bank_with_an_unknown_label_is_named(tmp_path):
    corpus_with(tmp_path, {}, request=True)
    line = {"text": "I told her.", "label": "told", "client_agreement": "unknown"}
    (tmp_path / "sentences_notification.jsonl").write_text(json.dumps(line), "utf-8")

    with pytest.raises(CorpusError, match=r"notification\.jsonl:1: label 'told'; allowed"):
        load_corpus(tmp_path)


def test_a_sentence_bank_whose_name_says_nothing_is_not_left_out_in_silence(tmp_path):
    corpus_with(tmp_path, {}, request=True)
    (tmp_path / "sentences_danger.jsonl").write_text("", "utf-8")

    with pytest.raises(CorpusError, match=r"sentences_danger\.jsonl: .*sentences_risk\*\.jsonl"):
        load_corpus(tmp_path)


def test_evidence_for_an_unknown_code_is_named(tmp_path):
    corpus_with(tmp_path, {}, request=True)
    (tmp_path / "evidence").mkdir()
    line = {"id": "t1-001", "requests": [{"fit_reasons": {"too_far": "words"}}]}
    (tmp_path / "evidence" / "t1.jsonl").write_text(json.dumps(line), "utf-8")

    with pytest.raises(CorpusError, match="fit_reasons 'too_far'"):
        load_corpus(tmp_path)


def test_an_empty_folder_says_what_is_expected(tmp_path):
    with pytest.raises(CorpusError, match=r"no corpus file; expected t1\.jsonl"):
        load_corpus(tmp_path)


def test_the_digest_changes_with_a_single_word(tmp_path):
    before = load_corpus(corpus_with(tmp_path, {}, request=True)).digest

    after = load_corpus(corpus_with(tmp_path, {"client_ref": "Someone"}, request=True)).digest

    assert before != after


def test_the_corpora_that_ship_are_valid_and_complete():
    corpus = load_corpus()

    assert corpus.tested == tuple(f"t{n}" for n in range(1, 13))
    assert corpus.files == (*corpus.tested, *(f"s{n}" for n in range(1, 63)))
    assert sum(e.file in corpus.tested for e in corpus.examples) == 1380
    assert all(len(e.requests) == len(e.quotes) for e in corpus.examples)
    assert not any("real_questions" in path.name for path in CORPUS_FOLDER.rglob("*"))


def test_the_label_file_beside_the_corpora_lists_the_same_codes_as_the_program():
    listed = json.loads((CORPUS_FOLDER / "labels.json").read_text("utf-8"))

    for name, codes in {**CODES, **CODE_SETS, "role": ROLES}.items():
        assert tuple(listed[name]) == codes

import dataclasses
import json

import pytest
from predictions_made import small_corpus

from models.corpus import load_messages
from models.exchange import apply, marks_of, request_of, tasks_of, text_of
from models.formats import FORMATS, label_studio_config
from triage.labels import CODE_SETS
from triage.records import Request, request_fields


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "c"
    small_corpus(folder, ("t3",), 60)
    return folder


@pytest.fixture(scope="module")
def examples(folder):
    return load_messages(folder / "t3.jsonl")


def plainly(request: Request) -> dict[str, object]:
    """The fields, sets in no order, white space in the evidence folded."""
    fields = dict(request_fields(request))
    fields |= {name: sorted(fields[name]) for name in CODE_SETS}
    return fields | {"notification_evidence": request.notification_evidence.split()}


@pytest.mark.parametrize("name", FORMATS)
def test_labels_come_back_from_each_tool_as_they_went(examples, tmp_path, name):
    form = FORMATS[name]
    path = tmp_path / f"tasks{form.suffix}"
    tasks = [dataclasses.replace(t, by="ann") for t in tasks_of(examples)]

    form.write(tasks, path)
    back = form.read(path)

    assert [(t.key, t.text, t.by) for t in back] == [(t.key, t.text, t.by) for t in tasks]
    gold = [request for example in examples for request in example.requests]
    for task, request in zip(back, gold, strict=True):
        assert plainly(request_of(task.given, task.text)) == plainly(request)


@pytest.mark.parametrize("name", FORMATS)
def test_what_the_model_suggests_is_not_taken_for_an_answer(examples, tmp_path, name):
    form = FORMATS[name]
    path = tmp_path / f"tasks{form.suffix}"
    suggestions = {e.id: e.requests for e in examples}

    form.write(tasks_of(examples, suggestions, version="7", labelled=False), path)

    assert all(task.given is None for task in form.read(path))


def test_the_words_that_decide_are_found_where_they_stand(examples):
    for example in examples:
        text = text_of(example.email.subject, example.email.new_text)
        for request in example.requests:
            marks = marks_of(request, text)
            assert bool(marks.evidence) == bool(request.notification_evidence)


def test_imported_labels_make_a_corpus_that_is_read(examples, folder, tmp_path):
    records = [json.loads(line) for line in (folder / "t3.jsonl").read_text("utf-8").splitlines()]
    answered = [task for task in tasks_of(examples) if task.message == examples[0].id]

    found = apply(answered, records)
    (tmp_path / "t1.jsonl").write_text("\n".join(map(json.dumps, found)), "utf-8")

    assert [e.id for e in load_messages(tmp_path / "t1.jsonl")] == [examples[0].id]


def test_half_a_message_is_not_imported(examples, folder):
    records = [json.loads(line) for line in (folder / "t3.jsonl").read_text("utf-8").splitlines()]
    several = next(e for e in examples if len(e.requests) > 1)
    half = [task for task in tasks_of(examples) if task.message == several.id][1:]

    with pytest.raises(ValueError, match=f"{several.id}: not every request"):
        apply(half, records)


def test_a_label_that_the_guideline_does_not_know_is_named(examples, tmp_path):
    path = tmp_path / "tasks.jsonl"
    FORMATS["prodigy"].write(tasks_of(examples[:1]), path)
    path.write_text(path.read_text("utf-8").replace('["kind:', '["kind:un'), "utf-8")

    with pytest.raises(ValueError, match="is no label of the guideline"):
        FORMATS["prodigy"].read(path)


def test_the_interface_for_label_studio_offers_every_code():
    config = label_studio_config()

    assert all(f'value="{code}"' in config for codes in CODE_SETS.values() for code in codes)

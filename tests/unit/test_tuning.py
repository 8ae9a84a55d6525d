import json
from dataclasses import replace

import pytest

from models.corpus import Corpus, CorpusError, load_corpus
from models.tuning import PARTS, _files, _jobs, _parts


@pytest.fixture(scope="module")
def whole() -> Corpus:
    found = load_corpus()
    return replace(found, examples=found.examples[::40])


def without(corpus: Corpus, *files: str) -> Corpus:
    return replace(corpus, examples=tuple(e for e in corpus.examples if e.file not in files))


@pytest.fixture
def tuned_without_s1_and_s2(tmp_path, whole):
    learned = _files(without(whole, "s1", "s2"))
    (tmp_path / "tuning.json").write_text(json.dumps({"files": learned}), "utf-8")
    return tmp_path


def test_messages_that_came_later_leave_each_file_with_the_network_that_never_saw_it(
    tuned_without_s1_and_s2, whole
):
    before = _parts(tuned_without_s1_and_s2, without(whole, "s1", "s2"))

    after = _parts(tuned_without_s1_and_s2, whole)

    assert [part[: len(first)] for part, first in zip(after, before, strict=True)] == before
    assert {file for part in after for file in part} == set(whole.files)


def test_a_message_file_that_changed_since_the_fine_tuning_is_named(tuned_without_s1_and_s2, whole):
    first = whole.examples[0]
    changed = replace(whole, examples=(replace(first, role="client"), *whole.examples[1:]))

    with pytest.raises(CorpusError, match=rf"other data \({first.file} changed or gone\)"):
        _parts(tuned_without_s1_and_s2, changed)


def test_a_message_file_that_is_gone_since_the_fine_tuning_is_named(tuned_without_s1_and_s2, whole):
    with pytest.raises(CorpusError, match=r"t3 changed or gone"):
        _parts(tuned_without_s1_and_s2, without(whole, "t3"))


def test_each_part_has_a_network_that_never_saw_it_and_the_longest_job_comes_first():
    files = ("t1", "t2", "t3", "t4", "s1")

    whole, *parts = _jobs(files)

    assert whole.files == files
    assert len(parts) == PARTS
    unseen = [set(files) - set(job.files) for job in parts]
    assert sorted(file for part in unseen for file in part) == sorted(files)
    assert len({job.network for job in (whole, *parts)}) == PARTS + 1

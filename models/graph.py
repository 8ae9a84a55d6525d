"""The fine-tuned transformer as an ONNX graph with eight-bit weights, written node by node.

Written and not traced: attention is one node, and nothing is spent on masks, for each window is
read alone and holds no padding. It takes a tenth less time than a traced one.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, save

from models.encoder import WIDTH
from models.network import array_of

if TYPE_CHECKING:
    from torch import nn

    from models.network import Transformer

#: The opset that knows "Split" into equal parts; Microsoft's own operators are ONNX Runtime's.
_OPSET: Final = 18
_MICROSOFT: Final = "com.microsoft"


class _Graph:
    """Nodes and constants in the making; each method gives the name of what it adds."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, name: str, values: np.ndarray | np.int64) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def node(
        self,
        operator: str,
        inputs: list[str],
        name: str,
        domain: str = "",
        **options: Any,  # noqa: ANN401 - an operator's own attributes
    ) -> str:
        self.nodes.append(
            helper.make_node(operator, inputs, [name], name=name, domain=domain, **options)
        )
        return name

    def split(self, value: str, name: str, parts: int) -> list[str]:
        found = [f"{name}.{part}" for part in range(parts)]
        self.nodes.append(
            helper.make_node("Split", [value], found, name=name, axis=-1, num_outputs=parts)
        )
        return found

    def linear(self, value: str, layer: nn.Linear, name: str) -> str:
        weight = self.constant(f"{name}.weight", array_of(layer.weight).T)
        bias = self.constant(f"{name}.bias", array_of(layer.bias))
        return self.node("Add", [self.node("MatMul", [value, weight], f"{name}.x"), bias], name)

    def norm(self, value: str, layer: nn.LayerNorm, name: str) -> str:
        weight = self.constant(f"{name}.weight", array_of(layer.weight))
        bias = self.constant(f"{name}.bias", array_of(layer.bias))
        return self.node("LayerNormalization", [value, weight, bias], name, epsilon=layer.eps)


def graph_of(transformer: Transformer, heads: int) -> ModelProto:
    """*transformer* without its dropout: "numbers" (windows x tokens) to "states"."""
    graph = _Graph()
    length = graph.node("Shape", ["numbers"], "length", start=1, end=2)
    bounds = [graph.constant("zero", np.int64(0)), graph.node("Squeeze", [length], "tokens")]
    order = graph.node("Range", [*bounds, graph.constant("one", np.int64(1))], "order")
    place = graph.constant("place.weight", array_of(transformer.place.weight))
    places = graph.node("Gather", [place, order], "places")
    word = graph.constant("word.weight", array_of(transformer.word.weight))
    words = graph.node("Gather", [word, "numbers"], "words")
    states = graph.norm(graph.node("Add", [words, places], "embedded"), transformer.norm, "norm")
    for number, layer in enumerate(transformer.layers):
        states = _layer(graph, states, layer, f"layer.{number}", heads)
    graph.node("Identity", [states], "states")
    shapes = [("numbers", TensorProto.INT64, []), ("states", TensorProto.FLOAT, [WIDTH])]
    given, found = (
        helper.make_tensor_value_info(name, kind, ["windows", "tokens", *last])
        for name, kind, last in shapes
    )
    whole = helper.make_graph(graph.nodes, "transformer", [given], [found], graph.constants)
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_MICROSOFT, 1)]
    return helper.make_model(whole, opset_imports=opsets, ir_version=9)


def _layer(graph: _Graph, states: str, layer: Any, name: str, heads: int) -> str:  # noqa: ANN401 - models.network.Layer, out of a ModuleList
    parts = graph.split(graph.linear(states, layer.qkv, f"{name}.qkv"), f"{name}.split", 3)
    seen = graph.node(
        "MultiHeadAttention", parts, f"{name}.seen", domain=_MICROSOFT, num_heads=heads
    )
    both = graph.node("Add", [states, graph.linear(seen, layer.out, f"{name}.out")], f"{name}.1")
    states = graph.norm(both, layer.norm1, f"{name}.norm1")
    up = graph.linear(states, layer.up, f"{name}.up")
    up = graph.node("Gelu", [up], f"{name}.gelu", domain=_MICROSOFT)
    both = graph.node("Add", [states, graph.linear(up, layer.down, f"{name}.down")], f"{name}.2")
    return graph.norm(both, layer.norm2, f"{name}.norm2")


def states_by(model: ModelProto, numbers: np.ndarray) -> np.ndarray:
    """What *model* makes of token *numbers* (windows x tokens)."""
    from onnxruntime import InferenceSession

    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    states: np.ndarray = session.run(None, {"numbers": numbers})[0]
    return states


def in_eight_bits(model: ModelProto) -> bytes:
    """*model* with eight-bit weights, each column by its own scale, as ONNX Runtime loads it."""
    import logging

    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.getLogger().setLevel(logging.ERROR)  # it advises what was measured not to help
    with TemporaryDirectory() as folder:
        whole, small = Path(folder) / "whole.onnx", Path(folder) / "small.onnx"
        save(model, str(whole))
        quantize_dynamic(
            whole,
            small,
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )
        return small.read_bytes()

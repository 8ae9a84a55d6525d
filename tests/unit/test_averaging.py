import json
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, load_model_from_string, numpy_helper
from typer.testing import CliRunner

from models.averaging import mean_of
from models.commands import models_app
from models.corpus import CorpusError
from models.encoder import Readout, open_encoder
from models.registry import RELEASED
from models.tuning import PARTS, average, readout_bytes, readout_from

RELEASE = RELEASED / "0.6.1"
FILES = {f"t{number}": f"digest {number}" for number in range(1, 6)}


def network(scale=1.0, columns=4):
    """Constants named and rounded as ONNX Runtime does: a weight by column, one as a whole."""
    rng = np.random.default_rng(0)
    constants = {
        "up_quantized": rng.integers(-127, 128, (6, columns)).astype(np.int8),
        "up_scale": np.float32(scale) * rng.uniform(0.001, 0.01, columns).astype(np.float32),
        "up_zero_point": np.zeros(columns, np.int8),
        "place_quantized": rng.integers(0, 256, (5, 3)).astype(np.uint8),
        "place_scale": np.asarray(scale * 0.01, np.float32),
        "place_zero_point": np.asarray(90, np.uint8),
        "norm.weight": np.float32(scale) * rng.uniform(size=3).astype(np.float32),
        "one": np.asarray(1, np.int64),
    }
    held = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    out = helper.make_tensor_value_info("one", TensorProto.INT64, [])
    return helper.make_model(helper.make_graph([], "t", [], [out], held)).SerializeToString()


def weights(content):
    """What the constants of a network mean, by name."""
    constants = load_model_from_string(content).graph.initializer
    held = {c.name: numpy_helper.to_array(c) for c in constants}
    unrounded = {
        name: (held[f"{name}_quantized"].astype(float) - held[f"{name}_zero_point"])
        * held[f"{name}_scale"]
        for name in ("up", "place")
    }
    return unrounded | {name: held[name] for name in ("norm.weight", "one")}


def readout(size=1.0):
    array = np.full((4, 2), size, np.float32)
    return Readout({"kind": array}, {"kind": array[0]}, array)


def tuning(folder, files, *, of_part_1=1.0):
    folder.mkdir()
    (folder / "tokenizer.json").write_text("{}", "utf-8")
    (folder / "tuning.json").write_text(json.dumps({"files": files}), "utf-8")
    for name in ("encoder", *(f"without-{part}" for part in range(PARTS))):
        (folder / f"{name}.onnx").write_bytes(network())
    for name in ("readout", *(f"without-{part}" for part in range(PARTS))):
        size = of_part_1 if name == "without-1" else 1.0
        (folder / f"{name}.npz").write_bytes(readout_bytes(readout(size)))
    return folder


def test_the_mean_of_a_released_network_and_itself_reads_alike():
    content = (RELEASE / "encoder.onnx").read_bytes()
    tokenizer = (RELEASE / "tokenizer.json").read_text("utf-8")
    numbers = {"numbers": np.arange(1000, 1090)[None]}

    before, after = (
        open_encoder(each, tokenizer, readout()).network.run(None, numbers)[0]
        for each in (content, mean_of([content, content]))
    )

    assert np.abs(after - before).max() < 0.05


def test_each_weight_of_the_mean_lies_halfway_between_those_it_was_made_of():
    networks = [network(), network(scale=3.0)]

    first, second, mean = map(weights, (*networks, mean_of(networks)))

    for name, values in mean.items():
        between = (first[name] + second[name]) / 2
        step = (between.max() - between.min()) / 200
        assert np.abs(values - between).max() <= step, name
        assert name == "one" or not np.allclose(values, first[name], atol=step)


def test_networks_of_different_shapes_have_no_mean():
    with pytest.raises(ValueError, match="one shape"):
        mean_of([network(), network(columns=5)])


def test_the_mean_of_two_tunings_is_used_like_a_tuning(tmp_path):
    folders = [tuning(tmp_path / "one", FILES), tuning(tmp_path / "two", FILES, of_part_1=3.0)]

    average(folders, tmp_path / "mean")

    assert {p.name for p in (tmp_path / "mean").iterdir()} == {p.name for p in folders[0].iterdir()}
    about = json.loads((tmp_path / "mean" / "tuning.json").read_text("utf-8"))
    assert about["files"] == FILES
    assert about["mean_of"] == [{"files": FILES}, {"files": FILES}]
    for part, size in (("without-0", 1.0), ("without-1", 2.0), ("readout", 1.0)):
        mean = readout_from((tmp_path / "mean" / f"{part}.npz").read_bytes())
        arrays = (mean.weights["kind"], mean.bias["kind"], mean.attention)
        assert all(np.allclose(array, size) for array in arrays)


def test_a_tuning_that_knew_fewer_files_can_be_averaged_with_a_later_one(tmp_path):
    fewer = dict(list(FILES.items())[:4])
    folders = [tuning(tmp_path / "one", fewer), tuning(tmp_path / "two", FILES)]

    average(folders, tmp_path / "mean")

    about = json.loads((tmp_path / "mean" / "tuning.json").read_text("utf-8"))
    assert about["files"] == FILES


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(FILES | {"t2": "another digest"}, id="other-messages"),
        pytest.param(
            {n: FILES[n] for n in ("t1", "t3", "t2", "t4", "t5")}, id="left-out-elsewhere"
        ),
    ],
)
def test_tunings_that_saw_what_another_left_out_are_refused(tmp_path, other):
    folders = [tuning(tmp_path / "one", FILES), tuning(tmp_path / "two", other)]

    with pytest.raises(CorpusError, match=r"no mean: t2"):
        average(folders, tmp_path / "mean")

    assert not (tmp_path / "mean").exists()


def test_tunings_that_tell_different_things_are_refused_by_name(tmp_path):
    folders = [tuning(tmp_path / "one", FILES), tuning(tmp_path / "two", FILES)]
    older = readout_from((folders[0] / "readout.npz").read_bytes())
    fewer = replace(
        older,
        weights={name: weights[:, :1] for name, weights in older.weights.items()},
        bias={name: bias[:1] for name, bias in older.bias.items()},
    )
    (folders[0] / "readout.npz").write_bytes(readout_bytes(fewer))

    with pytest.raises(CorpusError, match="no mean: of kind they tell different things"):
        average(folders, tmp_path / "mean")


def test_one_tuning_has_no_mean_and_the_command_says_so(tmp_path):
    result = CliRunner().invoke(models_app, ["average", "one", "--out", str(tmp_path / "mean")])

    assert result.exit_code == 2
    assert "two tunings or more, not 1" in result.output

import json
import shutil

import numpy as np
import pytest
from onnx import load_model_from_string, numpy_helper
from typer.testing import CliRunner

from models.averaging import mean_of
from models.commands import models_app
from models.corpus import CorpusError
from models.encoder import open_encoder
from models.registry import RELEASED
from models.tuning import PARTS, average, readout_bytes, readout_from

RELEASE = RELEASED / "0.6.1"
FILES = {f"t{number}": f"digest {number}" for number in range(1, 6)}


@pytest.fixture(scope="module")
def network():
    return (RELEASE / "encoder.onnx").read_bytes()


def changed(network, change):
    """*network* with *change*, a function of name and values, made to each constant."""
    model = load_model_from_string(network)
    for constant in model.graph.initializer:
        values = change(constant.name, numpy_helper.to_array(constant).copy())
        constant.CopyFrom(numpy_helper.from_array(values, constant.name))
    return model.SerializeToString()


def weights(network):
    held = {
        c.name: numpy_helper.to_array(c) for c in load_model_from_string(network).graph.initializer
    }
    stems = [name.removesuffix("_quantized") for name in held if name.endswith("_quantized")]
    rounded = {
        stem: (held[f"{stem}_quantized"].astype(float) - held[f"{stem}_zero_point"])
        * held[f"{stem}_scale"]
        for stem in stems
    }
    return rounded | {name: values for name, values in held.items() if name.endswith(".bias")}


def states(network):
    tokenizer = (RELEASE / "tokenizer.json").read_text("utf-8")
    readout = readout_from((RELEASE / "readout.npz").read_bytes())
    session = open_encoder(network, tokenizer, readout).network
    return session.run(None, {"numbers": np.arange(1000, 1090)[None]})[0]


def tuning(folder, network, files):
    folder.mkdir()
    shutil.copy(RELEASE / "tokenizer.json", folder)
    (folder / "tuning.json").write_text(json.dumps({"files": files}), "utf-8")
    for name in ("encoder", *(f"without-{part}" for part in range(PARTS))):
        (folder / f"{name}.onnx").write_bytes(network)
    for name in ("readout", *(f"without-{part}" for part in range(PARTS))):
        shutil.copy(RELEASE / "readout.npz", folder / f"{name}.npz")
    return folder


def test_the_mean_of_a_network_and_itself_reads_alike(network):
    assert np.abs(states(mean_of([network, network])) - states(network)).max() < 0.05


def test_each_weight_of_the_mean_lies_halfway_between_those_it_was_made_of(network):
    def other_scale(name, values):
        return values * np.float32(3) if name.endswith(("_scale", ".bias")) else values

    first, second, mean = map(
        weights,
        (network, changed(network, other_scale), mean_of([network, changed(network, other_scale)])),
    )

    for name, values in mean.items():
        between = (first[name] + second[name]) / 2
        step = np.abs(between).max() / 127
        assert np.abs(values - between).max() <= step, name


def test_networks_of_different_shapes_have_no_mean(network):
    def shorter(name, values):
        return values[:-1] if name == "norm.weight" else values

    with pytest.raises(ValueError, match="one shape"):
        mean_of([network, changed(network, shorter)])


def test_the_mean_of_two_tunings_is_used_like_a_tuning(network, tmp_path):
    folders = [tuning(tmp_path / name, network, FILES) for name in ("one", "two")]
    doubled = readout_from((folders[1] / "without-1.npz").read_bytes())
    for array in (*doubled.weights.values(), *doubled.bias.values(), doubled.attention):
        np.multiply(array, 3, out=array)
    (folders[1] / "without-1.npz").write_bytes(readout_bytes(doubled))

    average(folders, tmp_path / "mean")

    assert {p.name for p in (tmp_path / "mean").iterdir()} == {p.name for p in folders[0].iterdir()}
    about = json.loads((tmp_path / "mean" / "tuning.json").read_text("utf-8"))
    assert about["files"] == FILES
    assert about["mean_of"] == [{"files": FILES}, {"files": FILES}]
    once, mean = (
        readout_from((f / "without-1.npz").read_bytes()) for f in (folders[0], tmp_path / "mean")
    )
    assert np.allclose(mean.weights["kind"], 2 * once.weights["kind"])
    assert np.allclose(mean.attention, 2 * once.attention)


def test_a_tuning_that_knew_fewer_files_can_be_averaged_with_a_later_one(network, tmp_path):
    fewer = dict(list(FILES.items())[:4])
    folders = [
        tuning(tmp_path / "one", network, fewer),
        tuning(tmp_path / "two", network, FILES),
    ]

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
def test_tunings_that_saw_what_another_left_out_are_refused(network, tmp_path, other):
    folders = [
        tuning(tmp_path / "one", network, FILES),
        tuning(tmp_path / "two", network, other),
    ]

    with pytest.raises(CorpusError, match=r"no mean: t2"):
        average(folders, tmp_path / "mean")

    assert not (tmp_path / "mean").exists()


def test_one_tuning_has_no_mean_and_the_command_says_so(tmp_path):
    result = CliRunner().invoke(models_app, ["average", "one", "--out", str(tmp_path / "mean")])

    assert result.exit_code == 2
    assert "two tunings or more, not 1" in result.output

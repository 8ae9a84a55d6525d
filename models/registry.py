"""Released models: versioned folders that are read only when every byte is as it was written.

A release holds plain arrays and JSON; nothing in it is ever executed. ``manifest.json`` names the
SHA-256 of each file, the data it was trained on, the seed, the library versions and the metrics.
``PROMOTED`` in the folder above names the version in use.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.decisions import YES_OR_NO, Decision, Decisions
from models.encoder import open_encoder
from models.features import Featuriser, Shape
from models.heads import COUNTS, HEADS, MARKS, SIGNALS, SPLITS, Head, Heads, Plan
from models.train import Model
from models.tuning import NETWORK, READOUT, VOCABULARY, readout_from
from models.turning import Turning
from triage.labels import CODE_SETS

RELEASED: Final = Path(__file__).parent / "released"
#: Raised whenever a release of an older layout could no longer be read or would read differently.
FORMAT: Final = 11
#: Layouts that this program reads as they were meant: 8 lacks ``Decisions.sure``.
_READABLE: Final = (8, 9, 10, FORMAT)
_PROMOTED: Final = "PROMOTED"
_ARRAYS: Final = "weights.npz"
_TEXTS: Final = "model.json"
#: What a release with a transformer holds besides.
_DEEP: Final = (NETWORK, VOCABULARY, READOUT)
_LIBRARIES: Final = ("numpy", "onnxruntime", "scipy", "scikit-learn", "spacy", "tokenizers")


class ModelRefusedError(Exception):
    """The release cannot be trusted or does not fit this program; the message says why."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a release says about itself."""

    version: str
    format: int
    created: str  # ISO 8601, UTC
    seed: int
    data: str  # SHA-256 of the corpora
    labels: str  # SHA-256 of the label vocabularies
    libraries: Mapping[str, str]
    metrics: Mapping[str, Any]
    files: Mapping[str, str]  # name to SHA-256
    certainty: Mapping[str, float] = field(default_factory=dict)  # see ``models.thresholds``
    seal: str = ""  # SHA-256 of all above, "" in releases that are older than it


def labels_digest() -> str:
    """Changes whenever a label is added, renamed or moved: old weights then mean something else."""
    heads = [[plan.name, plan.labels] for plan in HEADS]
    return hashlib.sha256(json.dumps([heads, SIGNALS, MARKS]).encode()).hexdigest()


def promoted(folder: Path = RELEASED) -> str:
    """The version in use. Raises ModelRefusedError where none is named."""
    try:
        return (folder / _PROMOTED).read_text(encoding="utf-8").strip()
    except OSError:
        raise ModelRefusedError(f"{folder} names no promoted model") from None


def promote(version: str, folder: Path = RELEASED) -> None:
    """Put *version* into use; it must be readable. A reader sees the old version or the new one."""
    load(folder / version)
    waiting = folder / f"{_PROMOTED}.new"
    with waiting.open("w", encoding="utf-8") as stream:
        stream.write(f"{version}\n")
        stream.flush()
        os.fsync(stream.fileno())
    waiting.replace(folder / _PROMOTED)


def releases(folder: Path = RELEASED) -> list[Manifest]:
    """The manifests of all releases, oldest first; unreadable ones are left out."""
    found = []
    for path in sorted(folder.glob("*/manifest.json")):
        try:
            found.append(_manifest(path.parent))
        except ModelRefusedError:
            continue
    return sorted(found, key=lambda m: (m.created, m.version))


def release(
    model: Model,
    folder: Path,
    *,
    version: str,
    seed: int,
    data: str,
    metrics: Mapping[str, Any],
    tuned: Path | None = None,
    certainty: Mapping[str, float] | None = None,
) -> Manifest:
    """Write *model* to the new folder *folder*; the manifest comes last, so that none is half.

    *tuned* is the folder that its transformer comes from, where it has one; *certainty* the
    thresholds that keep their bounds (``models.thresholds``).
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {_ARRAYS: _arrays(model), _TEXTS: _texts(model)}
    if tuned is not None:
        files |= {name: (tuned / name).read_bytes() for name in _DEEP}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    manifest = Manifest(
        version=version,
        format=FORMAT,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=seed,
        data=data,
        labels=labels_digest(),
        libraries={name: installed(name) for name in _LIBRARIES},
        metrics=metrics,
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        certainty=certainty or {},
    )
    fields = {name: getattr(manifest, name) for name in Manifest.__slots__}
    text = json.dumps(sealed(fields), indent=1)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")
    return manifest


def sealed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The *fields* of a manifest with their seal: one bit of a threshold may not turn unseen."""
    told = {name: value for name, value in fields.items() if name != "seal"}
    text = json.dumps(told, sort_keys=True)
    return {**told, "seal": hashlib.sha256(text.encode()).hexdigest()}


def load(folder: Path, *, fast: bool = False) -> tuple[Model, Manifest]:
    """The model in *folder*, after every hash has matched. Raises ModelRefusedError.

    *fast* leaves the transformer out, which takes most of the time to load and to read.
    """
    manifest = _manifest(folder)
    if manifest.format not in _READABLE:
        wanted = " or ".join(map(str, _READABLE))
        raise ModelRefusedError(f"{folder} has format {manifest.format}, wanted {wanted}")
    if manifest.labels != labels_digest():
        raise ModelRefusedError(f"{folder} was trained for other labels than this program's")
    if set(manifest.files) not in ({_ARRAYS, _TEXTS}, {_ARRAYS, _TEXTS, *_DEEP}):
        wanted = ", ".join((_ARRAYS, _TEXTS, *_DEEP))
        raise ModelRefusedError(f"{folder}/manifest.json must name {wanted} or the first two alone")
    contents = {name: _verified(folder / name, digest) for name, digest in manifest.files.items()}
    try:
        return _model(contents, fast=fast), manifest
    except Exception as error:  # onnxruntime and tokenizers raise kinds of their own
        reason = f"{folder} cannot be read: {type(error).__name__}"
        raise ModelRefusedError(reason) from error


def _manifest(folder: Path) -> Manifest:
    path = folder / "manifest.json"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        manifest = Manifest(**fields)
    except OSError:
        raise ModelRefusedError(f"{path} cannot be read") from None
    except (ValueError, TypeError):
        raise ModelRefusedError(f"{path} is not a manifest") from None
    if manifest.seal and sealed(fields) != fields:
        raise ModelRefusedError(f"{path} is not the file that was released")
    return manifest


def _verified(path: Path, digest: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError:
        raise ModelRefusedError(f"{path} cannot be read") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise ModelRefusedError(f"{path} is not the file that was released")
    return content


def _arrays(model: Model) -> bytes:
    arrays: dict[str, Any] = {
        "vocabulary": model.heads.featuriser.vocabulary,
        "idf.sentence": model.heads.sentence_idf.astype(np.float16),
        "idf.request": model.heads.request_idf.astype(np.float16),
        "reliability": model.decisions.reliability,
    }
    for name, head in model.heads.heads.items():
        arrays[f"head.{name}.bias"] = head.bias
        for beside, weights in head.weights.items():
            arrays |= _sparse(f"head.{name}.{beside}", weights)
    for way, decisions in _ways(model).items():
        for name, decision in _decisions(decisions).items():
            arrays[f"{way}.{name}.weights"] = decision.weights
            arrays[f"{way}.{name}.bias"] = decision.bias
    if model.turning:
        for name in (*SPLITS, "ranking"):
            decision = getattr(model.turning, name)
            if decision is not None:
                arrays[f"turning.{name}.weights"] = decision.weights
                arrays[f"turning.{name}.bias"] = decision.bias
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, values in arrays.items():  # as np.savez_compressed, which knows no level
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.asanyarray(values), allow_pickle=False)
    return buffer.getvalue()


def _turning(arrays: Mapping[str, Any]) -> Turning | None:
    """Where messages turn, None in releases that leave that to the rules."""
    found = {
        name: Decision(YES_OR_NO, arrays[f"turning.{name}.weights"], arrays[f"turning.{name}.bias"])
        for name in (*SPLITS, "ranking")
        if f"turning.{name}.bias" in arrays
    }
    return Turning(**found) if found else None


def _sparse(name: str, weights: Any) -> dict[str, Any]:  # noqa: ANN401
    """The weights by column: a column's rows ascend, and small steps compress well.

    Numbers are kept byte by byte, the first of all, then the second of all: an eighth smaller.
    """
    from scipy import sparse

    matrix = sparse.csc_matrix(weights)
    matrix.sort_indices()
    return {
        f"{name}.data": _by_byte(matrix.data.astype(_HALF)),
        f"{name}.rows": _by_byte(np.diff(matrix.indices, prepend=0).astype(_STEP)),
        f"{name}.ends": matrix.indptr.astype(np.int32),
        f"{name}.shape": np.asarray(weights.shape),
    }


_HALF: Final = np.dtype("<f2")
_STEP: Final = np.dtype("<i4")


def _by_byte(values: Any) -> Any:  # noqa: ANN401
    return np.ascontiguousarray(values.view(np.uint8).reshape(len(values), values.itemsize).T)


def _as_numbers(values: Any, kind: np.dtype[Any]) -> Any:  # noqa: ANN401
    """What ``_by_byte`` took apart; releases of format 9 and older hold the numbers themselves."""
    return np.ascontiguousarray(values.T).reshape(-1).view(kind) if values.ndim == 2 else values


def _dense(arrays: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401
    weights = np.zeros(tuple(arrays[f"{name}.shape"]), dtype=np.float32)
    ends = arrays[f"{name}.ends"]
    columns = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    rows = np.cumsum(_as_numbers(arrays[f"{name}.rows"], _STEP))
    weights[rows, columns] = _as_numbers(arrays[f"{name}.data"], _HALF)
    return weights


def _texts(model: Model) -> bytes:
    shape = model.heads.featuriser.shape
    content = {
        "shape": {"longest": shape.longest, "characters": shape.characters, "rarest": shape.rarest},
        "known": sorted(model.heads.featuriser.known),
        "labels": {
            way: {name: decision.labels for name, decision in _decisions(decisions).items()}
            for way, decisions in _ways(model).items()
        },
        "thresholds": {way: decisions.thresholds for way, decisions in _ways(model).items()},
    }
    return json.dumps(content, ensure_ascii=False).encode()


def _ways(model: Model) -> dict[str, Decisions]:
    """The sets of decisions that *model* has, by what they go by."""
    ways = {"fast": model.decisions}
    return ways | {"deep": model.deep_decisions} if model.deep_decisions else ways


def _decisions(decisions: Decisions) -> dict[str, Decision]:
    named = {"kind": decisions.kind, "told": decisions.told, "stage": decisions.stage}
    named |= {"sure": decisions.sure} if decisions.sure else {}
    counts = {f"count:{name}": decision for name, decision in decisions.count.items()}
    return named | dict(decisions.flags) | dict(decisions.codes) | counts


def _model(contents: Mapping[str, bytes], *, fast: bool) -> Model:
    texts = json.loads(contents[_TEXTS])
    with np.load(io.BytesIO(contents[_ARRAYS]), allow_pickle=False) as archive:
        arrays = dict(archive)
    heads = Heads(
        featuriser=Featuriser(Shape(**texts["shape"]), texts["known"], arrays["vocabulary"]),
        sentence_idf=arrays["idf.sentence"].astype(np.float32),
        request_idf=arrays["idf.request"].astype(np.float32),
        heads={plan.name: _head(arrays, plan) for plan in HEADS},
    )
    by_linear = _answers("fast", texts, arrays)
    if fast or NETWORK not in contents:
        return Model(heads, by_linear)
    encoder = open_encoder(
        contents[NETWORK], contents[VOCABULARY].decode(), readout_from(contents[READOUT])
    )
    return Model(heads, by_linear, encoder, _turning(arrays), _answers("deep", texts, arrays))


def _answers(way: str, texts: Mapping[str, Any], arrays: Mapping[str, Any]) -> Decisions:
    named = {
        name: Decision(tuple(labels), arrays[f"{way}.{name}.weights"], arrays[f"{way}.{name}.bias"])
        for name, labels in texts["labels"][way].items()
    }
    return Decisions(
        kind=named.pop("kind"),
        told=named.pop("told"),
        stage=named.pop("stage"),
        codes={name: named.pop(name) for name in CODE_SETS},
        sure=named.pop("sure", None),
        count={name: named.pop(f"count:{name}") for name in COUNTS if f"count:{name}" in named},
        flags=named,
        thresholds=texts["thresholds"][way],
        reliability=arrays["reliability"],
    )


def _head(arrays: Mapping[str, Any], plan: Plan) -> Head:
    weights = {name: _dense(arrays, f"head.{plan.name}.{name}") for name in ("", *plan.beside)}
    return Head(weights, arrays[f"head.{plan.name}.bias"])

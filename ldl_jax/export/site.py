"""Writes a page that answers for pictures in a browser: a static folder, which needs no network.

The folder has the page's own files (`ldl_jax/export/page`), the model and the face detector as
ONNX, and ONNX Runtime for browsers, copied from an installed npm package.
"""

import dataclasses
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ldl_jax import files
from ldl_jax.calibration.promise import CONDITION
from ldl_jax.data.detect import choice, mtcnn, networks, weights
from ldl_jax.evaluation.answers import label_names
from ldl_jax.lowering import to_onnx
from ldl_jax.predict.answering import COVERAGE
from ldl_jax.predict.graph import graph
from ldl_jax.predict.predictor import Predictor

_PAGE = Path(__file__).with_name("page")
# What is taken of the npm package. Its modules end in .mjs, which some servers call no script.
_RUNTIME = {
    "ort/ort.js": "ort.wasm.bundle.min.mjs",
    "ort/ort.wasm": "ort-wasm-simd-threaded.wasm",
}
_INSTALLED = Path("node_modules/onnxruntime-web")
_HOW = "run `npm install onnxruntime-web` here, or give its folder with --onnxruntime-web=DIR"
# The inputs of the detector's networks, each without its batch.
_INPUTS: dict[str, dict[str, tuple[int, ...]]] = {
    "pnet": {"images": (128, 128, 3), "sizes": (2,)},
    "rnet": {"images": (24, 24, 3)},
    "onet": {"images": (48, 48, 3)},
}
_OUTPUTS = ("shifts", "scores", "points")  # the last of ONet alone


def write(
    predictor: Predictor,
    folder: str | os.PathLike[str],
    *,
    onnxruntime_web: str | os.PathLike[str] | None = None,
    detector: str | None = choice.MTCNN,
) -> None:
    """Writes the page of a model. Files of the same names are replaced, others stay.

    Nothing is written unless all of it can be. Any static server shows the page, as
    `python -m http.server` in the folder.

    Args:
      predictor: the model.
      folder: where to write; it is made if it is missing.
      onnxruntime_web: the folder of the npm package onnxruntime-web, or that of its files; None
        looks in ./node_modules.
      detector: "mtcnn", the installed package's weights; a `.safetensors` file of them; or None:
        the page then takes each picture as one face that is already cut out.

    Raises:
      ValueError: onnxruntime-web or the detector's weights are missing, or the model has no ONNX
        form; the message says all that is missing.
      OSError: a file cannot be read or written.
    """
    target = Path(files.from_home(folder))
    runtime, arrays = _needed(onnxruntime_web, detector)
    contents: dict[str, bytes | Path] = {file.name: file for file in sorted(_PAGE.iterdir())}
    contents |= runtime
    contents["models/model.onnx"] = graph(predictor).SerializeToString()
    for name in arrays:
        contents[f"models/{name}.onnx"] = _detector_graph(name, arrays[name])
    contents["model.json"] = json.dumps(_about(predictor, contents, arrays), indent=1).encode()
    _put(contents, target)


def check(
    onnxruntime_web: str | os.PathLike[str] | None = None, detector: str | None = choice.MTCNN
) -> None:
    """Checks that `write` has all that it needs beside a model; for its arguments see there.

    Raises:
      ValueError: onnxruntime-web or the detector's weights are missing; the message says both.
    """
    _needed(onnxruntime_web, detector)


def _needed(
    onnxruntime_web: str | os.PathLike[str] | None, detector: str | None
) -> tuple[dict[str, Path], weights.Weights]:
    """Returns the runtime's files and the detector's weights, or says all that is missing."""
    faults = []
    runtime: dict[str, Path] = {}
    arrays: weights.Weights = {}
    try:
        runtime = _runtime(onnxruntime_web)
    except ValueError as error:
        faults.append(str(error))
    if detector is not None:
        try:
            arrays = weights.load(None if detector == choice.MTCNN else files.from_home(detector))
        except (ValueError, OSError) as error:
            faults.append(f"detector: {error}; or write a page for faces already cut out, without")
    if faults:
        raise ValueError("; ".join(faults))
    return runtime, arrays


def _runtime(folder: str | os.PathLike[str] | None) -> dict[str, Path]:
    """Returns the file of onnxruntime-web for each name in the page's folder.

    Raises:
      ValueError: the package is not there, or lacks one of them.
    """
    root = Path(files.from_home(folder)) if folder is not None else _INSTALLED
    if not root.is_dir():
        raise ValueError(f"onnxruntime-web: {root} is no folder; {_HOW}")
    dist = root / "dist" if (root / "dist").is_dir() else root
    if missing := [name for name in _RUNTIME.values() if not (dist / name).is_file()]:
        raise ValueError(f"onnxruntime-web: {dist} has no {', '.join(missing)}; {_HOW}")
    return {name: dist / file for name, file in _RUNTIME.items()}


def _detector_graph(name: str, arrays: list[np.ndarray]) -> bytes:
    """Returns a network of the detector as ONNX, with its inputs' and outputs' names."""
    network: Callable[..., object] = getattr(networks, name)
    inputs = {
        key: ((None, *shape), np.int32 if key == "sizes" else np.float32)
        for key, shape in _INPUTS[name].items()
    }
    outputs = _OUTPUTS if name == "onet" else _OUTPUTS[:2]
    model = to_onnx(lambda *given: network(arrays, *given), inputs, outputs, name=name)
    return model.SerializeToString()


def _about(
    predictor: Predictor, contents: Mapping[str, bytes | Path], arrays: weights.Weights
) -> dict[str, object]:
    """Returns what the page reads of the model before all else: `model.json`."""

    def versioned(name: str) -> str:
        # A browser keeps files by their address: a model that is written anew has another one.
        return f"{name}?v={_digest(contents[name])}"

    space, preprocessing = predictor.space, predictor.preprocessing
    settings = dataclasses.asdict(mtcnn.Settings())
    years = space.unit == "years"
    what = "age" if years else "value"
    alone, known = predictor.value_alone, predictor.about.calibration
    task = (
        f"estimates its {what}," if predictor.stand_in else f"says how likely it finds each {what}"
    )
    return {
        "title": "Age from a face" if years else "An estimate from a face",
        "description": f"A neural network looks at each face and {task} from {space.low:g} to "
        f"{space.high:g}{' years' if years else f' ({space.unit})'}.",
        "network": predictor.about.model["name"],
        "method": predictor.about.method["name"],
        "model": versioned("models/model.onnx"),
        "runtime": {"script": versioned("ort/ort.js"), "wasm": versioned("ort/ort.wasm")},
        "size": preprocessing.stored_size,
        "crop": preprocessing.crop,
        "square": preprocessing.square,
        "least": round(preprocessing.stored_size / preprocessing.crop),
        "alignment": dataclasses.asdict(predictor.alignment),
        "labels": list(space.values),
        "names": label_names(space),
        "grouped": bool(space.bounds),
        "low": space.low,
        "high": space.high,
        "unit": space.unit,
        "coverage": COVERAGE,
        "calibrated": known is not None,
        "reading": _reading(predictor),
        "value_alone": alone,
        "stand_in": predictor.stand_in,
        "detector": {
            "networks": {name: versioned(f"models/{name}.onnx") for name in arrays},
            "shapes": {name: _INPUTS[name] for name in arrays},
            "settings": settings,
        }
        if arrays
        else None,
    }


def _reading(predictor: Predictor) -> str:
    """Returns what the page says of how an answer is read: what its interval is worth."""
    known = predictor.about.calibration
    if predictor.value_alone:
        return (
            "This model gives one value for a face, without a distribution. Nothing says how sure "
            "it is."
        )
    bars = "The bars are the model’s distribution over all labels. A wide one: it is not sure."
    if predictor.stand_in:
        bars = "This model gives one value for a face, without a distribution."
    if known is None:
        return (
            f"{bars} The interval holds {COVERAGE:.0%} of that distribution. That is the model’s "
            "own claim, which nobody has checked on people: it is no promise."
        )
    where = "."
    if known.ranges:
        where = ", in each range of labels."
    elif known.groups:
        where = ", of all of them together; a group of people may have less."
    return (
        f"{bars} The interval is calibrated: of pictures that come as those did which it was "
        f"calibrated with ({CONDITION}), it holds the label of {COVERAGE:.0%} or more{where} "
        f"{known.overall.count:,} labelled pictures were used for that. It is a promise about many "
        "pictures together, none about one person, and none for pictures that come in another way."
    )


def _digest(content: bytes | Path) -> str:
    data = content if isinstance(content, bytes) else content.read_bytes()
    return hashlib.sha256(data).hexdigest()[:12]


def _put(contents: Mapping[str, bytes | Path], target: Path) -> None:
    """Writes files into a folder, which gets none of them before all are on the disk.

    Raises:
      OSError: one cannot be read or written; nothing has changed then.
    """
    target = target.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial-{secrets.token_hex(8)}")
    try:
        for name, content in contents.items():
            file = partial / name
            file.parent.mkdir(parents=True, exist_ok=True)
            files.write(file, content if isinstance(content, bytes) else content.read_bytes())
        for name in contents:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            if (target / name).is_dir():
                raise IsADirectoryError(f"{target / name}: a file of the page goes here")
        for name in contents:
            (partial / name).replace(target / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)

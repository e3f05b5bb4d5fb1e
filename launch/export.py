"""Writes a trained model for others: one file, ONNX, a page, or its card; or puts it on the hub.

python -m launch.export runs/quickstart --to=model.safetensors
python -m launch.export runs/quickstart --to=model.onnx --int8
python -m launch.export runs/quickstart --to=site/ --onnxruntime-web=node_modules/onnxruntime-web
python -m launch.export runs/quickstart --push=hf://owner/name
python -m launch.export runs/calibrated --to=model.safetensors --raw

What is written depends on the target's end: .safetensors (one file for ldl_jax.load), .onnx,
.stablehlo, .md (the model card alone), or / for the folder of a page. The card is written beside
it, as card.md.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from rich.console import Console

import ldl_jax
from ldl_jax import files
from ldl_jax.data import pictures
from ldl_jax.data.datasets import catalogue
from ldl_jax.data.records import DataError
from ldl_jax.export import card
from ldl_jax.predict import hub, one_file
from ldl_jax.predict.predictor import Predictor
from ldl_jax.run.command import fail, flag_errors, quiet, start
from ldl_jax.run.progress import teller
from ldl_jax.train.model_file import DTYPES
from ldl_jax.workdir import last_checkpoint

_MOST = 1000  # faces that the cost of 8 bits is measured on
CARD = "card.md"  # beside what is written
# What a target's end asks for, and the module of `ldl_jax.export` that writes it.
_MODULES = {".onnx": "onnx_file", ".stablehlo": "stablehlo", "/": "site"}
_ENDS = (".safetensors", *_MODULES, ".md")
# The extra that brings a package which is not installed.
_EXTRAS = {"onnx": "export", "onnxruntime": "export", "huggingface_hub": "hub"}


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags when the command starts: other commands have some of these names."""
    flags.DEFINE_string(
        "to", None, f"what to write; its end says the kind: {', '.join(_ENDS)}", flag_values=values
    )
    flags.DEFINE_string(
        "push", None, "a repository of the Hugging Face hub: hf://owner/name", flag_values=values
    )
    flags.DEFINE_enum("dtype", "float32", DTYPES, "of the weights in one file", flag_values=values)
    flags.DEFINE_boolean("int8", False, "weights of 8 bits, of an .onnx", flag_values=values)
    flags.DEFINE_string(
        "faces",
        None,
        "a CSV file (path,label) of cut-out faces, on which the cost of --int8 is measured",
        flag_values=values,
    )
    flags.DEFINE_string(
        "onnxruntime-web",
        None,
        "the folder of that npm package, for a page; by default that in ./node_modules",
        flag_values=values,
    )
    flags.DEFINE_string(
        "detector",
        "mtcnn",
        "what finds faces on a page: mtcnn, a .safetensors file of its weights, or none",
        flag_values=values,
    )
    flags.DEFINE_boolean(
        "raw",
        False,
        "write the model as it was trained, without its calibration",
        flag_values=values,
    )
    flags.DEFINE_boolean("force", False, "replace what is there", flag_values=values)
    flags.DEFINE_multi_string(
        "trust",
        [],
        "a module that the checkpoint may have imported, and so run: package.module",
        flag_values=values,
    )
    flags.DEFINE_boolean(
        "allow-unsealed",
        False,
        "read a checkpoint that was sealed once and has no seal now",
        flag_values=values,
    )
    flags.DEFINE_boolean(
        "allow-nonfinite", False, "take weights that are NaN or infinite", flag_values=values
    )


def main(arguments: Sequence[str]) -> None:
    """Writes what --to and --push name; ends the process with 1 where something is wrong."""
    quiet()
    values = flags.FLAGS
    try:
        check(arguments[1:], values)
        run(arguments[1], values, Console())
    except (ValueError, OSError) as error:
        fail(str(error))


def check(names: Sequence[str], values: flags.FlagValues) -> None:
    """Checks the command line before anything is read or written.

    Raises:
      ValueError: naming everything that is wrong.
    """
    faults = []
    if len(names) != 1:
        count = f"{len(names)} ({', '.join(names)})" if names else "none"
        faults.append(f"give one run, checkpoint or model file to export, got {count}")
    if values.to is None and values.push is None:
        faults.append("give --to=TARGET, as --to=model.safetensors, or --push=hf://owner/name")
    end = "" if values.to is None else _end(values.to)
    if values.to is not None:
        faults += _target_faults(values.to, end, values.force)
    if values.push is not None:
        faults += _push_faults(values.push)
    whole = values.push is not None or end == ".safetensors"
    if values["dtype"].present and not whole:
        faults.append("--dtype: is of one file; give --to=NAME.safetensors or --push")
    if values.int8 and end != ".onnx":
        faults.append("--int8: is of an ONNX file; give --to=NAME.onnx")
    if values.faces is not None and not values.int8:
        faults.append("--faces: are what the cost of --int8 is measured on; give --int8 too")
    faults += _page_faults(values, end)
    if faults:
        raise ValueError("; ".join(faults))


def _end(target: str) -> str:
    return "/" if target.endswith("/") else Path(target).suffix


def _page_faults(values: flags.FlagValues, end: str) -> list[str]:
    if end != "/":
        named = [name for name in ("onnxruntime-web", "detector") if values[name].present]
        return [f"--{name}: is of a page; give --to=FOLDER/" for name in named]
    if _module_faults("--to", end, _MODULES[end]):
        return []  # said already
    try:
        _writer(_MODULES[end]).check(**_page_options(values))
    except ValueError as error:
        return [str(error)]
    return []


def _page_options(values: flags.FlagValues) -> dict[str, str | None]:
    detector = None if values.detector == "none" else values.detector
    return {"onnxruntime_web": values["onnxruntime-web"].value, "detector": detector}


def _target_faults(target: str, end: str, force: bool) -> list[str]:
    if end not in _ENDS:
        return [f"--to: expected a name that ends in {', '.join(_ENDS)}, got {target!r}"]
    faults = []
    path, beside = _places(target)
    for parent in path.absolute().parents:
        if parent.exists() and not parent.is_dir():
            faults.append(f"--to: {target} cannot be made, {parent} is a file")
            break
    if end == "/":
        if path.is_dir() and any(path.iterdir()) and not force:
            faults.append(f"--to: {target} is not empty; give a new folder, or --force")
        elif path.exists() and not path.is_dir():
            faults.append(f"--to: {target} is a file, expected a folder")
    elif path.is_dir():
        faults.append(f"--to: {target} is a folder, expected a file")
    elif path.exists() and not force:
        faults.append(f"--to: {target} is there already; give another name, or --force")
    if beside != path and beside.is_dir():
        faults.append(f"--to: the card would be {beside}, which is a folder")
    return faults + _module_faults("--to", end, _MODULES.get(end, ""))


def _push_faults(name: str) -> list[str]:
    try:
        hub.check_writable(name)
    except ValueError as error:
        return [f"--push: {error}"]
    return []


def _module_faults(flag: str, end: str, module: str) -> list[str]:
    """Returns a line where a package is missing that a kind of target needs."""
    if not module:
        return []
    try:
        _writer(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        extra = _EXTRAS.get(missing)
        remedy = f": pip install 'ldl_jax[{extra}]'" if extra else ""
        return [f"{flag}: what ends in {end} needs {error.name}, which is not installed{remedy}"]
    return []


def _writer(module: str) -> Any:
    return importlib.import_module(f"ldl_jax.export.{module}")


def _places(target: str) -> tuple[Path, Path]:
    """Returns where a target is written, and its card."""
    path = Path(files.from_home(target))
    if target.endswith("/"):
        return path, path / CARD
    return path, path if path.suffix == ".md" else path.with_name(CARD)


def run(name: str, values: flags.FlagValues, console: Console) -> None:
    """Loads the model, and writes what is asked for.

    Raises:
      ValueError, OSError: it cannot be read or written.
    """
    log, source = teller(console), hub.local(name)
    predictor = ldl_jax.load(
        source,
        trust=values.trust,
        allow_unsealed=bool(values["allow-unsealed"].value),
        allow_nonfinite=bool(values["allow-nonfinite"].value),
        raw=values.raw,
        log=log,
    )
    notes = card.notes_of(predictor, source)
    if values.to is not None:
        _check_card(values.to, notes.card, values.force)
        path, beside = _places(values.to)
        _write(predictor, notes, path, _end(values.to), values)
        if beside != path:
            files.write(beside, notes.card)
        log(f"{name} ({_size(source)}) -> {path} ({_size(path)}); its card: {beside}")
    if values.push is not None:
        log(hub.push(predictor, notes, values.push, dtype=values.dtype))


def _check_card(target: str, text: str, force: bool) -> None:
    """Raises ValueError where another card lies in the card's place."""
    path, beside = _places(target)
    if beside == path or force or not beside.exists():
        return
    if beside.read_bytes() != text.encode():
        raise ValueError(f"--to: {beside} is of another model; give another folder, or --force")


def _write(
    predictor: Predictor, notes: one_file.Notes, path: Path, end: str, values: flags.FlagValues
) -> None:
    if end == ".safetensors":
        one_file.write(predictor, path, dtype=values.dtype, notes=notes)
    elif end == ".md":
        files.write(path, notes.card)
    else:
        options: dict[str, Any] = {"/": _page_options(values)}.get(end, {})
        if end == ".onnx":
            options = {"int8": values.int8, **_labelled(values.faces)}
        _writer(_MODULES[end]).write(predictor, path, **options)


def _labelled(listed: str | None) -> dict[str, Any]:
    """Returns the faces of a CSV file, at most `_MOST` of them, and their labels."""
    if listed is None:
        return {}
    try:
        records = catalogue.read("csv_folder", "", csv=listed)
        images = [np.asarray(pictures.read(path)) for path in records.paths[:_MOST]]
    except DataError as error:
        raise ValueError(f"--faces: {error}") from None
    return {"images": images, "labels": records.labels[:_MOST]}


def _size(path: Path) -> str:
    """Returns how many files a model has, of a run those of its last checkpoint, and their size."""
    if path.is_dir():
        path = last_checkpoint(path) or path
    listed = [path] if path.is_file() else [x for x in path.rglob("*") if x.is_file()]
    total = sum(file.stat().st_size for file in listed)
    count = "1 file" if len(listed) == 1 else f"{len(listed)} files"
    return f"{count}, {total / 1e6:.1f} MB"


def cli() -> None:
    """Runs the command, for `python -m launch.export` and for `ldl-export`."""
    with flag_errors():
        define_flags()
    start(main)


if __name__ == "__main__":
    cli()

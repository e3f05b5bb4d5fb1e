"""Reads MTCNN's weights: from the installed package `mtcnn`, or from a `.safetensors` re-save."""

import importlib.util
from pathlib import Path

import numpy as np

from ldl_jax import files
from ldl_jax.data.detect import networks

Weights = dict[str, list[np.ndarray]]

_HOW = "install it with: pip install 'ldl_jax[align]'"


def folder() -> Path:
    """Returns the folder of the installed package's weights; imports nothing.

    Raises:
      ValueError: the package `mtcnn` is not installed, or has no weights where 1.0 has them.
    """
    try:
        package = importlib.util.find_spec("mtcnn")
    except ValueError:  # a module of that name without a specification
        package = None
    if package is None or not package.submodule_search_locations:
        raise ValueError(f"faces are found with MTCNN, which is not installed; {_HOW}")
    weights = Path(package.submodule_search_locations[0]) / "assets" / "weights"
    missing = [f"{name}.lz4" for name in networks.SHAPES if not _file(weights, name).is_file()]
    if missing:
        raise ValueError(
            f"faces are found with MTCNN, but {weights} has no {', '.join(missing)}: "
            f"expected the package mtcnn of version 1.0; {_HOW}"
        )
    return weights


def load(path: str | Path | None = None) -> Weights:
    """Reads the weights of the three networks.

    The package itself is not imported, since it would import TensorFlow: its files need joblib and
    lz4 alone. They are pickles, and so trusted as the installed package's code is.

    Args:
      path: a file that `save` wrote; None takes those of the installed package.

    Returns:
      By network ("pnet", "rnet", "onet"), its arrays as `networks.SHAPES` lists them.

    Raises:
      ValueError: the package is not installed; the file is none of MTCNN's weights.
      OSError: the file cannot be read.
    """
    if path is not None:
        return _of_safetensors(Path(path))
    package_folder = folder()
    try:
        import joblib
        import lz4.frame
    except ImportError as error:
        raise ValueError(f"MTCNN's weights cannot be read ({error}); {_HOW}") from error
    weights: Weights = {}
    for name in networks.SHAPES:
        # joblib would open the file by itself, but not close it before lz4 does.
        with lz4.frame.open(_file(package_folder, name)) as file:
            weights[name] = list(joblib.load(file))
    _check(weights, str(package_folder))
    return weights


def save(path: str | Path) -> None:
    """Writes the installed package's weights to a `.safetensors` file, which needs no package.

    Raises:
      ValueError: the package is not installed.
    """
    from safetensors.numpy import save as as_bytes

    arrays = {
        f"{name}.{index}": np.ascontiguousarray(array, np.float32)
        for name, network in load().items()
        for index, array in enumerate(network)
    }
    with files.whole(Path(path)) as file:
        file.write(as_bytes(arrays, {"network": "mtcnn"}))


def _of_safetensors(path: Path) -> Weights:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: is no safetensors file ({error})") from error
    shapes = networks.SHAPES
    expected = {f"{name}.{index}" for name in shapes for index in range(len(shapes[name]))}
    if set(arrays) != expected:
        raise ValueError(
            f"{path}: holds no weights of MTCNN: expected the arrays {', '.join(sorted(expected))}"
        )
    weights = {
        name: [arrays[f"{name}.{index}"] for index in range(len(shapes[name]))] for name in shapes
    }
    _check(weights, str(path))
    return weights


def _check(weights: Weights, place: str) -> None:
    faults = []
    for name, shapes in networks.SHAPES.items():
        actual = [np.shape(array) for array in weights[name]]
        if actual != shapes:
            faults.append(f"{name} has arrays of shapes {actual}, expected {shapes}")
        elif not all(np.isfinite(array).all() for array in weights[name]):
            faults.append(f"{name} has weights that are NaN or infinite")
    if faults:
        raise ValueError(f"{place}: holds no weights of MTCNN: {'; '.join(faults)}")


def _file(place: Path, name: str) -> Path:
    return place / f"{name}.lz4"

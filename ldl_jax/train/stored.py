"""Reads checkpoints without their run: the record, and the weights as NumPy arrays."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from ldl_jax.train.backbone import joined
from ldl_jax.train.intact import (
    DamageError,
    LogLine,
    check_seal,
    is_checkpoint,
    newest,
    saved_in,
    seal_of,
    warn,
)
from ldl_jax.train.record import Record, from_json, is_sealed
from ldl_jax.train.weights import Arrays
from ldl_jax.workdir import check_links, read_results

# The bytes that a checkpoint's arrays may have: so many, and so many times those of its files.
# Weights hardly compress; only the zeros of an optimizer's first steps do.
_SPARE, _RATIO = 64 * 2**20, 16


def read(
    path: Path,
    log: LogLine = warn,
    older: LogLine = warn,
    *,
    allow_unsealed: bool = False,
    located: Callable[[Path], object] = lambda step_folder: None,
) -> tuple[Record, Arrays]:
    """Reads what `read_own` does; of a run on features, with the network that gave them.

    Raises:
      ValueError: nothing that can be read is there, or the network is not.
    """
    return joined(path, *read_own(path, log, older, allow_unsealed=allow_unsealed, located=located))


def read_own(
    path: Path,
    log: LogLine = warn,
    older: LogLine = warn,
    *,
    allow_unsealed: bool = False,
    located: Callable[[Path], object] = lambda step_folder: None,
) -> tuple[Record, Arrays]:
    """Reads the last finished generation of a run's workdir, or one checkpoint.

    A checkpoint is WORKDIR/checkpoints/generation_N, its folder "best", or a step in one of them,
    under whatever name. Of a workdir they are those that the generation was tested with, its last
    or its best.

    Args:
      path: the folder.
      log: takes a line of text where it is not known that files are as they were written.
      older: takes a line on each newer checkpoint that cannot be read, where an older one is.
      allow_unsealed: whether a checkpoint is read that was sealed once and has no seal now.
      located: takes the folder of the checkpoint that is read.

    Raises:
      ValueError: nothing that can be read is there.
    """
    check_links(path)

    def read_one(step_folder: Path) -> tuple[Record, Arrays]:
        result = read_step(step_folder, log, sealed=not allow_unsealed)
        located(step_folder)
        return result

    if results := _results(path):
        folder = path / "checkpoints" / f"generation_{len(results)}"
        return _latest(folder / "best" if "best_step" in results[-1] else folder, read_one, older)
    if is_checkpoint(path):
        return _first([path], path, read_one, lambda line: None)
    if saved_in(path):
        return _latest(path, read_one, older)
    renamed = [inner for inner in path.glob("*") if is_checkpoint(inner)]
    if len(renamed) == 1:
        return _first(renamed, path, read_one, lambda line: None)
    if renamed:
        names = ", ".join(sorted(inner.name for inner in renamed))
        raise ValueError(f"{path} holds several checkpoints: give one of {names}")
    raise ValueError(
        f"{path} is neither the workdir of a run with a finished generation nor a "
        "checkpoint (WORKDIR/checkpoints/generation_N or a step in it)"
    )


def _results(path: Path) -> list[dict[str, Any]]:
    """Reads the results of the finished generations of the run in `path`, all of them objects.

    Raises:
      ValueError: a file of results is no file, or not what a run writes; the message names it.
    """
    markers = [marker for marker in path.glob("generation_*.json") if not marker.is_file()]
    if markers:
        raise ValueError(f"{markers[0]} is no file, so the run in {path} cannot be read")
    try:
        results = read_results(path)
    except RecursionError:
        raise ValueError(f"{path}: a generation_N.json is nested too deep to be a run's") from None
    for number, row in enumerate(results, start=1):
        if not isinstance(row, dict):
            marker = path / f"generation_{number}.json"
            raise ValueError(
                f"{marker}: expected an object with a generation's results, got a "
                f"{type(row).__name__}"
            )
    return results


def read_weights(folder: Path) -> tuple[Record, Arrays]:
    """Reads the latest checkpoint of a generation's folder: its record, and NumPy arrays.

    Raises:
      ValueError: there is no checkpoint that can be read; the message names the folder.
    """
    return _latest(folder, read_step, warn)


def _latest(
    folder: Path, read_one: Callable[[Path], tuple[Record, Arrays]], older: LogLine
) -> tuple[Record, Arrays]:
    """Reads the latest checkpoint of a generation's folder, as `_first` does."""
    saved = saved_in(folder)
    newest_step = int(saved[0].name) if saved else -1
    for seal in folder.glob("*.sha256"):
        if seal.stem.isascii() and seal.stem.isdigit() and int(seal.stem) > newest_step:
            older(f"checkpoint {seal.with_suffix('')} is not there, and its seal is")
    return _first(saved, folder, read_one, older)


def _first(
    paths: Sequence[Path],
    folder: Path,
    read_one: Callable[[Path], tuple[Record, Arrays]],
    older: LogLine,
) -> tuple[Record, Arrays]:
    """Reads the first of some checkpoints that can be read.

    Raises:
      ValueError: there is none; the message names the folder, and why each cannot be read.
    """
    damaged: list[str] = []
    stored = newest(paths, read_one, damaged.append)
    if stored is None:
        reasons = "".join(f"; {line.replace(', falling back', '')}" for line in damaged)
        raise ValueError(f"{folder} holds no checkpoint that can be read{reasons}")
    for line in damaged:
        older(line)
    return stored


def read_step(
    step_folder: Path, log: LogLine = lambda line: None, *, sealed: bool = False
) -> tuple[Record, Arrays]:
    """Reads the record and the weights of one checkpoint: the moving average, where it has one.

    Args:
      step_folder: the checkpoint.
      log: takes a line of text where it has no seal.
      sealed: whether it has to have its seal, if its record says that it had one.

    Raises:
      ValueError: its files are not as they were written, or its record cannot be read.
    """
    path = step_folder.absolute()
    known = check_seal(path)
    handler = ocp.CompositeCheckpointHandler(
        state=ocp.PyTreeCheckpointHandler(), about=ocp.JsonCheckpointHandler()
    )
    with ocp.Checkpointer(handler) as checkpointer:
        args = ocp.args.Composite(about=ocp.args.JsonRestore())
        content = checkpointer.restore(path, args=args)["about"]
        about = from_json(content, step_folder)
        if not known:
            _check_unsealed(step_folder, is_sealed(content) and sealed, log)
        shapes = checkpointer.metadata(path).item_metadata["state"].tree
        _check_size(path, shapes)
        numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
        args = ocp.args.Composite(state=ocp.args.PyTreeRestore(restore_args=numpy))
        restored = checkpointer.restore(path, args=args)["state"]
    state = renamed(restored, "trunk", "backbone")
    return about, state.get("ema") or state["weights"]


def _check_unsealed(step_folder: Path, refused: bool, log: LogLine) -> None:
    """Says that a checkpoint has no seal, or raises DamageError where it is refused for that."""
    seal = seal_of(step_folder)
    if refused:
        raise DamageError(
            f"it was sealed, and its seal {seal.name} is not beside it; put the seal there, or, if "
            "you trust these files, allow it (--allow-unsealed, allow_unsealed=True)"
        )
    log(f"{step_folder} has no seal ({seal.name}): whether its files are as written is not known")


def _check_size(path: Path, shapes: Any) -> None:
    """Checks that a checkpoint's arrays are not much larger than its files, before they are read.

    Raises:
      DamageError: they are much larger.
    """
    declared = sum(
        math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(shapes)
    )
    stored = sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())
    if declared > _SPARE + _RATIO * stored:
        raise DamageError(
            f"its arrays would take {declared:,} bytes, and its files have {stored:,}"
        )


def renamed(tree: Any, old: str, new: str) -> Any:
    """Renames what is beside a head, in all trees of parameters of a training state.

    Release 0.1.0 stored a backbone's parameters as "trunk".
    """
    if isinstance(tree, dict):
        beside = "head" in tree
        return {
            new if beside and name == old else name: renamed(value, old, new)
            for name, value in tree.items()
        }
    if isinstance(tree, tuple | list):
        values = [renamed(value, old, new) for value in tree]
        return type(tree)(*values) if hasattr(tree, "_fields") else type(tree)(values)
    return tree

"""Checkpoints of one generation: saved behind the training's back, read with a way to fall back."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from ldl_jax import processes
from ldl_jax.workdir import read_results

Say = Callable[[str], None]


class Checkpoints:
    """The last checkpoints of a generation, each of a state and of what describes it.

    A checkpoint appears under its step all at once, after it is wholly written, so a kill leaves
    the ones before it as they were. A seal beside it, STEP.sha256, tells damage at rest, which
    Orbax does not always see. Several processes write one checkpoint together, and process 0 its
    seal.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder.absolute()
        # A generation's and its best are saved at one time: their processes are not to meet there.
        own = ocp.options.MultiprocessingOptions(barrier_sync_key_prefix=self.folder.name)
        self._manager = ocp.CheckpointManager(
            self.folder,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep, create=True, multiprocessing_options=own
            ),
            item_names=("state", "about"),
        )
        self._sealing: threading.Thread | None = None
        self._failed = threading.Event()

    def save(self, step: int, state: Any, about: dict[str, Any]) -> None:
        """Saves in the background; `about` is of JSON's types.

        Raises:
          CheckpointError: it cannot be written, or the one before it could not.
        """
        self.wait()
        with self._writing():
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state), about=ocp.args.JsonSave(about)
                ),
            )
        if not processes.primary():
            return
        # A daemon, since a save that fails leaves it nothing to wait for.
        self._sealing = threading.Thread(target=self._seal, args=(step,), daemon=True)
        self._sealing.start()

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, latest first."""
        found: list[int] = processes.broadcast(sorted(self._manager.all_steps(), reverse=True))
        return found

    def rewind(self, step: int) -> None:
        """Removes the checkpoints after a step."""
        for later in [number for number in self.steps() if number > step]:
            self._manager.delete(later)
            _seal_of(self.folder / str(later)).unlink(missing_ok=True)

    def restore(self, like: Any, say: Say) -> Any | None:
        """The latest state that can be read, or None.

        A damaged checkpoint is named, removed, and the one before it is taken.

        Args:
          like: a state of the same shapes and dtypes, and of the shardings that are wanted.
          say: takes one line of text for the user.

        Raises:
          ValueError: a checkpoint is as it was written, but not of a state like this one.
        """
        self.wait()
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        for step in self.steps():
            path, intact = self.folder / str(step), False
            try:
                intact = _shared_check(path)
                return self._restored(step, abstract)
            except Exception as error:  # Orbax and its storage raise many kinds for damage
                reason = str(error).strip().splitlines()[0][:200]
                if intact:  # no damage, so nothing that may be removed
                    raise ValueError(f"checkpoint {path} cannot be restored: {reason}") from error
                if processes.count() > 1 and not isinstance(error, DamageError):
                    # The others may see no fault, and wait for this process.
                    raise ValueError(
                        f"checkpoint {path} cannot be restored: {reason}; remove it to go on from "
                        "the one before it"
                    ) from error
                say(f"checkpoint {path} is damaged, falling back: {reason}")
                self.remove(step)
        return None

    def remove(self, step: int) -> None:
        """Removes a step's checkpoint and its seal."""
        self._manager.delete(step)
        if processes.primary():
            _seal_of(self.folder / str(step)).unlink(missing_ok=True)

    def _restored(self, step: int, abstract: Any) -> Any:
        """A state; its optional fields are None where the checkpoint is of before they were."""
        kind, fields = type(abstract), abstract
        if optional := getattr(kind, "_field_defaults", None):
            metadata = ocp.PyTreeCheckpointHandler().metadata(self.folder / str(step) / "state")
            stored = metadata.tree
            fields = {
                name: value
                for name, value in abstract._asdict().items()
                if name in stored or name not in optional
            }
        args = ocp.args.Composite(state=ocp.args.StandardRestore(fields))
        state = self._manager.restore(step, args=args)["state"]
        return kind(**state) if optional else state

    def wait(self) -> None:
        """Returns when all that was saved is on disk and sealed; drops seals of what is gone.

        Raises:
          CheckpointError: what was saved last could not be written.
        """
        with self._writing():
            self._manager.wait_until_finished()
        if self._sealing is not None:
            self._sealing.join()
            self._sealing = None
        for seal in self.folder.glob("*.sha256"):
            if processes.primary() and not seal.with_suffix("").exists():
                seal.unlink(missing_ok=True)

    def close(self) -> None:
        """Waits, then lets go of the folder."""
        self.wait()
        self._manager.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """What fails inside is a CheckpointError that names the last good checkpoint."""
        try:
            yield
        except Exception as error:  # Orbax and its storage raise many kinds
            self._failed.set()
            reason = str(error).strip().splitlines()[0][:200]
            if "No space left" in str(error):  # which storage says at length
                reason = "No space left on device"
            steps = sorted(self._manager.all_steps(), reverse=True)  # the others may be elsewhere
            kept = [step for step in steps if (self.folder / str(step)).exists()]
            last = f"the last good one is {self.folder / str(kept[0])}" if kept else "there is none"
            raise CheckpointError(
                f"a checkpoint cannot be written to {self.folder} ({reason}); {last}; make room, "
                "or mend what is wrong with the disk, and run the same command again"
            ) from error

    def _seal(self, step: int) -> None:
        """Seals a checkpoint once it appears; without room for the seal it stays without."""
        path = self.folder / str(step)
        while not path.exists():
            if self._failed.wait(0.02):
                return
        partial = self.folder / f"{step}.sha256.partial"
        with contextlib.suppress(OSError):
            partial.write_text(_digest(path))
            partial.replace(_seal_of(path))


class CheckpointError(ValueError):
    """A checkpoint cannot be written; the message names the last good one."""


class DamageError(ValueError):
    """A checkpoint's files are not as they were written."""


def _shared_check(step_folder: Path) -> bool:
    """`check_seal` by process 0, with the same end in all."""
    intact, damage = False, ""
    if processes.primary():
        try:
            intact = check_seal(step_folder)
        except DamageError as error:
            damage = str(error)
    intact, damage = processes.broadcast([intact, damage])
    if damage:
        raise DamageError(damage)
    return intact


def check_seal(step_folder: Path) -> bool:
    """Whether the checkpoint is sealed, and so is known to be as it was written.

    Raises:
      DamageError: it is sealed, and its files are not as they were written.
    """
    seal = _seal_of(step_folder)
    if not seal.exists():
        return False
    if seal.read_text() != _digest(step_folder):
        raise DamageError("its files are not as they were written")
    return True


def _seal_of(step_folder: Path) -> Path:
    return step_folder.with_name(step_folder.name + ".sha256")


def _digest(folder: Path) -> str:
    """One hash of the names and the bytes of all files below a folder."""
    digest = hashlib.sha256()
    files: Iterable[Path] = (path for path in folder.rglob("*") if path.is_file())
    for path in sorted(files):
        digest.update(str(path.relative_to(folder)).encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(about, weights) of a run's workdir (its last finished generation) or of one checkpoint.

    A checkpoint is WORKDIR/checkpoints/generation_N, its folder "best", or a step in one of them.
    Of a workdir they are those that the generation was tested with, its last or its best.

    Raises:
      ValueError: nothing that can be read is there.
    """
    if results := read_results(path):
        folder = path / "checkpoints" / f"generation_{len(results)}"
        return read_weights(folder / "best" if "best_step" in results[-1] else folder)
    if path.name.isdigit() and (path / "state").is_dir():
        return read_step(path)
    if not any(child.name.isdigit() for child in path.glob("*")):
        raise ValueError(
            f"{path} is neither the workdir of a run with a finished generation nor a "
            "checkpoint (WORKDIR/checkpoints/generation_N or a step in it)"
        )
    return read_weights(path)


def read_weights(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(about, weights) of the latest checkpoint of a generation's folder, as NumPy arrays.

    Raises:
      ValueError: there is no checkpoint that can be read; the message names the folder.
    """
    steps = sorted((int(p.name) for p in folder.glob("*") if p.name.isdigit()), reverse=True)
    for step in steps:
        try:
            return read_step(folder / str(step))
        except Exception:  # damage of any kind: the one before it may do
            continue
    raise ValueError(f"{folder} holds no checkpoint that can be read")


def read_step(step_folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(about, weights) of one checkpoint, as NumPy arrays: the moving average, where it has one.

    Raises:
      ValueError: its files are not as they were written.
    """
    path = step_folder.absolute()
    check_seal(path)
    handler = ocp.CompositeCheckpointHandler(
        state=ocp.PyTreeCheckpointHandler(), about=ocp.JsonCheckpointHandler()
    )
    with ocp.Checkpointer(handler) as checkpointer:
        shapes = checkpointer.metadata(path).item_metadata["state"].tree
        numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
        args = ocp.args.Composite(
            state=ocp.args.PyTreeRestore(restore_args=numpy), about=ocp.args.JsonRestore()
        )
        restored = checkpointer.restore(path, args=args)
    state = restored["state"]
    return restored["about"], state.get("ema") or state["weights"]

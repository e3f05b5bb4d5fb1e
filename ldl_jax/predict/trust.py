"""Consent to run the code that a checkpoint names.

A checkpoint's record names its method and its network. Those of this package are looked up in a
table. Another name, "package.module:factory", is imported, and so runs that module's code: that
happens only where the caller has named the module, and never from inside a run's folder.
"""

import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path

from ldl_jax.factories import is_own
from ldl_jax.train.intact import is_checkpoint
from ldl_jax.train.record import Record


def check(about: Record, trust: Sequence[str], source: Path) -> None:
    """Checks that every module which a record would have imported is trusted; imports nothing.

    Args:
      about: the record of a checkpoint.
      trust: the modules that may be imported, as "package.module".
      source: the checkpoint or the workdir, for messages.

    Raises:
      ValueError: a module is not trusted, or lies inside a run's folder; the message says which
        file would be run.
    """
    if isinstance(trust, str):
        raise ValueError(f"trust: expected a list of modules, as ({trust!r},), got {trust!r}")
    faults = []
    for key, options in (("model", about.model), ("method", about.method)):
        try:
            check_name(f"{key}.name", options["name"], trust, source)
        except ValueError as fault:
            faults.append(str(fault))
    if faults:
        raise ValueError("; ".join(faults))


def check_name(key: str, name: str, trust: Sequence[str], source: Path) -> None:
    """Checks that what a file names as "package.module:factory", if it does, is trusted.

    Args:
      key: where the file names it, for messages.
      name: the name; built-in ones need no trust.
      trust: the modules that may be imported.
      source: the file or its folder.

    Raises:
      ValueError: as of `check`.
    """
    if not is_own(name):
        return
    module = name.partition(":")[0]
    files = _files(module)
    where = f" (the file {files[-1]})" if files else " (which is not found here)"
    for file in files:
        if folder := _run_around(file, source):
            raise ValueError(
                f"{source}: its {key} asks to import {module!r}{where}, from inside the "
                f"run's folder {folder}: code is never run from there; if it is yours, move it "
                "beside your own"
            )
    if not {module, name} & {*trust}:
        raise ValueError(
            f"{source}: its {key} asks to import {module!r}{where} and to call {name!r}: "
            "that runs its code with your rights; if you know that code, allow it with "
            f"--trust={module}, or ldl_jax.load(..., trust=({module!r},))"
        )


def _files(module: str) -> list[Path]:
    """Returns the files that an import of a module would run, those of its packages first.

    `importlib.util.find_spec` would run the packages to look for it.
    """
    files: list[Path] = []
    folders: Sequence[str] | None = None
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        loaded = sys.modules.get(name)
        spec = getattr(loaded, "__spec__", None) or _spec(name, folders)
        if spec is None:
            return files
        if spec.has_location and spec.origin:
            files.append(Path(spec.origin))
        folders = spec.submodule_search_locations
        if folders is None and count < len(parts):
            return files
        folders = list(folders or ())
    return files


def _spec(name: str, folders: Sequence[str] | None) -> importlib.machinery.ModuleSpec | None:
    """Asks the finders for a module, in the folders of its package or those of `sys.path`."""
    for finder in sys.meta_path:
        if spec := finder.find_spec(name, folders):
            return spec
    return None


def _run_around(file: Path, source: Path) -> Path | None:
    """Returns the run's folder or the checkpoint that a file lies in, or None."""
    around = {source.resolve()}
    for folder in (file.absolute(), file.resolve()):
        for parent in folder.parents:
            run = (parent / "config.json").is_file() and (
                (parent / "checkpoints").is_dir() or (parent / "metrics.jsonl").is_file()
            )
            inside = parent.name == "checkpoints" and any(parent.glob("generation_*"))
            if run or inside or is_checkpoint(parent) or parent.resolve() in around:
                return parent
    return None

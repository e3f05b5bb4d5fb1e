"""Makes a dataset ready for training: faces cut out, pictures in files that are quick to read.

python -m launch.prepare --dataset=aaf --root=DIR --out=prepared/aaf
python -m launch.prepare --dataset=csv_folder --csv=faces/ages.csv --out=prepared/mine \\
    --align=similarity --margin=0.2 --size=256 --sheet=sheet.png
python -m launch.main --config=configs/cen_aaf.py --config.data.name=prepared \\
    --config.data.root=prepared/aaf --workdir=runs/cen_aaf

The set is a TFDS dataset of ArrayRecord files, OUT/faces/1.1.0. A command that was cut off goes on
when it is given again. By default pictures keep their files, byte for byte; what is cut out or
resized is a JPEG of quality 95, or with --png without loss.
"""

import ast
import inspect
import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from absl import flags
from rich.console import Console

from ldl_jax.data import align
from ldl_jax.data.align import Alignment
from ldl_jax.data.datasets import catalogue, numbers
from ldl_jax.data.detect import choice
from ldl_jax.data.prepare import chunk, preparation, sheet
from ldl_jax.data.prepare.chunk import PictureForm
from ldl_jax.data.records import Records
from ldl_jax.data.synthetic import faces
from ldl_jax.evaluation.cells import plain
from ldl_jax.files import whole
from ldl_jax.run.command import fail, only_flags, quiet, start
from ldl_jax.run.progress import bar, teller

# Other commands have flags of these names; only tests load two commands in one process.
_SHARED: dict[str, Any] = {"allow_override": True}
_DATASET = flags.DEFINE_string(
    "dataset",
    None,
    f"synthetic, {', '.join(sorted(catalogue.DATASETS))}, or package.module:factory",
    **_SHARED,
)
_ROOT = flags.DEFINE_string("root", "", "the dataset's folder", **_SHARED)
_CSV = flags.DEFINE_string("csv", None, "the list of datasets that take one", **_SHARED)
_COLUMNS = flags.DEFINE_string(
    "columns", None, """the CSV file's names of columns, as '{"path": "file"}'""", **_SHARED
)
_OPTION = flags.DEFINE_multi_string(
    "option", [], "NAME=VALUE of the dataset's reader, as originals=true; may be repeated"
)
_OUT = flags.DEFINE_string("out", None, "the folder of the prepared set", **_SHARED)
_ALIGN = flags.DEFINE_enum(
    "align", None, list(align.KINDS), "how faces are cut out; none by default", **_SHARED
)
_MARGIN = flags.DEFINE_float(
    "margin", None, "on each side, as a share of the square; 0.4, or 0 for quad", **_SHARED
)
_SIZE = flags.DEFINE_integer(
    "size", None, "side of the pictures in pixels; as they are without it", **_SHARED
)
_PNG = flags.DEFINE_boolean("png", False, "write PNGs, without loss, instead of JPEGs", **_SHARED)
_WHICH = "where a detector looks: which of several faces is taken, or none of them"
_FACES = flags.DEFINE_enum("faces", "largest", list(chunk.FACES), _WHICH, **_SHARED)
_DETECTOR = flags.DEFINE_string(
    "detector",
    choice.MTCNN,
    "what finds the faces: mtcnn, a .safetensors file of its weights, or package.module:factory",
    **_SHARED,
)
_UNREADABLE = flags.DEFINE_enum(
    "unreadable", "stop", ["stop", "skip"], "at a picture, or a row, that cannot be used", **_SHARED
)
_WORKERS = flags.DEFINE_integer("workers", 0, "processes; 0 for one a CPU core", 0, **_SHARED)
_BEAM = flags.DEFINE_boolean("beam", False, "through Apache Beam pipelines", **_SHARED)
_BEAM_OPTION = flags.DEFINE_multi_string(
    "beam_option", [], "of the pipelines, as --beam_option=--runner=FlinkRunner; may be repeated"
)
_SHEET = flags.DEFINE_string("sheet", None, "a PNG of some pictures before and after", **_SHARED)
_SHEET_COUNT = flags.DEFINE_integer("sheet_count", 8, "how many pictures it shows", 1, 200)


def main(arguments: Sequence[str]) -> None:
    """Prepares a set; ends the process with 1 where something is wrong."""
    quiet()
    only_flags(arguments)
    if _DATASET.value is None:
        fail("--dataset: name one, as --dataset=aaf, or synthetic")
    if _OUT.value is None and _SHEET.value is None:
        fail("--out: give the folder of the prepared set, or --sheet for a contact sheet alone")
    signal.signal(signal.SIGTERM, _stop)
    try:
        run(Console(stderr=True, soft_wrap=True, markup=False, highlight=False))
    except KeyboardInterrupt:
        sys.stderr.write(f"stopped; the same command goes on:\n  {command()}\n")
        sys.exit(130)
    except (ValueError, OSError) as error:
        fail(str(error))


def run(console: Console) -> None:
    """Prepares the set that the flags describe, and draws the sheet if one is asked for."""
    form = _form()
    out = None if _OUT.value is None else Path(_OUT.value)
    sheet_path = None if _SHEET.value is None else Path(_SHEET.value)
    _check_places(out, sheet_path)
    records = _records()
    _check_apart(records, out, sheet_path)
    if sheet_path is not None:
        _draw(records, form, sheet_path)
    if out is None:
        return
    for note in records.notes:
        teller(console)(note)
    started = time.monotonic()
    with bar(console) as progress:
        task = progress.add_task("preparing", total=len(records))

        def show(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        summary = preparation.prepare(
            records,
            out,
            form,
            unreadable=_UNREADABLE.value,
            workers=_WORKERS.value,
            beam=_beam_options() if _BEAM.value else None,
            command=command(),
            progress=show,
        )
    for line in summary.left:
        print(plain(line))
    before = f" ({summary.before:,} were done before)" if summary.before else ""
    took = f"{summary.size / 1e6:,.1f} MB, {time.monotonic() - started:.1f} s{before}"
    print(f"{summary.folder}: {summary.pictures:,} of {len(records):,} pictures, {took}")
    print(f"train on it: --config.data.name=prepared --config.data.root={shlex.quote(str(out))}")


def command() -> str:
    """Returns the user's command, to be given again."""
    return shlex.join(["python", "-m", "launch.prepare", *sys.argv[1:]])


def _form() -> PictureForm:
    kind = _ALIGN.value or "none"
    if kind == "none" and _MARGIN.value is not None:
        raise ValueError("--margin: is around a face that is cut out; give --align")
    default = 0.0 if kind == "quad" else Alignment().margin
    margin = default if _MARGIN.value is None else _MARGIN.value
    return PictureForm(
        Alignment(kind, margin), _SIZE.value or 0, _PNG.value, _FACES.value, _DETECTOR.value
    )


def _check_places(out: Path | None, sheet_path: Path | None) -> None:
    """Raises ValueError where the outputs would be written among the dataset's files."""
    reads_files = bool(_ROOT.value or _CSV.value)
    root = Path(_ROOT.value) if _ROOT.value else Path(_CSV.value or "").parent
    # A list's pictures lie anywhere below the root, which may be /: see `_check_apart`.
    listed = _DATASET.value in catalogue.DATASETS and catalogue.DATASETS[_DATASET.value].takes_csv
    for name, path in (("out", out), ("sheet", sheet_path)):
        if path and reads_files and not (listed and _CSV.value):
            _refuse_within(name, path, root)
    if sheet_path is not None and sheet_path.is_dir():
        raise ValueError(f"--sheet: expected a file, {sheet_path} is a folder")


def _check_apart(records: Records, out: Path | None, sheet_path: Path | None) -> None:
    """Raises ValueError where the outputs would be written among the pictures of a list."""
    if not _CSV.value:
        return
    folders = {path.parent for path in records.paths}
    for name, path in (("out", out), ("sheet", sheet_path)):
        for folder in sorted(folders) if path else ():
            _refuse_within(name, path, folder)


def _refuse_within(name: str, path: Path | None, folder: Path) -> None:
    if path is not None and path.resolve().is_relative_to(folder.resolve()):
        problem = f"{path} lies in the dataset's folder {folder}; give a place outside it"
        raise ValueError(f"--{name}: {problem}")


def _columns() -> dict[str, str]:
    """Returns the names of columns that the flag gives."""
    if _COLUMNS.value is None:
        return {}
    try:
        columns = ast.literal_eval(_COLUMNS.value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        columns = None
    if not isinstance(columns, dict):
        expected = """expected names as '{"path": "file", "label": "age"}'"""
        raise ValueError(f"--columns: {expected}, got {_COLUMNS.value!r}")
    return columns


def _records() -> Records:
    name = _DATASET.value
    if name != "synthetic":
        known = catalogue.options_of(name)
        return catalogue.read(
            name,
            _ROOT.value,
            csv=_CSV.value or "",
            columns=_columns(),
            unreadable=_UNREADABLE.value,
            **_options(known),
        )
    if _ROOT.value or _CSV.value:
        raise ValueError("--root, --csv: synthetic faces are drawn, not read")
    parameters = inspect.signature(faces.faces).parameters.values()
    known = {parameter.name: parameter.default for parameter in parameters} | {"count": 2000}
    del known["lazy"], known["workers"]
    # The processes that write the pictures draw them, one at a time.
    return faces.faces(**{"count": 2000, **_options(known)}, lazy=True, workers=1)


def _options(known: Mapping[str, object]) -> dict[str, Any]:
    """Returns the reader's options, as values of their defaults' types."""
    options = {}
    for text in _OPTION.value:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            expected = f"expected NAME=VALUE with NAME one of {', '.join(known) or 'none'}"
            raise ValueError(f"--option: {expected}, got {text!r}")
        options[name] = _value(name, value, known[name])
    return options


def _value(name: str, text: str, default: object) -> object:
    kind: Any = type(default)
    if kind not in (bool, int, float, str):  # of one's own reader
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return text
    try:
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        strict: dict[type, Callable[[str], object]] = {
            int: numbers.whole_number,
            float: numbers.number,
        }
        return strict.get(kind, kind)(text)
    except (KeyError, ValueError):
        expected = f"{name} is a {kind.__name__} (as {default!r})"
        raise ValueError(f"--option: {expected}, got {text!r}") from None


def _beam_options() -> list[str]:
    try:
        import apache_beam  # noqa: F401
    except ImportError as error:
        install = "install it with: pip install 'ldl_jax[beam]'"
        raise ValueError(f"--beam: Apache Beam cannot be imported ({error}); {install}") from None
    return list(_BEAM_OPTION.value) or ["--runner=DirectRunner"]


def _draw(records: Records, form: PictureForm, out: Path) -> None:
    page = sheet.sheet(records, form, _SHEET_COUNT.value)
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole(out) as file:
        page.save(file, "PNG", optimize=True)
    print(f"{out}: {min(len(records), _SHEET_COUNT.value)} pictures before and after")


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def cli() -> None:
    """Runs the command, for `python -m launch.prepare` and for `ldl-prepare`."""
    start(main)


if __name__ == "__main__":
    cli()
